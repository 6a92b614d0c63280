"""ꟻLIP of still pictures: what one sees when two of them alternate on a screen (Andersson et al., HPG 2020).

Two pipelines meet in one map. Colour: filtered by the eye's contrast sensitivity, then compared in CIELAB. Features:
how much the edges and points differ, which amplifies the difference of colour. Here with a gradient, and finite
everywhere. The mean differs from that of the authors' code by less than 1e-4 (``tests/perception/test_flip.py``).
Citations are of the sections of the paper, Proc. ACM Comput. Graph. Interact. Tech. 3(2), article 15.
"""

from __future__ import annotations

import functools
import math
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from velatura.errors import ContractError
from velatura.images.contract import check_pictures


def pixels_per_degree(distance_m: float = 0.7, width_m: float = 0.7, width_px: int = 3840) -> float:
    """Pixels of a screen in one degree of sight, p = d · W_px / W_m · π / 180 (paper: viewing conditions).

    The defaults are ``flip-evaluator``'s: a 4K screen of 0.7 m, seen from 0.7 m, which gives 67.02.
    """
    return distance_m * width_px / width_m * math.pi / 180


PPD = pixels_per_degree()

# Linear sRGB to XYZ relative to white, D65: each row sums to one.
_TO_XYZ = (
    (10135552 / 23359437, 8788810 / 23359437, 4435075 / 23359437),
    (2613072 / 12288897, 8788810 / 12288897, 887015 / 12288897),
    (1425312 / 80288307, 8788810 / 80288307, 70074185 / 80288307),
)
# XYZ to the opponent space YCxCz, linear, without its constant: filters whose weights sum to one keep that.
_TO_OPPONENT = ((0.0, 116.0, 0.0), (500.0, -500.0, 0.0), (0.0, 200.0, -200.0))
# Sums of Gaussians (a, b) of the contrast sensitivity to light, red-green and blue-yellow (paper: spatial filtering).
_SENSITIVITY = (((1.0, 0.0047),), ((1.0, 0.0053),), ((34.1, 0.04), (13.5, 0.025)))
_FEATURE = 0.082  # degrees: width of the eye's edge detector
_QC, _PC, _PT, _QF = 0.7, 0.4, 0.95, 0.5

# What keeps roots and powers from a slope without end at zero, each in the unit of what it is added to.
_EPS_CHROMA, _EPS_NORM, _EPS_COLOUR, _EPS_FEATURE, _EPS_FINAL = 1e-4, 1e-6, 1e-3, 1e-6, 1e-6

_BLOCK = 64  # rows that one small matrix product makes

Taps = tuple[float, ...]
Terms = tuple[tuple[float, Taps, Taps], ...]  # of a sum of separable filters: weight, along rows, along columns
Blocks = list[tuple[slice, slice, Tensor]]  # of a banded matrix: the rows it makes, those it reads, the weights


class Seen(NamedTuple):
    """What the eye keeps of a picture: all that the comparison needs."""

    lab: Tensor  # (B, 3, H, W), filtered and Hunt-adjusted
    edges: Tensor  # (B, 1, H, W)
    points: Tensor  # (B, 1, H, W)


class Flip:
    """ꟻLIP to one reference, which is looked at once; a cloak's loop pays for the other picture alone.

    Example:
        >>> reference = torch.rand(1, 3, 64, 64)
        >>> visible = Flip(reference)
        >>> visible(reference).shape
        torch.Size([1, 1, 64, 64])
    """

    def __init__(self, reference: Tensor, ppd: float = PPD) -> None:
        check_pictures(reference, "reference")
        self.ppd = ppd
        self.shape = reference.shape
        with torch.no_grad():
            self.reference = see(reference, ppd)

    def __call__(self, other: Tensor) -> Tensor:
        """The map ``(B, 1, H, W)`` in [0, 1]; ``other`` is of the reference's shape."""
        if other.shape != self.shape:
            raise ContractError(f"ꟻLIP: expected a picture of shape {tuple(self.shape)}, got {tuple(other.shape)}")
        if not other.requires_grad:
            check_pictures(other, "other")
        return compare(self.reference, see(other, self.ppd))


def flip_map(a: Tensor, b: Tensor, ppd: float = PPD) -> Tensor:
    """ꟻLIP of ``b`` to the reference ``a``, both ``(B, 3, H, W)`` sRGB in [0, 1]: a map ``(B, 1, H, W)`` in [0, 1].

    ``ppd``: pixels per degree of sight (:func:`pixels_per_degree`). Differentiable in both.
    """
    for pictures, name in ((a, "a"), (b, "b")):
        if not pictures.requires_grad:
            check_pictures(pictures, name)
    if a.shape != b.shape:
        raise ContractError(f"ꟻLIP: expected two tensors of one shape, got {tuple(a.shape)} and {tuple(b.shape)}")
    return compare(see(a, ppd), see(b, ppd))


