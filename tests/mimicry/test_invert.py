"""Hard-prompt inversion: words that are in the vocabulary, better than those it started from, the same every time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from velatura.cli.lab.mimic import mimic_group
from velatura.diffusion import clip, denoising
from velatura.diffusion import pipeline as models
from velatura.errors import InputError
from velatura.images import save
from velatura.mimicry import invert
from velatura.mimicry.invert import PezSettings, pez, pez_by_clip
from velatura.protection.panels import png

pytest.importorskip("transformers")


def test_states_of_given_vectors_are_those_of_the_words(tiny_model: Path) -> None:
    pipeline = models.load(str(tiny_model))
    ids = pipeline.tokenizer("a b c", add_special_tokens=False, return_tensors="pt").input_ids[0]
    table = pipeline.text_encoder.get_input_embeddings().weight
    vectors = table[ids].clone().requires_grad_(True)
    states = invert._states(pipeline, ids, vectors)
    assert torch.allclose(states, denoising.context(pipeline, ["a b c"]), atol=1e-6)
    (gradient,) = torch.autograd.grad(states.pow(2).sum(), vectors)
    assert (gradient.abs().sum(1) > 0).all()
    assert not pipeline.text_encoder.get_input_embeddings()._forward_hooks


def test_it_finds_the_words_that_a_model_listens_to(
    tiny_model: Path, make_scene: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model whose error is the distance of its words from a hidden prompt: the way to it is the gradient's."""
    pipeline = models.load(str(tiny_model))
    hidden = denoising.context(pipeline, ["c f j"])

    def loss(unet: object, scheduler: object, latents: Tensor, states: Tensor, **rest: object) -> Tensor:
        return (states - hidden).pow(2).mean((1, 2))

    monkeypatch.setattr(invert.denoising, "loss", loss)
    pictures = [make_scene(32, 32, seed) for seed in range(2)]
    settings = PezSettings(tokens=3, steps=60, every=5)
    found = pez(pipeline, pictures, settings)
    start = pez(pipeline, pictures, PezSettings(tokens=3, steps=1, every=5))
    assert found.loss < 0.5 * start.loss
    assert found.loss < found.loss_of_nothing
    assert len(found.ids) == 3
    assert not set(found.ids) & set(pipeline.tokenizer.all_special_ids)
    assert pez(pipeline, pictures, settings) == found


def test_a_search_continues_to_the_same_words(tiny_model: Path, make_scene: Callable[..., Tensor]) -> None:
    pipeline, pictures = models.load(str(tiny_model)), [make_scene(32, 32, seed) for seed in range(2)]
    settings, states = PezSettings(tokens=3, steps=8, every=2), []
    whole = pez(pipeline, pictures, settings, on_state=states.append)
    assert [state["step"] for state in states] == [2, 4, 6, 8]
    steps: list[int] = []
    again = pez(pipeline, pictures, settings, state=states[1], on_step=lambda done, *_: steps.append(done))
    assert steps == [5, 6, 7, 8]
    assert again == whole


def test_clip_finds_the_words_of_a_picture_that_is_one(
    tiny_clip: Path, tiny_model: Path, make_scene: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures that lie where a hidden prompt does: the words found lie nearer to it than those it starts from."""
    eye, pipeline = clip.load(tiny_clip), models.load(str(tiny_model))
    hidden = eye.texts(["quiz"])
    monkeypatch.setattr(eye, "pictures", lambda pictures: hidden)
    pictures = [make_scene(32, 32, 1)]
    found = pez_by_clip(eye, pipeline, pictures, PezSettings(tokens=3, steps=80))
    start = pez_by_clip(eye, pipeline, pictures, PezSettings(tokens=3, steps=1))
    assert start.likeness is not None
    assert found.likeness is not None
    assert 1 - found.likeness < 0.5 * (1 - start.likeness)
    ids = torch.tensor(found.ids)
    row = torch.tensor([[0, *found.ids, 1]])
    pooled = eye.model.text_model(input_ids=row).pooler_output
    again = torch.nn.functional.normalize(eye.model.text_projection(pooled), dim=1) @ hidden.T
    assert float(again) == pytest.approx(found.likeness, abs=1e-4), "what was optimised is CLIP's own view of the words"
    assert not set(ids.tolist()) & set(eye.tokenizer.all_special_ids)
    assert found == pez_by_clip(eye, pipeline, pictures, PezSettings(tokens=3, steps=80))
    with pytest.raises(InputError, match="tokens: expected at most 14"):
        pez_by_clip(eye, pipeline, pictures, PezSettings(tokens=15))


def test_the_command_writes_a_prompt_that_can_be_painted(
    tiny_model: Path, tiny_clip: Path, tmp_path: Path, make_scene: Callable[..., Tensor]
) -> None:
    save(png(make_scene(40, 48, 1)), tmp_path / "a.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    ask = ["invert", tiny_model, tmp_path / "a.png", tmp_path / "broken.png", "-o", tmp_path / "p.txt",
           "--steps", 3, "--tokens", 4, "--resolution", 32]  # fmt: skip
    done = CliRunner().invoke(mimic_group, list(map(str, ask)))
    assert done.exit_code == 0, done.output
    assert "left out" in done.stderr
    assert "without words" in done.stderr
    first, prompt = (tmp_path / "p.txt").read_text().splitlines()
    assert first.startswith("# {")
    assert prompt.strip()
    again = CliRunner().invoke(mimic_group, list(map(str, ask)))
    assert isinstance(again.exception, InputError)
    ask[ask.index("-o") + 1] = tmp_path / "q.txt"
    done = CliRunner().invoke(mimic_group, [*map(str, ask), "--clip", str(tiny_clip)])
    assert done.exit_code == 0, done.output
    assert "likeness to CLIP" in done.stderr
    assert '"likeness"' in (tmp_path / "q.txt").read_text()


def test_wrong_requests_are_one_line(tiny_model: Path, make_scene: Callable[..., Tensor]) -> None:
    pipeline = models.load(str(tiny_model))
    pictures = [make_scene(32, 32, 1)]
    with pytest.raises(InputError, match="tokens: expected at most 14"):
        pez(pipeline, pictures, PezSettings(tokens=15))
    with pytest.raises(InputError, match="got none"):
        pez(pipeline, [], PezSettings(tokens=3))
    with pytest.raises(InputError, match="of one size"):
        pez(pipeline, [*pictures, make_scene(32, 40, 1)], PezSettings(tokens=3))
    with pytest.raises(InputError, match="steps: expected 1 or more"):
        PezSettings(steps=0)
