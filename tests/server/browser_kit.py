"""What the browser tests share: the application as a user starts it, Debian's Chromium, and axe-core."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("dbos", reason="needs the extra web")
pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python, of the extra test")
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra test")

Axe = importlib.import_module("axe_playwright_python.sync_playwright").Axe
CHROMIUM = shutil.which("chromium")
NEEDED = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's Chromium: apt-get install chromium"),
]
PATIENCE = 300_000  # ms; a busy machine is no failure
SIZES = {"desk": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
VELATURA = [sys.executable, "-c", "from velatura.cli import main; main()"]


class Launched:
    """The application as a user starts it, with a stand-in at the work, on one port through all of its restarts."""

    def __init__(self, folder: Path, *command: str) -> None:
        self.data = folder / "data"
        own = {"VELATURA_DATA": str(self.data), "VELATURA_CONFIG": str(folder / "config"), "PYTHONUNBUFFERED": "1"}
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("VELATURA_")} | own
        self.command = command
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"sqlite:///{self.data / 'jobs.sqlite'}"
        self.processes: list[subprocess.Popen[str]] = []

    def start(self) -> str:
        """Start both; the address to open."""
        self.data.mkdir(exist_ok=True)
        worker = [sys.executable, str(Path(__file__).with_name("painted_worker.py")), self.url]
        self.processes.append(subprocess.Popen(worker, env=self.environment, text=True))
        end = time.monotonic() + PATIENCE / 1000
        while not list(self.data.glob("worker-*.lock")):  # before the application sees to a real one
            assert time.monotonic() < end
            time.sleep(0.05)
        app = [*VELATURA, *self.command, "--port", str(self.port)]
        server = subprocess.Popen(app, env=self.environment, text=True, stderr=subprocess.PIPE)
        self.processes.append(server)
        assert server.stderr is not None
        for line in server.stderr:
            if "http://" in line:
                return line[line.index("http://") :].strip()
        raise AssertionError("the application printed no address")

    def kill(self) -> None:
        """As a power cut would: SIGKILL, to both."""
        for process in self.processes:
            process.send_signal(signal.SIGKILL)
            process.wait()
        self.processes.clear()


@contextlib.contextmanager
def browsing() -> Iterator[Any]:
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def until(page: Any, script: str) -> None:
    """``wait_for_function`` would evaluate text inside the page, which its policy forbids."""
    end = time.monotonic() + PATIENCE / 1000
    while not page.evaluate(script):
        assert time.monotonic() < end, script
        page.wait_for_timeout(50)


def fits(page: Any) -> None:
    """Nothing has to be scrolled sideways, once the page stands with its style sheets."""
    page.wait_for_load_state()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url


def accessible(page: Any) -> None:
    """No violation that axe-core calls serious, as the page stands."""
    found = Axe().run(page).response["violations"]
    grave = [(v["id"], [n["html"][:200] for n in v["nodes"]]) for v in found if v["impact"] in ("serious", "critical")]
    assert grave == [], (page.url, grave)


def art(name: str, hue: int) -> bytes:
    out = io.BytesIO()
    bands = [Image.new("L", (480, 360), hue), Image.radial_gradient("L").resize((480, 360))]
    picture = Image.merge("HSV", [*bands, Image.linear_gradient("L").resize((480, 360))])
    picture.convert("RGB").save(out, Image.registered_extensions()[Path(name).suffix])
    return out.getvalue()
