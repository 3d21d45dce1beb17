"""Check a request to verify files against what is on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePath

from app.catalog.catalog import Catalog
from app.domain.errors import Refused, RequestError
from app.domain.names import check_folder
from app.domain.requests import VerificationRequest
from app.files.logit_files import MANIFEST_SUFFIX, Found, find_logit_files, one_logit_file, targets_name
from app.files.uploads import Uploads
from app.submission.bodies import VerificationBody
from app.submission.problems import Problems, check_prefix


def plan_verification(body: VerificationBody, catalog: Catalog, uploads: Uploads) -> VerificationRequest:
    """Check a request; list files and fill in defaults.

    Raises:
        Refused: with a problem for each wrong item.
    """
    problems = Problems()
    dataset = problems.guard("dataset", lambda: catalog.dataset(body.dataset))
    splits = None
    if dataset is not None:
        splits = problems.guard("splits_dir", lambda: catalog.splits_folder(dataset, body.splits_dir))
    prefix = problems.guard("checkpoint_prefix", lambda: check_prefix(body.checkpoint_prefix))
    experts = body.experts_dir
    if dataset is not None and experts is not None:
        folder = problems.guard("experts_dir", lambda: catalog.experts_folder(body.dataset, dataset, experts))
        experts = None if folder is None else folder.name
    where = "upload" if body.path is None else "path"
    source = problems.guard(where, lambda: _list_files(body, catalog.settings.outputs_dir, uploads))
    if dataset is None or splits is None or source is None or prefix is None or problems.errors:
        raise Refused(problems.errors)
    path, files = source
    return VerificationRequest(
        dataset=body.dataset,
        splits_dir=splits.name,
        path=path,
        upload=body.upload,
        files=files.files,
        others=files.others,
        declaration=dataset.model_dump(mode="json"),
        standards=body.standards(),
        recompute=body.recompute,
        checkpoint_prefix=prefix,
        experts_dir=experts,
    )


def _list_files(body: VerificationBody, outputs: Path, uploads: Uploads) -> tuple[str | None, Found]:
    """List the files, and their folder below outputs.

    The folder is None for an upload.
    """
    if body.upload is not None:
        return None, _list_upload(body, body.upload, uploads)
    name = check_folder("path", str(body.path))
    path = outputs / name
    if path.is_file():
        return str(PurePath(name).parent), _single_file(body, PurePath(outputs.name, name), path.name, path.parent)
    if not path.is_dir():
        raise RequestError(
            "path-missing", f"There is neither a folder nor a file {name!r} in the server's outputs directory."
        )
    _refuse_names(body)
    return name, find_logit_files(path, path.name)


def _list_upload(body: VerificationBody, upload: str, uploads: Uploads) -> Found:
    root = uploads.folder(upload)
    names = uploads.files(upload)
    targets = {targets_name(name, names.__contains__) for name in names}
    logits = [name for name in names if not name.endswith(MANIFEST_SUFFIX) and name not in targets]
    if len(logits) == 1:
        return _single_file(body, PurePath(logits[0]), logits[0], root)
    _refuse_names(body)
    return find_logit_files(root, "the upload")


def _single_file(body: VerificationBody, path: PurePath, name: str, root: Path) -> Found:
    file = one_logit_file(path, body.expert, body.split)
    # A link to a missing file counts: a check reports that its targets cannot be read.
    targets = targets_name(name, lambda beside: (root / beside).is_file() or (root / beside).is_symlink())
    return Found((replace(file, name=name, targets=targets),), ())


def _refuse_names(body: VerificationBody) -> None:
    if body.expert is not None or body.split is not None:
        raise RequestError(
            "names-of-many", "expert and split name a single file; here are several, and their names tell them apart."
        )
