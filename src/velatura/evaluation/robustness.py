"""What countermeasures leave of a cloak, without fine-tuning: the fast table, with every countermeasure in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from velatura import __version__, judges, weights
from velatura.countermeasures import COUNTERMEASURES
from velatura.countermeasures import plugged as countermeasures
from velatura.countermeasures.treatment import Treatment, model_for, prepare
from velatura.diffusion import extractors
from velatura.diffusion.extractors import Extractor
from velatura.errors import InputError, WeightsError
from velatura.evaluation.arms import Arm
from velatura.evaluation.checkpoint import Checkpoint, mark_of
from velatura.evaluation.experiment import Say
from velatura.evaluation.figures import known_as
from velatura.evaluation.folders import PAINTING
from velatura.evaluation.methods import Method
from velatura.evaluation.plugged import method_names, method_of, sources
from velatura.evaluation.protecting import protect
from velatura.evaluation.setup import FEWEST_TO_TRAIN, split
from velatura.evaluation.treated import NONE, Measure, about_of
from velatura.images import read, working
from velatura.judges import embedded
from velatura.protection import Protector, Settings
from velatura.reports.result import Result, Row
from velatura.reports.statistics import mean_interval

FEWEST_TO_JUDGE = judges.style.FEWEST


@dataclass(frozen=True)
class Robustness:
    """What is treated, and how.

    art: the artist's pictures; ``pictures`` of them are protected, the others teach the judge. method: of
    :data:`~velatura.evaluation.methods.METHODS`. model: what the mimic sees and works with; its autoencoder is what
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
        usual = not self.cloak_models and not Settings(effort=self.effort).as_published
        return self.row.as_product and usual

    @property
    def row(self) -> Method:
        """All that is known of the method."""
        row = method_of(self.method)
        if row is None:
            raise InputError(f"cloak {self.method!r}: expected one of {', '.join(method_names())}, or MODULE:FUNCTION")
        return row

    def __post_init__(self) -> None:
        seen = self.row.seen
        for name in (*self.countermeasures, *self.seen, *(key.partition(".")[0] for key in self.changes)):
            countermeasures.named(name)
        if not self.seen:
            object.__setattr__(self, "seen", seen)
        if not self.budgets:
            raise InputError("budgets: expected one or more, got none")


def run(plan: Robustness, out: Path | None = None, say: Say = lambda what, done, total: None) -> Result:
    """Protect, treat, look: rows with 95 % intervals over pictures, for every arm, budget and countermeasure.

    With ``out`` the result is written there; a stopped run leaves ``out.partial`` and continues from there.
    """
    treatments, flags = _treatments(plan)
    chosen, others = _split(plan, flags)
    originals = [working(read(path), plan.side) for path in chosen]
    seen = extractors.load(plan.model, plan.device)
    judge = judges.fit({_known(plan): others}, device=plan.device) if others else None
    settings = Settings(
        models=plan.cloak_models or (plan.model,),
        effort=plan.effort,
        resolutions=(plan.side,),
        seed=plan.seed,
        style=plan.style,
        device=plan.device,
    )
    protector = Protector(settings)
    choice = protector.choose([protector.look(read(path)) for path in chosen])
    protector.settings = replace(protector.settings, style=choice.style.name)  # one target for every arm
    targets = [protector.paint(x, choice) for x in originals]
    measure = Measure(plan, seen, originals, targets, judge, _known(plan))
    used = _settings(plan, chosen, others, choice.style.name, treatments)
    digests = _weights(plan, seen, treatments, judge is not None)
    partial = None if out is None else out.with_name(out.name + ".partial")
    checkpoint = Checkpoint(partial, mark_of([__version__, used, digests], [*originals, *targets]))
    rows = _measured(plan, protector, originals, treatments, measure, checkpoint, say)
    result = Result(
        "robustness", __version__, plan.seed, plan.device, used, digests, rows, flags + _warnings(plan, rows)
    )
    if out is not None:
        result.save(out)
        checkpoint.drop()
    return result


