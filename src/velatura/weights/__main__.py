"""``python -m velatura.weights`` rewrites ``data/SHA256SUMS``."""

from velatura.weights import SUMS, embedded_sums

if __name__ == "__main__":
    SUMS.write_text("".join(f"{digest}  {file}\n" for file, digest in embedded_sums().items()))
