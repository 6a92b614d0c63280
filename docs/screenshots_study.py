"""The screenshots of docs/study.md: the pages that raters see, filled with parts of the sample picture.

    python docs/screenshots_study.py

What stands for the mimic's pictures are the same parts, filtered; nobody rates them. Needs the extra ``test`` and
Debian's Chromium.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageFilter
from playwright.sync_api import sync_playwright

from velatura import weights

IMAGES = Path(__file__).parent / "images"
COMMAND = [sys.executable, "-c", "from velatura.cli import main; main()"]
PORT = 8391
SIZES = {"study-question": {"width": 1200, "height": 1000}, "study-phone": {"width": 390, "height": 844}}


def pictures(folder: Path) -> None:
    whole = Image.open(weights.embedded("sample")).convert("RGB")
    for arm in ("original", "clean", "noise"):
        (folder / arm).mkdir(parents=True)
        for i in range(8):
            left, top = 64 * (i % 4) * 2, 128 * (i // 4)
            part = whole.crop((left, top, left + 256, top + 256))
            if arm != "original":
                part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT).filter(ImageFilter.ModeFilter(9))
            part.save(folder / arm / f"{i}.png")


def main() -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("expected Debian's Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as place:
        environment = os.environ | {"VELATURA_DATA": f"{place}/data"}
        pictures(Path(place) / "art")
        new = [
            "lab",
            "study",
            "new",
            f"{place}/art",
            "--synthetic",
            "--raters",
            "2",
            "--address",
            f"http://127.0.0.1:{PORT}",
        ]
        links = subprocess.run([*COMMAND, *new], env=environment, stdout=subprocess.PIPE, text=True, check=True)
        serve = [*COMMAND, "app", "--no-browser", "--port", str(PORT)]
        server = subprocess.Popen(serve, env=environment, stderr=subprocess.PIPE, text=True)
        try:
            assert server.stderr is not None
            next(line for line in server.stderr if "http://" in line)
            with sync_playwright() as tools:
                browser = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                for (name, size), link in zip(SIZES.items(), links.stdout.split(), strict=True):
                    page = browser.new_context(viewport=size).new_page()  # type: ignore[arg-type]
                    page.set_default_timeout(600_000)
                    page.goto(link)
                    page.get_by_label("I make art", exact=True).check()
                    page.get_by_label("I take part").check()
                    page.get_by_role("button", name="Begin").click()
                    page.get_by_text("Question 1 of").wait_for()
                    page.wait_for_load_state("networkidle")
                    page.screenshot(path=IMAGES / f"{name}.jpg", type="jpeg", quality=82, full_page=True)
                browser.close()
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
