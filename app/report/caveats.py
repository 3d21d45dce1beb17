"""What the figures of rejection mean, and what they do not: plain sentences for the pages."""

from __future__ import annotations


from app.domain.combining import Prior
from app.domain.evaluations import Evaluation
from app.report.words import listing

Caveat = tuple[str, str]
"""What it is about, and the sentences."""

NOT_NESTED: Caveat = (
    "Rules are not nested",
    "Each target coverage has a rule of its own. A row that is accepted at coverage 0.5 may be rejected at 0.6.",
)
EMPTY_GROUP: Caveat = (
    "A group with nothing accepted",
    "Its error counts as 1: a rule must not win by refusing a whole group.",
)
ACCEPTANCE: Caveat = (
    "Look at acceptance by group",
    "Balanced and worst-group error look at accepted rows only. Both can be made small by accepting hardly any row of "
    "one group, head or tail: the few that are accepted are then easy ones. A low error says little where a group's "
    "acceptance is close to 0.",
)


def fitted_rule_caveats() -> list[Caveat]:
    """Explain the figures of a rejector on the rows that it was fitted on."""
    return [
        (
            "On fitted rows",
            "All errors and shares here are of the rows that the rules were chosen on, so they look better than on new "
            "rows. An evaluation measures the rules on test rows.",
        ),
        (
            "Coverage",
            "The share of the rows' weight that is accepted. A group's error is the share of wrong rows among its "
            "accepted ones; its acceptance is the share of its rows that is accepted.",
        ),
        EMPTY_GROUP,
        NOT_NESTED,
        ACCEPTANCE,
    ]


def evaluation_caveats(evaluation: Evaluation, prior: Prior) -> list[Caveat]:
    """Explain the figures of an evaluation."""
    groups = listing(evaluation.group_names)
    level = f"{evaluation.level:.0%}".replace("%", " %")
    return [
        (
            "Coverage",
            "The share of the rows' weight that is accepted. In tables and curves each method accepts exactly the "
            "target coverage of the test rows, the highest scores first; only the table of stored thresholds takes the "
            "thresholds that were fitted on other rows.",
        ),
        (
            "Error, balanced and worst-group error",
            f"The share of wrong rows among the accepted ones: of all rows, the mean over {groups}, and the largest of "
            "them. Balanced accuracy, in contrast, is the mean over single classes, with all rows accepted.",
        ),
        (
            "AURC",
            f"The mean error over the {len(evaluation.coverages)} target coverages, {evaluation.coverages[0]:g} to "
            f"{evaluation.coverages[-1]:g}. It is not the area under the whole curve, of which it leaves out the part "
            "below the least coverage; all methods are compared on the same coverages.",
        ),
        EMPTY_GROUP,
        NOT_NESTED,
        ACCEPTANCE,
        (
            "Intervals",
            f"{level} bootstrap intervals, {evaluation.resamples:,} resamples, seed {evaluation.seed}. They are about "
            "which test rows of each class were drawn. They do not hold what another training of the experts, another "
            "choice of classes or other rows to fit on would change.",
        ),
        (
            "Differences",
            f"Each is a method's figure minus that of {evaluation.reference} on the same resamples, which is why two "
            "methods may differ clearly although their own intervals overlap.",
        ),
        (
            "Many methods",
            "Each interval stands for itself and allows for no other comparison on the page. The best of many methods "
            "looks better than it is.",
        ),
        ("Prior", PRIOR_MEANINGS[prior]),
        (
            "NLL and ECE",
            "Rules by group decide and give no probabilities, so they have neither.",
        ),
    ]


PRIOR_MEANINGS: dict[Prior, str] = {
    "listed": "listed: every row of the list counts once, so the figures are of the class shares of the test list.",
    "train": "train: rows are weighted so that classes have the shares of the train samples. Frequent classes then "
    "decide overall figures, and rare ones rest on few rows.",
}
