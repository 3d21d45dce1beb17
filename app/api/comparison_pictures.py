"""The pictures and class names that a comparison's page shows, as far as they can be read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from app.api.dependencies import Services
from app.catalog.datasets import read_declaration
from app.domain.compare_requests import ComparisonRequest
from app.domain.comparisons import ComparisonOutcome
from app.domain.errors import RelogitError
from app.domain.jobs import Job
from app.report.comparison_page import Pictures

PICTURES_FILE = "pictures.json"


def comparison_pictures(services: Services, job: Job) -> Pictures:
    """Read what a comparison's page shows of samples.

    A file that was changed since, or is gone, shows no pictures.
    """
    request, outcome = job.request, job.outcome
    if not isinstance(request, ComparisonRequest) or not isinstance(outcome, ComparisonOutcome):
        return Pictures()
    images: dict[str, str] = {}
    for name, sha256 in outcome.files.items():
        if name.rpartition("/")[2] == PICTURES_FILE:
            images = _read(services.settings.outputs_dir / name, sha256)
    return Pictures(images, _class_names(services, request))


def _read(path: Path, sha256: str) -> dict[str, str]:
    try:
        data = path.read_bytes()
    except OSError:
        return {}
    if hashlib.sha256(data).hexdigest() != sha256:
        return {}
    images: dict[str, str] = json.loads(data)
    return images


def _class_names(services: Services, request: ComparisonRequest) -> tuple[str, ...]:
    """Return the names of the classes, where the data set has them in the names of folders."""
    try:
        dataset = read_declaration(request.declaration)
        return services.catalog.bases.class_names(dataset) if dataset.kind == "imagefolder" else ()
    except (RelogitError, OSError):
        return ()
