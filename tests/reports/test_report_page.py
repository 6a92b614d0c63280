"""Pages: figures pooled over seeds, praise only where nothing forbids it, one file that needs nothing beside it."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from velatura.cli.lab.report import report_command
from velatura.errors import InputError
from velatura.reports import page, pictures, plots, prediction, tables
from velatura.reports.checks import doubts
from velatura.reports.result import Result, Row, load
from velatura.reports.statistics import wilson
from velatura.reports.summary import FRICTION, summarise

pytest.importorskip("matplotlib")


def share(metric: str, count: int, n: int, **about: Any) -> Row:
    return Row(metric, count / n, n, *wilson(count, n), artist="ada", **about)


def rows_of(shifts: dict[str, tuple[int, int]], *, clean: int = 5, seeds: int = 2) -> list[Row]:
    """Rows of a run at LPIPS 0.1: style shift (of 100) of noise and each cloak, gain over noise by their difference."""
    found: list[Row] = []
    about: dict[str, Any]
    for name, counts in {"clean": (clean, clean), **shifts}.items():
        arm = name if name in ("clean", "noise") else "cloaked"
        about = {"arm": arm, "cloak": name if arm == "cloaked" else None, "budget": None if arm == "clean" else 0.1}
        for seed in range(seeds):
            for top, count in ((1, counts[0]), (3, counts[1])):
                found.append(share(f"style_shift_top{top}", count + seed, 100, seed=seed, recipe="full", **about))
                found.append(share(f"style_top{top}", 100 - count - seed, 100, seed=seed, recipe="full", **about))
        if arm == "cloaked":
            gain = (counts[1] - shifts["noise"][1]) / 100
            found.append(
                Row("gain_over_noise_top3", gain, 200, gain - 0.08, gain + 0.08, "ada", recipe="full", **about)
            )
        if arm != "clean":
            found.append(Row("lpips", 0.098, 20, 0.097, 0.099, "ada", **about))
            found.append(Row("decoded_shift", counts[1] / 200, 20, None, None, "ada", **about))
    return found


def result(rows: list[Row], **settings: Any) -> Result:
    about = {"model": "mini", "training": ["a.png", "b.png"], "recipe": {"full": {"rate": 1e-4}}, **settings}
    flags = [d.text for d in doubts(rows)]
    return Result("mimicry", "0.1.0", 0, "cpu", about, {"unet": "abc"}, rows, flags, command="velatura evaluate <art>")


GOOD = {"noise": (12, 10), "velatura": (80, 70)}


def test_seeds_are_pooled_and_their_spread_is_shown() -> None:
    cells = tables.cells(rows_of(GOOD))
    cloak = next(c for c in cells if c.arm == "cloaked")
    figure = cloak.figures["style_shift_top3"]
    assert (figure.value, figure.n, figure.seeds) == (141 / 200, 200, (0.7, 0.71))
    assert (figure.low, figure.high) == pytest.approx(wilson(141, 200))
    assert cloak.figures["lpips"].n == 20, "what was measured on the pictures stands beside what mimics did"
    assert [c.arm for c in cells] == ["clean", "noise", "cloaked"]
    shown = tables.words("style_shift_top3", figure)
    assert shown == ("70%", "64% to 76%, n\u00a0200, 2 seeds: 70% to 71%")


def test_recipes_have_a_table_each_and_share_the_pictures_figures() -> None:
    rows = rows_of(GOOD)
    lora = [replace(r, recipe="lora") for r in rows if r.recipe is not None]
    found = dict(tables.tables(tables.cells([*rows, *lora])))
    assert list(found) == ["ada · mimic: full", "ada · mimic: lora"]
    for members in found.values():
        assert [c.label for c in members] == ["clean", "noise at 0.1", "velatura at 0.1"]
        assert all("lpips" in c.figures for c in members[1:])


def test_csv_holds_every_figure_once() -> None:
    cells = tables.cells(rows_of(GOOD))
    lines = list(csv.DictReader(io.StringIO(tables.comma_separated({"run": cells}))))
    assert len(lines) == sum(len(c.figures) for c in cells)
    one = next(x for x in lines if (x["cloak"], x["metric"]) == ("velatura", "style_shift_top3"))
    assert (float(one["value"]), one["n"], one["seeds"]) == (141 / 200, "200", "2")


def test_words_praise_what_is_better_than_noise() -> None:
    summary = summarise(result(rows_of(GOOD)))
    assert summary.believed
    assert "2 pictures of ada" in summary.done
    assert "in the style in 94%" in summary.paragraph
    assert "misses the style in 60 more of 100 pictures than on noise (52 to 68), and most of" in summary.paragraph
    assert "scale model" in summary.paragraph
    assert summary.paragraph.endswith(FRICTION)
    assert "scale model" not in summarise(result(rows_of(GOOD), model="sd15")).paragraph
    assert summarise(result(rows_of(GOOD)), yours=True).done.startswith(
        "On your 2 pictures, untouched and altered in two"
    )


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (rows_of(GOOD, clean=60), "prove nothing about protection: the mimic is too weak"),
        (rows_of({"noise": (12, 66), "velatura": (80, 70)}), "Not to be praised: no better than noise"),
        ([r for r in rows_of(GOOD) if "gain" not in r.metric], "Not to be praised: stands without noise"),
        (
            [*rows_of(GOOD), Row("lpips_max", 0.2, 20, None, None, "ada", "cloaked", "velatura", 0.1)],
            "Not to be praised: budget exceeded",
        ),
    ],
)
def test_words_refuse_to_praise(rows: list[Row], says: str) -> None:
    summary = summarise(result(rows))
    assert not summary.believed
    assert says in summary.paragraph
    assert "more of 100 pictures than on noise" not in summary.paragraph


def test_without_a_mimic_words_tell_what_the_model_sees() -> None:
    real = [share(f"style_{word}", count, 20, arm="real") for word, count in (("shift_top3", 0), ("top3", 20))]
    noise = share("view_shift_top3", 1, 20, arm="noise", budget=0.1)
    cloak = share("view_shift_top3", 17, 20, arm="cloaked", cloak="velatura", budget=0.1)
    summary = summarise(result([*real, noise, cloak]), yours=True)
    assert summary.believed
    assert "In your 20 pictures cloaked with velatura at 0.1 a judge" in summary.paragraph
    assert "still finds the style in 15%" in summary.paragraph
    assert "noise of equal visibility in 95%" in summary.paragraph
    assert "untouched in 100%" in summary.paragraph
    lost = summarise(result([*real, noise, replace(cloak, value=0.1, low=0.03, high=0.3)]))
    assert "Not to be praised: velatura at 0.1: not shown to be better than noise" in lost.paragraph
    strange = [share(f"style_{word}", count, 20, arm="real") for word, count in (("shift_top3", 6), ("top3", 14))]
    assert "does not know the artist well enough (70% top 3" in summarise(result([*strange, noise, cloak])).paragraph


def test_detectors_have_a_row_each_and_their_curves(tmp_path: Path) -> None:
    rows = [share(metric, 3, 4, arm="cloaked", cloak="velatura", budget=0.1, recipe="fast", countermeasure=name)
            for name in ("spectrum", "trained") for metric in ("found", "false_alarms")]  # fmt: skip
    scores = {name: {"cloaked": [3.0, 2.0, 2.0], "clean": [1.0, 2.0, 0.0]} for name in ("spectrum", "trained")}
    found = dict(tables.tables(tables.cells(rows)))
    assert list(found) == ["ada · velatura at 0.1"]
    assert [tables.row_name(cell) for cell in found["ada · velatura at 0.1"]] == ["spectrum", "trained"]
    html = page.html([page.Run("detection", result(rows, scores=scores))])
    assert "ROC curves" in html
    assert "0.89" in plots.roc(scores), "the area: of nine pairs seven are right and two are ties"


def test_one_flagged_cloak_does_not_silence_another() -> None:
    summary = summarise(result(rows_of({**GOOD, "glaze": (14, 12)})))
    assert "glaze at 0.1: no better than noise" in " ".join(summary.flags)
    assert "misses the style in 60 more" in summary.paragraph


def test_what_one_treatment_undoes_is_not_denied_to_others() -> None:
    untreated, treated = rows_of(GOOD), rows_of({"noise": (12, 66), "velatura": (80, 70)})
    treated = [replace(r, countermeasure="jpeg") for r in treated if r.recipe]
    tree = result([*untreated, *treated])
    words = summarise(tree).paragraph
    assert "velatura at 0.1, it was in 30% (24% to 36%); on noise" in words
    assert "misses the style in 60 more" in words
    assert "velatura at 0.1 after jpeg, it was in" in words
    assert words.count("Not to be praised: no better than noise") == 1
    tree.flags = [flag.replace(" after jpeg", "") for flag in tree.flags]
    assert summarise(tree).paragraph == words, "flags of an older result are those of its rows"


def test_what_is_wrong_with_one_recipe_is_not_said_of_another() -> None:
    weak = [replace(r, recipe="lora") for r in rows_of(GOOD, clean=60) if r.recipe]
    words = summarise(result([*rows_of(GOOD), *weak])).paragraph
    assert "Some of these figures prove nothing about protection: lora: the mimic is too weak" in words
    assert words.count("misses the style in 60 more") == words.count("No evidence of protection.") == 1


def test_flags_of_the_file_are_kept_even_if_rows_do_not_say_so() -> None:
    tree = result(rows_of(GOOD))
    tree.flags = ["the power failed twice"]
    assert summarise(tree).flags == ("the power failed twice",)
    assert "prove nothing about protection: the power failed twice" in summarise(tree).paragraph


def test_ranks_predict_ranks() -> None:
    a = np.array([1.0, 2, 3, 4, 5])
    assert prediction.spearman(a, a**3) == pytest.approx(1)
    assert prediction.spearman(a, -a) == pytest.approx(-1)
    assert prediction.spearman(np.array([1.0, 2, 2, 4]), np.array([1.0, 3, 2, 4])) == pytest.approx(0.9487, abs=1e-4)
    runs = [
        (
            f"run {i}",
            tables.cells(rows_of({"noise": (9 + i, 8 + i), "velatura": (60 + i, 50 + i), "glaze": (40, 30 + i)})),
        )
        for i in range(6)
    ]
    found = {(p.fast, p.slow): p for p in prediction.predictions(runs)}
    one = found["decoded_shift", "style_shift_top3"]
    assert one.rho == pytest.approx(1)
    assert (len(one.points), one.runs) == (18, 6)
    assert one.low > 0.9
    draw = np.random.default_rng(1)
    chance = [
        (name, [replace(c, figures={**c.figures, "decoded_shift": tables.Figure(draw.uniform(), 20)}) for c in cells])
        for name, cells in runs
    ]
    two = next(p for p in prediction.predictions(chance) if p.fast == "decoded_shift")
    assert two.low < 0 < two.high
    assert prediction.predictions(runs[:1]) == [], "three arms say nothing"


def test_predictions_are_of_artists_and_of_whole_sets() -> None:
    """Five artists of whom a fast figure says more than of their arms: the interval knows how many they are."""
    draw, runs = np.random.default_rng(2), []
    for i in range(15):
        level = iter(18 * (i % 5) + draw.permutation(6) + 6 * (i // 5))
        shifts = {name: (int(next(level)),) * 2 for name in ("noise", "velatura", "glaze", "mist")}
        artist = f"artist-{i % 5}"
        runs.append((f"run {i}", [
            replace(c, artist=artist, figures={**c.figures, "decoded_shift": tables.Figure(draw.uniform() + i % 5, 20)})
            for c in tables.cells(rows_of(shifts)) if c.arm != "clean"
        ]))  # fmt: skip
    runs.append(runs[0])
    found = next(p for p in prediction.predictions(runs) if p.slow == "style_shift_top3")
    assert (len(found.points), found.runs) == (60, 15), "what a plan says again is one point"
    alone = [(name, [replace(c, artist=name) for c in members]) for name, members in runs[:15]]
    narrow = next(p for p in prediction.predictions(alone) if p.slow == "style_shift_top3")
    assert narrow.rho == pytest.approx(found.rho)
    assert found.high - found.low > narrow.high - narrow.low
    shared = [(name, [replace(c, cloak=f"{c.cloak}@0.5") for c in members]) for name, members in runs]
    assert prediction.predictions(shared) == []
    twins = [(f"twin {name}", [replace(c, recipe="lora") for c in members]) for name, members in runs[:15]]
    assert len(next(iter(prediction.predictions([*runs, *twins]))).points) == 120, "of another recipe"


def test_a_distance_is_no_share() -> None:
    assert tables.words("style_move", tables.Figure(1.2, 20))[0] == "1.20"
    assert tables.words("style_shift_top3", tables.Figure(0.2, 20))[0] == "20%"
    assert tables.words("style_top1", tables.Figure(0.2, 20))[0] == "20%"


def folder_with_pictures(folder: Path, tree: Result) -> Path:
    """An evaluation's output folder in small."""
    tree.save(folder / "result.json")
    arms = []
    for label in ("clean", "noise at 0.1", "velatura at 0.1"):
        place = folder / "samples" / label.replace(" ", "-")
        place.mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (40, 30), (80 * i, 40, 90)).save(place / f"{i:04}.png")
        arms.append({"label": label, "recipe": "full", "seed": 0, "folder": place.relative_to(folder).as_posix()})
    (folder / "art").mkdir()
    Image.new("RGB", (50, 50), (1, 2, 3)).save(folder / "art/sea.png")
    index = {
        "prompts": {"full": ["a <cat>", "a sea", "a dog"]}, "arms": arms,
        "art": [str(folder / "art/sea.png")], "protected": [],
    }  # fmt: skip
    (folder / "pictures.json").write_text(json.dumps(index))
    return folder


