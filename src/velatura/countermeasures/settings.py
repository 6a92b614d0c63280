"""How a countermeasure declares its settings: a default, a line of help and the range, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar

from velatura.errors import InputError

S = TypeVar("S", bound="Settings")


def setting(
    default: float | str, about: str, low: float | None = None, high: float | None = None, one_of: tuple[Any, ...] = ()
) -> Any:
    """A field with its line of help and what it may be: from ``low`` to ``high``, or ``one_of`` some values."""
    return field(default=default, metadata={"about": about, "low": low, "high": high, "one_of": one_of})


def seed() -> Any:
    """The field of every countermeasure that draws; picture i of a batch draws from seed + i."""
    return setting(0, "of every random choice", 0, 2**62)


@dataclass(frozen=True)
class Settings:
    """What the settings of all countermeasures have in common: values out of their range are refused with one line."""

    def __post_init__(self) -> None:
        for found in fields(self):
            value, facts = getattr(self, found.name), found.metadata
            if facts["one_of"] and value not in facts["one_of"]:
                raise InputError(f"{found.name}: expected {words(found)}, got {value!r}")
            if isinstance(value, str):
                continue
            # Also false for NaN.
            if not (
                (facts["low"] is None or value >= facts["low"]) and (facts["high"] is None or value <= facts["high"])
            ):
                raise InputError(f"{found.name}: expected {words(found)}, got {value:g}")


def words(found: Field[Any]) -> str:
    """What a field may be, in words."""
    low, high, one_of = (found.metadata[key] for key in ("low", "high", "one_of"))
    if one_of:
        return "one of " + ", ".join(map(str, one_of))
    if isinstance(found.default, str):
        return "text"
    kind = "a whole number" if isinstance(found.default, int) else "a number"
    if low is not None and high is not None and high < 2**62:
        return f"{kind} from {low:g} to {high:g}"
    return kind if low is None else f"{kind} of {low:g} or more"


def parse(kind: type[S], changes: Mapping[str, str]) -> S:
    """Settings from ``key=value`` texts, as the command line has them."""
    known = {found.name: found for found in fields(kind)}
    values: dict[str, Any] = {}
    for key, text in changes.items():
        if key not in known:
            names = ", ".join(known) or "none: it has no settings"
            raise InputError(f"setting {key!r}: expected one of {names}")
        default = known[key].default
        assert default is not MISSING
        try:
            values[key] = text if isinstance(default, str) else type(default)(text)
        except ValueError:
            raise InputError(f"{key}: expected {words(known[key])}, got {text!r}") from None
    return kind(**values)
