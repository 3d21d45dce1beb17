"""The lists that experts which are combinations themselves were fitted on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset
from app.catalog.folders import Folder
from app.domain.combine_requests import GatingRequest, InputList
from app.domain.errors import RequestError
from app.domain.requests import VerificationRequest
from app.files.logit_files import MANIFEST_SUFFIX
from app.files.uploads import Uploads
from app.submission.logit_inputs import VerifiedLogits


def lists_fitted_before(
    source: VerifiedLogits, experts: Sequence[str], catalog: Catalog, dataset: Dataset, folder: Folder
) -> tuple[InputList, ...]:
    """Gather the lists that combinations among these experts were fitted and chosen by.

    A gating's request names them; for verified files the manifests do.

    Raises:
        RequestError: `fitted-lists-unknown`, a list is not the one in the folder, so that nobody could tell whether
            test samples were fitted on.
        NotFound: the upload is gone.
    """
    request = source.request
    if isinstance(request, GatingRequest):
        return request.fitted_lists
    if not isinstance(request, VerificationRequest):
        return ()
    root = Uploads(catalog.settings.uploads_dir).root_of(request, catalog.settings.outputs_dir)
    names = [file.file.name for (expert, _), file in source.files.items() if expert in experts]
    manifests = [(root / str(name)).with_suffix(MANIFEST_SUFFIX) for name in names]
    return tuple(
        dict.fromkeys(
            _known_list(entry, path, catalog, dataset, folder) for path in manifests for entry in _fitted_on(path)
        )
    )


def _fitted_on(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lists that a manifest names, if it is a combination's."""
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return  # the verification says whether there has to be one
    described = manifest.get("combination") if isinstance(manifest, dict) else None
    entries = described.get("fitted_on") if isinstance(described, dict) else None
    yield from (entry for entry in entries or () if isinstance(entry, dict))


def _known_list(entry: dict[str, Any], path: Path, catalog: Catalog, dataset: Dataset, folder: Folder) -> InputList:
    name = str(entry.get("split"))
    message = (
        f"{path.name} is of a combination that was fitted on another list {name!r} than that of {folder.name}, so "
        "overlaps with it cannot be checked. Combine its experts again."
    )
    try:
        split = catalog.read_split(dataset, folder, name)
    except RequestError as error:
        raise RequestError("fitted-lists-unknown", message) from error
    if (split.base, split.sha256) != (entry.get("base"), entry.get("sha256")):
        raise RequestError("fitted-lists-unknown", message)
    return InputList(name, split.base, split.sha256, split.indices.size)