def flip(a: Tensor, b: Tensor, ppd: float = PPD) -> Tensor:
    """The mean of :func:`flip_map`: ``(B,)``. 0 for equal pictures, 1 for blue and green."""
    return flip_map(a, b, ppd).mean((1, 2, 3))


def see(pictures: Tensor, ppd: float = PPD) -> Seen:
    """What depends on one picture only (paper: spatial filtering, perceptually uniform colour space, features)."""
    linear = _linear(pictures)
    to_xyz, to_opponent, back = (matrix.to(linear) for matrix in _matrices())
    opponent = _mixed(to_opponent, linear)
    light = opponent[:, 0] / 116
    seen = [_filtered(x, _gaussians(ppd, terms)) for x, terms in zip(opponent.unbind(1), _SENSITIVITY, strict=True)]
    filtered = _mixed(back, torch.stack(seen, 1)).clamp(0, 1)
    blur, slope, curve = _detectors(ppd)
    edges, points = (
        _length(_filtered(light, ((1, blur, taps),)), _filtered(light, ((1, taps, blur),)), _EPS_NORM)
        for taps in (slope, curve)
    )
    return Seen(_hunt_lab(_mixed(to_xyz, filtered)), edges[:, None], points[:, None])


def compare(a: Seen, b: Seen) -> Tensor:
    """The map ``(B, 1, H, W)``: ΔE = ΔE_c ^ (1 − ΔE_f) (paper: final difference)."""
    colour = _redistributed(_hyab(a.lab, b.lab))
    feature = torch.maximum((a.edges - b.edges).abs(), (a.points - b.points).abs()) * math.sqrt(0.5)
    feature = _power(feature, _QF, _EPS_FEATURE)
    return colour * torch.exp(-feature * torch.log(colour + _EPS_FINAL))


def _power(x: Tensor, exponent: float, eps: float) -> Tensor:
    """``x ** exponent`` for x ≥ 0 and an exponent below one: zero at zero, but with a finite slope there."""
    return x * (x + eps) ** (exponent - 1)


def _linear(pictures: Tensor) -> Tensor:
    """sRGB to linear light, by exp and log, whose gradient is one product."""
    steep = torch.exp(2.4 * torch.log((pictures.clamp_min(0.04045) + 0.055) * (1 / 1.055)))
    return torch.where(pictures <= 0.04045, pictures * (1 / 12.92), steep)


@lru_cache(maxsize=1)
def _matrices() -> tuple[Tensor, Tensor, Tensor]:
    """Linear sRGB to XYZ, to the opponent space, and back from that."""
    to_xyz, to_opponent = torch.tensor(_TO_XYZ, dtype=torch.float64), torch.tensor(_TO_OPPONENT, dtype=torch.float64)
    whole = to_opponent @ to_xyz
    return to_xyz.float(), whole.float(), torch.linalg.inv(whole).float()


def _mixed(matrix: Tensor, pictures: Tensor) -> Tensor:
    """``(3, 3)`` on the channels of ``(B, 3, H, W)``."""
    return (matrix @ pictures.flatten(2)).view_as(pictures)


def _hunt_lab(xyz: Tensor) -> Tensor:
    """XYZ relative to white to CIELAB, its colours weighed by light: dark ones are less colourful (Hunt's effect)."""
    small = (6 / 29) ** 3
    root = torch.exp(torch.log(xyz.clamp_min(small)) * (1 / 3))
    x, y, z = torch.where(xyz > small, root, xyz * (29**2 / 108) + 4 / 29).unbind(1)
    light = 116 * y - 16
    return torch.stack([light, 5 * light * (x - y), 2 * light * (y - z)], 1)


def _length(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """√(x² + y²), with a slope at zero too."""
    return (x * x + y * y + eps * eps).sqrt()


def _hyab(a: Tensor, b: Tensor) -> Tensor:
    """Abasi et al.'s distance: city blocks in lightness, Euclidean in colour. ``(B, 1, H, W)``."""
    light, red_green, blue_yellow = (a - b).unbind(1)
    distance = light.abs() + _length(red_green, blue_yellow, _EPS_CHROMA) - _EPS_CHROMA
    return distance[:, None]


def _redistributed(distance: Tensor) -> Tensor:
    """HyAB to [0, 1], most of the range for the small differences (paper: error redistribution)."""
    largest = _largest()
    power = _power(distance, _QC, _EPS_COLOUR)
    knee = _PC * largest
    # The second line is the flatter one: the smaller of the two is the bent one.
    return torch.minimum(_PT / knee * power, _PT + (1 - _PT) / (largest - knee) * (power - knee))


@lru_cache(maxsize=1)
def _largest() -> float:
    """The largest difference within sRGB, that of green and blue, to the power of q_c."""
    pure = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).view(2, 3, 1, 1)
    lab = _hunt_lab(_mixed(torch.tensor(_TO_XYZ), pure))
    distance = float(_hyab(lab[:1], lab[1:]))
    return math.pow(distance, _QC)


