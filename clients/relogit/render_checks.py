"""What a reader sees of a verification: figures, and checks with what failed first."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from relogit.render import Record, count, percent, plain, table, word

FIGURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced",
    "reweighted_accuracy": "reweighted",
    "head_accuracy": "head",
    "tail_accuracy": "tail",
}
EVIDENCE_SHOWN = 5


def results(verification: Record) -> Table:
    """The figures of every result; without a sign behind each number they fit into 80 columns."""
    made = table(["expert", "split"], ["samples", *FIGURES.values()], ["verdict"])
    made.caption, made.caption_justify = "Accuracies in %", "left"
    for result in verification["results"]:
        metrics = result["metrics"] or {}
        made.add_row(
            result["expert"],
            result["split"],
            count(metrics.get("samples")),
            *(percent(metrics.get(name)).removesuffix(" %") for name in FIGURES),
            word(result["verdict"]),
        )
    return made


def reason_lines(verification: Record) -> list[Text]:
    """Why a figure is missing from the table; each reason once."""
    reasons: dict[str, None] = {}
    for result in verification["results"]:
        for name, reason in ((result["metrics"] or {}).get("reasons") or {}).items():
            reasons[f"No {FIGURES.get(name, name)} figure: {reason}"] = None
    return [Text(reason, style="dim") for reason in reasons]


def failed_check_lines(verification: Record) -> list[Text]:
    """The checks that failed, errors before warnings, with what was measured and the evidence."""
    failed = _checks(verification, "failed")
    failed.sort(key=lambda item: item[1]["level"] != "error")
    return [line for where, check in failed for line in _failed_check(where, check)]


def check_lines(verification: Record) -> list[Text]:
    """All checks: what failed first, then the skipped ones; those that passed in one sentence."""
    lines = failed_check_lines(verification)
    for where, check in _checks(verification, "skipped"):
        lines.append(Text(f"skipped  {where}{check['id']}: {check['message']}", "yellow"))
    passed = [check["id"] for _, check in _checks(verification, "passed")]
    if passed:
        lines.append(Text(f"{len(passed)} checks passed: {', '.join(sorted(set(passed)))}.", style="green"))
    return lines


def verification_verdict(verification: Record) -> Text:
    """The verdict on the whole job, in a sentence."""
    job = f"Job {verification['job']}"
    if verification["verdict"] == "passed":
        return Text(f"{job} is verified: every result passed.", style="green")
    if verification["verdict"] == "failed":
        return Text(f"{job} failed its verification.", style="red")
    return Text(f"{job} is not verified: not all of its results are there.", style="yellow")


def _checks(verification: Record, verdict: str) -> list[tuple[str, Record]]:
    """The checks of that verdict, those of the whole job first, each with the place it belongs to."""
    checks = [("", check) for check in verification["checks"]]
    for result in verification["results"]:
        checks += [(f"{result['expert']} / {result['split']}: ", check) for check in result["checks"]]
    return [item for item in checks if item[1]["verdict"] == verdict]


def _failed_check(where: str, check: Record) -> list[Text]:
    name, style = ("failed ", "bold red") if check["level"] == "error" else ("warning", "bold yellow")
    lines = [Text.assemble((f"{name}  {where}{check['id']}", style), f": {check['message']}")]
    held = f"measured {plain(check['measured'])}, expected {plain(check['expected'])}"
    lines.append(Text(f"         {held}"))
    evidence = check["evidence"] or []
    lines += [Text(f"         - {plain(item)}") for item in evidence[:EVIDENCE_SHOWN]]
    if len(evidence) > EVIDENCE_SHOWN:
        lines.append(Text(f"         - and {len(evidence) - EVIDENCE_SHOWN} more; --json shows them all"))
    return lines
