"""Write docs/data.md: source, licence and sha256 of every picture of training and experiments.

python docs/build_data.py ../shared/art      # a folder with MANIFEST.csv; tests/test_data_page.py compares
"""

from __future__ import annotations

import ast
import csv
import sys
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/data.md"
HEAD = """# The pictures

Every picture that the embedded weights were trained on and that the experiments in [results](../results/README.md) were
made with. None of them is part of this repository. `sha256` is of the JPEG as it was used here (longest side at most
768 px, never enlarged); `source` is the GitHub repository that it was taken from and its path there. Written by
`python docs/build_data.py ../shared/art` from the collection's manifest and its files.

**Trained on**: all but the held-out artists, by the surrogate. The miniature and the style judge, of the first edition,
learned from 464 of these and of artists held out today, but never from Van Gogh, Greenaway, Aivazovsky and Revoy.
**Held out**: sixteen artists, four to tune on and twelve to report on; the surrogate never saw them.
""".strip()


def held_out() -> tuple[str, ...]:
    """The artists that training leaves out, as ``training/train_surrogate.py`` has them (which imports torch)."""
    tree = ast.parse((ROOT / "training/train_surrogate.py").read_text(encoding="utf-8"))
    values = (
        node.value for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "HELD_OUT"
    )  # fmt: skip
    return tuple(ast.literal_eval(next(values)))


def page(art: Path) -> str:
    """The whole page, for the pictures of ``art``."""
    with (art / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["path"])
    victims = held_out()
    folders: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        folders.setdefault(str(Path(row["path"]).parent), []).append(row)
    kept = [row for row in rows if _is_held_out(row, victims)]
    parts = [HEAD, f"{len(rows)} pictures, {len(rows) - len(kept)} trained on, {len(kept)} held out."]
    for folder, members in folders.items():
        artists = sorted({row["artist"] for row in members})
        use = "held out" if all(row in kept for row in members) else "trained on"
        title = artists[0] if len(artists) == 1 else f"{len(artists)} artists"
        parts.append(f"## {folder}\n\n{title}; {len(members)} pictures; {use}.")
        licences = sorted({row["license"] for row in members})
        parts.append("\n".join(f"{i}. {licence}" for i, licence in enumerate(licences, 1)))
        parts.append(
            _table(art, members, licences, several=len(artists) > 1, marked=kept if use == "trained on" else [])
        )
    return "\n\n".join(parts) + "\n"


def _is_held_out(row: dict[str, str], victims: tuple[str, ...]) -> bool:
    path = Path(row["path"])
    return path.parent.name in victims or path.name.startswith(victims)


def _table(
    art: Path, rows: list[dict[str, str]], licences: list[str], *, several: bool, marked: list[dict[str, str]]
) -> str:
    lines = ["| file | title | licence | source | sha256 |", "|---|---|---|---|---|"]
    for row in rows:
        path = Path(row["path"])
        title = f"{row['artist']}: {row['title']}" if several else row["title"]
        title += " (held out)" if row in marked else ""
        source = f"{row['source_repo']}: {row['source_path']}"
        digest = sha256((art / path).read_bytes()).hexdigest()
        cells = (path.name, title, str(licences.index(row["license"]) + 1), source, digest)
        lines.append("| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(Path(sys.argv[1])), encoding="utf-8")
    print(PAGE)
