"""What a larger file is bounded by: it as a whole, and it from close by."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from velatura.images import Artwork, apply, as_saved, read, working
from velatura.images.resample import at_size, tensor
from velatura.perception.lpips import load, lpips
from velatura.protect import Protector, Settings
from velatura.protect.figures import CROP, MOST_CROPS, Visibility, _starts, busiest_boxes, closest, detail
from velatura.protect.panels import png
from velatura.protect.publishing import notes


@pytest.fixture
def large(make_scene) -> Artwork:
    return read(png(make_scene(384, 256, 3)))


def test_a_file_is_looked_at_from_no_closer_than_twice_the_working_size(make_scene, large: Artwork) -> None:
    assert closest(large, 64) == (128, 192)
    assert closest(large, 128) == closest(large, 200) == (256, 384)
    near = detail(large, 64)
    assert near is not None
    assert near.shape == (1, 3, 192, 128)
    assert detail(large, 256) is None
    assert detail(read(png(make_scene(64, 80, 3))), 128) is None


def test_the_budget_bounds_what_is_seen_from_close_by_and_the_file_itself_is_reported(large: Artwork) -> None:
    original = working(large, 64)
    delta = 0.08 * torch.randn(original.shape, generator=torch.Generator().manual_seed(0))
    saved = as_saved(large, apply(large, delta))
    look = Visibility(large, original, delta, 64)
    close = look.close(saved)
    before, after = (at_size(image, 128, 192) for image in (large.image, saved))
    parts = [[tensor(image)[..., top : top + 128, :] for image in (before, after)] for _, top in look.boxes]
    assert close == pytest.approx(max(float(lpips(*pair)) for pair in parts), abs=1e-5)
    assert look.worst(saved) == max(close, float(lpips(original, working(saved, 64))))
    figures = look.figures(saved)
    assert figures["lpips_crops"] == close
    assert figures["lpips_native_crops"] > 1.2 * close, "larger still, the same grain shows more"
    small = Visibility(large, working(large, 256), torch.zeros(1, 3, 384, 256), 256)
    assert small.figures(saved) == {"lpips_crops": None, "lpips_native_crops": None}


@pytest.mark.parametrize("length", [512, 513, 700, 767, 1024, 1280, 8 * CROP])
def test_crops_leave_no_hole_along_a_side(length: int) -> None:
    seen = torch.zeros(length)
    for start in _starts(length, CROP):
        seen[start : start + CROP] = 1
    assert seen.min() == 1


@pytest.mark.parametrize("size", [(700, 700), (1024, 1280), (513, 520)])
def test_the_busiest_crops_leave_no_hole_where_few_are_enough(size: tuple[int, int]) -> None:
    seen = torch.zeros(size[1], size[0])
    boxes = busiest_boxes(*size, torch.rand(1, 3, 64, 64))
    for left, top in boxes:
        seen[top : top + CROP, left : left + CROP] = 1
    assert seen.min() == 1 or len(boxes) == MOST_CROPS


def test_a_distance_of_parts_tells_where_the_change_is(make_scene) -> None:
    module, picture = load("alex"), make_scene(128, 192, 1)
    changed = picture.clone()
    changed[..., 96:] = (changed[..., 96:] + 0.1 * torch.randn(1, 3, 128, 96)).clamp(0, 1)
    before, after = module.features(picture), module.features(changed)
    ((left, right),) = module.tiles(before, after, (1, 2))[0]
    assert left < 0.2 * right
    assert float((left + right) / 2) == pytest.approx(float(module.compare(before, after)), rel=0.1)


def test_how_larger_files_are_made_is_part_of_what_makes_a_rerun_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Settings().fingerprint()
    monkeypatch.setattr("velatura.protect.settings.for_larger_files", lambda cloak: cloak)
    assert Settings().fingerprint() != before


def test_the_same_part_of_a_larger_picture() -> None:
    larger = torch.arange(60 * 90.0).view(1, 1, 60, 90)
    assert torch.equal(
        same_part(larger, torch.zeros(1, 1, 20, 30), (slice(5, 10), slice(0, 30))), larger[..., 15:30, :]
    )


def test_a_larger_file_gets_a_cloak_that_was_made_for_it(large: Artwork) -> None:
    found = {}
    for effort in ("fast", "paper"):
        protector = Protector(Settings(models=("mini",), effort=effort, resolutions=(64,), style="Aubrey Beardsley"))
        found[effort] = protector.recipe(protector.detail(large))
    assert found["fast"].mask > 0
    assert found["paper"].mask == 0, "as published"
    report = (
        Protector(Settings(models=("mini",), effort="fast", resolutions=(64,), style="Aubrey Beardsley", budget=0.1))
        .protect(large)
        .report
    )
    assert report["settings"]["cloak"]["mask"] > 0
    assert report["figures"]["lpips_crops"] <= 0.1


@pytest.mark.parametrize("kind", ["grey", "transparent", "long"])
def test_larger_files_of_every_kind_keep_the_budget_and_are_moved(make_scene, kind: str) -> None:
    scene = make_scene(80, 240 if kind == "long" else 100, 3)
    image = Image.fromarray((scene[0].permute(1, 2, 0).numpy() * 255).astype("uint8"))
    if kind == "grey":
        image = image.convert("L")
    if kind == "transparent":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    data = io.BytesIO()
    image.save(data, "PNG")
    settings = Settings(models=("mini",), effort="fast", resolutions=(64,), style="Aubrey Beardsley", budget=0.1)
    done = Protector(settings).protect(read(data.getvalue()))
    assert done.report["settings"]["cloak"]["mask"] > 0, "made for how larger files look"
    assert done.report["figures"]["lpips_crops"] <= 0.1
    assert done.report["figures"]["lpips"] <= 0.1
    assert done.report["models"]["mini"]["latent_remaining"] < 0.95
    saved = Image.open(io.BytesIO(done.data))
    assert (saved.mode, saved.size) == (image.mode, image.size)


@pytest.mark.parametrize(("native", "said"), [(0.31, True), (0.12, False), (None, False)])
def test_what_shows_pixel_by_pixel_only_is_said(large: Artwork, native: float | None, said: bool) -> None:
    figures = {"bytes_before": 1, "bytes_after": 1, "delta_kept": 1.0, "lpips_native_crops": native}
    figures["lpips_crops"] = None if native is None else 0.1
    assert any("at 100 % zoom" in note for note in notes(large, figures, None)) == said
