"""The doctor's judgement of packages, PyTorch, GPUs and engines, out of what was seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from worker.doctor.computing import Computing, Gpu, Nvidia, Wanted, check_computing, check_gpus, check_vision, partner
from worker.doctor.finding import Finding
from worker.doctor.packages import Packages, check_packages, check_python, parse_requirement

PACKAGES = Packages(
    python="3.12.1",
    requires_python=">=3.11",
    requirements=["numpy>=2.0,<3", "torch>=2.8"],
    installed={"numpy": "2.4.6", "torch": "2.13.0+cpu"},
    api_error=None,
)
CPU = Computing(
    torch="2.13.0+cpu",
    vision="0.28.0+cpu",
    device="cpu",
    engine="OpenVINO 2026.4.1",
    openvino=True,
    precisions=("fp32",),
)
H200 = Gpu("NVIDIA H200", free_bytes=100 * 10**9, total_bytes=140 * 10**9)
CUDA = replace(CPU, torch="2.13.0", cuda="13.0", gpus=(H200, H200), vision="0.28.0+cu130", device="cuda:0")
DRIVER = Nvidia(driver="580.1", devices=1)
AUTO = Wanted()


def levels(found: list[Finding]) -> dict[str, str]:
    return {one.check: one.level for one in found}


def bad(found: list[Finding]) -> list[Finding]:
    return [one for one in found if one.level != "ok"]


def test_fitting_packages_are_no_reason_to_worry() -> None:
    """Everything in its range is one line."""
    assert levels(check_packages(PACKAGES)) == {"python": "ok", "packages": "ok", "api": "ok"}


@pytest.mark.parametrize(
    ("installed", "level", "said"),
    [
        ({"torch": "2.13.0"}, "problem", "numpy is not installed"),
        ({"numpy": "1.26.4", "torch": "2.13.0"}, "problem", "numpy 1.26.4 is too old: >=2.0,<3"),
        ({"numpy": "3.0.1", "torch": "2.13.0"}, "warning", "numpy 3.0.1 is newer"),
        ({"numpy": "3", "torch": "2.13.0"}, "warning", "numpy 3 is newer"),
        ({"numpy": "2.0", "torch": "2.7.1+cu126"}, "problem", "torch 2.7.1+cu126 is too old"),
    ],
)
def test_a_package_outside_its_range_is_named(installed: dict[str, str], level: str, said: str) -> None:
    """With its version, the range, and a command; one too new may do, one too old does not."""
    (found,) = bad(check_packages(replace(PACKAGES, installed=installed)))
    assert (found.check, found.level) == ("packages", level)
    assert said in found.found
    assert found.do.startswith("pip install")


@pytest.mark.parametrize("version", ["2.0", "2.0.0", "2.9.9", "2.10.0", "2.0.0+cpu"])
def test_the_ends_of_a_range_belong_to_it(version: str) -> None:
    """A bound is compared number by number, as pip does."""
    found = check_packages(replace(PACKAGES, installed={"numpy": version, "torch": "2.8.0"}))
    assert not bad(found)


@pytest.mark.parametrize(
    ("text", "name", "wanted"),
    [
        ("torch>=2.8", "torch", ">=2.8"),
        ('numpy<3,>=2.0; extra == "service"', "numpy", "<3,>=2.0"),
        ("zipstream-ng (>=1.8,<2) ; extra == 'service'", "zipstream-ng", ">=1.8,<2"),
        ("rich", "rich", ""),
    ],
)
def test_requirements_are_read_in_every_spelling(text: str, name: str, wanted: str) -> None:
    """As pyproject.toml has them, and as an installed package's metadata do."""
    assert parse_requirement(text) == (name, wanted)


def test_an_old_python_is_a_problem() -> None:
    """Against what the project asks for."""
    assert check_python("3.10.14", ">=3.11").level == "problem"
    assert check_python("3.11.0", ">=3.11").level == "ok"


def test_an_api_that_cannot_be_imported_is_a_problem() -> None:
    """With the last line of why."""
    (found,) = bad(check_packages(replace(PACKAGES, api_error="ModuleNotFoundError: No module named 'fastapi'")))
    assert (found.check, found.level) == ("api", "problem")
    assert "No module named 'fastapi'" in found.found


def test_no_declaration_is_told() -> None:
    """Where nothing says what is needed, nothing is called fine."""
    found = check_packages(replace(PACKAGES, requirements=[]))
    assert levels(found)["packages"] == "warning"


def test_a_sound_cpu_installation() -> None:
    """PyTorch, its partner, no GPU where there is none, an engine."""
    found = check_computing(CPU, Nvidia(), AUTO)
    assert levels(found) == {"torch": "ok", "torchvision": "ok", "gpu": "ok", "engine": "ok"}


def test_a_torch_that_cannot_be_imported_is_one_problem() -> None:
    """And nothing is said of what needs it."""
    (found,) = check_computing(Computing(error="OSError: libtorch.so: cannot open shared object"), DRIVER, AUTO)
    assert (found.check, found.level) == ("torch", "problem")
    assert "libtorch.so" in found.found


