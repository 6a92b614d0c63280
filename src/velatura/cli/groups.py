"""Groups that import a command when it runs, and help that comes in sections."""

from __future__ import annotations

import difflib
import importlib
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import click

from velatura.errors import InputError

# Sections of a command's options, in this order.
OPTION_GROUPS = {
    "usual": "Usual options",
    "file": "The protected file",
    "style": "Target style",
    "model": "Models and machine",
    "expert": "For experts",
}


class Entry(NamedTuple):
    """Where a command is defined, and its line of help."""

    module: str
    attribute: str
    help: str


class LazyGroup(click.Group):
    """A group whose commands are imported when they run.

    Args:
        sections: by heading of the help, the commands by name.
        elsewhere: commands of other groups: their full spelling by name, for those who ask here.
    """

    def __init__(
        self,
        *args: Any,
        sections: dict[str, dict[str, Entry]] | None = None,
        elsewhere: dict[str, str] | None = None,
        **attrs: Any,
    ) -> None:
        super().__init__(*args, **attrs)
        self.sections = sections or {}
        self.elsewhere = elsewhere or {}

    @property
    def entries(self) -> dict[str, Entry]:
        return {name: entry for section in self.sections.values() for name, entry in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(importlib.import_module(entry.module), entry.attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.entries))
        for title, section in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), entry.help) for name, entry in section.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0]
        if name not in self.entries and not name.startswith("-"):
            raise InputError(self._meant(ctx, name))
        return super().resolve_command(ctx, args)

    def _meant(self, ctx: click.Context, name: str) -> str:
        """What to say about a name that is no command here: the likeliest thing that was meant."""
        here = ctx.command_path
        if name in self.elsewhere:
            return f"`{here} {name}` is spelled `{self.elsewhere[name]}`"
        if Path(name).exists():
            return f"{name} is no command; did you mean `velatura protect {shlex.quote(name)}`?"
        spelled = self.elsewhere | {command: f"{here} {command}" for command in self.entries}
        if close := difflib.get_close_matches(name, spelled, n=1):
            return f"{name} is no command; did you mean `{spelled[close[0]]}`?"
        return f"{name} is no command, and no file or folder. Commands: {', '.join(self.entries)}"


class GroupedOption(click.Option):
    """An option that says under which heading of ``OPTION_GROUPS`` it is listed."""

    def __init__(self, *args: Any, group: str = "usual", **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help lists its options in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found: dict[str, list[tuple[str, str]]] = {group: [] for group in OPTION_GROUPS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if isinstance(parameter, click.Option) and record is not None:
                found[getattr(parameter, "group", "usual")].append(record)
        for group, records in found.items():
            if records:
                with formatter.section(OPTION_GROUPS[group]):
                    formatter.write_dl(records)
