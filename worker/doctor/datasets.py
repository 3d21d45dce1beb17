"""Checks of data sets, index lists and checkpoints. They decode no image and load no checkpoint."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open

from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset
from app.domain.errors import RequestError
from app.settings import Settings
from worker.doctor import Finding, Level

ABSENT = {"data-missing", "splits-dir-missing", "index-lists-missing", "experts-dir-missing", "checkpoints-missing"}
"""Error codes of files that the owner may not want."""


def check_datasets(settings: Settings) -> Iterator[Finding]:
    """Check every data set that is declared."""
    catalog = Catalog(settings)
    try:
        declared = catalog.datasets()
    except RequestError as error:
        if error.code != "data-dir-missing":  # check_folders reports that one
            yield Finding("problem", "datasets", error.message, "Correct it: every job is refused until then.")
        return
    for name, dataset in declared.items():
        yield from DatasetCheck(catalog, name, dataset).run()


class DatasetCheck:
    """The check of one data set: its images, and the index lists and checkpoints in its own folders."""

    def __init__(self, catalog: Catalog, name: str, dataset: Dataset) -> None:
        self._catalog, self._name, self._dataset = catalog, name, dataset
        self._findings: list[Finding] = []

    def run(self) -> list[Finding]:
        """Return what is wrong, or that all is well."""
        sizes, lists, checkpoints = {}, 0, 0
        for base in self._dataset.base_names():
            with self._refusals(f"Put its files there; until then no list into {base!r} can be used."):
                sizes[base] = self._catalog.bases.size(self._dataset, base)
        if not sizes and all(finding.level == "warning" for finding in self._findings):
            message = f"{self._name} is declared, but none of its images are here."
            remedy = f"If it is wanted: {' '.join(finding.message for finding in self._findings)}"
            return [Finding("warning", self._subject, message, remedy)]
        with self._refusals("Put index lists there, or draw some: relogit splits create."):
            lists = self._check_lists(set(self._dataset.base_names()) - sizes.keys())
        with self._refusals("Put checkpoints there, or name another folder with --experts-dir."):
            checkpoints = self._check_checkpoints()
        images = ", ".join(f"{base} {size:,}" for base, size in sizes.items())
        message = f"{self._name}: images {images}; {lists} index lists; {checkpoints} checkpoints."
        return self._findings or [Finding("ok", self._subject, message)]

    @property
    def _subject(self) -> str:
        return f"dataset-{self._name}"

    @contextmanager
    def _refusals(self, remedy: str) -> Iterator[None]:
        """Turn a refusal of the block into a finding.

        A job would meet it as well.
        """
        try:
            yield
        except RequestError as error:
            level: Level = "warning" if error.code in ABSENT else "problem"
            self._findings.append(Finding(level, self._subject, error.message, remedy))

    def _check_lists(self, unusable_bases: set[str]) -> int:
        """Read index lists over sound bases; return the total count."""
        folder = self._catalog.splits_folder(self._dataset, None)
        names = self._catalog.split_names(folder)
        if not names:
            raise RequestError("index-lists-missing", f"{folder.path} holds no index list.")
        for name in names:
            with self._refusals("Correct the list, or remove it from the folder."):
                if self._catalog.base_of(self._dataset, folder, name) not in unusable_bases:
                    self._catalog.read_split(self._dataset, folder, name)
        return len(names)

    def _check_checkpoints(self) -> int:
        """Check checkpoints and overrides; return the number of checkpoints."""
        folder = self._catalog.experts_folder(self._name, self._dataset, None)
        experts = self._catalog.experts(folder, "")
        if not experts:
            raise RequestError("checkpoints-missing", f"{folder.path} holds no checkpoint.")
        for stem in experts:
            with self._refusals("Replace the file, or remove it from the folder."):
                check_file(self._catalog.checkpoint(folder, "", stem, experts))
            with self._refusals("Correct datasets.toml."):
                self._dataset.override(stem)
        for key in self._catalog.unused_overrides(self._dataset):
            message = f"The override {key!r} in datasets.toml matches no checkpoint in {folder.path}."
            remedy = "Name it after a file without its suffix, such as best_ce, or *_ce for any prefix; or remove it."
            self._findings.append(Finding("problem", self._subject, message, remedy))
        return len(experts)


def check_file(path: Path) -> None:
    """Check a checkpoint's first and last bytes for damage.

    Raises:
        RequestError: `checkpoint-unreadable`.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(9)
            whole = zipfile.is_zipfile(stream) if head.startswith(b"PK") else head.startswith(b"\x80")  # a pickle
        if head[8:] == b"{":
            with safe_open(path, "numpy"):
                whole = True
    except (OSError, SafetensorError) as error:
        raise RequestError("checkpoint-unreadable", f"{path} cannot be read: {error}.") from error
    if not whole:
        raise RequestError("checkpoint-unreadable", f"{path} is empty, cut short or not a checkpoint.")
