"""From judged pictures to rows with intervals."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from velatura import judges
from velatura.evaluation.arms import Arm
from velatura.judges import style
from velatura.judges.fidelity import FEWEST, compare
from velatura.judges.style_distance import apart
from velatura.judges.views import opened
from velatura.perception.style import style_change
from velatura.reports import tables
from velatura.reports.result import Row
from velatura.reports.statistics import mean_interval, wilson
from velatura.reports.summary import OWN

CLOAK_METRICS = (
    *("lpips", "colour_cast", "latent_remaining", "decoded_shift", "own_decoded_shift"),
    *("psnr_db", "ssim", "delta_e_mean", "delta_e_flat"),
)
OnGenre = Callable[[Sequence[Path]], Tensor]
OnPictures = Callable[[Sequence[Path]], list[float]]


@dataclass(frozen=True, eq=False)
class Panel:
    """What an artist's mimics are judged by, the same for all arms.

    ``training``: what the mimic was given, and may copy; ``held_back``: what the judge has learned the artist from.
    ``genre`` gives the place of the artist's genre for each picture. ``own``: judges of the user's, by name; each gives
    a number for each picture.
    """

    judge: judges.StyleJudge
    artist: str
    training: Sequence[Path | Tensor]
    held_back: Sequence[Path | Tensor]
    genre: OnGenre | None = None
    own: Mapping[str, OnPictures] = field(default_factory=dict)

    @cached_property
    def real(self) -> Tensor:
        """The judge's coordinates of the pictures held back, ``(R, K)``."""
        return self.judge.places(self.held_back)


def judged(
    arm: Arm, made: Sequence[Path], panel: Panel, seed: int | None = None, recipe: str | None = None
) -> tuple[list[Row], Tensor]:
    """Rows of one arm and seed, and the artist's rank for each picture, ``(n,)``.

    ``style_top1|top3``: share placed in the artist's style; ``style_shift_top1|top3``: the rest. Of pictures that a
    mimic painted also the share of copies, of style shifts among those that are none, and the Fréchet distance to real
    pictures beside that of real pictures to each other (``frechet_real``). ``genre_shift`` is the share whose genre has
    a place above 3, as in the paper. ``judge_NAME``: the mean of what a judge of the user's says.
    """
    seen, judge = list(opened(made)), panel.judge  # read once, looked at in three ways
    places = judge.places(seen)
    ranks = style.ranks(judge.likely(places), judge.index(known_as(panel.artist, judge.classes)))
    about = {**_about(arm, panel.artist), "recipe": recipe, "seed": seed}
    n = len(ranks)
    counts = {"style_top1": (ranks == 1).sum(), "style_top3": (ranks <= 3).sum()}
    counts |= {"style_shift_top1": (ranks > 1).sum(), "style_shift_top3": (ranks > 3).sum()}
    if panel.genre is not None:
        counts["genre_shift"] = (panel.genre(made) > 3).sum()
    rows = [_share(metric, int(count), n, about) for metric, count in counts.items()]
    for name, own in panel.own.items():
        values = own(made)
        mean, low, high = mean_interval(values) if n > 1 else (values[0], None, None)
        rows.append(Row(f"{tables.OWN_JUDGE}{name}", mean, n, low, high, **about))
    if arm.method != "real":
        copies = judges.copy_rate(seen, panel.training, device=str(judge.extractor.device))
        rows.append(_share("copy_rate", copies.copied, n, about))
        fresh = ranks[copies.distances >= copies.threshold]
        if len(fresh):
            rows.append(_share("style_shift_top3_no_copies", int((fresh > 3).sum()), len(fresh), about))
        if len(panel.held_back) >= 2 * FEWEST and n >= FEWEST:
            found = compare(places, panel.real)
            rows.append(Row("frechet", found.distance, found.n, **about))
            rows.append(Row("frechet_real", found.bias, found.n, **about))
    return rows, ranks


def known_as(artist: str, names: Iterable[str]) -> str:
    """The judge's name for an artist that it may know already: ``rembrandt``, ``kate-greenaway``; else the same."""
    plain = re.sub(r"[-_\s]+", " ", artist).strip().lower()
    return next((name for name in names if re.sub(r"[-_\s]+", " ", name).lower() == plain), artist)


@dataclass(frozen=True)
class Look:
    """Pictures as the mimic's model sees them: the judge's coordinates ``(n, K)``, AlexNet's style ``(n, 6048)``."""

    places: Tensor
    styles: Tensor