def _measured(
    plan: Robustness,
    protector: Protector,
    originals: Sequence[Tensor],
    treatments: Sequence[Treatment],
    measure: Measure,
    checkpoint: Checkpoint,
    say: Say,
) -> list[Row]:
    """Rows of every arm after every treatment, and of what cloaks gain over noise; what is there is taken as it is."""
    rows: list[Row] = []
    arms = [Arm("clean"), *(Arm(method, b) for b in plan.budgets for method in dict.fromkeys(("noise", plan.method)))]
    total, done = len(arms) * (len(treatments) + 1), 0
    shifts: dict[tuple[str, float | None, str], list[float]] = {}
    for arm in arms:
        pictures = originals
        if arm.method != "clean":
            say(f"protecting: {arm.key}", done, total)
            files = checkpoint.files(arm.key, len(originals))
            if files is None:
                files = protect(arm, protector, originals, plan.seed, warm_start=plan.warm_start).files
                checkpoint.add_files(arm.key, files)
            pictures = [working(read(data), plan.side) for data in files]
        for treatment in (None, *treatments):
            name = NONE if treatment is None else treatment.name
            say(f"{arm.key}: {name}", done, total)
            key = f"{arm.key}: {name}"
            if key not in checkpoint.cells:
                checkpoint.add(key, measure(arm, treatment, pictures))
            found, shifts[arm.method, arm.budget, name] = checkpoint.cells[key]
            rows += found
            done += 1
    return rows + _gains(plan, shifts)


def _treatments(plan: Robustness) -> tuple[list[Treatment], list[str]]:
    """Those that can run; of "all", each other one leaves a flag, a named one is an error."""
    found, flags = [], []
    for name in plan.countermeasures or countermeasures.names():
        changes = {key.partition(".")[2]: v for key, v in plan.changes.items() if key.partition(".")[0] == name}
        try:
            model = model_for(name, plan.model, plan.purifier, plan.upscaler)
            found.append(prepare(name, changes, model=model, device=plan.device, seed=plan.seed))
        except (WeightsError, InputError) as error:
            if plan.countermeasures or not _cannot_run(plan, name, error):
                raise
            flags.append(f"{name}: not measured: {error}")
    return found, flags


def _cannot_run(plan: Robustness, name: str, error: Exception) -> bool:
    """Whether it is not here, or does not work, rather than asked for wrongly."""
    if name not in COUNTERMEASURES:
        return True  # of an installed package
    if COUNTERMEASURES[name].needs == "purifier":
        return plan.purifier is None
    return isinstance(error, WeightsError)


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


def _gains(plan: Robustness, shifts: Mapping[tuple[str, float | None, str], list[float]]) -> list[Row]:
    """Decoded shift above that of noise of equal LPIPS after the same countermeasure, picture by picture."""
    rows = []
    for (method, budget, name), values in shifts.items():
        noise = shifts.get(("noise", budget, name))
        if method != plan.method or method == "noise" or noise is None:
            continue
        mean, low, high = mean_interval([a - b for a, b in zip(values, noise, strict=True)])
        about = about_of(plan, Arm(method, budget), name)
        rows.append(Row("decoded_shift_over_noise", mean, len(values), low, high, **about))
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
    plan: Robustness, chosen: Sequence[Path], others: Sequence[Path], style: str, treatments: Sequence[Treatment]
) -> dict[str, Any]:
    own = {key: value for key, value in asdict(plan).items() if key not in ("art", "purifier")}
    return {
        **own,
        "style": style,
        "protected": [path.name for path in chosen],
        "judge_pictures": len(others),
        "attacks": [treatment.describe() for treatment in treatments],
    }


def _weights(plan: Robustness, seen: Extractor, treatments: Sequence[Treatment], judged: bool) -> dict[str, str]:
    names = ["lpips-alex", "lpips-vgg", "mini", *PAINTING, *(["judge-style"] if judged else [])]
    names += ["instant"] if plan.warm_start or plan.method == "instant" else []
    digests = {name: weights.sha256(weights.embedded(name)) for name in names} | {seen.name: seen.sha256}
    own = plan.cloak_models or (plan.model,)
    digests |= {name: weights.sha256(place) for name in plan.cloak_models if (place := weights.locate(name))}
    if plan.row.through_unet:
        digests["unet"] = weights.sha256(weights.require_pipeline(own[0]) / "unet")
    for treatment in treatments:
        digests |= treatment.weights
    return digests | sources(plan.method)