def test_page_needs_nothing_beside_it(tmp_path: Path) -> None:
    run = folder_with_pictures(tmp_path / "run", result(rows_of(GOOD)))
    (run / "samples/clean/0001.png").unlink()
    done = CliRunner().invoke(report_command, [str(run), "-o", str(tmp_path / "deep/page.html")])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "deep/page.html").read_text(encoding="utf-8")
    addresses = re.findall(r"(?:src|href)=\"([^\"]*)\"", text)
    assert addresses
    assert all(a.startswith(("data:", "#")) for a in addresses)
    assert text.count("data:image/jpeg") == 8
    assert text.count("data:image/svg+xml") >= 1
    assert "missing" in text
    assert "a &lt;cat&gt;" in text
    assert "velatura evaluate &lt;art&gt;" in text
    assert "sha256 abc" in text
    assert "Before you believe" not in text
    assert "The art that they learned from" not in text


def test_flags_come_before_figures(tmp_path: Path) -> None:
    result(rows_of(GOOD, clean=60)).save(tmp_path / "weak.json")
    text = page.html([page.Run("weak", load(tmp_path / "weak.json"))])
    assert text.index("too weak on clean art") < text.index("On 2 pictures") < text.index("<table")
    text = page.markdown([page.Run("weak", load(tmp_path / "weak.json"))])
    assert text.index("**Flags**") < text.index("On 2 pictures") < text.index("| pictures |")


