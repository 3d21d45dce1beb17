"""Views of a verification: the figures, and the checks with errors first."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Sequence

from rich.console import Group
from rich.text import Text

from relogit.render.jobs import job_verdict
from relogit.render.tables import Record, coloured, count, new_table, number_of, percent, plain, problem_lines

FIGURES = {  # metric: heading in the table
    "accuracy": "acc",
    "balanced_accuracy": "bal",
    "reweighted_accuracy": "rew",
    "head_accuracy": "head",
    "tail_accuracy": "tail",
}
LEGEND = "n: samples. Accuracy in %: acc plain, bal balanced, rew reweighted, head, tail."
ACCURACIES = {  # metric: word in sentences and in the table of all figures
    "accuracy": "plain",
    "top5_accuracy": "top-5",
    "balanced_accuracy": "balanced",
    "reweighted_accuracy": "reweighted",
    "legacy_balanced_accuracy": "legacy",
    "head_accuracy": "head",
    "tail_accuracy": "tail",
    "many_accuracy": "many",
    "medium_accuracy": "medium",
    "few_accuracy": "few",
    "worst_group_accuracy": "worst group",
}
PROBABILITIES = {
    "nll": "NLL",
    "brier": "Brier",
    "ece": "ECE",
    "ece_equal_mass": "ECE eq. mass",
    "aurc": "AURC",
    "e_aurc": "E-AURC",
    "augrc": "AUGRC",
}
PROVENANCE = "provenance"  # the check that tells what the other checks cannot detect
EVIDENCE_SHOWN = 5
INDENT = " " * 9

Place = tuple[str, str] | None
"""Expert and split of a result; None for checks across results."""


def results_table(verification: Record) -> Group:
    """Show the figures of every result.

    The headings are short, so that 80 columns have room for the names.
    """
    rows = (
        {
            "expert": result["expert"],
            "split": result["split"],
            "n": count((result["metrics"] or {}).get("samples")),
            **{
                heading: percent((result["metrics"] or {}).get(name)).removesuffix(" %")
                for name, heading in FIGURES.items()
            },
            "verdict": coloured(result["verdict"]),
        }
        for result in verification["results"]
    )
    table = new_table(rows, ["n", *FIGURES.values()])
    return Group(table, Text(LEGEND, style="dim"))


def reason_lines(verification: Record) -> list[Text]:
    """Explain missing figures, grouped by reason."""
    missing: dict[str, dict[str, None]] = {}  # reason: names of figures, in the server's order
    without_figures: dict[str, list[Place]] = {}  # reason: results that have no figure at all
    for result in verification["results"]:
        reasons = (result["metrics"] or {}).get("reasons") or {}
        if FIGURES.keys() <= reasons.keys() and len(set(reasons.values())) == 1:
            without_figures.setdefault(reasons["accuracy"], []).append(_place(result))
            continue
        for name, reason in reasons.items():
            missing.setdefault(reason, {})[(ACCURACIES | PROBABILITIES).get(name, name.replace("_", " "))] = None
    lines = [f"No figures for {places_in_words(p, verification)}: {reason}" for reason, p in without_figures.items()]
    for reason, names in missing.items():
        *before, final = names
        figures = f"{', '.join(before)} and {final}" if before else final
        lines.append(f"No {figures} figure: {reason}")
    return [Text(line, style="dim") for line in lines]


def failed_check_lines(verification: Record, causes: Sequence[Text] = ()) -> list[Text]:
    """Show failed checks: errors, their causes, then warnings.

    Each has its measurements and evidence. Equal failures of several results are one entry that names the results.
    """
    errors: list[Text] = []
    warnings: list[Text] = []
    for group in _failed_groups(verification):
        lines = errors if group[0][1]["level"] == "error" else warnings
        lines += _failed_check(group, verification)
    return [*errors, *causes, *warnings]


def other_check_lines(verification: Record) -> list[Text]:
    """Show skipped checks by reason, then the passed ones."""
    skipped: dict[Place, dict[str, list[str]]] = {}
    for place, check in _checks(verification, "skipped"):
        if check["id"] != PROVENANCE:  # `provenance_lines` shows it, at the end
            skipped.setdefault(place, {}).setdefault(check["message"], []).append(check["id"])
    places_by_reason: dict[tuple[str, ...], list[Place]] = {}
    for place, reasons in skipped.items():
        for reason, ids in reasons.items():
            places_by_reason.setdefault((reason, *ids), []).append(place)
    lines = [
        Text(f"skipped  {_prefix(places, verification)}{', '.join(ids)}: {reason}", "yellow")
        for (reason, *ids), places in places_by_reason.items()
    ]
    passed = [check["id"] for _, check in _checks(verification, "passed")]
    if passed:
        names = ", ".join(sorted(set(passed)))
        lines.append(Text(f"{number_of(len(passed), 'check')} passed: {names}.", style="green"))
    return lines


def provenance_lines(verification: Record) -> list[Text]:
    """Tell which errors in files all checks may miss."""
    skipped = _checks(verification, "skipped")
    return [Text(check["message"], style="yellow") for _, check in skipped if check["id"] == PROVENANCE]


def audit_lines(audit: Record) -> list[Text]:
    """Show an audit's failed checks first, its verdict last."""
    results = [{"expert": "list", "split": name, "checks": checks} for name, checks in audit["lists"].items()]
    verification = {"checks": audit["checks"], "results": results}
    unread = [name for name, checks in audit["lists"].items() if checks[0]["verdict"] == "skipped"]
    name = audit["name"]
    if audit["verdict"] != "passed":
        verdict = Text(f"A job would refuse lists of {name!r}.", style="red")
    elif unread:
        usable = f"A job can use the lists of {name!r} except {', '.join(unread)}; warnings fail nothing."
        verdict = Text(usable, style="yellow")
    else:
        verdict = Text(f"A job can use every list of {name!r}; warnings fail nothing.", style="green")
    return [*failed_check_lines(verification), *other_check_lines(verification), verdict]


