"""Fault points: labelled places at which `make chaos` kills a process, to prove that nothing is lost there.

To reach one is an audit event (PEP 578) that nobody listens to: it costs a fifth of a microsecond, and does nothing.
Only the tests' own build listens, with an audit hook (`tests/chaos/armed`).
"""

from __future__ import annotations

import sys

EVENT = "relogit.fault"

LABELS = (
    # What a worker does with its time; facts: the job, the kind of task, the expert.
    "task.claimed",
    "task.left",  # recorded, handed back, or found to be lost
    # Rows; facts: their key and their indices, for `rows.computed` also whether kept rows are taken.
    "rows.sought",  # not looked for among the kept ones yet
    "rows.computed",  # a physical batch, not kept yet
    "rows.kept",
    # A unit's file.
    "artifact.drafted",
    "artifact.verifying",  # written and read back; facts: the job, the expert, the split
    "publish.whole",  # all three files are written, none has its name
    "publish.own",  # the job's own has
    "publish.shown",  # and the copy under outputs, with an older manifest beside it, or none
    "publish.done",
    # A job's verdict, not recorded yet.
    "verify.verdict",
    "check.file",
    "check.verdict",
    "gating.fitted",  # recorded, but not applied to any split yet
    "set.whole",  # a folder of splits is written, but has no name yet
    "set.aside",  # the older set has given up its name
    "set.shown",
    # The store, in whichever process.
    "commit.before",
    "commit.after",
    # The API.
    "submit.recorded",  # not answered yet
    "step.taken",  # of a run: looked into, but neither recorded nor submitted yet
    "step.submitted",  # recorded, with the jobs that carry it out
    "upload.piece",
    "delete.forgotten",  # a job is gone, and so is one of its files
    "delete.recorded",  # its files too; not answered yet
    "download.piece",
)
"""Every fault point there is. Facts, where there are any, are for whoever listens."""


def reach(label: str, *facts: object) -> None:
    """Mark the place of a label."""
    sys.audit(EVENT, label, *facts)
