"""The experts' checkpoint files on disk, and what a request may expect of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from app.catalog.datasets import Dataset
from app.catalog.folders import Folder, existing_folder, is_dir, listed
from app.domain.errors import RequestError
from app.domain.names import check_folder
from app.domain.requests import Precision
from app.settings import Settings

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".th", ".safetensors")
RANGES: Mapping[Precision, float] = {"fp16": 65504.0, "bf16": 3.38e38, "tf32": 3.38e38, "fp32": 3.38e38}
"""The largest absolute number that a precision can hold; bf16's is the least of the three, and taken for all."""


class ExpertFiles:
    """The checkpoint directory's part of the catalog."""

    settings: Settings

    def experts_folder(self, dataset_name: str, dataset: Dataset, given: str | None) -> Folder:
        """Return the data set's or the request's checkpoint folder.

        In a folder that is named, a subfolder called like the data set comes first, as in the old scripts.

        Raises:
            RequestError: `invalid-name` or `experts-dir-missing`.
        """
        name = dataset.experts if given is None else check_folder("experts_dir", given)
        own = dataset_name if name == "." else f"{name}/{dataset_name}"
        if given is not None and is_dir(self.settings.checkpoints_dir / own):
            name = own
        return self.experts_at(name)

    def experts_at(self, name: str) -> Folder:
        """Return the checkpoint folder of exactly that name.

        An accepted job holds such a name.

        Raises:
            RequestError: `experts-dir-missing`.
        """
        return existing_folder("experts_dir", self.settings.checkpoints_dir, name, "RELOGIT_CHECKPOINTS_DIR")

    def experts(self, folder: Folder, prefix: str) -> dict[str, tuple[Path, ...]]:
        """Return the checkpoint files by expert, sorted.

        Files that share a stem belong to one expert.
        """
        files: dict[str, list[Path]] = {}
        for path in sorted(folder.path.iterdir()):
            # A link that leads nowhere stays on the list, because an expert must not be left out in silence.
            is_file = path.is_file() or path.is_symlink()
            visible = is_file and path.suffix in CHECKPOINT_SUFFIXES and not path.name.startswith(".")
            if visible and path.stem.startswith(prefix) and path.stem != prefix:
                files.setdefault(path.stem.removeprefix(prefix), []).append(path)
        return {name: tuple(paths) for name, paths in sorted(files.items())}

    def checkpoint(
        self, folder: Folder, prefix: str, expert: str, available: Mapping[str, tuple[Path, ...]] | None = None
    ) -> Path:
        """Return the one checkpoint file named `{prefix}{expert}`.

        Callers that look up many pass the result of `experts` as `available`.

        Raises:
            RequestError: `unknown-expert`, `unknown-prefix` or `checkpoint-ambiguous`.
        """
        experts = self.experts(folder, prefix) if available is None else available
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
                f"in {folder.name}.{listed(experts)}",
                available=sorted(experts),
            )
        if not paths[0].is_file():
            raise RequestError("checkpoint-missing", f"{paths[0].name} in {folder.name} is a link to nothing.")
        return paths[0]

    def unused_overrides(self, dataset: Dataset, folder: Folder | None = None) -> list[str]:
        """Return the overrides that match no checkpoint, sorted.

        Checkpoints are those of the data set's own folder and of the one that a request names, if any.
        """
        own = Folder(dataset.experts, self.settings.checkpoints_dir / dataset.experts)
        folders = [place for place in (own, folder) if place is not None and is_dir(place.path)]
        stems = {path.stem for place in folders for paths in self.experts(place, "").values() for path in paths}
        return dataset.unused_overrides(stems)

    def unknown_prefix(self, folder: Folder, prefix: str) -> RequestError:
        """Build the error for a prefix without checkpoints."""
        stems = sorted(self.experts(folder, ""))
        return RequestError(
            "unknown-prefix",
            f"No checkpoint in {folder.name} has the prefix {prefix!r}.{listed(stems, 'Files there')} "
            "The empty prefix takes them by these names.",
            available=stems,
        )


def check_classes(file: str, outputs: int, dataset_name: str, expected: int) -> None:
    """Check that an expert has one output per class.

    Raises:
        RequestError: `classes-mismatch`.
    """
    if outputs != expected:
        raise RequestError(
            "classes-mismatch",
            f"{file} has {outputs} outputs, but the data set {dataset_name} has {expected} classes. "
            "They must be equal: is this expert from another data set?",
        )


def check_temperature(file: str, temperature: float | None) -> float:
    """Return the stored temperature that `calibration: checkpoint` divides by.

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
    """Refuse a precision that cannot hold the `largest` parameter.

    Raises:
        RequestError: `weights-overflow`.
    """
    limit = RANGES[precision]
    if largest > limit:
        wider = [name for name, end in RANGES.items() if largest <= end]
        remedy = f"Use {wider[-1]}." if wider else "No precision can hold it; the checkpoint is damaged."
        raise RequestError(
            "weights-overflow",
            f"{file} has a parameter of {largest:.6g} (batch norm folded in), and {precision} ends at {limit:.6g}: "
            f"its logits would be infinite or NaN. {remedy}",
            largest=largest,
            limit=limit,
        )