def result_error_lines(verification: Record) -> list[Text]:
    """Show why results could not be verified."""
    return [
        line
        for result in verification["results"]
        if result["error"]
        for line in problem_lines(result["error"], where=f"{result['expert']} / {result['split']}: ")
    ]


def chance_results(verification: Record) -> set[Place]:
    """Find the results whose accuracy is no better than chance."""
    failed = _checks(verification, "failed")
    return {place for place, check in failed if check["id"] == "accuracy" and check["level"] == "error"}


def verification_verdict(verification: Record) -> Text:
    """Tell a whole job's verdict in a sentence."""
    job = f"Job {verification['job']}"
    if verification["verdict"] == "passed":
        return Text(f"{job} is verified: every result passed.", style="green")
    if verification["verdict"] == "failed":
        return Text(f"{job} failed its verification.", style="red")
    return Text(f"{job} is not verified: not all of its results are there.", style="yellow")


def files_verdict(verification: Record) -> Text:
    """Tell a file verification's verdict in a sentence."""
    name = f"Verification {verification['id']}"
    state = verification["state"]
    total = number_of(len(verification["results"]), "result")
    failed = sum(result["verdict"] != "passed" for result in verification["results"])
    if state == "succeeded" and verification["verdict"] == "passed":
        warnings = sum(group[0][1]["level"] == "warning" for group in _failed_groups(verification))
        with_warnings = f", with {number_of(warnings, 'warning')}" if warnings else ""
        verified = f"{len(verification['results'])} of {total} verified"
        return Text(f"{name} passed: {verified}{with_warnings}.", "green")
    if state == "succeeded" and failed:
        return Text(f"{name} failed: do not use {failed} of {total}.", style="red")
    if state == "succeeded":
        return Text(f"{name} failed: the results do not go together.", style="red")
    if state == "failed":
        return Text(f"{name} could not be carried out, so nothing is verified.", style="red")
    return Text(f"{name} is {state}; nothing is verified.", style="yellow")


