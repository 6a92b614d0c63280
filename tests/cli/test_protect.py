"""``velatura protect`` on real files, on the embedded default and on models by path."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from velatura.cli.files import tasks
from velatura.cli.protect import protect_command
from velatura.errors import Cancelled, ImageError, InputError
from velatura.images import read, save, working
from velatura.perception.lpips import lpips
from velatura.protection import Protector, Settings, protect
from velatura.protection.panels import png
from velatura.reports.places import KINDS, report_at

QUICK = ["-m", "mini", "--effort", "fast", "--resolution", "128"]


def run(*arguments: str | Path, data: bytes | None = None) -> Result:
    return CliRunner().invoke(protect_command, [str(a) for a in arguments], input=data)


@pytest.fixture
def art(tmp_path: Path, make_scene) -> Path:
    folder = tmp_path / "art"
    (folder / "sub").mkdir(parents=True)
    save(png(make_scene(150, 200, 1)), folder / "one.png")
    Image.open(folder / "one.png").save(folder / "sub" / "two.jpg", quality=92)
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_protects_reports_and_skips(art: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(art, "-o", out, *QUICK, "--intensity", "0.05", "--keep-target", "-v")
    assert done.exit_code == 0, done.output
    files = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    kinds = ("report.json", "sheet.png", "target.png")
    assert files == {"one.png", "sub/two.jpg", *(f"{n}.{k}" for n in ("one", "sub/two") for k in kinds)}
    for name, report_name in (("one.png", "one"), ("sub/two.jpg", "sub/two")):
        report = json.loads((out / f"{report_name}.report.json").read_text())
        saved, original = (working(read(folder / name), 128) for folder in (out, art))
        distance = float(lpips(original, saved))
        assert 0.01 < distance <= 0.05
        assert report["figures"]["lpips"] == pytest.approx(distance, abs=1e-4)
        assert report["models"] == ["mini"]
        (seen,) = report["families"].values()
        assert seen["progress"] > 0.1 > seen["progress_noise"]
        assert seen["seen_by"] == "mini"
        assert report["verdict"]["word"] == "protected"
        assert f"mini sees {seen['progress']:.0%} of the way to {report['style']['artist']}" in done.output
        assert "of the way, noise that is as visible" in done.output
        assert report["unknown"] in done.output
        assert report["seconds"]["total"] > 0
        assert len(report["weights"]["mini"]) == 64
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.*")}
    again = run(art, "-o", out, *QUICK, "--intensity", "0.05", "--keep-target")
    assert "2 of 2 done already" in again.output
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.*")} == before
    other = run(art / "one.png", "-o", out, *QUICK, "--intensity", "0.1", "-q")
    assert other.exit_code == 0
    assert (out / "one.png").stat().st_mtime_ns != before[out / "one.png"]


def test_same_seed_same_bytes_other_seed_other_target(art: Path, tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in "abc")
    for folder, seed in ((first, 1), (second, 1), (third, 2)):
        assert run(art / "one.png", "-o", folder, *QUICK, "--seed", str(seed), "-q").exit_code == 0
    assert (first / "one.png").read_bytes() == (second / "one.png").read_bytes()
    assert (first / "one.png").read_bytes() != (third / "one.png").read_bytes()


def test_a_bad_file_costs_one_line_and_never_the_batch(art: Path, tmp_path: Path) -> None:
    (art / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    (art / "empty.jpg").write_bytes(b"")
    out = tmp_path / "out"
    done = run(art, art / "missing.png", "-o", out, *QUICK)
    assert done.exit_code == 1
    errors = [line for line in done.output.splitlines() if line.startswith("error: ")]
    assert len(errors) == 3
    assert all(any(name in line for line in errors) for name in ("bad.png", "empty.jpg", "missing.png"))
    assert (out / "one.png").exists()
    assert (out / "sub/two.jpg").exists()
    assert not (out / "bad.png").exists()
    assert "2 protected" in done.output
    assert "3 failed" in done.output


def test_originals_and_foreign_files_are_never_overwritten(art: Path, tmp_path: Path) -> None:
    original = (art / "one.png").read_bytes()
    done = run(art / "one.png", "-o", art, *QUICK)
    assert done.exit_code == 1
    assert "not Velatura's work" in done.output
    assert (art / "one.png").read_bytes() == original


@pytest.mark.parametrize("killed_at", ["report.json", "sheet.png", "one.png"])
def test_a_write_that_was_killed_is_taken_up_again(
    killed_at: str, art: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First run whole at seed 1; second, at seed 2, dies while writing; third is as if nothing had happened."""
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    arguments = [art / "one.png", *QUICK, "-q"]
    assert run(*arguments, "-o", out, "--seed", "1").exit_code == 0

    def dying(data: bytes, path: Path) -> None:
        if path.name.endswith(killed_at):
            raise KeyboardInterrupt
        save(data, path)

    with monkeypatch.context() as patch:
        patch.setattr("velatura.protection.results.save", dying)
        assert isinstance(run(*arguments, "-o", out, "--seed", "2").exception, Cancelled)
    assert run(*arguments, "-o", out, "--seed", "2").exit_code == 0
    assert run(*arguments, "-o", fresh, "--seed", "2").exit_code == 0
    assert (out / "one.png").read_bytes() == (fresh / "one.png").read_bytes()


