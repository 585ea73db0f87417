"""The processes of this machine that have a folder open, found in `/proc`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from zoocache.inspect.records import Node

if TYPE_CHECKING:
    from zoocache._settings import Settings

_PROC = Path("/proc")


def folder_of(settings: Settings) -> Path | None:
    """The folder in which a cache's entries rest, if they do."""
    if settings.folder is None:
        return None
    folder = Path(settings.folder)
    return folder if settings.application is None else folder / settings.application


def users_of(folder: Path) -> tuple[Node, ...]:
    """Tell which processes have the folder open, as far as this user may know.

    All of them know of an invalidation at their next read, so nobody is behind.
    """
    try:
        file = (folder / "tags" / "data.mdb").stat()
    except OSError:
        return ()
    mapped = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x} {file.st_ino} "
    processes = [process for process in _PROC.iterdir() if process.name.isdigit()]
    processes = sorted((one for one in processes if _maps(one, mapped)), key=lambda one: int(one.name))
    return tuple(_node(process) for process in processes)


def this_process() -> Node:
    """Tell of this process."""
    return _node(_PROC / str(os.getpid()))


def name_here() -> str:
    """What this process is called among those of this machine."""
    return f"pid:{os.getpid()}"


def is_alive(pid: int) -> bool:
    """Whether there is such a process."""
    return (_PROC / str(pid)).is_dir()


def _maps(process: Path, mapped: str) -> bool:
    try:
        with (process / "maps").open(encoding="utf-8", errors="replace") as maps:
            return any(mapped in line for line in maps)
    except OSError:  # it has ended, or is another user's
        return False


def _node(process: Path) -> Node:
    pid = int(process.name)
    return Node(
        name=f"pid:{pid}",
        behind=0.0,
        age=_age(process),
        address=_program(process),
        is_self=pid == os.getpid(),
    )


def _age(process: Path) -> float | None:
    try:
        # The name of the program may hold blanks and parentheses.
        fields = (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)


def _program(process: Path) -> str:
    """What runs there: no more than the program's name, since arguments may hold passwords."""
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    program, first, second = [word.decode(errors="replace") for word in [*words, b"", b"", b""][:3]]
    name = Path(program).name
    if first == "-m":
        return f"{name} -m {second}"
    return f"{name} {Path(first).name}" if first.endswith(".py") else name
