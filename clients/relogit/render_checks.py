"""What a reader sees of a verification: figures, and checks with what failed first."""

from __future__ import annotations

from rich.console import Group
from rich.text import Text

from relogit.render import Record, count, number_of, percent, plain, table, verdict, word

FIGURES = {  # metric: heading in the table, word in sentences
    "accuracy": ("acc", "plain"),
    "balanced_accuracy": ("bal", "balanced"),
    "reweighted_accuracy": ("rew", "reweighted"),
    "head_accuracy": ("head", "head"),
    "tail_accuracy": ("tail", "tail"),
}
LEGEND = "n: samples. Accuracy in %: acc plain, bal balanced, rew reweighted, head, tail."
EVIDENCE_SHOWN = 5


def results(verification: Record) -> Group:
    """The figures of every result; with short headings the names keep their room in 80 columns."""
    made = table(["expert", "split"], ["n", *(heading for heading, _ in FIGURES.values())], ["verdict"])
    for result in verification["results"]:
        metrics = result["metrics"] or {}
        made.add_row(
            result["expert"],
            result["split"],
            count(metrics.get("samples")),
            *(percent(metrics.get(name)).removesuffix(" %") for name in FIGURES),
            word(result["verdict"]),
        )
    return Group(made, Text(LEGEND, style="dim"))


def reason_lines(verification: Record) -> list[Text]:
    """Why figures are missing from the table; each reason once, with all the figures that it keeps away."""
    missing: dict[str, dict[str, None]] = {}  # reason to its figures, in the server's order
    for result in verification["results"]:
        for name, reason in ((result["metrics"] or {}).get("reasons") or {}).items():
            missing.setdefault(reason, {})[FIGURES.get(name, (name, name))[1]] = None
    lines = []
    for reason, words in missing.items():
        *before, final = words
        figures = f"{', '.join(before)} and {final}" if before else final
        lines.append(Text(f"No {figures} figure: {reason}", style="dim"))
    return lines


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
        lines.append(
            Text(f"{number_of(len(passed), 'check')} passed: {', '.join(sorted(set(passed)))}.", style="green")
        )
    return lines


def verification_verdict(verification: Record) -> Text:
    """The verdict on the whole job, in a sentence."""
    job = f"Job {verification['job']}"
    if verification["verdict"] == "passed":
        return Text(f"{job} is verified: every result passed.", style="green")
    if verification["verdict"] == "failed":
        return Text(f"{job} failed its verification.", style="red")
    return Text(f"{job} is not verified: not all of its results are there.", style="yellow")


def end(job: Record, verification: Record) -> Text:
    """The last sentence on a job that was watched to its end.

    A job that succeeded may fail a check later: some look at the files as they lie there when asked.
    """
    if job["state"] == "succeeded" and verification["verdict"] != "passed":
        return verification_verdict(verification)
    return verdict(job)


def _checks(verification: Record, verdict: str) -> list[tuple[str, Record]]:
    """The checks of that verdict, those of the whole job first, each with the place it belongs to."""
    checks = [("", check) for check in verification["checks"]]
    for result in verification["results"]:
        checks += [(f"{result['expert']} / {result['split']}: ", check) for check in result["checks"]]
    return [item for item in checks if item[1]["verdict"] == verdict]


def _failed_check(where: str, check: Record) -> list[Text]:
    name, style = ("failed ", "bold red") if check["level"] == "error" else ("warning", "bold yellow")
    lines = [Text.assemble((f"{name}  {where}{check['id']}", style), f": {check['message']}")]
    if check["measured"] is not None or check["expected"] is not None:
        held = f"measured {plain(check['measured'])}; expected {plain(check['expected'])}"
        lines.append(Text(f"         {held}"))
    evidence = check["evidence"] or []
    lines += [Text(f"         - {plain(item)}") for item in evidence[:EVIDENCE_SHOWN]]
    if len(evidence) > EVIDENCE_SHOWN:
        lines.append(Text(f"         - and {len(evidence) - EVIDENCE_SHOWN} more; --json shows them all"))
    return lines