def test_cancelling_leaves_no_half_file_and_resumes(art: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Protector.protect

    def interrupted(self: Protector, artwork, choice=None, on_step=None):
        def step(s) -> None:
            if artwork.path.name == "two.jpg" and s.index == 3:
                raise KeyboardInterrupt
            on_step(s)

        return original(self, artwork, choice, step)

    with monkeypatch.context() as patch:
        patch.setattr(Protector, "protect", interrupted)
        done = run(art, "-o", tmp_path / "out", *QUICK)
    assert isinstance(done.exception, Cancelled)
    assert "1 of 2 done" in str(done.exception)
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert not list((tmp_path / "out").rglob("two*"))
    again = run(art, "-o", tmp_path / "out", *QUICK)
    assert "1 of 2 done already" in again.output
    assert (tmp_path / "out/sub/two.jpg").exists()


def test_pictures_that_join_later_get_the_same_style(art: Path, tmp_path: Path, make_scene) -> None:
    assert run(art / "one.png", "-o", tmp_path / "out", *QUICK, "-q").exit_code == 0
    save(png(1 - make_scene(150, 200, 7)), art / "late.png")
    assert run(art, "-o", tmp_path / "out", *QUICK, "-q").exit_code == 0
    reports = [json.loads(p.read_text()) for p in (tmp_path / "out").rglob("*.report.json")]
    assert len(reports) == 3
    assert len({r["style"]["name"] for r in reports}) == 1


def test_any_failure_costs_one_line(art: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Protector.protect

    def failing(self: Protector, artwork, choice=None, on_step=None):
        if artwork.path.name == "one.png":
            raise RuntimeError("DefaultCPUAllocator: not enough memory\nand a long trace")
        return original(self, artwork, choice, on_step)

    monkeypatch.setattr(Protector, "protect", failing)
    done = run(art, "-o", tmp_path / "out", *QUICK, "--json")
    assert done.exit_code == 1
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert ["error" in line for line in lines] == [True, False]
    assert "DefaultCPUAllocator: not enough memory" in done.stderr
    assert "long trace" not in done.stderr


def test_what_cannot_be_written_is_refused_before_a_style_is_tried(
    tmp_path: Path, make_scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(png(make_scene(64, 72, 1)), tmp_path / "a.png")
    Image.open(tmp_path / "a.png").save(tmp_path / "a.gif")
    monkeypatch.setattr(Protector, "choose", lambda *rest, **more: pytest.fail("a style was tried"))
    done = run(tmp_path / "a.gif", "-o", tmp_path / "out", *QUICK)
    assert done.exit_code == 1
    assert "256 colours of a GIF" in done.stderr


def test_a_folder_that_cannot_be_made(art: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run(art / "one.png", "-o", tmp_path / "file" / "out", *QUICK)
    assert isinstance(done.exception, ImageError)
    assert "cannot make this folder" in str(done.exception)


def test_json_lines_and_pipes(art: Path, tmp_path: Path) -> None:
    done = run(art / "one.png", "-o", tmp_path / "out", *QUICK, "--json", "-q")
    report = json.loads(done.stdout)
    assert report["output"].endswith("one.png")
    piped = run("-", *QUICK, data=(art / "one.png").read_bytes())
    assert piped.exit_code == 0
    assert piped.stdout_bytes[:8] == b"\x89PNG\r\n\x1a\n"
    assert isinstance(run("-", art).exception, InputError)


def test_one_target_style_for_an_artist(art: Path, tmp_path: Path) -> None:
    names = []
    for seed in ("3", "4"):
        out = tmp_path / seed
        run(art / "one.png", "-o", out, *QUICK, "--artist", "Ada", "--seed", seed)
        names.append(json.loads((out / "one.report.json").read_text())["style"]["name"])
    assert names[0] == names[1]


@pytest.mark.parametrize("kind", ["AutoencoderKL", "AutoencoderTiny"])
def test_whole_command_on_a_diffusers_folder(kind: str, art: Path, tmp_path: Path) -> None:
    import diffusers

    torch.manual_seed(0)
    if kind == "AutoencoderKL":
        blocks = {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
        model = diffusers.AutoencoderKL(block_out_channels=(8, 8, 16, 16), norm_num_groups=4, **blocks)
    else:
        model = diffusers.AutoencoderTiny(
            encoder_block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8, 8)
        )
    model.save_pretrained(tmp_path / "model")
    arguments = ["-o", tmp_path / "out", "--effort", "fast", "--resolution", "128", "-m", tmp_path / "model"]
    done = run(art / "one.png", *arguments, "-m", "mini")
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "out/one.report.json").read_text())
    assert set(report["models"]) == set(report["families"]) == {str(tmp_path / "model"), "mini"}
    assert report["figures"]["lpips"] <= 0.1


def test_whole_command_on_taef2(shared: Path, art: Path, tmp_path: Path) -> None:
    model = shared / "weights/taef2"
    done = run(art / "one.png", "-o", tmp_path / "out", "--effort", "fast", "--resolution", "128", "-m", model)
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "out/one.report.json").read_text())
    assert report["families"][str(model)]["progress"] > 0.05


