"""Experts that stay loaded between jobs, ready on the worker's device."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from app.errors import JobError
from worker.experts import Assumptions, Passport, load_expert

MAX_RESIDENTS = 32
"""Of the usual ResNet-32, 60 MB; of ResNet-50s, 3 GB."""


@dataclass(frozen=True)
class Resident:
    """A loaded expert."""

    network: nn.Module
    """eval mode, float32, on the device, weights channels_last."""
    passport: Passport


class Residents:
    """The experts used last. Lives as long as the worker; a file that was written since is loaded again."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._loaded: OrderedDict[tuple[str, str, Assumptions], Resident] = OrderedDict()

    def get(self, path: Path, assumptions: Assumptions) -> Resident:
        """The expert of a checkpoint file.

        Raises:
            JobError: what `load_expert` raises.
        """
        # By content: hashing a file again costs a thousandth of computing with the wrong one.
        key = (path.name, _sha256(path), assumptions)
        if key not in self._loaded:
            expert = load_expert(path, assumptions)
            key = (path.name, expert.passport.sha256, assumptions)  # it may have been replaced in between
            network = expert.network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._loaded[key] = Resident(network, expert.passport)
        self._loaded.move_to_end(key)
        while len(self._loaded) > MAX_RESIDENTS:
            self._loaded.popitem(last=False)
        return self._loaded[key]


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise JobError("checkpoint-missing", f"{path.name} cannot be read: {error.strerror}.") from error
