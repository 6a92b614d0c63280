"""What a run of fine-tuning keeps on disk: where it was, and at its end the model with its card."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from velatura import weights
from velatura.diffusion.pipeline import quiet
from velatura.errors import InputError
from velatura.mimicry.settings import Settings
from velatura.mimicry.trainees import Trainee
from velatura.reports.result import to_json


def fingerprint(base: str, pictures: Sequence[Tensor], captions: Sequence[str], settings: Settings) -> str:
    """Of all that a run depends on."""
    digest = hashlib.sha256(json.dumps([base, list(captions), asdict(settings)]).encode())
    for picture in pictures:
        digest.update(picture.numpy().tobytes())
    return digest.hexdigest()


def save(tree: Any, path: Path) -> None:
    """Never half written."""
    torch.save(tree, path.with_name(path.name + ".tmp"))
    os.replace(path.with_name(path.name + ".tmp"), path)


def load(path: Path, mark: str) -> dict[str, Any] | None:
    """What a stopped run left, if it is of this one."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if state["mark"] != mark:
        raise InputError(
            f"{path.parent} is left of a run with other pictures or settings: delete it, or use another name"
        )
    return state


def keep(path: Path, mark: str, trainee: Trainee, optimizer: Any, losses: list[float]) -> None:
    """Where the run is now, in the place of where it was."""
    state = {
        "mark": mark,
        "parameters": [p.detach().cpu() for p in trainee.parameters()],
        "optimizer": optimizer.state_dict(),
        "losses": losses,
    }
    save(state, path)


def resume(path: Path, mark: str, trainee: Trainee, optimizer: Any) -> tuple[int, list[float]]:
    """Go on where a stopped run was: the step to begin with, and the losses so far."""
    state = load(path, mark)
    if state is None:
        return 0, []
    for value, kept in zip(trainee.parameters(), state["parameters"], strict=True):
        value.data.copy_(kept)
    optimizer.load_state_dict(state["optimizer"])
    return len(state["losses"]), state["losses"]


def card_of(
    base: str, out: Path, artist: str, captions: Sequence[str], settings: Settings, mark: str
) -> dict[str, Any]:
    """What stands beside the model: of what, by what and of whose pictures it was made."""
    folder = weights.local_path(base) if weights.lookup(base) is None else None
    place = {}
    if folder is not None and folder.is_dir():  # it must not hang on where the command was called, nor on what is above
        place = {"base": str(folder.resolve())}
        with suppress(ValueError):  # another drive
            place["base_beside"] = Path(os.path.relpath(folder.resolve(), out.resolve())).as_posix()
    return {
        "base": base,
        **place,
        "artist": artist,
        "settings": asdict(settings),
        "captions": list(captions),
        "fingerprint": mark,
        "version": version("velatura"),
    }


def write_model(work: Path, out: Path, save_model: Callable[[Path], None], card: dict[str, Any]) -> None:
    """The finished model in its own folder, which appears when it is whole."""
    model = work / "model"
    shutil.rmtree(model, ignore_errors=True)
    model.mkdir()
    with quiet():
        save_model(model)
    (model / "mimic.json").write_text(to_json(card), encoding="utf-8")
    os.replace(model, out)
    shutil.rmtree(work)
