"""What tells one way of computing from another."""

from __future__ import annotations

import pytest
import torch

from worker.compute.environment import arithmetic, processor

CPU = torch.device("cpu")
X86 = """processor\t: 0
model name\t: AMD EPYC
cpu family\t: 25
model\t\t: 17
stepping\t: 1
flags\t\t: fpu avx2 avx512f

processor\t: 1
model name\t: another
flags\t\t: none
"""
ARM = """processor\t: 0
Features\t: fp asimd sve
CPU implementer\t: 0x41
CPU part\t: 0xd0c
"""


def test_a_worker_says_how_it_computes() -> None:
    """Engine, version, this processor, and what can be asked for; fp32 always can."""
    here = arithmetic(CPU, "torch")
    assert (here.device, here.engine, here.engine_version) == ("cpu", "torch", torch.__version__)
    assert "fp32" in here.precisions
    assert here == arithmetic(CPU, "torch")


def test_processors_are_told_apart() -> None:
    """By name, numbers and instructions, on x86 and on ARM; the order of the flags says nothing."""
    described = {
        processor(text)
        for text in (
            X86,
            X86.replace("model\t\t: 17", "model\t\t: 18"),
            X86.replace("avx512f", ""),
            ARM,
            ARM.replace("0xd0c", "0xd4f"),
            ARM.replace("sve", "sve sve2"),
        )
    }
    assert len(described) == 6
    assert processor(X86)[0] == "AMD EPYC (cpu family 25, model 17, stepping 1)"
    assert processor(X86.replace("fpu avx2", "avx2 fpu")) == processor(X86)


def test_a_processor_that_cannot_be_told_shares_with_itself_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing says what it is, rows belong to the machine of that name."""
    here = processor("")
    monkeypatch.setattr("platform.node", lambda: "another-machine")
    assert processor("") != here


def test_kernels_chosen_by_hand_are_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable with which somebody limits the instructions is part of the capability."""
    before = arithmetic(CPU, "torch")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    after = arithmetic(CPU, "torch")
    assert after != before
    assert "ONEDNN_MAX_CPU_ISA=AVX2" in after.capability
