"""Checks and reports: what verification says of one file, of one result, and of a job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

MAX_EVIDENCE = 10
"""Pieces of evidence that a check gives: enough to see a pattern, few enough to read."""

Level = Literal["error", "warning"]
CheckVerdict = Literal["passed", "failed", "skipped"]
Verdict = Literal["passed", "failed"]
ReportVerdict = Literal["passed", "failed", "skipped", "pending"]
"""`pending` while the work goes on; `skipped` where it ended unverified."""

Metric = float | Sequence[float | None] | None
StoredError = Mapping[str, Any]
"""An error as it is stored: `code`, `message`, `details`."""


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one check. All values are JSON-able, without NaN or infinity."""

    __pydantic_config__ = {"use_attribute_docstrings": True}  # noqa: RUF012 — the API documents the fields with them

    id: str
    """Kebab-case name, stable between versions."""
    level: Level
    """Whether a failure fails the result (`error`) or is only reported (`warning`)."""
    verdict: CheckVerdict
    """`skipped` where the check could not be done; the message gives the reason."""
    measured: Any
    """None when skipped."""
    expected: Any
    """What the measurement was compared with; None when skipped."""
    message: str
    """One sentence."""
    evidence: tuple[Any, ...] = ()
    """The first offending rows or classes, at most MAX_EVIDENCE; an audit lists all repeats and overlaps."""

    @property
    def fatal(self) -> bool:
        """Whether it fails what was checked."""
        return self.level == "error" and self.verdict == "failed"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Check:
        """Rebuild the check that `to_dict` wrote."""
        data = {"measured": None, "expected": None, **data, "evidence": tuple(data.get("evidence", ()))}
        return cls(**{item.name: data[item.name] for item in fields(cls)})

    def to_dict(self) -> dict[str, Any]:
        """Return the check as stored and sent."""
        # `asdict` would copy every value, and each unit of a job has some fifteen checks.
        return {item.name: getattr(self, item.name) for item in fields(self)} | {"evidence": list(self.evidence)}


def skipped(check_id: str, level: Level, reason: str) -> Check:
    """Build a check that was skipped, with the reason."""
    return Check(check_id, level, "skipped", None, None, reason)


def error_check(
    check_id: str, good: bool, measured: Any, expected: Any, message: str, evidence: Iterable[Any] = ()
) -> Check:
    """Build a check of level `error` that was done."""
    verdict: CheckVerdict = "passed" if good else "failed"
    return Check(check_id, "error", verdict, measured, expected, message, tuple(evidence))


def warning_check(
    check_id: str, good: bool, measured: Any, expected: Any, message: str, evidence: Iterable[Any] = ()
) -> Check:
    """Build a check of level `warning` that was done."""
    return replace(error_check(check_id, good, measured, expected, message, evidence), level="warning")


def verdict_of(checks: Iterable[Check], *, complete: bool = True) -> Verdict:
    """Decide a verdict: `failed` by an error or unless `complete`.

    Skipped checks and warnings fail nothing.
    """
    return "passed" if complete and not any(check.fatal for check in checks) else "failed"


@dataclass(frozen=True, slots=True)
class Metrics:
    """The metrics of one result; docs/metrics.md defines them."""

    values: Mapping[str, Metric]
    """By name; fractions of 1 unless the name says otherwise. `samples` and `classes` are counts."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why a value is None, by name."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Metrics:
        """Rebuild the metrics that `to_dict` wrote."""
        values = {name: value for name, value in data.items() if name != "reasons"}
        return cls(values, data.get("reasons", {}))

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics as stored and sent.

        The reasons stand among the values; without values there is nothing.
        """
        return {**self.values, "reasons": self.reasons} if self.values else {}

    def number(self, name: str) -> float | None:
        """Return a metric that is one number, if known."""
        value = self.values.get(name)
        return value if isinstance(value, int | float) else None

    def numbers(self, name: str) -> Sequence[float | None] | None:
        """Return a metric with one number per class, if known."""
        value = self.values.get(name)
        return None if value is None or isinstance(value, int | float) else value


NO_METRICS = Metrics({})
"""Of a result that was not verified."""


