"""The looking: at packages, devices, settings, folders and the store. It judges nothing and leaves nothing behind."""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from worker.doctor.computing import Computing, Nvidia, Wanted
from worker.doctor.folders import Disk, Folder, Outputs, file_system_of
from worker.doctor.packages import Packages, parse_requirement
from worker.doctor.store import Store
from worker.doctor.torch_process import MARK
from worker.doctor.variables import Variables

if TYPE_CHECKING:  # it needs pydantic, which may be what is broken
    from app.settings import Settings

PROCESS_TIMEOUT_S = 180
ENV_NAME = re.compile(r"\s*(?:export\s+)?(RELOGIT_\w+)\s*=", re.IGNORECASE)


def packages() -> Packages:
    """What pyproject.toml, or else the installed relogit, asks for, and what there is."""
    python, requirements = _declared()
    installed = {}
    for requirement in requirements:
        name, _ = parse_requirement(requirement)
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Packages(version, python, requirements, installed, _api_error())


def _declared() -> tuple[str, list[str]]:
    """`requires-python`, and the requirements of the client and the service."""
    path = Path("pyproject.toml")
    project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {}) if path.is_file() else {}
    if project.get("name") == "relogit":
        service = project.get("optional-dependencies", {}).get("service", [])
        return project.get("requires-python", ""), [*project.get("dependencies", []), *service]
    try:
        metadata = importlib.metadata.metadata("relogit")
    except importlib.metadata.PackageNotFoundError:
        return "", []
    lines = metadata.get_all("Requires-Dist") or []
    wanted = [line for line in lines if "extra ==" not in line or re.search(r"extra == ['\"]service['\"]", line)]
    return metadata["Requires-Python"] or "", wanted


def _api_error() -> str | None:
    # A process of its own: the worker, and what looks on its behalf, never imports the web framework.
    try:
        done = _python("-c", "import app.main")
    except subprocess.TimeoutExpired:
        return f"its import took more than {PROCESS_TIMEOUT_S} s"
    return _last_words(done) if done.returncode else None


def computing(wanted: Wanted) -> Computing:
    """What a process says that imports torch."""
    try:
        done = _python("-m", "worker.doctor.torch_process", wanted.device, wanted.engine)
    except subprocess.TimeoutExpired:
        return Computing(error=f"its import and a look at the GPUs took more than {PROCESS_TIMEOUT_S} s")
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            return Computing.from_dict(json.loads(line.removeprefix(MARK)))
    return Computing(error=_last_words(done))


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A process of this very interpreter, in this folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=PROCESS_TIMEOUT_S,
        check=False,
    )


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    """Why a process ended, in one line without a dot."""
    if done.returncode < 0:
        return f"its process was ended by signal {-done.returncode}"
    lines = done.stderr.strip().splitlines()
    return lines[-1].rstrip(".") if lines else f"its process ended with {done.returncode}"


def nvidia() -> Nvidia:
    """What Linux shows of NVIDIA's driver and devices."""
    said = re.search(r"Kernel Module.*?(\d+\.\d+(?:\.\d+)?)", read("/proc/driver/nvidia/version"))
    devices = [path for path in Path("/dev").glob("nvidia*") if re.fullmatch(r"nvidia\d+", path.name)]
    return Nvidia(said[1] if said else None, len(devices), os.environ.get("CUDA_VISIBLE_DEVICES"))


def settings() -> tuple[Settings, Variables]:
    """The settings, with the default in place of each value that cannot be; and the variables behind them."""
    from pydantic import ValidationError

    from app.settings import PREFIX, Settings, explain

    wrong, use = "", Settings.model_construct()
    try:
        use = Settings()
    except ValidationError as error:
        wrong = " ".join(explain(error).splitlines())
        names = {str(item["loc"][0]) for item in error.errors()}
        defaults: dict[str, Any] = {name: Settings.model_fields[name].default for name in names}
        use = Settings(**defaults)
    except (OSError, UnicodeDecodeError) as error:
        wrong = f".env cannot be read: {error}."
    file = Path(".env")
    lines = read(file).splitlines()
    names_there = {found[1].upper(): ".env" for line in lines if (found := ENV_NAME.match(line))}
    names_there |= {name.upper(): "the environment" for name in os.environ if name.upper().startswith(PREFIX)}
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    return use, Variables(names_there, known, file.is_file(), str(Path.cwd()), wrong)