def test_real_art_is_shown_on_request_and_from_the_output_folder_alone(tmp_path: Path) -> None:
    run = folder_with_pictures(tmp_path / "run", result(rows_of(GOOD)))
    assert [s.heading for s in pictures.sheets(run, art=True)][-1] == "The art that they learned from"
    assert len(pictures.sheets(run)) == 1
    copied = tmp_path / "committed.json"
    copied.write_bytes((run / "result.json").read_bytes())
    done = CliRunner().invoke(report_command, [str(copied), "--art", "-o", str(tmp_path / "page.html")])
    assert done.exit_code == 0, done.output
    assert "data:image/jpeg" not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_sheet_of_the_pictures_alone(tmp_path: Path) -> None:
    run = folder_with_pictures(tmp_path / "run", result(rows_of(GOOD)))
    done = CliRunner().invoke(report_command, [str(run), "-o", str(tmp_path / "sheet.jpg")])
    assert done.exit_code == 0, done.output
    (sheet,) = pictures.sheets(run)
    with Image.open(tmp_path / "sheet.jpg") as drawn:
        assert drawn.format == "JPEG"
        assert drawn.width > 120 * len(sheet.columns)
        assert drawn.height > 120 * len(sheet.rows)
    (tmp_path / "committed.json").write_bytes((run / "result.json").read_bytes())
    refused = CliRunner().invoke(report_command, [str(tmp_path / "committed.json"), "-o", str(tmp_path / "none.jpg")])
    assert isinstance(refused.exception, InputError)
    assert not (tmp_path / "none.jpg").exists()


