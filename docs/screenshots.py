"""The screenshots of docs/app.md, of the application as it is, with real results on the sample picture.

    python docs/screenshots.py  # or --shared, --local: those of a shared server, or of the local application, alone

Needs the extra ``test`` and Debian's Chromium.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from velatura import weights

IMAGES = Path(__file__).parent / "images"
PATIENCE = 3_600_000  # ms
DESK, PHONE = {"width": 1200, "height": 860}, {"width": 390, "height": 844}
# The sample, and two parts of it; left, top, right, bottom.
PARTS = {"Cat.png": (0, 0, 768, 512), "Eye.png": (180, 60, 560, 420), "Whiskers.png": (20, 200, 620, 512)}


def parts() -> list[dict[str, object]]:
    whole = Image.open(weights.embedded("sample"))
    files: list[dict[str, object]] = []
    for name, box in PARTS.items():
        out = io.BytesIO()
        whole.crop(box).save(out, "PNG")
        files.append({"name": name, "mimeType": "image/png", "buffer": out.getvalue()})
    return files


def shoot(page: Page, name: str, whole: bool = False) -> None:
    look = {"type": "jpeg", "quality": 82, "animations": "disabled"}
    page.screenshot(path=IMAGES / f"app-{name}.jpg", full_page=whole, **look)  # type: ignore[arg-type]


def until(page: Page, script: str) -> None:
    """``wait_for_function`` would evaluate text inside the page, which its policy forbids."""
    while not page.evaluate(script):
        page.wait_for_timeout(200)


def walk(page: Page, address: str, narrow: Page) -> None:
    """From the first page to a result, as a person would."""
    page.goto(address)
    narrow.goto(address)
    page.locator("#files").set_input_files(parts())  # type: ignore[arg-type]
    page.get_by_role("button", name="Protect 3 pictures").wait_for()
    page.get_by_label("Quick").check(force=True)
    page.get_by_role("button", name="Preview this part").click()
    page.get_by_text("Approximate.").wait_for()
    until(page, "document.querySelector('#preview-after').naturalWidth > 0")
    shoot(page, "start", whole=True)
    page.get_by_text("Target style:").click()
    page.locator("#styles img").first.wait_for()
    page.wait_for_timeout(2000)
    page.locator("#style-picker").screenshot(path=IMAGES / "app-styles.jpg", type="jpeg", quality=82)
    page.get_by_label("Your name").fill("A. Painter")
    page.get_by_role("button", name="Protect 3 pictures").click()
    page.wait_for_url("**/jobs/*")
    until(page, "document.querySelectorAll('.word').length === 1")
    page.get_by_text("step ").first.wait_for()
    page.wait_for_timeout(1000)
    shoot(page, "job", whole=True)
    job = page.url
    page.goto(job.rsplit("/jobs", 1)[0] + "/queue")
    page.locator("[data-badge]").wait_for()
    shoot(page, "queue")
    page.goto(job)
    until(page, "document.querySelectorAll('.word').length === 3")
    page.get_by_role("link", name="Cat.png", exact=True).click()
    until(page, "document.querySelector('img-comparison-slider').classList.contains('rendered')")
    shoot(page, "picture")
    narrow.goto(page.url)
    until(narrow, "document.querySelector('img-comparison-slider').classList.contains('rendered')")
    narrow.wait_for_timeout(1000)
    shoot(narrow, "phone", whole=True)
    page.get_by_role("tab", name="100 % lens").click()
    page.locator("[data-lens]").hover()
    page.wait_for_timeout(1000)
    shoot(page, "lens")
    page.get_by_role("tab", name="What a model sees").click()
    page.wait_for_timeout(1000)
    shoot(page, "seen")
    page.goto(job.rsplit("/jobs", 1)[0] + "/about")
    shoot(page, "about", whole=True)
    page.goto(job.rsplit("/jobs", 1)[0] + "/artist?name=A.%20Painter")
    until(page, "[...document.images].every((image) => image.complete)")
    shoot(page, "artist", whole=True)
    page.goto(job.rsplit("/jobs", 1)[0] + "/artists")
    shoot(page, "artists")


def walk_shared(page: Page, invitation: str) -> None:
    """What only a shared server has."""
    page.goto(invitation)
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("Password").fill("a password of the screenshots")
    shoot(page, "join")
    page.get_by_role("button", name="Join").click()
    page.get_by_role("link", name="Account").click()
    page.get_by_label("What is it for?").fill("our website's uploads")
    page.get_by_role("button", name="Make a key").click()
    page.get_by_text("vk_").wait_for()
    page.reload()
    shoot(page, "account", whole=True)
    page.get_by_role("link", name="Admin").click()
    page.get_by_role("button", name="Invite someone").click()
    page.locator("#main code").wait_for()
    page.reload()
    shoot(page, "admin", whole=True)
    page.get_by_role("link", name="Account").click()
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name="Log in").wait_for()
    shoot(page, "login")


@contextlib.contextmanager
def started(*command: str) -> Iterator[str]:
    """The address that a command prints, for as long as it runs in a folder of its own."""
    with tempfile.TemporaryDirectory() as data:
        line = [sys.executable, "-c", "from velatura.cli import main; main()", *command]
        environment = os.environ | {"VELATURA_DATA": data, "VELATURA_CONFIG": f"{data}/config"}
        server = subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, text=True)
        assert server.stderr is not None
        try:
            yield next(line.split()[-1] for line in server.stderr if "http://" in line)
        finally:
            server.terminate()  # it ends its worker
            server.wait()


def main() -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("expected Debian's Chromium: apt-get install chromium")
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        pages = [browser.new_context(viewport=size).new_page() for size in (DESK, PHONE)]
        for page in pages:
            page.set_default_timeout(PATIENCE)
        if "--local" not in sys.argv:
            with started("serve", "--no-worker") as invitation:
                walk_shared(pages[0], invitation)
        if "--shared" not in sys.argv:
            with started("app", "--no-browser") as address:
                walk(pages[0], address, pages[1])
        browser.close()


if __name__ == "__main__":
    main()