@lru_cache(maxsize=64)
def _gaussians(ppd: float, terms: tuple[tuple[float, float], ...]) -> Terms:
    """Contrast sensitivity in pixels: g(d) = Σ a √(π/b) exp(−π² d² / b), d in degrees (paper: spatial filtering)."""
    widest = max(b for several in _SENSITIVITY for _, b in several)
    reach = math.ceil(3 * math.sqrt(widest / (2 * math.pi**2)) * ppd)
    found = []
    for a, b in terms:
        sigma = math.sqrt(b / (2 * math.pi**2)) * ppd
        near = min(reach, math.ceil(4 * sigma))  # the filter to light is much narrower than the widest
        line = [math.exp(-0.5 * (k / sigma) ** 2) for k in range(-near, near + 1)]
        total = sum(line)
        taps = tuple(v / total for v in line)
        found.append((a * math.sqrt(math.pi / b) * total**2, taps, taps))
    whole = sum(weight for weight, _, _ in found)
    return tuple((weight / whole, down, across) for weight, down, across in found)


@lru_cache(maxsize=16)
def _detectors(ppd: float) -> tuple[Taps, Taps, Taps]:
    """A Gaussian and its two derivatives, whose positive and negative weights sum to one each (paper: features)."""
    sigma = 0.5 * _FEATURE * ppd
    reach = math.ceil(3 * sigma)
    places = range(-reach, reach + 1)
    gauss = [math.exp(-0.5 * (k / sigma) ** 2) for k in places]

    def balanced(line: list[float]) -> Taps:
        up, down = sum(v for v in line if v > 0), -sum(v for v in line if v < 0)
        return tuple(v / up if v > 0 else v / down for v in line)

    blur = tuple(v / sum(gauss) for v in gauss)
    slope = balanced([-k * g for k, g in zip(places, gauss, strict=True)])
    curve = balanced([(k * k / sigma**2 - 1) * g for k, g in zip(places, gauss, strict=True)])
    return blur, slope, curve


def _filtered(x: Tensor, terms: Terms) -> Tensor:
    """``(B, H, W)`` by a sum of separable filters, the borders repeated."""
    height, width = x.shape[-2:]
    parts = []
    for weight, down, across in terms:
        scaled = tuple(weight * tap for tap in down)
        once = _band(x, _blocks(height, scaled, x.device))
        parts.append(_band(once.mT, _blocks(width, across, x.device)).mT)
    return functools.reduce(torch.add, parts)


@lru_cache(maxsize=64)
def _blocks(length: int, taps: Taps, device: torch.device) -> Blocks:
    """A filter of a line of so many pixels, whose ends are repeated, as a banded matrix cut into blocks of rows."""
    reach = len(taps) // 2
    found = []
    for start in range(0, length, _BLOCK):
        stop = min(start + _BLOCK, length)
        first, last = max(0, start - reach), min(length, stop + reach)
        places = torch.arange(start, stop)[:, None] + torch.arange(-reach, reach + 1)
        weights = torch.zeros(stop - start, last - first)
        weights.scatter_add_(1, places.clamp(0, length - 1) - first, torch.tensor(taps).expand(stop - start, -1))
        found.append((slice(start, stop), slice(first, last), weights.to(device)))
    return found


def _band(x: Tensor, blocks: Blocks) -> Tensor:
    filtered: Tensor = _Band.apply(x, blocks)  # type: ignore[no-untyped-call]
    return filtered


class _Band(torch.autograd.Function):
    """The product of a banded matrix and the rows of ``x`` ``(B, H, W)``, block by block, and its gradient.

    With its gradient, on one core, in a third of the time of sums of slices or of torch's convolutions.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, blocks: Blocks) -> Tensor:
        ctx.blocks = blocks
        made = torch.empty_like(x)
        for rows, near, weights in blocks:
            made[:, rows] = weights @ x[:, near]
        return made

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        found = torch.zeros_like(gradient)
        for rows, near, weights in ctx.blocks:
            found[:, near] += weights.mT @ gradient[:, rows]
        return found, None
