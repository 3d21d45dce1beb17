"""What only workers find out, about files and about themselves, with everything that the answers depend on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from app.catalog.bases import FileId, file_id
from app.catalog.catalog import Catalog
from app.catalog.datasets import DEFAULT_BASE, Dataset, Transform
from app.catalog.folders import Folder
from app.catalog.split_lists import COUNTS_FILE, TRAIN_SPLIT, WEIGHTS_FILE, Split
from app.catalog.split_sets import DESCRIPTION_FILE
from app.domain.errors import RequestError
from app.domain.numerics import NumericsKey
from app.domain.revisions import AUDITING, JUDGING, NORMALISING, RECOGNITION, code_digest
from app.files.disk import file_sha256
from app.store.inspections import InspectionRequest


def passport_question(path: Path, dataset: Dataset, weights: str | None = None) -> InspectionRequest:
    """Ask what network a checkpoint file holds, as its data set has it read.

    Args:
        path: of the file.
        dataset: as declared.
        weights: which of the file's sets of weights is asked for; None for the declared one.

    Raises:
        OSError: the file is not there.
    """
    about = {
        "file": file_id(path),
        "assumptions": dataset.assumptions(path.stem, weights),
        "code": code_digest(RECOGNITION),
    }
    return InspectionRequest("passport", about)


def split_question(
    dataset: Dataset, base: tuple[FileId, ...], folder: str, split: str, sha256: str
) -> InspectionRequest:
    """How many samples of each class an index list holds.

    Args:
        dataset: as declared.
        base: identity of the base that the list points into.
        folder: below the data directory.
        split: name of the list.
        sha256: of its file.
    """
    about = {
        "dataset": dataset.model_dump(mode="json"),
        "base": base,
        "splits_dir": folder,
        "split": split,
        "sha256": sha256,
    }
    return InspectionRequest("split", about)


def pool_question(dataset: Dataset, base: str, files: tuple[FileId, ...]) -> InspectionRequest:
    """What a base's decoded pixels are: `pixels_sha256`, and `images`, their shape.

    Args:
        dataset: as declared.
        base: which one.
        files: identity of its files.
    """
    declared = dataset.model_dump(mode="json", exclude={"network", "overrides"})
    about = {"dataset": declared, "base": base, "files": files}
    return InspectionRequest("pool", about)


def normalisation_question(
    path: Path, name: str, dataset: Dataset, base: str, catalog: Catalog, weights: str | None = None
) -> InspectionRequest:
    """Ask what a checkpoint says about the mean and std that are declared for it.

    Args:
        path: of the checkpoint.
        name: of the data set, whose own declaration is no candidate beside itself.
        dataset: as declared.
        base: whose images the checkpoint's statistics are compared with.
        catalog: what is on disk; the declarations of its other data sets are candidates.
        weights: which of the file's sets of weights is asked for; None for the declared one.

    Raises:
        OSError: the file is not there.
        RequestError: the base is not there.
    """
    others = {
        other: Transform(mean=declared.mean, std=declared.std) for other, declared in catalog.datasets().items()
    }
    others.pop(name, None)
    about = {
        "file": file_id(path),
        "assumptions": dataset.assumptions(path.stem, weights),
        "dataset": dataset.model_dump(mode="json", exclude={"overrides", "network"}),
        "transform": dataset.transform(path.stem).model_dump(mode="json"),
        "others": {other: transform.model_dump(mode="json") for other, transform in others.items()},
        "base": base,
        "files": catalog.bases.identity(dataset, base),
        "code": [code_digest(NORMALISING), code_digest(RECOGNITION)],
    }
    return InspectionRequest("normalisation", about)


def evidence_base(bases: Iterable[str]) -> str:
    """Choose the base whose images a checkpoint is held against: `test`, or the first of those in use."""
    in_use = sorted(bases)
    return DEFAULT_BASE if DEFAULT_BASE in in_use or not in_use else in_use[0]


def rate_question(network: Mapping[str, Any], image: Sequence[int], numerics: NumericsKey) -> InspectionRequest:
    """How fast such a network was here, when it last computed: `images_per_s`, and the process's `peak_bytes`.

    No worker is asked for it; they tell when they have computed.

    Args:
        network: the architecture as a spec.
        image: [H, W, 3].
        numerics: of the computation.
    """
    return InspectionRequest("rate", {"network": dict(network), "image": list(image), "numerics": asdict(numerics)})


AnalysisPart = Literal["statistics", "causes"]


@dataclass(frozen=True, slots=True)
class AnalysisSubject:
    """A file of logits, and what it is of."""

    path: Path
    sha256: str
    """Of the file as it was verified."""
    dataset: Dataset
    folder: Folder
    """Of the splits."""
    split: Split
    head_threshold: int
    targets: tuple[Path, str] | None = None
    """The file of its targets, where that is one of its own, and that file's sha256."""


