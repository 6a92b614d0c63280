"""A worker that takes its time and paints instead of protecting: for the pages, not for the pictures.

``python painted_worker.py URL``: bad.png cannot be read as long as there is no file "mended" in the data folder; with
one called "wait-in-the-second", the second picture of a batch stays half-way, for whoever wants to kill or cancel it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from velatura.errors import ImageError
from velatura.jobs.database import home
from velatura.jobs.records import Job, Picture
from velatura.jobs.worker import work

STEPS, PAUSE = 20, 0.1


class Painted:
    def choose(self, job: Job) -> dict[str, Any]:
        return {"style": {"name": "caravaggio", "artist": "Caravaggio"}, "reason": "drawn with seed 0"}

    def _steps(self, on_progress: Callable[[int, int], None], pause: float, gate: Path | None = None) -> None:
        for step in range(1, STEPS + 1):
            time.sleep(pause)
            on_progress(step, STEPS)
            while step == STEPS // 2 and gate is not None and gate.exists():
                time.sleep(pause)
                on_progress(step, STEPS)

    def protect(self, job: Job, picture: Picture, on_progress: Callable[[int, int], None]) -> dict[str, Any]:
        if picture.name == "bad.png" and not (home() / "mended").exists():
            raise ImageError("bad.png: cannot be decoded; copy it again")
        self._steps(on_progress, PAUSE, home() / "wait-in-the-second" if picture.number == 1 else None)
        picture.output.parent.mkdir(parents=True, exist_ok=True)
        original = Image.open(picture.source).convert("RGB")
        tinted = Image.blend(original, Image.new("RGB", original.size, "#b5653a"), 0.15)
        for kind in job.order["panels"]:
            (original if "before" in kind else tinted).save(picture.task.beside(kind))
        picture.task.beside("report.json").write_text("{}")
        tinted.save(picture.output)
        figures = {"lpips": 0.098, "flip": 0.06, "jod_lost": 0.3, "psnr_db": 24.1}
        sentence = "SDXL sees 40% of the way to Caravaggio; a viewer hardly sees the change (0.6 JOD, estimated)"
        word = {"word": "protected", "sentence": sentence, "advice": "Another target style may do more."}
        style = {"name": "caravaggio", "artist": "Caravaggio"}
        families = {"sdxl": {"progress": 0.4, "progress_noise": 0.03, "seen_by": "surrogate"}}
        told = {"kind": "colour picture", "unknown": "What is not known: how the full autoencoders see it."}
        shown = {"verdict": word, "flags": ["a flag"], "figures": figures, "style": style, "models": ["surrogate"]}
        return shown | {"families": families} | told

    def preview(self, job: Job, picture: Picture, on_progress: Callable[[int, int], None]) -> dict[str, Any]:
        self._steps(on_progress, 0.01)
        picture.output.parent.mkdir(parents=True, exist_ok=True)
        part = Image.open(picture.source).convert("RGB").resize((256, 256))
        part.save(picture.task.beside("before.png"))
        part.rotate(180).save(picture.output)
        return {"style": "caravaggio", "box": [0, 0, 1, 1]}


if __name__ == "__main__":
    work(sys.argv[1], Painted(), idle=3600)
