"""What help shows in which section, and what is said about a command that is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from velatura.cli import lab, main, root
from velatura.cli.groups import OPTION_GROUPS

ARTISTS = ["protect", "app", "watch", "inspect", "compare", "styles", "models", "jobs"]
LAB = ["mimic", "purify", "robustness", "detect", "judge", "evaluate", "report", "study"]


def help_of(*command: str) -> str:
    done = CliRunner().invoke(root, [*command, "--help"], prog_name="velatura")
    assert done.exit_code == 0, done.output
    return done.output


def section(text: str, title: str) -> list[str]:
    """The first words of a section's rows."""
    rows = text.split(f"\n{title}:\n")[1].split("\n\n")[0].splitlines()
    return [row.split()[0].rstrip(",") for row in rows if row.startswith("  ") and not row.startswith("   ")]


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """The one line of an error in usage."""
    monkeypatch.setattr(sys, "argv", ["velatura", *command])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    return err.removeprefix("error: ").removesuffix("\n")


def test_help_has_a_section_for_artists_and_one_for_platforms() -> None:
    text = help_of()
    assert section(text, "For artists") == ARTISTS
    assert section(text, "For platforms") == ["serve", "worker"]
    assert section(text, "More") == ["lab"]
    assert f"For researchers: {', '.join(LAB)}." in " ".join(text.split())


def test_the_lab_has_the_researchers_commands() -> None:
    assert section(help_of("lab"), "Commands") == LAB
    for name in LAB:
        assert help_of("lab", name).startswith(f"Usage: velatura lab {name} ")
    assert help_of("lab", "purify", "train").startswith("Usage: velatura lab purify train ")


def test_a_command_of_the_lab_runs() -> None:
    done = CliRunner().invoke(root, ["lab", "purify", "--list"])
    assert done.exit_code == 0, done.output
    assert "jpeg" in done.output


def test_what_is_looked_for_elsewhere_is_all_there_is() -> None:
    context = click.Context(root)
    elsewhere = set(root.list_commands(context)) - {"lab"}
    assert set(lab.lab_group.elsewhere) == elsewhere  # type: ignore[attr-defined]
    assert set(root.elsewhere) == set(LAB)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", LAB)
def test_the_old_spelling_names_the_new_one(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = said(monkeypatch, capsys, name, "my-art/", "--anything")
    assert line == f"`velatura {name}` is spelled `velatura lab {name}`"


def test_a_file_or_folder_alone_is_probably_to_be_protected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a b.png").touch()
    Path("art").mkdir()
    line = said(monkeypatch, capsys, "a b.png")
    assert line == "a b.png is no command; did you mean `velatura protect 'a b.png'`?"
    assert said(monkeypatch, capsys, "art").endswith("did you mean `velatura protect art`?")
    assert said(monkeypatch, capsys, f"{tmp_path}/art").endswith(f"did you mean `velatura protect {tmp_path}/art`?")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["protekt"], "velatura protect"),
        (["style"], "velatura styles"),
        (["evalute"], "velatura lab evaluate"),
        (["lab", "robustnes"], "velatura lab robustness"),
        (["lab", "compair"], "velatura compare"),
    ],
)
def test_a_slip_says_what_was_meant(
    typed: list[str], meant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(monkeypatch, capsys, *typed) == f"{typed[-1]} is no command; did you mean `{meant}`?"


def test_what_is_like_nothing_gets_the_list_of_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = said(monkeypatch, capsys, "xyzzy")
    every = ", ".join([*ARTISTS, "serve", "worker", "lab"])
    assert line == f"xyzzy is no command, and no file or folder. Commands: {every}"
    assert said(monkeypatch, capsys, "lab", "protect") == "`velatura lab protect` is spelled `velatura protect`"


@pytest.mark.parametrize("command", ["protect", "watch"])
def test_options_come_in_groups(command: str) -> None:
    text = help_of(command)
    places = [text.index(f"\n{title}:\n") for title in OPTION_GROUPS.values()]
    assert places == sorted(places)
    shown = {group: section(text, title) for group, title in OPTION_GROUPS.items()}
    assert shown["usual"][:3] == ["-o", "-i", "-e"]
    assert shown["usual"][-1] == "-h"
    assert shown["file"][:2] == ["-f", "--quality"]
    assert shown["style"][:2] == ["--style", "--artist"]
    assert shown["model"][0] == "-m"
    assert shown["expert"][0] == "--seed"
    every = [name for names in shown.values() for name in names]
    assert len(every) == len(set(every))


@pytest.mark.parametrize("command", [["lab", "--help"], ["protekt"], ["--version"]])
def test_neither_the_lab_s_help_nor_a_slip_loads_torch(command: list[str]) -> None:
    code = f"import sys; sys.argv = ['velatura', *{command!r}]\nfrom velatura.cli import main\n"
    code += "try:\n    main()\nexcept SystemExit:\n    pass\n"
    code += "print([m for m in ('torch', 'diffusers', 'numpy', 'pyvips', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
