"""The learned purifier: it learns what can be learned, resumes to the same result, and knows its own files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from velatura.countermeasures import purifier_training as training
from velatura.countermeasures.purifier import LearnedSettings, Network, learned, load
from velatura.countermeasures.treatment import prepare
from velatura.errors import Cancelled, InputError, VelaturaError, WeightsError
from velatura.perception.pixels import psnr

QUICK = training.TrainingSettings(steps=40, batch=4, crop=32, side=48, perceptual=0, rate=3e-3)
Pairs = list[tuple[Tensor, Tensor]]


def cloaked(picture: Tensor) -> Tensor:
    """A perturbation that has a rule: a colour cast and a fine screen."""
    rows = torch.arange(picture.shape[-2]).view(-1, 1) % 2
    return (0.9 * picture + 0.03 + 0.06 * rows * torch.tensor([1.0, -1.0, 0.5]).view(3, 1, 1)).clamp(0, 1)


@pytest.fixture
def pairs(make_scene: Callable[..., Tensor]) -> Pairs:
    return [(cloaked(x), x) for x in (make_scene(48, 56, seed) for seed in range(9))]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, make_scene: Callable[..., Tensor]) -> Path:
    path = tmp_path_factory.mktemp("purifier") / "p.safetensors"
    training.train([(cloaked(x), x) for x in (make_scene(48, 56, seed) for seed in range(9))], path, QUICK)
    return path


def test_it_learns_to_undo_a_rule_and_does_so_for_new_pictures(
    trained: Path, make_scene: Callable[..., Tensor]
) -> None:
    made = load(trained)
    assert made.facts["psnr_after"] > made.facts["psnr_before"] + 3
    assert made.facts["held_out"] == 1
    new = make_scene(48, 60, 77)
    treatment = prepare("learned", model=str(trained))
    assert float(psnr(new, treatment(cloaked(new)))) > float(psnr(new, cloaked(new))) + 3
    half = prepare("learned", {"strength": "0.5"}, model=str(trained))
    assert float(psnr(half(new), new)) > float(psnr(treatment(new), new))
    assert trained.stat().st_size < 2_000_000
    assert not list(trained.parent.glob("*.partial"))


def test_a_stopped_run_continues_to_the_same_result(
    pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    settings = replace(QUICK, steps=6, perceptual=0.1)
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    training.train(pairs, tmp_path / "whole", settings)

    def stop(step: training.Step) -> None:
        if step.done == 4:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        training.train(pairs, tmp_path / "part", settings, on_step=stop)
    assert not (tmp_path / "part").exists()
    with pytest.raises(InputError, match="other pictures or settings"):
        training.train(pairs[1:], tmp_path / "part", settings)
    seen: list[int] = []
    training.train(pairs, tmp_path / "part", settings, on_step=lambda step: seen.append(step.done))
    assert seen == [4, 5, 6]
    assert (tmp_path / "part").read_bytes() == (tmp_path / "whole").read_bytes()
    with pytest.raises(InputError, match="exists already"):
        training.train(pairs, tmp_path / "part", settings)
    assert load(tmp_path / "part").side == 48


def test_larger_pictures_are_corrected_at_the_size_that_it_knows(
    trained: Path, make_scene: Callable[..., Tensor]
) -> None:
    made = load(trained)
    large = torch.nn.functional.interpolate(cloaked(make_scene(48, 56, 5)), scale_factor=3, mode="nearest")
    shift = learned(large, settings=LearnedSettings(), model=made) - large
    assert shift.shape == large.shape
    assert float(shift.abs().mean()) > 0.005
    rough = (shift[..., 1:, :] - shift[..., :-1, :]).abs().mean()
    assert rough < 0.5 * shift.abs().mean(), "an enlarged correction is smooth"


def test_a_training_that_diverged_says_so(pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Network, "forward", lambda self, pictures: pictures * float("nan"))
    with pytest.raises(VelaturaError, match="diverged at step 1, loss nan: lower the rate"):
        training.train(pairs, tmp_path / "p", QUICK)
    assert not (tmp_path / "p").exists()


def test_bad_pairs_and_files_are_one_line(pairs: Pairs, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two pairs or more"):
        training.train(pairs[:1], tmp_path / "p", QUICK)
    with pytest.raises(InputError, match="pairs of one size"):
        training.train([*pairs, (pairs[0][0], pairs[0][1][..., :-1])], tmp_path / "p", QUICK)
    with pytest.raises(InputError, match="at most the pictures' short side"):
        training.train(pairs, tmp_path / "p", training.TrainingSettings(crop=96))
    (tmp_path / "other").write_bytes(b"nothing")
    for path in ("other", "missing"):
        with pytest.raises(WeightsError, match="velatura lab purify train"):
            load(tmp_path / path)