def view_rows(arm: Arm, originals: Look, seen: Look, judge: judges.StyleJudge, artist: str) -> list[Row]:
    """Of the protected pictures as the mimic's model sees them: fast figures, for which no mimic has to be trained.

    ``view_shift_top1|top3``: share that the judge places in another style. ``style_move``: how far they have moved from
    the ``originals`` in the same eyes (``judges.style_moves``), for which the judge need not know the artist.
    ``view_change``: the same in AlexNet's eyes (``perception.style``), which are not the judge's.
    """
    ranks = style.ranks(judge.likely(seen.places), judge.index(known_as(artist, judge.classes)))
    about = _about(arm, artist)
    counts = {"view_shift_top1": (ranks > 1).sum(), "view_shift_top3": (ranks > 3).sum()}
    rows = [_share(metric, int(count), len(ranks), about) for metric, count in counts.items()]
    if len(ranks) > 1:
        changes = style_change(originals.styles, seen.styles)
        moved = {"style_move": apart(originals.places, seen.places), "view_change": changes}
        for metric, values in moved.items():
            mean, low, high = mean_interval(values.tolist())
            rows.append(Row(metric, mean, len(ranks), low, high, **about))
    return rows


def cloak_rows(arm: Arm, artist: str, figures: Sequence[Mapping[str, float]]) -> list[Row]:
    """Means over the protected pictures, of their files; after a countermeasure, of what it made of them."""
    if len(figures) < 2:
        return []
    about, rows = _about(arm, artist), []
    for metric in (metric for metric in CLOAK_METRICS if metric in figures[0]):
        mean, low, high = mean_interval([f[metric] for f in figures])
        rows.append(Row(metric, mean, len(figures), low, high, **about))
    if not arm.then:  # a budget is the cloak's
        rows.append(Row("lpips_max", max(f["lpips"] for f in figures), len(figures), **about))
    return rows


def dropped_rows(arm: Arm, artist: str, counts: Mapping[str, tuple[int, int]]) -> list[Row]:
    """``dropped_protected``, ``dropped_clean``: shares of such pictures that the mimic's detector left out."""
    about = _about(arm, artist)
    return [_share(metric, count, n, about) for metric, (count, n) in counts.items()]


def compared(arms: Sequence[Arm], ranks: Mapping[str, Mapping[int, Tensor]], artist: str, recipe: str) -> list[Row]:
    """Gain of each cloak over noise and over the published objective, picture by picture (same prompts, same seeds);
    of this package's own over every other arm, and at another effort over the usual one (T too is another at "paper",
    unless the arms name it).

    ``gain_over_METHOD_top1|top3``: difference of style shift at the same budget and share, with a t-interval over the
    pairs of all seeds, which takes them for independent.
    """
    rows: list[Row] = []
    every = {arm.method: arm.row for arm in arms}
    for arm in (arm for arm in arms if arm.kind == "cloaked" and arm.budget is not None):
        for method in every if arm.method == OWN else ("noise", "glaze"):
            wanted = (method, arm.budget, arm.share, arm.countermeasures)
            same = (a for a in arms if (a.method, a.budget, a.share, a.countermeasures) == wanted)
            row = every.get(method)
            effort = arm.at if row is not None and row.follows_effort and method != arm.method else ""
            alike = (arm.on, arm.towards, effort)
            control = next((a for a in same if method == "noise" or (a.on, a.towards, a.at) == alike), None)
            if control is None or control == arm:
                continue
            pairs = [(ranks[arm.key][s], ranks[control.key][s]) for s in ranks[arm.key] if s in ranks[control.key]]
            ours, theirs = (torch.cat(part) for part in zip(*pairs, strict=True))
            for top in (1, 3):
                gain = ((ours > top).float() - (theirs > top).float()).tolist()
                mean, low, high = mean_interval(gain)
                metric = f"gain_over_{method}_top{top}"
                rows.append(Row(metric, mean, len(gain), low, high, recipe=recipe, **_about(arm, artist)))
    return rows


def _about(arm: Arm, artist: str) -> dict[str, Any]:
    return {
        "artist": artist,
        "arm": arm.kind,
        "cloak": arm.label,
        "budget": arm.budget,
        "countermeasure": arm.countermeasures or None,
    }


def _share(metric: str, count: int, n: int, about: Mapping[str, Any]) -> Row:
    low, high = wilson(count, n)
    return Row(metric, count / n, n, low=low, high=high, **about)
