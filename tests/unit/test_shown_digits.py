"""One figure has the same digits wherever it is shown."""

from __future__ import annotations

from decimal import Decimal

from app.report.figures import Figure
from relogit.render.evaluation import Column, _number
from relogit.render.tables import percent

ROWS = 8000


def test_the_page_and_the_client_round_a_share_alike() -> None:
    """Of 8,000 rows, each fourth number of right ones has a share in % halfway between two shown values."""
    figure, column = Figure("accuracy", "Accuracy", "%", "", 2), Column("acc", lambda _: (None, None))
    for right in range(ROWS + 1):
        share = right / ROWS
        shown = figure.text(share)
        assert _number(share, column) == percent(share).removesuffix(" %") == shown, right


def test_what_is_shown_is_nearest_to_the_exact_share() -> None:
    """However a product of floating-point numbers is rounded."""
    figure = Figure("accuracy", "Accuracy", "%", "", 2)
    for right in range(ROWS + 1):
        exact = Decimal(right) * 100 / Decimal(ROWS)
        assert abs(Decimal(figure.text(right / ROWS)) - exact) <= Decimal("0.005"), right
