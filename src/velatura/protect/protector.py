"""One artwork, end to end: choose T, paint Ω(x,T), optimise δ, fit it to the file as written, check, report."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from velatura import __version__, weights
from velatura.cloaks import OnStep, Step, glaze
from velatura.cloaks.windows import over_windows
from velatura.diffusion import device, extractors
from velatura.errors import ImageError
from velatura.images import Artwork, apply, as_saved, encode, read, working
from velatura.protect.figures import View, Visibility, views, visible
from velatura.protect.settings import Settings
from velatura.reports.sheet import amplified, sheet
from velatura.reports.verdict import Verdict, verdict
from velatura.styles import catalogue, space, transfer
from velatura.styles.choose import Choice, centroid, choose, remember, remembered

STYLE_MODEL = "mini"  # the style space is the miniature's, whatever model the cloak uses
MOST_FOR_CENTROID = 24
GAIN = 8.0


@dataclass(frozen=True)
class Protected:
    """The protected file's bytes, its report (JSON-ready), and pictures ``(1, 3, H, W)`` for the sheet."""

    data: bytes
    report: dict[str, Any]
    verdict: Verdict
    original: Tensor
    saved: Tensor
    target: Tensor
    view: View

    def sheet(self) -> bytes:
        """PNG: original, protected, difference, target; what the model sees before and after."""
        figures = self.report["figures"]
        difference = (self.saved - self.original)[0].permute(1, 2, 0).cpu().numpy()
        style = self.report["style"]
        panels = [
            ("original", _pixels(self.original)),
            (f"protected (LPIPS {figures['lpips']:.3f})", _pixels(self.saved)),
            (f"difference, {GAIN:.0f} times amplified", amplified(difference, GAIN)),
            (f"painted target: {style['artist']}", _pixels(self.target)),
            ("what the model sees: original", _pixels(self.view.before)),
            ("what the model sees: protected", _pixels(self.view.after)),
        ]
        lines = [self.verdict.sentence]
        if self.verdict.advice:
            lines.append(self.verdict.advice)
        lines.append("Friction, not a guarantee: a mimic with time and skill can undo part of this.")
        return sheet(panels, title=str(self.report["source"]["name"]), lines=lines)


