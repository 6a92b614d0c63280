"""A batch of pictures: what is done is skipped, what fails costs a line, what is cancelled can be resumed."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from velatura.errors import Cancelled, ContractError, ImageError, InputError, VelaturaError
from velatura.images.artwork import printable
from velatura.reports.places import Task
from velatura.reports.result import to_json
from velatura.weights import FAMILY_NAMES

if TYPE_CHECKING:
    from velatura.cloaks import Step
    from velatura.images import Artwork
    from velatura.protection import Protector, Settings
    from velatura.styles.choose import Choice


# How pictures are counted that were not protected, by the word of their verdict.
OTHERWISE = {
    "unprotected": "not worth protecting at this visibility",
    "nothing": "left as they are (nothing to protect)",
    "copied": "copied without a cloak (intensity 0)",
}


class Batch:
    """A run over many pictures: one target style, one bar; a bad file costs a line, never the rest."""

    def __init__(self, settings: Settings, todo: list[Task], options: dict[str, Any], as_json: bool) -> None:
        self.settings, self.tasks, self.options, self.as_json = settings, todo, options, as_json
        self.quiet = options["quiet"]
        self.panels = ["sheet.png", *(["target.png"] if options["keep_target"] else [])]
        self.failed = 0
        self.words: list[str] = []
        self.bar: Any = None
        self.earlier_style: str | None = None

    def run(self) -> int:
        """Protect what is not done yet; the number of pictures that failed."""
        from velatura.protection import Protector

        self.settings = resolved(self.settings)  # "auto" means another model once a better one is on disk
        left = [task for task in self.tasks if not self._is_done(task)]
        done = len(self.tasks) - len(left)
        if done and not self.quiet:
            self.say(f"{done} of {len(self.tasks)} done already (--force does them again)")
        if left:
            for folder in sorted({task.output.parent for task in left}):
                probe(folder)
            self.protector: Protector = Protector(self.settings)
            # Bars would tangle with JSON or a log; a terminal gets them.
            off = self.quiet or self.as_json or not sys.stderr.isatty()
            choice = self._choice(off)
            total = len(left) * self.settings.steps
            steps_off = off or not self.settings.budget
            with tqdm(total=total, unit="step", disable=steps_off, dynamic_ncols=True, file=sys.stderr) as self.bar:
                try:
                    for index, task in enumerate(left):
                        self._one(index, len(left), task, choice)
                except KeyboardInterrupt:
                    self.bar.close()
                    finished = done + len(self.words)
                    raise Cancelled(
                        f"cancelled: {finished} of {len(self.tasks)} done; the same command (without --force) continues"
                    ) from None
        self._sum_up(done)
        return self.failed

    def say(self, line: str) -> None:
        tqdm.write(line, file=sys.stderr)

    def emit(self, task: Task, report: dict[str, Any]) -> None:
        """One line of JSON, in ASCII: a pipe may have any encoding."""
        if self.as_json:
            tree = {"file": printable(task.source), "output": printable(task.output), **report}
            click.echo(json.dumps(json.loads(to_json(tree))))

    def _is_done(self, task: Task) -> bool:
        from velatura.protection.results import delivered

        try:
            report = delivered(task, self.settings)
        except OSError:  # unreadable: said when its turn comes
            return False
        if report is None:
            return False
        # Pictures that join a folder later get the style of those that are done.
        if report["style"] is not None:
            self.earlier_style = report["style"]["name"]
        done = not self.options["force"] and all(task.beside(kind).exists() for kind in self.panels)
        if done:
            self.emit(task, {"skipped": True})
        return done

    def _choice(self, off: bool) -> Choice | None:
        """One T for the whole batch, from up to two dozen of its pictures, those done before among them.

        None, and no network is loaded, for copies without a cloak.
        """
        if not self.settings.budget:
            return None
        from velatura.protection.protector import MOST_FOR_CENTROID
        from velatura.styles.choose import TRIED

        looks = []
        every = max(1, -(-len(self.tasks) // MOST_FOR_CENTROID))
        asked = self.tasks[::every]
        with tqdm(total=len(asked) + TRIED, desc="choosing a target style", leave=False, disable=off) as bar:
            for task in asked:
                if (look := self.protector.look_at(task.source)) is not None:
                    looks.append(look)
                bar.update()
            if not looks:
                return None
            choice = self.protector.choose(looks, earlier=self.earlier_style, on_trial=bar.update)
        if not self.quiet:
            self.say(f"target style: {choice.style.name} ({choice.style.artist}), {choice.reason}")
            models = ", ".join(f"{name} ({way})" for name, way in self.protector.ways.items())
            self.say(f"cloaking against {models} on {self.protector.device}")
            if self.protector.hint:
                self.say(self.protector.hint)
        return choice

    def _one(self, index: int, total: int, task: Task, choice: Choice | None) -> None:
        steps = self.settings.steps
        self.bar.set_description(f"{index + 1}/{total} {printable(Path(task.source.name))[:24]}")

        started = time.monotonic()

        def on_step(step: Step) -> None:
            # A long picture takes several windows of steps; it still counts as one picture's share of the bar.
            self.bar.n = index * steps + round(steps * step.index / step.total)
            left = (time.monotonic() - started) * (step.total / step.index - 1)
            text = f"this picture {left:.0f} s more, {1 - step.latent_remaining:.0%} of the way"
            self.bar.set_postfix_str(text, refresh=False)
            self.bar.update(0)

        try:
            self._protect(task, choice, on_step)
        except BrokenPipeError:
            raise  # nobody listens any more
        except (VelaturaError, OSError) as error:
            if isinstance(error, InputError) and not isinstance(error, ContractError):
                raise  # the settings are wrong, and will be for every picture
            self._failed(task, str(error))
        except MemoryError:
            self._failed(
                task, f"{printable(task.source)}: not enough memory; close other programs or resize the picture"
            )
        except Exception as error:  # whatever torch or libvips had to say: one picture must not stop the others
            if self.options["verbose"]:
                traceback.print_exc()
            reason = str(error).strip().splitlines()
            self._failed(
                task, f"{printable(task.source)}: {reason[0] if reason else type(error).__name__}; -v tells more"
            )
        self.bar.n = (index + 1) * steps
        self.bar.refresh()

    def _failed(self, task: Task, reason: str) -> None:
        self.failed += 1
        line = " ".join(reason.split())
        self.say(f"error: {line}")
        self.emit(task, {"error": line})

    def _protect(self, task: Task, choice: Choice | None, on_step: Any) -> None:
        from velatura.protection.publishing import forecast
        from velatura.protection.results import deliver

        def on_read(artwork: Artwork) -> None:
            if not self.quiet and (line := forecast(artwork, self.settings)) is not None:
                self.say(f"note: {line}")

        protected = deliver(
            self.protector, task, choice, on_step, settings=self.settings, panels=self.panels, on_read=on_read
        )
        self.words.append(protected.verdict.word)
        self.emit(task, protected.report)
        if not self.quiet:
            f = protected.report["figures"]
            self.say(f"{printable(task.output)}: {protected.verdict.sentence}")
            if self.options["verbose"]:
                seconds = ", ".join(f"{k} {v:.1f} s" for k, v in protected.report["seconds"].items())
                size = f"{f['bytes_before'] / 1000:.0f} to {f['bytes_after'] / 1000:.0f} kB"
                seen = f"LPIPS {f['lpips']:.3f}, ꟻLIP {f['flip']:.3f}"
                self.say(f"  {protected.report['kind']['name']}, {seen}, {size}, {seconds}")
                for line in by_family(protected.report):
                    self.say(f"  {line}")
            for line in (*protected.report["flags"], *protected.report["notes"]):
                self.say(f"  note: {line}")
            if self.options["verbose"] and protected.report["unknown"]:
                self.say(f"  {protected.report['unknown']}")

    def _sum_up(self, done: int) -> None:
        if self.quiet:
            return
        line = f"{self.words.count('protected')} protected"
        line += "".join(f", {n} {words}" for word, words in OTHERWISE.items() if (n := self.words.count(word)))
        if done:
            line += f", {done} done before"
        if self.failed:
            line += f", {self.failed} failed"
        self.say(line + ". A cloak makes mimicry harder, not impossible.")


def by_family(report: Mapping[str, Any]) -> list[str]:
    """A report's figures of each model family, a line each."""
    return [
        f"{FAMILY_NAMES.get(name, name)}: {max(0, f['progress']):.0%} of the way, noise that is as visible "
        f"{max(0, f['progress_noise']):.0%} (seen by {f['seen_by']})"
        for name, f in report["families"].items()
    ]


def resolved(settings: Settings) -> Settings:
    from velatura.diffusion import extractors

    return replace(settings, models=tuple(extractors.resolve(settings.models, settings.against)))


def probe(folder: Path) -> None:
    """Fail now, not after minutes of work, where nothing can be written; tidy up after runs that were killed."""
    from velatura.images import save, sweep

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"{printable(folder)}: cannot make this folder ({error.strerror}); try -o") from None
    trial = folder / ".velatura-trial"
    save(b"", trial)
    trial.unlink(missing_ok=True)  # another run may have been here at the same time
    sweep(folder)
