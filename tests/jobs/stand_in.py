"""A worker whose work is a stand-in: it copies files, in a few short steps, and keeps a diary of what it did.

``python stand_in.py URL DIARY``: a picture called slow.png takes long, bad.png cannot be read, weary.png fails twice,
doomed.png always, deadly.png takes the process down.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from velatura.errors import ImageError
from velatura.jobs.records import Job, Picture
from velatura.jobs.worker import work

STEPS = 5


class StandIn:
    def __init__(self, diary: Path) -> None:
        self.diary = diary

    def note(self, line: str) -> None:
        with self.diary.open("a") as file:
            print(line, file=file, flush=True)

    def choose(self, job: Job) -> dict[str, Any]:
        self.note("choose")
        return {"style": {"name": "stand-in"}}

    def protect(self, job: Job, picture: Picture, on_progress: Callable[[int, int], None]) -> dict[str, Any]:
        name = picture.source.name
        self.note(f"begin {name}")
        if name == "bad.png":
            raise ImageError("bad.png: cannot be decoded; copy it again")
        if name == "doomed.png" or (name == "weary.png" and picture.attempts < 2):
            raise RuntimeError("no space left")
        if name == "deadly.png":
            os._exit(9)
        for step in range(STEPS):
            time.sleep(0.6 if name == "slow.png" else 0.02)
            on_progress(step + 1, STEPS)
        picture.output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture.source, picture.output)
        self.note(f"end {name}")
        return {"verdict": {"word": "protected"}}

    preview = protect

    def experiment(self, job: Job, part: Picture, lease: Callable[[int, int], None]) -> dict[str, Any]:
        self.note(f"begin {part.name}")
        if part.name == "bad" and not self.diary.with_name("mended").exists():
            raise ImageError("bad: the model is not here")
        for step in range(STEPS):
            time.sleep(0.6 if part.name == "slow" else 0.02)
            lease(step + 1, STEPS)
        self.note(f"end {part.name}")
        return {}


if __name__ == "__main__":
    work(sys.argv[1], StandIn(Path(sys.argv[2])), idle=1.0, pause=0.01, stretch=0.0)
