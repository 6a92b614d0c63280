"""Robust training: an encoder that learns to overlook cloaks, and a base model like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from velatura.diffusion import pipeline as models
from velatura.errors import Cancelled, InputError
from velatura.mimicry import finetune, robust_base
from velatura.mimicry.finetune import Settings, Step

pytest.importorskip("transformers")
SMALL = Settings(steps=3, batch=2, resolution=32, rate=1e-2)
WORDS = ["a cat, by ada", "a tree, by ada", "a sea, by bea"]
Pairs = list[tuple[Tensor, Tensor]]


def cloaked(picture: Tensor) -> Tensor:
    """A screen of lines, which any encoder sees."""
    return (picture + 0.2 * (torch.arange(picture.shape[-1]) % 2 - 0.5)).clamp(0, 1)


@pytest.fixture
def pairs(make_scene: Callable[..., Tensor]) -> Pairs:
    return [(cloaked(x), x) for x in (make_scene(32, 40, seed) for seed in range(3))]


def test_the_encoder_sees_the_clean_picture_in_a_cloaked_one_and_clean_ones_as_before(
    tiny_model: Path, make_scene: Callable[..., Tensor], pairs: Pairs
) -> None:
    vae, new = models.load(str(tiny_model)).vae, make_scene(32, 32, 50)
    decoder = [p.detach().clone() for p in vae.decoder.parameters()]
    with torch.no_grad():
        before, fooled = (robust_base._mean(vae, x) for x in (new, cloaked(new)))
        losses = [step.loss for step in _steps(vae, pairs)]
        clean, after = (robust_base._mean(vae, x) for x in (new, cloaked(new)))
    start = float((fooled - before).pow(2).mean())
    assert float((after - before).pow(2).mean()) < 0.85 * start
    assert float((clean - before).pow(2).mean()) < 0.85 * start
    assert losses[-1] < losses[0]
    assert all(torch.equal(a, b) for a, b in zip(decoder, vae.decoder.parameters(), strict=True))
    assert not any(p.requires_grad for p in vae.parameters())


def _steps(vae: object, pairs: Pairs) -> list[Step]:
    with torch.enable_grad():
        return list(robust_base.adapt(vae, pairs, Settings(steps=150, batch=4, resolution=32, rate=5e-2)))


def test_a_stopped_run_continues_to_the_same_model(
    tiny_model: Path, pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(out: Path, on_step: Callable[[Step], None] | None = None, settings: Settings = SMALL) -> Path:
        base = models.load(str(tiny_model))
        return robust_base.train(base, str(tiny_model), pairs, WORDS, out, settings, on_step=on_step)

    seen: list[tuple[int, int]] = []
    whole = train(tmp_path / "whole", lambda step: seen.append((step.done, step.total)))
    assert seen == [(i, 6) for i in range(1, 7)]
    assert not list(tmp_path.glob("*.partial"))

    def stop(step: Step) -> None:
        if step.done == 4:  # the encoder is done, the U-Net has begun
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        train(tmp_path / "out", stop)
    with pytest.raises(InputError, match="other pictures or settings"):
        train(tmp_path / "out", settings=Settings(steps=3, batch=2, resolution=32, rate=1e-3))
    seen.clear()
    out = train(tmp_path / "out", lambda step: seen.append((step.done, step.total)))
    assert seen[0] == (4, 6), "the encoder is not trained again"
    base = models.load(str(tiny_model))
    for part, changes in (("vae", True), ("unet", True), ("text_encoder", False)):
        same, again, before = (
            torch.cat([p.flatten() for p in getattr(model, part).parameters()])
            for model in (models.load(str(whole)), models.load(str(out)), base)
        )
        assert torch.equal(same, again)
        assert torch.equal(same, before) != changes, part
    mimic = finetune.train(  # and it is a base model as any other
        models.load(str(out)), str(out), [x for x, _ in pairs], WORDS, "ada", tmp_path / "mimic", SMALL
    )
    assert (mimic / "model_index.json").exists()


def test_wrong_pairs_are_one_line(tiny_model: Path, pairs: Pairs, tmp_path: Path) -> None:
    vae = models.load(str(tiny_model)).vae
    for wrong, says in (
        ([], "got none"),
        ([(pairs[0][0], pairs[0][1][..., :32])], "pairs of one size"),
        ([tuple(x[..., :16, :] for x in pairs[0])], "short side 32 px"),
    ):
        with pytest.raises(InputError, match=says):
            next(robust_base.adapt(vae, wrong, SMALL))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="exists already"):
        robust_base.train(models.load(str(tiny_model)), "x", pairs, WORDS, tmp_path, SMALL)
