"""docs/data.md is what its script writes, and names every picture with a digest."""

from __future__ import annotations

import csv
import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("docs_build_data", ROOT / "docs/build_data.py")
assert spec is not None
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)  # type: ignore[union-attr]


def test_every_picture_has_source_licence_and_digest() -> None:
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|\n]+\.jpg \|.*$", text, re.M)
    assert f"{len(rows)} pictures, " in text
    assert all(re.search(r"\| [0-9a-f]{64} \|$", row) for row in rows)
    for victim in build.held_out():
        assert re.search(rf"## \w+/{victim}\n\n[^\n]+; held out\.", text), victim


def test_page_is_what_the_script_writes(shared: Path, tmp_path: Path) -> None:
    assert build.page(shared / "art") == build.PAGE.read_text(encoding="utf-8"), "run: python docs/build_data.py"


def test_a_held_out_picture_among_others_is_marked(tmp_path: Path) -> None:
    (tmp_path / "styles").mkdir()
    fields = ["path", "artist", "title", "license", "source_repo", "source_path"]
    with (tmp_path / "MANIFEST.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        for name in ("vincent-van-gogh-stars", "ada-sea"):
            (tmp_path / f"styles/{name}.jpg").write_bytes(name.encode())
            values = (f"styles/{name}.jpg", name[:3], "a | b", "CC0", "x/y", "z.jpg")
            writer.writerow(dict(zip(fields, values, strict=True)))
    text = build.page(tmp_path)
    assert "2 pictures, 1 trained on, 1 held out." in text
    assert "vin: a \\| b (held out) | 1 |" in text
    assert "ada: a \\| b | 1 |" in text
