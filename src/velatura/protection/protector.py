"""One artwork, end to end: choose T, paint Ω(x,T), optimise δ, fit it to the file as written, check, report."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from velatura import weights
from velatura.cloaks import GlazeSettings, OnStep, Step, glaze
from velatura.cloaks.descent import Colour
from velatura.cloaks.instant import InstantSettings, beginning, knows
from velatura.cloaks.windows import over_windows
from velatura.diffusion import device, extractors
from velatura.diffusion.extractors import Extractor
from velatura.errors import ImageError
from velatura.images import Artwork, apply, as_saved, encode, opacity, prepared, read, working
from velatura.images.kinds import Kind, in_its_colours, kind
from velatura.images.prepare import format_of
from velatura.perception.flip import PPD
from velatura.protection import report
from velatura.protection.fitting import fitted_scale
from velatura.protection.frame import Frame, frame
from velatura.protection.panels import Protected
from velatura.protection.settings import Settings
from velatura.protection.trial import seen, small, style_shift_of_trial
from velatura.protection.views import View, as_report, by_family, squares
from velatura.protection.visibility import Bounds, Visibility, enlargement
from velatura.reports.verdict import worth_it
from velatura.styles import catalogue, space, transfer
from velatura.styles.catalogue import Style
from velatura.styles.choose import Choice, centroid, choose, remember, remembered

MOST_FOR_CENTROID = 24
STEEPEST = 3.0  # of flat art
USUAL_SIDE = 512  # px, where a model does not say at which short side mimics train


@dataclass(frozen=True)
class Look:
    """``place``: numbers in the style space, then a style vector. ``square``: for trials, ``(1, 3, 128, 128)``."""

    place: list[float]
    square: Tensor


@dataclass(frozen=True)
class Circumstances:
    """What a cloak has to know of a file besides its pixels.

    ``kind``: of picture, or None; ``shown``: its opacity at the working size, where it is transparent in places;
    ``enlargement``: how much larger than at the working size it is looked at.
    """

    kind: Kind | None = None
    shown: Tensor | None = None
    enlargement: float = 1.0

    @property
    def colour(self) -> Colour | None:
        """For grey pictures and those in one hue: what may become of their colours."""
        kind = self.kind
        if kind is None or not kind.colourless:
            return None
        return lambda pictures, change: in_its_colours(kind, pictures, change)


class Protector:
    """The networks of one setting, loaded once, when they are first needed, and used for many pictures."""

    def __init__(self, settings: Settings) -> None:
        self.device = device.pick_device(settings.device)
        names = extractors.resolve(settings.models, settings.against)
        self.hint = extractors.hint(names)
        self.settings = replace(settings, models=tuple(names))
        if not settings.resolutions:
            own = {_resolution(name) for name in names}
            self.settings = replace(self.settings, resolutions=tuple(sorted(own | {USUAL_SIDE})))
        self.catalogue = catalogue.load(settings.catalogue)
        self._ways: dict[str, str] = {}

    @cached_property
    def extractors(self) -> list[Extractor]:
        found = extractors.load_all(self.settings.models, self.settings.against, self.device)
        self._ways |= {extractor.name: device.tune(extractor) for extractor in found}
        return found

    @property
    def ways(self) -> dict[str, str]:
        """Precision and memory layout of each extractor, by its name."""
        return {extractor.name: self._ways[extractor.name] for extractor in self.extractors}

    @cached_property
    def style_model(self) -> Extractor:
        """Its own, always fp32, as the catalogue was built: the cloak's may run in another precision."""
        return extractors.load(space.MODEL, self.device)

    @cached_property
    def pipeline(self) -> Any:
        """What paints instead of the embedded network, or None."""
        s = self.settings
        return None if s.painter is None else transfer.load_img2img(s.painter, self.device, offline=s.offline)

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
            if kind(artwork).nothing is None:
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
        name, reason = s.style, "your choice"
        if name is None and s.artist is not None:
            name, reason = remembered(s.artist), f"kept for artist {s.artist}"
        if name is None and earlier is not None:
            name, reason = earlier, "kept from the pictures done before"

        squares = [look.square for look in looks]
        own = cache(lambda: seen(squares, self.style_model))

        def trial(style: Style) -> float:
            found = style_shift_of_trial(squares, own(), style.vector, self.style_model)
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
        """Cloak one picture, as its delivery wants it. ``choice``: T for the body of work; None draws its own.

        Where there is nothing to protect, nothing is gained in flat art, or at intensity 0, the file is a copy and its
        report says why.
        """
        s, clock = self.settings, report.Clock()
        artwork = prepared(artwork, s.delivery)
        found = kind(artwork)
        if not s.budget or found.nothing is not None:
            return self._copied(artwork, found)
        framed = frame(artwork, found)
        choice = choice or self.choose([self.look(framed.inside)])
        original = self.working(framed.inside)
        target = self.paint(original, choice)
        clock("paint")
        about = self.circumstances(framed.inside, found)
        delta = self.cloak(original, target, on_step, about)
        clock("cloak")
        data, saved_file, figures = self.fit(framed, original, delta)
        clock("fit and write")
        saved = self.working(replace(saved_file, image=framed.within(saved_file.image)))
        families = by_family(self.extractors, original, saved, target, s.seed, about.shown)
        if (found.flat or framed.on_grid) and not worth_it(as_report(families)):
            # What one would see of it at edges would be for nothing.
            data = encode(artwork, artwork.image)
            saved_file, saved, delta = read(data), original, torch.zeros_like(delta)
            figures = {name: value and 0.0 for name, value in figures.items()}
        clock("measure")
        told = report.told(
            self, report.Made(framed, data, saved_file, original, target, saved, delta, choice, families, figures),
            recipe=self.recipe(about), clock=clock,
        )  # fmt: skip
        view = View(self.extractors[0], original, saved)
        return Protected(data, told, report.verdict_of(told), original, saved, target, view)

    def _copied(self, artwork: Artwork, found: Kind) -> Protected:
        """The file as it is, but for what its delivery asks."""
        data = encode(artwork, artwork.image)
        original = self.working(artwork)
        told = report.of_copy(self, artwork, data, found)
        return Protected(data, told, report.verdict_of(told), original, original, None, None)

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
        if len(squares(picture)) == 1:
            return pipeline(picture)
        painted = picture + over_windows(picture, lambda window, where, index, count: pipeline(window) - window)
        return painted.clamp(0, 1)

    def weights(self) -> dict[str, str]:
        """sha256 of every network that had a part in the picture and its figures."""
        embedded = ["lpips-alex"]
        if self.warm:
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

    def circumstances(self, artwork: Artwork, found: Kind | None = None) -> Circumstances:
        """What a cloak has to know of the file."""
        side = self.settings.working
        return Circumstances(found or kind(artwork), opacity(artwork, side), enlargement(artwork, side))

    def recipe(self, about: Circumstances) -> GlazeSettings:
        """How the cloak of such a picture is made; as published, all are made alike."""
        own = self.settings.cloak()
        if self.settings.as_published:
            return own
        if about.kind is not None and about.kind.flat:
            own = replace(own, floor=0.0, steepest=STEEPEST)
        return replace(own, flip=self.settings.visible(about.kind), ppd=PPD / about.enlargement)

    @property
    def warm(self) -> bool:
        """Whether cloaks begin from the instant one."""
        return not self.settings.as_published and knows(self.extractors)

    def start(self, pictures: Tensor, targets: Tensor, settings: GlazeSettings, opacity: Tensor | None) -> Tensor:
        """δ to begin from: the instant cloak."""
        once = InstantSettings(settings.budget, settings.flip, settings.ppd)
        return beginning(pictures, targets, settings=once, opacity=opacity)

    def cloak(
        self,
        original: Tensor,
        target: Tensor,
        on_step: OnStep | None = None,
        about: Circumstances | None = None,
        *,
        warm_start: bool = True,
        recipe: GlazeSettings | None = None,
    ) -> Tensor:
        """δ of a picture at the working resolution, window by window where it is long.

        ``warm_start``: begin from the instant cloak, where it knows the models and the effort is not as published.
        ``recipe``: another one than :meth:`recipe`'s.
        """
        about = about or Circumstances()
        settings, shown = recipe or self.recipe(about), about.shown
        warm = warm_start and self.warm

        def window(pictures: Tensor, where: tuple[slice, slice], index: int, count: int) -> Tensor:
            def tell(step: Step) -> None:
                assert on_step is not None
                on_step(replace(step, index=index * step.total + step.index, total=count * step.total))

            part = target[:, :, where[0], where[1]]
            alpha = None if shown is None else shown[:, :, where[0], where[1]].to(self.device)
            found = glaze(
                pictures, part,
                extractors=self.extractors, settings=settings, on_step=tell if on_step is not None else None,
                opacity=alpha, colour=about.colour,
                start=self.start(pictures, part, settings, alpha) if warm else None,
            )  # fmt: skip
            return found.delta

        return over_windows(original, window, transparent=shown is not None)

    def fit(
        self, framed: Frame | Artwork, original: Tensor, delta: Tensor, *, largest: float = 1.5, enough: float = 0.8
    ) -> tuple[bytes, Artwork, dict[str, float | None]]:
        """Scale δ until the file, as a reader will see it, keeps the budgets: rounding and JPEG have their own say.

        Where the file lost part of δ (a small or a grey one), it grows again, up to ``largest`` times, until ``enough``
        of a budget is used. Returns the file, what is read back from it, and figures of it: LPIPS of crops, ꟻLIP and
        ``delta_scale``, what δ was multiplied by.
        """
        framed = framed if isinstance(framed, Frame) else frame(framed, kind(framed))
        whole, inside, s = framed.whole, framed.inside, self.settings
        look = Visibility(inside, original, delta, s.working, Bounds(s.budget, s.visible(framed.kind)))
        delta = delta.cpu()

        def changed(scale: float) -> Any:
            return framed.around(apply(inside, (scale * delta).clamp(-1, 1)))

        scale = fitted_scale(
            lambda scale: look.used(framed.within(as_saved(whole, changed(scale)))), 1.0, largest, enough
        )
        if scale == 0:
            raise ImageError(
                f"{whole.name}: as {whole.format}, even a faint cloak changes it by more than LPIPS {s.budget:g}; "
                "choose --format png, a higher --quality or a higher intensity"
            )
        data = encode(whole, changed(scale))
        saved = read(data)
        return data, saved, {**look.figures(framed.within(saved.image)), "delta_scale": scale}


def _resolution(name: str) -> int:
    """Short side (px) at which mimics train with a model: the table's, or what its autoencoder was made for.

    Less than :data:`USUAL_SIDE` is not believed: fine-tuned autoencoders of Stable Diffusion say 256.
    """
    if (row := weights.lookup(name)) is not None:
        return max(USUAL_SIDE, row.resolution or 0)
    side = extractors.config(name).get("sample_size")
    return side if isinstance(side, int) and USUAL_SIDE < side <= 2048 and side % 8 == 0 else USUAL_SIDE
