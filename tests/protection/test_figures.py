"""How visible a change is in the file as written: as a whole, and from close by."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from velatura.images import Artwork, apply, as_saved, read, working
from velatura.images.resample import at_size, tensor
from velatura.perception.flip import PPD, flip
from velatura.perception.lpips import load, lpips
from velatura.protection import Protector, Settings
from velatura.protection.panels import png
from velatura.protection.publishing import notes
from velatura.protection.visibility import (
    CROP,
    MOST_CROPS,
    Bounds,
    Visibility,
    _starts,
    busiest_boxes,
    closest,
    enlargement,
)


@pytest.fixture
def large(make_scene) -> Artwork:
    return read(png(make_scene(384, 256, 3)))


def test_a_file_is_looked_at_from_no_closer_than_twice_the_working_size(make_scene, large: Artwork) -> None:
    assert closest(large, 64) == (128, 192)
    assert closest(large, 128) == closest(large, 200) == (256, 384)
    assert [enlargement(large, side) for side in (64, 200, 256)] == [2, 1.28, 1]
    assert enlargement(read(png(make_scene(64, 80, 3))), 128) == 1


def test_the_budgets_bound_what_is_seen_from_close_by_and_the_file_itself_is_reported(large: Artwork) -> None:
    original = working(large, 64)
    delta = 0.08 * torch.randn(original.shape, generator=torch.Generator().manual_seed(0))
    saved = as_saved(large, apply(large, delta))
    look = Visibility(large, original, delta, 64, Bounds(0.1, 0.05))
    close = look.close(saved)
    assert close is not None
    before, after = (at_size(image, 128, 192) for image in (large.image, saved))
    parts = [[tensor(image)[..., top : top + 128, :] for image in (before, after)] for _, top in look.boxes]
    assert close == pytest.approx(max(float(lpips(*pair)) for pair in parts), abs=1e-5)
    seen = float(flip(tensor(before), tensor(after)))
    assert look.flip(saved) == pytest.approx(seen, rel=1e-3)
    whole = float(lpips(original, working(saved, 64)))
    assert look.used(saved) == pytest.approx(max(close / 0.1, whole / 0.1, seen / 0.05), rel=1e-3)
    unbounded = Visibility(large, original, delta, 64, Bounds(0.1, None))
    assert unbounded.used(saved) == pytest.approx(max(close, whole) / 0.1, rel=1e-3)
    figures = look.figures(saved)
    assert figures["lpips_crops"] == close
    assert figures["flip"] == pytest.approx(seen, rel=1e-3)
    assert figures["lpips_native_crops"] > 1.2 * close, "larger still, the same grain shows more"
    small = Visibility(large, working(large, 256), torch.zeros(1, 3, 384, 256), 256, Bounds(0.1, 0.05))
    found = small.figures(saved)
    assert found["lpips_crops"] is found["lpips_native_crops"] is None


def test_a_large_file_is_looked_at_in_parts_that_see_what_the_whole_does(
    large: Artwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = working(large, 128)
    saved = as_saved(
        large, apply(large, 0.05 * torch.randn(original.shape, generator=torch.Generator().manual_seed(0)))
    )
    seen = []
    for part in (2_000_000, 20_000):
        monkeypatch.setattr("velatura.protection.visibility.PART", part)
        seen.append(Visibility(large, original, original - original, 128, Bounds(0.1, 0.05)).flip(saved))
    assert seen[1] == pytest.approx(seen[0], rel=0.03)


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


def test_a_larger_file_gets_a_cloak_that_was_made_for_it(large: Artwork) -> None:
    settings = Settings(models=("mini",), effort="fast", resolutions=(64,), style="Aubrey Beardsley", budget=0.1)
    protector = Protector(settings)
    about = protector.circumstances(large)
    assert about.enlargement == 2
    assert protector.recipe(about).ppd == PPD / 2, "seen twice as large, so at half as many pixels per degree"
    published = Protector(Settings(models=("mini",), effort="paper", resolutions=(64,)))
    recipe = published.recipe(published.circumstances(large))
    assert (recipe.mask, recipe.flip, recipe.ppd) == (0, None, PPD), "as published"
    report = protector.protect(large).report
    assert report["settings"]["cloak"]["ppd"] == PPD / 2
    assert report["figures"]["lpips_crops"] <= 0.1
    assert report["figures"]["flip"] <= 1.01 * settings.visible()


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
    assert done.report["settings"]["cloak"]["ppd"] < 0.85 * PPD, "it is seen larger than it is worked on"
    assert done.report["figures"]["lpips_crops"] <= 0.1
    assert done.report["figures"]["flip"] <= 1.01 * settings.visible()
    assert done.report["figures"]["lpips"] <= 0.1
    seen = done.report["families"]["mini"]
    assert seen["progress"] > 0.03 + max(0, seen["progress_noise"]), seen
    saved = Image.open(io.BytesIO(done.data))
    assert (saved.mode, saved.size) == (image.mode, image.size)


@pytest.mark.parametrize(("native", "said"), [(0.31, True), (0.12, False), (None, False)])
def test_what_shows_pixel_by_pixel_only_is_said(large: Artwork, native: float | None, said: bool) -> None:
    figures = {"bytes_before": 1, "bytes_after": 1, "delta_kept": 1.0, "lpips_native_crops": native}
    figures["lpips_crops"] = None if native is None else 0.1
    assert any("at 100 % zoom" in note for note in notes(large, figures, None)) == said
