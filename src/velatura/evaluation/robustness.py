"""What countermeasures leave of a cloak, without fine-tuning: the fast table, every attack in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from velatura import __version__, judges, weights
from velatura.countermeasures import COUNTERMEASURES
from velatura.countermeasures.treatment import Treatment, model_for, prepare
from velatura.diffusion import extractors
from velatura.diffusion.extractors import Extractor
from velatura.errors import InputError, WeightsError
from velatura.evaluation.arms import Arm, protect
from velatura.evaluation.figures import known_as
from velatura.evaluation.kept import Kept
from velatura.evaluation.methods import AS_PRODUCT, METHODS, SEEN, THROUGH_UNET
from velatura.evaluation.protocol import FEWEST_TO_TRAIN, PAINTING, Say, split
from velatura.evaluation.register import Eye, Register, applied
from velatura.images import read, working
from velatura.judges import embedded
from velatura.perception import lpips as distances
from velatura.perception.pixels import psnr
from velatura.protect import Protector, Settings
from velatura.reports.result import Result, Row
from velatura.reports.statistics import mean_interval, wilson

NONE = "none"  # the row of pictures as they were saved
FEWEST_TO_JUDGE = judges.style.FEWEST


@dataclass(frozen=True)
class Robustness:
    """What is attacked, and how.

    art: the artist's pictures; ``pictures`` of them are protected, the others teach the judge. method: of
    :data:`~velatura.evaluation.methods.METHODS`. model: what the mimic sees and attacks with; its autoencoder is what
    the cloaks are made on, unless ``cloak_models`` names others. upscaler: name, hub id or folder of a diffusion
    upscaler; None: the mimic's own model repaints. side: short side in pixels. countermeasures: names, or none for all.
    style: T's name; None: chosen for the pictures. changes: settings by "name.key". seen: those that the cloak was
    optimised under; none: what is known of the method.
    """

    art: Sequence[Path]
    artist: str
    budgets: Sequence[float] = (0.1,)
    countermeasures: Sequence[str] = ()
    changes: Mapping[str, str] = field(default_factory=dict)
    method: str = "velatura"
    model: str = "mini"
    cloak_models: tuple[str, ...] = ()
    purifier: Path | None = None
    upscaler: str | None = None
    style: str | None = None
    effort: str = "default"
    pictures: int = 8
    side: int = 128
    seen: Sequence[str] = ()
    seed: int = 0
    device: str = "cpu"

    @property
    def warm_start(self) -> bool:
        """Whether the cloaks begin from the instant one: those of the product, made on the mimic's own model."""
        return self.method in AS_PRODUCT and not self.cloak_models and not Settings(effort=self.effort).as_published

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"cloak {self.method!r}: expected one of {', '.join(METHODS)}")
        for name in (*self.countermeasures, *self.seen, *(key.partition(".")[0] for key in self.changes)):
            if name not in COUNTERMEASURES:
                raise InputError(f"countermeasure {name!r}: expected one of {', '.join(COUNTERMEASURES)}")
        if not self.seen:
            object.__setattr__(self, "seen", SEEN.get(self.method, ()))
        if not self.budgets:
            raise InputError("budgets: expected one or more, got none")


