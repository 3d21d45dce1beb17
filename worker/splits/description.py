"""Checks of a set of splits against its `splits.json`.

All are warnings: a job can use a list whatever `splits.json` says of it. A part of another list shares its samples on
purpose. The audit accepts that for parts of the train list only, and only if all their samples are in it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from app.catalog.split_lists import TRAIN_SPLIT
from app.catalog.split_sets import DESCRIPTION_FILE, DatasetDescription, ListDescription, list_sha256
from app.domain.checks import MAX_EVIDENCE, Check, skipped, warning_check
from worker.splits.duplicate_images import Lists

CHECK = "as-described"
NOT_DESCRIBED = f"There is no {DESCRIPTION_FILE} that describes the list."

Descriptions = Mapping[str, ListDescription] | None
"""Descriptions by the list's name; None where there is no description."""


def parts(lists: Lists, descriptions: Descriptions) -> frozenset[frozenset[str]]:
    """List pairs of a described part and its whole.

    A pair counts only if the part's samples are all in the whole.
    """
    return frozenset(
        frozenset((name, about.part_of))
        for name, about in (descriptions or {}).items()
        if name in lists and about.part_of is not None and not _part_problem(name, lists, about)
    )


def check_list(name: str, lists: Lists, descriptions: Descriptions) -> Check:
    """Check that a list's rows are as described.

    A list that is described as a part of another one has to be that. `lists` are all that could be read.
    """
    if descriptions is None:
        return skipped(CHECK, "warning", NOT_DESCRIBED)
    indices = lists[name][1]
    rows = {"rows": int(indices.size), "sha256": list_sha256(indices.tolist())}
    about = descriptions.get(name)
    if about is None:
        message = f"{DESCRIPTION_FILE} describes other lists, but not {name!r}."
        return warning_check(CHECK, False, rows, "a list that is described", message)
    expected = {"rows": about.size, "sha256": about.sha256}
    problems: list[str] = []
    if about.size is not None and about.size != rows["rows"]:
        problems.append(f"it has {rows['rows']} rows, and {about.size} are described")
    elif about.sha256 is not None and about.sha256 != rows["sha256"]:
        problems.append("its indices, or their order, are not those that are described")
    part_problem = _part_problem(name, lists, about)
    problems += [part_problem] if part_problem else []
    message = f"{name!r} is what {DESCRIPTION_FILE} says."
    if problems:
        message = f"{name!r} is not what {DESCRIPTION_FILE} says: {'; '.join(problems)}."
    evidence = [{"index": index} for index in _outside(name, lists, about)[:MAX_EVIDENCE].tolist()]
    return warning_check(CHECK, not problems, rows, expected, message, evidence)


def check_missing(name: str, about: ListDescription) -> Check:
    """Give the failed check of a missing described list."""
    message = f"{DESCRIPTION_FILE} describes the list {name!r}, which is not there."
    return warning_check(CHECK, False, "no list", {"rows": about.size, "sha256": about.sha256}, message)


def check_dataset(
    about: DatasetDescription | None, names: Collection[str], labels: Mapping[str, NDArray[np.int64]]
) -> Check:
    """Check that the set was made for this data set.

    `names` are those that the data set is declared under, none if it is no longer declared; `labels` [N] those of the
    bases that can be read.
    """
    if about is None:
        return skipped(CHECK, "warning", f"There is no {DESCRIPTION_FILE} that names the data set of these lists.")
    digests = {base: list_sha256(labels[base].tolist()) for base in sorted(about.labels_sha256) if base in labels}
    expected = {base: about.labels_sha256[base] for base in digests}
    described_name = about.name if names else None
    if described_name is None and not digests:
        return skipped(CHECK, "warning", "Neither the data set's name nor its labels can be compared.")
    problems: list[str] = []
    if described_name is not None and described_name not in names:
        here = " or ".join(map(repr, sorted(names)))
        problems.append(f"it was made for the data set {described_name!r}, not for {here}")
    problems += [
        f"the labels of {base!r} are not those that it was drawn from"
        for base in digests
        if digests[base] != expected[base]
    ]
    message = f"The set was made from the data set that {DESCRIPTION_FILE} names."
    if problems:
        message = f"The set is not what {DESCRIPTION_FILE} says: {'; '.join(problems)}."
    unread = sorted(about.labels_sha256.keys() - digests.keys())
    if unread:
        message += f" The labels of {', '.join(unread)} are not available."
    measured = {"dataset": sorted(names), "labels_sha256": digests}
    wanted = {"dataset": described_name, "labels_sha256": expected}
    return warning_check(CHECK, not problems, measured, wanted, message)


def _part_problem(name: str, lists: Lists, about: ListDescription) -> str | None:
    """Explain why a list is not the described part."""
    whole = about.part_of
    if whole is None:
        return None
    if whole != TRAIN_SPLIT:
        return (
            f"it is described as a part of {whole!r}, but only {TRAIN_SPLIT!r} has parts that may share its samples"
        )
    if whole not in lists:
        return f"it is described as a part of {whole!r}, which is not there to compare it with"
    if lists[whole][0] != lists[name][0]:
        return f"it is described as a part of {whole!r}, which is over another base, {lists[whole][0]!r}"
    outside = _outside(name, lists, about).size
    return f"{outside} of its samples are not in {whole!r}, of which it is described as a part" if outside else None


def _outside(name: str, lists: Lists, about: ListDescription) -> NDArray[np.int64]:
    """List samples that only the part has; none across bases."""
    whole = lists.get(about.part_of or "")
    if whole is None or whole[0] != lists[name][0]:
        return np.empty(0, np.int64)
    return np.setdiff1d(lists[name][1], whole[1])
