"""What a reader sees of a verification: figures, and checks with what failed first."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Sequence

from rich.console import Group
from rich.text import Text

from relogit.render.tables import Record, count, number_of, percent, plain, problem_lines, table, verdict, word

FIGURES = {  # metric: heading in the table, word in sentences
    "accuracy": ("acc", "plain"),
    "balanced_accuracy": ("bal", "balanced"),
    "reweighted_accuracy": ("rew", "reweighted"),
    "head_accuracy": ("head", "head"),
    "tail_accuracy": ("tail", "tail"),
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
PROVENANCE = "provenance"  # the check that says what the others cannot notice
EVIDENCE_SHOWN = 5
INDENT = " " * 9

Place = tuple[str, str] | None
"""Expert and split of a result; None for what is checked between results."""


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
    without: dict[str, list[Place]] = {}  # reason to the results that have no figure at all
    for result in verification["results"]:
        reasons = (result["metrics"] or {}).get("reasons") or {}
        if FIGURES.keys() <= reasons.keys() and len(set(reasons.values())) == 1:
            without.setdefault(reasons["accuracy"], []).append(_place(result))
            continue
        for name, reason in reasons.items():
            missing.setdefault(reason, {})[(ACCURACIES | PROBABILITIES).get(name, name.replace("_", " "))] = None
    lines = [f"No figures for {where(places, verification)}: {reason}" for reason, places in without.items()]
    for reason, words in missing.items():
        *before, final = words
        figures = f"{', '.join(before)} and {final}" if before else final
        lines.append(f"No {figures} figure: {reason}")
    return [Text(line, style="dim") for line in lines]


def failed_check_lines(verification: Record, causes: Sequence[Text] = ()) -> list[Text]:
    """The checks that failed, with what was measured and the evidence: errors, their causes, then warnings.

    What is said of several results is said once, with their names.
    """
    lines: dict[bool, list[Text]] = {True: [], False: []}
    for group in _failed_groups(verification):
        lines[group[0][1]["level"] == "error"] += _failed_check(group, verification)
    return [*lines[True], *causes, *lines[False]]


def other_check_lines(verification: Record) -> list[Text]:
    """The skipped checks, each reason once; those that passed in one sentence."""
    lines = []
    skipped: dict[Place, dict[str, list[str]]] = {}
    for place, check in _checks(verification, "skipped"):
        if check["id"] == PROVENANCE:
            continue  # stands at the end, see `provenance_lines`
        skipped.setdefault(place, {}).setdefault(check["message"], []).append(check["id"])
    places: dict[tuple[str, ...], list[Place]] = {}
    for place, reasons in skipped.items():
        for reason, ids in reasons.items():
            places.setdefault((reason, *ids), []).append(place)
    for (reason, *ids), those in places.items():
        lines.append(Text(f"skipped  {_prefix(those, verification)}{', '.join(ids)}: {reason}", "yellow"))
    passed = [check["id"] for _, check in _checks(verification, "passed")]
    if passed:
        lines.append(
            Text(f"{number_of(len(passed), 'check')} passed: {', '.join(sorted(set(passed)))}.", style="green")
        )
    return lines


def provenance_lines(verification: Record) -> list[Text]:
    """What could be wrong with files although every check passed, and what would show it; for the end."""
    skipped = _checks(verification, "skipped")
    return [Text(check["message"], style="yellow") for _, check in skipped if check["id"] == PROVENANCE]


def audit_lines(audit: Record) -> list[Text]:
    """What an audit of splits found: what failed first, and the verdict in a sentence."""
    results = [{"expert": "list", "split": name, "checks": checks} for name, checks in audit["lists"].items()]
    shaped = {"checks": audit["checks"], "results": results}
    unseen = [name for name, checks in audit["lists"].items() if checks[0]["verdict"] == "skipped"]
    if audit["verdict"] == "passed" and unseen:
        left = f"A job can use the lists of {audit['name']!r} but for {', '.join(unseen)}; warnings fail nothing."
        end = Text(left, style="yellow")
    elif audit["verdict"] == "passed":
        end = Text(f"A job can use every list of {audit['name']!r}; warnings fail nothing.", style="green")
    else:
        end = Text(f"A job would refuse lists of {audit['name']!r}.", style="red")
    return [*failed_check_lines(shaped), *other_check_lines(shaped), end]


def result_error_lines(verification: Record) -> list[Text]:
    """Why results could not be verified."""
    return [
        line
        for result in verification["results"]
        if result["error"]
        for line in problem_lines(result["error"], where=f"{result['expert']} / {result['split']}: ")
    ]


def misfits(verification: Record) -> set[Place]:
    """The results whose accuracy is no better than chance: something else than the expert is to blame."""
    failed = _checks(verification, "failed")
    return {place for place, check in failed if check["id"] == "accuracy" and check["level"] == "error"}


def verification_verdict(verification: Record) -> Text:
    """The verdict on the whole job, in a sentence."""
    job = f"Job {verification['job']}"
    if verification["verdict"] == "passed":
        return Text(f"{job} is verified: every result passed.", style="green")
    if verification["verdict"] == "failed":
        return Text(f"{job} failed its verification.", style="red")
    return Text(f"{job} is not verified: not all of its results are there.", style="yellow")


def files_verdict(verification: Record) -> Text:
    """The verdict of a verification of files, in a sentence."""
    name = f"Verification {verification['id']}"
    everything, state = verification["results"], verification["state"]
    bad = sum(result["verdict"] != "passed" for result in everything)
    if state == "succeeded" and verification["verdict"] == "passed":
        warnings = sum(group[0][1]["level"] == "warning" for group in _failed_groups(verification))
        but = f", with {number_of(warnings, 'warning')}" if warnings else ""
        return Text(
            f"{name} passed: {len(everything)} of {number_of(len(everything), 'result')} verified{but}.", "green"
        )
    if state == "succeeded" and bad:
        return Text(f"{name} failed: do not use {bad} of {number_of(len(everything), 'result')}.", style="red")
    if state == "succeeded":
        return Text(f"{name} failed: the results do not go together.", style="red")
    if state == "failed":
        return Text(f"{name} could not be carried out, so nothing is verified.", style="red")
    return Text(f"{name} is {state}; nothing is verified.", style="yellow")


def end(job: Record, verification: Record) -> Text:
    """The last sentence on a job that was watched to its end.

    A job that succeeded may fail a check later: some look at the files as they lie there when asked.
    """
    if job["state"] == "succeeded" and verification["verdict"] != "passed":
        return verification_verdict(verification)
    return verdict(job)


def where(places: Sequence[Place], verification: Record) -> str:
    """Results in words: `all 9 results`, or `all 3 experts / val, test; ce / tunev`; nothing for what is between."""
    everything = {_place(result) for result in verification["results"]}
    if len(everything) > 1 and everything == set(places):
        return f"all {len(everything)} results"
    experts: dict[str, dict[str, None]] = {}
    for place in places:
        if place is not None:
            experts.setdefault(place[1], {})[place[0]] = None
    splits: dict[tuple[str, ...], list[str]] = {}
    for split, names in experts.items():
        splits.setdefault(tuple(names), []).append(split)
    everybody = {result["expert"] for result in verification["results"]}
    return "; ".join(f"{_experts(names, everybody)} / {', '.join(those)}" for names, those in splits.items())


def _experts(names: Sequence[str], everybody: set[str]) -> str:
    return f"all {len(names)} experts" if len(names) > 1 and everybody == set(names) else ", ".join(names)


def _prefix(places: Sequence[Place], verification: Record) -> str:
    said = where(places, verification)
    return f"{said}: " if said else ""


def _place(result: Record) -> Place:
    return result["expert"], result["split"]


def _checks(verification: Record, verdict: str) -> list[tuple[Place, Record]]:
    """The checks of that verdict, those between the results first, each with the place it belongs to."""
    checks: list[tuple[Place, Record]] = [(None, check) for check in verification["checks"]]
    for result in verification["results"]:
        checks += [(_place(result), check) for check in result["checks"]]
    return [item for item in checks if item[1]["verdict"] == verdict]


def _failed_groups(verification: Record) -> list[list[tuple[Place, Record]]]:
    """The failed checks; those that say the same of several results together."""
    failed = _checks(verification, "failed")
    return _alike(failed, lambda place, check: (place is None, check["id"], check["level"], check["message"]))


def _alike(
    items: Iterable[tuple[Place, Record]], key: Callable[[Place, Record], Hashable]
) -> list[list[tuple[Place, Record]]]:
    groups: dict[Hashable, list[tuple[Place, Record]]] = {}
    for place, check in items:
        groups.setdefault(key(place, check), []).append((place, check))
    return list(groups.values())


def _failed_check(group: list[tuple[Place, Record]], verification: Record) -> list[Text]:
    check = group[0][1]
    name, style = ("failed ", "bold red") if check["level"] == "error" else ("warning", "bold yellow")
    said = _prefix([place for place, _ in group], verification)
    lines = [Text.assemble((f"{name}  {said}{check['id']}", style), f": {check['message']}")]
    alike = _alike(group, lambda _, check: (_held(check), json.dumps(check["evidence"])))
    for those in alike:
        held, evidence = _held(those[0][1]), those[0][1]["evidence"] or []
        if len(alike) > 1:
            held = f"{_prefix([place for place, _ in those], verification)}{held}"
        if held:
            lines.append(Text(f"{INDENT}{held}"))
        shown = max(1, EVIDENCE_SHOWN // len(alike))
        lines += [Text(f"{INDENT}- {plain(item)}") for item in evidence[:shown]]
        if len(evidence) > shown:
            lines.append(Text(f"{INDENT}- and {len(evidence) - shown} more in --json"))
    return lines


def _held(check: Record) -> str:
    if check["measured"] is None and check["expected"] is None:
        return ""
    return f"measured {plain(check['measured'])}; expected {plain(check['expected'])}"
