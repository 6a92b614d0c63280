import json
import re
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderKLFlux2, AutoencoderTiny
from safetensors.torch import load_file, save_file
from torch import Tensor

from velatura import weights
from velatura.cloaks.cloak import Goal
from velatura.diffusion import extractors
from velatura.diffusion.autoencoder import MiniAutoencoder
from velatura.diffusion.surrogate import HEADS, Surrogate, view_decoder
from velatura.errors import ContractError, InputError, WeightsError

TAEF2 = Path(__file__).parents[2].parent / "shared" / "weights" / "taef2"
DOWN, UP = ("DownEncoderBlock2D",) * 4, ("UpDecoderBlock2D",) * 4
SMALL: dict[str, Any] = {
    "block_out_channels": (8, 8, 8, 8),
    "norm_num_groups": 4,
    "down_block_types": DOWN,
    "up_block_types": UP,
}


def network(name: str) -> Any:
    torch.manual_seed(0)
    if name == "AutoencoderKL":
        return AutoencoderKL(**SMALL, scaling_factor=0.5, shift_factor=0.1)
    if name == "AutoencoderKLFlux2":
        return AutoencoderKLFlux2(**SMALL)
    if name == "AutoencoderTiny":
        width = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
        return AutoencoderTiny(**width, num_encoder_blocks=(1,) * 4, num_decoder_blocks=(1,) * 4)
    module = MiniAutoencoder(block_out_channels=(12, 8, 8, 8), layers_per_block=(1, 1, 1))
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return module


NETWORKS = ["AutoencoderKL", "AutoencoderKLFlux2", "AutoencoderTiny", "MiniAutoencoder"]


@pytest.fixture(autouse=True)
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: pytest.fail("an unasked download"))


