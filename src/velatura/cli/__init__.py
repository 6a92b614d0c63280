"""The command line. Commands are imported when they are called, so that ``--help`` and ``--version`` load no torch."""

from __future__ import annotations

import io
import os
import sys

import click

from velatura import __version__
from velatura.cli import lab
from velatura.cli.groups import Entry, LazyGroup
from velatura.errors import Cancelled, InputError, VelaturaError

SECTIONS = {
    "For artists": {
        "protect": Entry("velatura.cli.protect", "protect_command", "Protect pictures against style mimicry."),
        "app": Entry("velatura.cli.app", "app_command", "Open the application in the browser."),
        "watch": Entry("velatura.cli.watch", "watch_command", "Protect the pictures that appear in a folder."),
        "inspect": Entry("velatura.cli.inspect", "inspect_command", "What is in a file; whether a report is of it."),
        "compare": Entry(
            "velatura.cli.compare", "compare_command", "How two pictures differ; how much of a cloak is left."
        ),
        "styles": Entry("velatura.cli.styles", "styles_group", "List, show and build the catalogue of target styles."),
        "models": Entry(
            "velatura.cli.models", "models_group", "List, download and locate the models to cloak against."
        ),
        "jobs": Entry("velatura.cli.jobs", "jobs_group", "List, show, cancel and resume what runs in the background."),
    },
    "For platforms": {
        "serve": Entry("velatura.cli.serve", "serve_command", "Serve the application to many users, by invitation."),
        "worker": Entry("velatura.cli.worker", "worker_command", "Take jobs from a database that machines share."),
    },
    "More": {
        "lab": Entry("velatura.cli.lab", "lab_group", f"For researchers: {', '.join(lab.COMMANDS)}."),
    },
}


@click.group(
    cls=LazyGroup,
    sections=SECTIONS,
    elsewhere={name: f"velatura lab {name}" for name in lab.COMMANDS},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, "--version", message="velatura %(version)s")
def root() -> None:
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
        status = root.main(prog_name="velatura", standalone_mode=False)
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
