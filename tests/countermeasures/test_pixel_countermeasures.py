"""Countermeasures without a model, each against another library's implementation of the same thing, or a property."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from velatura.cloaks import NoiseSettings as NoiseControl
from velatura.cloaks import noise
from velatura.countermeasures import COUNTERMEASURES
from velatura.countermeasures.treatment import prepare
from velatura.errors import ContractError, InputError, MissingExtra
from velatura.perception.pixels import psnr

ndimage = pytest.importorskip("scipy.ndimage")
pytest.importorskip("cv2")
skimage = pytest.importorskip("skimage.restoration")
PIXEL = [name for name, row in COUNTERMEASURES.items() if row.needs == "nothing"]
# A change of each countermeasure's main strength, weaker and stronger.
STRENGTHS = {
    "noise": ("sigma", 0.02, 0.1),
    "jpeg": ("quality", 90, 20),
    "webp": ("quality", 90, 5),
    "avif": ("quality", 80, 15),
    "resize": ("factor", 0.8, 0.25),
    "crop": ("keep", 0.98, 0.7),
    "rotate": ("degrees", 0.5, 6),
    "blur": ("sigma", 0.5, 3),
    "median": ("size", 3, 9),
    "bilateral": ("rounds", 1, 20),
    "guided": ("epsilon", 0.005, 0.2),
    "adverse-cleaner": ("bilateral", 2, 64),
    "tv": ("weight", 0.01, 0.3),
    "nlm": ("strength", 1, 10),
}


def treated(name: str, pictures: Tensor, **changes: Any) -> Tensor:
    return prepare(name, {key: str(value) for key, value in changes.items()})(pictures)


def array(picture: Tensor) -> np.ndarray:
    return picture[0].permute(1, 2, 0).numpy()


def tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32)).permute(2, 0, 1)[None]


@pytest.fixture
def picture(make_scene: Callable[..., Tensor]) -> Tensor:
    return make_scene(72, 90, 3)


@pytest.mark.parametrize("name", PIXEL)
def test_same_shape_in_range_repeatable_and_stronger_changes_more(name: str, make_scene: Callable[..., Tensor]) -> None:
    pictures = torch.cat([make_scene(61, 75, seed) for seed in (1, 2)])
    key, weak, strong = STRENGTHS[name]
    far = []
    for value in (weak, strong):
        changed = treated(name, pictures, **{key: value})
        assert changed.shape == pictures.shape
        assert changed.dtype == torch.float32
        assert changed.min() >= 0
        assert changed.max() <= 1
        assert torch.equal(changed, treated(name, pictures, **{key: value}))
        far.append(float(psnr(pictures, changed).mean()))
    assert far[0] > far[1] + 1
    assert far[1] > 10, "it is still the picture"


def test_pictures_of_a_batch_are_changed_alone(make_scene: Callable[..., Tensor]) -> None:
    pictures = torch.cat([make_scene(48, 56, seed) for seed in (1, 2)])
    for name in PIXEL:
        assert torch.allclose(treated(name, pictures)[:1], treated(name, pictures[:1]), atol=1e-6), name


@pytest.mark.parametrize(("name", "format", "options"), [
    ("jpeg", "JPEG", {"quality": 40, "subsampling": "4:2:0"}),
    ("webp", "WEBP", {"quality": 40}),
    ("avif", "AVIF", {"quality": 40}),
])  # fmt: skip
def test_compression_against_pillow(name: str, format: str, options: dict[str, Any], picture: Tensor) -> None:
    ours = treated(name, picture, quality=40)
    file = io.BytesIO()
    Image.fromarray((array(picture) * 255).round().astype("uint8")).save(file, format, **options)
    theirs = tensor(np.asarray(Image.open(file).convert("RGB")) / 255)
    away = float(psnr(picture, ours))
    assert away == pytest.approx(float(psnr(picture, theirs)), abs=4), "about as lossy"
    assert float(psnr(theirs, ours)) > away, "and losing the same things"


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
def test_resizing_against_torch(kernel: str, picture: Tensor) -> None:
    ours = treated("resize", picture, factor=0.5, down=kernel, up=kernel)
    small = F.interpolate(picture, (36, 45), mode=kernel, antialias=True)
    theirs = F.interpolate(small, picture.shape[-2:], mode=kernel, antialias=True).clamp(0, 1)
    assert (ours - theirs).abs().max() < 2e-3


def test_crop_against_pillow(picture: Tensor) -> None:
    settings: Any = prepare("crop", {"keep": "0.75"}).settings
    ours = treated("crop", picture, keep=0.75)
    across, down = torch.rand(2, generator=torch.Generator().manual_seed(settings.seed)).tolist()
    left, top = across * 0.25 * 90, down * 0.25 * 72
    whole = Image.fromarray((array(picture) * 255).round().astype("uint8"))
    theirs = whole.resize((90, 72), Image.Resampling.LANCZOS, (left, top, left + 67.5, top + 54))
    assert (ours - tensor(np.asarray(theirs) / 255)).abs().max() < 0.02
    assert not torch.equal(ours, treated("crop", picture, keep=0.75, seed=5))


@pytest.mark.parametrize("degrees", [4, -7])
def test_rotation_against_scipy(degrees: float, make_scene: Callable[..., Tensor]) -> None:
    smooth = treated("blur", make_scene(80, 80, 4), sigma=3)
    ours = treated("rotate", smooth, degrees=degrees)
    turned = ndimage.rotate(array(smooth), degrees, axes=(0, 1), reshape=False, order=3, mode="mirror")
    angle = np.deg2rad(abs(degrees))
    side = 80 / (np.cos(angle) + np.sin(angle))
    box = (40 - side / 2, 40 - side / 2, 40 + side / 2, 40 + side / 2)
    planes = [Image.fromarray(turned[..., c]).resize((80, 80), Image.Resampling.BICUBIC, box) for c in range(3)]
    theirs = tensor(np.stack([np.asarray(plane) for plane in planes], -1))
    assert (ours - theirs).abs().max() < 0.02
    assert (ours - smooth).abs().max() > 0.05


def test_blur_and_median_against_scipy(picture: Tensor) -> None:
    blurred = ndimage.gaussian_filter(array(picture), (1.5, 1.5, 0), mode="mirror", truncate=4)
    assert (treated("blur", picture, sigma=1.5) - tensor(blurred)).abs().max() < 2e-3
    for size, close in ((3, 1e-6), (7, 0.003)):  # beyond 5, in 8 bits
        middle = ndimage.median_filter(array(picture), (size, size, 1), mode="nearest")
        assert (treated("median", picture, size=size) - tensor(middle)).abs().max() < close


def test_bilateral_against_its_equation(picture: Tensor) -> None:
    """Tomasi & Manduchi 1998, in a round window, differences of colour summed over channels as OpenCV does."""
    x, radius, colour, space = array(picture).astype("float64"), 4, 0.2, 2.0
    wide = np.pad(x, ((radius, radius), (radius, radius), (0, 0)), mode="reflect")
    total, weights = np.zeros_like(x), np.zeros((*x.shape[:2], 1))
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if dy * dy + dx * dx <= radius * radius:
                other = wide[radius + dy : radius + dy + x.shape[0], radius + dx : radius + dx + x.shape[1]]
                apart = np.abs(other - x).sum(-1, keepdims=True)
                weight = np.exp(-(dy * dy + dx * dx) / (2 * space**2) - apart**2 / (2 * colour**2))
                total, weights = total + weight * other, weights + weight
    ours = treated("bilateral", picture, rounds=1, diameter=9, colour=colour, space=space)
    assert (ours - tensor(total / weights)).abs().max() < 1e-4
    assert (ours - picture).abs().max() > 0.1


def test_guided_filter_against_its_equations(picture: Tensor) -> None:
    """He et al. 2010, eq. 14-16, with a covariance matrix a pixel."""
    x, radius, epsilon = array(picture).astype("float64"), 4, 0.05
    mean = lambda v: ndimage.uniform_filter(v, (2 * radius + 1,) * 2 + (0,) * (v.ndim - 2), mode="mirror")  # noqa: E731
    outer = mean(x[..., :, None] * x[..., None, :]) - mean(x)[..., :, None] * mean(x)[..., None, :]
    a = np.linalg.solve(outer + epsilon**2 * np.eye(3), outer)  # one column for each output channel
    b = mean(x) - np.einsum("hwi,hwij->hwj", mean(x), a)
    theirs = np.einsum("hwi,hwij->hwj", x, mean(a)) + mean(b)
    ours = array(treated("guided", picture, radius=radius, epsilon=epsilon))
    inside = (slice(radius * 2, -radius * 2),) * 2
    assert np.abs(ours - theirs)[inside].max() < 5e-3
    assert np.abs(theirs - x)[inside].max() > 0.02


def test_adverse_cleaner_is_its_recipe(picture: Tensor) -> None:
    smooth = treated("bilateral", picture, rounds=64, diameter=5, colour=8 / 255, space=8)
    assert (treated("adverse-cleaner", picture, guided=0) - smooth).abs().max() < 1e-3
    whole = treated("adverse-cleaner", picture)
    assert float(psnr(whole, smooth)) > float(psnr(picture, smooth)), "the guided passes bring little back"


def test_total_variation_minimises_its_model(picture: Tensor) -> None:
    """Rudin-Osher-Fatemi: half the squared distance plus weight times variation; no neighbour is better."""
    weight = 0.1

    def energy(y: Tensor) -> float:
        dy, dx = (F.pad(torch.diff(y, dim=d), (0, d == -1, 0, d == -2)) for d in (-2, -1))
        return float(0.5 * (y - picture).pow(2).sum() + weight * (dy.pow(2) + dx.pow(2)).sqrt().sum())

    found = treated("tv", picture, weight=weight)
    grey = ndimage.gaussian_filter(array(picture), (1, 1, 0))
    others = [
        picture,
        tensor(grey),
        treated("tv", picture, weight=weight / 3),
        treated("tv", picture, weight=3 * weight),
    ]
    assert all(energy(found) < 0.99 * energy(other) for other in others)


def test_non_local_means_denoises_as_scikit_image_does(make_scene: Callable[..., Tensor]) -> None:
    clean = treated("blur", make_scene(64, 64, 5), sigma=2)
    noisy = treated("noise", clean, sigma=0.03)
    ours = treated("nlm", noisy)
    theirs = tensor(skimage.denoise_nl_means(array(noisy), h=0.03, sigma=0.03, channel_axis=-1))
    before = float(psnr(clean, noisy))
    for denoised in (ours, theirs):
        assert float(psnr(clean, denoised)) > before + 3


def test_noise_has_its_deviation_and_follows_the_seed(make_scene: Callable[..., Tensor]) -> None:
    grey = torch.full((2, 3, 64, 64), 0.5)
    noise = treated("noise", grey, sigma=0.05) - grey
    assert float(noise.std()) == pytest.approx(0.05, rel=0.05)
    assert (noise[0] * noise[1]).mean().abs() < 2e-4
    first = prepare("noise", seed=3)
    assert torch.equal(first(grey, shift=2), prepare("noise", seed=5)(grey))
    assert torch.equal(first(grey)[1], prepare("noise", seed=4)(grey)[0])


@pytest.mark.parametrize(("name", "changes", "says"), [
    ("sharpen", {}, "expected one of noise, jpeg"),
    ("jpeg", {"quality": "0"}, "quality: expected a whole number from 1 to 100, got 0"),
    ("jpeg", {"quality": "good"}, "quality: expected a whole number from 1 to 100, got 'good'"),
    ("jpeg", {"kernel": "box"}, "setting 'kernel': expected one of quality, chroma"),
    ("resize", {"down": "cubic"}, "down: expected one of nearest, box"),
    ("median", {"size": "4"}, "size: expected one of 3, 5"),
    ("noise", {"sigma": "nan"}, "sigma: expected a number from 0 to 1"),
    ("learned", {}, "no purifier is shipped"),
])  # fmt: skip
def test_what_is_wrong_is_one_line(name: str, changes: dict[str, str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        prepare(name, changes)


def test_only_pictures_are_taken() -> None:
    for name in PIXEL:
        with pytest.raises(ContractError, match="expected"):
            prepare(name)(torch.rand(1, 3, 16, 16) * 255)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtra, match=r"pip install 'velatura\[lab\]'"):
        prepare("blur")(torch.rand(1, 3, 16, 16))


def test_a_countermeasure_does_not_draw_the_noise_of_the_control_again(make_scene: Callable[..., Tensor]) -> None:
    """Equal seeds would add to the control's noise along itself, and the control would seem to survive."""
    picture = 0.5 + 0 * make_scene(64, 64, 1)
    control = noise(picture, settings=NoiseControl(0.05, seed=3)).delta
    added = prepare("noise", seed=3)(picture) - picture
    assert abs(float(torch.corrcoef(torch.stack([control.flatten(), added.flatten()]))[0, 1])) < 0.05
