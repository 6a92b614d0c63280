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
    for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        if not link.startswith("http"):
            assert (ROOT / page).parent.joinpath(link).exists(), link
