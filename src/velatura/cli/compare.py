"""``velatura compare``: how two pictures differ, and how much of a cloak is left in a third."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from velatura.cli.options import DEVICE

if TYPE_CHECKING:
    from torch import Tensor

    from velatura.images.kinds import Kind

SIDE = 512
MOST_STRETCH = 0.02  # of the aspect ratio; platforms round sizes, but a cut picture cannot be laid over the other


@click.command("compare", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("original", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path))
@click.argument("downloaded", required=False, type=click.Path(path_type=Path))
@click.option("--page", type=click.IntRange(1), help="Which page of ORIGINAL, and of others that hold several, from 1.")
@click.option("-r", "--resolution", default=SIDE, show_default=True, type=click.IntRange(64), help="Short side in px.")
@click.option("-m", "--model", help="With DOWNLOADED: also what is left in the eyes of this model (auto, mini, ...).")
@DEVICE
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def compare_command(
    original: Path,
    other: Path,
    downloaded: Path | None,
    page: int | None,
    resolution: int,
    model: str | None,
    device: str,
    as_json: bool,
) -> None:
    """How far is OTHER from ORIGINAL? LPIPS, ꟻLIP, colour difference, PSNR, seen at one size.

    With a third file, OTHER is the protected picture and DOWNLOADED what a platform made of it: how much of the cloak
    is left in that. The cloak itself is the difference between the first two.
    """
    import json

    from velatura.diffusion.device import pick_device
    from velatura.errors import InputError

    if model is not None and downloaded is None:
        raise InputError("--model: expected with three files, ORIGINAL PROTECTED DOWNLOADED")
    device = pick_device(device)
    paths = [path for path in (original, other, downloaded) if path is not None]
    first, tensors = _at_one_size(paths, resolution, page)
    pictures = [picture.to(device) for picture in tensors]
    found: dict[str, Any] = {"resolution": list(pictures[0].shape[:1:-1])}
    found["other"] = _apart(first, pictures[0], pictures[1])
    if downloaded is not None:
        found["downloaded"] = _apart(first, pictures[0], pictures[2])
        found["left"] = _left(pictures, model, device)
    if as_json:
        from velatura.reports.result import to_json

        click.echo(json.dumps(json.loads(to_json(found))))
    else:
        _show(found, paths)


def _at_one_size(paths: list[Path], side: int, page: int | None) -> tuple[Kind, list[Tensor]]:
    """What kind of picture the first is; and all at its working size, ``(1, 3, h, w)`` each."""
    from velatura.errors import ImageError
    from velatura.images import read_guarded, working_size
    from velatura.images.artwork import printable
    from velatura.images.kinds import kind
    from velatura.images.resample import at_size, refuse_strips, tensor

    first = read_guarded(paths[0], page=page)
    refuse_strips(first)
    size = working_size(first.width, first.height, side)
    found = [tensor(at_size(first.image, *size))]
    for path in paths[1:]:
        try:
            artwork = read_guarded(path)
        except ImageError:
            if page is None:
                raise
            artwork = read_guarded(path, page=page)
        stretch = artwork.width * first.height / (artwork.height * first.width)
        if abs(stretch - 1) > MOST_STRETCH + 1 / min(artwork.width, artwork.height):
            sizes = f"{artwork.width}x{artwork.height}, not the shape of {first.width}x{first.height}"
            raise ImageError(f"{printable(path)}: is {sizes}: was it cut? cut the original alike")
        found.append(tensor(at_size(artwork.image, *size)))
    return kind(first), found


def _apart(kind: Kind, original: Tensor, other: Tensor) -> dict[str, float]:
    from velatura.perception.flip import Flip
    from velatura.perception.lpips import lpips
    from velatura.protection.visibility import visible
    from velatura.reports.verdict import jod_lost

    flip, distance = float(Flip(original)(other).mean()), float(lpips(original, other))
    lost = jod_lost(flip, distance, colourless=kind.colourless)
    return {"lpips": distance, "flip": flip, "jod_lost": lost, **visible(original, other)}


def _left(pictures: list[Tensor], model: str | None, device: str) -> dict[str, Any]:
    """Of δ: in pixels, and in the latent of a model."""
    import torch

    from velatura.errors import InputError
    from velatura.perception.pixels import share_left

    if bool((pictures[1] == pictures[0]).all()):
        raise InputError("PROTECTED: expected a picture that differs from ORIGINAL, got the same")
    left: dict[str, Any] = {"pixels": float(share_left(*pictures))}
    if model is not None:
        from velatura.diffusion import extractors
        from velatura.protection.views import squares

        extractor = extractors.load(extractors.resolve((model,))[0], device)
        shares = []
        with torch.no_grad():
            for rows, columns in squares(pictures[0]):
                shares.append(float(share_left(*(extractor.encode(x[..., rows, columns]) for x in pictures))))
        left[extractor.name] = sum(shares) / len(shares)
    return left


def _show(found: dict[str, Any], paths: list[Path]) -> None:
    from velatura.images.artwork import printable
    from velatura.reports.verdict import seen_by_people

    width, height = found["resolution"]
    click.echo(f"against {printable(paths[0])}, at {width}x{height}")
    for key, path in zip(("other", "downloaded"), paths[1:], strict=False):
        f = found[key]
        click.echo(f"{printable(path)}")
        click.echo(
            f"  LPIPS {f['lpips']:.3f}, PSNR {f['psnr_db']:.1f} dB, largest difference {f['linf_255']:.0f} of 255"
        )
        click.echo(f"  a viewer {seen_by_people(f['jod_lost'])}, ꟻLIP {f['flip']:.3f}")
        colour = f"mean {f['delta_e_mean']:.1f}, 95th percentile {f['delta_e_p95']:.1f}"
        click.echo(f"  colour difference ΔE: {colour}")
    for name, share in found.get("left", {}).items():
        click.echo(f"left of the cloak, in {'pixels' if name == 'pixels' else f'the eyes of {name}'}: {share:.0%}")
