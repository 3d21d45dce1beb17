"""From a request to verify files to a job that can be queued, or to every single thing that is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from app.catalog.catalog import Catalog
from app.domain.errors import Refused, RequestError
from app.domain.names import check_folder, check_name
from app.domain.requests import Standards, VerificationRequest
from app.files.logit_files import MANIFEST_SUFFIX, Found, find_logit_files, one_logit_file, targets_name
from app.files.uploads import Uploads
from app.submission.recompute import Problems


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
    recompute: int = 0
    checkpoint_prefix: str = "best_"
    experts_dir: str | None = None


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
    prefix = problems.guard(
        "checkpoint_prefix", lambda: check_name("checkpoint_prefix", order.checkpoint_prefix, may_be_empty=True)
    )
    experts = order.experts_dir
    if dataset is not None and experts is not None:
        folder = problems.guard("experts_dir", lambda: catalog.experts_folder(order.dataset, dataset, experts))
        experts = None if folder is None else folder.name
    where = "upload" if order.path is None else "path"
    found = problems.guard(where, lambda: _find(order, catalog.settings.outputs_dir, uploads))
    if dataset is None or splits is None or found is None or prefix is None or problems.found:
        raise Refused(problems.found)
    place, files = found
    return VerificationRequest(
        dataset=order.dataset,
        splits_dir=splits.name,
        path=place,
        upload=order.upload,
        files=files.files,
        others=files.others,
        declaration=dataset.model_dump(mode="json"),
        standards=order.standards,
        recompute=order.recompute,
        checkpoint_prefix=prefix,
        experts_dir=experts,
    )


def _find(order: VerificationOrder, outputs: Path, uploads: Uploads) -> tuple[str | None, Found]:
    """The folder below the outputs directory, or None for an upload, and what is in it."""
    if order.upload is not None:
        root = uploads.folder(order.upload)
        names = uploads.files(order.upload)
        targets = {targets_name(name, names.__contains__) for name in names}
        sent = [name for name in names if not name.endswith(MANIFEST_SUFFIX) and name not in targets]
        if len(sent) == 1:
            return None, _one(order, PurePath(sent[0]), sent[0], root)
        _refuse_names(order)
        return None, find_logit_files(root, "the upload")
    name = check_folder("path", str(order.path))
    path = outputs / name
    if path.is_file():
        return str(PurePath(name).parent), _one(order, PurePath(outputs.name, name), path.name, path.parent)
    if not path.is_dir():
        raise RequestError(
            "path-missing", f"There is neither a folder nor a file {name!r} in the server's outputs directory."
        )
    _refuse_names(order)
    return name, find_logit_files(path, path.name)


def _one(order: VerificationOrder, path: PurePath, name: str, root: Path) -> Found:
    file = one_logit_file(path, order.expert, order.split)
    # A link that leads nowhere counts: that its targets cannot be read is for a check to say.
    targets = targets_name(name, lambda beside: (root / beside).is_file() or (root / beside).is_symlink())
    return Found((replace(file, name=name, targets=targets),), ())


def _refuse_names(order: VerificationOrder) -> None:
    if order.expert is not None or order.split is not None:
        raise RequestError(
            "names-of-many", "expert and split name a single file; here are several, and their names tell them apart."
        )
