"""What the command line shows in a window of a given size: bars and tables."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console, RenderableType

from relogit.render.analysis import statistics_lines
from relogit.render.checks import ACCURACIES, PROBABILITIES, results_table
from relogit.render.experts import expert_lines
from relogit.render.jobs import jobs_table, units_table
from relogit.render.progress import display_for
from tests.unit.fake_server import entry, expert, expert_list, files_verification, job, statistics, unit, verification

NAMES = ("balsoftmax_baseline", "logitadjust_baseline", "decoupling_twostage", "twenty_letters_long_")
OVER = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


def window(width: int = 80, height: int = 24) -> Console:
    """A terminal whose screen is a string, told the same as the command's own console."""
    return Console(
        file=io.StringIO(), force_terminal=True, color_system=None, width=width, height=height,
        markup=False, emoji=False, highlight=False, soft_wrap=True,
    )  # fmt: skip


def last_frame(console: Console, units: list[dict[str, Any]]) -> list[str]:
    """The lines that the bars show at the end."""
    with display_for(console, has_units=True) as show:
        show(job("running", units=units))
        console.file = screen = io.StringIO()  # the last frame is drawn once more when the bars stop
    return [line.rstrip() for line in OVER.sub("", screen.getvalue()).splitlines()]


def printed(console: Console, *lines: RenderableType) -> list[str]:
    with console.capture() as captured:
        for line in lines:
            console.print(line)
    return [line.rstrip() for line in captured.get().splitlines()]


def test_bars_show_rate_and_time_while_running() -> None:
    """A running unit has its rate and the remaining time; an ended one has only its accuracy."""
    running = unit(state="running", done=1, rate=1500.0, remaining_s=65.0)
    done = unit("test", rate=1500.0, remaining_s=0.0)
    first, second, third = last_frame(window(), [running, done, unit("tunev", "queued")])
    assert re.fullmatch(r"ce / val +[━╸╺ ]+ 1/3 1,500/s +1:05 left", first)
    assert re.fullmatch(r"ce / test +[━╸╺ ]+ 3/3 +66\.67 %", second)
    assert re.fullmatch(r"ce / tunev +[━╸╺ ]+ 0/3 +queued", third)


def test_a_failed_unit_has_one_line() -> None:
    """A unit that failed has one line without its error, and the other bars keep their width."""
    error = {"code": "bad", "message": "It broke [x]. " * 20, "details": {}}
    failed, good = last_frame(window(), [unit(state="failed", error=error), unit("test")])
    assert failed.startswith("ce / val")
    assert failed.endswith(" failed")
    assert "broke" not in failed
    assert good.count("━") == 30


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("name", NAMES)
def test_bars_fit_with_long_names(name: str, width: int) -> None:
    """In 80 columns nothing of the project's names is cut, and each bar has ten cells or more."""
    figures: dict[str, Any] = {"done": 9999, "total": 10000, "rate": 12345.6, "remaining_s": 599.0}
    running = unit("tunev", "running", **figures, expert=name)
    done = unit("test", **{**figures, "done": 10000}, expert=name)
    lines = last_frame(window(width), [running, done])
    assert all(len(line) <= width for line in lines)
    assert "…" not in "".join(lines)
    assert lines[0].startswith(f"{name} / tunev ")
    assert "9,999/10,000 12,346/s 9:59 left" in lines[0]
    assert lines[1].count("━") >= 10


def crowd(experts: int, ended: int, running: int = 1) -> list[dict[str, Any]]:
    """Three units for each expert, the first ones ended, the next ones running; the very first failed."""
    units: list[dict[str, Any]] = []
    for number in range(experts * 3):
        state = "succeeded" if number < ended else "running" if number < ended + running else "queued"
        name = f"e{number // 3:02}"
        units.append(unit(f"s{number % 3}", "failed" if number == 0 and ended else state, expert=name))
    return units


@pytest.mark.parametrize("height", [5, 10, 24])
def test_bars_fit_the_height(height: int) -> None:
    """Running units and those that ended last have bars; lines above and below count the others."""
    lines = last_frame(window(height=height), crowd(20, 31, 2))
    assert len(lines) == height - 1
    assert any(line.startswith("e10 / s1 ") and line.endswith("running") for line in lines)
    shown = height - 3
    assert [line.split(" ━")[0].split("  ")[0] for line in lines[1:-1]][-1] == "e10 / s2"
    assert [line for line in lines if line.startswith("e10 / s0")] == ([] if shown == 2 else [lines[-4]])
    hidden = 31 - (shown - 2)
    assert lines[0] == f"{hidden} more results of {-(-hidden // 3)} experts: 1 failed, {hidden - 1} succeeded"
    assert lines[-1] == "27 more results of 9 experts: 27 queued"


