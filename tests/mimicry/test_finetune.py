"""The attack on Stable Diffusion's own layout (tiny, random weights): the same commands as on real models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from velatura.diffusion import denoising
from velatura.diffusion import pipeline as models
from velatura.errors import Cancelled, InputError, VelaturaError, WeightsError
from velatura.mimicry import checkpoint, finetune, generate, trainees

pytest.importorskip("transformers")
METHODS = ("full", "lora", "dreambooth", "textual-inversion", "pez")
SMALL = {"steps": 3, "batch": 2, "resolution": 32, "rank": 2, "vectors": 2, "prior_pictures": 2, "rate": 1e-3}


@pytest.fixture
def art(make_scene: Callable[..., Tensor]) -> list[Tensor]:
    return [make_scene(32, 40, seed) for seed in range(3)]


def train(model: Path, art: list[Tensor], out: Path, **settings: object) -> Path:
    made = finetune.Settings(**{**SMALL, **settings})  # type: ignore[arg-type]
    captions = [f"{word}, by ada" for word in ("a cat", "a tree", "a sea")]
    return finetune.train(models.load(str(model)), str(model), art, captions, "ada", out, made)


def picture_of(model: str) -> Tensor:
    mimic = generate.load(model)
    prompt = mimic.words("a cat, by ada")
    return next(generate.generate(mimic.pipeline, [prompt], steps=2, resolution=32)).picture


@pytest.mark.parametrize("method", METHODS)
def test_every_method_changes_what_is_generated_and_repeats(
    tiny_model: Path, art: list[Tensor], tmp_path: Path, method: str
) -> None:
    rate = 0.1 if method in ("textual-inversion", "pez") else 1e-2
    first = train(tiny_model, art, tmp_path / "a", method=method, rate=rate)
    again = train(tiny_model, art, tmp_path / "b", method=method, rate=rate)
    card = json.loads((first / "mimic.json").read_text())
    assert card["artist"] == "ada"
    assert card["settings"]["method"] == method
    assert not list(tmp_path.glob("*.partial"))
    before, after = picture_of(str(tiny_model)), picture_of(str(first))
    assert after.shape == (1, 3, 32, 32)
    assert (before - after).abs().max() > 1e-3
    assert torch.equal(after, picture_of(str(again)))
    if method == "pez":
        assert generate.load(str(first)).words("a cat, by Ada") == f"a cat, by {card['words']}"


def test_dreambooths_prior_is_of_its_own_run(tiny_model: Path, art: list[Tensor], tmp_path: Path) -> None:
    def stop(step: finetune.Step) -> None:
        raise Cancelled("enough")

    captions, base = ["a cat, by ada"] * 3, str(tiny_model)
    made = finetune.Settings(**{**SMALL, "method": "dreambooth"})  # type: ignore[arg-type]
    with pytest.raises(Cancelled):
        finetune.train(models.load(base), base, art, captions, "ada", tmp_path / "out", made, on_step=stop)
    assert (tmp_path / "out.partial/prior.pt").exists()
    with pytest.raises(InputError, match="left of a run with other pictures or settings"):
        train(tiny_model, art, tmp_path / "out", method="dreambooth", seed=5)


def test_a_stopped_run_continues_to_the_same_weights(
    tiny_model: Path, art: list[Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(tiny_model, art, tmp_path / "whole", steps=4)
    monkeypatch.setattr(finetune, "CHECKPOINT_SECONDS", 0.0)

    def stop(step: finetune.Step) -> None:
        if step.done == 3:  # after the checkpoint of step 2
            raise Cancelled("enough")

    out, captions = tmp_path / "out", [f"{word}, by ada" for word in ("a cat", "a tree", "a sea")]
    settings = finetune.Settings(**{**SMALL, "steps": 4})  # type: ignore[arg-type]
    with pytest.raises(Cancelled):
        finetune.train(models.load(str(tiny_model)), str(tiny_model), art, captions, "ada", out, settings, on_step=stop)
    assert not out.exists()
    steps: list[int] = []
    finetune.train(
        models.load(str(tiny_model)), str(tiny_model), art, captions, "ada", out, settings,
        on_step=lambda step: steps.append(step.done),
    )  # fmt: skip
    assert steps == [3, 4]
    assert torch.equal(picture_of(str(whole)), picture_of(str(out)))


def test_what_a_run_left_is_not_mixed_with_another(
    tiny_model: Path, art: list[Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "write_model", lambda *_: None)
    train(tiny_model, art, tmp_path / "out")
    for other in ({"seed": 1}, {"method": "pez"}):
        with pytest.raises(InputError, match="other pictures or settings"):
            train(tiny_model, art, tmp_path / "out", **other)


def test_a_mimic_that_diverged_is_no_mimic(
    tiny_model: Path, art: list[Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = models.load(str(tiny_model))
    with torch.no_grad():
        pipeline.unet.conv_out.weight.fill_(float("nan"))
    with pytest.raises(VelaturaError, match="NaN"):
        next(generate.generate(pipeline, ["a cat"], steps=1, resolution=32))
    with pytest.raises(VelaturaError, match="NaN"):
        next(generate.restyle(pipeline, art[:1], ["a cat"], steps=2))
    loss = denoising.loss
    monkeypatch.setattr(denoising, "loss", lambda *args, **more: loss(*args, **more) * float("inf"))
    with pytest.raises(VelaturaError, match="diverged at step 1, loss inf: lower the rate"):
        train(tiny_model, art, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_full_fine_tuning_learns(tiny_model: Path, art: list[Tensor], tmp_path: Path) -> None:
    """The denoising loss on the pictures falls; of the same noise, before and after."""

    def loss_of(model: str) -> float:
        pipeline = models.load(model)
        scheduler = denoising.training_scheduler(pipeline)
        with torch.no_grad():
            latents = torch.cat([denoising.encode(pipeline.vae, p[..., :32, :32], None) for p in art]).repeat(
                8, 1, 1, 1
            )
            states = denoising.context(pipeline, ["a cat, by ada"] * len(latents))
            g = torch.Generator().manual_seed(0)
            return float(denoising.loss(pipeline.unet, scheduler, latents, states, generator=g).mean())

    made = train(tiny_model, art, tmp_path / "m", steps=40, batch=8, rate=3e-3)
    assert loss_of(str(made)) < 0.9 * loss_of(str(tiny_model))


def test_textual_inversion_trains_one_word_only(tiny_model: Path) -> None:
    pipeline = models.load(str(tiny_model))
    before = pipeline.text_encoder.get_input_embeddings().weight.detach().clone()
    trainee = trainees.make(pipeline, finetune.Settings(method="textual-inversion", vectors=2), "Ada Lovelace")
    assert trainee.words("a cat, by ada lovelace") == "a cat, by <ada-lovelace> <ada-lovelace>_1"
    (table,) = trainee.parameters()
    table.grad = torch.ones_like(table)
    trainee.before_step()
    assert table.grad[: len(before)].abs().max() == 0
    assert (table.grad[-2:] == 1).all()
    assert torch.equal(table[: len(before)], before)


def test_a_picture_does_not_depend_on_its_batch(tiny_model: Path) -> None:
    pipeline = models.load(str(tiny_model))
    prompts = ["a cat", "a tree", "a sea"]
    together = list(generate.generate(pipeline, prompts, steps=2, resolution=32, batch=3))
    alone = list(generate.generate(pipeline, prompts, steps=2, resolution=32, batch=1, start=1))
    assert [m.index for m in alone] == [1, 2]
    assert [m.seed for m in together] == [0, 1, 2]
    assert (together[2].picture - alone[1].picture).abs().max() < 0.05  # bf16 sums in another order


def test_restyling_starts_from_the_picture(tiny_model: Path, art: list[Tensor]) -> None:
    pipeline = models.load(str(tiny_model))
    weak, strong = (
        next(generate.restyle(pipeline, art[:1], ["a cat"], strength=s, steps=10)).picture for s in (0.1, 1.0)
    )
    assert weak.shape == art[0].shape
    view = pipeline.vae.decode(pipeline.vae.encode(art[0] * 2 - 1).latent_dist.mode()).sample / 2 + 0.5
    assert (weak - view).abs().mean() < (strong - view).abs().mean()


def test_defaults_follow_the_size_of_the_model(tiny_model: Path) -> None:
    pipeline = models.load(str(tiny_model))
    assert finetune.defaults(pipeline).resolution == 128  # 64 latents of a VAE that halves once
    assert finetune.defaults(pipeline, "lora").rank == 32
    with pytest.raises(InputError, match="expected one of full, lora"):
        finetune.defaults(pipeline, "magic")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "said"), [({"steps": 0}, "steps: expected 1 or more"), ({"rate": 5.0}, "learning rate between")]
)
def test_settings_are_checked(settings: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        finetune.Settings(**settings)  # type: ignore[arg-type]


def test_pictures_and_places_are_checked(tiny_model: Path, art: list[Tensor], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exists already"):
        train(tiny_model, art, tmp_path)
    with pytest.raises(InputError, match="short side of 64"):
        train(tiny_model, art, tmp_path / "m", resolution=64)
    with pytest.raises(InputError, match="one caption each"):
        train(tiny_model, art[:2], tmp_path / "m")


def test_a_card_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "mimic.json").write_text("{}")
    with pytest.raises(WeightsError, match="card of a fine-tuned model"):
        generate.load(str(tmp_path))


def test_pictures_say_what_they_were_made_from(tmp_path: Path) -> None:
    from velatura.mimicry.pictures import contact_sheet, to_png

    path = tmp_path / "a.png"
    path.write_bytes(to_png(generate.Made(0, "a cat, by ada é", 7, torch.rand(1, 3, 16, 16))))
    with Image.open(path) as picture:
        assert picture.text["parameters"] == "a cat, by ada é\nSeed: 7"
    (tmp_path / "sheet.png").write_bytes(contact_sheet([path] * 100))
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (8 * 132 + 4, 6 * 132 + 4)
