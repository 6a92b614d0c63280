"""The application in a browser, on a desk and on a phone: drop, preview, progress, kill -9, compare, download.

Run with ``pytest -m browser``; needs Debian's Chromium.
"""

from __future__ import annotations

import base64
import importlib
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("dbos", reason="needs the extra web")
pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python, of the extra test")
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra test")

Axe = importlib.import_module("axe_playwright_python.sync_playwright").Axe
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's Chromium: apt-get install chromium"),
]
PATIENCE = 180_000  # ms; a busy machine is no failure
SIZES = {"desk": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
NAMES = ["Girl at the window.png", "harbour.jpg", "Étude №3.webp"]


class Launched:
    """The application as a user starts it, with a stand-in at the work, on one port through all of its restarts."""

    def __init__(self, folder: Path, *command: str) -> None:
        self.environment = os.environ | {"VELATURA_DATA": str(folder / "data"), "PYTHONUNBUFFERED": "1"}
        self.command = command
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"sqlite:///{folder / 'data' / 'jobs.sqlite'}"
        self.processes: list[subprocess.Popen[str]] = []

    def start(self) -> str:
        """Start both; the address to open."""
        (Path(self.environment["VELATURA_DATA"])).mkdir(exist_ok=True)
        worker = [sys.executable, str(Path(__file__).with_name("painted_worker.py")), self.url]
        self.processes.append(subprocess.Popen(worker, env=self.environment, text=True))
        lock = Path(self.environment["VELATURA_DATA"])
        end = time.monotonic() + PATIENCE / 1000
        while not list(lock.glob("worker-*.lock")):  # before the application sees to a real one
            assert time.monotonic() < end
            time.sleep(0.05)
        code = "from velatura.cli import main; main()"
        app = [sys.executable, "-c", code, *self.command, "--port", str(self.port)]
        server = subprocess.Popen(app, env=self.environment, text=True, stderr=subprocess.PIPE)
        self.processes.append(server)
        assert server.stderr is not None
        for line in server.stderr:
            if "http://" in line:
                return line[line.index("http://") :].strip()
        raise AssertionError("the application printed no address")

    def kill(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGKILL)
            process.wait()
        self.processes.clear()


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[Launched]:
    launched = Launched(tmp_path, "app", "--no-browser")
    yield launched
    launched.kill()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Launched]:
    served = Launched(tmp_path, "serve")
    yield served
    served.kill()


def accessible(page: playwright.Page) -> None:
    """No violation that axe-core calls serious, as the page stands."""
    found = Axe().run(page).response["violations"]
    grave = [(v["id"], [n["html"][:200] for n in v["nodes"]]) for v in found if v["impact"] in ("serious", "critical")]
    assert grave == [], page.url


def art(name: str, hue: int) -> bytes:
    out = io.BytesIO()
    picture = Image.merge("HSV", [Image.new("L", (480, 360), hue), Image.radial_gradient("L").resize((480, 360))] * 1
                          + [Image.linear_gradient("L").resize((480, 360))])  # fmt: skip
    picture.convert("RGB").save(out, Image.registered_extensions()[Path(name).suffix])
    return out.getvalue()


DROP = """([files]) => {
  const data = new DataTransfer();
  for (const [name, type, text] of files) {
    data.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name, {type}));
  }
  document.querySelector('#drop').dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true}));
}"""


