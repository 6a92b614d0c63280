"""Can cloaked pictures be told from clean ones? Every detector, on artists of whom it has seen nothing.

    python benchmarks/pairs.py ../shared/art runs/pairs
    python benchmarks/detection.py runs/pairs -o results/detection.json

``auc``: area under the ROC curve (0.5 is guessing) with Newcombe's 95 % interval, which takes the two sets for
independent; here they are the same pictures with and without cloak, so it errs on the wide side. ``found`` and
``false_alarms``: shares of cloaked and of clean pictures above the bar that a mimic would set (one clean picture in
ten). The hand-made detectors learn from clean pictures alone, the trained one from cloaked ones as well.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from velatura import __version__, weights
from velatura.countermeasures import detect
from velatura.countermeasures.pairs import in_folder, opened
from velatura.diffusion import extractors
from velatura.reports.result import Result, Row
from velatura.reports.statistics import auc, wilson

SIDE, BUDGET = 128, 0.1


def run(folder: Path, output: Path) -> None:
    eye = extractors.load("mini")
    found: dict[tuple[str, str], detect.Features] = {}
    counts, artists = {}, []
    for part in ("learn", "test"):
        pairs = opened(in_folder(folder / part), SIDE)
        artists = artists or [pair.artist for pair in pairs]  # of "learn", the first
        counts[part] = {"pairs": len(pairs), "artists": sorted({pair.artist for pair in pairs})}
        for kind, pictures in zip(("cloaked", "clean"), zip(*pairs.values(), strict=True), strict=True):
            found[part, kind] = detect.features(pictures, eye)
    rows, drawn = [], {}
    for name, detector in detect.DETECTORS.items():
        known = (found["learn", "clean"], found["learn", "cloaked"] if detector.trained else None)
        scores = {kind: detect.scores(name, found["test", kind], *known).tolist() for kind in ("cloaked", "clean")}
        area, low, high = auc(scores["cloaked"], scores["clean"])
        drawn[name] = scores
        about = {"arm": "cloaked", "cloak": "velatura", "budget": BUDGET, "countermeasure": name, "recipe": "fast"}
        rows.append(Row("auc", area, len(scores["cloaked"]) + len(scores["clean"]), low, high, **about))
        for metric, kind in (("found", "cloaked"), ("false_alarms", "clean")):
            learned = (found["learn", "clean"], found["learn", "cloaked"], artists)
            values, bar = detect.judged(name, found["test", kind], *learned)
            count, n = int((values > bar).sum()), len(values)
            rows.append(Row(metric, count / n, n, *wilson(count, n), **about))
        print(
            name, *(f"{row.metric} {row.value:.2f} ({row.low:.2f} to {row.high:.2f})" for row in rows[-3:]), flush=True
        )
    digests = {"mini": eye.sha256, "lpips-alex": weights.sha256(weights.embedded("lpips-alex"))}
    flags = ["measured on the miniature, a scale model"]
    Result("detection", __version__, 0, "cpu", {"side": SIDE, **counts, "scores": drawn}, digests, rows, flags).save(
        output
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path, help="runs/pairs")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/detection.json"))
    args = parser.parse_args()
    run(args.pairs, args.output)