@pytest.mark.parametrize(
    ("torch", "vision"), [("2.8.0", "0.23"), ("2.13.0+cu130", "0.28"), ("3.0.0", None), ("nightly", None)]
)
def test_the_partner_is_known_by_a_rule(torch: str, vision: str | None) -> None:
    """Of torch 2.x; of others nothing is claimed."""
    assert partner(torch) == vision


@pytest.mark.parametrize(
    ("vision", "level"),
    [("0.28.0+cpu", "ok"), ("0.28.1", "ok"), ("0.27.0", "problem"), ("0.29.0+cpu", "problem"), (None, "problem")],
)
def test_torchvision_has_to_be_torchs_partner(vision: str | None, level: str) -> None:
    """Its own import may well succeed by chance."""
    found = check_vision(replace(CPU, vision=vision))
    assert found.level == level
    assert ("0.28" in found.do) == (level == "problem")


def test_a_cuda_torchvision_beside_a_cpu_torch_is_harmless() -> None:
    """And said to be so; one that cannot be imported is not."""
    assert "harmless" in check_vision(replace(CPU, vision="0.28.0+cu130")).found
    assert "harmless" not in check_vision(CUDA).found
    assert check_vision(replace(CPU, vision_error="ImportError: PIL")).level == "problem"


@pytest.mark.parametrize(
    ("seen", "nvidia", "said", "do"),
    [
        (CPU, DRIVER, "built without CUDA", "Install a build with CUDA"),
        (replace(CUDA, gpus=(), said=("driver is too old",)), DRIVER, "driver is too old", "update it"),
        (replace(CUDA, gpus=()), replace(DRIVER, devices=0), "no /dev/nvidia0", "--gpus all"),
        (replace(CUDA, gpus=()), replace(DRIVER, visible=""), "CUDA_VISIBLE_DEVICES=''", "Take it out"),
    ],
)
@pytest.mark.parametrize(("device", "level"), [("auto", "warning"), ("cuda", "problem"), ("cuda:0", "problem")])
def test_a_gpu_that_pytorch_does_not_see(
    seen: Computing, nvidia: Nvidia, said: str, do: str, device: str, level: str
) -> None:
    """Is told with its cause and remedy; a problem where the settings ask for it, else slow."""
    (found,) = check_gpus(seen, nvidia, Wanted(device=device))
    assert found.level == level
    assert said in found.found
    assert do in found.do


def test_a_gpu_that_nobody_wants_is_not_missed() -> None:
    """RELOGIT_DEVICE=cpu is a decision."""
    assert not bad(check_gpus(CPU, DRIVER, Wanted(device="cpu")))


def test_asking_for_a_gpu_where_there_is_none_is_a_problem() -> None:
    """Workers would refuse to start."""
    assert check_gpus(CPU, Nvidia(), Wanted(device="cuda"))[0].level == "problem"
    seen = replace(CUDA, device_error="RELOGIT_DEVICE is 'cuda:7', but PyTorch sees 2 CUDA devices.")
    (found,) = check_gpus(seen, DRIVER, Wanted(device="cuda:7"))
    assert found.level == "problem"
    assert "cuda:7" in found.found


def test_each_gpu_that_is_used_is_looked_at() -> None:
    """One that is full is a warning, one that cannot compute a problem; those of others are not ours."""
    full, broken = replace(H200, free_bytes=10**9), replace(H200, error="no kernel image is available")
    seen = replace(CUDA, gpus=(H200, full, broken))
    assert [one.level for one in check_gpus(seen, DRIVER, AUTO)] == ["ok", "warning", "problem"]
    assert [one.level for one in check_gpus(seen, DRIVER, Wanted(device="cuda:1"))] == ["warning"]


def test_the_engine_says_why() -> None:
    """A faster one that is absent is told, one that is broken warns, one that is asked for in vain is a problem."""

    def engine(seen: Computing, wanted: Wanted = AUTO) -> Finding:
        return next(one for one in check_computing(seen, Nvidia(), wanted) if one.check == "engine")

    without = engine(replace(CPU, engine="PyTorch 2.13.0", openvino=False))
    assert (without.level, without.do) == ("ok", "pip install '.[openvino]'")
    assert engine(CPU).do == ""
    assert engine(replace(CPU, engine_said=("OpenVINO cannot be used.",))).level == "warning"
    assert engine(replace(CPU, engine="", engine_error="OpenVINO is not installed.")).level == "problem"
    assert "RELOGIT_ENGINE=torch asks" in engine(CPU, Wanted(engine="torch")).found


def test_forced_tf32_is_a_problem() -> None:
    """Workers refuse it, whatever else is sound."""
    assert levels(check_computing(CPU, Nvidia(), Wanted(tf32_forced=True)))["tf32"] == "problem"


def test_what_the_process_says_comes_back_whole() -> None:
    """GPUs and lists travel as JSON."""
    data = {"torch": "2.13.0", "gpus": [{"name": "a", "free_bytes": 1, "total_bytes": 2}], "precisions": ["fp32"]}
    assert Computing.from_dict(data) == Computing(torch="2.13.0", gpus=(Gpu("a", 1, 2),), precisions=("fp32",))