def run(plan: Robustness, out: Path | None = None, say: Say = lambda what, done, total: None) -> Result:
    """Protect, attack, look: rows with 95 % intervals over pictures, for every arm, budget and countermeasure.

    With ``out`` the result is written there; a stopped run leaves ``out.partial`` and continues from there.
    """
    attacks, flags = _attacks(plan)
    chosen, others = _split(plan, flags)
    originals = [working(read(path), plan.side) for path in chosen]
    seen = extractors.load(plan.model, plan.device)
    judge = judges.fit({_known(plan): others}, device=plan.device) if others else None
    settings = Settings(
        models=plan.cloak_models or (plan.model,), effort=plan.effort, resolutions=(plan.side,), seed=plan.seed,
        style=plan.style, device=plan.device,
    )  # fmt: skip
    protector = Protector(settings)
    choice = protector.choose([protector.look(read(path)) for path in chosen])
    protector.settings = replace(protector.settings, style=choice.style.name)  # one target for every arm
    targets = [protector.paint(x, choice) for x in originals]
    measure = _Measure(seen, originals, targets, judge, plan)
    used = _settings(plan, chosen, others, choice.style.name, attacks)
    digests = _weights(plan, seen, attacks, judge is not None)
    partial = None if out is None else out.with_name(out.name + ".partial")
    kept = Kept(partial, _mark([__version__, used, digests], [*originals, *targets]))
    rows: list[Row] = []
    arms = [Arm("clean"), *(Arm(method, b) for b in plan.budgets for method in dict.fromkeys(("noise", plan.method)))]
    total, done = len(arms) * (len(attacks) + 1), 0
    shifts: dict[tuple[str, float | None, str], list[float]] = {}
    for arm in arms:
        pictures = originals
        if arm.method != "clean":
            say(f"protecting: {arm.key}", done, total)
            files = kept.files(arm.key, len(originals))
            if files is None:
                files = protect(arm, protector, originals, plan.seed, warm_start=plan.warm_start).files
                kept.add_files(arm.key, files)
            pictures = [working(read(data), plan.side) for data in files]
        for attack in (None, *attacks):
            name = NONE if attack is None else attack.name
            say(f"{arm.key}: {name}", done, total)
            key = f"{arm.key}: {name}"
            if key not in kept.cells:
                kept.add(key, measure(arm, attack, pictures))
            found, shifts[arm.method, arm.budget, name] = kept.cells[key]
            rows += found
            done += 1
    rows += _gains(plan, shifts)
    result = Result(
        "robustness", __version__, plan.seed, plan.device, used, digests, rows, flags + _warnings(plan, rows)
    )
    if out is not None:
        result.save(out)
        kept.drop()
    return result


