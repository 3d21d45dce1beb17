"""From a request to verify files to a job that can be queued, or to every single thing that is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from app.catalog import Catalog
from app.errors import Refused, RequestError
from app.intake import Problems
from app.logit_files import MANIFEST_SUFFIX, Found, find_logit_files, one_logit_file
from app.names import check_folder
from app.requests import Standards, VerificationRequest
from app.uploads import Uploads


@dataclass(frozen=True, slots=True)
class VerificationOrder:
    """A request as it came: None where the default is meant."""

    dataset: str
    splits_dir: str | None
    path: str | None
    """A folder or a file below the outputs directory."""
    upload: str | None
    """An upload; either this or `path` is given."""
    expert: str | None
    """For a single file."""
    split: str | None
    """For a single file."""
    standards: Standards


def plan_verification(order: VerificationOrder, catalog: Catalog, uploads: Uploads) -> VerificationRequest:
    """Check a request against what is on disk. The files themselves are for the worker to read.

    Raises:
        Refused: with a problem for each wrong item.
    """
    problems = Problems()
    dataset = problems.guard("dataset", lambda: catalog.dataset(order.dataset))
    splits = None
    if dataset is not None:
        splits = problems.guard("splits_dir", lambda: catalog.splits_folder(dataset, order.splits_dir))
    where = "upload" if order.path is None else "path"
    found = problems.guard(where, lambda: _find(order, catalog.settings.outputs_dir, uploads))
    if dataset is None or splits is None or found is None:
        raise Refused(problems.found)
    folder, files = found
    return VerificationRequest(
        dataset=order.dataset,
        splits_dir=splits.name,
        path=folder,
        upload=order.upload,
        files=files.files,
        others=files.others,
        declaration=dataset.model_dump(mode="json"),
        standards=order.standards,
    )


def _find(order: VerificationOrder, outputs: Path, uploads: Uploads) -> tuple[str | None, Found]:
    """The folder below the outputs directory, or None for an upload, and what is in it."""
    if order.upload is not None:
        root = uploads.folder(order.upload)
        sent = [name for name in uploads.files(order.upload) if not name.endswith(MANIFEST_SUFFIX)]
        if len(sent) == 1:
            return None, _one(order, PurePath(sent[0]), sent[0])
        _refuse_names(order)
        return None, find_logit_files(root, "the upload")
    name = check_folder("path", str(order.path))
    path = outputs / name
    if path.is_file():
        return str(PurePath(name).parent), _one(order, PurePath(outputs.name, name), path.name)
    if not path.is_dir():
        raise RequestError(
            "path-missing", f"There is neither a folder nor a file {name!r} in the server's outputs directory."
        )
    _refuse_names(order)
    return name, find_logit_files(path, path.name)


def _one(order: VerificationOrder, path: PurePath, name: str) -> Found:
    return Found((replace(one_logit_file(path, order.expert, order.split), name=name),), ())


def _refuse_names(order: VerificationOrder) -> None:
    if order.expert is not None or order.split is not None:
        raise RequestError(
            "names-of-many", "expert and split name a single file; here are several, and their names tell them apart."
        )
