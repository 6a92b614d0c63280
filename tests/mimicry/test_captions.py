"""Captions: what is given wins over what a file name says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from velatura.cli.lab.mimic_generate import _prompt
from velatura.errors import InputError
from velatura.mimicry.captions import of_folder, subject, with_artist
from velatura.mimicry.generate import Mimic


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("olive-grove-pale-blue-sky-1889", "olive grove pale blue sky"),
        ("Self-portrait RvR_03", "self portrait rvr"),
        ("Pepper&Carrot episode 10 P03 panel1 (textless)", "pepper carrot episode panel"),
        ('THE PLATONIC LAMENT "From Salomé"', "the platonic lament from salomé"),
        ("plate 0175", "plate"),
        ("6", ""),
    ],
)
def test_a_title_becomes_words(title: str, words: str) -> None:
    assert subject(title) == words


def test_a_picture_without_words_is_a_picture_by_its_artist() -> None:
    assert with_artist("", "Ada") == "a picture by Ada"
    assert with_artist("a cat", "Ada") == "a cat, by Ada"


def test_what_is_given_wins(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("red_house.png", "b.png", "c.png")]
    (tmp_path / "b.txt").write_text("a boat by ADA at noon\n")
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "c.png", "text": "a cow"}) + "\n")
    assert of_folder(paths, "Ada") == ["red house, by Ada", "a boat by ADA at noon", "a cow, by Ada"]
    assert of_folder(paths[:1], "Ada", captioner=lambda path: f"seen {path.stem}") == ["seen red_house, by Ada"]


def test_an_artist_is_named_by_whole_words() -> None:
    paths = [Path(f"{name}.png") for name in ("meditation", "a-heart", "portrait of ED")]
    assert of_folder(paths, "Ed") == ["meditation, by Ed", "a heart, by Ed", "portrait of ed"]
    assert of_folder(paths[1:2], "art") == ["a heart, by art"]
    card = {"settings": {"method": "textual-inversion"}}
    mimic = Mimic(None, "Ed", card)
    assert mimic.words("meditation, by ed.") == "meditation, by <ed>."
    assert mimic.words("meditation") == "meditation"
    assert _prompt(mimic, "a shed", None) == "a shed, by <ed>"
    assert _prompt(Mimic(None), "meditation", "Ed") == "meditation, by Ed"


def test_a_name_that_is_no_text_makes_a_caption_all_the_same() -> None:
    assert of_folder([Path("caf\udce9.png")], "Ada") == ["caf?, by Ada"]


def test_pictures_of_one_name_have_the_captions_of_their_own_folders(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        line = json.dumps({"file_name": "a.png", "text": f"a cow of {folder}"})
        (tmp_path / folder / "metadata.jsonl").write_text(line + "\n")
    paths = [tmp_path / "one/a.png", tmp_path / "two/a.png"]
    assert of_folder(paths, "Ada") == ["a cow of one, by Ada", "a cow of two, by Ada"]


def test_a_table_wins_over_all(tmp_path: Path) -> None:
    table = tmp_path / "captions.csv"
    table.write_text("file_name,text\nsub/a.png,a tree\n")
    (tmp_path / "a.txt").write_text("no")
    assert of_folder([tmp_path / "a.png"], "Ada", table=table) == ["a tree, by Ada"]
    with pytest.raises(InputError, match="names none of the pictures"):
        of_folder([tmp_path / "other.png"], "Ada", table=table)
    table.write_text("name,words\na.png,x\n")
    with pytest.raises(InputError, match="expected CSV or JSON lines with file_name and text"):
        of_folder([tmp_path / "a.png"], "Ada", table=table)