def test_target_painted_by_a_diffusion_model(tiny_model: Path, art: Path, tmp_path: Path) -> None:
    painter = ["--painter", tiny_model, "--painter-steps", "4"]
    for folder, extra in ((tmp_path / "a", []), (tmp_path / "b", painter)):
        done = run(art / "one.png", "-o", folder, *QUICK, "--keep-target", *extra)
        assert done.exit_code == 0, done.output
    assert (tmp_path / "a/one.target.png").read_bytes() != (tmp_path / "b/one.target.png").read_bytes()
    failed = run(art / "one.png", "-o", tmp_path / "c", *QUICK, "--painter", tmp_path / "nowhere")
    assert failed.exit_code != 0


def test_api_bytes_to_bytes(art: Path) -> None:
    settings = Settings(models=("mini",), effort="fast", resolutions=(128,), budget=0.05)
    data = protect((art / "one.png").read_bytes(), settings)
    distance = lpips(working(read(art / "one.png"), 128), working(read(data), 128))
    assert 0.01 < float(distance) <= 0.05
    with pytest.raises(ImageError):
        protect(b"nothing", settings)


@pytest.mark.parametrize(
    ("mode", "size", "suffix"),
    [
        ("L", (200, 150), ".png"),
        ("RGBA", (200, 150), ".png"),
        ("RGB", (40, 30), ".webp"),
        ("RGB", (90, 500), ".tiff"),
        ("RGB", (1, 1), ".png"),
    ],
)
def test_kinds_of_pictures_keep_their_kind(mode: str, size: tuple[int, int], suffix: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 255, (6, 8, 4), np.uint8)).resize(size, 3)
    picture = coarse.convert(mode)
    source, out = tmp_path / f"a{suffix}", tmp_path / "out"
    picture.save(source, **({"lossless": True} if suffix == ".webp" else {}))
    done = run(source, "-o", out, *QUICK, "--intensity", "0.05")
    assert done.exit_code == 0, done.output
    saved = Image.open(out / source.name)
    assert (saved.mode, saved.size) == (mode, size)
    assert size == (1, 1) or np.abs(np.asarray(saved, int) - np.asarray(picture, int)).max() > 0
    if mode == "RGBA":
        assert np.array_equal(np.asarray(saved)[..., 3], np.asarray(picture)[..., 3])


def test_long_pictures_are_cloaked_along_their_whole_length(tmp_path: Path, make_scene) -> None:
    save(png(make_scene(128, 640, 3)), tmp_path / "scroll.png")
    protector = Protector(Settings(models=("mini",), effort="fast", resolutions=(128,), budget=0.1))
    steps = []
    result = protector.protect(read(tmp_path / "scroll.png"), on_step=lambda s: steps.append((s.index, s.total)))
    change = (result.saved - result.original).abs().mean((0, 1, 2)).view(-1, 64).mean(1)
    assert change.min() > 0.3 * change.max()
    assert steps[-1][0] == steps[-1][1] == len(steps) > 20


