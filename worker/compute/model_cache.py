"""The experts and engines that stay ready between jobs: loading and compiling them takes longer than a batch."""

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
"""Of the usual ResNet-32, 60 MB; of ResNet-50s, 3 GB. So many engines as well, whatever they hold."""


K = TypeVar("K")
V = TypeVar("V")
Build = Callable[[nn.Module, Setup], Engine]


class ModelCache:
    """The experts used last. Lives as long as the worker; a file that was written since is loaded again.

    Args:
        build: makes an engine of a network that is in eval mode, float32, on the CPU.
    """

    def __init__(self, build: Build) -> None:
        self._build = build
        self._passports: OrderedDict[tuple[str, str, Assumptions], Passport] = OrderedDict()
        self._networks: OrderedDict[tuple[str, Assumptions], nn.Module] = OrderedDict()
        self._engines: OrderedDict[tuple[str, Assumptions, Setup], Engine] = OrderedDict()

    def passport(self, path: Path, assumptions: Assumptions, known: dict[str, Any] | None = None) -> Passport:
        """What an expert is. Its network is loaded only if nobody has looked at these very bytes before.

        Args:
            path: its checkpoint file.
            assumptions: what its data set declares for it.
            known: its passport, if one is on record; taken if the file still has that content.

        Raises:
            JobError: what `load_expert` raises.
        """
        # By content: hashing a file again costs a thousandth of computing with the wrong one.
        sha256 = _sha256(path)
        key = (path.name, sha256, assumptions)
        if key not in self._passports:
            if known is not None and known["sha256"] == sha256:
                self._passports[key] = Passport.from_dict(known)
            else:
                expert = self._load(path, assumptions)
                key = (path.name, expert.passport.sha256, assumptions)  # it may have been replaced in between
                self._passports[key] = expert.passport
        return _used(self._passports, key)

    def engine(self, path: Path, passport: Passport, assumptions: Assumptions, wanted: Setup) -> Engine:
        """The expert, ready to run.

        Raises:
            JobError: what `load_expert` raises; `checkpoint-changed` if the file is not the passport's any more.
            NoMemory: it does not fit.
        """
        key = (passport.sha256, assumptions, wanted)
        if key not in self._engines:
            self._engines[key] = self._build(self.network(path, passport, assumptions), wanted)
        return _used(self._engines, key)

    def drop_engines(self) -> None:
        """Give their memory back; they are made again when asked for."""
        self._engines.clear()

    def network(self, path: Path, passport: Passport, assumptions: Assumptions) -> nn.Module:
        """Return the expert as it stands: in eval mode, float32, on the CPU. Callers must not change it.

        Raises:
            JobError: what `load_expert` raises; `checkpoint-changed` if the file is not the passport's any more.
        """
        key = (passport.sha256, assumptions)
        if key not in self._networks:
            found = self._load(path, assumptions).passport
            # All of it: rows are kept under what the passport says, so the network has to be that very one.
            if replace(found, file=passport.file) != passport:
                raise JobError(
                    "checkpoint-changed",
                    f"{path.name} was changed while the job ran: it was accepted with sha256 {passport.sha256}, the "
                    f"file now has {found.sha256}. Submit the job again.",
                )
        return _used(self._networks, key)

    def _load(self, path: Path, assumptions: Assumptions) -> Expert:
        expert = load_expert(path, assumptions)
        self._networks[(expert.passport.sha256, assumptions)] = expert.network
        return expert


def _used(kept: OrderedDict[K, V], key: K) -> V:
    kept.move_to_end(key)
    while len(kept) > MAX_RESIDENTS:
        kept.popitem(last=False)
    return kept[key]


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise JobError("checkpoint-missing", f"{path.name} cannot be read: {error.strerror}.") from error
