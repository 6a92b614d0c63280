"""Plug-ins as an experiment sees them: a cloak is one more row of methods, a judge one more figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from velatura import plugins
from velatura.cloaks import GlazeSettings
from velatura.errors import InputError
from velatura.evaluation.methods import METHODS, Maker, Method, Work
from velatura.plugins import Plugin
from velatura.protection import Protector


@dataclass(frozen=True)
class PluginSettings:
    """What folders and results tell a cloak of somebody else's by: its LPIPS budget, its place and its source."""

    budget: float
    function: str
    sha256: str


def method_names() -> list[str]:
    """Of the methods that have a name: ours, then those of installed packages."""
    return list(dict.fromkeys((*METHODS, *plugins.installed(plugins.CLOAKS))))


def method_of(name: str) -> Method | None:
    """The row of a method: ours, an installed package's or that of ``MODULE:FUNCTION``; None where there is none.

    Raises:
        InputError: it cannot be imported, or is no function.
    """
    return METHODS[name] if name in METHODS else _plugged(name)


def sources(name: str) -> dict[str, str]:
    """sha256 of a plug-in's source, as results list it beside the weights; of ours nothing, which the version says."""
    plugin = None if name in METHODS else plugins.find(plugins.CLOAKS, name)
    return {} if plugin is None else {plugin.title: plugin.sha256}


@cache
def _plugged(name: str) -> Method | None:
    plugin = plugins.find(plugins.CLOAKS, name)
    if plugin is None:
        return None
    if not callable(plugin.value):
        raise InputError(f"{plugin.title}: expected a function, got {type(plugin.value).__name__}")

    def settings(effort: GlazeSettings, budget: float) -> PluginSettings:
        return PluginSettings(budget, plugin.place, plugin.sha256)

    return Method(_maker(plugin), settings)


def _maker(plugin: Plugin) -> Maker:
    def make(protector: Protector, work: Work, settings: PluginSettings) -> list[Tensor]:
        # Copies: a function that works in place must not change what its deltas are compared with.
        pictures, targets = ([x.clone() for x in given] for given in (work.originals, work.targets))
        deltas = plugin.value(pictures, targets, protector.extractors, work.budget, work.seed)
        return _deltas(plugin, work.originals, deltas)

    return make


def _deltas(plugin: Plugin, pictures: Sequence[Tensor], deltas: object) -> list[Tensor]:
    """These, detached, if they are of the pictures' shapes and finite."""
    count = len(deltas) if isinstance(deltas, list | tuple) else None
    if not isinstance(deltas, list | tuple) or count != len(pictures):
        got = type(deltas).__name__ if count is None else count
        raise InputError(f"{plugin.title}: expected a list of {len(pictures)} deltas, got {got}")
    found = []
    for i, (x, delta) in enumerate(zip(pictures, deltas, strict=True)):
        shape = tuple(delta.shape) if isinstance(delta, Tensor) else type(delta).__name__
        if not isinstance(delta, Tensor) or delta.shape != x.shape:
            raise InputError(f"{plugin.title}: delta {i}: expected shape {tuple(x.shape)}, got {shape}")
        if not torch.isfinite(delta).all():
            raise InputError(f"{plugin.title}: delta {i}: expected finite numbers, got others among them")
        found.append(delta.detach().to(x))
    return found


def judge_of(name: str) -> Plugin:
    """The judge of a name, or of ``MODULE:FUNCTION``.

    Raises:
        InputError: there is none, it cannot be imported, or is no function.
    """
    plugin = plugins.find(plugins.JUDGES, name)
    if plugin is None:
        known = ", ".join((*plugins.installed(plugins.JUDGES), "MODULE:FUNCTION"))
        raise InputError(f"judge {name!r}: expected {known}")
    if not callable(plugin.value):
        raise InputError(f"{plugin.title}: expected a function, got {type(plugin.value).__name__}")
    return plugin


def metric_of(judge: Plugin) -> str:
    """What tables call its figure: its name, or that of the function in a file."""
    return judge.name.rpartition(":")[2]


def scores(judge: Plugin, pictures: Sequence[Tensor], real: Sequence[Tensor]) -> list[float]:
    """What a judge says of each picture.

    ``pictures``: what is judged; ``real``: the artist's own that no mimic was given; both ``(1, 3, h, w)`` in [0, 1].
    """
    said = judge.value(list(pictures), list(real))
    values = said.flatten().tolist() if isinstance(said, Tensor) else said
    if not isinstance(values, list | tuple) or len(values) != len(pictures):
        got = len(values) if isinstance(values, list | tuple) else type(said).__name__
        raise InputError(f"{judge.title}: expected {len(pictures)} numbers, one per picture, got {got}")
    numbers = [float(value) for value in values]
    if not all(map(math.isfinite, numbers)):
        raise InputError(f"{judge.title}: expected finite numbers, got others among them")
    return numbers
