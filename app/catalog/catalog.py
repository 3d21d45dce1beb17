"""What is on disk: data sets, checkpoints by prefix, splits. Names have been checked by `app.domain.names`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.catalog.bases import Bases
from app.catalog.datasets import Dataset, read_datasets
from app.catalog.parsed_lists import ParsedLists
from app.catalog.split_sets import base_in, read_description
from app.domain.errors import RequestError
from app.domain.names import check_folder, check_name
from app.domain.requests import Precision
from app.settings import Settings

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".th", ".safetensors")
SPLIT_SUFFIX = "_indices.json"
COUNTS_FILE = "train_class_counts.json"
WEIGHTS_FILE = "class_weights.json"
TRAIN_SPLIT = "train"
"""What a folder of splits may say of its long-tailed train part."""
LISTS_KEPT_BYTES = 32 * 2**20
"""Of parsed index lists; a million indices take 8 MB."""
RANGES: Mapping[Precision, float] = {"fp16": 65504.0, "bf16": 3.38e38, "tf32": 3.38e38, "fp32": 3.38e38}
"""The largest absolute number that a precision can hold; bf16's is the least of the three, and taken for all."""
JSON_NAMES = {dict: "object", str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that a request named or a data set declares."""

    name: str
    """Relative to the server's own directory."""
    path: Path


@dataclass(frozen=True, slots=True)
class Split:
    """A split's index list, read and checked against its base."""

    name: str
    base: str
    indices: NDArray[np.int64]
    """[N] int64, each in [0, size of the base), in the file's order; repeats are allowed. Read-only."""
    sha256: str
    """Of the file's bytes."""


class Catalog:
    """Read-only view of the data and checkpoint directories. Lives as long as its process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.bases = Bases(settings.data_dir)
        self._lists = ParsedLists(LISTS_KEPT_BYTES)

    # --- data sets --------------------------------------------------------------------------------

    def datasets(self) -> dict[str, Dataset]:
        """Every declared data set, as `datasets.toml` stands now."""
        return read_datasets(self.settings.data_dir)

    def dataset(self, name: str) -> Dataset:
        """One of them.

        Raises:
            RequestError: `unknown-dataset`, listing those that there are.
        """
        declared = self.datasets()
        if name not in declared:
            raise RequestError(
                "unknown-dataset", f"There is no data set {name!r}.{_listed(declared)}", available=sorted(declared)
            )
        return declared[name]

    # --- experts ----------------------------------------------------------------------------------

    def experts_folder(self, dataset_name: str, dataset: Dataset, given: str | None) -> Folder:
        """Where the experts' checkpoints lie: the data set's own folder, or the one that the request names.

        In a folder that is named, a subfolder called like the data set comes first, as in the old scripts.

        Raises:
            RequestError: `invalid-name` or `experts-dir-missing`.
        """
        name = dataset.experts if given is None else check_folder("experts_dir", given)
        own = dataset_name if name == "." else f"{name}/{dataset_name}"
        if given is not None and _is_dir(self.settings.checkpoints_dir / own):
            name = own
        return self.experts_at(name)

    def experts_at(self, name: str) -> Folder:
        """The folder of that very name below the checkpoint directory, as a job that was accepted has it.

        Raises:
            RequestError: `experts-dir-missing`.
        """
        return _existing_folder("experts_dir", self.settings.checkpoints_dir, name, "RELOGIT_CHECKPOINTS_DIR")

    def experts(self, folder: Folder, prefix: str) -> dict[str, tuple[Path, ...]]:
        """Checkpoint files by expert name, sorted by name; more than one file is a stem used twice."""
        found: dict[str, list[Path]] = {}
        for path in sorted(folder.path.iterdir()):
            # A link that leads nowhere stays on the list: to leave out an expert in silence would be worse.
            file = path.is_file() or path.is_symlink()
            visible = file and path.suffix in CHECKPOINT_SUFFIXES and not path.name.startswith(".")
            if visible and path.stem.startswith(prefix) and path.stem != prefix:
                found.setdefault(path.stem.removeprefix(prefix), []).append(path)
        return {name: tuple(paths) for name, paths in sorted(found.items())}

    def checkpoint(
        self, folder: Folder, prefix: str, expert: str, there: Mapping[str, tuple[Path, ...]] | None = None
    ) -> Path:
        """The one file `{prefix}{expert}` with a suffix of a checkpoint.

        Args:
            folder: where it lies.
            prefix: what stands before the expert's name.
            expert: which.
            there: what `experts` has just found, for who looks up many.

        Raises:
            RequestError: `unknown-expert`, `unknown-prefix` or `checkpoint-ambiguous`.
        """
        experts = self.experts(folder, prefix) if there is None else there
        paths = experts.get(expert, ())
        if len(paths) > 1:
            raise RequestError(
                "checkpoint-ambiguous",
                f"{' and '.join(path.name for path in paths)} in {folder.name} are both {prefix + expert!r}. "
                "Keep one of them.",
            )
        if not paths:
            if not experts:
                raise self.unknown_prefix(folder, prefix)
            raise RequestError(
                "unknown-expert",
                f"There is no expert {expert!r}: no file {prefix}{expert} with {', '.join(CHECKPOINT_SUFFIXES)} "
                f"in {folder.name}.{_listed(experts)}",
                available=sorted(experts),
            )
        if not paths[0].is_file():
            raise RequestError("checkpoint-missing", f"{paths[0].name} in {folder.name} is a link to nothing.")
        return paths[0]

    def unused_overrides(self, dataset: Dataset, folder: Folder | None = None) -> list[str]:
        """Return the data set's overrides that match no checkpoint of its own folder, nor of another one; sorted.

        Args:
            dataset: as declared.
            folder: of checkpoints that a request names; None for the data set's own alone.
        """
        own = Folder(dataset.experts, self.settings.checkpoints_dir / dataset.experts)
        folders = [one for one in (own, folder) if one is not None and _is_dir(one.path)]
        stems = {path.stem for one in folders for paths in self.experts(one, "").values() for path in paths}
        return dataset.unused_overrides(stems)

    def unknown_prefix(self, folder: Folder, prefix: str) -> RequestError:
        """No file begins with the prefix: what there is instead."""
        stems = sorted(self.experts(folder, ""))
        return RequestError(
            "unknown-prefix",
            f"No checkpoint in {folder.name} has the prefix {prefix!r}.{_listed(stems, 'Files there')} "
            "The empty prefix takes them by these names.",
            available=stems,
        )

    # --- splits -----------------------------------------------------------------------------------

    def splits_folder(self, dataset: Dataset, given: str | None) -> Folder:
        """Where the index lists lie: the data set's own folder, or the one that the request names.

        Raises:
            RequestError: `invalid-name` or `splits-dir-missing`.
        """
        name = dataset.splits if given is None else check_folder("splits_dir", given)
        return _existing_folder("splits_dir", self.settings.data_dir, name, "RELOGIT_DATA_DIR")

    def split_names(self, folder: Folder) -> list[str]:
        """Names of the index lists in a folder, sorted."""
        files = (path for path in folder.path.glob(f"*{SPLIT_SUFFIX}") if path.is_file())
        return sorted(path.name.removesuffix(SPLIT_SUFFIX) for path in files)

    def split_path(self, folder: Folder, split: str) -> Path:
        """The file of an index list."""
        return folder.path / f"{split}{SPLIT_SUFFIX}"

    def base_of(self, dataset: Dataset, folder: Folder, split: str) -> str:
        """The base that a list points into: as its `splits.json` says, or else as the data set declares.

        Raises:
            RequestError: `splits-file-invalid`.
        """
        return base_in(read_description(folder.path), folder.path, split) or dataset.base_of(split)

    def read_split(self, dataset: Dataset, folder: Folder, split: str) -> Split:
        """Read an index list and check it against the base that it points into.

        The file is read anew each time, once: indices and digest are of the same bytes.

        Raises:
            RequestError: `unknown-split`, or what `parse_indices` and `Bases.size` raise.
        """
        path = self.split_path(folder, check_name("split", split))
        with self._unreadable_split(folder, split, path):
            data = path.read_bytes()
        base = self.base_of(dataset, folder, split)
        size = self.bases.size(dataset, base)
        sha256 = hashlib.sha256(data).hexdigest()
        indices = self._lists.get(sha256, size, lambda: parse_indices(data, path.name, base, size))
        return Split(split, base, indices, sha256)

    @contextmanager
    def _unreadable_split(self, folder: Folder, split: str, path: Path) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            names = self.split_names(folder)
            raise RequestError(
                "unknown-split",
                f"There is no split {split!r}: no {path.name} in {folder.name}.{_listed(names)}",
                available=names,
            ) from None
        except OSError as error:
            raise RequestError("split-unreadable", f"{path.name} cannot be read: {error.strerror}.") from error


def parse_indices(data: bytes, name: str, base: str, size: int) -> NDArray[np.int64]:
    """A flat JSON list of indices into a base of `size` images.

    Returns:
        [N] int64, N ≥ 1, in file order.

    Raises:
        RequestError: `split-invalid` (no such list), `split-empty` or `split-out-of-range`; names the first offender.
    """
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RequestError(
            "split-invalid", f"{name} is not JSON ({error}). A flat list of integers would have been right."
        ) from None
    if not isinstance(values, list):
        what = f"a JSON {JSON_NAMES[type(values)]}"
        raise RequestError("split-invalid", f"{name} holds {what}. A flat list of integers would have been right.")
    if not values:
        raise RequestError("split-empty", f"{name} holds an empty list. One index or more would have been right.")
    # bool is a subclass of int, and 3.0 equals 3: only the exact type will do.
    if set(map(type, values)) != {int}:
        row = next(row for row, value in enumerate(values) if type(value) is not int)
        raise RequestError(
            "split-invalid",
            f"{name} holds {json.dumps(values[row])[:80]} at position {row}, which is not an integer.",
            position=row,
        )
    if size == 0:
        raise RequestError("split-out-of-range", f"{name} points into the base {base!r}, which has no images.")
    if min(values) < 0 or max(values) >= size:
        row = next(row for row, value in enumerate(values) if not 0 <= value < size)
        raise RequestError(
            "split-out-of-range",
            f"{name} holds the index {values[row]} at position {row}, but the base {base!r} that it points into "
            f"has {size} images: 0 to {size - 1} would have been right. If the split belongs to another base, "
            "say so under `bases` in datasets.toml.",
            position=row,
        )
    return np.asarray(values, dtype=np.int64)


def check_classes(file: str, found: int, dataset_name: str, expected: int) -> None:
    """An expert's outputs must be the data set's classes.

    Raises:
        RequestError: `classes-mismatch`.
    """
    if found != expected:
        raise RequestError(
            "classes-mismatch",
            f"{file} has {found} outputs, but the data set {dataset_name} has {expected} classes. "
            "They must be equal: is this expert from another data set?",
        )


def check_temperature(file: str, temperature: float | None) -> float:
    """The stored temperature that `calibration: checkpoint` divides by.

    Raises:
        RequestError: `no-temperature`.
    """
    if temperature is None:
        raise RequestError(
            "no-temperature",
            f"{file} stores no temperature, which calibration 'checkpoint' divides the logits by. Use a file that "
            "has one (often final_calibrated_), or calibration 'none' for raw logits.",
        )
    return temperature


def check_precision_range(file: str, largest: float, precision: Precision) -> None:
    """A precision must be able to hold an expert's parameters.

    Args:
        file: the checkpoint's name.
        largest: the passport's `largest_parameter`.
        precision: what is asked for.

    Raises:
        RequestError: `weights-overflow`.
    """
    limit = RANGES[precision]
    if largest > limit:
        wider = [name for name, its in RANGES.items() if largest <= its]
        raise RequestError(
            "weights-overflow",
            f"{file} has a parameter of {largest:.6g} (batch norm folded in), and {precision} ends at {limit:.6g}: "
            "its logits would be infinite or NaN. "
            + (f"Use {wider[-1]}." if wider else "No precision can hold it; the checkpoint is damaged."),
            largest=largest,
            limit=limit,
        )


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that no file system can hold
        return False


def _existing_folder(what: str, root: Path, name: str, variable: str) -> Folder:
    if not _is_dir(root / name):
        code = f"{what.replace('_', '-')}-missing"
        hint = f"Put the files there, or name another folder below {root} with {what}."
        if not root.is_dir():
            hint = f"{root} is not there either; is {variable} right?"
        raise RequestError(code, f"The folder {root / name} is not there. {hint}")
    return Folder(name, root / name)


def _listed(names: Iterable[str], label: str = "There are") -> str:
    shown = sorted(names)
    if not shown:
        return " There are none."
    more = f" and {len(shown) - 20} more" if len(shown) > 20 else ""
    return f" {label}: {', '.join(shown[:20])}{more}."
