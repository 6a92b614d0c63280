"""``velatura lab evaluate``: what a cloak does to a mimic's pictures, beside noise of equal visibility."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from velatura.cli.files import artist_of, pictures, readable
from velatura.cli.lab.evaluate_output import announce, show, teller
from velatura.cli.options import DATABASE, DEVICE, METHOD, UPSCALER
from velatura.errors import Cancelled, InputError

if TYPE_CHECKING:
    from velatura.evaluation import Experiment, Setup
    from velatura.evaluation.cost import Task
    from velatura.reports.result import Result

PLAN_NAMES = (
    "quick, view, headline, methods, budgets, known, extractors, shares, recipes, img2img, "
    "resolution, countermeasures, noised, dropping, robust, inversion, clean"
)


def _list_plans(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from velatura.evaluation import named_plans

    click.echo(named_plans.listed())
    ctx.exit()


@click.command("evaluate", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("art", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of it all."
)
@click.option("--plan", default="quick", show_default=True, help=f"{PLAN_NAMES}; --arm replaces its arms.")
@click.option(
    "--plans",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_plans,
    help="Describe the plans, and exit.",
)
@click.option(
    "--arm",
    "arms",
    multiple=True,
    help="An arm: clean, noise:0.05, velatura:0.1@0.5 (half of the pictures), 'velatura:0.1 at fast' (its "
    "effort), 'velatura:0.1 on mini+taesd', 'velatura:0.1 towards hieronymus-bosch' (its T), or LABEL=FOLDER "
    "(LABEL:0.1=FOLDER) of protected pictures; MODULE:FUNCTION:0.1: a cloak of your own; 'velatura:0.1 then jpeg "
    "quality=50': through a countermeasure first; '... denoised nlm': its pictures through one after; "
    "'velatura:0.1@0.5 dropping trained': without those that a detector finds. Repeatable.",
)
@click.option("--artist", help="Name in captions and prompts; else the folder's name.")
@click.option(
    "--model", default="mini", show_default=True, help="The mimic's base: mini, sd15, sd21, a hub id or folder."
)
@METHOD
@click.option("--train-steps", type=click.IntRange(1), help="Fine-tuning steps; else the usual number.")
@click.option(
    "--cloak-model",
    multiple=True,
    help="What cloaks are made on; else the mimic's own model. In the plan extractors: the other models. Repeatable.",
)
@click.option("--style", help="The target style T by name; else chosen as `velatura protect` does.")
@click.option("--effort", default="default", show_default=True, help="Of the cloaks: fast, default, max, paper.")
@click.option("--training", type=click.IntRange(1), help="Pictures that the mimic gets; else 20, or half.")
@click.option(
    "--contents",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Pictures or folders by others, which img2img paints over. Repeatable.",
)
@UPSCALER
@click.option(
    "--purifier",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What `velatura lab purify train` made, for arms that say 'then learned'.",
)
@click.option(
    "--pairs",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with cloaked/ and clean/ pictures of other artists, for detectors ('dropping') and the plan robust.",
)
@click.option("-n", "each", type=click.IntRange(1), help="Pictures a subject, of 24, or of contents; else the plan's.")
@click.option(
    "--seeds", default=1, show_default=True, type=click.IntRange(1), help="Mimics an arm; none in the plan view."
)
@click.option("--genre", help="The artist's genre, for the paper's genre shift by CLIP ('post impressionism').")
@click.option(
    "--judge",
    "judges",
    multiple=True,
    help="A judge of your own: its name in an installed package, or MODULE:FUNCTION. Repeatable.",
)
@click.option("--clip", help="The CLIP model for it: a hub id or a folder on this machine.")
@click.option(
    "--processes",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Parts of the plan done at once; more than one pays on a GPU or many cores.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan and what it costs; do nothing.")
@click.option("--background", is_flag=True, help="Queue it for the workers (velatura worker), print the job, return.")
@DATABASE
@DEVICE
def evaluate_command(
    art: tuple[Path, ...],
    output: Path,
    plan: str,
    artist: str | None,
    dry_run: bool,
    background: bool,
    database: str | None,
    processes: int,
    **options: Any,
) -> None:
    """Protect the pictures in ART in several ways, fine-tune a mimic on each, generate, and judge whose style it is.

    ART is the pictures of one artist, a dozen at the least (in the plan known: a folder an artist). Everything is kept
    in the output folder: a stopped run continues there, on another machine as well. `velatura lab report` makes a
    page of it.
    """
    from velatura.evaluation import Setup, named_plans
    from velatura.evaluation.plan import tasks as tasks_of

    if background and processes > 1:
        raise InputError("--background: its parts go to the workers, so expected no --processes; start more workers")
    several = named_plans.plan(plan).artists
    if several and (len(art) < 2 or not all(path.is_dir() for path in art)):
        raise InputError(f"plan {plan}: expected the folders of two artists or more, got {len(art)} path(s)")
    if several and artist is not None:
        raise InputError(f"plan {plan}: every folder names its artist, so expected no --artist")
    groups = [(path,) for path in art] if several else [art]
    if len({artist_of(group) for group in groups}) < len(groups):
        raise InputError(f"plan {plan}: expected folders of different names, since each names its artist")
    setups = []
    for group in groups:
        name = artist or artist_of(group)
        folder = output / re.sub(r"\W+", "-", name.lower()) if several else output
        setups.append(Setup(_experiment(readable(pictures(group), f"of {name}"), name, plan, **options), folder))
    if background:
        _queue(setups, database)
        return
    tasks = [tasks_of(setup) for setup in setups]
    rates = announce(setups, tasks)
    if dry_run:
        return
    for i, (setup, mine) in enumerate(zip(setups, tasks, strict=True)):
        show(_carry_out(setup, mine, [task for others in tasks[i + 1 :] for task in others], rates, processes))
    click.echo(f"all of it: {output}; a page to look at: velatura lab report {output} -o page.html", err=True)


def _queue(setups: Sequence[Setup], database: str | None) -> None:
    """A job an artist, whose parts spread over the workers; one is started here if this machine has none."""
    from velatura.jobs.experiments import order
    from velatura.jobs.queue import JobQueue

    queue = JobQueue(database)
    for setup in setups:
        job = order(queue, setup)
        click.echo(job.id)
        click.echo(f"queued {len(job.pictures)} parts; velatura jobs show {job.id[:8]} tells how it stands", err=True)
    queue.call_worker()


def _experiment(
    paths: Sequence[Path],
    name: str,
    plan: str,
    arms: tuple[str, ...],
    train_steps: int | None,
    cloak_model: tuple[str, ...],
    contents: tuple[Path, ...],
    each: int | None,
    seeds: int,
    clip: str | None,
    device: str,
    **options: Any,
) -> Experiment:
    from velatura.diffusion.device import pick_device
    from velatura.evaluation import Arm, Experiment, named_plans

    declared = named_plans.plan(plan)
    if not declared.mimics and seeds > 1:
        raise InputError(f"plan {plan}: no mimic is trained, so expected no --seeds, got {seeds}")
    chosen = [Arm.parse(text) for text in arms] if arms else named_plans.arms(plan, cloak_model)
    if twice := {arm.key for arm in chosen if sum(other.key == arm.key for other in chosen) > 1}:
        raise InputError(f"--arm: expected different arms, got {sorted(twice)[0]} twice")
    art = readable(pictures(contents), "to paint over") if contents else ()
    experiment = Experiment(
        paths,
        name,
        chosen,
        changes={} if train_steps is None else {"steps": train_steps},
        recipes=declared.recipes,
        contents=art,
        extractors=cloak_model if cloak_model and not declared.other else ("mimic",),
        each=each or declared.each,
        seeds=tuple(range(seeds if declared.mimics else 0)),
        device=pick_device(device),
        **options,
    )
    return experiment if clip is None else replace(experiment, clip=clip)


def _carry_out(
    setup: Setup, tasks: Sequence[Task], later: Sequence[Task], rates: dict[str, float], processes: int
) -> Result:
    """Run one artist's plan; ``rates`` become what was measured, for what comes later and for later runs."""
    from velatura.evaluation import cost, side_by_side
    from velatura.evaluation.plan import carry_out

    progress = cost.Progress(tasks, rates, later)
    try:
        with tqdm(
            total=100,
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
            bar_format="{desc} {percentage:3.0f}%|{bar}| {postfix}",
        ) as bar:
            if processes > 1:
                side_by_side.do_parts(setup, processes, teller(cost.by_share(progress), bar))
            return carry_out(setup, teller(progress, bar))
    except KeyboardInterrupt:
        raise Cancelled(f"cancelled: the same command continues in {setup.out}") from None
    finally:
        cost.remember({kind: rate for kind, rate in progress.rates.items() if rate != rates.get(kind)})
        rates |= progress.rates
