"""The paper's axes as data, by name: which arms, and in which ways the mimic works."""

from __future__ import annotations

from dataclasses import dataclass, replace

from velatura import plugins
from velatura.errors import InputError
from velatura.evaluation.arms import Arm

_CONTROLS = ("base", "real", "clean")
# The full depth of the table of countermeasures (docs/countermeasures.md), named before it was first run.
EIGHT = ("jpeg quality=75", "upscale", "bilateral", "resize", "vae", "impress", "diffuse", "learned")
# Controls, cloaks of others, our own; but "banded" and "scattered", which are ours with other Ts,
# and "instant", which knows the miniature only.
_METHODS = (
    *("noise", "shuffled", "glaze", "glaze-bounded", "application", "photoguard", "styleguard"),
    *("advdm", "mist", "aspl"),
    *("decoded", "blend", "veil", "hardened", "velatura"),
)
_NOISED = tuple(
    f"then {before}{after}" for before in ("noise sigma=0.05", "jpeg quality=75") for after in ("", " denoised nlm")
)
_HALVES = ("clean", "noise:0.1@0.5", "velatura:0.1@0.5")
_SHORT = (*_CONTROLS, "noise:0.1", "velatura:0.1")


@dataclass(frozen=True)
class Plan:
    """``arms`` and ``recipes`` in the words of ``Arm.parse`` and ``Recipe.parse``.

    ``other`` in an arm stands for the models that the user names to make cloaks on. ``each``: pictures a subject.
    ``artists``: every folder is another artist. ``contents``: needs pictures to paint over. ``other``: needs a model.
    ``pairs``: needs pictures by other artists, cloaked and clean. ``mimics``: trains any.
    """

    says: str
    arms: tuple[str, ...]
    recipes: tuple[str, ...] = ("",)
    each: int = 4
    artists: bool = False
    contents: bool = False
    other: bool = False
    pairs: bool = False
    mimics: bool = True


PLANS: dict[str, Plan] = {
    "quick": Plan(
        "does it work on my pictures? clean, noise and cloak at the default budget, half as many pictures",
        ("real", "clean", "noise:0.1", "velatura:0.1"),
        each=2,
    ),
    "view": Plan(
        "no mimic, minutes: the judge looks at what the model sees of protected pictures",
        ("real", "noise:0.1", "velatura:0.1"),
        mimics=False,
    ),
    "headline": Plan(
        "controls, PhotoGuard, the published objective and ours, at the default budget",
        (*_CONTROLS, "noise:0.1", "shuffled:0.1", "photoguard:0.1", "glaze:0.1", "velatura:0.1"),
    ),
    "methods": Plan(
        "the cloaks of others and ours, at LPIPS 0.05 and 0.1",
        (*_CONTROLS, *(f"{method}:{budget}" for budget in (0.05, 0.1) for method in _METHODS)),
    ),
    "budgets": Plan(
        "noise and cloak at LPIPS 0 (clean), 0.05, 0.1 and 0.2",
        (*_CONTROLS, *(f"{method}:{budget}" for budget in (0.05, 0.1, 0.2) for method in ("noise", "velatura"))),
    ),
    "known": Plan(
        "artists that the base model knows beside artists that it does not, a folder each",
        _SHORT,
        artists=True,
    ),
    "extractors": Plan(
        "cloaks made on the mimic's own model, on other ones (--cloak-model), and on all of them together",
        (*_CONTROLS, "noise:0.1", *(f"velatura:0.1 on {models}" for models in ("mimic", "other", "mimic+other"))),
        other=True,
    ),
    "shares": Plan(
        "the mimic has 0 (clean), 25, 50, 75 and 100 % protected art",
        (*_CONTROLS, *(f"{m}:0.1@{share}" for share in (0.25, 0.5, 0.75, 1.0) for m in ("noise", "velatura"))),
    ),
    "recipes": Plan("the mimic fine-tunes fully, or by LoRA", _SHORT, recipes=("full", "lora")),
    "img2img": Plan(
        "the mimic paints over given pictures (--contents) beside painting from words",
        _SHORT,
        recipes=("", "img2img"),
        contents=True,
    ),
    "resolution": Plan(
        "the mimic trains at three quarters of, at, and at one and a half times the resolution of the cloak",
        _SHORT,
        recipes=("", "x0.75", "x1.5"),
    ),
    "countermeasures": Plan(
        "what mimics do to pictures first, eight ways; needs --purifier for the learned one",
        (*_SHORT, *(f"{arm} then {name}" for name in EIGHT for arm in ("clean", "noise:0.1", "velatura:0.1"))),
    ),
    "noised": Plan(
        "the mimic fine-tunes on noised or compressed pictures, and denoises what it generates",
        (*_SHORT, *(f"{arm} {words}" for words in _NOISED for arm in ("clean", "noise:0.1", "velatura:0.1"))),
    ),
    "dropping": Plan(
        "half of the mimic's pictures are protected, and it leaves out what a detector finds (--pairs)",
        (
            *(*_CONTROLS, "noise:0.1@0.5", "velatura:0.1@0.5"),
            *(f"{arm} dropping {name}" for name in ("spectrum", "density", "trained") for arm in _HALVES),
        ),
        pairs=True,
    ),
    "robust": Plan(
        "the base model is adapted to cloaked pictures of other artists (--pairs) before, in growing numbers of steps",
        _SHORT,
        recipes=("", *(f"robust{steps}" for steps in (100, 300, 1000))),
        pairs=True,
    ),
    "inversion": Plan(
        "the mimic trains nothing but looks for words: a new one (textual inversion) or known ones (PEZ), "
        "of all pictures or of one",
        _SHORT,
        recipes=("textual-inversion", "textual-inversion one", "pez", "pez one"),
    ),
    "clean": Plan("does the mimic work at all?", _CONTROLS),
}


def plan(name: str) -> Plan:
    """A plan by name."""
    if name not in PLANS:
        raise InputError(f"plan: expected one of {', '.join(PLANS)}, got {name!r}")
    return PLANS[name]


def arms(name: str, other: tuple[str, ...] = ()) -> list[Arm]:
    """The arms of a plan; ``other``: the models that stand for ``other`` in them."""
    chosen = plan(name)
    if chosen.other and not other:
        raise InputError(f"plan {name}: expected other models to make cloaks on: add --cloak-model")
    found = []
    for arm in map(Arm.parse, chosen.arms):
        models = (one for model in arm.on for one in (other if model == "other" else (model,)))
        found.append(replace(arm, on=tuple(dict.fromkeys(models))))
    return found


def listed() -> str:
    """All plans, and what installed packages add to their arms, for people."""
    lines, wide = [], max(map(len, PLANS)) + 2
    for name, chosen in PLANS.items():
        lines.append(f"{name:{wide}}{chosen.says}")
        ways = f"; mimic: {', '.join(recipe or 'as --method says' for recipe in chosen.recipes)}"
        lines.append(f"{'':{wide}}{', '.join(chosen.arms)}{ways if len(chosen.recipes) > 1 else ''}")
    if found := plugins.listed():
        lines += ["", "Of installed packages:", *(f"  {one}" for one in found)]
    return "\n".join(lines)
