"""What other packages add without a fork: cloaks, countermeasures, judges.

A package names them as entry points, in groups of these names::

    [project.entry-points."velatura.cloaks"]
    swirl = "my_package.swirl:make"

What is not packaged is named by its place: ``my_package.swirl:make``, ``swirl:make`` (a module in the folder that one
is in) or ``path/swirl.py:make``. Nothing is imported before its name is asked for.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from velatura.errors import InputError

CLOAKS, COUNTERMEASURES, JUDGES = "velatura.cloaks", "velatura.countermeasures", "velatura.judges"
GROUPS = {CLOAKS: "cloak", COUNTERMEASURES: "countermeasure", JUDGES: "judge"}
"""What a member of each group is called."""


@dataclass(frozen=True)
class Plugin:
    """What was found under a name.

    Attributes:
        name: as it was asked for.
        kind: cloak, countermeasure or judge.
        place: ``module:attribute``, where it lies.
        value: what lies there.
        sha256: of its source; of a package all of it, of a single file that file.
    """

    name: str
    kind: str
    place: str
    value: Any = field(repr=False, compare=False)
    sha256: str

    @property
    def title(self) -> str:
        """As errors name it."""
        return f"{self.kind} {self.name}" + ("" if self.name == self.place else f" ({self.place})")


def installed(group: str) -> dict[str, str]:
    """Places of the entry points of a group, by name."""
    return {name: point.value for name, point in _points(group).items()}


@cache
def find(group: str, name: str) -> Plugin | None:
    """The plug-in of a name; None where no package has such an entry point and it names no place either.

    Raises:
        InputError: it cannot be imported, or is not there: one line that names it.
    """
    point = _points(group).get(name)
    place = name if point is None else point.value
    module_name, _, attribute = place.rpartition(":")
    if not module_name or not attribute.isidentifier():
        return None
    about = f"{GROUPS[group]} {name}" + ("" if name == place else f" ({place})")
    try:
        module = _file(Path(module_name)) if module_name.endswith(".py") else _module(module_name)
    except Exception as error:  # whatever it does when it is imported
        what = str(error).partition("\n")[0]
        raise InputError(f"{about}: cannot be imported: {type(error).__name__}: {what}") from error
    if not hasattr(module, attribute):
        raise InputError(f"{about}: expected {attribute} in {module_name}, found none")
    return Plugin(name, GROUPS[group], place, getattr(module, attribute), _digest(module))


def listed() -> list[str]:
    """The entry points of all groups, a line each, for people."""
    return [f"{GROUPS[group]} {name} ({place})" for group in GROUPS for name, place in installed(group).items()]


@cache
def _points(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in sorted(entry_points(group=group), key=lambda point: point.name)}


def _module(name: str) -> ModuleType:
    with _here():
        return importlib.import_module(name)


@contextmanager
def _here() -> Iterator[None]:
    """Modules of the folder that one is in can be imported, too; those that are installed come first."""
    before = list(sys.path)
    sys.path.append(os.getcwd())
    try:
        yield
    finally:
        sys.path[:] = before


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _digest(module: ModuleType) -> str:
    """Of a package's files all, since a function may lean on its neighbours."""
    if module.__file__ is None:
        return ""
    files = [Path(module.__file__)]
    top = sys.modules.get(module.__name__.partition(".")[0])
    if top is not None and hasattr(top, "__path__") and top.__file__ is not None:
        files = sorted(Path(top.__file__).parent.rglob("*.py"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
