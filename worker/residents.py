"""Experts that stay loaded between jobs, ready on the worker's device."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from app.bases import FileId, file_id
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
        self._loaded: OrderedDict[tuple[FileId, Assumptions], Resident] = OrderedDict()

    def get(self, path: Path, assumptions: Assumptions) -> Resident:
        """The expert of a checkpoint file.

        Raises:
            JobError: what `load_expert` raises.
        """
        key = (file_id(path), assumptions)
        if key not in self._loaded:
            expert = load_expert(path, assumptions)
            network = expert.network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._loaded[key] = Resident(network, expert.passport)
        self._loaded.move_to_end(key)
        while len(self._loaded) > MAX_RESIDENTS:
            self._loaded.popitem(last=False)
        return self._loaded[key]
