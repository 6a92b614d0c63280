"""The ways that a mimic works: how it fine-tunes, at which resolution, and what it generates from."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import get_args

from velatura.errors import InputError
from velatura.mimicry.finetune import Method, Settings

STRENGTH = 0.6  # of img2img: composition stays, surface is painted anew
STEP = 32  # px; U-Nets of the miniature and of Stable Diffusion halve latents up to three times


@dataclass(frozen=True)
class Recipe:
    """``method`` of fine-tuning; ``scale``: of the resolution that the mimic trains at, 1 being the one that cloaks
    are made for; ``strength``: of img2img over given pictures, None: pictures from words alone; ``robust``: steps of
    robust training that the base model gets before, on pairs of other artists; ``one``: the mimic has one picture, the
    first.
    """

    method: str = "full"
    scale: float = 1.0
    strength: float | None = None
    robust: int = 0
    one: bool = False

    @classmethod
    def parse(cls, text: str, method: str = "full") -> Recipe:
        """``""`` (``method`` as it is), ``lora``, ``x0.75``, ``img2img``, ``robust300``, ``one``, or several."""
        recipe = cls(method)
        for word in text.split():
            if word == "img2img":
                recipe = replace(recipe, strength=STRENGTH)
            elif word == "one":
                recipe = replace(recipe, one=True)
            elif re.fullmatch(r"x\d+(\.\d+)?", word) and 0.25 <= float(word[1:]) <= 4:
                recipe = replace(recipe, scale=float(word[1:]))
            elif re.fullmatch(r"robust[1-9]\d*", word):
                recipe = replace(recipe, robust=int(word.removeprefix("robust")))
            elif word in get_args(Method):
                recipe = replace(recipe, method=word)
            else:
                expected = ", ".join((*get_args(Method), "img2img", "one"))
                raise InputError(
                    f"recipe {text!r}: expected {expected}, x0.75 (of the resolution) or robust300 (steps)"
                )
        return recipe

    def resolution(self, own: int) -> int:
        """Side of the mimic's training squares in pixels, for a model that is trained at ``own``."""
        return own if self.scale == 1 else max(STEP, round(self.scale * own / STEP) * STEP)


@dataclass(frozen=True)
class Way:
    """A recipe for one base model: settings filled in. ``robust_training``: its settings, if there is one."""

    recipe: Recipe
    settings: Settings
    robust_training: Settings | None = None

    @property
    def label(self) -> str:
        """As results name it: ``lora``, ``full 96 px``, ``full img2img``, ``full robust 300``, ``pez one``."""
        return f"{self._trained}{self.suffix}"

    @property
    def training(self) -> str:
        """What its mimics share with those of ways that differ in how they generate."""
        return f"{self._trained}{self._before}"

    @property
    def suffix(self) -> str:
        """What also holds for a base model that is not fine-tuned at all."""
        return self._before + ("" if self.recipe.strength is None else " img2img")

    @property
    def _trained(self) -> str:
        return self.settings.method + (" one" if self.recipe.one else "")

    @property
    def _before(self) -> str:
        size = "" if self.recipe.scale == 1 else f" {self.settings.resolution} px"
        return size + (f" robust {self.recipe.robust}" if self.recipe.robust else "")
