"""The pages quote results by script: what stands there is what docs/build.py would write."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs/build.py")
assert spec is not None
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)  # type: ignore[union-attr]


OTHERS = [
    p.relative_to(ROOT).as_posix()
    for p in (*sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("*.md")), ROOT / "results/README.md")
]


@pytest.mark.parametrize("page", build.PAGES)
def test_pages_are_up_to_date(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert any(f"<!-- /{part} -->" in text for part in build.PARTS), "a page of PAGES has parts to fill in"
    assert not re.search(r"<!-- (\w+) -->\s*<!-- /\1 -->", text), "a part is empty"
    assert build.built(page) == text, "run: python docs/build.py"


def test_plots_are_up_to_date() -> None:
    files = {path.stem: path for path in (ROOT / "docs/images").glob("*.svg")}
    assert files.keys() == build.methods.drawn().keys(), "run: python docs/build.py"
    for name, path in files.items():
        assert path.read_text(encoding="utf-8").endswith(build.methods.source(name)), "run: python docs/build.py"


@pytest.mark.parametrize("page", sorted({*build.PAGES, *OTHERS}))
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        if link.startswith("http"):
            continue
        file, _, anchor = link.partition("#")
        target = (ROOT / page).parent / file if file else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub makes them; those that an HTML tag names as well."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    found = set(re.findall(r"(?:id|name)=\"([^\"]+)\"", text))
    for heading in re.findall(r"^#+ +(.+?) *$", text, flags=re.M):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", words).replace(" ", "-"))
    return found