def test_pictures_of_one_name_have_files_of_their_own() -> None:
    paths = [Path(name) for name in ("2019/01.jpg", "2020/01.png", "2020/A.png", "a.jpg", "01-2.png")]
    assert pictures.file_names(paths) == ["01.png", "01-2.png", "A.png", "a-2.png", "01-2-2.png"]


def test_plots_only_of_what_there_is() -> None:
    cells = tables.cells(rows_of(GOOD))
    assert (plots.shifts(cells) or "").startswith("<?xml")
    assert plots.by_budget(cells) is None
    assert plots.by_share(cells) is None
    low = [replace(r, budget=0.05) if r.budget else r for r in rows_of(GOOD)]
    budgets = plots.by_budget(tables.cells([*rows_of(GOOD), *low]))
    assert budgets is not None
    assert all(f">{name}<" in budgets for name in ("noise", "velatura", "LPIPS budget"))
    assert plots.by_visibility(cells) is None  # what shows is not known
    both = [*rows_of(GOOD), *low]
    both += [replace(r, metric="delta_e_flat", value=5.0) for r in both if r.budget and r.metric == "style_shift_top3"]
    assert plots.by_visibility(tables.cells(both)) is None  # two methods: the other plots say it
    both += [replace(r, cloak="blend") for r in both if r.cloak == "velatura"]
    seen = plots.by_visibility(tables.cells(both))
    assert seen is not None
    assert all(seen.count(f"> {name}<") == 1 for name in ("noise", "velatura", "blend"))
    half = [replace(r, cloak=f"{r.cloak or r.arm}@0.5") if r.budget else r for r in rows_of(GOOD)]
    assert plots.by_share(tables.cells([*rows_of(GOOD), *half])) is not None
    assert plots.shifts([]) is None