def test_the_figures_of_long_names_fit() -> None:
    """In 80 columns the result table cuts no name and no figure, and a legend explains the headings."""
    found = verification()
    result = found["results"][0]
    result["metrics"].update(samples=10000, reweighted_accuracy=1.0)
    found["results"] = [{**result, "expert": name, "split": "tunev"} for name in NAMES]
    heading, _, *rows, legend = printed(window(), results_table(found))
    assert heading.split() == ["expert", "split", "n", "acc", "bal", "rew", "head", "tail", "verdict"]
    figures = ["tunev", "10,000", "66.67", "75.00", "100.00", "100.00", "50.00", "passed"]
    assert [row.split() for row in rows] == [[name, *figures] for name in NAMES]
    assert all(len(line) <= 80 for line in (heading, *rows, legend))
    for word in ("samples", "balanced", "reweighted", "head", "tail"):
        assert word in legend


@pytest.mark.parametrize("prefix", ["best_", "final_calibrated_"])
def test_experts_keep_one_line_each(prefix: str) -> None:
    """In 80 columns a checkpoint has one line without its file's name; a wide window shows the name."""
    own = {"mean": [0.5] * 3, "std": [0.5] * 3, "from": "override"}
    found = expert_list(*(expert(name, file=f"{prefix}{name}.pth", transform=own) for name in NAMES))
    narrow = printed(window(), *expert_lines(found, window()))
    assert [line.split()[0] for line in narrow[2:]] == list(NAMES)
    assert all(len(line) <= 80 and line.endswith("own mean/std") for line in narrow[2:])
    wide = printed(window(140), *expert_lines(found, window(140)))
    assert [line.split()[-1] for line in wide[2:]] == [f"{prefix}{name}.pth" for name in NAMES]


def test_jobs_and_units_keep_one_line_each() -> None:
    """In 80 columns a job has one line in `jobs`, and a unit has one in `status`."""
    request = {"dataset": "cifar100_lt_if100", "output_dir": "logits_fixed"}
    one = job(id="f" * 32, request=request, units=[unit("tunev", expert=NAMES[1], done=10000, total=10000)] * 12)
    files = files_verification(id="e" * 32, units=[])
    jobs = [one, files]
    _, _, row, other = printed(window(), jobs_table(jobs, window()))
    assert row.split() == [
        "ffffffff", "recompute", "succeeded", "passed", "2026-01-02", "03:04", "logits_fixed", "12/12"
    ]  # fmt: skip
    assert other.split()[1:4] + other.split()[-2:] == ["verification", "succeeded", "passed", "(upload)", "2/2"]
    assert max(len(row), len(other)) <= 80
    assert "cifar100_lt_if100" in printed(window(100), jobs_table(jobs, window(100)))[2]
    running = {"state": "running", "rate": 12345.6, "remaining_s": 599.0, "accuracy": None}
    rows = printed(window(), units_table({**one, "units": [one["units"][0], {**one["units"][0], **running}]}))
    assert [line.split()[0] for line in rows[2:]] == [NAMES[1]] * 2
    assert all(len(line) <= 80 for line in rows)


def test_all_figures_with_intervals_fit() -> None:
    """In 80 columns each figure has one line with its value and its interval, even the widest."""
    found, wide = verification(), statistics()
    names = (*ACCURACIES, *PROBABILITIES)
    found["results"][0]["metrics"] |= dict.fromkeys(names, 1.0) | {"nll": 12.34567, "samples": 10000}
    wide["intervals"]["figures"] = {name: [1.0, 1.0] for name in names} | {"nll": [12.3, 12.4]}
    lines = printed(window(), *statistics_lines(found, {"results": [entry(wide)]}))
    assert lines[1] == "ce / val, 10,000 samples"
    assert all(len(line) <= 80 for line in lines)
    assert re.fullmatch(r"plain +100\.00 +100\.00 to 100\.00 +NLL +12\.346 +12\.300 to 12\.400", lines[4])
    assert any(re.search(r"AURC balanced +0\.2500$", line) for line in lines)
    assert any(re.search(r"AURC worst +-$", line) for line in lines)
