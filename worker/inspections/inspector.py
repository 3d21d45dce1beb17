"""Answers the API's questions about files, beside the computing: passports, label counts, pixels, statistics."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from pathlib import Path
from typing import Any

import numpy as np

from app.catalog.bases import file_id
from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset, Transform
from app.catalog.folders import Folder
from app.domain.errors import JobError, RelogitError, RequestError, TransientError
from app.store.database import Database
from app.store.inspections import InspectionRequest, InspectionStore
from worker.datasets.pools import Pool, Pools
from worker.experts.loading import Assumptions, load_expert
from worker.inspections.analysis import Analyst
from worker.inspections.audit import Auditor
from worker.inspections.normalisation import NormalisationInspector

log = logging.getLogger(__name__)

IDLE_S = 0.03
AFTER_ERROR_S = 1.0


class Inspector:
    """A thread of its own, so that a page about experts need not wait for a job. Lives as long as the worker."""

    def __init__(
        self,
        worker: str,
        database: Database,
        inspections: InspectionStore,
        catalog: Catalog,
        pools: Pools,
        normalisation: NormalisationInspector,
    ) -> None:
        self._worker = worker
        self._database = database
        self._facts = inspections
        self._catalog = catalog
        self._pools = pools
        self._normalisation = normalisation
        self._analyst = Analyst(catalog, pools)
        self._auditor = Auditor(catalog, pools)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inspector", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """End after the answer at hand."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        seen = -1
        while not self._stop.is_set():
            try:
                seen = self._look(seen)
            except sqlite3.Error as error:  # a full disk, say: it will pass
                log.warning("cannot answer questions: %s", error)
                self._stop.wait(AFTER_ERROR_S)

    def _look(self, seen: int) -> int:
        version = self._database.version()
        if version == seen:
            self._stop.wait(IDLE_S)
            return seen
        question = self._facts.next_open(self._worker)
        if question is None:
            return version
        self._answer(question)
        return -1

    def _answer(self, question: InspectionRequest) -> None:
        try:
            answer = self._find_out(question)
        except (RequestError, JobError) as error:
            self._record(question, error)  # true of the file for as long as it stays as it is
        except (RelogitError, OSError) as error:
            log.warning("no lasting answer about %s: %s", dict(question.about), error)
            self._facts.forget(question)
        except Exception as error:
            log.exception("unexpected error about %s", question)
            if question.kind in ("audit", "groups"):  # of files that anybody may write: it would come again at once
                message = f"relogit met an error of its own over these splits: {type(error).__name__}."
                self._record(question, RelogitError("audit-failed", message))
            else:  # whatever this was, it says nothing about the file
                self._facts.forget(question)
        else:
            self._record(question, answer)

    def _record(self, question: InspectionRequest, result: dict[str, Any] | RelogitError) -> None:
        # The question is on record as this worker's: without an answer it would stay open for as long as it lives.
        while True:
            try:
                self._facts.record(question, result)
                return
            except sqlite3.Error as error:  # a full disk, say: it will pass
                log.warning("an answer cannot be recorded yet: %s", error)
                if self._stop.wait(AFTER_ERROR_S):
                    return

    def _find_out(self, question: InspectionRequest) -> dict[str, Any]:
        if question.kind == "statistics":
            return self._analyst.statistics(question.about)
        if question.kind == "causes":
            return self._analyst.causes(question.about)
        if question.kind == "audit":
            return self._auditor.audit(question.about)
        if question.kind == "groups":
            return self._auditor.groups(question.about)
        finders = {
            "passport": self._passport,
            "split": self._split,
            "pool": self._pool,
            "normalisation": self._find_normalisation,
        }
        return finders[question.kind](question)

    def _passport(self, question: InspectionRequest) -> dict[str, Any]:
        about = question.about
        path = Path(about["file"][0])
        assumptions = Assumptions(**about["assumptions"])
        try:
            return load_expert(path, assumptions).passport.to_dict()
        finally:
            _check_same(file_id(path), about["file"])

    def _find_normalisation(self, question: InspectionRequest) -> dict[str, Any]:
        about = question.about
        path, dataset = Path(about["file"][0]), Dataset.model_validate(about["dataset"])
        expert = load_expert(path, Assumptions(**about["assumptions"]))
        pool = self._pools.get(dataset, about["base"])
        others = {name: Transform.model_validate(other) for name, other in about["others"].items()}
        found = self._normalisation.inspect(
            expert.network, pool, Transform.model_validate(about["transform"]), others
        )
        _check_same(self._catalog.bases.identity(dataset, about["base"]), about["files"])
        _check_same(file_id(path), about["file"])
        return found

    def _split(self, question: InspectionRequest) -> dict[str, Any]:
        about = question.about
        dataset = Dataset.model_validate(about["dataset"])
        folder = Folder(about["splits_dir"], self._catalog.settings.data_dir / about["splits_dir"])
        split = self._catalog.read_split(dataset, folder, about["split"])
        _check_same(split.sha256, about["sha256"])
        classes = self._catalog.bases.classes(dataset)
        counts = np.bincount(self._pools.labels(dataset, split.base)[split.indices], minlength=classes)
        return {"classes": classes, "class_counts": counts.tolist()}

    def _pool(self, question: InspectionRequest) -> dict[str, Any]:
        about = question.about
        dataset = Dataset.model_validate(about["dataset"])
        pool = self._pools.get(dataset, about["base"])
        _check_same(self._catalog.bases.identity(dataset, about["base"]), about["files"])
        return pool_answer(pool)


def pool_answer(pool: Pool) -> dict[str, Any]:
    """What is recorded about a decoded base; see `app.store.inspection_requests.pool_question`."""
    return {"pixels_sha256": pool.pixels_sha256, "images": list(pool.images.shape), "classes": pool.classes}


def _check_same(now: object, asked: object) -> None:
    # The answer would be kept under a question about another file.
    if json.dumps(now) != json.dumps(asked):  # one of them may have been through JSON, which has no tuples
        raise TransientError("file-changed", "The file was changed after the question was asked.")