def wanted(use: Settings) -> Wanted:
    """What is to compute."""
    return Wanted(use.device, use.engine, os.environ.get("NVIDIA_TF32_OVERRIDE") == "1")


def folders(use: Settings) -> list[Folder]:
    """The three folders of the settings."""
    named = (
        ("RELOGIT_DATA_DIR", use.data_dir),
        ("RELOGIT_CHECKPOINTS_DIR", use.checkpoints_dir),
        ("RELOGIT_OUTPUTS_DIR", use.outputs_dir),
    )
    return [Folder(variable, str(path), _state(path)) for variable, path in named]


def _state(path: Path) -> str:
    try:
        if not path.exists():
            return "missing"
        if not path.is_dir():
            return "no-folder"
    except OSError:  # a folder above it is closed to this user
        return "unreadable"
    return "there" if os.access(path, os.R_OK | os.X_OK) else "unreadable"


def outputs(use: Settings) -> Outputs:
    """Whether this user can write and lock there; a file is made and removed."""
    path = use.outputs_dir
    there = _nearest(path)
    disk = _disk(there, use.min_free_bytes)
    if there != path.resolve():
        return Outputs(str(path), makeable=os.access(there, os.W_OK | os.X_OK), disk=disk)
    unwritable = []
    folders = [path, use.internal_dir, use.objects_dir, use.rows_dir, use.uploads_dir, use.locks_dir]
    for folder in folders:
        if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
            unwritable.append(f"{folder} cannot be written to by this user")
    for file in sorted(use.internal_dir.glob("jobs.sqlite3*")) if not unwritable else []:
        if not os.access(file, os.W_OK):
            unwritable.append(f"{file} cannot be written to by this user")
    lock_error = None
    if not unwritable:
        try:
            lock_error = _write_and_lock(use.internal_dir if use.internal_dir.is_dir() else path)
        except OSError as error:
            unwritable.append(f"A file cannot be written below {path}: {error.strerror}")
    return Outputs(str(path), unwritable=unwritable, lock_error=lock_error, disk=disk)


def _write_and_lock(folder: Path) -> str | None:
    """Write a file, lock it, and see that a second lock is refused. Returns what is wrong with the locks."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
        file.write(bytes(4096))
        file.flush()
        os.fsync(file.fileno())
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return str(error.strerror)
        with Path(file.name).open() as second:
            try:
                fcntl.flock(second, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return None
    return "a second process was let in"


def _nearest(path: Path) -> Path:
    """The path, or the nearest folder above it that is there; without symbolic links."""
    whole = path.resolve()
    return next(folder for folder in (whole, *whole.parents) if folder.exists())


def _disk(path: Path, least_bytes: int) -> Disk:
    seen = os.statvfs(path)
    return Disk(
        kind=file_system_of(str(path), read("/proc/mounts").splitlines()),
        free_bytes=seen.f_bavail * seen.f_frsize,
        total_bytes=seen.f_blocks * seen.f_frsize,
        free_inodes=seen.f_favail,
        total_inodes=seen.f_files,
        least_bytes=least_bytes,
    )


def store(use: Settings) -> Store:
    """The job store, opened for reading only, and the locks beside it."""
    from app.store.database import MIGRATIONS, SCHEMA_VERSION
    from app.store.liveness import is_held

    path = use.store_path
    inspections: dict[str, Any] = {
        "path": str(path),
        "newest": SCHEMA_VERSION,
        "oldest": min(MIGRATIONS),
        "service": is_held(use.internal_dir / "service.lock"),
        "workers": sum(is_held(lock) for lock in use.locks_dir.glob("*.lock")),
    }
    if not path.exists():
        return Store(**inspections, there=False)
    # Without a log there is nobody in it, and SQLite is kept from leaving an empty one behind.
    way = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?{way}", uri=True, timeout=10)
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            integrity = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.Error as error:
        return Store(**inspections, error=str(error))
    return Store(**inspections, version=version, integrity=integrity)


def read(path: str | Path) -> str:
    """A small text file; empty where there is none, or none that can be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
