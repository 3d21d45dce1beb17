"""The looking at data sets, and at the machine that has to hold them. Decodes no image."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from worker.doctor.datasets import Base, DataSet
from worker.doctor.gather import read
from worker.doctor.machine import Machine, memory_available, quota

if TYPE_CHECKING:  # they need pydantic and numpy, which may be what is broken
    from app.catalog.bases import Bases
    from app.catalog.catalog import Catalog
    from app.catalog.datasets import Dataset
    from app.catalog.folders import Folder
    from app.settings import Settings

CIFAR_IMAGE_BYTES = 32 * 32 * 3
GROUPS = Path("/sys/fs/cgroup")
LIMITS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
"""Of the control group that a container sees as its own: version 2, then version 1."""


def datasets(use: Settings) -> tuple[list[DataSet], str | None, Machine]:
    """Every declared data set, or why none can be read; and the machine, with the largest base decoded."""
    from app.catalog.catalog import Catalog
    from app.catalog.datasets import DEFAULT_DATASET
    from app.domain.errors import RequestError

    catalog = Catalog(use)
    try:
        declared = catalog.datasets()
    except RequestError as error:
        return [], error.message, machine()
    seen = [_dataset(catalog, name, one, default=name == DEFAULT_DATASET) for name, one in declared.items()]
    largest, where = 0, ""
    for data_set in seen:
        for base, found in data_set.bases.items():
            size = _decoded_bytes(catalog.bases, declared[data_set.name], base, found.images)
            if size > largest:
                largest, where = size, f"base {base!r} of {data_set.name}"
    return seen, None, machine(where, largest)


def _dataset(catalog: Catalog, name: str, dataset: Dataset, *, default: bool) -> DataSet:
    from app.domain.errors import RequestError

    bases = {base: _base(catalog.bases, dataset, base) for base in dataset.base_names()}
    splits = _folder(lambda: catalog.splits_folder(dataset, None))
    experts = _folder(lambda: catalog.experts_folder(name, dataset, None))
    names = None if splits is None else catalog.split_names(splits)
    wrong = {}
    for split in names or ():
        assert splits is not None
        try:
            base = catalog.base_of(dataset, splits, split)
            if base not in bases or bases[base].images:  # else the base's own finding says enough
                catalog.read_split(dataset, splits, split)
        except RequestError as error:
            wrong[split] = error.message
    return DataSet(
        name=name,
        root=str(catalog.bases.root(dataset)),
        default=default,
        bases=bases,
        splits_folder=str(catalog.settings.data_dir / dataset.splits),
        splits=names,
        wrong_splits=wrong,
        experts_folder=str(catalog.settings.checkpoints_dir / dataset.experts),
        unused_overrides=catalog.unused_overrides(dataset),
        experts=None if experts is None else list(catalog.experts(experts, "")),
    )


def _folder(find: Callable[[], Folder]) -> Folder | None:
    from app.domain.errors import RequestError

    try:
        return find()
    except RequestError:
        return None


def _base(bases: Bases, dataset: Dataset, base: str) -> Base:
    from app.domain.errors import RequestError

    try:
        bases.files(dataset, base)
    except RequestError as error:
        if error.code != "data-missing":
            return Base(wrong=error.message)
        return Base(missing=", ".join(error.details["missing"]) or f"a class folder in {bases.root(dataset) / base}")
    try:
        return Base(images=bases.size(dataset, base))
    except RequestError as error:
        return Base(wrong=error.message)


def _decoded_bytes(bases: Bases, dataset: Dataset, base: str, images: int) -> int:
    """Of a base's pixels; 0 where only decoding would tell."""
    from app.catalog.npz_bases import read_header

    if not images or dataset.kind == "imagefolder":
        return images * (dataset.crop or 0) ** 2 * 3
    if dataset.kind == "npz":
        with zipfile.ZipFile(bases.files(dataset, base)[0]) as archive, archive.open("images.npy") as stream:
            return math.prod(read_header(stream)[0])  # type: ignore[arg-type]  # a ZipExtFile reads like a file
    return images * CIFAR_IMAGE_BYTES


def machine(base: str = "", base_bytes: int = 0) -> Machine:
    """Memory and cores that this process may use."""
    limit, used = next(((read(GROUPS / a), read(GROUPS / b)) for a, b in LIMITS if (GROUPS / a).is_file()), ("", ""))
    stat = read(GROUPS / "memory.stat") or read(GROUPS / "memory/memory.stat")
    return Machine(
        available_bytes=memory_available(read("/proc/meminfo"), limit, used, stat),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        quota_cores=quota(read(GROUPS / "cpu.max") or _old_quota()),
        base=base,
        base_bytes=base_bytes,
    )


def _old_quota() -> str:
    """Version 1 has the two numbers of cpu.max in two files."""
    return f"{read(GROUPS / 'cpu/cpu.cfs_quota_us').strip()} {read(GROUPS / 'cpu/cpu.cfs_period_us').strip()}"