class Protector:
    """The networks of one setting, loaded once and used for many pictures."""

    def __init__(self, settings: Settings) -> None:
        self.device = device.pick_device(settings.device)
        names = extractors.resolve(settings.models)
        self.hint = extractors.hint(names)
        self.settings = replace(settings, models=tuple(names))
        self.extractors = [extractors.load(name, self.device) for name in names]
        self.ways = {extractor.name: device.tune(extractor) for extractor in self.extractors}
        style_model = [e for e in self.extractors if e.name == STYLE_MODEL]
        self.style_model = style_model[0] if style_model else extractors.load(STYLE_MODEL, self.device)
        self.catalogue = catalogue.load()
        self.pipeline = None
        if settings.painter is not None:
            self.pipeline = transfer.load_img2img(settings.painter, self.device, offline=settings.offline)

    def place(self, artwork: Artwork) -> list[float]:
        """Where a picture stands in the style space."""
        picture = working(artwork, space.SHORT_SIDE).to(self.device)
        # The style space is fp32 whatever the cloak uses, as the catalogue was built.
        fast, self.style_model.precision = self.style_model.precision, "fp32"
        try:
            return [float(v) for v in space.style_numbers(picture, self.style_model)[0]]
        finally:
            self.style_model.precision = fast

    def choose(self, places: Sequence[Sequence[float]]) -> Choice:
        """T for a body of work whose pictures stand at ``places``: by name, remembered, or drawn (and remembered)."""
        s = self.settings
        name, reason = s.style, "named on the command line"
        if name is None and s.artist is not None:
            name, reason = remembered(s.artist), f"kept for artist {s.artist}"
        choice = choose(self.catalogue, centroid(places), band=s.band, seed=s.seed, name=name, reason=reason)
        if s.artist is not None:
            remember(s.artist, choice, s.seed)
        return choice

    def protect(self, artwork: Artwork, choice: Choice | None = None, on_step: OnStep | None = None) -> Protected:
        """Cloak one picture. ``choice``: T for the body of work; None draws one for this picture alone."""
        s, started = self.settings, time.perf_counter()
        clock = _Clock()
        choice = choice or self.choose([self.place(artwork)])
        original = self.working(artwork)
        target = self.paint(original, choice)
        clock("paint")
        delta = self.cloak(original, target, on_step)
        clock("cloak")
        data, saved_file, lpips, lpips_native, scale = self.fit(artwork, original, delta)
        clock("fit and write")
        saved = self.working(saved_file)
        seen = views(self.extractors, original, saved, target, lpips, s.seed)
        clock("measure")
        per_model = {e.name: view.figures for e, view in zip(self.extractors, seen, strict=True)}
        noise_shift = max(view.figures["decoded_shift_noise"] for view in seen)
        shifts = {name: f["decoded_shift"] for name, f in per_model.items()}
        word = verdict(shifts, noise_shift=noise_shift, scale_models=[STYLE_MODEL])
        figures = {"lpips": lpips, "lpips_native_crops": lpips_native, **visible(original, saved), "delta_scale": scale}
        figures |= {"bytes_before": artwork.source_bytes, "bytes_after": len(data)}
        report = {
            "velatura": __version__,
            "source": {
                "name": artwork.path.name if artwork.path else "bytes",
                "format": artwork.format,
                "width": artwork.width,
                "height": artwork.height,
                "bits": artwork.bits,
            },
            "output_sha256": sha256(data).hexdigest(),
            "verdict": asdict(word),
            "figures": figures,
            "models": per_model,
            "flags": _flags(figures, s.budget, noise_shift, shifts),
            "settings": asdict(s) | {"method": "glaze", "cloak": asdict(s.cloak())},
            "settings_fingerprint": s.fingerprint(),
            "style": {
                "name": choice.style.name,
                "artist": choice.style.artist,
                "distance": choice.distance,
                "reason": choice.reason,
                "ranking": [list(row) for row in choice.ranking],
            },
            "weights": self.weights(),
            "device": self.device,
            "precision": self.ways,
            "torch": torch.__version__,
            "seconds": clock.seconds | {"total": time.perf_counter() - started},
        }
        return Protected(data, report, word, original, saved, target, seen[0])

    def paint(self, picture: Tensor, choice: Choice) -> Tensor:
        """Ω(x,T), by the embedded network or by a diffusion model's img2img."""
        if self.pipeline is None:
            return transfer.paint(picture, torch.tensor([choice.style.vector], device=picture.device))
        prompt = f"{choice.style.movement} painting by {choice.style.artist}".strip()
        s = self.settings
        return transfer.paint_with_pipeline(
            self.pipeline,
            picture,
            prompt,
            strength=s.painter_strength,
            guidance=s.painter_guidance,
            steps=s.painter_steps,
            seed=s.seed,
        )

    def weights(self) -> dict[str, str]:
        """sha256 of every network that had a part in the picture and its figures."""
        embedded = ("lpips-alex", "lpips-vgg", "style-predict", "style-transform", "styles")
        digests = {name: weights.sha256(weights.embedded(name)) for name in embedded}
        return digests | {e.name: e.sha256 for e in [*self.extractors, self.style_model]}

    def working(self, artwork: Artwork) -> Tensor:
        """The picture as the cloak sees it: ``(1, 3, h, w)`` at the working resolution."""
        return working(artwork, self.settings.working).to(self.device)

    def cloak(self, original: Tensor, target: Tensor, on_step: OnStep | None = None) -> Tensor:
        """δ of a picture at the working resolution, window by window where it is long."""
        settings = self.settings.cloak()

        def window(pictures: Tensor, where: tuple[slice, slice], index: int, count: int) -> Tensor:
            def report(step: Step) -> None:
                if on_step is not None:
                    on_step(replace(step, index=index * step.total + step.index, total=count * step.total))

            part = target[:, :, where[0], where[1]]
            return glaze(pictures, part, extractors=self.extractors, settings=settings, on_step=report).delta

        return over_windows(original, window)

    def fit(
        self, artwork: Artwork, original: Tensor, delta: Tensor
    ) -> tuple[bytes, Artwork, float, float | None, float]:
        """Shrink δ until the file, as a reader will see it, keeps the budget: rounding and JPEG have their own say."""
        visibility = Visibility(artwork, original, delta, self.settings.working, self.device)
        delta = delta.cpu()
        scale = 1.0
        for _ in range(12):
            image = apply(artwork, scale * delta)
            lpips, native = visibility.of(as_saved(artwork, image))
            worst = max(lpips, native or 0.0)
            if worst <= self.settings.budget:
                data = encode(artwork, image)
                saved = read(data)
                lpips, native = visibility.of(saved.image)
                worst = max(lpips, native or 0.0)
                if worst <= self.settings.budget:
                    return data, saved, lpips, native, scale
            # LPIPS grows faster than δ, so the square root falls short of the budget from below after a round or two.
            scale *= min(0.98, (self.settings.budget / worst) ** 0.5)
        name = artwork.path.name if artwork.path else "picture"
        raise ImageError(
            f"{name}: saving as {artwork.format} alone changes it by more than LPIPS {self.settings.budget:g}; "
            "convert it to PNG first or choose a higher intensity"
        )


def _flags(figures: dict[str, Any], budget: float, noise_shift: float, shifts: dict[str, float]) -> list[str]:
    flags = []
    if figures["lpips"] > budget:
        flags.append("budget exceeded in the saved file")
    if min(shifts.values()) <= noise_shift + 0.05:
        flags.append("cloak no better than random noise of equal visibility")
    if figures["delta_e_mean"] > 5:
        flags.append(f"visible colour cast: mean ΔE {figures['delta_e_mean']:.1f}, which LPIPS hardly punishes")
    if figures["delta_scale"] < 0.5:
        flags.append("δ was more than halved to keep the budget in the saved file")
    return flags


def png(picture: Tensor) -> bytes:
    """PNG of one picture ``(1, 3, H, W)`` in [0, 1]."""
    out = io.BytesIO()
    Image.fromarray(_pixels(picture)).save(out, "PNG")
    return out.getvalue()


def _pixels(picture: Tensor) -> Any:
    return (picture[0].detach().clamp(0, 1).permute(1, 2, 0) * 255).round().byte().cpu().numpy()


class _Clock:
    def __init__(self) -> None:
        self.last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def __call__(self, what: str) -> None:
        now = time.perf_counter()
        self.seconds[what] = now - self.last
        self.last = now