def _mark(tree: Any, pictures: Sequence[Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(tree, sort_keys=True, default=str).encode())
    for picture in pictures:
        digest.update(picture.cpu().numpy().tobytes())
    return digest.hexdigest()


class _Measure:
    """Figures of attacked pictures, beside the clean originals and the painted targets as the model sees them."""

    def __init__(
        self, seen: Extractor, originals: Sequence[Tensor], targets: Sequence[Tensor], judge: Any, plan: Robustness
    ) -> None:
        self.seen, self.judge, self.plan = seen, judge, plan
        self.eye = Eye(seen, plan.device)
        self.register = Register(originals, targets, self.eye)

    def __call__(self, arm: Arm, attack: Treatment | None, pictures: Sequence[Tensor]) -> tuple[list[Row], list[float]]:
        """Rows of ``pictures`` after the attack, and the decoded shift of each."""
        countermeasure = NONE if attack is None else attack.name
        changed = list(pictures) if attack is None else applied(attack, pictures, self.plan.device)
        place = self.register.after(attack)
        about: dict[str, Any] = {
            "artist": self.plan.artist, "arm": arm.kind, "cloak": arm.method if arm.kind == "cloaked" else None,
            "budget": arm.budget, "countermeasure": countermeasure, "seed": self.plan.seed,
            "recipe": _recipe(self.plan, countermeasure),
        }  # fmt: skip
        away = [self.eye.distance(x, goal) for x, goal in zip(changed, place.goals, strict=True)]
        shifts = [1 - now / max(start, 1e-6) for now, start in zip(away, place.start, strict=True)]
        figures = {"decoded_shift": shifts}
        pairs = list(zip(place.originals, changed, strict=True))
        figures["lpips_to_clean"] = [float(distances.lpips(x, y)) for x, y in pairs]
        # Equal pictures are infinitely near: 8 bits cannot tell more than about 59 dB.
        figures["psnr_to_clean"] = [min(60.0, float(psnr(x, y))) for x, y in pairs]
        rows = []
        for metric, values in figures.items():
            mean, low, high = mean_interval(values)
            rows.append(Row(metric, mean, len(values), low, high, **about))
        return rows + self._judged(changed, about), shifts

    def _judged(self, changed: Sequence[Tensor], about: Mapping[str, Any]) -> list[Row]:
        if self.judge is None:
            return []
        # The judge looks through the miniature's autoencoder by itself.
        own = self.seen.name == "mini"
        with torch.no_grad():
            shown = [x if own else self.seen.view(x.to(self.plan.device)).cpu() for x in changed]
        ranks = self.judge.ranks(shown, _known(self.plan))
        rows = []
        for top in (1, 3):
            count = int((ranks > top).sum())
            low, high = wilson(count, len(ranks))
            rows.append(Row(f"view_shift_top{top}", count / len(ranks), len(ranks), low, high, **about))
        return rows


def _attacks(plan: Robustness) -> tuple[list[Treatment], list[str]]:
    """Those that can run; of "all", each other one leaves a flag, a named one is an error."""
    found, flags = [], []
    for name in plan.countermeasures or COUNTERMEASURES:
        changes = {key.partition(".")[2]: v for key, v in plan.changes.items() if key.partition(".")[0] == name}
        try:
            model = model_for(name, plan.model, plan.purifier, plan.upscaler)
            found.append(prepare(name, changes, model=model, device=plan.device, seed=plan.seed))
        except (WeightsError, InputError) as error:
            learned = COUNTERMEASURES[name].needs == "purifier"
            missing = plan.purifier is None if learned else isinstance(error, WeightsError)
            if plan.countermeasures or not missing:
                raise
            flags.append(f"{name}: not measured: {error}")
    return found, flags


def _split(plan: Robustness, flags: list[str]) -> tuple[list[Path], list[Path]]:
    """Pictures to protect, and others for the judge: none where there are too few to teach it."""
    if len(plan.art) >= FEWEST_TO_JUDGE + FEWEST_TO_TRAIN:
        count = min(plan.pictures, len(plan.art) - FEWEST_TO_JUDGE)
        with suppress(InputError):  # what repeats a protected picture teaches no judge: too few may be left
            return split(plan.art, max(count, FEWEST_TO_TRAIN), plan.seed)
    if len(plan.art) < 2:
        raise InputError(f"expected two pictures or more, got {len(plan.art)}")
    flags.append(f"no style judge: {FEWEST_TO_JUDGE} pictures besides those protected would be needed")
    return sorted(plan.art)[: plan.pictures], []


def _known(plan: Robustness) -> str:
    """The judge's name for the artist: two classes of one artist would take pictures from each other."""
    return known_as(plan.artist, embedded.load().artists)


def _recipe(plan: Robustness, countermeasure: str) -> str:
    if countermeasure == NONE:
        return "fast"
    return "fast, seen" if countermeasure in plan.seen else "fast, held out"


def _gains(plan: Robustness, shifts: Mapping[tuple[str, float | None, str], list[float]]) -> list[Row]:
    """Decoded shift above that of noise of equal LPIPS after the same countermeasure, picture by picture."""
    rows = []
    for (method, budget, name), values in shifts.items():
        noise = shifts.get(("noise", budget, name))
        if method != plan.method or method == "noise" or noise is None:
            continue
        mean, low, high = mean_interval([a - b for a, b in zip(values, noise, strict=True)])
        arm = Arm(method, budget)
        rows.append(
            Row("decoded_shift_over_noise", mean, len(values), low, high, plan.artist, arm.kind,
                method if arm.kind == "cloaked" else None, budget, name, _recipe(plan, name), plan.seed)
        )  # fmt: skip
    return rows


def _warnings(plan: Robustness, rows: Sequence[Row]) -> list[str]:
    found = []
    for budget in plan.budgets:
        lost = [
            str(row.countermeasure)
            for row in rows
            if row.metric == "decoded_shift_over_noise"
            and row.budget == budget
            and row.low is not None
            and row.low <= 0
        ]
        if lost:
            found.append(f"{plan.method} at {budget:g}: not shown to be better than noise after {', '.join(lost)}")
    if plan.seen:
        found.append(f"seen by the cloak's optimiser, so not a test of it: {', '.join(plan.seen)}")
    if plan.model == "mini":
        found.append("measured on the miniature, a scale model")
    return found


def _settings(
    plan: Robustness, chosen: Sequence[Path], others: Sequence[Path], style: str, attacks: Sequence[Treatment]
) -> dict[str, Any]:
    kept = {key: value for key, value in asdict(plan).items() if key not in ("art", "purifier")}
    return {
        **kept,
        "style": style,
        "protected": [path.name for path in chosen],
        "judge_pictures": len(others),
        "attacks": [attack.describe() for attack in attacks],
    }


def _weights(plan: Robustness, seen: Extractor, attacks: Sequence[Treatment], judged: bool) -> dict[str, str]:
    names = ["lpips-alex", "lpips-vgg", "mini", *PAINTING, *(["judge-style"] if judged else [])]
    names += ["instant"] if plan.warm_start or plan.method == "instant" else []
    digests = {name: weights.sha256(weights.embedded(name)) for name in names} | {seen.name: seen.sha256}
    own = plan.cloak_models or (plan.model,)
    digests |= {name: weights.sha256(place) for name in plan.cloak_models if (place := weights.locate(name))}
    if plan.method in THROUGH_UNET:
        digests["unet"] = weights.sha256(weights.require_pipeline(own[0]) / "unet")
    for attack in attacks:
        digests |= attack.weights
    return digests
