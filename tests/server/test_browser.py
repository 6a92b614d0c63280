"""The application in a browser, on a desk and on a phone: drop, preview, progress, kill -9, compare, download.

Run with ``pytest -m browser``; needs Debian's Chromium.
"""

from __future__ import annotations

import base64
import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser_kit as kit
import pytest
from browser_kit import SIZES, Launched, accessible, art, browsing, fits, until
from PIL import Image

pytestmark = kit.NEEDED
NAMES = ["Girl at the window.png", "harbour.jpg", "Étude №3.webp"]
PASSWORD = "correct horse battery"
DROP = """([files]) => {
  const data = new DataTransfer();
  for (const [name, type, text] of files) {
    data.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name, {type}));
  }
  document.querySelector('#drop').dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true}));
}"""


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


def visitor(browser: Any, size: str, complaints: list[str]) -> Any:
    """A page of someone who has not been here yet; what the browser complains about is noted."""
    page = browser.new_context(viewport=SIZES[size], accept_downloads=True, has_touch=size == "phone").new_page()
    page.set_default_timeout(kit.PATIENCE)
    page.on("console", lambda m: complaints.append(m.text) if "Content Security Policy" in m.text else None)
    page.on("pageerror", lambda e: complaints.append(str(e)))
    page.on("dialog", lambda dialog: dialog.accept())
    return page


def looks_well(page: Any) -> None:
    fits(page)
    accessible(page)


@pytest.mark.parametrize("size", SIZES)
def test_three_pictures_from_drop_to_download_through_a_kill(launched: Launched, size: str) -> None:
    address = launched.start()
    complaints: list[str] = []
    with browsing() as browser:
        page = visitor(browser, size, complaints)
        page.goto(address)
        assert "token" not in page.url
        hand_in(page, by_drop=size == "desk")
        preview(page)
        choose_a_style(page)
        looks_well(page)
        job = order_kill_and_finish(page, launched)
        download_all(page)
        compare(page)
        for other in ("/about", "/artists", "/queue"):
            page.goto(job.rsplit("/jobs", 1)[0] + other)
            looks_well(page)
        page.get_by_role("button", name="Delete").click()
        page.get_by_text("Nothing here yet").wait_for()
    assert complaints == []
    assert not list(launched.data.glob("uploads/*"))
    assert not list(launched.data.glob("jobs/*/0"))


def hand_in(page: Any, *, by_drop: bool) -> None:
    pictures = {name: art(name, 40 * i) for i, name in enumerate(NAMES)}
    if by_drop:
        rows = [[n, f"image/{Path(n).suffix[1:]}", base64.b64encode(d).decode()] for n, d in pictures.items()]
        rows.append(["notes.png", "image/png", base64.b64encode(b"not a picture").decode()])
        page.evaluate(DROP, [rows])
        page.get_by_text("notes.png: is not a picture").wait_for()
    else:
        files = [{"name": n, "mimeType": "image/png", "buffer": d} for n, d in pictures.items()]
        page.locator("#files").set_input_files(files)
    page.get_by_role("button", name="Protect 3 pictures").wait_for()
    page.get_by_role("link", name="What it does").first.click()
    page.wait_for_url("**/about")
    page.go_back()  # nothing is lost by a look at another page
    page.get_by_role("button", name="Protect 3 pictures").wait_for()
    assert page.locator("#pictures li").count() == 3


def preview(page: Any) -> None:
    frame = page.get_by_role("button", name="Part to preview")
    page.locator(".stage").scroll_into_view_if_needed()
    frame.focus()
    before, stage = frame.bounding_box(), page.locator("#stage-picture").bounding_box()
    frame.press("ArrowRight")
    assert frame.bounding_box()["x"] > before["x"]
    page.mouse.move(before["x"] + before["width"] / 2, before["y"] + before["height"] / 2)
    page.mouse.down()
    page.mouse.move(stage["x"] + 2, stage["y"] + 2)
    page.mouse.up()
    assert frame.bounding_box()["x"] < before["x"]
    page.get_by_role("button", name="Preview this part").click()
    page.get_by_text("Approximate.").wait_for()
    until(page, "document.querySelector('#preview-after').naturalWidth === 256")