@pytest.mark.parametrize("size", SIZES)
def test_three_pictures_from_drop_to_download_through_a_kill(launched: Launched, tmp_path: Path, size: str) -> None:
    pictures = {name: art(name, 40 * i) for i, name in enumerate(NAMES)}
    address = launched.start()
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(viewport=SIZES[size], accept_downloads=True, has_touch=size == "phone").new_page()
        page.set_default_timeout(PATIENCE)
        complaints: list[str] = []
        page.on("console", lambda m: complaints.append(m.text) if "Content Security Policy" in m.text else None)
        page.on("pageerror", lambda e: complaints.append(str(e)))

        def until(script: str) -> None:
            """``wait_for_function`` would evaluate text inside the page, which its policy forbids."""
            end = time.monotonic() + PATIENCE / 1000
            while not page.evaluate(script):
                assert time.monotonic() < end, script
                page.wait_for_timeout(50)

        def fits() -> None:
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url

        page.goto(address)
        assert "token" not in page.url
        if size == "desk":
            rows = [[n, f"image/{Path(n).suffix[1:]}", base64.b64encode(d).decode()] for n, d in pictures.items()]
            rows.append(["notes.png", "image/png", base64.b64encode(b"not a picture").decode()])
            page.evaluate(DROP, [rows])
            page.get_by_text("notes.png: is not a picture").wait_for()
        else:
            files = [{"name": n, "mimeType": "image/png", "buffer": d} for n, d in pictures.items()]
            page.locator("#files").set_input_files(files)
        page.get_by_role("button", name="Protect 3 pictures").wait_for()
        assert page.locator("#pictures li").count() == 3
        fits()

        frame = page.get_by_role("button", name="Part to preview")
        before = frame.bounding_box()
        frame.press("ArrowRight")
        assert frame.bounding_box()["x"] > before["x"]
        page.get_by_role("button", name="Preview this part").click()
        page.get_by_text("Approximate.").wait_for()
        until("document.querySelector('#preview-after').naturalWidth === 256")

        page.get_by_text("Target style:").click()
        page.get_by_placeholder("Filter by name").fill("carav")
        page.locator("#styles label", has_text="Caravaggio").first.click()
        assert page.locator("#style-chosen").inner_text() == "Caravaggio"
        fits()
        accessible(page)

        page.get_by_role("button", name="Protect 3 pictures").click()
        page.wait_for_url("**/jobs/*")
        job = page.url
        page.get_by_text("step ").first.wait_for()
        fits()
        accessible(page)
        launched.kill()
        page.goto(launched.start())
        page.goto(job)  # and from here on nothing is loaded again: what changes comes by itself
        until("document.querySelectorAll('.word').length === 3")
        page.get_by_role("link", name="Download all as a zip").wait_for()
        assert page.locator("[data-status]").inner_text() == "3 of 3 pictures done"
        fits()

        with page.expect_download() as download:
            page.get_by_role("link", name="Download all as a zip").click()
        with zipfile.ZipFile(download.value.path()) as inside:
            assert inside.namelist() == NAMES
        page.get_by_role("link", name=NAMES[1], exact=True).click()
        page.get_by_role("heading", name="Verdict").wait_for()
        slider = page.locator("img-comparison-slider").first
        until("document.querySelector('img-comparison-slider').classList.contains('rendered')")
        exposed = "document.querySelector('img-comparison-slider').value"
        at = page.evaluate(exposed)
        slider.focus()
        page.keyboard.down("ArrowRight")
        until(f"{exposed} > {at} + 1")
        page.keyboard.up("ArrowRight")
        page.get_by_role("tab", name="Before and after").focus()
        page.keyboard.press("ArrowRight")
        assert page.get_by_role("tab", name="100 % lens").get_attribute("aria-selected") == "true"
        page.locator("[data-lens]").hover()
        page.locator(".lens").wait_for()
        assert "/original" in page.locator(".half").first.evaluate("half => half.style.backgroundImage")
        fits()
        accessible(page)
        with page.expect_download() as download:
            page.get_by_role("link", name="Download", exact=True).click()
        assert download.value.suggested_filename == NAMES[1]
        assert Image.open(download.value.path()).format == "JPEG"

        for other in ("/about", "/artists", "/queue"):
            page.goto(job.rsplit("/jobs", 1)[0] + other)
            fits()
            accessible(page)
        page.on("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Delete").click()
        page.get_by_text("Nothing here yet").wait_for()
        assert complaints == []
        browser.close()


@pytest.mark.parametrize("size", SIZES)
def test_a_shared_server_from_an_invitation_to_leaving(served: Launched, size: str) -> None:
    link = served.start()
    origin = f"http://127.0.0.1:{served.port}"
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

        def visitor() -> playwright.Page:
            page = browser.new_context(viewport=SIZES[size]).new_page()
            page.set_default_timeout(PATIENCE)
            page.on("dialog", lambda dialog: dialog.accept())
            return page

        def join(page: playwright.Page, link: str, name: str) -> None:
            page.goto(link)
            page.get_by_label("Name").fill(name)
            page.get_by_label("Password").fill("correct horse battery")
            look(page)
            page.get_by_role("button", name="Join").click()
            page.get_by_role("heading", name="A thin glaze").wait_for()

        def look(page: playwright.Page) -> None:
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url
            accessible(page)

        ada, anna = visitor(), visitor()
        join(ada, link, "Ada")
        ada.get_by_role("link", name="Admin").click()
        ada.get_by_role("button", name="Invite someone").click()
        invitation = ada.locator("#main code").inner_text()
        join(anna, invitation, "Anna")
        files = [{"name": "a.png", "mimeType": "image/png", "buffer": art("a.png", 90)}]
        anna.locator("#files").set_input_files(files)
        anna.get_by_role("button", name="Protect 1 picture").click()
        anna.wait_for_url("**/jobs/*")
        job = anna.url
        anna.locator(".word").wait_for()
        assert ada.goto(job).status == 404
        ada.goto(f"{origin}/admin")
        ada.get_by_role("row", name="Anna").wait_for()
        look(ada)

        anna.goto(f"{origin}/account")
        anna.get_by_label("What is it for?").fill("uploads")
        anna.get_by_role("button", name="Make a key").click()
        anna.get_by_text("vk_").wait_for()
        anna.reload()
        anna.get_by_role("button", name="Delete the key uploads").click()
        anna.get_by_role("button", name="Delete the key uploads").wait_for(state="detached")
        look(anna)
        anna.get_by_role("button", name="Delete all my pictures now").click()
        anna.get_by_text("0, 0.0 of").wait_for()
        anna.get_by_role("button", name="Log out").click()
        anna.get_by_role("heading", name="Log in").wait_for()
        look(anna)
        anna.get_by_label("Name").fill("Anna")
        anna.get_by_label("Password").fill("correct horse battery")
        anna.get_by_role("button", name="Log in").click()
        anna.get_by_role("link", name="Queue").click()
        anna.get_by_text("Nothing here yet").wait_for()
        assert anna.goto(invitation).status == 403
        browser.close()
