"""The artists' study from folders to figures. All answers here are SYNTHETIC: sent by a script, no person's."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from velatura.cli.lab.study import study_group
from velatura.jobs.files import files
from velatura.study.answers import Studies, Study

HOST = "127.0.0.1:8377"  # conftest's
TEXT = {"Accept": "text/html"}


def run(*words: object) -> str:
    done = CliRunner().invoke(study_group, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def paint(folder: Path, count: int, side: int) -> None:
    folder.mkdir(parents=True)
    exif, info = Image.Exif(), PngInfo()
    exif[0x013B] = f"{folder.parent.name}, {folder.name}"  # the tag for who made it
    info.add_text("parameters", folder.name)
    info.add_itxt("XML:com.adobe.xmp", f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{folder.name}</x:xmpmeta>')
    for i in range(count):
        picture = Image.new("RGB", (side, side + 8), (20 * i, 90, 200 - 10 * i))
        picture.save(folder / f"{folder.parent.name}-{folder.name}-{i}.png", exif=exif, pnginfo=info)


@pytest.fixture
def art(tmp_path: Path) -> list[Path]:
    """Two artists, three arms of two questions each."""
    for artist in ("hilma", "grace"):
        paint(tmp_path / artist / "original", 9, 96)
        for arm in ("clean", "noise", "cloaked"):
            paint(tmp_path / artist / arm, 9, 64)
    return [tmp_path / "hilma", tmp_path / "grace"]


def new(art: list[Path], *options: object) -> list[str]:
    links = run("new", *art, "--synthetic", "--address", f"http://{HOST}", *options).split()
    return [link.removeprefix(f"http://{HOST}") for link in links]


def study_of(site: Any, link: str) -> tuple[Studies, Study, int]:
    studies = Studies(site.queue.engine, files())
    found = studies.rater_of(link.removeprefix("/study/"))
    assert found is not None
    return studies, *found


def answer(site: Any, link: str, level: Any) -> int:
    """One rater, from the welcome to the thanks; ``level`` of a question. Returns how many questions there were."""
    client, count = site.client, 0
    assert "Begin" in client.get(link).text
    agreed = {"background": "artist", "agreed": "true"}
    begun = client.post(f"{link}/begin", data=agreed)
    assert begun.status_code == 303, begun.text
    _, study, _ = study_of(site, link)
    while "Thank you" not in (page := client.get(link).text):
        (id,) = re.findall(r'name="question" value="(\w+)"', page)
        question = next(q for q in study.questions if q.id == id)
        assert client.post(f"{link}/rate", data={"question": id, "level": level(question)}).status_code == 303
        count += 1
        assert count < 50
    return count


def attentive(question: Any) -> int:
    if question.expected:
        return int(question.expected[0])
    return {"clean": 5, "noise": 4, "cloaked": 1}[question.arm]


def test_from_folders_to_figures(site: Any, art: list[Path], tmp_path: Path) -> None:
    site.client.headers.pop("Authorization")  # raters have no token
    links = new(art, "--raters", 3)
    assert len(links) == 3
    counts = [answer(site, link, attentive) for link in links]
    assert counts == [15, 15, 15]  # 2 artists x 3 arms x 2 sets, and 3 checks
    studies, study, _ = study_of(site, links[0])
    with studies.engine.begin() as connection:  # a script is quicker than any person
        connection.exec_driver_sql("UPDATE velatura_ratings SET seconds = 20")
    said = run("results", study.id, "-o", tmp_path / "r.json", "--csv", tmp_path / "r.csv")
    assert "SYNTHETIC" in said
    tree = json.loads((tmp_path / "r.json").read_text())
    assert tree["flags"][0].startswith("SYNTHETIC")
    psr = {row["arm"]: row["value"] for row in tree["rows"] if row["metric"] == "psr" and row["artist"] is None}
    assert psr == {"clean": 0.0, "noise": 0.0, "cloaked": 1.0}
    assert {row["artist"] for row in tree["rows"]} == {None, "hilma", "grace"}
    assert tree["settings"]["krippendorff_alpha"] == pytest.approx(1.0)
    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert len(rows) == 45
    assert {row["synthetic"] for row in rows} == {"True"}
    assert Counter(row["kind"] for row in rows) == {"mimicry": 36, "instructed": 3, "genuine": 3, "foreign": 3}
    assert f"{study.id}  45 answers, 3 of 3 raters" in run("list")
    assert run("links", study.id, "--more", 1).count("15 of 15") == 3
    run("delete", study.id, "--yes")
    assert not studies.folder(study).exists()
    assert site.client.get(links[0]).status_code == 404


def test_pages_and_pictures_do_not_tell_the_arm(site: Any, art: list[Path]) -> None:
    link = new(art, "--raters", 1)[0]
    site.client.post(f"{link}/begin", data={"background": "other", "agreed": "true"})
    page = site.client.get(link)
    for word in ("clean", "noise", "cloaked", "genuine", "foreign", "mimicry", "original", "hilma", "grace"):
        assert word not in page.text, word
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "same-origin"  # else browsers send forms without their origin
    assert "script" not in page.text
    sources = re.findall(r'src="(/study/[^"]+)"', page.text)
    assert len(sources) == 8
    sizes = set()
    for source in sources:
        found = site.client.get(source)
        assert found.headers["content-type"] == "image/webp"
        path = site.data / "look.webp"
        path.write_bytes(found.content)
        picture = Image.open(path)
        assert not {"exif", "xmp", "parameters"} & picture.info.keys()
        assert not any(word.encode() in found.content for word in ("clean", "noise", "cloaked", "original", "hilma"))
        sizes.add(picture.size)
    assert sizes == {(64, 72)} or max(max(size) for size in sizes) <= 73  # real works as coarse as mimicked ones


def test_a_link_is_all_it_takes_and_no_other_can_be_made(site: Any, art: list[Path]) -> None:
    site.client.headers.pop("Authorization")
    first, second = new(art, "--raters", 2, "--questions", 2)
    assert site.client.get("/queue", headers=TEXT).status_code == 401  # it lets into nothing else
    body, _, signature = first.rpartition(".")
    other = ("A" if signature[0] != "A" else "B") + signature[1:]  # the last sign has bits that base64 does not heed
    forged = [f"{body[:-1]}2.{signature}", f"{body}.{other}", body]
    for link in (*forged, first.replace(first[7:19], "0" * 12), f"{first}/../../queue"):
        assert site.client.get(link).status_code in (401, 404), link
    _, study, _ = study_of(site, first)
    mine = {id for q in study.asked(1) for id in (*q.real, *q.shown)}
    theirs = {id for q in study.asked(2) for id in (*q.real, *q.shown)} - mine
    assert theirs
    assert site.client.get(f"{first}/{theirs.pop()}.webp").status_code == 404
    assert site.client.get(f"{second}/{mine.pop()}.webp").status_code in (200, 404)
    mail = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert site.client.get(first, headers=mail).status_code == 200  # followed from a mail
    assert site.client.post(f"{first}/begin", data={}, headers=mail).status_code == 403
    assert site.client.get(first, headers=mail | {"Sec-Fetch-Mode": "no-cors"}).status_code == 403
    foreign = {"Origin": "https://evil.example"}
    assert site.client.post(f"{first}/begin", data={}, headers=foreign).status_code == 403


def test_only_what_was_asked_counts_and_only_once(site: Any, art: list[Path]) -> None:
    link = new(art, "--raters", 1)[0]
    studies, study, _ = study_of(site, link)
    question, *_ = study.asked(1)
    rate = f"{link}/rate"
    site.client.post(rate, data={"question": question.id, "level": "5"})  # before agreeing
    assert list(studies.answers(study)) == []
    for wrong in ({}, {"background": "artist"}, {"background": "king", "agreed": "true"}):
        assert site.client.post(f"{link}/begin", data=wrong).status_code == 422
    site.client.post(f"{link}/begin", data={"background": "artist", "agreed": "true"})
    site.client.post(rate, data={"question": question.id, "level": "5"})  # before it was shown
    assert list(studies.answers(study)) == []
    site.client.get(link)
    for level in ("0", "6", "", "five"):
        assert site.client.post(rate, data={"question": question.id, "level": level}).status_code == 422
    for level in ("2", "5"):  # twice: the back button
        site.client.post(rate, data={"question": question.id, "level": level})
    site.client.post(rate, data={"question": "elsewhere", "level": "5"})
    assert site.client.post(rate, content="a=1&" * 2000).status_code == 413
    many = "&".join(f"a{i}=1" for i in range(50))
    assert site.client.post(rate, content=many).status_code == 422
    ((_, asked, given),) = studies.answers(study)
    assert (asked.id, given.level) == (question.id, 2)


def test_raters_take_turns_through_the_questions(site: Any, art: list[Path]) -> None:
    links = new(art, "--raters", 6, "--questions", 6)
    _, study, _ = study_of(site, links[0])
    answers = Counter(q.id for number in range(1, 7) for q in study.asked(number) if q.kind == "mimicry")
    assert set(answers.values()) == {3}  # 6 raters x 6 of 12 questions
    for number in range(1, 7):
        own = study.asked(number)
        assert own == study.asked(number)
        arms = Counter((q.artist, q.arm) for q in own if q.kind == "mimicry")
        assert set(arms.values()) == {1}  # every arm of every artist
        assert own[0].kind == "mimicry"
    assert len({tuple(q.id for q in study.asked(number)) for number in (1, 3, 5)}) == 3
    shown = [id for q in study.questions if q.kind == "mimicry" for id in q.shown]
    assert len(shown) == len(set(shown))


def test_folders_that_make_no_study_are_refused_in_words(site: Any, art: list[Path], tmp_path: Path) -> None:
    from velatura.errors import ImageError, InputError

    paint(tmp_path / "few" / "original", 2, 64)
    paint(tmp_path / "few" / "clean", 9, 64)
    for folders, says in (
        ([tmp_path], "a folder original"),
        ([tmp_path / "few"], "4 real works"),
        ([*art, art[0]], "once"),
    ):
        with pytest.raises(InputError, match=says):
            run("new", *folders)
    (art[0] / "clean" / sorted(p.name for p in (art[0] / "clean").iterdir())[0]).write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"clean-0\.png"):
        run("new", *art, "--sets", 2)
    assert not [path for path in (site.data / "studies").glob("*") if path.is_dir()], "nothing is left of it"
    with pytest.raises(InputError, match="there is none"):
        run("results", "0" * 12)