def choose_a_style(page: Any) -> None:
    page.get_by_text("Target style:").click()
    page.get_by_placeholder("Filter by name").fill("carav")
    page.locator("#styles label", has_text="Caravaggio").first.click()
    assert page.locator("#style-chosen").inner_text() == "Caravaggio"
    page.get_by_label("leave out where it was made").check()


def order_kill_and_finish(page: Any, launched: Launched) -> str:
    """SIGKILL with one picture done, one half-way and one not begun; the address of the job, which is done."""
    gate = launched.data / "wait-in-the-second"
    gate.touch()
    page.get_by_role("button", name="Protect 3 pictures").click()
    page.wait_for_url("**/jobs/*")
    job: str = page.url
    until(page, "document.querySelectorAll('.word').length === 1")
    page.get_by_text("step 10 of 20").wait_for()
    assert page.get_by_text(re.compile("(minute|min|hours) left")).count() == 1
    looks_well(page)
    launched.kill()
    (first,) = launched.data.glob("jobs/*/0/protected.png")
    assert not list(launched.data.glob("jobs/*/1/protected.jpg")), "half-way"
    made = first.stat().st_mtime_ns
    gate.unlink()
    page.goto(launched.start())
    page.goto(job)  # and from here on nothing is loaded again: what changes comes by itself
    until(page, "document.querySelectorAll('.word').length === 3")
    page.get_by_role("link", name="Download all as a zip").wait_for()
    until(page, "document.querySelector('[data-status]').innerText === '3 of 3 pictures done'")
    assert first.stat().st_mtime_ns == made, "what was done is not made again"
    fits(page)
    return job


def download_all(page: Any) -> None:
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all as a zip").click()
    with zipfile.ZipFile(download.value.path()) as inside:
        assert inside.namelist() == NAMES
        assert inside.testzip() is None


