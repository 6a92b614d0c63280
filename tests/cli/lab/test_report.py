"""Where ``velatura lab report`` and its like write: under the name that was meant, and never over another's file."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from velatura.cli.lab.report import report_command
from velatura.cli.lab.study import study_group
from velatura.cli.styles import styles_group
from velatura.errors import InputError
from velatura.reports import result
from velatura.reports.result import Row


def run(command: click.Command, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])


@pytest.fixture
def run_of_one(tmp_path: Path) -> Path:
    rows = [Row("lpips", 0.1, 4, artist="ada", arm="cloaked", cloak="velatura", budget=0.1)]
    result.Result("evaluation", "1", 0, "cpu", {}, {}, rows).save(tmp_path / "r.json")
    return tmp_path / "r.json"


@pytest.mark.parametrize("name", ["notes.md", "table.csv"])
def test_a_report_is_written_again_but_not_over_what_is_not_one(run_of_one: Path, tmp_path: Path, name: str) -> None:
    for _ in range(2):
        done = run(report_command, run_of_one, "-o", tmp_path / name)
        assert done.exit_code == 0, done.output
    (tmp_path / name).write_text("I must remember to try: velatura report r.json")
    refused = run(report_command, run_of_one, "-o", tmp_path / name)
    assert isinstance(refused.exception, InputError)
    assert str(refused.exception).startswith(f"{tmp_path / name}: exists and is not from here")


def test_a_page_is_not_written_under_the_name_of_a_picture(run_of_one: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "mine.jpg")
    before = (tmp_path / "mine.jpg").read_bytes()
    for name, said in (("sheet.png", "expected a name that ends in .html"), ("mine.jpg", "is not from here")):
        refused = run(report_command, run_of_one, "-o", tmp_path / name)
        assert isinstance(refused.exception, InputError), refused.output
        assert said in str(refused.exception)
    sheet = run(report_command, run_of_one, "-o", tmp_path / "sheet.jpeg")  # a sheet, for which there are no pictures
    assert "a sheet of pictures needs" in str(sheet.exception)
    assert (tmp_path / "mine.jpg").read_bytes() == before
    assert not (tmp_path / "sheet.png").exists()


def test_other_results_are_not_written_over_a_stranger_s_file(tmp_path: Path) -> None:
    mine = tmp_path / "mine.json"
    mine.write_text("{}")
    asked = [(study_group, ["results", "none", "-o", mine]), (study_group, ["results", "none", "--csv", mine])]
    for command, words in [*asked, (styles_group, ["build", tmp_path, "-o", mine])]:
        refused = run(command, *words)
        assert isinstance(refused.exception, InputError), refused.output
        assert "exists and is not from here" in str(refused.exception)
    assert mine.read_text() == "{}"
