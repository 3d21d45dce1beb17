"""Whether what `datasets.toml` declares is there and sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from worker.doctor.finding import Finding, ok, problem, warning

DEFAULT_PREFIX = "best_"
"""What a job takes unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Base:
    """One base of a data set."""

    images: int = 0
    missing: str | None = None
    """The files that are not there; None if all are."""
    wrong: str | None = None
    """What is there but cannot be right: an md5, an array's shape."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """One data set of `datasets.toml`."""

    name: str
    root: str
    """The folder of its bases."""
    default: bool = False
    """Whether jobs take it unless told otherwise."""
    bases: Mapping[str, Base] = field(default_factory=dict)
    splits_folder: str = ""
    splits: Sequence[str] | None = None
    """Lists that are there; None if their folder is not."""
    wrong_splits: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with a list whose base is fine."""
    experts_folder: str = ""
    experts: Sequence[str] | None = None
    """Checkpoint stems that are there; None if their folder is not."""
    unused_overrides: Sequence[str] = ()
    """Entries of its overrides that match no checkpoint."""
    wrong: str | None = None
    """Why nothing of it could be looked at."""

    @property
    def absent(self) -> bool:
        """Whether none of its images is there."""
        return bool(self.bases) and all(base.missing for base in self.bases.values())


def check_datasets(seen: Sequence[DataSet], error: str | None) -> list[Finding]:
    """Every data set.

    Args:
        seen: those that are declared.
        error: why `datasets.toml` cannot be read; None if it can.
    """
    if error is not None:
        return [problem("datasets", error, "Correct the file; jobs are refused until then.")]
    if not seen:
        return [
            warning(
                "datasets", "datasets.toml declares no data set.", "The project's own data/datasets.toml shows how."
            )
        ]
    return [finding for one in seen for finding in check_dataset(one)]


def check_dataset(seen: DataSet) -> list[Finding]:
    """Bases, lists and experts of one data set: what is wrong, or one finding that all is well."""
    check = f"dataset-{seen.name}"
    if seen.wrong is not None:
        return [problem(check, seen.wrong, "Correct its entry in datasets.toml, or its files.")]
    if seen.absent:
        return [_absent(check, seen)]
    found = [
        *_overrides(check, seen),
        *_bases(check, seen),
        *_splits(check, seen),
        *_experts(check, seen),
    ]
    return found or [ok(check, _all_well(seen))]


def _overrides(check: str, dataset: DataSet) -> list[Finding]:
    return [
        problem(
            check,
            f"{dataset.name}: its override {key!r} matches no checkpoint in {dataset.experts_folder}.",
            "Name it after a file without its suffix, such as best_ce, or *_ce for any prefix; or take it out.",
        )
        for key in dataset.unused_overrides
    ]


def _absent(check: str, seen: DataSet) -> Finding:
    what = ", the default data set, is" if seen.default else " is declared but"
    missing = ", ".join(base.missing for base in seen.bases.values() if base.missing)
    return warning(
        check,
        f"{seen.name}{what} not there: no images in {seen.root}.",
        f"If it is wanted: {missing} are its images, lists go to {seen.splits_folder}, experts to "
        f"{seen.experts_folder}.",
    )


def _bases(check: str, seen: DataSet) -> list[Finding]:
    found = []
    for name, base in seen.bases.items():
        if base.wrong:
            found.append(problem(check, f"{seen.name}: {base.wrong}", "Replace the file by a sound copy."))
        elif base.missing:
            said = f"{seen.name}: the base {name!r} needs {base.missing}, which is not there."
            found.append(warning(check, said, f"Put it there; until then no list into {name!r} can be used."))
    return found


def _splits(check: str, seen: DataSet) -> list[Finding]:
    if seen.splits is None:
        return [
            warning(
                check, f"{seen.name}: its folder of lists {seen.splits_folder} is not there.",
                "Put the index lists there, or draw some (relogit splits create); --splits-dir names other folders.",
            )
        ]  # fmt: skip
    if not seen.splits:
        return [
            warning(
                check,
                f"{seen.name}: no index list (NAME_indices.json) is in {seen.splits_folder}.",
                "Put them there.",
            )
        ]
    return [
        problem(check, f"{seen.name}, list {name}: {why}", "Correct the list, or take it out of the folder.")
        for name, why in seen.wrong_splits.items()
    ]


def _experts(check: str, seen: DataSet) -> list[Finding]:
    if not seen.experts:
        what = "holds no checkpoint" if seen.experts is not None else "is not there"
        return [
            warning(
                check, f"{seen.name}: the experts' folder {seen.experts_folder} {what}.",
                "Put {prefix}{expert}.pth files there, or name another folder with --experts-dir.",
            )
        ]  # fmt: skip
    if not any(stem.startswith(DEFAULT_PREFIX) for stem in seen.experts):
        some = ", ".join(seen.experts[:3])
        return [
            warning(
                check, f"{seen.name}: no checkpoint in {seen.experts_folder} begins with {DEFAULT_PREFIX}: {some}.",
                "Name what stands before the expert with --prefix; '' takes them by these names.",
            )
        ]  # fmt: skip
    return []


def _all_well(seen: DataSet) -> str:
    bases = ", ".join(f"{name} {base.images:,}" for name, base in seen.bases.items())
    stems = seen.experts or ()
    best = sum(stem.startswith(DEFAULT_PREFIX) for stem in stems)
    lists = len(seen.splits or ())
    return (
        f"{seen.name}: images {bases}; {lists} sound index lists; {len(stems)} checkpoints, "
        f"{best} of them with {DEFAULT_PREFIX}."
    )
