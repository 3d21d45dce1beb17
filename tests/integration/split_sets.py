"""An installation whose bases are large enough to draw sets of splits from."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import relogit
from tests.integration.workspace import Service, Workspace, build

SIZES = {"test": 200, "train": 400}


def build_for_splits(root: Path) -> Workspace:
    workspace = build(root)
    for base, size in SIZES.items():
        workspace.save_images(base, size)
    return workspace


def create(service: Service, name: str, **request: Any) -> dict[str, Any]:
    with relogit.Client(service.url) as client:
        return client.create_splits(name, dataset="tiny", **request)


def read(workspace: Workspace, name: str, file: str) -> Any:
    return json.loads((workspace.root / "data" / name / file).read_text())


def cli(service: Service, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `relogit splits` on the data set of the service."""
    command = [str(Path(sys.executable).with_name("relogit")), "splits", *arguments]
    more = ["--dataset", "tiny", "--server", service.url]
    return subprocess.run([*command, *more], capture_output=True, text=True, timeout=90, check=False)
