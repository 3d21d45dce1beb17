"""A cache of loaded experts and compiled engines, which outlive jobs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from app.domain.errors import JobError
from app.files.disk import file_sha256
from worker.compute.engines.engine import Engine, Setup
from worker.experts.loading import Assumptions, Expert, Passport, load_expert

MAX_RESIDENTS = 32
"""Limit on networks, and on engines: 32 take 60 MB for the usual ResNet-32, 3 GB for ResNet-50."""


K = TypeVar("K")
V = TypeVar("V")
Build = Callable[[nn.Module, Setup], Engine]


class ModelCache:
    """Cache of the most recently used experts.

    It lives as long as the worker. A file whose content changed is loaded again.

    Args:
        build: makes an engine from a network that is in eval mode, float32, on the CPU.
    """

    def __init__(self, build: Build) -> None:
        self._build = build
        self._passports: OrderedDict[tuple[str, str, Assumptions], Passport] = OrderedDict()
        self._networks: OrderedDict[tuple[str, Assumptions], nn.Module] = OrderedDict()
        self._engines: OrderedDict[tuple[str, Assumptions, Setup], Engine] = OrderedDict()

    def passport(self, path: Path, assumptions: Assumptions, known: dict[str, Any] | None = None) -> Passport:
        """Return an expert's passport, and load its network if necessary.

        Args:
            path: the checkpoint file.
            assumptions: declarations of the data set for this file.
            known: the recorded passport, if there is one; returned if the file still has that content.

        Raises:
            JobError: as `load_expert` raises.
        """
        # Keyed by content: hashing a file takes a thousandth of the time to compute with the wrong one.
        sha256 = _sha256(path)
        key = (path.name, sha256, assumptions)
        if key not in self._passports:
            if known is not None and known["sha256"] == sha256:
                self._passports[key] = Passport.from_dict(known)
            else:
                expert = self._load(path, assumptions)
                key = (path.name, expert.passport.sha256, assumptions)  # the file may have changed after hashing
                self._passports[key] = expert.passport
        return _recall(self._passports, key)

    def engine(self, path: Path, passport: Passport, assumptions: Assumptions, wanted: Setup) -> Engine:
        """Return an engine ready to run the expert.

        Raises:
            JobError: as `load_expert` raises; `checkpoint-changed` if the file is no longer the passport's.
            NoMemory: the expert does not fit.
        """
        key = (passport.sha256, assumptions, wanted)
        if key not in self._engines:
            self._engines[key] = self._build(self.network(path, passport, assumptions), wanted)
        return _recall(self._engines, key)

    def drop_engines(self) -> None:
        """Drop all engines to free their memory.

        `engine` makes them again.
        """
        self._engines.clear()

    def network(self, path: Path, passport: Passport, assumptions: Assumptions) -> nn.Module:
        """Return the expert's network: eval mode, float32, CPU.

        Callers must not change it.

        Raises:
            JobError: as `load_expert` raises; `checkpoint-changed` if the file is no longer the passport's.
        """
        key = (passport.sha256, assumptions)
        if key not in self._networks:
            loaded = self._load(path, assumptions).passport
            # Compare the whole passport: rows are kept under it, so the network has to be exactly that one.
            if replace(loaded, file=passport.file) != passport:
                raise JobError(
                    "checkpoint-changed",
                    f"{path.name} was changed while the job ran: the job was accepted with sha256 {passport.sha256}, "
                    f"and the file now has {loaded.sha256}. Submit the job again.",
                )
        return _recall(self._networks, key)

    def _load(self, path: Path, assumptions: Assumptions) -> Expert:
        expert = load_expert(path, assumptions)
        self._networks[(expert.passport.sha256, assumptions)] = expert.network
        return expert


def _recall(cache: OrderedDict[K, V], key: K) -> V:
    """Mark and return an entry; evict the least recently used."""
    cache.move_to_end(key)
    while len(cache) > MAX_RESIDENTS:
        cache.popitem(last=False)
    return cache[key]


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise JobError("checkpoint-missing", f"{path.name} cannot be read: {error.strerror}.") from error
