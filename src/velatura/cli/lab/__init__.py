"""``velatura lab``, for researchers: the attack, countermeasures against cloaks, experiments and their reports."""

from __future__ import annotations

import click

from velatura.cli.groups import Entry, LazyGroup

COMMANDS = {
    "mimic": Entry("velatura.cli.lab.mimic", "mimic_group", "The attack: fine-tune a model on pictures, and generate."),
    "purify": Entry("velatura.cli.lab.purify", "purify_command", "Countermeasures: what mimics do to pictures first."),
    "robustness": Entry("velatura.cli.lab.robustness", "robustness_command", "What countermeasures leave of a cloak."),
    "detect": Entry("velatura.cli.lab.detect", "detect_command", "Could a mimic find the cloaked pictures?"),
    "judge": Entry("velatura.cli.lab.judge", "judge_command", "Whose style are the pictures of a folder?"),
    "evaluate": Entry("velatura.cli.lab.evaluate", "evaluate_command", "Measure what cloaks do to a mimic's pictures."),
    "report": Entry("velatura.cli.lab.report", "report_command", "Results as a page, Markdown or CSV."),
    "study": Entry("velatura.cli.lab.study", "study_group", "The artists' study: people rate mimicked pictures."),
}
# What people may look for here that is not for researchers alone.
_ELSEWHERE = {
    name: f"velatura {name}"
    for name in ("protect", "app", "watch", "inspect", "compare", "styles", "models", "jobs", "serve", "worker")
}


@click.group(
    "lab",
    cls=LazyGroup,
    sections={"Commands": COMMANDS},
    elsewhere=_ELSEWHERE,
    context_settings={"help_option_names": ["-h", "--help"]},
)
def lab_group() -> None:
    """For researchers: attack cloaks as a mimic would, and measure what is left of them.

    Use it on pictures that you may use.
    """
