import json
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
from click.testing import CliRunner, Result

from velatura import weights
from velatura.cli.models import models_group
from velatura.errors import WeightsError


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("VELATURA_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: pytest.fail("an unasked download"))
    return tmp_path


def run(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(models_group, arguments, input=answer)


def allow_download(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(repo: str, **settings: object) -> str:
        snapshot = cache / f"models--{repo.replace('/', '--')}" / "snapshots" / str(settings["revision"])
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").write_text("{}")
        (snapshot / "diffusion_pytorch_model.safetensors").write_bytes(b"x")
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)


def test_list_shows_every_model() -> None:
    lines = run("list").output.splitlines()
    assert lines[0].split() == ["NAME", "KIND", "ON", "DISK", "SIZE", "RESOLUTION", "LICENCE"]
    assert [line.split()[0] for line in lines[1:]] == [model.name for model in weights.MODELS]
    assert any(line.startswith("lpips-alex") and " yes " in line for line in lines)
    assert any(line.startswith("taesd ") and " no " in line and "9.8 MB" in line for line in lines)


def test_list_as_json() -> None:
    rows = {row["name"]: row for row in json.loads(run("list", "--json").output)}
    assert rows["lpips-alex"]["path"].endswith("alex.safetensors")
    assert rows["lpips-alex"]["size_mb"] == pytest.approx(4.94, abs=0.1)
    assert rows["sd3"]["gated"]
    assert rows["sd3"]["path"] is None
    assert all(row["pinned"] for row in rows.values())


def test_pull_says_size_and_licence_and_asks_first(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = run("pull", "taesd", answer="n\n")
    assert refused.exit_code == 1
    assert "9.8 MB from madebyollin/taesd" in refused.output
    assert "licence: MIT" in refused.output
    allow_download(hub, monkeypatch)
    accepted = run("pull", "taesd", answer="y\n")
    assert accepted.exit_code == 0, accepted.output
    assert accepted.stdout.splitlines()[-1] == str(weights.locate("taesd"))


def test_pull_yes_asks_nothing_and_pulls_once(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allow_download(hub, monkeypatch)
    assert run("pull", "taesd", "--yes").exit_code == 0
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: pytest.fail("it is there already"))
    assert run("pull", "taesd").stdout.strip() == str(weights.locate("taesd"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pull", "tasd"), "did you mean 'taesd'"),
        (("pull", "taesd", "--offline"), "offline"),
        (("path", "taesd"), "velatura models pull taesd"),
        (("path", "tasd"), "did you mean 'taesd'"),
    ],
)
def test_errors_are_one_line(arguments: tuple[str, ...], message: str) -> None:
    error = run(*arguments).exception
    assert isinstance(error, WeightsError)
    assert message in str(error)
    assert "\n" not in str(error)


def test_offline_by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VELATURA_OFFLINE", "1")
    assert "offline" in str(run("pull", "taesd", "--yes").exception)


def test_path() -> None:
    assert run("path", "lpips-alex").output.strip() == str(weights.embedded("lpips-alex"))


@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["pull", "--help"]])
def test_torch_is_not_imported(arguments: list[str]) -> None:
    code = (
        "import sys; from velatura.cli.models import models_group; "
        f"models_group.main({arguments!r}, standalone_mode=False); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