@pytest.fixture
def picture() -> Tensor:
    """A smooth synthetic picture: soft gradients and a round shape, 64 x 96."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 96), indexing="ij")
    disc = torch.sigmoid(20 * (0.3 - ((x - 0.5) ** 2 + (y - 0.5) ** 2).sqrt()))
    return torch.stack([0.2 + 0.6 * x, 0.3 + 0.4 * y, 0.2 + 0.5 * disc])[None]


def folder_of(tmp_path: Path, name: str, pipeline: bool = False) -> Path:
    folder = tmp_path / name
    network(name).save_pretrained(folder / "vae" if pipeline else folder)
    if pipeline:
        (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    return folder


@pytest.mark.parametrize("pipeline", [False, True], ids=["autoencoder", "pipeline"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_class_loads_and_answers_in_its_own_units(
    name: str, pipeline: bool, tmp_path: Path, picture: Tensor
) -> None:
    folder = folder_of(tmp_path, name, pipeline)
    extractor = extractors.load(folder)
    own = network(name).eval()
    with torch.no_grad():
        out = own.encode(picture * 2 - 1)
        expected = out.latents if name == "AutoencoderTiny" else out.latent_dist.mode()
    latents = extractor.encode(picture)
    assert extractor.downscale == 8
    assert latents.shape == (1, extractor.latent_channels, 8, 12)
    torch.testing.assert_close(latents, expected)
    assert extractor.decode(latents).shape == picture.shape
    assert extractor.view(picture).min() >= 0
    assert extractor.view(picture).max() <= 1
    assert extractor.name == str(folder)
    assert extractor.sha256 == weights.sha256(folder / "vae" if pipeline else folder)
    assert not any(p.requires_grad for p in extractor.module.parameters())
    assert not extractor.module.training


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_reach_the_picture(name: str, tmp_path: Path, picture: Tensor) -> None:
    extractor = extractors.load(folder_of(tmp_path, name))
    picture.requires_grad_(True)
    extractor.encode(picture).square().sum().backward()
    assert picture.grad is not None
    assert picture.grad.abs().sum() > 0
    latents = torch.zeros(1, extractor.latent_channels, 2, 2, requires_grad=True)
    extractor.decode(latents).sum().backward()
    assert latents.grad is not None
    assert latents.grad.abs().sum() > 0


def test_scaling_is_the_config_s_and_not_applied(tmp_path: Path) -> None:
    extractor = extractors.load(folder_of(tmp_path, "AutoencoderKL"))
    assert (extractor.scaling_factor, extractor.shift_factor) == (0.5, 0.1)


@pytest.mark.parametrize("name", NETWORKS)
def test_bf16_is_close_and_returns_float32(name: str, tmp_path: Path, picture: Tensor) -> None:
    folder = folder_of(tmp_path, name)
    exact, rough = extractors.load(folder), extractors.load(folder, precision="bf16", channels_last=True)
    a, b = exact.encode(picture), rough.encode(picture)
    assert b.dtype == torch.float32
    assert 0 < (a - b).norm() / a.norm() < 0.05
    assert (exact.decode(a) - rough.decode(a)).abs().mean() < 0.01
    with rough.autocast():  # "fp32" means it, also inside somebody's autocast
        torch.testing.assert_close(exact.encode(picture), a)


def test_half_precision_weights(tmp_path: Path, picture: Tensor) -> None:
    folder = folder_of(tmp_path, "AutoencoderTiny")
    half = extractors.load(folder, dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert half.encode(picture).dtype == half.view(picture).dtype == torch.float32


def test_stable_diffusion_1_s_old_names_of_the_attention_layers_load(tmp_path: Path, picture: Tensor) -> None:
    folder = folder_of(tmp_path, "AutoencoderKL")
    expected = extractors.load(folder).encode(picture)
    file = folder / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = load_file(file)
    for new_name, old_name in old.items():
        state = {key.replace(f".{new_name}.", f".{old_name}."): value for key, value in state.items()}
    assert any(".proj_attn." in key for key in state)
    save_file(state, file, metadata={"format": "pt"})
    torch.testing.assert_close(extractors.load(folder).encode(picture), expected)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.rand(1, 3, 60, 64), "multiples of 8"),
        (torch.rand(1, 3, 64, 0), "(B, 3, H, W)"),
        (torch.rand(3, 64, 64), "(B, 3, H, W)"),
        (torch.rand(1, 1, 64, 64), "(B, 3, H, W)"),
        (torch.rand(1, 3, 64, 64).half(), "float32"),
        (torch.rand(1, 3, 64, 64) * 255, "[0, 1]"),
    ],
)
@pytest.mark.parametrize("gradient", [False, True])
def test_bad_pictures_are_refused(bad: Tensor, message: str, gradient: bool) -> None:
    if gradient and "0, 1" in message:
        pytest.skip("values are not read where gradients flow: see Extractor._check")
    extractor = extractors.Extractor(network("AutoencoderTiny"), "tiny", "0" * 64)
    with pytest.raises(ContractError, match=re.escape(message)):
        extractor.encode(bad.requires_grad_(gradient))


def test_bad_latents_precision_and_names_are_refused() -> None:
    extractor = extractors.Extractor(network("AutoencoderTiny"), "tiny", "0" * 64)
    with pytest.raises(ContractError, match=r"expected latents \(B, 4, h, w\), got \(1, 16, 2, 2\)"):
        extractor.decode(torch.zeros(1, 16, 2, 2))
    with pytest.raises(InputError, match="fp32, bf16"):
        extractors.Extractor(network("AutoencoderTiny"), "tiny", "", precision="fp8")  # type: ignore[arg-type]
    with pytest.raises(WeightsError, match="did you mean 'taesd'"):
        extractors.load("tasd")
    with pytest.raises(WeightsError, match="velatura models pull taesd"):
        extractors.load("taesd")
    with pytest.raises(WeightsError, match=r"expected an autoencoder .* got the single file alex"):
        extractors.load("lpips-alex")


def test_other_classes_broken_and_incomplete_files_are_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "AutoencoderKL")
    config, file = folder / "config.json", folder / "diffusion_pytorch_model.safetensors"
    state, text = load_file(file), config.read_text()
    config.write_text(text.replace("AutoencoderKL", "AutoencoderDC"))
    with pytest.raises(WeightsError, match=r"expected an autoencoder of class .* got AutoencoderDC"):
        extractors.load(folder)
    config.write_text("[]")
    with pytest.raises(WeightsError, match="_class_name"):
        extractors.load(folder)
    config.write_text(text)
    # diffusers would only warn and leave this layer random.
    save_file({k: v for k, v in state.items() if k != "encoder.conv_in.weight"}, file, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"1 weights are missing .*encoder.conv_in.weight"):
        extractors.load(folder)
    file.write_bytes(b"not a safetensors file")
    with pytest.raises(WeightsError, match="could not be loaded") as error:
        extractors.load(folder)
    assert "\n" not in str(error.value)


def test_the_real_distilled_autoencoder_reconstructs(picture: Tensor) -> None:
    if not weights.weight_files(TAEF2):
        pytest.skip(f"the taef2 weights are not at {TAEF2}")
    extractor = extractors.load(TAEF2)
    latents = extractor.encode(picture)
    assert latents.shape == (1, 32, 8, 12)
    assert 0.3 < latents.std() < 2
    psnr = -10 * torch.log10((extractor.decode(latents) - picture).square().mean())
    assert psnr > 25
    rough = extractors.load(TAEF2, precision="bf16")
    assert (rough.encode(picture) - latents).norm() / latents.norm() < 0.03
    picture.requires_grad_(True)
    extractor.encode(picture).sum().backward()
    assert picture.grad is not None
    assert picture.grad.abs().sum() > 0


def pull(name: str, tmp_path: Path) -> None:
    """As ``velatura models pull`` leaves it, but for its weights."""
    model = weights.lookup(name)
    assert model
    snapshot = tmp_path / "hub" / f"models--{model.repo.replace('/', '--')}" / "snapshots" / model.revision
    network(model.class_name or "").save_pretrained(snapshot / model.subfolder)


def put_surrogate(folder: Path) -> Surrogate:
    torch.manual_seed(0)
    shape = {"widths": [8, 8, 8], "blocks": [1, 1, 1]}
    module = Surrogate(4, (8, 8, 8), (1, 1, 1))
    module.decoder = view_decoder(shape)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(module.config | {"decoder": shape}))
    save_file(module.state_dict(), folder / "diffusion_pytorch_model.safetensors")
    return module


def test_auto_is_the_best_of_each_family_and_never_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights.table, "DATA", tmp_path / "data")
    assert extractors.available() == []
    with pytest.raises(WeightsError, match="embedded file of 'surrogate' is missing"):
        extractors.resolve(["auto"])
    with pytest.raises(InputError):
        extractors.resolve([])
    network("MiniAutoencoder").save_pretrained(tmp_path / "data" / "mini" / "vae")
    with pytest.raises(WeightsError, match="surrogate"):  # the miniature stands for no model that a mimic uses
        extractors.resolve(["auto"])
    put_surrogate(tmp_path / "data" / "surrogate")
    assert extractors.resolve(["auto", "mini"]) == ["surrogate", "mini"]
    pull("taesd", tmp_path)
    assert extractors.resolve(["auto"]) == ["taesd", "surrogate"]
    assert extractors.resolve(["auto"], ["sdxl", "flux1"]) == ["surrogate"]
    assert extractors.resolve(["auto"], ["sd15"]) == ["taesd"]
    pull("sd21", tmp_path)
    assert extractors.resolve(["auto"]) == ["sd21", "surrogate"], "the full autoencoder is better than its copy"
    assert extractors.available() == ["sd21", "taesd", "surrogate", "mini"]
    assert extractors.resolve(["taesd", "mini", "taesd"]) == ["taesd", "mini"]
    assert extractors.load("sd21").name == "sd21"
    with pytest.raises(WeightsError, match="not on this machine"):
        extractors.resolve(["sdxl"])
    for wrong in ([], ["sd9"]):
        with pytest.raises(InputError, match="against: expected"):
            extractors.resolve(["auto"], wrong)


def test_a_hint_for_those_who_protect_with_the_miniature() -> None:
    assert "no mimic uses it" in (extractors.hint(["mini"]) or "")
    assert extractors.hint(["surrogate"]) is None
    assert extractors.hint(["taesd", "surrogate"]) is None


def test_the_surrogate_stands_for_the_families_that_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: Tensor
) -> None:
    monkeypatch.setattr(weights.table, "DATA", tmp_path / "data")
    module = put_surrogate(tmp_path / "data" / "surrogate")
    whole = extractors.load("surrogate")
    assert [family for family, _ in whole.parts] == list(weights.FAMILIES) == list(HEADS)
    latents = whole.encode(picture)
    assert latents.shape == (1, sum(HEADS.values()), 8, 12)
    torch.testing.assert_close(latents, module.eval().encode(picture * 2 - 1).latents)
    assert [latents[:, part].shape[1] for _, part in whole.parts] == list(HEADS.values())
    assert whole.view(picture).shape == picture.shape
    pull("taesd", tmp_path)
    tiny, rest = extractors.load_all(["taesd", "surrogate"])
    assert [family for family, _ in tiny.parts] == ["sd15"]
    assert [family for family, _ in rest.parts] == ["sdxl", "sd3", "flux1", "flux2"]
    (only,) = extractors.load_all(["surrogate"], ["flux1"])
    assert only.parts == [("flux1", slice(24, 40))]
    assert [e.name for e in extractors.load_all(["taesd", "surrogate"], ["sd15"])] == ["taesd"], "none is left"


def test_distances_are_taken_by_family_and_the_rest_of_the_latents_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: Tensor
) -> None:
    monkeypatch.setattr(weights.table, "DATA", tmp_path / "data")
    put_surrogate(tmp_path / "data" / "surrogate")
    extractor = extractors.load("surrogate", families=["sdxl", "flux2"])
    goal = Goal(extractor, picture, picture.flip(-1))
    assert torch.allclose(goal.by_family(goal.clean), torch.ones(1, 2))
    latents = goal.clean.clone()
    latents[:, 4:8] = goal.features[:, 4:8]  # SDXL's
    assert goal.by_family(latents).tolist() == [[0, pytest.approx(1)]]
    latents[:, 8:24] += 9  # of families that nobody asked for
    assert float(goal.left(latents)) == pytest.approx(0.5)


def test_other_models_have_one_part_with_their_family_or_name(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "AutoencoderKL")
    assert extractors.load(folder).parts == [(str(folder), slice(None))]
    assert extractors.load("mini").parts == [("mini", slice(None))]
