"""Settings: from the environment or a `.env`, checked at start, the same in every child process; and the socket."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.__main__ import _listen
from app.settings import PREFIX, Settings, as_environment


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no `.env` of the machine that the tests run on."""
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_defaults_are_the_documented_ones() -> None:
    """Folders below the current one, loopback, one worker for each GPU."""
    settings = Settings()
    folders = (settings.data_dir, settings.checkpoints_dir, settings.outputs_dir)
    assert [str(folder) for folder in folders] == ["data", "checkpoints", "outputs"]
    assert (settings.host, settings.port, settings.device, settings.workers) == ("127.0.0.1", 8000, "auto", "auto")


def test_everything_internal_lies_below_the_outputs_directory() -> None:
    """In `.relogit`, the one name that no job may use."""
    settings = Settings(outputs_dir=Path("/o"))
    internal = [settings.internal_dir, settings.store_path, settings.objects_dir, settings.locks_dir]
    assert all(path.is_relative_to("/o/.relogit") for path in internal)
    assert len(set(internal)) == 4


def test_variables_stand_above_the_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both carry the prefix; other variables of a shared `.env` are none of ours."""
    (tmp_path / ".env").write_text("RELOGIT_PORT=9000\nRELOGIT_WORKERS=2\nOTHER=1\nPORT=1\n", encoding="utf-8")
    monkeypatch.setenv("RELOGIT_PORT", "9001")
    monkeypatch.setenv("HOST", "0.0.0.0")
    settings = Settings()
    assert (settings.port, settings.workers, settings.host) == (9001, 2, "127.0.0.1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "70000"), ("PORT", "-1"), ("PORT", "http"), ("WORKERS", "-1"), ("WORKERS", "two"),
        ("WORKERS", "1.5"), ("DEVICE", "gpu"), ("DEVICE", "cuda:"), ("DEVICE", "cuda:0,1"),
        ("LOG_LEVEL", "LOUD"), ("STOP_TIMEOUT_S", "0"), ("STOP_TIMEOUT_S", "-3"), ("KEEP_ARTIFACTS_BYTES", "1000"),
    ],
)  # fmt: skip
def test_a_wrong_setting_stops_the_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """And the error carries the setting's name."""
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert {error["loc"][0] for error in caught.value.errors()} == {name.lower()}


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:12"])
def test_every_way_to_name_a_device_is_known(device: str) -> None:
    """As torch writes them, and `auto`; the settings cannot be changed afterwards."""
    settings = Settings(device=device)
    assert settings.device == device
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]


def test_a_child_process_gets_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every field survives the way through the environment."""
    settings = Settings(data_dir=tmp_path / "a b", port=0, workers=0, device="cuda:1", stop_timeout_s=1.5)
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_an_empty_folder_variable_is_not_the_current_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files pass variables that nobody set as empty ones: the default is meant."""
    monkeypatch.setenv("RELOGIT_DATA_DIR", "")
    assert Settings().data_dir == Path("data")


def test_answers_are_sent_without_waiting() -> None:
    """An accepted connection sends at once: else a kept-alive one waits 40 ms for each answer's body."""
    with (
        _listen(Settings(port=0)) as listening,
        socket.create_connection(listening.getsockname()[:2]),
        listening.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
