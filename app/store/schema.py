"""The tables of the job store, and how a store of an earlier schema becomes one of this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SCHEMA_VERSION = 7

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL DEFAULT 'recompute',
    state TEXT NOT NULL,
    request TEXT NOT NULL,
    created_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    deadline_at REAL,  -- the job fails if it has not ended by then
    error TEXT,  -- why the job was stopped, unless a user cancelled it
    traceparent TEXT,  -- of the HTTP request that submitted it (W3C Trace Context)
    verification TEXT,
    outcome TEXT  -- what a gating, rejector or evaluation resulted in
) STRICT;
CREATE INDEX IF NOT EXISTS jobs_deadline ON jobs (deadline_at) WHERE deadline_at IS NOT NULL AND finished_at IS NULL;
CREATE INDEX IF NOT EXISTS jobs_open_runs ON jobs (seq) WHERE kind = 'run' AND finished_at IS NULL;
CREATE TABLE IF NOT EXISTS units (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    expert TEXT NOT NULL,
    split TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued',
    total INTEGER NOT NULL,
    split_sha256 TEXT NOT NULL,
    done INTEGER NOT NULL DEFAULT 0,
    reused INTEGER NOT NULL DEFAULT 0,
    computed INTEGER NOT NULL DEFAULT 0,
    rate REAL,
    error TEXT,
    notes TEXT NOT NULL DEFAULT '[]',
    artifact_sha256 TEXT,
    artifact TEXT,
    report TEXT,
    started_at REAL,
    finished_at REAL,
    attempts INTEGER NOT NULL DEFAULT 0,  -- how often a worker began it
    PRIMARY KEY (job, expert, split)
) STRICT;
CREATE INDEX IF NOT EXISTS units_artifact ON units (artifact_sha256);
-- What workers claim: a recompute job has one task for each expert and one for its verification, a gating has one of
-- each, a run none; other kinds have one task. The expert of tasks without units is ''.
CREATE TABLE IF NOT EXISTS tasks (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    task TEXT NOT NULL,
    expert TEXT NOT NULL,
    position INTEGER NOT NULL,
    state TEXT NOT NULL,  -- waiting (verify, until all units have ended), queued, claimed, ended
    worker TEXT,
    token INTEGER NOT NULL DEFAULT 0,
    deaths INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job, task, expert)
) STRICT;
CREATE INDEX IF NOT EXISTS tasks_open ON tasks (state) WHERE state IN ('queued', 'claimed');
-- The steps of a run, which the service takes one after the other.
CREATE TABLE IF NOT EXISTS run_steps (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    step TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting',
    children TEXT NOT NULL DEFAULT '[]',  -- ids of the jobs that carry it out, which may be deleted before the run
    reason TEXT,
    error TEXT,
    PRIMARY KEY (job, step)
) STRICT;
CREATE TABLE IF NOT EXISTS workers (
    id TEXT PRIMARY KEY,
    pid INTEGER NOT NULL,
    device TEXT NOT NULL,
    devices INTEGER NOT NULL,
    started_at REAL NOT NULL,
    warm TEXT NOT NULL DEFAULT '[]',  -- state of the experts to load at its start
    environment TEXT NOT NULL DEFAULT '{}'  -- how it computes: a ComputeEnvironment
) STRICT;
CREATE TABLE IF NOT EXISTS store (id INTEGER PRIMARY KEY, created_at REAL NOT NULL, probed_at REAL) STRICT;
-- Counters since the store was made; deleting a job does not lower them.
CREATE TABLE IF NOT EXISTS totals (
    name TEXT NOT NULL,
    label TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (name, label)
) STRICT;
-- What a worker found out on request, such as passports and label counts, by a key over everything it depends on.
CREATE TABLE IF NOT EXISTS inspections (
    key TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    request TEXT NOT NULL,
    answer TEXT,
    error TEXT,
    asked_at REAL NOT NULL,
    worker TEXT,  -- the worker that carries it out
    attempts INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS inspections_open ON inspections (asked_at) WHERE answer IS NULL AND error IS NULL;
-- How fast workers computed here, by a key over the network, the shape of an image and the numerics.
CREATE TABLE IF NOT EXISTS rates (
    key TEXT PRIMARY KEY,
    images_per_s REAL NOT NULL,
    peak_bytes INTEGER NOT NULL,
    measured_at REAL NOT NULL
) STRICT;
"""

