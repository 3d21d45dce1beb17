"""Whether the folders are there, can be written to, and lie on a disk that is fit for a job store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from worker.doctor.finding import Finding, amount, ok, problem, warning

LOW_BYTES = 5 * 10**9
LOW_SHARE, NO_INODES = 0.05, 0.01
NETWORK = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "virtiofs",
    "lustre",
    "gpfs",
    "ceph",
    "beegfs",
    "afs",
    "glusterfs",
)
MEMORY = ("tmpfs", "ramfs")


@dataclass(frozen=True, slots=True)
class Disk:
    """What a folder lies on."""

    kind: str = ""
    """Of the file system, such as ext4; empty where nothing says."""
    free_bytes: int = 0
    total_bytes: int = 0
    free_inodes: int = 0
    total_inodes: int = 0
    """0 on file systems that do not count them."""
    least_bytes: int = 0
    """With less room free the service is not ready (`RELOGIT_MIN_FREE_BYTES`)."""


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder of the settings."""

    variable: str
    """RELOGIT_DATA_DIR, say."""
    path: str
    state: str
    """`there`, `missing`, `no-folder` (a file, say), or `unreadable`."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs folder, where this user really wrote and removed a file."""

    path: str
    makeable: bool = True
    """Where it is missing: whether this user may make it."""
    unwritable: Sequence[str] = ()
    """Each folder and file below it that this user cannot write to, with why."""
    lock_error: str | None = None
    """What went wrong with an flock there; None if a second one was refused, as it must be."""
    disk: Disk = Disk()


def check_folders(folders: Sequence[Folder], outputs: Outputs) -> list[Finding]:
    """Every folder; then, of the outputs, whether it can be written to, and its disk."""
    found = [_missing(folder, outputs) for folder in folders if folder.state != "there"]
    if not found:
        found = [ok("folders", f"Data, checkpoints and outputs are there: {', '.join(f.path for f in folders)}.")]
    if all(folder.state in ("there", "missing") for folder in folders if folder.path == outputs.path):
        found += [*check_writing(outputs), check_file_system(outputs), *check_space(outputs.path, outputs.disk)]
    return found


def _missing(folder: Folder, outputs: Outputs) -> Finding:
    is_outputs = folder.path == outputs.path
    if folder.state == "no-folder":
        return problem("folders", f"{folder.path} is no folder.", f"Correct {folder.variable}.")
    if folder.state == "unreadable":
        return problem(
            "folders", f"{folder.path} cannot be read by this user.", f"chmod it, or correct {folder.variable}."
        )
    if is_outputs and outputs.makeable:
        return warning(
            "folders", f"{folder.path} is not there; the service makes it when it starts.",
            f"If there are results already, correct {folder.variable}.",
        )  # fmt: skip
    if is_outputs:
        return problem(
            "folders", f"{folder.path} is not there, and this user may not make it.",
            f"Make it, owned by the user that runs the service, or correct {folder.variable}.",
        )  # fmt: skip
    return problem(
        "folders", f"{folder.path} is not there.", f"Make it and put the files there, or correct {folder.variable}."
    )


def check_writing(seen: Outputs) -> list[Finding]:
    """A file could be written and removed, and a lock keeps a second one out."""
    found = [
        problem("outputs", f"{what}.", "chown it to the user that runs the service.") for what in seen.unwritable
    ]
    if seen.lock_error is not None:
        found.append(
            problem(
                "outputs",
                f"File locks do not work in {seen.path}: {seen.lock_error}. Who is alive is told by them.",
                "Point RELOGIT_OUTPUTS_DIR at a local file system.",
            )
        )
    return found or [ok("outputs", f"{seen.path} can be written to, and file locks work.")]


def check_file_system(seen: Outputs) -> Finding:
    """SQLite's write-ahead log and flock need a file system of this one host, that lasts."""
    kind = seen.disk.kind
    if kind in NETWORK or kind.startswith("fuse."):
        return warning(
            "file-system",
            f"{seen.path} is on {kind}, a network or shared file system: SQLite's write-ahead log is not safe there.",
            "Point RELOGIT_OUTPUTS_DIR at a local disk.",
        )
    if kind == "overlay":
        return warning(
            "file-system", f"{seen.path} is in the container's own layer (overlay): it goes with the container.",
            "Mount a volume or a folder of the host there.",
        )  # fmt: skip
    if kind in MEMORY:
        return warning(
            "file-system", f"{seen.path} is in memory ({kind}): it is gone after a restart of the machine.",
            "Point RELOGIT_OUTPUTS_DIR at a local disk.",
        )  # fmt: skip
    return ok("file-system", f"{seen.path} is on {kind or 'a file system of unknown kind'}.")


def check_space(path: str, disk: Disk) -> list[Finding]:
    """Room for results: bytes, and inodes where they are counted."""
    share = disk.free_bytes / disk.total_bytes if disk.total_bytes else 1.0
    said = f"{amount(disk.free_bytes)} free of {amount(disk.total_bytes)} ({share:.0%}) for {path}"
    do = "Make room; `relogit gc` and `relogit rows prune` remove what is kept."
    # A large disk with a hundredth free has room for many jobs: that alone stops nobody.
    if disk.free_bytes < disk.least_bytes:
        found = [problem("space", f"Only {said}.", do)]
    elif disk.free_bytes < LOW_BYTES or share < NO_INODES:
        found = [warning("space", f"Only {said}.", do)]
    else:
        found = [ok("space", f"{said}.")]
    if disk.total_inodes:
        left = disk.free_inodes / disk.total_inodes
        judge = problem if left < NO_INODES else warning
        if left < LOW_SHARE:
            said = f"Only {disk.free_inodes:,} of {disk.total_inodes:,} inodes are free for {path}."
            found.append(judge("space", said, "Remove small files from that file system."))
    return found


def file_system_of(path: str, mounts: Iterable[str]) -> str:
    """The kind of file system that an absolute path lies on.

    Args:
        path: without symbolic links.
        mounts: lines of /proc/mounts.

    Returns:
        Empty where no line holds the path.
    """
    best, kind = -1, ""
    for line in mounts:
        fields = line.split()
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:  # the later of two mounts on one point hides the first
            best, kind = len(point), fields[2]
    return kind
