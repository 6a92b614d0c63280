"""The style judge: knows an artist again, blurred and sharpened as well, and says what it lacks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from velatura import weights
from velatura.errors import InputError, MissingExtra, WeightsError
from velatura.images import read, working
from velatura.judges import StyleJudge, embedded, fit, style
from velatura.judges.views import SIDE, blur, sharpen, square


def test_knows_new_pictures_of_an_artist_and_others_apart(judge: StyleJudge, make_stripe) -> None:
    new = [make_stripe(seed) for seed in (20, 21)]
    for pictures in (new, [blur(p, 1.2) for p in new], [sharpen(p, 0.6) for p in new]):
        assert judge.ranks(pictures, "stripes").tolist() == [1, 1]
    likely = judge.probabilities([weights.embedded("sample")])
    assert likely.shape == (1, len(judge.classes))
    torch.testing.assert_close(likely.sum(1), torch.ones(1))
    assert set(embedded.load().artists) | {"stripes"} == set(judge.classes)
    assert int(likely.argmax()) != judge.index("stripes")


def test_a_pictures_probabilities_do_not_depend_on_the_others(judge: StyleJudge, make_stripe, make_scene) -> None:
    pair = [make_stripe(30), make_scene(128, 200)]
    torch.testing.assert_close(judge.probabilities(pair)[1:], judge.probabilities(pair[1:]), atol=1e-4, rtol=0)


def test_same_pictures_same_judge() -> None:
    known = embedded.load()
    first, second = (style.regress(known.features[:, :2], known.labels, known.strength) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_a_victim_takes_the_place_of_its_namesake(monkeypatch: pytest.MonkeyPatch) -> None:
    known = embedded.load()
    monkeypatch.setattr(style, "look", lambda picture, *_, **__: picture)
    monkeypatch.setattr(style.vgg, "correlations", lambda picture: known.space.shift.expand(6, -1))
    name = known.artists[0]
    names, labels, features = style.join(known, {name: torch.rand(9, 3, 128, 128)}, None)  # type: ignore[arg-type]
    assert names == known.artists
    assert len(labels) == len(features)
    assert int((labels == 0).sum()) == 9


def test_ranks_count_what_is_greater() -> None:
    likely = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    assert style.ranks(likely, 1).tolist() == [2, 2]
    assert style.ranks(likely, torch.tensor([0, 2])).tolist() == [1, 1]


def test_says_what_it_lacks(judge: StyleJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"someone: expected at least 8 pictures .* got 7; add"):
        fit({"someone": torch.rand(7, 3, 128, 128)})
    with pytest.raises(InputError, match=r"expected one of .*stripes.* got 'nobody'"):
        judge.ranks(torch.rand(1, 3, 128, 128), "nobody")
    with pytest.raises(InputError, match="got none"):
        judge.probabilities([])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"velatura\[lab\]"):
        fit({"someone": torch.rand(8, 3, 128, 128)})


def test_a_file_of_another_autoencoder_is_refused(tmp_path: Path) -> None:
    known = embedded.load()
    other = embedded.Embedded(**{**vars(known), "autoencoder": "0" * 64})
    (tmp_path / "other.safetensors").write_bytes(other.save())
    with pytest.raises(WeightsError, match=r"another autoencoder.*fit_judge"):
        embedded.load(tmp_path / "other.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="not a judge's file"):
        embedded.load(tmp_path / "broken.safetensors")


def test_the_file_is_small_and_complete(tmp_path: Path) -> None:
    known = embedded.load()
    data = known.save()
    assert len(data) < 6e6
    counts = torch.bincount(known.labels)
    assert len(counts) == len(known.artists)
    assert int(counts.min()) >= style.FEWEST
    assert not {"vincent-van-gogh", "kate-greenaway", "ivan-aivazovsky", "david-revoy"} & set(known.artists)
    (tmp_path / "again.safetensors").write_bytes(data)
    again = embedded.load(tmp_path / "again.safetensors")
    assert torch.equal(again.features, known.features)
    assert (again.artists, again.copy_threshold) == (known.artists, known.copy_threshold)


@pytest.mark.slow
def test_blurred_and_sharpened_real_pictures_keep_their_artist(shared: Path) -> None:
    """David Revoy, whom nothing was trained on: eight to learn from, six others to judge."""
    paths = sorted((shared / "art/modern/david-revoy").glob("*.jpg"))
    judge = fit({"david-revoy": paths[::8][:8]})
    new = torch.cat([square(working(read(path), SIDE)) for path in paths[4::10][:6]])
    before = judge.ranks(new, "david-revoy")
    assert (before <= 3).sum() >= 4
    for changed in (blur(new, 1.2), sharpen(new, 0.6)):
        after = judge.ranks(changed, "david-revoy")
        assert (after[before == 1] <= 3).all()
        assert (after <= 3).sum() >= (before <= 3).sum() - 1
