"""The command line as a whole: help everywhere, nothing heavy loaded for it, errors in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

import velatura
from velatura.cli import root

REPOSITORY = Path(__file__).parents[2]


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    found: list[tuple[tuple[str, ...], click.Command]] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found.append(((*path, name), command))
        if isinstance(command, click.Group):
            found += commands(command, (*path, name))
    return found


def test_every_command_and_option_has_help() -> None:
    for path, command in commands(root):
        assert command.help, path
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (path, parameter.name)


def test_every_command_is_in_the_guide_or_the_laboratory() -> None:
    pages = "".join((REPOSITORY / f"docs/{page}.md").read_text() for page in ("guide", "lab"))
    for path, command in commands(root):
        if not isinstance(command, click.Group):
            assert f"velatura {' '.join(path)}" in pages, path


@pytest.mark.parametrize("statement", ["import velatura", "from velatura.cli import root; root(['--help'])"])
def test_no_torch_for_help(statement: str) -> None:
    code = f"import sys\ntry:\n    exec({statement!r})\nexcept SystemExit:\n    pass\n"
    code += "print([m for m in ('torch', 'diffusers', 'numpy', 'pyvips', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(("encoding", "shown"), [("cp1252", rb"\ua7fbLIP"), ("utf-8", "ꟻLIP".encode())])
def test_what_the_output_s_encoding_lacks_is_escaped(encoding: str, shown: bytes) -> None:
    code = "import sys; sys.argv = ['velatura', 'compare', '--help']; from velatura.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=os.environ | {"PYTHONIOENCODING": encoding}, check=False
    )
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="names there are text")
def test_a_name_that_is_no_text_is_printed_escaped(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    for name in ("config.json", "diffusion_pytorch_model.safetensors"):
        (folder / name).write_bytes(b"{}")
    code = "import sys; sys.argv[:1] = ['velatura', 'models', 'path']; from velatura.cli import main; main()"
    command = [sys.executable, "-c", code, folder]
    done = subprocess.run(
        command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "utf-8"}, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/\\udcff\n"), done.stderr


def test_help_is_quick() -> None:
    """Processor time, the best of three, with a wide margin: it is about 0.1 s."""
    code = "import time; from velatura.cli import root\ntry: root(['--help'])\nexcept SystemExit: pass\n"
    code += "print(time.process_time())"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    assert min(float(done.stdout.splitlines()[-1]) for done in runs) < 0.4


def test_all_is_complete_and_lazy_names_resolve() -> None:
    for name in velatura.__all__:
        assert getattr(velatura, name) is not None
    assert set(velatura._HOMES) | {"__version__"} == set(velatura.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = velatura.nothing  # type: ignore[attr-defined]


def test_protect_is_called_by_one_name_before_and_after_its_package_is_imported() -> None:
    code = (
        "import velatura\n"
        "for _ in range(2):\n"
        "    try: velatura.protect(b'no picture')\n"
        "    except velatura.VelaturaError as e: print(type(e).__name__)\n"
        "velatura.Settings\n"
        "from velatura import protect\n"
        "try: protect(b'no picture')\n"
        "except velatura.VelaturaError as e: print(type(e).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["ImageError"] * 3


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--version"], 0, velatura.__version__),
        (["protekt"], 2, "did you mean `velatura protect`?"),
        (["xyzzy"], 2, "Commands: protect, app"),
        (["protect"], 2, "expected FILES"),
        (["protect", "x.png", "--intensity", "loud"], 2, "expected low, default, high"),
        (["protect", "x.png", "--model", "nothing-like-it"], 1, "nothing-like-it"),
        (["protect", "x.png", "--resolution", "500"], 2, "multiples of 8"),
        (["protect", "x.png", "--model", "~nobody-of-this-name/vae"], 1, "nobody-of-this-name"),
        (["models", "path", "mini", "--unheard-of"], 2, "--unheard-of"),
        (["styles", "show", "nobody"], 2, "nobody"),
    ],
)
def test_exit_status_and_one_line(arguments: list[str], status: int, says: str) -> None:
    code = f"import sys; sys.argv = ['velatura', *{arguments!r}]; from velatura.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line and not line.startswith(("Usage", "Try"))]
    assert len(lines) <= 1, done.stderr


def test_a_disk_that_refuses_costs_one_line() -> None:
    code = (
        "import sys; from velatura.cli import root, main\n"
        "def full(**_): raise OSError(28, 'No space left on device', 'out.csv')\n"
        "root.main = full\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "No space left on device: 'out.csv'" in done.stderr


THREADS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@pytest.mark.parametrize(
    ("entrance", "given", "found"),
    [
        *((name, {}, ["PASSIVE", "0", "0"]) for name in ("velatura", "velatura.cli", "velatura.server.app")),
        *((name, {}, ["PASSIVE", "0", "0"]) for name in ("velatura.jobs.worker", "velatura.protection")),
        ("velatura", {"OMP_WAIT_POLICY": "active"}, ["active", None, None]),
        ("velatura", {"GOMP_SPINCOUNT": "7"}, ["PASSIVE", "7", "0"]),
    ],
)
def test_no_thread_spins_for_another_and_that_is_decided_before_torch(
    entrance: str, given: dict[str, str], found: list[str | None]
) -> None:
    """Whichever module a process begins with; and what it starts, a worker say, has it from the first line on."""
    look = f"print([os.environ.get(n) for n in {THREADS!r}], 'torch' in sys.modules)"
    # A finder in front looks when torch is first asked for; some entrances do that themselves.
    ask = f"""
import importlib.util, os, subprocess, sys

class Watch:
    def find_spec(self, name, *rest):
        if name == "torch":
            sys.meta_path.remove(self)
            {look}

sys.meta_path.insert(0, Watch())
import {entrance}
importlib.util.find_spec("torch")
sys.stdout.flush()
subprocess.run([sys.executable, "-c", {"import os, sys; " + look!r}])
"""
    plain = {key: value for key, value in os.environ.items() if key not in THREADS}
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, env=plain | given, check=False)
    assert done.stdout.splitlines() == [f"{found} False"] * 2, done.stderr
