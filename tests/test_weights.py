import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import huggingface_hub
import pytest
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError

from velatura import weights
from velatura.errors import Cancelled, WeightsError


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache of our own, and no download that a test did not ask for."""
    for name in ("VELATURA_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    cache = tmp_path / "hub"
    cache.mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: pytest.fail("an unasked download"))
    return cache


def put_in_cache(cache: Path, repo: str, revision: str, subfolder: str = "", weight: str = "") -> Path:
    snapshot = cache / f"models--{repo.replace('/', '--')}" / "snapshots" / revision / subfolder
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (snapshot / (weight or "diffusion_pytorch_model.safetensors")).write_bytes(b"weights")
    return snapshot


def test_the_table_is_complete_and_consistent() -> None:
    assert len({m.name for m in weights.MODELS}) == len(weights.MODELS)
    for model in weights.MODELS:
        assert model.licence
        assert model.notes
        assert bool(model.file) != bool(model.repo), model.name
        if model.repo:
            assert model.pinned, f"{model.name}: a hub model without a pinned revision"
            assert re.fullmatch(r"[\w.-]+/[\w.-]+", model.repo)
            assert model.size_mb
            assert ("gated" in model.licence) == model.gated
        if model.class_name:
            assert model.resolution


def test_best_first_full_before_tiny_before_the_miniature() -> None:
    order = ["autoencoder", "tiny autoencoder", "embedded"]
    kinds = [order.index(m.kind) for m in weights.MODELS]
    assert kinds == sorted(kinds)


def test_importing_the_table_does_not_import_torch() -> None:
    code = (
        "import sys; from velatura import weights; [weights.locate(m.name) for m in weights.MODELS]; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("taesd", "taesd"),
        ("madebyollin/taesd", "taesd"),
        ("runwayml/stable-diffusion-v1-5", "sd15"),
        ("stabilityai/stable-diffusion-2-1-base", "sd21"),
        ("", None),
        ("nothing", None),
    ],
)
def test_lookup(wanted: str, name: str | None) -> None:
    found = weights.lookup(wanted)
    assert (found.name if found else None) == name


@pytest.mark.parametrize("ask", [weights.require, weights.fetch, weights.embedded])
@pytest.mark.parametrize(("wrong", "right"), [("tasd", "taesd"), ("sd-15", "sd15"), ("madebyolin/taesd", "taesd")])
def test_an_unknown_name_is_one_line_with_a_suggestion(ask: Callable[[str], Path], wrong: str, right: str) -> None:
    with pytest.raises(WeightsError, match=f"did you mean '.*{right}") as error:
        ask(wrong)
    assert "\n" not in str(error.value)


def test_another_hub_id_is_not_taken_for_a_typing_error() -> None:
    with pytest.raises(WeightsError, match="hf download somebody/their-model"):
        weights.require("somebody/their-model")


def test_embedded_files_and_the_missing_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights.embedded("lpips-alex").is_file()
    assert weights.fetch("lpips-alex") == weights.locate("lpips-alex") == weights.embedded("lpips-alex")
    monkeypatch.setattr(weights.table, "DATA", tmp_path)
    assert weights.locate("mini") is None
    for ask in (weights.embedded, weights.require, weights.fetch):
        with pytest.raises(WeightsError, match="missing"):
            ask("mini")


def test_local_folders(tmp_path: Path) -> None:
    vae = tmp_path / "pipeline" / "vae"
    vae.mkdir(parents=True)
    (tmp_path / "pipeline" / "model_index.json").write_text("{}")
    assert weights.locate(tmp_path / "pipeline") is None
    with pytest.raises(WeightsError, match="expected a folder with vae/"):
        weights.require(tmp_path / "pipeline")
    (vae / "config.json").write_text("{}")
    (vae / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"half")
    assert weights.locate(str(tmp_path / "pipeline")) == weights.locate(vae) == vae
    half = weights.sha256(vae)
    (vae / "diffusion_pytorch_model.safetensors").write_bytes(b"full")
    assert weights.sha256(vae) != half, "the plain file comes before the fp16 variant"


def test_the_hub_cache_is_found_by_name_by_id_and_under_a_withdrawn_id(empty_cache: Path) -> None:
    assert weights.locate("sd15") is None
    model = weights.lookup("sd15")
    assert model
    old = put_in_cache(empty_cache, "runwayml/stable-diffusion-v1-5", model.revision, "vae")
    assert weights.locate("sd15") == weights.locate(model.repo) == old
    new = put_in_cache(empty_cache, model.repo, model.revision, "vae")
    assert weights.locate("sd15") == new


def test_a_cache_with_the_config_alone_is_not_a_model(empty_cache: Path) -> None:
    snapshot = put_in_cache(empty_cache, "madebyollin/taesd", str(getattr(weights.lookup("taesd"), "revision", "")))
    (snapshot / "diffusion_pytorch_model.safetensors").unlink()
    assert weights.locate("taesd") is None


def test_a_cached_model_outside_the_table_is_found_by_its_id(empty_cache: Path) -> None:
    snapshot = put_in_cache(empty_cache, "somebody/their-model", "a" * 40, "vae")
    refs = empty_cache / "models--somebody--their-model" / "refs"
    refs.mkdir()
    (refs / "main").write_text("a" * 40)
    assert weights.locate("somebody/their-model") == snapshot


def test_fetch_downloads_two_files_of_the_pinned_revision(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def download(repo: str, **settings: object) -> str:
        asked.update(settings, repo=repo)
        bar = settings["tqdm_class"](total=0, unit="B", name="x")  # type: ignore[operator]
        bar.update(5_000_000)
        return str(put_in_cache(empty_cache, repo, str(settings["revision"]), "vae"))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    progress: list[tuple[int, int]] = []
    path = weights.fetch("sdxl", on_progress=lambda done, total: progress.append((done, total)))
    assert path == weights.locate("sdxl")
    assert asked["repo"] == "stabilityai/stable-diffusion-xl-base-1.0"
    assert asked["revision"] == "462165984030d82259a11f4367a4eed129e94a7b"
    assert asked["allow_patterns"] == ["vae/config.json", "vae/diffusion_pytorch_model.safetensors"]
    assert progress == [(5_000_000, 335_000_000)]
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: pytest.fail("it is there already"))
    assert weights.fetch("sdxl") == path


@pytest.mark.parametrize("variable", ["VELATURA_OFFLINE", "HF_HUB_OFFLINE", ""])
def test_offline_is_respected(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if variable:
        monkeypatch.setenv(variable, "1")
    with pytest.raises(WeightsError, match="offline"):
        weights.fetch("taesd", offline=not variable)


def gated() -> Exception:
    # A mock, since hub versions differ in the HTTP library that the response comes from.
    return GatedRepoError(
        "403 Client Error.\nAccess to model is restricted.", response=Mock(status_code=403, headers={})
    )


@pytest.mark.parametrize(
    ("name", "error", "expected"),
    [
        ("sd3", gated, "accept its licence .*huggingface.co/stabilityai/stable-diffusion-3.5-medium.*hf auth login"),
        (
            "taesd",
            lambda: LocalEntryNotFoundError("no connection\nmore lines"),
            "could not be downloaded .*no connection",
        ),
        ("taesd", lambda: OSError("No space left on device"), "could not be downloaded .*No space left"),
    ],
)
def test_failed_downloads_are_one_line(
    name: str, error: Callable[[], Exception], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(*args: object, **settings: object) -> str:
        raise error()

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(WeightsError, match=expected) as caught:
        weights.fetch(name)
    assert "\n" not in str(caught.value)


def test_cancelling_a_download_stays_a_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*args: object, **settings: object) -> str:
        raise Cancelled("stop")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(Cancelled):
        weights.fetch("taesd")


def test_a_full_disk_is_said_before_the_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 9, 1))  # type: ignore[attr-defined]
    with pytest.raises(WeightsError, match="needs 335 MB"):
        weights.fetch("sd15")


def test_sha256_follows_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(b"one")
    first = weights.sha256(file)
    assert first == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    file.write_bytes(b"another")
    assert weights.sha256(file) != first
    with pytest.raises(WeightsError, match="no weights"):
        weights.sha256(tmp_path / "missing")


def test_embedded_files_are_those_of_sha256sums() -> None:
    if not weights.SUMS.is_file():
        pytest.skip("data/SHA256SUMS is not written yet: python -m velatura.weights")
    lines = (line.split("  ", 1) for line in weights.SUMS.read_text().splitlines())
    assert {name: digest for digest, name in lines} == weights.embedded_sums(), "run: python -m velatura.weights"


def test_a_whole_model_is_found_where_it_is_whole(empty_cache: Path, tmp_path: Path) -> None:
    row = weights.lookup("sd15")
    assert row is not None
    assert weights.locate_pipeline("sd15") is None
    snapshot = put_in_cache(empty_cache, row.repo, row.revision, "vae").parent
    (snapshot / "model_index.json").write_text("{}")
    assert weights.locate_pipeline("sd15") is None  # its autoencoder alone was pulled
    (snapshot / "unet").mkdir()
    (snapshot / "unet/config.json").write_text("{}")
    assert weights.locate_pipeline("sd15") is None  # a pull that was interrupted: pulled again, it goes on
    (snapshot / "text_encoder").mkdir()
    (snapshot / "text_encoder/model.safetensors").write_bytes(b"weights")
    assert weights.locate_pipeline("sd15") is None
    with pytest.raises(WeightsError, match="offline"):
        weights.fetch("sd15", whole=True, offline=True)
    (snapshot / "unet/diffusion_pytorch_model.safetensors").write_bytes(b"weights")
    assert weights.locate_pipeline("sd15") == snapshot
    assert weights.fetch("sd15", whole=True) == snapshot
    with pytest.raises(WeightsError, match=r"sd21 --whole` \(5\.2 GB"):
        weights.require_pipeline("sd21")
    with pytest.raises(WeightsError, match="expected a text-to-image model"):
        weights.fetch("taesd", whole=True)
    with pytest.raises(WeightsError, match=r"model_index\.json"):
        weights.require_pipeline(tmp_path)