@dataclass(frozen=True, slots=True)
class ResultReport:
    """What the checks of one file of logits gave."""

    verdict: ReportVerdict
    checks: tuple[Check, ...]
    """In a fixed order, done or skipped."""
    metrics: Metrics = NO_METRICS

    @classmethod
    def of(cls, checks: Iterable[Check], metrics: Metrics) -> ResultReport:
        """Build the report of a file from its checks."""
        checks = tuple(checks)
        return cls(verdict_of(checks), checks, metrics)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ResultReport:
        """Rebuild the report that `to_dict` wrote."""
        return cls(data["verdict"], _checks(data), Metrics.from_dict(data.get("metrics") or {}))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as stored and sent."""
        checks = [check.to_dict() for check in self.checks]
        return {"verdict": self.verdict, "checks": checks, "metrics": self.metrics.to_dict()}


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """A file as it was when it was verified."""

    __pydantic_config__ = {"use_attribute_docstrings": True}  # noqa: RUF012 — the API documents the fields with them

    name: str
    """Below the folder that is verified."""
    sha256: str
    """Lower-case hex."""
    bytes: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where a result of a verification comes from: its files, and the split that they are of."""

    file: VerifiedFile | None = None
    """None where it could not be read."""
    targets_file: VerifiedFile | None = None
    """The file of its targets, where that is one of its own."""
    base: str | None = None
    """What the split points into; None where the split could not be read."""
    split_sha256: str | None = None
    """Of the split's index file; None where it could not be read."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Source:
        """Rebuild the source that `to_dict` wrote.

        Older versions wrote no `targets_file`.
        """
        file, targets = (VerifiedFile(**data[name]) if data.get(name) else None for name in ("file", "targets_file"))
        return cls(file, targets, data.get("base"), data.get("split_sha256"))

    def to_dict(self) -> dict[str, Any]:
        """Return the source as stored and sent.

        Base and sha256 are left out where the split could not be read.
        """
        return {k: v for k, v in asdict(self).items() if v is not None or k in ("file", "targets_file")}


@dataclass(frozen=True, slots=True)
class Result:
    """One (expert, split) of a job, with its report."""

    expert: str
    split: str
    report: ResultReport
    error: StoredError | None = None
    """Why it could not be computed or verified."""
    source: Source | None = None
    """None for a unit of a job that recomputes, whose artifact is on record."""

    @property
    def place(self) -> tuple[str, str]:
        """Expert and split."""
        return self.expert, self.split

    @property
    def verdict(self) -> ReportVerdict:
        """The report's verdict."""
        return self.report.verdict

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Result:
        """Rebuild the result that `to_dict` wrote."""
        source = Source.from_dict(data) if "file" in data else None
        return cls(data["expert"], data["split"], ResultReport.from_dict(data), data.get("error"), source)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as stored and sent: one flat object."""
        place = {"expert": self.expert, "split": self.split, "error": self.error}
        return place | ({} if self.source is None else self.source.to_dict()) | self.report.to_dict()


@dataclass(frozen=True, slots=True)
class JobReport:
    """What was checked of a job as a whole, with its verdict."""

    verdict: ReportVerdict
    checks: tuple[Check, ...] = ()
    """Those that no result can show alone."""
    results: tuple[Result, ...] | None = None
    """None where the results are the job's units."""
    error: StoredError | None = None
    """Why the job could not be verified."""
    splits: Mapping[str, Any] | None = None
    """The set that the job created, as its `splits.json` says."""

    @classmethod
    def failed(cls, error: StoredError) -> JobReport:
        """Build the report of a job that could not be verified."""
        return cls("failed", error=error)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> JobReport:
        """Rebuild the report that `to_dict` wrote."""
        results = None if data.get("results") is None else tuple(Result.from_dict(item) for item in data["results"])
        return cls(data["verdict"], _checks(data), results, data.get("error"), data.get("splits"))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as stored, without fields of None."""
        results = None if self.results is None else [result.to_dict() for result in self.results]
        more = {"error": self.error, "splits": self.splits, "results": results}
        checks = [check.to_dict() for check in self.checks]
        return {"verdict": self.verdict, "checks": checks} | {k: v for k, v in more.items() if v is not None}


def _checks(data: Mapping[str, Any]) -> tuple[Check, ...]:
    return tuple(Check.from_dict(check) for check in data["checks"])
