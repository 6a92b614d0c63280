"""Coverage-guided fuzzing of our own parsers: containers, VP8's head, EXIF, XMP and its merge, IPTC, Photoshop's.

pip install atheris                        # Linux, not part of any extra
python benchmarks/fuzz_parsers.py -runs=1000000 -max_len=2048 CORPUS_FOLDER [--result=results/fuzz-parsers.json]
    [--only=vp8,iptc]                      # some of: file, exif, xmp, photoshop, vp8, iptc

Any exception but those that say "damaged" is a find: atheris prints the input and stops. The folder is filled with
small files to start from when it is empty.
"""

from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import atheris
from PIL import Image

from velatura import __version__
from velatura.reports.result import Result, Row

PARSERS = ["velatura.images.metadata"]
with atheris.instrument_imports(include=PARSERS):
    from velatura.images import metadata
    from velatura.images.metadata import containers, exif, iptc, photoshop, xmp
    from velatura.images.metadata.containers import Metadata, Unsupported, vp8

STOPPED = 72  # by hand
FORMATS = ("png", "jpeg", "webp", "tiff")
TARGETS = ("file", "exif", "xmp", "photoshop", "vp8", "iptc")
chosen = TARGETS


def small(format: str) -> bytes:
    out = io.BytesIO()
    tags = Image.Exif()
    tags[0x0112], tags[0x013B] = 6, "Ada"
    extra = {} if format == "tiff" else {"exif": tags}
    Image.new("RGB", (8, 8), "red").save(out, format.upper(), **extra)
    return out.getvalue()


FILES = {format: small(format) for format in FORMATS}
GPS = exif.Value(exif.GPS, 4, 1, b"", (exif.Value(2, 5, 1, struct.pack("<2I", 52, 1)),))
SEEDS = [
    *FILES.values(),
    exif.block_of((exif.Value(315, 2, 6, b"artist"), GPS), "<"),
    xmp.marked(b"", do_not_train=True, rights="Ada"),
    photoshop.with_iptc(b"", b"\x1c\x02\x19\0\3sea"),
    b"\x1c\x02\x19\0\3sea\x1c\x02\x5a\x80\2\0\5Paris",
    FILES["webp"][FILES["webp"].index(b"VP8 ") + 8 :],
]


def one_input(data: bytes) -> None:
    which, rest = data[0] if data else 0, data[1:]
    match chosen[which % len(chosen)]:
        case "file":  # a whole file
            with suppress(Unsupported):
                format = containers.sniff(rest)
                containers.facts(format, rest)
                taken = metadata.renewed(containers.take(format, rest))
                with suppress(xmp.Damaged):
                    taken = metadata.marked(metadata.without_gps(taken), do_not_train=True, rights="A")
                metadata.summary(taken)
                for other in FORMATS:
                    moved = metadata.moved(taken, format, other, density=(300, 72))
                    if other != "jpeg" or containers.jpeg.holds(moved):
                        containers.put(other, FILES[other], moved)
        case "exif":
            with suppress(exif.Damaged, struct.error):
                block = exif.renewed(rest, gps=False, width=3, height=4)
                assert len(block) == len(rest)
                exif.into_tiff(FILES["tiff"], exif.values(block), exif.order(block))
        case "xmp":
            with suppress(xmp.Damaged):
                packet = xmp.marked(rest, do_not_train=True, rights="A<&")
                assert xmp.value(packet, xmp.PLUS, "DataMining") == xmp.DO_NOT_TRAIN
                assert xmp.value(packet, xmp.DC, "rights") == "A<&"
                xmp.without_places(xmp.without_thumbnails(packet))
        case "photoshop":
            photoshop.without(rest, photoshop.THUMBNAILS)
            record = photoshop.iptc(photoshop.with_iptc(rest, b"record"))
            assert record
            metadata.renewed(Metadata(exif=rest, xmp=rest, photoshop=rest))
        case "vp8":  # the frame of a lossy WebP
            with suppress(IndexError):  # cut short: see containers.facts
                assert vp8.quality(rest) in (None, *range(101))
        case "iptc":
            kept = iptc.without_places(rest)
            assert iptc.without_places(kept) == kept
            photoshop.changed(rest, iptc.without_places)


def recorded(arguments: list[str], output: Path) -> int:
    """The same in a process whose words are read, since atheris ends its own; its exit status."""
    found = {"cov": 0, "ft": 0, "corp": 0, "exec/s": 0, "runs": 0}
    with subprocess.Popen([sys.executable, __file__, *arguments], stderr=subprocess.PIPE, text=True) as fuzzer:
        assert fuzzer.stderr is not None
        for line in fuzzer.stderr:
            print(line, end="", file=sys.stderr, flush=True)
            found |= {name: int(number) for name, number in re.findall(r"\b(cov|ft|corp|exec/s): (\d+)", line)}
            if count := re.match(r"#(\d+)\s|Done (\d+) runs", line):
                found["runs"] = int(count[1] or count[2])
    status = fuzzer.wait()
    names = {"runs": "executions", "cov": "branches covered", "ft": "features", "corp": "inputs kept"}
    rows = [Row(name, found[key], found["runs"]) for key, name in names.items()]
    flags = [] if status in (0, STOPPED) else [f"a find, or a failure: status {status}"]
    settings = {"parsers": PARSERS, "targets": targets(arguments), "executions a second": found["exec/s"]}
    Result("coverage-guided fuzzing of our parsers", __version__, None, "cpu", settings, {}, rows, flags).save(output)
    return status


def targets(arguments: list[str]) -> tuple[str, ...]:
    """Those that ``--only=`` names, or all."""
    named = [word.partition("=")[2].split(",") for word in arguments if word.startswith("--only=")]
    return tuple(name for name in TARGETS if not named or name in named[0])


def main() -> None:
    global chosen
    results = [word for word in sys.argv if word.startswith("--result=")]
    if results:
        rest = [word for word in sys.argv[1:] if word not in results]
        sys.exit(recorded(rest, Path(results[0].partition("=")[2])))
    chosen = targets(sys.argv)
    folders = [Path(word) for word in sys.argv[1:] if not word.startswith("-")]
    for folder in (place for place in folders[:1] if not place.is_file()):  # a file: a find to try again
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            for index, seed in enumerate(SEEDS):
                for which in range(len(chosen)):
                    (folder / f"seed-{index}-{which}").write_bytes(bytes([which]) + seed)
    atheris.Setup([word for word in sys.argv if not word.startswith("--only=")], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
