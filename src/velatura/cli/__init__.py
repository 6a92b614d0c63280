"""The command line. Commands are imported when they are called, so that ``--help`` and ``--version`` load no torch."""

from __future__ import annotations

import importlib
import io
import os
import sys
from typing import Any

import click

from velatura import __version__
from velatura.errors import Cancelled, InputError, VelaturaError

# name: (module, object, line of help)
COMMANDS = {
    "app": ("velatura.cli.app", "app_command", "Open the application in the browser."),
    "compare": ("velatura.cli.compare", "compare_command", "How two pictures differ; how much of a cloak is left."),
    "detect": ("velatura.cli.detect", "detect_command", "Could a mimic find the cloaked pictures?"),
    "evaluate": ("velatura.cli.evaluate", "evaluate_command", "Measure what cloaks do to a mimic's pictures."),
    "inspect": ("velatura.cli.inspect", "inspect_command", "What is in a file, and whether a report is of it."),
    "jobs": ("velatura.cli.jobs", "jobs_group", "List, show, cancel and resume what runs in the background."),
    "judge": ("velatura.cli.judge", "judge_command", "Whose style are the pictures of a folder?"),
    "mimic": ("velatura.cli.mimic", "mimic_group", "The attack: fine-tune a model on pictures, and generate."),
    "models": ("velatura.cli.models", "models_group", "List, download and locate the models to cloak against."),
    "protect": ("velatura.cli.protect", "protect_command", "Protect pictures against style mimicry."),
    "purify": ("velatura.cli.purify", "purify_command", "Countermeasures: what mimics do to pictures first."),
    "report": ("velatura.cli.report", "report_command", "Results as a page, Markdown or CSV."),
    "robustness": ("velatura.cli.robustness", "robustness_command", "What countermeasures leave of a cloak."),
    "serve": ("velatura.cli.serve", "serve_command", "Serve the application to many users, by invitation."),
    "styles": ("velatura.cli.styles", "styles_group", "List, show and build the catalogue of target styles."),
    "study": ("velatura.cli.study", "study_group", "The artists' study: people rate mimicked pictures."),
    "watch": ("velatura.cli.watch", "watch_command", "Protect the pictures that appear in a folder."),
    "worker": ("velatura.cli.worker", "worker_command", "Take jobs from a database that machines share."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in self.list_commands(ctx)])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message} Commands: {', '.join(sorted(COMMANDS))}.", ctx) from None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", message="velatura %(version)s")
def app() -> None:
    """A thin glaze over your pictures against style mimicry by text-to-image models.

    It gives friction, not a guarantee: it makes a mimic's work harder and its result worse, and says by how much.
    """


def main() -> None:
    """Run the command line: an error that is meant for a person is one line; 1 is failed, 2 wrong usage."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    for stream in (sys.stdout, sys.stderr):  # Windows' code pages have no Δ, and names may be no text at all
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    try:
        status = app.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        status = stop.exit_code
    except click.Abort:
        status = _say("cancelled", 130)
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except Cancelled as error:
        status = _say(str(error), 130)
    except InputError as error:
        status = _say(f"error: {error}", 2)
    except VelaturaError as error:
        status = _say(f"error: {error}", 1)
    except KeyboardInterrupt:
        status = _say("cancelled", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    except OSError as error:  # a disk that is full, a folder that may not be written
        status = _say(f"error: {error}", 1)
    sys.exit(status if isinstance(status, int) else 0)


def _say(line: str, status: int) -> int:
    click.echo(" ".join(line.split()), err=True)
    return status
