"""An arm's pictures, protected: every method brought to equal visibility in its file, and figures of each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from velatura.diffusion import extractors
from velatura.diffusion.extractors import Extractor
from velatura.evaluation.arms import Arm, visible_bound
from velatura.evaluation.decoded_view import decoded_view
from velatura.evaluation.experiment import Tell
from velatura.evaluation.methods import Work
from velatura.images import read, save, working
from velatura.perception.lpips import lpips
from velatura.perception.pixels import ssim
from velatura.protection import Protector, Settings
from velatura.protection.panels import png
from velatura.protection.visibility import visible
from velatura.reports.result import to_json
from velatura.styles.choose import BAND

if TYPE_CHECKING:
    from velatura.evaluation.setup import Setup


@dataclass(frozen=True)
class Protection:
    """Pictures of an arm as PNG files, figures of each (LPIPS, colour cast, decoded shift, ...), and T, or all Ts.

    ``style`` is None of what was protected elsewhere, of which no T is known; nor are then figures of pictures whose
    shape was changed.
    """

    files: list[bytes]
    figures: list[dict[str, Any]]
    style: str | None


def protect_arm(setup: Setup, arm: Arm, tell: Tell) -> list[dict[str, Any]]:
    """Figures of the arm's pictures, which are written first where they are not there yet."""
    folder, card = setup.folders.protected(arm), setup.folders.card(arm)
    if not card.exists():
        tell(0, len(setup.training))
        originals = [working(read(path), setup.side) for path in setup.training]
        made = (_made_here if arm.folder is None else _made_elsewhere)(setup, arm, originals, tell)
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in zip(setup.files, made.files, strict=True):
            save(data, folder / name)
        save(to_json({"figures": made.figures, "style": made.style}).encode(), card)
    return figures_of(setup, arm)


def figures_of(setup: Setup, arm: Arm) -> list[dict[str, Any]]:
    """Figures of the arm's pictures, which are there."""
    found: list[dict[str, Any]] = json.loads(setup.folders.card(arm).read_text(encoding="utf-8"))["figures"]
    return found


def _made_here(setup: Setup, arm: Arm, originals: Sequence[Tensor], tell: Tell) -> Protection:
    experiment, own = setup.experiment, setup.experiment.settings(arm)
    settings = Settings(
        models=own.models,
        effort=own.effort,
        resolutions=(setup.resolution,),
        style=own.style,
        device=experiment.device,
    )
    eye = extractors.load(experiment.model, experiment.device)
    return protect(arm, Protector(settings), originals, 0, tell, eye=eye, warm_start=own.warm_start)


def _made_elsewhere(setup: Setup, arm: Arm, originals: Sequence[Tensor], tell: Tell) -> Protection:
    altered = [working(read(path), setup.side) for path in setup.elsewhere(arm)]
    pairs = zip(originals, altered, strict=True)
    figures = [changed(x, y) for x, y in pairs if x.shape == y.shape]
    tell(len(originals), len(originals))
    return Protection([png(x) for x in altered], figures, None)


def protect(
    arm: Arm,
    protector: Protector,
    pictures: Sequence[Tensor],
    seed: int,
    on_picture: Tell | None = None,
    *,
    eye: Extractor | None = None,
    warm_start: bool = True,
) -> Protection:
    """Protect pictures ``(1, 3, h, w)`` with the arm's method, at equal LPIPS in the file, each file of its size.

    δ is made at the protector's working resolution. ``eye``: whose view figures are of; None: the cloak's first model.
    ``warm_start``: whether cloaks of the product begin from the instant one.
    """
    artworks = [read(png(x)) for x in pictures]
    originals = [protector.working(artwork) for artwork in artworks]
    row = arm.row
    assert row is not None
    assert arm.budget is not None
    protector.settings = replace(protector.settings, band=BAND if row.draws_like_glaze else None)
    looks = [protector.look(artwork) for artwork in artworks]
    if arm.method == "scattered":
        choices = [protector.choose([look]) for look in looks]
    else:
        choices = [protector.choose(looks)] * len(looks)
    targets = [protector.paint(x, choice) for x, choice in zip(originals, choices, strict=True)]
    bound = None if row.as_product else visible_bound(arm)  # None: as the product does, by the kind of picture
    protector.settings = replace(protector.settings, budget=arm.budget, flip=bound, seed=seed)
    abouts = [protector.circumstances(artwork) for artwork in artworks]
    deltas = row(protector, Work(originals, targets, abouts, arm.budget, seed, warm_start))
    files, figures = [], []
    for i, (artwork, x, t, delta) in enumerate(zip(artworks, originals, targets, deltas, strict=True)):
        # Every method is brought to the same LPIPS in its file, however much it left unused.
        data, saved, _ = protector.fit(artwork, x, delta, largest=8.0, enough=0.97)
        files.append(data)
        figures.append(measure(protector.extractors, eye, x, protector.working(saved), t))
        if on_picture is not None:
            on_picture(i + 1, len(originals))
    return Protection(files, figures, ", ".join(sorted({choice.style.name for choice in choices})))


def measure(
    own: Sequence[Extractor], eye: Extractor | None, original: Tensor, saved: Tensor, target: Tensor
) -> dict[str, float]:
    """Figures of a protected picture, of its file.

    ``latent_remaining`` and ``decoded_shift`` are the mimic's view (``eye``). Where the cloak was made on other models,
    ``own_decoded_shift`` is the smallest of their views: all that somebody knows who does not know the mimic.
    """
    eye = eye or own[0]
    distance = float(lpips(original, saved))
    seen = decoded_view(eye, original, saved, target, max(distance, 1e-3), 0)
    found = {"lpips": distance, "latent_remaining": seen["latent_remaining"], "decoded_shift": seen["decoded_shift"]}
    others = [extractor for extractor in own if extractor.sha256 != eye.sha256]
    if others:
        shifts = (decoded_view(e, original, saved, target, max(distance, 1e-3), 0)["decoded_shift"] for e in own)
        found["own_decoded_shift"] = min(shifts)
    return found | _changed(original, saved)


def changed(original: Tensor, saved: Tensor) -> dict[str, float]:
    """Figures of a picture that was protected elsewhere, whose target is not known."""
    return {"lpips": float(lpips(original, saved)), **_changed(original, saved)}


def _changed(original: Tensor, saved: Tensor) -> dict[str, float]:
    return {"ssim": float(ssim(original, saved)), **visible(original, saved)}