def test_outputs_never_collide(tmp_path: Path) -> None:
    names = ["x/a.png", "y/a.png", "x/a.jpg", "x/a.jpg.png", "z/A.png", "x/b.sheet.png", "x/b.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found, _ = tasks([tmp_path / name for name in names], tmp_path / "out")
    written = [str(p).casefold() for t in found for p in (t.output, *map(t.beside, KINDS))]
    assert len(written) == len(set(written)) == 4 * len(names)
    assert [t.output.name for t in found][:3] == ["a.png", "a-2.png", "a.jpg"]
    assert found[0].beside("report.json").name == "a.report.json"


def test_a_later_run_of_another_picture_of_that_name_gets_its_own_place(art: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "other").mkdir()
    Image.open(art / "one.png").rotate(90, expand=True).save(tmp_path / "other/one.png")
    assert run(art / "one.png", "-o", out, *QUICK, "-q").exit_code == 0
    first = (out / "one.png").read_bytes()
    assert run(tmp_path / "other/one.png", "-o", out, *QUICK, "-q").exit_code == 0
    assert (out / "one.png").read_bytes() == first
    assert (out / "one-2.png").exists()


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_protected_file_that_was_worked_on_is_kept(art: Path, tmp_path: Path, force: list[str]) -> None:
    out = tmp_path / "out"
    assert run(art / "one.png", "-o", out, *QUICK, "-q").exit_code == 0
    with Image.open(out / "one.png") as picture:
        picture.rotate(180).save(out / "one.png")
    painted = (out / "one.png").read_bytes()
    again = run(art / "one.png", "-o", out, *QUICK, "--seed", "9", *force)
    assert again.exit_code == 1
    assert "one.png: exists and is not Velatura's work" in again.output
    assert (out / "one.png").read_bytes() == painted


def test_force_does_again_what_is_done(art: Path, tmp_path: Path) -> None:
    arguments = [art / "one.png", "-o", tmp_path / "out", *QUICK]
    assert run(*arguments, "-q").exit_code == 0
    written = (tmp_path / "out/one.png").stat().st_mtime_ns
    assert "1 protected" in run(*arguments, "--force").output
    assert (tmp_path / "out/one.png").stat().st_mtime_ns > written


def test_side_files_of_others_are_kept(art: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "one.sheet.png").write_bytes(b"a character sheet")
    done = run(art / "one.png", "-o", out, *QUICK)
    assert done.exit_code == 1
    assert "one.sheet.png: exists and is not Velatura's work" in done.output
    assert (out / "one.sheet.png").read_bytes() == b"a character sheet"


def test_what_velatura_made_is_no_source(art: Path) -> None:
    assert run(art, "-o", art / "protected", *QUICK, "-q").exit_code == 0
    shutil.copy(art / "one.png", art / "hero.sheet.png")  # an artist's own
    for folder in (art / "protected", art / "second"):
        found = [t.source.relative_to(art).as_posix() for t in tasks([art], folder)[0]]
        assert found == ["hero.sheet.png", "one.png", "sub/two.jpg"]
    assert [t.source.name for t in tasks([art / "sub"], art)[0]] == ["two.jpg"]


def test_other_formats_are_named_not_dropped_silently(art: Path, tmp_path: Path) -> None:
    (art / "photo.psd").write_bytes(b"")
    done = run(art, "-o", tmp_path / "out", *QUICK)
    assert done.exit_code == 0
    assert "left out 1 pictures of kinds that are not read" in done.output
    assert "photo.psd" in done.output


def test_names_that_are_not_utf8(art: Path, tmp_path: Path) -> None:
    source = os.fsencode(art) + b"/caf\xe9.png"
    shutil.copy(art / "one.png", source)
    done = run(os.fsdecode(source), "-o", tmp_path / "out", *QUICK, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["file"].endswith("caf\\udce9.png")  # the byte, named, in printable ASCII
    assert os.path.exists(os.fsencode(tmp_path) + b"/out/caf\xe9.png")


def test_names_as_long_as_can_be(art: Path, tmp_path: Path) -> None:
    names = [f"{'é' * 125}{letter}.png" for letter in "ab"]  # 255 bytes
    for name in names:
        shutil.copy(art / "one.png", art / "sub" / name)
    for said in ("3 protected", "3 of 3 done already"):
        done = run(art / "sub", "-o", tmp_path / "out", *QUICK)
        assert said in done.output
        assert done.exit_code == 0
    assert {name for name in names if (tmp_path / "out" / name).exists()} == set(names)
    reports = [report_at(path) for path in (tmp_path / "out").glob("é*.report.json")]
    assert sorted(report["output"] for report in reports if report) == names
    assert tasks([tmp_path / "out"], tmp_path / "second")[0] == []  # all of it is ours
    assert all(len(path.name.encode()) <= 255 for path in (tmp_path / "out").iterdir())


def test_too_long_pictures_are_refused(tmp_path: Path) -> None:
    """Also while T is chosen: at a working resolution this one would fill the memory."""
    Image.new("RGB", (1, 60000), "white").save(tmp_path / "strip.png")
    Image.new("RGB", (40, 60), "white").save(tmp_path / "whole.png")
    done = run(tmp_path, "-o", tmp_path / "out", *QUICK)
    assert done.exit_code == 1
    assert "more than 50 times as long as wide" in done.output
    assert (tmp_path / "out/whole.png").exists()


def test_sample_needs_no_files(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="or --sample"):
        protect_command.main(["-o", os.fspath(tmp_path)], standalone_mode=False)
    done = run("--sample", "-o", tmp_path, *QUICK, "-q")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "cat.png").exists()
