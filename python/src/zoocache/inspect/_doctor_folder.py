"""What may be wrong with an LMDB folder."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from zoocache._errors import CacheError
from zoocache._places import LMDB, application
from zoocache.inspect._finding import Finding, bytes_text
from zoocache.inspect._open import open_place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zoocache.inspect.records import Stats

#: File systems that other machines share, or that cannot be mapped as LMDB needs it.
_NETWORK = {
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "ocfs2", "gfs2", "lustre", "glusterfs",
    "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.gcsfuse", "virtiofs",
}  # fmt: skip
#: Less room than this on a disk is little, unless the disk is small; and so is less than this share of a
#: disk.
_LITTLE_BYTES, _SMALL_DISK_SHARE, _LITTLE_SHARE = 64 * 2**20, 0.2, 0.02
#: What is fuller than this is nearly full.
_NEARLY = 0.9
#: A clock that was set back by less only makes positions a little too high.
_CLOCK_SECONDS = 1.0


def examine(folder: str, prefix: str | None, secret: str | bytes | None) -> list[Finding]:
    """Look at a folder, and at the cache in it if there is one."""
    path = Path(folder) if prefix is None else Path(folder) / application(prefix)
    if not path.exists():
        return [_missing(path)]
    findings = list(_of_files(path))
    if any(finding.level == "error" for finding in findings):
        return findings
    findings += _of_boot(path)
    # Whoever opens a folder of another boot empties it.
    if not (path / "boot").is_file() or any(finding.code == "other-boot" for finding in findings):
        return findings
    try:
        with open_place(LMDB + folder, prefix, secret) as inspector:
            return [*findings, *_of_cache(inspector.stats())]
    except (CacheError, OSError) as error:
        return [*findings, _unopened(path, str(error))]


def _missing(path: Path) -> Finding:
    if path.parent.is_dir():
        return Finding(
            "missing",
            "warning",
            f"there is no folder {path}: no program has used it yet, or the path is another",
            "compare the path with the one in configure(); the first program that uses it makes it",
        )
    return Finding(
        "missing",
        "error",
        f"there is no folder {path}, and none to make it in",
        f"mkdir -p {path.parent}",
    )


def _of_files(path: Path) -> Iterator[Finding]:
    if not path.is_dir():
        yield Finding(
            "not-a-folder", "error", f"{path} is no folder", "give the path of a folder in storage_url"
        )
        return
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        yield Finding(
            "not-writable",
            "error",
            f"this user ({os.geteuid()}) may not write to {path}, which belongs to {path.stat().st_uid}",
            f"run it as the user who owns the folder, or: chown -R {os.geteuid()} {path}",
        )
        return
    owners = owners_of(path)
    if len(owners) > 1:
        shown = ", ".join(str(owner) for owner in sorted(owners))
        yield Finding(
            "mixed-owners",
            "warning",
            f"the files in {path} belong to several users ({shown}): some programs cannot write to all of "
            f"them",
            f"run all programs as one user, or: chown -R USER {path}",
        )
    if path.stat().st_mode & stat.S_IWOTH:
        yield Finding(
            "world-writable",
            "warning",
            f"every user of this machine may change the entries in {path}",
            f"chmod o-w {path}, or give all programs a secret=",
        )
    yield from _of_disk(path)


def owners_of(path: Path) -> set[int]:
    """The users to whom a folder and the files in it belong."""
    return {file.lstat().st_uid for file in [path, *path.rglob("*")]}


def _of_disk(path: Path) -> Iterator[Finding]:
    kind = file_system(path.resolve(), mounts_text())
    if kind in _NETWORK:
        yield Finding(
            "network-file-system",
            "error",
            f"{path} lies on a file system of type {kind}, on which LMDB loses data",
            "move the folder to a local disk; machines share a cache through a Redis server",
        )
    disk = os.statvfs(path)
    left, whole = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    if left < max(min(_LITTLE_BYTES, whole * _SMALL_DISK_SHARE), whole * _LITTLE_SHARE):
        yield Finding(
            "disk-nearly-full",
            "warning",
            f"the disk of {path} has {bytes_text(left)} left of {bytes_text(whole)}: entries are evicted "
            f"early, and "
            "invalidations may fail",
            "make room on the disk, or bound the cache with max_bytes=",
        )


def mounts_text() -> str:
    """What is mounted where."""
    return Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")


def file_system(path: Path, mounts: str) -> str | None:
    """The type of the file system that a path lies on, by what `/proc/self/mounts` says."""
    found, longest = None, -1
    for line in mounts.splitlines():
        _device, point_text, kind, *_options = line.split(" ")
        # Blanks and the like stand there as octal numbers.
        point = Path(point_text.encode().decode("unicode_escape"))
        if (path == point or point in path.parents) and len(point.parts) >= longest:
            found, longest = kind, len(point.parts)
    return found


def _of_boot(path: Path) -> Iterator[Finding]:
    boot = path / "boot"
    if not boot.is_file():
        if any(path.iterdir()) and not list(path.glob("app-*/boot")):
            yield Finding(
                "foreign-files",
                "warning",
                f"{path} holds files, but no cache",
                "give the cache a folder of its own; with a prefix, give the doctor the prefix, too",
            )
        return
    lines = boot.read_text(encoding="utf-8", errors="replace").splitlines()
    now = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    if lines and lines[0] != now:
        yield Finding(
            "other-boot",
            "warning",
            f"{path} is of another start of this machine, or of another machine: the next program that opens "
            f"it "
            "empties it, since nothing in it was synced to the disk",
            "nothing, after a restart; if it was copied, do not copy it: a cache fills itself",
        )


def _of_cache(stats: Stats) -> Iterator[Finding]:
    facts = stats.facts
    used, room = facts["used_bytes"], facts["map_bytes"]
    if used > room * _NEARLY:
        yield Finding(
            "map-nearly-full",
            "warning",
            f"entries take {bytes_text(used)} of the {bytes_text(room)} that the file may have: others are "
            f"evicted",
            "raise lmdb_map_size= of the program that opens the folder first, or leave it out",
        )
    readers, most = facts["readers"], facts["max_readers"]
    if readers > most * _NEARLY:
        yield Finding(
            "readers-nearly-full",
            "warning",
            f"{readers} of {most} places for reading threads are taken: threads beyond them compute what is "
            f"cached",
            "raise max_readers= of the program that opens the folder first",
        )
    ahead = (stats.latest.timestamp() - time.time()) if stats.latest is not None else 0
    if ahead > _CLOCK_SECONDS:
        yield Finding(
            "clock-set-back",
            "warning",
            f"the latest invalidation lies {ahead:.1f} s in the future: the clock was set back, or was wrong",
            "let one time service set the clock (timedatectl); nothing is stale, but times that are told are "
            "wrong",
        )


def _unopened(path: Path, text: str) -> Finding:
    if "format" in text:
        return Finding(
            "other-format",
            "error",
            f"{path} is of another version of zoocache: {text}",
            "let all programs use one version, or give each version a folder of its own",
        )
    return Finding("not-opened", "error", f"{path} cannot be opened: {text}", "see the message")
