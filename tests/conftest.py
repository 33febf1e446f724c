"""Fixtures of all tests; the network is blocked, loopback excepted."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("DS_ACCELERATOR", "cpu")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

_connect = socket.socket.connect


def _loopback_only(self: socket.socket, address: object) -> None:
    if self.family != socket.AF_UNIX:
        host = str(address[0]) if isinstance(address, tuple) else str(address)
        if not (host.startswith("127.") or host in {"::1", "localhost", "0.0.0.0", ""}):
            raise RuntimeError(f"Tests may not reach the network (tried {host}).")
    return _connect(self, address)  # type: ignore[arg-type]


socket.socket.connect = _loopback_only  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _owner_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps tests away from the user's own keys and maps."""
    monkeypatch.setenv("DOMAINCLIP_HOME", str(tmp_path_factory.getbasetemp() / "owner"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real sample data; skips where it is absent."""
    folder = Path(os.environ.get("DOMAINCLIP_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real sample data is absent ({folder}); set DOMAINCLIP_REAL_DATA")
    return folder