def compare(page: Any) -> None:
    page.get_by_role("link", name=NAMES[1], exact=True).click()
    page.get_by_role("heading", name="Verdict").wait_for()
    slider = page.locator("img-comparison-slider").first
    until(page, "document.querySelector('img-comparison-slider').classList.contains('rendered')")
    exposed = "document.querySelector('img-comparison-slider').value"
    at = page.evaluate(exposed)
    slider.focus()
    page.keyboard.down("ArrowRight")
    until(page, f"{exposed} > {at} + 1")
    page.keyboard.up("ArrowRight")
    page.get_by_role("tab", name="Before and after").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", name="100 % lens").get_attribute("aria-selected") == "true"
    page.locator("[data-lens]").hover()
    page.locator(".lens").wait_for()
    assert "/original" in page.locator(".half").first.evaluate("half => half.style.backgroundImage")
    looks_well(page)
    for tab, picture in (("Difference", "difference"), ("What a model sees", "seen-after"), ("Target", "target")):
        page.get_by_role("tab", name=tab).click()
        until(page, f"document.querySelector('figure:not([hidden]) img[src$=\"/{picture}\"]').naturalWidth > 0")
        looks_well(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download", exact=True).click()
    assert download.value.suggested_filename == NAMES[1]
    assert Image.open(download.value.path()).format == "JPEG"


def test_cancel_go_on_and_try_again(launched: Launched) -> None:
    complaints: list[str] = []
    address = launched.start()
    gate = launched.data / "wait-in-the-second"
    gate.touch()
    with browsing() as browser:
        page = visitor(browser, "desk", complaints)
        scripts: list[Any] = []
        page.route("**/app.js", lambda route: scripts.append(route))
        page.goto(address, wait_until="commit")
        names = ["a.png", "b.png", "bad.png"]
        files = [{"name": n, "mimeType": "image/png", "buffer": art(n, 40 * i)} for i, n in enumerate(names)]
        page.locator("#files").set_input_files(files)
        while not scripts:
            page.wait_for_timeout(50)
        scripts[0].continue_()  # it comes late, and finds what was chosen meanwhile
        page.unroute("**/app.js")
        page.get_by_role("button", name="Protect 3 pictures").click()
        page.wait_for_url("**/jobs/*")
        until(page, "document.querySelectorAll('.word').length === 1")
        page.get_by_text("step 10 of 20").wait_for()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Go on").wait_for()
        page.get_by_text("Cancelled").wait_for()
        looks_well(page)
        gate.unlink()
        page.get_by_role("button", name="Go on").click()
        page.get_by_text("bad.png: cannot be decoded; copy it again").wait_for()
        until(page, "document.querySelectorAll('.word').length === 2")
        page.get_by_text("2 of 3 done, 1 failed").wait_for()
        looks_well(page)
        (launched.data / "mended").touch()
        page.get_by_role("button", name="Try again").click()
        until(page, "document.querySelectorAll('.word').length === 3")
        page.get_by_text("3 of 3 done").wait_for()
    assert complaints == []


def test_what_goes_wrong_is_said_and_nothing_is_lost(launched: Launched) -> None:
    complaints: list[str] = []
    address = launched.start()
    with browsing() as browser:
        page = visitor(browser, "desk", complaints)
        notices = page.locator("[data-notices]")
        page.route("**/api/events", lambda route: route.fulfill(status=502))
        page.goto(address)
        notices.get_by_text("No news from Velatura").wait_for()
        looks_well(page)
        page.unroute("**/api/events")
        until(page, "document.querySelector('[data-notices]').innerText === ''")

        names = ["a.png", "b.png"]
        files = [{"name": n, "mimeType": "image/png", "buffer": art(n, 90)} for n in names]
        page.locator("#files").set_input_files(files)
        page.get_by_role("button", name="Protect 2 pictures").wait_for()
        page.route("**/thumbnail", lambda route: route.fulfill(status=429))
        page.reload()
        page.get_by_role("button", name="Protect 2 pictures").wait_for()
        page.unroute("**/thumbnail")
        page.reload()
        page.get_by_role("button", name="Preview this part").click()
        page.get_by_text("Approximate.").wait_for()
        page.get_by_text("Faint").click()
        assert page.get_by_text("Approximate.").is_hidden()

        def lose(route: Any) -> None:
            route.fetch()
            route.abort()

        (launched.data / "wait-in-the-second").touch()
        page.route("**/api/jobs", lose)
        page.get_by_role("button", name="Protect 2 pictures").click()
        page.get_by_text("No answer from Velatura").wait_for()
        page.unroute("**/api/jobs")
        page.get_by_role("button", name="Protect 2 pictures").click()
        page.wait_for_url("**/jobs/*")
        page.goto(address.partition("?")[0] + "queue")
        assert page.locator(".jobs > li").count() == 1, "a lost answer makes no second job"

        page.route("**/cancel", lambda route: route.fulfill(status=409, json={"detail": "job: it is over already"}))
        page.get_by_role("button", name="Cancel").click()
        notices.get_by_text("it is over already").wait_for()
        page.unroute("**/cancel")
        page.route("**/queue/list", lambda route: route.fulfill(status=500, body="<p>Oh no</p>"))
        show_or_hide(page, hidden=True)
        page.get_by_role("button", name="Cancel").click()
        page.wait_for_timeout(1500)
        assert page.get_by_text("Cancelled").count() == 0, "a hidden page listens to nothing"
        show_or_hide(page, hidden=False)
        notices.get_by_text("The server answered 500").wait_for()
        assert page.locator(".jobs > li").count() == 1
        page.unroute("**/queue/list")
        page.reload()
        page.get_by_text("Cancelled").wait_for()
    assert complaints == []


def show_or_hide(page: Any, *, hidden: bool) -> None:
    """As another tab in front does."""
    page.evaluate(
        """(hidden) => {
          Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
          document.dispatchEvent(new Event('visibilitychange'));
        }""",
        hidden,
    )


@pytest.mark.parametrize("size", SIZES)
def test_a_shared_server_from_an_invitation_to_leaving(served: Launched, size: str) -> None:
    link = served.start()
    origin = f"http://127.0.0.1:{served.port}"
    complaints: list[str] = []
    with browsing() as browser:
        ada, anna = (visitor(browser, size, complaints) for _ in range(2))
        join(ada, link, "Ada")
        ada.get_by_role("link", name="Admin").click()
        ada.wait_for_url("**/admin")  # with its scripts
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
        looks_well(ada)

        anna.goto(f"{origin}/account")
        anna.get_by_label("What is it for?").fill("uploads")
        anna.get_by_role("button", name="Make a key").click()
        anna.get_by_text("vk_").wait_for()
        anna.reload()
        anna.get_by_role("button", name="Delete the key uploads").click()
        anna.get_by_role("button", name="Delete the key uploads").wait_for(state="detached")
        anna.wait_for_load_state()
        looks_well(anna)
        anna.get_by_role("button", name="Delete all my pictures now").click()
        anna.get_by_text("0, 0.0 of").wait_for()
        anna.get_by_role("button", name="Log out").click()
        anna.get_by_role("heading", name="Log in").wait_for()
        looks_well(anna)
        anna.get_by_label("Name").fill("Anna")
        anna.get_by_label("Password").fill(PASSWORD)
        anna.get_by_role("button", name="Log in").click()
        anna.get_by_role("link", name="Queue").click()
        anna.get_by_text("Nothing here yet").wait_for()
        assert anna.goto(invitation).status == 403
        looks_well(anna)
        anna.goto(f"{origin}/account")
        anna.get_by_role("button", name="Delete my account").click()
        anna.get_by_role("heading", name="Log in").wait_for()
        ada.goto(f"{origin}/admin")
        assert ada.get_by_role("row", name="Anna").count() == 0
    assert complaints == []


def join(page: Any, link: str, name: str) -> None:
    page.goto(link)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    looks_well(page)
    page.get_by_role("button", name="Join").click()
    page.get_by_role(
        "heading", name="A thin glaze"
    ).wait_for()  # no longer: files can be chosen before the script is here


@pytest.mark.parametrize("size", SIZES)
def test_a_rater_from_the_link_to_the_thanks(launched: Launched, tmp_path: Path, size: str) -> None:
    """SYNTHETIC answers: sent by a script, no person's, and marked so."""
    for arm in ("original", "clean", "cloaked"):
        (tmp_path / "art" / arm).mkdir(parents=True)
        for i in range(2):
            (tmp_path / "art" / arm / f"{i}.png").write_bytes(art("a.png", 50 * i))
    address = f"http://127.0.0.1:{launched.port}"
    command = [
        *kit.VELATURA,
        "lab",
        "study",
        "new",
        tmp_path / "art",
        "--synthetic",
        "--together",
        "2",
        "--raters",
        "1",
    ]
    launched.data.mkdir()
    made = subprocess.run(
        [*command, "--address", address], env=launched.environment, capture_output=True, text=True, check=True
    )
    launched.start()
    complaints: list[str] = []
    with browsing() as browser:
        page = visitor(browser, size, complaints)
        page.goto(made.stdout.strip())
        looks_well(page)
        page.get_by_label("I make art", exact=True).check()
        page.get_by_label("I take part").check()
        page.get_by_role("button", name="Begin").click()
        for number in (1, 2, 3):  # two arms and the check
            page.get_by_text(f"Question {number} of 3").wait_for()
            until(page, "[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
            looks_well(page)
            page.get_by_label("not very successful").check()
            page.get_by_role("button", name="Next").click()
        page.get_by_role("heading", name="Thank you").wait_for()
        looks_well(page)
    assert complaints == []
