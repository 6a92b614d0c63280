"""Fill the README and the docs from results/*.json and the catalogue, so that no table is typed by hand.

python docs/build.py            # writes; tests/test_docs.py fails where a page is not what this would write
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from parts import application, cloaks, lab, methods, real
from parts.figures import ROOT

PAGES = (
    *("README.md", "docs/styles.md", "docs/cloaks.md", "docs/evaluation.md", "docs/evaluation-results.md"),
    *("docs/countermeasures.md", "docs/files.md", "docs/workers.md", "docs/deploy.md", "docs/mimicry.md"),
    "docs/guide.md",
    *("src/velatura/data/mini/README.md", "docs/real-models.md", "src/velatura/data/surrogate/README.md"),
)

PARTS = {
    "objectives": cloaks.objectives,
    "hardening": cloaks.hardening,
    "transfer": cloaks.transfer,
    "methods": methods.methods,
    "seconds": cloaks.seconds,
    "purifier": lab.purifier,
    "robustness": lab.robustness,
    "detection": lab.detection,
    "timings": lab.timings,
    "files": application.files,
    "platforms": application.platforms,
    "workers": application.workers,
    "evaluation": lab.evaluation,
    "axes": lab.axes,
    "headline": lab.headline,
    "miniature": lab.miniature,
    "mimicry": lab.mimicry,
    "judges": lab.judges,
    "models": cloaks.models,
    "cloaks": cloaks.cloak_table,
    "visible": real.visible,
    "matrix": real.matrix,
    "tuned": real.tuned,
    "seen": real.seen,
    "distilled": real.distilled,
    "time": real.speed,
    "aims": real.aims,
    "throughput": application.throughput,
    "load": application.load_test,
    "effort": cloaks.effort,
    "targets": cloaks.targets,
    "trials": cloaks.trials,
    "trial-mimics": cloaks.trial_mimics,
    "closer": cloaks.closer,
    "instant": cloaks.instant,
    "surrogate": cloaks.surrogate,
    "neighbours": cloaks.neighbours,
    "autoencoder": lab.autoencoder,
}


def built(page: str) -> str:
    """The page with every ``<!-- part -->`` ... ``<!-- /part -->`` filled in."""
    text = (ROOT / page).read_text(encoding="utf-8")
    docs = "docs/" if page == "README.md" else ""
    results = "results" if page == "README.md" else "../" * page.count("/") + "results"

    def fill(match: re.Match[str]) -> str:
        body = PARTS[match.group(1)]().replace("RESULTS", results).replace("DOCS/", docs)
        return f"<!-- {match.group(1)} -->\n{body}\n<!-- /{match.group(1)} -->"

    return re.sub(rf"<!-- ({'|'.join(PARTS)}) -->.*?<!-- /\1 -->", fill, text, flags=re.S)


if __name__ == "__main__":
    for name, svg in methods.drawn().items():
        (ROOT / f"docs/images/{name}.svg").write_text(svg, encoding="utf-8")
    for page in PAGES:
        (ROOT / page).write_text(built(page), encoding="utf-8")
        print(page)
