"""An installation with jobs, files and rows of chosen ages."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from app.domain.jobs import Claim, Job, UnitPlan
from app.files.artifacts import artifact_path
from app.files.row_store import RowStore
from app.files.uploads import Uploads
from app.retention.orphans import Storage
from app.retention.retention import Collected
from app.settings import Settings
from app.store.database import Database
from app.store.inspections import InspectionStore
from app.store.jobs import JobStore
from tests.fakes import DONE, PASSED, REPORT, artifact, job_request, take
from tests.unit.test_requests import VERIFICATION

DAY_S = 86400.0
KB = 1000
A, B, C = (digit * 64 for digit in "abc")


@dataclass(frozen=True)
class Site:
    """A service's parts, and what an age and a file are to them."""

    storage: Storage

    @property
    def root(self) -> Path:
        return self.storage.settings.outputs_dir

    def object(self, digest: str, size: int = KB) -> Path:
        """An artifact's file."""
        path = artifact_path(self.storage.settings.objects_dir, digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
        return path

    def job(self, *digests: str, ago_s: float = 0.0, ended: bool = True, size: int = KB) -> str:
        """A job with a done unit for each artifact; one that has not ended has a unit more."""
        store = self.storage.jobs
        splits = [str(number) for number in range(len(digests) + (not ended))]
        job = store.submit(job_request(["ce"], splits), [UnitPlan("ce", split, 8, "s") for split in splits])
        claim = self.claim(job)
        for split, digest in zip(splits, digests, strict=False):
            path = self.object(digest, size)
            store.start_unit(claim, split)
            store.finish_unit(claim, split, artifact(digest), REPORT, DONE, path.exists)
        if ended:
            store.end_task(claim)
            store.finish_job(self.claim(job), PASSED)
        return self.aged(job, ago_s)

    def verification(self, upload: str, *, ago_s: float = 0.0, ended: bool = True) -> str:
        """A verification of an upload."""
        job = self.storage.jobs.submit(replace(VERIFICATION, upload=upload))
        if ended:
            self.storage.jobs.finish_job(self.claim(job), PASSED)
        return self.aged(job, ago_s)

    def claim(self, job: Job) -> Claim:
        """A claim of that job's; what is older and was left open is left to its worker."""
        while (claim := take(self.storage.jobs)).job.id != job.id:
            pass
        return claim

    def upload(self, size: int = KB) -> str:
        upload = self.storage.uploads.create()
        with self.storage.uploads.receiving(upload, "ce/val_logits.npz") as stream:
            stream.write(b"x" * size)
        return upload

    def aged(self, job: Job, ago_s: float) -> str:
        """As if it had been accepted, and had ended if it has, so long ago."""
        then = time.time() - ago_s
        with self.storage.database.transaction() as db:
            db.execute("UPDATE jobs SET created_at = ? WHERE id = ?", (then - 1, job.id))
            db.execute("UPDATE jobs SET finished_at = ? WHERE id = ? AND finished_at IS NOT NULL", (then, job.id))
        return job.id

    def long_there(self) -> None:
        """As if the store had been made long ago: what is older than it is not its to remove."""
        with self.storage.database.transaction() as db:
            db.execute("UPDATE store SET created_at = 0")

    def ids(self) -> set[str]:
        return {job.id for job in self.storage.jobs.jobs(limit=1000)}

    def tree(self) -> dict[str, bytes | None]:
        """Everything on disk but the store itself."""
        paths = [path for path in self.root.rglob("*") if not path.name.startswith("jobs.sqlite3")]
        return {str(path): path.read_bytes() if path.is_file() else None for path in paths}


def parts(root: Path, database: Database) -> Storage:
    folders = Settings(data_dir=root / "data", checkpoints_dir=root / "c", outputs_dir=root / "out", _env_file=None)
    return Storage(
        settings=folders,
        database=database,
        jobs=JobStore(database),
        inspections=InspectionStore(database),
        rows=RowStore(folders.rows_dir),
        uploads=Uploads(folders.uploads_dir),
    )


def went(found: Collected) -> list[str]:
    return [job.id for job in found.jobs]