_SPLITS_JOB_ENDED = "Jobs no longer create splits; the service does so at once. Run `relogit splits create` again."
_END_SPLITS_JOBS = (
    "INSERT INTO totals (name, label, value) SELECT 'jobs', iif(cancel_requested, 'cancelled', 'failed'), count(*)"
    " FROM jobs WHERE kind = 'splits' AND finished_at IS NULL GROUP BY cancel_requested"
    " ON CONFLICT (name, label) DO UPDATE SET value = value + excluded.value",
    "UPDATE jobs SET state = iif(cancel_requested, 'cancelled', 'failed'),"
    " finished_at = (julianday('now') - 2440587.5) * 86400.0,"
    " error = iif(cancel_requested, error, json_object('code', 'splits-job-ended', 'message',"
    f" '{_SPLITS_JOB_ENDED}', 'details', json_object()))"
    " WHERE kind = 'splits' AND finished_at IS NULL",
    "UPDATE tasks SET state = 'ended' WHERE state != 'ended' AND job IN (SELECT id FROM jobs WHERE kind = 'splits')",
)
"""End the open jobs that were to create splits: no worker takes them any more."""

MIGRATIONS: Mapping[int, Sequence[str]] = {
    2: (
        "ALTER TABLE units ADD COLUMN reused INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE units ADD COLUMN computed INTEGER NOT NULL DEFAULT 0",
        "UPDATE units SET computed = done",
        "ALTER TABLE workers ADD COLUMN arithmetic TEXT NOT NULL DEFAULT '{}'",
    ),
    3: ("ALTER TABLE jobs ADD COLUMN kind TEXT NOT NULL DEFAULT 'recompute'",),
    4: (
        "ALTER TABLE jobs ADD COLUMN deadline_at REAL",
        "ALTER TABLE jobs ADD COLUMN error TEXT",
        "ALTER TABLE jobs ADD COLUMN traceparent TEXT",
        "CREATE INDEX jobs_deadline ON jobs (deadline_at) WHERE deadline_at IS NOT NULL AND finished_at IS NULL",
        "ALTER TABLE units ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE workers ADD COLUMN warm TEXT NOT NULL DEFAULT '[]'",
        "CREATE TABLE totals (name TEXT NOT NULL, label TEXT NOT NULL, value REAL NOT NULL,"
        " PRIMARY KEY (name, label)) STRICT",
    ),
    5: (
        "DROP INDEX IF EXISTS facts_open",
        "ALTER TABLE facts RENAME TO inspections",
        "ALTER TABLE inspections RENAME COLUMN question TO request",
        "CREATE INDEX inspections_open ON inspections (asked_at) WHERE answer IS NULL AND error IS NULL",
        "CREATE TABLE rates (key TEXT PRIMARY KEY, images_per_s REAL NOT NULL, peak_bytes INTEGER NOT NULL,"
        " measured_at REAL NOT NULL) STRICT",
        "INSERT OR IGNORE INTO rates SELECT key, json_extract(answer, '$.images_per_s'),"
        " json_extract(answer, '$.peak_bytes'), asked_at FROM inspections WHERE kind = 'rate' AND answer IS NOT NULL",
        "DELETE FROM inspections WHERE kind = 'rate'",
        "ALTER TABLE workers RENAME COLUMN arithmetic TO environment",
        *_END_SPLITS_JOBS,
    ),
    6: (
        "ALTER TABLE jobs ADD COLUMN outcome TEXT",
        "CREATE TABLE run_steps (job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, position INTEGER NOT NULL,"
        " step TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'waiting', children TEXT NOT NULL DEFAULT '[]',"
        " reason TEXT, error TEXT, PRIMARY KEY (job, step)) STRICT",
        "CREATE INDEX jobs_open_runs ON jobs (seq) WHERE kind = 'run' AND finished_at IS NULL",
    ),
}
"""Schema number → the statements that lead to the next one."""
