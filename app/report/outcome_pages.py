"""The pages of rejectors and evaluations, as values with all that the templates show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from markupsafe import Markup

from app.domain.checks import JobReport, ReportVerdict
from app.domain.combine_requests import EvaluationRequest, RejectorRequest
from app.domain.jobs import Job, JobState
from app.domain.outcomes import EvaluationOutcome, RejectorOutcome
from app.report.caveats import Caveat, evaluation_caveats, fitted_rule_caveats
from app.report.comparisons import CRITERIA, comparison, comparisons
from app.report.figures import Figure
from app.report.findings import Finding, failures, passed, skipped
from app.report.fitted_rules import RuleSection, rule_section
from app.report.method_charts import acceptance_charts, error_charts, gap_chart, reliability_charts
from app.report.method_tables import (
    MethodRow,
    ThresholdTable,
    WeightRow,
    compared_figures,
    difference_rows,
    figure_rows,
    figures_of,
    paper_table,
    threshold_headings,
    threshold_tables,
    weight_rows,
)
from app.report.paper_tables import Table
from app.report.pictures import sample
from app.report.shown_methods import ShownMethod, shown_methods
from app.report.words import PRIORS, count, effective, listing, percent, time_fact

Content = TypeVar("Content")

REFERENCE_MEANING = "{}: the mean of the first combination's experts, scored by its largest probability"


@dataclass(frozen=True, slots=True)
class OutcomePage(Generic[Content]):
    """A page of a job without units."""

    title: str
    verdict: ReportVerdict
    headline: str
    sentence: str
    facts: Sequence[tuple[str, str]]
    failures: Sequence[Finding]
    skipped: Sequence[Finding]
    passed: tuple[int, Sequence[str]]
    content: Content | None
    """None before there is an outcome."""


@dataclass(frozen=True, slots=True)
class RejectorContent:
    """What the page shows of a fitted rejector."""

    rules: RuleSection
    caveats: Sequence[Caveat]


@dataclass(frozen=True, slots=True)
class EvaluationContent:
    """What the page shows of an evaluation."""

    comparisons: Sequence[str]
    reference: str
    level: str
    """Of all intervals."""
    figures: Sequence[Figure]
    methods: Sequence[MethodRow]
    compared: Sequence[Figure]
    differences: Sequence[MethodRow]
    main: Sequence[tuple[Markup, str]]
    """Swatch and name of each method that the charts show in colour."""
    experts: Sequence[tuple[Markup, str]]
    """Swatch and name of each expert alone."""
    rules: Sequence[tuple[Markup, str]]
    """Swatch and name of each method in the charts of acceptance."""
    banded: str
    """The methods with bands."""
    same: str
    """Main methods with equal lines; empty where there are none."""
    left_out: str
    """The methods that no chart shows; empty where there are none."""
    errors: Sequence[Markup]
    gap: Markup
    gap_name: str
    acceptance: Sequence[Markup]
    reliability: Sequence[tuple[str, Markup]]
    """Combination or expert, and its chart."""
    weights: Sequence[WeightRow]
    threshold_headings: Sequence[str]
    thresholds: Sequence[ThresholdTable]
    caveats: Sequence[Caveat]
    files: Sequence[tuple[str, str]]
    """Written file and sha256."""
    inputs: Sequence[tuple[str, str]]
    """Expert and split of each file of logits, and sha256."""
    papers: Sequence[Table]
    """The tables of methods and differences, for papers."""


def rejector_page(job: Job, report: JobReport) -> OutcomePage[RejectorContent]:
    """Build the page of a rejector in any state."""
    request, outcome = job.request, job.outcome
    assert isinstance(request, RejectorRequest)
    facts = [("Data set", request.dataset), ("Rejector", request.name), ("Combination", f"gating {request.gating}")]
    facts.append(("Score", f"{request.score}, {request.objective}" if request.score == "group" else request.score))
    if not isinstance(outcome, RejectorOutcome):
        return outcome_page(job, report, "Fitted", request.name, "", facts, None)
    facts += [
        ("Method", outcome.method),
        ("Fitted on", effective(outcome.rows, outcome.effective_rows)),
        ("Versions", versions_text(outcome.versions)),
    ]
    coverages = [rule.coverage for rule in outcome.rules.rules]
    sentence = (
        f"A rule for each of {len(coverages)} target coverages, {coverages[0]:g} to {coverages[-1]:g}, over the "
        f"combination {outcome.method}; the score is {outcome.rules.score}."
    )
    content = RejectorContent(
        rule_section(outcome.rules, outcome.group_names), fitted_rule_caveats(outcome.rules.score)
    )
    return outcome_page(job, report, "Fitted", request.name, sentence, facts, content)


def evaluation_page(job: Job, report: JobReport) -> OutcomePage[EvaluationContent]:
    """Build the page of an evaluation in any state."""
    request, outcome = job.request, job.outcome
    assert isinstance(request, EvaluationRequest)
    facts = [("Data set", request.dataset), ("Test list", request.test), ("Combinations", ", ".join(request.gatings))]
    if request.rejectors:
        facts.append(("Rejectors", ", ".join(request.rejectors)))
    if not isinstance(outcome, EvaluationOutcome):
        return outcome_page(job, report, "Evaluated", request.name, "", facts, None)
    evaluation = outcome.evaluation
    facts += [
        ("Test rows", effective(evaluation.rows, evaluation.effective_rows)),
        ("Prior", PRIORS[outcome.prior]),
        ("Reference", REFERENCE_MEANING.format(evaluation.reference)),
        ("Versions", versions_text(outcome.versions)),
    ]
    by_name = {criterion.figure.name: criterion for criterion in CRITERIA}
    best = comparison(evaluation, by_name["balanced_aurc_grid"])
    sentence = f"{len(evaluation.methods)} methods on the rows of {outcome.test.list.split}. {best or ''}".rstrip()
    return outcome_page(job, report, "Evaluated", request.name, sentence, facts, evaluation_content(outcome))


def evaluation_content(outcome: EvaluationOutcome) -> EvaluationContent:
    """Build tables, charts and sentences of an evaluation."""
    evaluation = outcome.evaluation
    experts = list(dict.fromkeys(file.expert for file in outcome.inputs))
    shown = shown_methods(evaluation, experts)
    return EvaluationContent(
        comparisons=comparisons(evaluation),
        reference=evaluation.reference,
        level=percent(evaluation.level),
        figures=figures_of(evaluation),
        methods=figure_rows(evaluation),
        compared=compared_figures(evaluation),
        differences=difference_rows(evaluation),
        main=_key(shown.main),
        experts=_key(shown.experts),
        rules=_key(shown.rules),
        banded=listing([method.name for method in shown.main if method.band]),
        same=listing([f"{name} as {earlier}" for name, earlier in shown.same]),
        left_out=listing(shown.left_out),
        errors=error_charts(evaluation, shown),
        gap=gap_chart(evaluation, shown),
        gap_name=f"the error of {evaluation.group_names[-1]} minus that of {evaluation.group_names[0]}",
        acceptance=acceptance_charts(evaluation, shown),
        reliability=reliability_charts(evaluation),
        weights=weight_rows(evaluation, experts),
        threshold_headings=threshold_headings(evaluation),
        thresholds=threshold_tables(evaluation),
        caveats=evaluation_caveats(evaluation, outcome.prior),
        files=list(outcome.files.items()),
        inputs=[(f"{file.expert} / {file.split}", file.sha256) for file in outcome.inputs],
        papers=_papers(outcome),
    )


def _papers(outcome: EvaluationOutcome) -> list[Table]:
    evaluation = outcome.evaluation
    level, on = percent(evaluation.level), f"{count(evaluation.rows, 'row')} of {outcome.test.list.split}"
    compared = f"Differences from {evaluation.reference} on {on}"
    return [
        paper_table(
            f"Methods on {on}", figures_of(evaluation), figure_rows(evaluation), f"In brackets: {level} intervals."
        ),
        paper_table(
            compared,
            compared_figures(evaluation),
            difference_rows(evaluation),
            f"Paired, on the same resamples; in brackets: {level} intervals.",
        ),
    ]


def outcome_page(
    job: Job,
    report: JobReport,
    done: str,
    name: str,
    sentence: str,
    facts: Sequence[tuple[str, str]],
    content: Content | None,
) -> OutcomePage[Content]:
    """Build the page of a job without units, in any state.

    `done` is the headline of one that succeeded, and `sentence` stands below it.
    """
    if job.error is not None and report.error is None:
        report = replace(report, error=job.error)
    headline, state = _headline(job, report, done)
    findings = [replace(finding, where="") for finding in failures(report, {})]
    return OutcomePage(
        title=f"{headline}: {job.request.dataset}, {name}",
        verdict=report.verdict if job.state.ended else "pending",
        headline=headline,
        sentence=state or sentence,
        facts=[*facts, ("Job", job.id), time_fact(job)],
        failures=findings,
        skipped=[replace(finding, where="") for finding in skipped(report)],
        passed=passed(report),
        content=content if job.state.ended else None,
    )


def _headline(job: Job, report: JobReport, done: str) -> tuple[str, str | None]:
    """Return the headline, and a sentence where there is nothing else to say."""
    if not job.state.ended:
        return "Not finished", f"The job is {job.state}. This page looks again by itself."
    if job.state is JobState.CANCELLED:
        return "Cancelled", "The job was cancelled before it had a result."
    if job.state is JobState.FAILED or report.verdict == "failed":
        return "Failed", "The job failed; there is no result to use."
    return done, None


def _key(methods: Sequence[ShownMethod]) -> list[tuple[Markup, str]]:
    return [(sample(method.style), method.name) for method in methods]


def versions_text(versions: Mapping[str, str]) -> str:
    """Write names and versions of libraries."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())
