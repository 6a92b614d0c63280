"""CLIP by id: genre and content, on a folder of random weights; no torchvision anywhere."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from velatura.diffusion.clip import DEVIATION, MEAN
from velatura.errors import ImageError, InputError, MissingExtra, WeightsError
from velatura.judges import clip
from velatura.judges.clip import DIGITAL, GENRES, Clip, genre_ranks
from velatura.judges.content import content

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def model(tiny_clip: Path) -> Clip:
    return clip.load(tiny_clip)


def test_vectors_of_unit_length_any_size_one_by_one(model: Clip, make_scene) -> None:
    pictures = [make_scene(50, 80, 1), make_scene(32, 32, 2)]
    found = model.pictures(pictures)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(found[1:], model.pictures(pictures[1:]))
    texts = model.texts(["a", "a much longer text than this little network can read"])
    torch.testing.assert_close(texts.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(texts[:1], model.texts(["a"]))  # padding changes nothing


def test_pixels_are_what_clip_was_trained_on(model: Clip, make_scene) -> None:
    picture = make_scene(32, 32)
    shift, scale = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, DEVIATION))
    expected = model.model.get_image_features(pixel_values=(picture - shift) / scale).pooler_output
    torch.testing.assert_close(model.pictures(picture), expected / expected.norm(dim=1, keepdim=True))


def test_genres_are_wikiarts_27_and_the_published_12() -> None:
    assert (len(set(GENRES)), len(set(DIGITAL))) == (27, 12)


def test_genre_place(model: Clip, make_scene) -> None:
    pictures = torch.cat([make_scene(64, 64, seed) for seed in range(3)])
    places = torch.stack([genre_ranks(pictures, genre, model) for genre in GENRES])
    assert places.sort(0).values.tolist() == [[i + 1] * 3 for i in range(27)]
    likeness = model.pictures(pictures) @ model.texts(GENRES).T
    assert places[:, 0].argmin() == likeness[0].argmax()
    with pytest.raises(InputError, match=r"expected one of .*cubism.* got 'oil'"):
        genre_ranks(pictures, "oil", model)


def test_content_finds_the_prompt_again(make_scene, monkeypatch: pytest.MonkeyPatch, model: Clip) -> None:
    prompts = ["a cat", "a dog", "a cat"]
    axes = {"a cat": 0, "a dog": 1}
    monkeypatch.setattr(model, "texts", lambda texts: torch.eye(3)[[axes[t] for t in texts]])
    monkeypatch.setattr(model, "pictures", lambda pictures: torch.tensor([[0.8, 0.6, 0], [0.6, 0.8, 0], [0, 1.0, 0]]))
    found = content(torch.rand(3, 3, 32, 32), prompts, model)
    assert found.found.tolist() == [True, True, False]
    assert found.top1 == pytest.approx(2 / 3)
    torch.testing.assert_close(found.own, torch.tensor([0.8, 0.8, 0.0]))
    torch.testing.assert_close(found.others, torch.tensor([0.6, 0.6, 1.0]))
    assert found.prompts == 2


def test_content_on_real_networks(model: Clip, make_scene) -> None:
    pictures = torch.cat([make_scene(64, 64, seed) for seed in range(2)])
    found = content(pictures, ["a cat", "a boat"], model)
    assert found.own.shape == found.others.shape == (2,)
    with pytest.raises(InputError, match="one prompt a picture, got 1 for 2"):
        content(pictures, ["a cat"], model)
    with pytest.raises(InputError, match="two different prompts"):
        content(pictures, ["a cat", "a cat"], model)


def test_says_what_is_missing(model: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match="got none"):
        model.pictures([])
    with pytest.raises(WeightsError, match="hf download openai/no-such-clip"):
        clip.load("openai/no-such-clip")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="check the folder"):
        clip.load(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"velatura\[lab\]"):
        clip.load("anything")


def test_no_torchvision(tiny_clip: Path, make_scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)  # importing it fails
    assert clip.load(tiny_clip).pictures(make_scene(40, 40)).shape == (1, 12)