def test_bad_results_cost_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.json").write_text('{"rows": [{"metre": 1}]}')
    (tmp_path / "list.json").write_text("[1]")
    result(rows_of(GOOD)).save(tmp_path / "good.json")
    done = CliRunner().invoke(report_command, [str(tmp_path), "--format", "md"])
    assert done.exit_code == 0, done.output
    assert "## good" in done.stdout
    assert done.stderr.count("left out: ") == 3
    assert len(done.stderr.splitlines()) == 3
    done = CliRunner().invoke(report_command, [str(tmp_path / "broken.json"), "--format", "md"])
    assert isinstance(done.exception, InputError)
    done = CliRunner().invoke(report_command, [str(tmp_path / "good.json")])
    assert isinstance(done.exception, InputError)
    assert "-o page.html" in str(done.exception)


def test_runs_of_one_name_are_told_apart_and_no_torch_is_loaded(tmp_path: Path) -> None:
    for i in range(3):
        rows = [replace(row, value=row.value * (1 - i / 100)) for row in rows_of(GOOD)]  # else the same said thrice
        result(rows).save(tmp_path / str(i) / "van-gogh/result.json")
    code = "import sys; from velatura.cli.lab.report import report_command\n"
    code += f"report_command([{str(tmp_path)!r}, '-o', {str(tmp_path / 'a.md')!r}], standalone_mode=False)\n"
    code += "print([m for m in ('torch', 'diffusers', 'pyvips') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    text = (tmp_path / "a.md").read_text(encoding="utf-8")
    assert "## van-gogh (1)" in text
    assert "## van-gogh (3)" in text
    assert "predict slow" in text