def analysis_question(part: AnalysisPart, subject: AnalysisSubject, catalog: Catalog) -> InspectionRequest:
    """Statistics: intervals and curves of a file's figures. Causes: why its accuracy is no better than chance.

    Raises:
        RequestError: the base is not there.
    """
    dataset, folder, base = subject.dataset, subject.folder, subject.split.base
    about: dict[str, Any] = {
        "path": str(subject.path),
        "sha256": subject.sha256,
        "dataset": dataset.model_dump(mode="json"),
        "splits_dir": folder.name,
        "split": subject.split.name,
        "split_sha256": subject.split.sha256,
        "base": catalog.bases.identity(dataset, base),
        "code": code_digest(JUDGING),
    }
    if part == "statistics":
        about |= {"head_threshold": subject.head_threshold, **_train_part(dataset, folder, catalog)}
    else:
        if subject.targets is not None:
            about["targets"] = {"path": str(subject.targets[0]), "sha256": subject.targets[1]}
        about["bases"] = {name: _base_identity(catalog, dataset, name) for name in catalog.bases.names(dataset)}
        lists = catalog.split_names(folder)
        about["lists"] = {name: _content(catalog.split_path(folder, name)) for name in lists}
    return InspectionRequest(part, about)


def audit_question(dataset: Dataset, folder: Folder, catalog: Catalog, *, pictures: bool = True) -> InspectionRequest:
    """What is to be said of a set of splits: of its lists, and of them together.

    Args:
        dataset: as declared.
        folder: of the set.
        catalog: what is on disk.
        pictures: whether the bases' images are compared, for which all of them are decoded.

    The answer holds for the lists whose sha256 stand under `lists`, by name.
    """
    others = (folder.path / name for name in (COUNTS_FILE, WEIGHTS_FILE, DESCRIPTION_FILE))
    lists = {name: _content(catalog.split_path(folder, name)) for name in catalog.split_names(folder)}
    about = {
        "dataset": dataset.model_dump(mode="json"),
        "names": [name for name, declared in catalog.datasets().items() if declared == dataset],
        "splits_dir": folder.name,
        "lists": lists,
        "others": [_content(path) for path in others],
        "bases": {name: _base_identity(catalog, dataset, name) for name in catalog.bases.names(dataset)},
        "pictures": pictures,
        "code": code_digest(AUDITING),
    }
    return InspectionRequest("audit", about)


def groups_question(dataset: Dataset, folder: Folder, catalog: Catalog, head_threshold: int) -> InspectionRequest:
    """How many train samples each class of a set of splits has, and which classes that makes head, tail and so on."""
    about = {
        "dataset": dataset.model_dump(mode="json"),
        "splits_dir": folder.name,
        "head_threshold": head_threshold,
        **_train_part(dataset, folder, catalog),
        "code": code_digest(AUDITING),
    }
    return InspectionRequest("groups", about)


def _train_part(dataset: Dataset, folder: Folder, catalog: Catalog) -> dict[str, Any]:
    """What counts and weights of the train split are read from."""
    files = (folder.path / COUNTS_FILE, folder.path / WEIGHTS_FILE, catalog.split_path(folder, TRAIN_SPLIT))
    try:
        identity = catalog.bases.identity(dataset, catalog.base_of(dataset, folder, TRAIN_SPLIT))
    except RequestError:
        identity = None
    return {"train": [_content(path) for path in files], "train_base": identity}


def _content(path: Path) -> str | None:
    """Digest a small file that an answer is read from; its times could stay while its content changes."""
    try:
        return file_sha256(path)
    except OSError:
        return None


def _base_identity(catalog: Catalog, dataset: Dataset, base: str) -> tuple[FileId, ...] | None:
    try:
        return catalog.bases.identity(dataset, base)
    except RequestError:
        return None
