"""Countermeasures by name: ours, those of installed packages, and functions in a file of the user's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from torch import Tensor

from velatura import plugins
from velatura.countermeasures import COUNTERMEASURES, Countermeasure, Settings
from velatura.errors import ContractError, InputError
from velatura.images.contract import check_pictures
from velatura.plugins import Plugin


def names() -> list[str]:
    """Of all that have one: ours, then those of installed packages."""
    return list(dict.fromkeys((*COUNTERMEASURES, *plugins.installed(plugins.COUNTERMEASURES))))


def named(name: str) -> Countermeasure:
    """The countermeasure of a name, or of ``MODULE:FUNCTION``.

    Raises:
        InputError: there is none, it cannot be imported, or is no countermeasure.
    """
    found = COUNTERMEASURES.get(name) or _plugged(name)
    if found is None:
        raise InputError(f"countermeasure {name!r}: expected one of {', '.join(names())}")
    return found


def sources(name: str) -> dict[str, str]:
    """sha256 of a plug-in's source, as results list it beside the weights; of ours nothing, which the version says."""
    plugin = None if name in COUNTERMEASURES else plugins.find(plugins.COUNTERMEASURES, name)
    return {} if plugin is None else {plugin.title: plugin.sha256}


@cache
def _plugged(name: str) -> Countermeasure | None:
    plugin = plugins.find(plugins.COUNTERMEASURES, name)
    if plugin is None:
        return None
    if isinstance(plugin.value, Countermeasure):
        return replace(plugin.value, function=_checked(plugin, plugin.value.function))
    if not callable(plugin.value):
        raise InputError(f"{plugin.title}: expected a function or a Countermeasure, got {type(plugin.value).__name__}")
    about = (plugin.value.__doc__ or plugin.place).strip().partition("\n")[0]
    return Countermeasure(Settings, _checked(plugin, lambda pictures, settings: plugin.value(pictures)), about)


def _checked(plugin: Plugin, function: Callable[..., Any]) -> Callable[..., Tensor]:
    """The function, whose result must be pictures of the same shape."""

    def treat(pictures: Tensor, **given: Any) -> Tensor:
        made = function(pictures, **given)
        if not isinstance(made, Tensor) or made.shape != pictures.shape:
            got = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
            raise InputError(f"{plugin.title}: expected pictures of shape {tuple(pictures.shape)}, got {got}")
        try:
            return check_pictures(made.detach())
        except ContractError as error:
            raise InputError(f"{plugin.title}: {error}") from error

    return treat
