"""``velatura lab purify``: what mimics do to pictures before they train, so that anyone sees what a cloak survives."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from velatura.cli.files import pictures
from velatura.cli.lab.purify_train import train_command
from velatura.cli.options import DEVICE, SEED
from velatura.errors import Cancelled, ContractError, ImageError, InputError, VelaturaError

if TYPE_CHECKING:
    from velatura.countermeasures.treatment import Treatment

LEDGER = "purified.json"


class PurifyCommand(click.Command):
    """``purify FILES ...``, and ``purify train ...``: a group could not take files beside a command."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> click.Context:
        if args[:1] == ["train"]:
            return train_command.make_context(f"{info_name} train", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


@click.command("purify", cls=PurifyCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("-w", "--with", "name", help="The countermeasure; --list shows all of them.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="A setting of it. Repeatable.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("purified"),
    show_default=True,
    help="Folder for the changed pictures.",
)
@click.option(
    "--model",
    default="mini",
    show_default=True,
    help="What the countermeasure works with, if it needs anything: a name, hub id, folder, or purifier's file.",
)
@click.option(
    "-r",
    "--resolution",
    type=click.IntRange(8),
    help="Bring larger pictures to this short side (px) first, as mimics do; else the file's own size.",
)
@SEED
@DEVICE
@click.option("--list", "listing", is_flag=True, help="Show every countermeasure with its settings and defaults.")
@click.option("-q", "--quiet", is_flag=True, help="Errors only.")
@click.option("-v", "--verbose", is_flag=True, help="Where an error came from.")
def purify_command(
    files: tuple[Path, ...], name: str | None, changes: tuple[str, ...], output: Path, listing: bool, **options: Any
) -> None:
    """Change FILES (pictures or folders) as a mimic would before training on them, to measure what a cloak survives.

    Each picture keeps its name, format and metadata in the output folder; originals are never touched, what is done
    already is skipped. `velatura lab purify train --help` is about the learned countermeasure.

    Exit status: 0 all done; 1 some pictures failed; 2 wrong usage; 130 cancelled.
    """
    if listing:
        _list()
        return
    if not files or name is None:
        raise click.UsageError("expected FILES and --with NAME; --list shows the names")
    from velatura.countermeasures.treatment import prepare
    from velatura.diffusion.device import pick_device

    device = pick_device(options["device"])
    treatment = prepare(name, _pairs(changes), model=options["model"], device=device, seed=options["seed"])
    failed = Run(treatment, output, device, options).over(files)
    raise click.exceptions.Exit(1 if failed else 0)


class Run:
    """Pictures through one countermeasure into one folder. Its ledger says which file is whose and how it was made."""

    def __init__(self, treatment: Treatment, output: Path, device: str, options: dict[str, Any]) -> None:
        self.treatment, self.output, self.device, self.options = treatment, output, device, options
        self.plan = {**treatment.describe(), "resolution": options["resolution"], "weights": treatment.weights}
        self.done: dict[str, dict[str, Any]] = self._read()
        self.made = self.skipped = self.failed = 0

    def over(self, files: Sequence[Path]) -> int:
        """The number of pictures that failed."""
        from velatura.cli.batch import probe

        todo = listed(files, self.output)
        if not todo:
            raise InputError("expected pictures (PNG, JPEG, WebP or TIFF), found none")
        probe(self.output)
        taken: set[str] = set()
        off = self.options["quiet"] or not sys.stderr.isatty()
        with tqdm(total=len(todo), unit="picture", disable=off, dynamic_ncols=True, file=sys.stderr) as bar:
            try:
                for index, (source, relative) in enumerate(todo):
                    name = self._name(source, relative, taken)
                    taken.add(name)
                    self._one(index, source, name)
                    bar.update()
            except KeyboardInterrupt:
                raise Cancelled("cancelled: the same command continues") from None
        if not self.options["quiet"]:
            counts = ((self.skipped, "done before"), (self.failed, "failed"))
            rest = "".join(f", {count} {what}" for count, what in counts if count)
            tqdm.write(f"{self.made} changed by {self.treatment.name}{rest}: {self.output}", file=sys.stderr)
        return self.failed

    def _one(self, index: int, source: Path, name: str) -> None:
        """Change one picture, or say in a line why not."""
        from velatura.images.artwork import printable

        try:
            if self._purify(index, source, name):
                self.made += 1
            else:
                self.skipped += 1
            return
        except (VelaturaError, OSError) as error:
            if isinstance(error, InputError) and not isinstance(error, ContractError):
                raise  # the settings are wrong, and will be for every picture
            reason = str(error) if isinstance(error, ImageError) else f"{printable(source)}: {error}"
        except Exception as error:  # whatever torch or a library had to say: one picture must not stop the others
            if self.options["verbose"]:
                traceback.print_exc()
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            if isinstance(error, MemoryError) or "memory" in first:
                first = "not enough memory; try --resolution 512"
            reason = f"{printable(source)}: {first}"
        self.failed += 1
        tqdm.write("error: " + " ".join(reason.split()), file=sys.stderr)

    def _purify(self, index: int, source: Path, name: str) -> bool:
        """False where it is done already."""
        from velatura.countermeasures.files import purify
        from velatura.images import read, save
        from velatura.images.artwork import printable
        from velatura.reports.result import to_json

        artwork, path = read(source), self.output / name
        before = sha256(path.read_bytes()).hexdigest() if path.exists() else None
        entry = self.done.get(name)
        if before is not None and (entry is None or before not in (entry["sha256"], entry["replaces"])):
            raise ImageError(f"{printable(path)}: exists and is not from here: choose another folder with -o")
        digest = sha256(source.read_bytes()).hexdigest()
        if entry is not None and (entry["source_sha256"], entry["sha256"]) == (digest, before):
            return False
        data = purify(artwork, self.treatment, device=self.device, short_side=self.options["resolution"], shift=index)
        path.parent.mkdir(parents=True, exist_ok=True)
        # The ledger first, with both digests: a run killed in between knows its own file again.
        self.done[name] = {
            "source_id": _source_id(source),
            "source_sha256": digest,
            "sha256": sha256(data).hexdigest(),
            "replaces": before,
        }
        save(to_json({"velatura": "purify", "plan": self.plan, "files": self.done}).encode(), self.output / LEDGER)
        save(data, path)
        return True

    def _name(self, source: Path, relative: Path, taken: set[str]) -> str:
        """The picture's own name, or a numbered one where another picture has it."""
        number = 1
        while True:
            path = relative if number == 1 else relative.with_name(f"{relative.stem}-{number}{relative.suffix}")
            name = path.as_posix()
            entry = self.done.get(name)
            if name not in taken and (entry is None or entry["source_id"] == _source_id(source)):
                return name
            number += 1

    def _read(self) -> dict[str, dict[str, Any]]:
        from velatura.reports.result import to_json

        path = self.output / LEDGER
        if not path.exists():
            return {}
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
            plan, files = tree["plan"], dict(tree["files"])
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"{path}: damaged; choose another folder, or delete it") from None
        if plan != json.loads(to_json(self.plan)):
            raise InputError(f"{self.output} holds pictures changed in another way: choose another folder with -o")
        return files


def listed(files: Sequence[Path], output: Path) -> list[tuple[Path, Path]]:
    """Pictures among files and in folders, protected ones too, with where they go in the output folder."""
    inside, found = output.resolve(), []
    for file in files:
        for path in pictures([file]):
            nested = path != file and path.resolve().is_relative_to(inside) and inside != file.resolve()
            if path.is_file() and not nested:
                found.append((path, path.relative_to(file) if path != file else Path(file.name)))
    return found


def _source_id(source: Path) -> str:
    """Tells sources of one name apart without telling where they lie."""
    return sha256(str(source.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _pairs(changes: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in changes:
        key, sign, value = text.partition("=")
        if not sign:
            raise InputError(f"--set {text!r}: expected KEY=VALUE, as in quality=50")
        found[key.strip()] = value.strip()
    return found


def _list() -> None:
    from dataclasses import fields

    from velatura.countermeasures import plugged
    from velatura.countermeasures.settings import words

    for name in plugged.names():
        try:
            row = plugged.named(name)
        except InputError as error:  # an installed package's, which does not work
            click.echo(str(error), err=True)
            continue
        needs = "" if row.needs == "nothing" else f" (--model: {row.needs})"
        click.echo(f"{name}: {row.about}{needs}")
        for field in fields(row.settings):
            shown = repr(field.default) if field.default == "" else field.default
            click.echo(f"    {field.name}={shown}  {field.metadata['about']} ({words(field)})")
