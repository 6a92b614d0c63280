"""Batches whose cloak is a small change: what is tested with them is what is written, and when.

``python quick_batch.py SOURCE OUT [real]`` runs a batch in a fork for each seed on standard input: it answers with the
child's process id, and with its status once it is gone (-9 killed, 0 done). Everything is imported once, before the
forks. With ``real``, the cloaks are real ones.
"""

from __future__ import annotations

import os
import sys
import time
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import torch

from velatura.cli.batch import Batch
from velatura.cli.files import tasks
from velatura.images import apply, encode
from velatura.protection import Protector, Settings
from velatura.reports.verdict import Verdict

OPTIONS = {"quiet": True, "force": False, "keep_target": False, "verbose": False, "page": None}


def settings(seed: int) -> Settings:
    return Settings(models=("mini",), effort="fast", resolutions=(64,), seed=seed)


class QuickProtector:
    """The protector's face, without its networks."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.ways, self.device, self.hint = settings, {}, "cpu", ""

    look_at = Protector.look_at

    def look(self, artwork):
        return [0.0]

    def choose(self, looks, *, earlier=None, on_trial=None):
        return SimpleNamespace(style=SimpleNamespace(name="quick", artist="Quick"), reason="no reason")

    def protect(self, artwork, choice=None, on_step=None):
        delta = torch.full((1, 3, 8, 8), (1 + self.settings.seed) / 255)
        data = encode(artwork, apply(artwork, delta))
        time.sleep(0.01)
        figures = {"lpips": 0.0, "bytes_before": 0, "bytes_after": 0}
        report = {"velatura": "quick", "output_sha256": sha256(data).hexdigest(), "figures": figures}
        report |= {"flags": [], "notes": [], "seconds": {}, "style": {"name": "quick"}, "families": {}, "unknown": None}
        return SimpleNamespace(
            data=data, report=report, verdict=Verdict("protected", "quick", ""), target=None, sheet=lambda: data
        )


def main(source: str, out: str, kind: str = "quick") -> None:
    import velatura.cli.batch
    import velatura.images
    import velatura.protection.results

    if kind == "quick":
        velatura.protection.Protector = QuickProtector
        velatura.cli.batch.resolved = lambda settings: settings
    # A process a picture would be most of the time.
    velatura.images.read_guarded = velatura.protection.results.read_guarded = velatura.images.read
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                status = Batch(settings(int(line)), tasks([Path(source)], Path(out))[0], OPTIONS, as_json=False).run()
            except BaseException:
                status = 9
            os._exit(status)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
