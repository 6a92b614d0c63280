"""The style space, the catalogue, and the choice of T."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from velatura.diffusion import extractors
from velatura.errors import Cancelled, InputError, WeightsError
from velatura.images import save
from velatura.protection.panels import png
from velatura.styles import catalogue, choose, space
from velatura.styles.catalogue import Catalogue, Style


def style(name: str, place: float) -> Style:
    return Style(name, name.title(), "", "", "", 3, [0.0] * 100, [place] * 144, [1.0] * 144)


@pytest.fixture
def book() -> Catalogue:
    return Catalogue([style(f"style-{i:02}", float(i)) for i in range(20)], [1.0] * 144)


@pytest.fixture(scope="module")
def eye() -> extractors.Extractor:
    return extractors.load(space.MODEL)


@pytest.fixture
def folder(tmp_path: Path, make_scene) -> Path:
    """Two artists, one bright, one dark, three pictures each; and a manifest above them."""
    rows = []
    for artist, gain in (("bright-one", 1.0), ("dark-one", 0.3)):
        (tmp_path / "art" / artist).mkdir(parents=True)
        for i in range(3):
            path = tmp_path / "art" / artist / f"{i}.png"
            save(png(make_scene(96, 120, i) * gain), path)
            rows.append([path.relative_to(tmp_path).as_posix(), artist.title(), "t", "(artist 1800-1850)", "PD; scan"])
    with (tmp_path / "MANIFEST.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "artist", "title", "year_or_dates", "license"], *rows])
    return tmp_path / "art"


def test_numbers_are_moments_of_the_features(make_scene, eye) -> None:
    picture = make_scene(256, 320)
    numbers = space.style_numbers(picture, eye)
    assert numbers.shape == (1, len(space.NUMBERS)) == (1, 144)
    features = eye.encode(picture).flatten(2)[0]
    assert torch.allclose(numbers[0, :72], features.mean(1), atol=1e-4)
    assert torch.allclose(numbers[0, 72:], features.std(1), atol=1e-4)


def test_numbers_hardly_depend_on_size_and_flip(make_scene, eye, book) -> None:
    picture = make_scene(384, 480)
    here = space.style_numbers(picture, eye)[0].tolist()
    flipped = space.style_numbers(picture.flip(-1), eye)[0].tolist()
    other = space.style_numbers(0.3 * picture, eye)[0].tolist()
    assert book.distance(here, flipped) < 0.5 * book.distance(here, other)


def test_build_list_find(folder: Path, tmp_path: Path, eye) -> None:
    groups = catalogue.sources([folder])
    built = catalogue.build(groups, eye, tmp_path / "journal")
    built.save(tmp_path / "catalogue.json")
    book = catalogue.load(tmp_path / "catalogue.json")
    assert [(s.name, s.pictures) for s in book.styles] == [("bright-one", 3), ("dark-one", 3)]
    bright = book.find("bright")
    assert (bright.artist, bright.dates, bright.licence) == ("Bright-One", "1800-1850", "PD")
    assert (len(bright.vector), len(bright.centroid), len(bright.spread)) == (100, 144, 144)
    assert book.distance(bright.centroid, book.find("dark-one").centroid) > 1
    with pytest.raises(InputError, match="found bright-one, dark-one"):
        book.find("one")
    with pytest.raises(InputError, match="velatura styles list"):
        book.find("nobody")


def test_single_works_get_the_pooled_spread(folder: Path, tmp_path: Path, eye) -> None:
    built = catalogue.build(catalogue.sources([folder], [folder / "dark-one"]), eye, tmp_path / "journal")
    single = [s for s in built.styles if s.pictures == 1]
    assert len(single) == 3
    assert all(s.spread == built.scale for s in single)


def test_build_resumes_and_leaves_out_what_it_cannot_read(folder: Path, tmp_path: Path, eye) -> None:
    (folder / "dark-one" / "broken.png").write_bytes(b"no picture")
    groups = catalogue.sources([folder])
    journal = tmp_path / "journal"

    def stop(done: int, total: int, path: Path, error: str | None) -> None:
        if done == 2:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        catalogue.build(groups, eye, journal, on_picture=stop)
    assert len(journal.read_text().split()) > 2
    with journal.open("a") as file:
        file.write('{"key": "half a li')
    errors = []
    built = catalogue.build(groups, eye, journal, on_picture=lambda d, t, p, e: errors.append(e) if e else None)
    assert [s.pictures for s in built.styles] == [3, 3]
    assert len(errors) == 1
    assert "broken.png" in errors[0]
    whole = catalogue.build(groups, eye, tmp_path / "fresh")
    assert built == whole


def test_styles_of_one_name_are_numbered(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder / "dark-one", other / "Dark One")
    shutil.copytree(folder / "dark-one", other / "dark-one-2")
    (tmp_path / "facts.csv").write_text("name,movement\ndark-one,Tenebrism\n")
    found = catalogue.sources([folder, other], facts=tmp_path / "facts.csv")
    assert [source.name for source in found] == ["bright-one", "dark-one", "dark-one-2", "dark-one-2-2"]
    assert [source.movement for source in found] == ["", "Tenebrism", "Tenebrism", ""]


def test_tables_of_others_are_no_reason_to_stop(folder: Path, tmp_path: Path) -> None:
    (folder.parent / "MANIFEST.csv").unlink()
    (folder / "MANIFEST.csv").write_text("file,title\nx,y\n")
    assert [source.artist for source in catalogue.sources([folder])] == ["Bright One", "Dark One"]
    (tmp_path / "facts.csv").write_text("artist,period\nx,y\n")
    with pytest.raises(InputError, match="columns name and movement"):
        catalogue.sources([folder], facts=tmp_path / "facts.csv")


def test_t_is_far_and_painted_least_like_the_artist(book: Catalogue) -> None:
    """Of the ten that are far, the quarter of all whose style vectors point away most."""
    styles = [replace(s, vector=[1.0, i % 4, *[0.0] * 98]) for i, s in enumerate(book.styles)]
    away = Catalogue(styles, book.scale)
    place = [0.0] * 144 + [2.0] + [0.0] * 99
    drawn = {choose.choose(away, place, seed=seed).style.name for seed in range(60)}
    assert drawn == {f"style-{i:02}" for i in (11, 15, 19, 10, 14)}  # vectors (1, 3), then (1, 2)
    assert sum(row[3] for row in choose.choose(away, place).ranking) == len(drawn)
    banded = {choose.choose(away, place, band=(50, 75), seed=seed).style.name for seed in range(60)}
    assert banded == {f"style-{i}" for i in range(10, 15)}


def test_of_a_few_drawn_the_one_whose_trial_goes_farthest(book: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "TRIED", 8)
    place, asked = [0.0] * 144 + [2.0] + [0.0] * 99, []
    styles = [replace(s, vector=[1.0, *[0.0] * 99]) for s in book.styles for _ in range(2)]
    many = Catalogue([replace(s, name=f"style-{i:02}") for i, s in enumerate(styles)], book.scale)

    def trial(style: catalogue.Style) -> float:
        asked.append(style.name)
        return -float(style.name[-2:])

    choice = choose.choose(many, place, seed=2, trial=trial)
    assert len(set(asked)) == len(asked) == choose.TRIED
    assert choice.style.name == min(asked)
    assert f"trial of {choose.TRIED}" in choice.reason
    tried = len(asked)
    for untried in ({"band": (50, 75)}, {"name": "style-01"}):
        choose.choose(many, place, trial=trial, **untried)
    assert len(asked) == tried


def test_a_tiny_catalogue_has_a_target_too(book: Catalogue) -> None:
    one = Catalogue(book.styles[:1], book.scale)
    for place in ([3.0] * 144, [3.0] * 244):
        assert choose.choose(one, place).style.name == "style-00"


def test_choice_stays_in_the_band_and_repeats(book: Catalogue) -> None:
    place = [0.0] * 144
    drawn = {choose.choose(book, place, seed=seed).style.name for seed in range(40)}
    assert drawn == {f"style-{i}" for i in range(10, 15)}
    first, second = (choose.choose(book, place, seed=3) for _ in range(2))
    assert first == second
    assert [row[3] for row in first.ranking] == [10 <= i < 15 for i in range(20)]
    assert first.ranking[0][:2] == ("style-00", 0.0)


def test_style_by_name_wins(book: Catalogue) -> None:
    choice = choose.choose(book, [0.0] * 144, name="style-01", reason="named")
    assert (choice.style.name, choice.reason, choice.distance) == ("style-01", "named", 1.0)


@pytest.mark.parametrize("band", [(75, 50), (-1, 50), (50, 101)])
def test_band_must_be_percentiles(book: Catalogue, band: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="two percentiles"):
        choose.choose(book, [0.0] * 144, band=band)


def test_an_artist_keeps_one_style(book: Catalogue) -> None:
    assert choose.remembered("Ada Lovelace") is None
    choice = choose.choose(book, [0.0] * 144, seed=5)
    path = choose.remember("Ada Lovelace", choice, 5)
    assert choose.remembered("ada lovelace") == choice.style.name
    path.write_text("{")
    with pytest.raises(InputError, match="damaged artist profile"):
        choose.remembered("Ada Lovelace")
    with pytest.raises(InputError, match="letters or digits"):
        choose.remembered("///")
    assert choose.remembered("画" * 120) is None  # longer than a file's name may be
    assert choose.remember("画" * 120, choice, 5).exists()
    assert choose.remembered("画" * 120) == choice.style.name


def test_not_a_catalogue(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(WeightsError, match="not a style catalogue"):
        catalogue.load(tmp_path / "c.json")


def test_the_embedded_catalogue_holds_numbers_only_and_orders_styles_sensibly() -> None:
    book = catalogue.load()
    assert len(book.styles) >= 60
    assert all(len(s.vector) == 100 and len(s.centroid) == 144 for s in book.styles)

    def rank(a: str, b: str) -> float:
        """Where b stands among a's neighbours: 0 nearest, 1 farthest."""
        order = [s.name for _, s in book.ranking(book.find(a).centroid)]
        return order.index(book.find(b).name) / len(order)

    # One hand's, one technique's, and one workshop's pictures are near; ink on white paper is far from dark oil.
    assert rank("egon-elbre", "maria-letta") < 0.35
    assert rank("rembrandt", "caravaggio") < 0.35
    assert rank("kate-greenaway", "randolph-caldecott") < 0.35
    assert rank("aubrey-beardsley", "rembrandt") > 0.5
    assert rank("rembrandt", "kate-greenaway") > 0.5
