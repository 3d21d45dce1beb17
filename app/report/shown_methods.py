"""Which methods of an evaluation the charts show, and how their lines look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.combining import PARAMETERS
from app.domain.evaluations import Evaluation, MethodEvaluation
from app.report.pictures import line_style
from app.report.svg import COLOURS, DASHES

MOST_LINES, MOST_BANDS = 7, 3
"""Of methods that are not an expert alone: as many as have a colour each, and as many bands as can be told apart."""

MSP = " + msp"
UNIFORM = "uniform + msp"


@dataclass(frozen=True, slots=True)
class ShownMethod:
    """A method in the charts."""

    method: MethodEvaluation
    style: str
    """CSS classes of its line."""
    band: str | None = None
    """CSS classes of its band; None without one."""

    @property
    def name(self) -> str:
        """The method's name."""
        return self.method.name


@dataclass(frozen=True, slots=True)
class ShownMethods:
    """The methods in the charts."""

    main: Sequence[ShownMethod]
    """With colours: the reference first."""
    experts: Sequence[ShownMethod]
    """Experts alone: thin and grey."""
    left_out: Sequence[str]
    """Names of methods that are in the tables only."""
    same: Sequence[tuple[str, str]]
    """Main method with the same figures at every coverage as an earlier one, and that one."""

    @property
    def rules(self) -> Sequence[ShownMethod]:
        """The reference, the main methods with stored thresholds and their msp; all main ones if none has any."""
        partners = {partner(shown.name) for shown in self.main if shown.method.at_threshold}
        chosen = [shown for shown in self.main if shown.method.at_threshold or shown.name in partners]
        return [self.main[0], *(shown for shown in chosen if shown is not self.main[0])] if chosen else self.main


def partner(name: str) -> str:
    """Return the name of the same combination with the score msp."""
    return name.rsplit(" + ", 1)[0] + MSP


def shown_methods(evaluation: Evaluation, experts: Sequence[str]) -> ShownMethods:
    """Choose the methods in the charts.

    The order is: the reference; rejectors, each combination's msp before them; other combinations' msp. Other scores
    stand in the tables only.
    """
    by_name = {method.name: method for method in evaluation.methods}
    alone_names = {f"expert {expert}{MSP}" if expert in PARAMETERS else f"{expert}{MSP}" for expert in experts}
    # A later gating's expert with other logits has the gating's name before its own.
    alone = [name for name in by_name if name.split(": ", 1)[-1] in alone_names]
    order = dict.fromkeys([evaluation.reference])
    for method in evaluation.methods:
        if method.at_threshold:
            order |= dict.fromkeys(name for name in (partner(method.name), method.name) if name in by_name)
    order |= dict.fromkeys(name for name in by_name if name.endswith(MSP))
    main = [name for name in order if name not in alone or name == evaluation.reference][:MOST_LINES]
    same = _same([by_name[name] for name in main])
    banded = [name for name in main if name not in same][:MOST_BANDS]
    grey = [name for name in alone if name not in main]
    return ShownMethods(
        [_main(by_name[name], number, name in banded) for number, name in enumerate(main)],
        [ShownMethod(by_name[name], f"line thin d{number % DASHES}") for number, name in enumerate(grey)],
        [name for name in by_name if name not in main and name not in grey],
        list(same.items()),
    )


def _main(method: MethodEvaluation, number: int, banded: bool) -> ShownMethod:
    return ShownMethod(method, line_style(number), f"band f{number % COLOURS}" if banded else None)


def _same(methods: Sequence[MethodEvaluation]) -> dict[str, str]:
    """Map methods to the first one with equal figures at every coverage."""
    same: dict[str, str] = {}
    for number, method in enumerate(methods):
        earlier = next((m.name for m in methods[:number] if m.at_coverage == method.at_coverage), None)
        if earlier is not None:
            same[method.name] = earlier
    return same
