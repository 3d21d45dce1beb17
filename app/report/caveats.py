"""What the figures of rejection mean, and what they do not: plain sentences for the pages."""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.combining import Prior, Score
from app.domain.evaluations import Evaluation
from app.report.words import listing, percent

Caveat = tuple[str, str]
"""What it is about, and the sentences."""

ON_FITTED_ROWS: Caveat = (
    "On fitted rows",
    "All errors and shares here are of the rows that the rules were chosen on, so they look better than on new rows. "
    "An evaluation measures the rules on test rows.",
)
SHARES: Caveat = (
    "Coverage",
    "The share of the rows' weight that is accepted. A group's error is the share of wrong rows among its accepted "
    "ones; its acceptance is the share of its rows that is accepted.",
)
EXACT_COVERAGE: Caveat = (
    "Coverage",
    "The share of the rows' weight that is accepted. In the first tables and in the curves each method accepts "
    "exactly the target coverage of the test rows, the highest scores first. Only the tables of stored thresholds "
    "take the thresholds that were fitted on other rows.",
)
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
    "Balanced and worst-group error look at accepted rows only. Both can be made small by accepting hardly any row "
    "of one group: the few that are accepted are then easy ones. A low error says little where a group's acceptance "
    "is close to 0.",
)
MANY_METHODS: Caveat = (
    "Many methods",
    "Each interval stands for itself and allows for no other comparison on the page. The best of many methods looks "
    "better than it is.",
)
NO_PROBABILITIES: Caveat = ("NLL and ECE", "Rules by group decide and give no probabilities, so they have neither.")

PRIOR_MEANINGS: Mapping[Prior, str] = {
    "listed": "listed: every row of the list counts once, so the figures are of the class shares of the test list.",
    "train": "train: rows are weighted so that classes have the shares of the train samples. Frequent classes then "
    "decide overall figures, and rare ones add little to them.",
}


def fitted_rule_caveats(score: Score) -> list[Caveat]:
    """Explain the figures of a rejector on the rows that it was fitted on.

    Thresholds of one score are nested; rules by group are not.
    """
    nesting = [NOT_NESTED] if score == "group" else []
    return [ON_FITTED_ROWS, SHARES, EMPTY_GROUP, *nesting, ACCEPTANCE]


def evaluation_caveats(evaluation: Evaluation, prior: Prior) -> list[Caveat]:
    """Explain the figures of an evaluation."""
    return [
        EXACT_COVERAGE,
        (
            "Error, balanced and worst-group error",
            "The share of wrong rows among the accepted ones: of all rows, the mean over the groups "
            f"{listing(evaluation.group_names)}, and the largest of them. Balanced accuracy, in contrast, is the "
            "mean over single classes, with all rows accepted.",
        ),
        (
            "AURC",
            f"The mean error over the {len(evaluation.coverages)} target coverages, {evaluation.coverages[0]:g} to "
            f"{evaluation.coverages[-1]:g}, the same for all methods. It is not the area under the whole curve: "
            "lower coverages are left out.",
        ),
        EMPTY_GROUP,
        NOT_NESTED,
        ACCEPTANCE,
        (
            "Intervals",
            f"{percent(evaluation.level)} bootstrap intervals, {evaluation.resamples:,} resamples, seed "
            f"{evaluation.seed}. They are about which test rows of each class were drawn. They say nothing about "
            "another training of the experts, another choice of classes, or other rows to fit on.",
        ),
        (
            "Differences",
            f"Each is a method's figure minus that of {evaluation.reference} on the same resamples, which is why two "
            "methods may differ clearly although their own intervals overlap.",
        ),
        MANY_METHODS,
        ("Prior", PRIOR_MEANINGS[prior]),
        NO_PROBABILITIES,
    ]
