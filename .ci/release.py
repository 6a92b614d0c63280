"""Build the wheel and the sdist, install them where nothing else is, and do the main job; on wish, run the tests there.

python .ci/release.py [PYTHON ...] [--tests] [-o results/release.json]

PYTHON: interpreters to try, this one by default. The sdist is built first and the wheel from it, so that neither leans
on the checkout. Each Python gets a new environment: the wheel with its dependencies, ``velatura protect --sample``; the
same with the sdist in its place; with --tests, the sdist's own tests. The result is written again after each Python.
Ends with status 1 where anything failed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from velatura import __version__  # noqa: E402
from velatura.reports.result import Result, Row  # noqa: E402

# What a person's shell may bring along must not stand in for what the package brings.
CLEAN = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def run(*command: str | Path, cwd: Path) -> str:
    print("+", *command, flush=True)
    done = subprocess.run(command, cwd=cwd, env=CLEAN, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f"{done.stdout[-4000:]}\nstatus {done.returncode}")
    return done.stdout


def environment(python: str, folder: Path) -> Path:
    """The Python of a new virtual environment."""
    run(python, "-m", "venv", folder, cwd=folder.parent)
    inside = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(inside, "-m", "pip", "install", "--quiet", "--upgrade", "pip", cwd=folder.parent)
    return inside


def built(work: Path) -> tuple[Path, Path]:
    """Wheel and sdist."""
    builder = environment(sys.executable, work / "builder")
    run(builder, "-m", "pip", "install", "--quiet", "build", cwd=work)
    run(builder, "-m", "build", "--outdir", work / "dist", ROOT, cwd=work)
    (wheel,), (sdist,) = (work / "dist").glob("*.whl"), (work / "dist").glob("*.tar.gz")
    return wheel, sdist


def main_job(python: Path, work: Path) -> float:
    """Seconds of ``velatura protect --sample`` by the installed command, whose files are looked at."""
    command = python.with_name("velatura")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=work) as out:
        run(command, "protect", "--sample", "-m", "mini", "-o", out, cwd=work)
        report = json.loads((Path(out) / "cat.report.json").read_text(encoding="utf-8"))
        names = sorted(path.name for path in Path(out).iterdir())
    if names != ["cat.png", "cat.report.json", "cat.sheet.png"] or not 0 < report["figures"]["lpips"] <= 0.1:
        sys.exit(f"the main job left {names}, LPIPS {report['figures']['lpips']}")
    return round(time.monotonic() - started, 1)


def tried(python: str, wheel: Path, sdist: Path, work: Path, tests: bool) -> list[Row]:
    """One Python's rows."""
    inside = environment(python, work / "fresh")
    name = f"Python {run(inside, '-c', 'import platform; print(platform.python_version())', cwd=work).strip()}"
    rows = []
    for kind, package in (("wheel", wheel), ("sdist", sdist)):
        run(inside, "-m", "pip", "uninstall", "--quiet", "--yes", "velatura", cwd=work)
        run(inside, "-m", "pip", "install", "--quiet", package, cwd=work)
        where = run(inside, "-c", "import velatura; print(velatura.__version__, velatura.__file__)", cwd=work)
        if "site-packages" not in where:
            sys.exit(f"not the installed package: {where}")
        rows.append(Row(f"seconds of protect --sample, by {kind}", main_job(inside, work), 1, recipe=name))
    return rows + (tested(inside, sdist, work, name) if tests else [])


def tested(python: Path, sdist: Path, work: Path, name: str) -> list[Row]:
    """The sdist's tests against the installed sdist."""
    run(python, "-m", "pip", "install", "--quiet", f"{sdist}[test]", cwd=work)
    with tarfile.open(sdist) as archive:
        archive.extractall(work / "source", filter="data")
    (source,) = (work / "source").iterdir()
    command = [python, "-m", "pytest", "-v", "-p", "no:cacheprovider"]
    print("+", *command, flush=True)
    words = ""
    with subprocess.Popen(command, cwd=source, env=CLEAN, text=True, stdout=subprocess.PIPE) as tests:
        assert tests.stdout is not None
        for line in tests.stdout:
            print(line, end="", flush=True)
            words = (words + line)[-600:]
    found = {what: int(n) for n, what in re.findall(r"(\d+) (passed|failed|skipped|error)", words[-300:])}
    if not found.get("passed"):
        sys.exit("no test passed")
    return [Row(f"tests {what}", n, sum(found.values()), recipe=name) for what, n in found.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pythons", nargs="*", default=[sys.executable], metavar="PYTHON")
    parser.add_argument("--tests", action="store_true", help="the sdist's own tests as well (minutes)")
    parser.add_argument("-o", "--output", type=Path, help="result file")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        wheel, sdist = built(Path(folder))
        rows += [Row("megabytes", round(path.stat().st_size / 1e6, 1), 1, recipe=path.name) for path in (wheel, sdist)]
        for number, python in enumerate(options.pythons):
            work = Path(folder) / str(number)
            work.mkdir()
            rows += tried(python, wheel, sdist, work, options.tests)
            if options.output:
                left = [f"{Path(other).name}: not run" for other in options.pythons[number + 1 :]]
                saved(rows, [*failures(rows), *left], options.output)
            shutil.rmtree(work)  # gigabytes
    for row in rows:
        print(f"{row.recipe:32} {row.metric:24} {row.value:g}")
    sys.exit(bool(failures(rows)))


def failures(rows: list[Row]) -> list[str]:
    return [f"{row.recipe}: {row.metric}" for row in rows if row.metric in ("tests failed", "tests error")]


def saved(rows: list[Row], flags: list[str], output: Path) -> None:
    system = {"system": platform.platform(), "exiftool": shutil.which("exiftool") is not None}
    Result("release in a fresh environment", __version__, None, "cpu", system, {}, rows, flags).save(output)


if __name__ == "__main__":
    main()
