"""What tests of runs share: an installation whose worker does all that is queued, without computing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

from app.api.dependencies import Services
from app.domain.combine_requests import EvaluationRequest, GatingRequest, InputList, RejectorRequest
from app.domain.combining import Rules
from app.domain.evaluations import Evaluation
from app.domain.jobs import Artifact, Claim, Job, JobOptions
from app.domain.outcomes import EvaluationOutcome, GatingOutcome, Outcome, RejectorOutcome, RoleRows
from app.domain.requests import RecomputeRequest
from app.domain.run_requests import RunStep
from app.files.artifacts import artifact_path
from app.workflows.bodies import RunBody
from app.workflows.planning import plan_run
from app.workflows.runner import Workflow
from tests.fakes import DONE, PASSED, REPORT, Home, artifact

STEPS = ("splits", "recompute", "verify", "gating", "rejector", "evaluation")


@dataclass(frozen=True)
class RunWorld:
    """The services over the data set `digits`, with lists that share no sample."""

    home: Home
    services: Services

    @classmethod
    def make(cls, home: Home, services: Services) -> RunWorld:
        for name, indices in (("val", [0, 1]), ("tunev", [2]), ("test", [5, 3, 3, 4])):
            home.write_split(name, indices)
        return cls(home, services)

    @property
    def workflow(self) -> Workflow:
        """A new one each time, as after a restart: all state is in the store."""
        return Workflow(self.services.workflows)

    def submit(self, deadline_s: float | None = None, **body: Any) -> str:
        """Record a run; return its id."""
        request = plan_run(RunBody(dataset="digits", **body), self.services.catalog, self.services.inspections)
        return self.services.jobs.submit(request, terms=JobOptions(deadline_s)).id

    def run(self, **body: Any) -> Job:
        """A run that has ended, with a worker that does everything well."""
        return self.finish(self.submit(**body))

    def finish(self, run_id: str) -> Job:
        """Advance a run to its end."""
        for _ in range(2 * len(STEPS)):
            self.workflow.advance_all()
            self.work()
            if self.get(run_id).state.ended:
                return self.get(run_id)
        raise AssertionError(f"it has not ended: {self.steps(run_id)}")

    def get(self, run_id: str) -> Job:
        return self.services.jobs.get(run_id)

    def steps(self, run_id: str) -> dict[str, RunStep]:
        return {step.step: step for step in self.get(run_id).steps}

    def states(self, run_id: str) -> list[str]:
        return [step.state for step in self.get(run_id).steps]

    def kinds(self) -> list[str]:
        """Of all jobs but runs, the oldest first."""
        jobs = self.services.jobs.jobs(limit=1000)
        return [job.request.kind for job in reversed(jobs) if job.request.kind != "run"]

    def work(self) -> None:
        """Do all that is queued, well."""
        jobs = self.services.jobs
        while (claim := jobs.claim("w")) is not None:
            for unit in claim.open_units:
                jobs.start_unit(claim, unit.split)
                written = self._write(claim, unit.split)
                jobs.finish_unit(claim, unit.split, written, REPORT, DONE, is_there=lambda: True)
            outcome = _outcome(claim)
            if outcome is not None:
                jobs.record_outcome(claim, outcome)
            if claim.task in ("recompute", "gating", "gating_net"):
                jobs.end_task(claim)
            else:
                jobs.finish_job(claim, PASSED)

    def _write(self, claim: Claim, split: str) -> Artifact:
        """Write a unit's file, which depends on what it is made of."""
        request = claim.job.request
        made_of: object = claim.expert
        if isinstance(request, RecomputeRequest):
            name = f"{request.checkpoint_prefix}{claim.expert}"
            files = [path for path in self.home.experts.iterdir() if path.stem == name]
            made_of = [files[0].read_text(), claim.expert]
        elif isinstance(request, GatingRequest):
            made_of = request.identity
        unit = claim.job.unit(claim.expert, split)
        assert unit is not None
        content = json.dumps([made_of, split, unit.split_sha256]).encode()
        sha256 = hashlib.sha256(content).hexdigest()
        settings = self.services.settings
        stored = artifact_path(settings.objects_dir, sha256)
        shown = settings.outputs_dir / claim.job.units_request.output_dir / claim.expert / f"{split}_logits.npz"
        for path in (stored, shown):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        manifest = {"job": claim.job.id, "file": {"sha256": sha256}}
        shown.with_suffix(".json").write_text(json.dumps(manifest))
        return replace(artifact(sha256), size=len(content))


def _outcome(claim: Claim) -> Outcome | None:
    request = claim.job.request
    if isinstance(request, GatingRequest) and claim.task != "verify_gating":
        rows = RoleRows(request.lists[0], 1.0)
        groups = {"all": (0, 1, 2)}
        fitted: tuple[Any, ...] = (request.prior, 42, rows, rows, (), {}, {})
        return GatingOutcome("uniform", "named", (), request.experts, groups, (1, 1, 1), *fitted)
    if isinstance(request, RejectorRequest):
        rules = Rules(request.score, request.objective, 0.0, ())
        return RejectorOutcome("uniform", rules, ("all",), 3, 3.0, "", {})
    if isinstance(request, EvaluationRequest):
        evaluation = Evaluation((), (), ("all",), "uniform", 0, 0.95, 0, 4, 4.0)
        return EvaluationOutcome(evaluation, RoleRows(InputList(request.test, "test", "", 4), 4.0), "listed", (), {})
    return None
