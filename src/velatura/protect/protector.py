"""One artwork, end to end: choose T, paint Ω(x,T), optimise δ, fit it to the file as written, check, report."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from velatura import __version__, weights
from velatura.cloaks import GlazeSettings, InstantSettings, OnStep, Step, glaze
from velatura.cloaks.instant import beginning
from velatura.cloaks.windows import over_windows
from velatura.diffusion import device, extractors
from velatura.diffusion.autoencoder import MiniAutoencoder
from velatura.diffusion.extractors import Extractor
from velatura.errors import ImageError
from velatura.images import Artwork, apply, as_saved, encode, opacity, prepared, read, working
from velatura.images.artwork import printable
from velatura.images.prepare import format_of
from velatura.perception.color_difference import colour_cast
from velatura.perception.lpips import lpips
from velatura.perception.pixels import share_left
from velatura.protect import figures as look
from velatura.protect.figures import View, Visibility, views, visible
from velatura.protect.fitting import fitted_scale
from velatura.protect.publishing import after_platform, notes
from velatura.protect.settings import Settings, for_larger_files
from velatura.protect.trial import cloaks_from_home, seen, small
from velatura.reports.checks import flags
from velatura.reports.sheet import amplified, sheet
from velatura.reports.verdict import Verdict, verdict
from velatura.styles import catalogue, transfer
from velatura.styles.catalogue import Style
from velatura.styles.choose import Choice, centroid, choose, remember, remembered

STYLE_MODEL = "mini"  # the style space is the miniature's, whatever model the cloak uses
MOST_FOR_CENTROID = 24
GAIN = 8.0
USUAL_SIDE = 512  # px, where a model does not say at which short side mimics train


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
            (f"protected: visibility {figures['lpips']:.3f} (LPIPS)", _pixels(self.saved)),
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


@dataclass(frozen=True)
class Look:
    """``place``: numbers in the style space, then a style vector. ``square``: for trials, ``(1, 3, 128, 128)``."""

    place: list[float]
    square: Tensor


class Protector:
    """The networks of one setting, loaded once and used for many pictures."""

    def __init__(self, settings: Settings) -> None:
        self.device = device.pick_device(settings.device)
        names = extractors.resolve(settings.models)
        self.hint = extractors.hint(names)
        self.extractors = [extractors.load(name, self.device) for name in names]
        if not settings.resolutions:
            own = {_resolution(name, extractor) for name, extractor in zip(names, self.extractors, strict=True)}
            settings = replace(settings, resolutions=tuple(sorted(own | {USUAL_SIDE})))
        self.settings = replace(settings, models=tuple(names))
        self.ways = {extractor.name: device.tune(extractor) for extractor in self.extractors}
        # Its own, always fp32, as the catalogue was built: the cloak's may run in another precision.
        self.style_model = extractors.load(STYLE_MODEL, self.device)
        self.catalogue = catalogue.load(settings.catalogue)
        self.pipeline = None
        if settings.painter is not None:
            self.pipeline = transfer.load_img2img(settings.painter, self.device, offline=settings.offline)

    def look(self, artwork: Artwork) -> Look:
        """What the choice of T wants to know of a picture."""
        vector, numbers = catalogue.measure(artwork, self.style_model)
        return Look([*numbers, *vector], small(artwork))

    def look_at(self, source: Path) -> Look | None:
        """The same of a file; None where it cannot be protected, which is said when its turn comes."""
        from velatura.images import read_guarded

        with contextlib.suppress(Exception):
            artwork = read_guarded(source, page=self.settings.page)
            format_of(artwork, self.settings.delivery)
            return self.look(artwork)
        return None

    def choose(
        self,
        looks: Sequence[Look],
        *,
        earlier: str | None = None,
        quick: bool = False,
        on_trial: Callable[[], None] | None = None,
    ) -> Choice:
        """T for a body of work.

        By name, remembered for the artist, that of ``earlier`` pictures of the same run, or drawn and tried, in this
        order. ``quick``: nothing is tried. ``on_trial()`` is called after each trial.
        """
        s = self.settings
        name, reason = s.style, "named on the command line"
        if name is None and s.artist is not None:
            name, reason = remembered(s.artist), f"kept for artist {s.artist}"
        if name is None and earlier is not None:
            name, reason = earlier, "kept from the pictures done before"

        squares = [look.square for look in looks]
        own = cache(lambda: seen(squares, self.style_model))

        def trial(style: Style) -> float:
            found = cloaks_from_home(squares, own(), style.vector, self.style_model)
            if on_trial is not None:
                on_trial()
            return found

        choice = choose(
            self.catalogue, centroid([look.place for look in looks]),
            band=s.drawn_from, seed=s.seed, name=name, reason=reason, trial=None if quick else trial,
        )  # fmt: skip
        if s.artist is not None:
            remember(s.artist, choice, s.seed)
        return choice

    def protect(self, artwork: Artwork, choice: Choice | None = None, on_step: OnStep | None = None) -> Protected:
        """Cloak one picture, as its delivery wants it. ``choice``: T for the body of work; None draws its own."""
        s, started = self.settings, time.perf_counter()
        clock = _Clock()
        artwork = prepared(artwork, s.delivery)
        choice = choice or self.choose([self.look(artwork)])
        original = self.working(artwork)
        target = self.paint(original, choice)
        clock("paint")
        delta, recipe = torch.zeros_like(original), s.cloak()
        if s.budget:
            shown = opacity(artwork, s.working)
            detail = self.detail(artwork)
            recipe = self.recipe(detail)
            delta = self.cloak(original, target, on_step, grey=artwork.grey, shown=shown, detail=detail)
            del detail
        clock("cloak")
        data, saved_file, lpips_crops, scale = self.fit(artwork, original, delta)
        clock("fit and write")
        saved = self.working(saved_file)
        distance = float(lpips(original, saved))
        seen = views(self.extractors, original, saved, target, distance, s.seed)
        clock("measure")
        per_model = {e.name: view.figures for e, view in zip(self.extractors, seen, strict=True)}
        shifts = {name: f["decoded_shift"] for name, f in per_model.items()}
        noise = {name: f["decoded_shift_noise"] for name, f in per_model.items()}
        miniatures = [e.name for e in self.extractors if isinstance(e.module, MiniAutoencoder)]
        changes = {name: f["view_change"] for name, f in per_model.items()}
        by_noise = max(f["view_change_noise"] for f in per_model.values())
        word = verdict(changes, noise_change=by_noise, scale_models=miniatures)
        figures: dict[str, Any] = {"lpips": distance, **lpips_crops, **visible(original, saved)}
        figures["delta_scale"] = scale
        wanted = original + scale * self.seen(artwork, delta)
        figures["delta_kept"] = float(share_left(original, wanted, saved)) if scale else None
        figures |= {"bytes_before": artwork.source_bytes, "bytes_after": len(data)}
        platform = s.delivery.platform
        published = None
        if platform is not None:
            published = after_platform(platform, saved_file, original, saved, target, self.extractors)
        report = {
            "velatura": __version__,
            "source": {
                "name": printable(Path(artwork.path.name)) if artwork.path else "bytes",
                "format": artwork.format,
                "width": artwork.width,
                "height": artwork.height,
                "bits": artwork.bits,
            },
            "output_sha256": sha256(data).hexdigest(),
            "verdict": asdict(word),
            "figures": figures,
            "models": per_model,
            "platform": published,
            "flags": flags(
                budget=s.budget,
                lpips=max(distance, lpips_crops["lpips_crops"] or 0.0),
                scale=scale,
                cast=figures["colour_cast"],
                cast_budget=s.cloak().cast,
                shifts=shifts,
                noise=noise,
            ),
            "notes": notes(artwork, figures, published),
            "settings": asdict(s)
            | {
                "catalogue": printable(Path(s.catalogue.name)) if s.catalogue else None,
                "method": "glaze",
                "cloak": asdict(recipe),
            },
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
        """Ω(x,T), by the embedded network or by a diffusion model's img2img, window by window where it is long."""
        if self.pipeline is None:
            return transfer.paint(picture, torch.tensor([choice.style.vector], device=picture.device))
        prompt = f"{choice.style.movement} painting by {choice.style.artist}".strip()
        s = self.settings
        pipeline = partial(
            transfer.paint_with_pipeline, self.pipeline, prompt=prompt, strength=s.painter_strength,
            guidance=s.painter_guidance, steps=s.painter_steps, seed=s.seed,
        )  # fmt: skip
        if len(look.squares(picture)) == 1:
            return pipeline(picture)
        painted = picture + over_windows(picture, lambda window, where, index, count: pipeline(window) - window)
        return painted.clamp(0, 1)

    def weights(self) -> dict[str, str]:
        """sha256 of every network that had a part in the picture and its figures."""
        embedded = ["lpips-alex", "lpips-vgg"]
        if not self.settings.as_published:
            embedded.append("instant")
        if self.pipeline is None:
            embedded += ["style-predict", "style-transform"]
        digests = {name: weights.sha256(weights.embedded(name)) for name in embedded}
        digests["styles"] = weights.sha256(self.settings.catalogue or weights.embedded("styles"))
        if self.settings.painter is not None:
            digests["painter"] = self.settings.painter
        return digests | {e.name: e.sha256 for e in [*self.extractors, self.style_model]}

    def working(self, artwork: Artwork) -> Tensor:
        """The picture as the cloak sees it: ``(1, 3, h, w)`` at the working resolution."""
        return working(artwork, self.settings.working).to(self.device)

    def seen(self, artwork: Artwork, delta: Tensor) -> Tensor:
        """What shows of δ: all of it, but where the picture is transparent."""
        shown = opacity(artwork, self.settings.working)
        return delta if shown is None else shown.to(delta.device) * delta

    def recipe(self, detail: Tensor | None) -> GlazeSettings:
        """How the cloak of a picture with that ``detail`` is made."""
        own = self.settings.cloak()
        return own if detail is None else for_larger_files(own)

    def detail(self, artwork: Artwork) -> Tensor | None:
        """What the cloak's visibility is bounded by besides: the picture larger, if its file is; not as published."""
        return None if self.settings.as_published else look.detail(artwork, self.settings.working)

    def start(
        self, pictures: Tensor, targets: Tensor, settings: GlazeSettings, opacity: Tensor | None = None
    ) -> Tensor:
        """δ to begin from: the instant cloak, of which other models than the miniature see something, too."""
        once = InstantSettings(settings.budget, settings.cast)
        return beginning(pictures, targets, settings=once, grey=settings.grey, opacity=opacity)

    def cloak(
        self,
        original: Tensor,
        target: Tensor,
        on_step: OnStep | None = None,
        *,
        grey: bool = False,
        shown: Tensor | None = None,
        detail: Tensor | None = None,
        at_once: bool = True,
    ) -> Tensor:
        """δ of a picture at the working resolution, window by window where it is long.

        ``grey`` for a grey file; ``shown``: its opacity, where it is transparent in places; ``detail``: what
        :meth:`detail` gives; ``at_once``: begin from the instant cloak, unless the effort is as published.
        """
        settings = replace(self.recipe(detail), grey=grey)
        at_once &= not self.settings.as_published

        def window(pictures: Tensor, where: tuple[slice, slice], index: int, count: int) -> Tensor:
            def report(step: Step) -> None:
                assert on_step is not None
                on_step(replace(step, index=index * step.total + step.index, total=count * step.total))

            part = target[:, :, where[0], where[1]]
            alpha = None if shown is None else shown[:, :, where[0], where[1]].to(self.device)
            near = None if detail is None else same_part(detail, original, where).to(self.device)
            found = glaze(
                pictures, part,
                extractors=self.extractors, settings=settings, on_step=report if on_step is not None else None,
                opacity=alpha, detail=near,
                start=self.start(pictures, part, settings, alpha) if at_once else None,
            )  # fmt: skip
            return found.delta

        return over_windows(original, window, transparent=shown is not None)

    def fit(
        self, artwork: Artwork, original: Tensor, delta: Tensor, *, largest: float = 1.5, enough: float = 0.8
    ) -> tuple[bytes, Artwork, dict[str, float | None], float]:
        """Scale δ until the file, as a reader will see it, keeps the budget: rounding and JPEG have their own say.

        Where the file lost part of δ (a small or a grey one), it grows again, up to ``largest`` times, until ``enough``
        of the budget is used. Returns the file, what is read back from it, LPIPS of its crops, and the scale.
        """
        visibility = Visibility(artwork, original, delta, self.settings.working)
        if not self.settings.budget:
            data = encode(artwork, apply(artwork, delta.cpu()))
            saved = read(data)
            return data, saved, visibility.figures(saved.image), 0.0
        if (bound := self.settings.cloak().cast) is not None:  # what grows for LPIPS' sake must not outgrow the other
            cast = float(colour_cast(original, (original + self.seen(artwork, delta)).clamp(0, 1)))
            largest = min(largest, max(1.0, bound / max(cast, 1e-6)))
        delta, budget = delta.cpu(), self.settings.budget

        def worst(scale: float) -> float:
            return visibility.worst(as_saved(artwork, apply(artwork, (scale * delta).clamp(-1, 1))))

        scale = fitted_scale(worst, budget, largest, enough * budget)
        if scale == 0:
            raise ImageError(
                f"{artwork.name}: as {artwork.format}, even a faint cloak changes it by more than LPIPS {budget:g}; "
                "choose --format png, a higher --quality or a higher intensity"
            )
        data = encode(artwork, apply(artwork, (scale * delta).clamp(-1, 1)))
        saved = read(data)
        return data, saved, visibility.figures(saved.image), scale


def _resolution(name: str, extractor: Extractor) -> int:
    """Short side (px) at which mimics train with a model: the table's, or what its autoencoder was made for.

    Less than :data:`USUAL_SIDE` is not believed: fine-tuned autoencoders of Stable Diffusion say 256.
    """
    if isinstance(extractor.module, MiniAutoencoder):
        return USUAL_SIDE
    if (row := weights.lookup(name)) is not None:
        return row.resolution or USUAL_SIDE
    config: Any = extractor.module.config
    side = config.get("sample_size")
    return side if isinstance(side, int) and USUAL_SIDE < side <= 2048 and side % 8 == 0 else USUAL_SIDE


def same_part(larger: Tensor, picture: Tensor, where: tuple[slice, slice]) -> Tensor:
    """Of a larger picture, what rows and columns ``where`` of ``picture`` show."""
    ends = []
    for own, full, part in zip(picture.shape[-2:], larger.shape[-2:], where, strict=True):
        ends.append(slice(round(part.start * full / own), round(part.stop * full / own)))
    return larger[..., ends[0], ends[1]]


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
