"""Whose style is this? A logistic regression on VGG16's correlations in pictures as a mimic sees them.

The artists that may be trained on are embedded; a victim joins as one more class, fitted from the victim's own
pictures. The judge only knows to choose among its classes: a picture of none of them is placed somewhere all the same,
so read its shares beside those of the ``real`` and ``base`` arms.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from velatura.diffusion import extractors
from velatura.diffusion.extractors import Extractor
from velatura.errors import InputError, MissingExtra
from velatura.judges import embedded, vgg
from velatura.judges.embedded import Space
from velatura.judges.views import Pictures, look, opened

FEWEST = 8
OnPicture: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class StyleJudge:
    """A fitted judge; made by :func:`fit`."""

    classes: tuple[str, ...]
    weight: Tensor  # (K, C)
    bias: Tensor  # (C,)
    space: Space
    extractor: Extractor

    def probabilities(self, pictures: Pictures) -> Tensor:
        """``(B, C)``, rows summing to 1, in the order of ``classes``; each picture judged by its middle square.

        Any size: pictures are brought to 128 px and through the autoencoder here, those of the miniature as well.
        """
        return self.likely(self.places(pictures))

    def places(self, pictures: Pictures) -> Tensor:
        """The judge's coordinates of pictures, ``(B, K)``: for :meth:`likely`, and for ``style_distance.apart``."""
        found = self.space.places(pictures, self.extractor)
        if not len(found):
            raise InputError("style judge: expected pictures, got none")
        return found

    def likely(self, places: Tensor) -> Tensor:
        """:meth:`probabilities` of pictures whose coordinates are known."""
        return (places @ self.weight + self.bias).softmax(1)

    def ranks(self, pictures: Pictures, artist: str) -> Tensor:
        """Place of ``artist`` among the classes, ``(B,)`` int64: 1 where the judge names it first."""
        return ranks(self.probabilities(pictures), self.index(artist))

    def index(self, artist: str) -> int:
        """Column of a class."""
        if artist not in self.classes:
            raise InputError(f"artist: expected one of {', '.join(self.classes)}, got {artist!r}")
        return self.classes.index(artist)


def fit(victims: Mapping[str, Pictures], *, device: str = "cpu", on_picture: OnPicture | None = None) -> StyleJudge:
    """The judge of the embedded artists and ``victims``: name to at least eight pictures, each one more class.

    Give it pictures that the mimic was not trained on. A victim with an embedded artist's name takes that artist's
    place. The same pictures give the same judge. ``on_picture(done, total)`` is called after each.
    """
    known = embedded.load()
    names, labels, features = join(known, victims, extractors.load("mini", device), on_picture)
    weight, bias = regress(features, labels, known.strength)
    return StyleJudge(names, weight, bias, known.space, extractors.load("mini", device))


def join(
    known: embedded.Embedded,
    victims: Mapping[str, Pictures],
    extractor: Extractor,
    on_picture: OnPicture | None = None,
) -> tuple[tuple[str, ...], Tensor, Tensor]:
    """Classes, labels ``(N,)`` and features ``(N, V, K)`` of the embedded artists that stay and of the victims."""
    require_sklearn()
    counts = {name: len(pictures) for name, pictures in victims.items()}
    for name, count in counts.items():
        if count < FEWEST:
            raise InputError(
                f"{name}: expected at least {FEWEST} pictures to learn the style from, got {count}; add pictures "
                "of this artist, other ones than the mimic's"
            )
    names = tuple(sorted({*known.artists, *victims}))
    stays = torch.tensor([known.artists[label] not in victims for label in known.labels])
    place = torch.tensor([names.index(artist) for artist in known.artists])
    labels, features = [place[known.labels[stays]]], [known.features[stays]]
    done = 0
    for name, pictures in victims.items():
        for i, picture in enumerate(opened(pictures)):
            features.append(known.space.project(vgg.correlations(look(picture, extractor, seed=i)))[None])
            labels.append(torch.tensor([names.index(name)]))
            done += 1
            if on_picture is not None:
                on_picture(done, sum(counts.values()))
    return names, torch.cat(labels), torch.cat(features)


def regress(features: Tensor, labels: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression: weight ``(K, C)`` and bias ``(C,)`` from ``(N, V, K)`` and ``(N,)``.

    Every view of a picture counts, and every artist the same, however many pictures there are of each.
    """
    require_sklearn()
    from sklearn.linear_model import LogisticRegression

    views = features.shape[1]
    model = LogisticRegression(C=strength / views, class_weight="balanced", max_iter=3000)
    model.fit(features.flatten(0, 1).double().numpy(), labels.repeat_interleave(views).numpy())
    if len(model.classes_) < 3 or list(model.classes_) != list(range(len(model.classes_))):
        raise InputError(f"style judge: expected pictures of three artists or more, got {len(model.classes_)}")
    return torch.from_numpy(model.coef_.T).float(), torch.from_numpy(model.intercept_).float()


def ranks(probabilities: Tensor, column: int | Tensor) -> Tensor:
    """Place of a column (one for all rows, or one a row) in each row of ``(B, C)``, 1 for the greatest: ``(B,)``."""
    index = torch.as_tensor(column).expand(len(probabilities))
    own = probabilities[torch.arange(len(probabilities)), index]
    return 1 + (probabilities > own[:, None]).sum(1)


def require_sklearn() -> None:
    """Raises :class:`MissingExtra` where the judge could not be fitted: before pictures are read for it."""
    if importlib.util.find_spec("sklearn") is None:
        raise MissingExtra("the style judge", "lab")