def end_verdict(job: Record, verification: Record) -> Text:
    """Tell the outcome of a job watched to its end."""
    # A job that succeeded may fail a check later, because some checks read the files as they are now.
    changed = job["state"] == "succeeded" and verification["verdict"] != "passed"
    return verification_verdict(verification) if changed else job_verdict(job)


def places_in_words(places: Sequence[Place], verification: Record) -> str:
    """Name results: `all 3 experts / val, test; ce / tunev`.

    Checks across results have no place, so the name is empty.
    """
    all_places = {_place(result) for result in verification["results"]}
    if len(all_places) > 1 and all_places == set(places):
        return f"all {len(all_places)} results"
    experts_by_split: dict[str, dict[str, None]] = {}
    for place in places:
        if place is not None:
            experts_by_split.setdefault(place[1], {})[place[0]] = None
    splits_by_experts: dict[tuple[str, ...], list[str]] = {}
    for split, experts in experts_by_split.items():
        splits_by_experts.setdefault(tuple(experts), []).append(split)
    all_experts = {result["expert"] for result in verification["results"]}
    return "; ".join(
        f"{_experts_in_words(experts, all_experts)} / {', '.join(splits)}"
        for experts, splits in splits_by_experts.items()
    )


def _experts_in_words(experts: Sequence[str], all_experts: set[str]) -> str:
    return f"all {len(experts)} experts" if len(experts) > 1 and all_experts == set(experts) else ", ".join(experts)


def _prefix(places: Sequence[Place], verification: Record) -> str:
    words = places_in_words(places, verification)
    return f"{words}: " if words else ""


def _place(result: Record) -> Place:
    return result["expert"], result["split"]


def _checks(verification: Record, verdict: str) -> list[tuple[Place, Record]]:
    """List the checks with that verdict, those across results first."""
    checks: list[tuple[Place, Record]] = [(None, check) for check in verification["checks"]]
    for result in verification["results"]:
        checks += [(_place(result), check) for check in result["checks"]]
    return [(place, check) for place, check in checks if check["verdict"] == verdict]


def _failed_groups(verification: Record) -> list[list[tuple[Place, Record]]]:
    """Group failed checks that share a message across results."""
    failed = _checks(verification, "failed")
    return _grouped(failed, lambda place, check: (place is None, check["id"], check["level"], check["message"]))


def _grouped(
    checks: Iterable[tuple[Place, Record]], key: Callable[[Place, Record], Hashable]
) -> list[list[tuple[Place, Record]]]:
    groups: dict[Hashable, list[tuple[Place, Record]]] = {}
    for place, check in checks:
        groups.setdefault(key(place, check), []).append((place, check))
    return list(groups.values())


def _failed_check(group: list[tuple[Place, Record]], verification: Record) -> list[Text]:
    check = group[0][1]
    name, style = ("failed ", "bold red") if check["level"] == "error" else ("warning", "bold yellow")
    heading = f"{name}  {_prefix([place for place, _ in group], verification)}{check['id']}"
    lines = [Text.assemble((heading, style), f": {check['message']}")]
    by_measurement = _grouped(group, lambda _, check: (_measurement(check), json.dumps(check["evidence"])))
    for checks in by_measurement:
        measurement, evidence = _measurement(checks[0][1]), checks[0][1]["evidence"] or []
        if len(by_measurement) > 1:
            measurement = f"{_prefix([place for place, _ in checks], verification)}{measurement}"
        if measurement:
            lines.append(Text(f"{INDENT}{measurement}"))
        shown = max(1, EVIDENCE_SHOWN // len(by_measurement))
        lines += [Text(f"{INDENT}- {plain(item)}") for item in evidence[:shown]]
        if len(evidence) > shown:
            lines.append(Text(f"{INDENT}- and {len(evidence) - shown} more in --json"))
    return lines


def _measurement(check: Record) -> str:
    if check["measured"] is None and check["expected"] is None:
        return ""
    return f"measured {plain(check['measured'])}; expected {plain(check['expected'])}"
