"""``velatura protect``: files and folders in, protected files with their reports and sheets out."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from velatura.cli.files import Task, earlier, tasks
from velatura.errors import ImageError, InputError, VelaturaError
from velatura.reports.result import to_json

if TYPE_CHECKING:
    from velatura.cloaks import Step
    from velatura.protect import Protected, Protector, Settings
    from velatura.styles.choose import Choice

EFFORT_NAMES = ["fast", "default", "max", "paper"]


@click.command("protect", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("protected"),
    show_default=True,
    help="Folder for the protected pictures and their reports.",
)
@click.option(
    "-i",
    "--intensity",
    default="default",
    show_default=True,
    help="low, default, high (LPIPS 0.05, 0.1, 0.2) or a number: how visible the cloak may be.",
)
@click.option(
    "-e",
    "--effort",
    type=click.Choice(EFFORT_NAMES),
    default="default",
    show_default=True,
    help="How long to optimise; paper is the published 500 steps.",
)
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    default=("auto",),
    show_default=True,
    help="Model to cloak against: a name (velatura models list), hub id or folder. Repeat for an ensemble.",
)
@click.option(
    "-r",
    "--resolution",
    "resolutions",
    multiple=True,
    type=int,
    default=(512,),
    show_default=True,
    help="Short side (px) at which mimics train. Repeat for several.",
)
@click.option("--style", help="Target style by name instead of a drawn one (velatura styles list).")
@click.option("--artist", help="Keep one target style for all pictures of this artist, now and later.")
@click.option(
    "--band",
    nargs=2,
    type=float,
    default=(50.0, 75.0),
    show_default=True,
    help="Percentiles of distance within which the target style is drawn.",
)
@click.option("--painter", help="Paint the target with this diffusion model (hub id or folder) instead.")
@click.option("--painter-strength", default=0.5, show_default=True, help="How much the painter changes, 0 to 1.")
@click.option("--painter-guidance", default=7.5, show_default=True, help="The painter's guidance scale.")
@click.option("--painter-steps", default=30, show_default=True, help="The painter's denoising steps.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of every random choice.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="Where to compute.",
)
@click.option("--sample", is_flag=True, help="Protect the picture that comes with the package.")
@click.option("--keep-target", is_flag=True, help="Also leave the painted target as NAME.target.png.")
@click.option("--force", is_flag=True, help="Do again what is done already.")
@click.option("--offline/--online", default=True, show_default=True, help="Use only what is on this machine.")
@click.option("--json", "as_json", is_flag=True, help="One JSON report a line on standard output.")
@click.option("-q", "--quiet", is_flag=True, help="Errors only.")
@click.option("-v", "--verbose", is_flag=True, help="Figures and timings of each picture.")
def protect_command(files: tuple[Path, ...], output: Path, as_json: bool, **options: Any) -> None:
    """Protect FILES (pictures, folders, or - for standard input to standard output).

    Leaves in the output folder each picture under its own name, in its own format, with NAME.report.json and
    NAME.sheet.png beside it. Originals are never touched; what is done already is skipped.

    Exit status: 0 all done; 1 some pictures failed; 2 wrong usage; 130 cancelled.
    """
    if options["sample"]:
        from velatura import weights

        files = (*files, weights.embedded("sample"))
    if not files:
        raise click.UsageError("expected FILES: pictures, folders, or - for standard input; or --sample")
    from velatura.cloaks.budget import intensity
    from velatura.protect import Settings

    settings = Settings(
        budget=intensity(options["intensity"]),
        effort=options["effort"],
        models=tuple(options["models"]),
        resolutions=tuple(options["resolutions"]),
        seed=options["seed"],
        style=options["style"],
        artist=options["artist"],
        band=options["band"],
        painter=options["painter"],
        painter_strength=options["painter_strength"],
        painter_guidance=options["painter_guidance"],
        painter_steps=options["painter_steps"],
        device=options["device"],
        offline=options["offline"],
    )
    if any(str(file) == "-" for file in files):
        if len(files) > 1:
            raise InputError("standard input (-) stands alone: expected no other files")
        _pipe(settings)
        return
    batch = Batch(settings, tasks(files, output), options, as_json)
    if not batch.tasks:
        raise InputError(f"no pictures found in {', '.join(map(str, files))}: expected PNG, JPEG, WebP or TIFF files")
    failed = batch.run()
    raise click.exceptions.Exit(1 if failed else 0)


def _pipe(settings: Settings) -> None:
    from velatura.images import read
    from velatura.protect import Protector

    artwork = read(sys.stdin.buffer.read())
    sys.stdout.buffer.write(Protector(settings).protect(artwork).data)


class Batch:
    """A run over many pictures: one target style, one bar; a bad file costs a line, never the rest."""

    def __init__(self, settings: Settings, todo: list[Task], options: dict[str, Any], as_json: bool) -> None:
        self.settings, self.tasks, self.options, self.as_json = settings, todo, options, as_json
        self.quiet = options["quiet"]
        self.failed = 0
        self.words: list[str] = []
        self.bar: Any = None

    def run(self) -> int:
        """Protect what is not done yet; the number of pictures that failed."""
        from velatura.protect import Protector

        left = [task for task in self.tasks if not self._is_done(task)]
        done = len(self.tasks) - len(left)
        if done and not self.quiet:
            self.say(f"{done} of {len(self.tasks)} done already (--force does them again)")
        if left:
            self.protector: Protector = Protector(self.settings)
            choice = self._choice(left)
            # Bars would tangle with JSON or a log; a terminal gets them.
            off = self.quiet or not sys.stderr.isatty()
            total = len(left) * self.settings.steps
            with tqdm(total=total, unit="step", disable=off, dynamic_ncols=True, file=sys.stderr) as self.bar:
                try:
                    for index, task in enumerate(left):
                        self._one(index, len(left), task, choice)
                except KeyboardInterrupt:
                    self.bar.close()
                    self.say(f"cancelled: {done + index} of {len(self.tasks)} done; the same command continues")
                    raise click.exceptions.Exit(130) from None
        self._sum_up(done)
        return self.failed

    def say(self, line: str) -> None:
        tqdm.write(line, file=sys.stderr)

    def _fingerprint(self, source: Path) -> str:
        return f"{self.settings.fingerprint()}-{sha256(source.read_bytes()).hexdigest()[:16]}"

    def _is_done(self, task: Task) -> bool:
        if self.options["force"]:
            return False
        try:
            return earlier(task).fingerprint == self._fingerprint(task.source)
        except OSError:
            return False  # unreadable: said when its turn comes

    def _choice(self, left: Sequence[Task]) -> Choice | None:
        """One T for the whole batch, from up to two dozen of all its pictures, so that a resumed run draws the same."""
        from velatura.images import read
        from velatura.protect.protector import MOST_FOR_CENTROID

        places = []
        every = max(1, -(-len(self.tasks) // MOST_FOR_CENTROID))
        for task in self.tasks[::every]:
            try:
                places.append(self.protector.place(read(task.source)))
            except ImageError:
                continue  # reported when its turn comes
        if not places:
            return None
        choice = self.protector.choose(places)
        if not self.quiet:
            self.say(f"target style: {choice.style.name} ({choice.style.artist}), {choice.reason}")
            models = ", ".join(f"{name} ({way})" for name, way in self.protector.ways.items())
            self.say(f"cloaking against {models} on {self.protector.device}")
            if self.protector.hint:
                self.say(self.protector.hint)
        return choice

    def _one(self, index: int, total: int, task: Task, choice: Choice | None) -> None:
        steps = self.settings.steps
        self.bar.set_description(f"{index + 1}/{total} {task.source.name[:24]}")

        started = time.monotonic()

        def on_step(step: Step) -> None:
            # A long picture takes several windows of steps; it still counts as one picture's share of the bar.
            self.bar.n = index * steps + steps * step.index / step.total
            left = (time.monotonic() - started) * (step.total / step.index - 1)
            text = f"this picture {left:.0f} s more, latent {step.latent_remaining:.2f}, LPIPS {step.lpips:.3f}"
            self.bar.set_postfix_str(text, refresh=False)
            self.bar.update(0)

        try:
            self._protect(task, choice, on_step)
        except InputError:
            raise  # the settings are wrong, and will be for every picture
        except (VelaturaError, OSError) as error:
            self.failed += 1
            self.say(f"error: {' '.join(str(error).split())}")
        except MemoryError:
            self.failed += 1
            self.say(f"error: {task.source.name}: not enough memory; close other programs or resize the picture")
        self.bar.n = (index + 1) * steps
        self.bar.refresh()

    def _protect(self, task: Task, choice: Choice | None, on_step: Any) -> None:
        from velatura.images import read

        artwork = read(task.source)
        before = earlier(task)
        if before.foreign:
            raise ImageError(f"{task.output}: exists and is not Velatura's work: choose another folder with -o")
        protected = self.protector.protect(artwork, choice, on_step)
        self._write(task, protected, before.digest)
        self.words.append(protected.verdict.word)
        if self.as_json:
            click.echo(to_json(protected.report | {"output": str(task.output)}).replace("\n", ""))
        if not self.quiet:
            f = protected.report["figures"]
            self.say(f"{task.output}: {protected.verdict.sentence}; LPIPS {f['lpips']:.3f}")
            if self.options["verbose"]:
                seconds = ", ".join(f"{k} {v:.1f} s" for k, v in protected.report["seconds"].items())
                self.say(f"  PSNR {f['psnr_db']:.1f} dB, mean ΔE {f['delta_e_mean']:.1f}, {seconds}")
            for flag in protected.report["flags"]:
                self.say(f"  note: {flag}")

    def _write(self, task: Task, protected: Protected, replaces: str | None) -> None:
        from velatura.images import save
        from velatura.protect.protector import png

        try:
            task.output.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ImageError(f"{task.output.parent}: cannot make this folder ({error.strerror}); try -o") from None
        report = protected.report | {"fingerprint": self._fingerprint(task.source), "replaces_sha256": replaces}
        save(protected.sheet(), task.beside("sheet.png"))
        if self.options["keep_target"]:
            save(png(protected.target), task.beside("target.png"))
        save(to_json(report).encode(), task.beside("report.json"))
        save(protected.data, task.output)

    def _sum_up(self, done: int) -> None:
        if self.quiet:
            return
        counts = [f"{self.words.count(word)} {word}" for word in ("strong", "fair", "weak") if word in self.words]
        line = f"{len(self.words)} protected" + (f" ({', '.join(counts)})" if counts else "")
        if done:
            line += f", {done} done before"
        if self.failed:
            line += f", {self.failed} failed"
        self.say(line + ". Friction, not a guarantee.")
