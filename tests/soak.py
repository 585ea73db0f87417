"""Hours of the harnesses of real processes, one after the other, and a summary in the end.

    ./dev soak 2          two hours; half an hour without a number

Each round runs processes on an LMDB folder, nodes on a Redis server, and seeds of the simulation that no
round had before. The last round is run to its end. What they print is kept in a folder of this run; a round
that fails ends nothing, and is named in the summary.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LMDB = "cargo test -p zoocache --features lmdb --release --test processes"
REDIS = "cargo test -p zoocache --features redis --release --test redis_processes"
SIMULATION = "cargo run --profile hosts -p zoocache-simulation -- from={first} seeds={seeds}"


@dataclass
class Sizes:
    """How much one round does."""

    lmdb: dict[str, str]
    redis: dict[str, str]
    seeds: int


#: A few minutes for each harness.
LONG = Sizes(
    lmdb={"ZOOCACHE_READS": "3000000", "ZOOCACHE_KILLS": "600"},
    redis={"ZOOCACHE_READS": "1000000", "ZOOCACHE_FAULTS": "100"},
    seeds=20_000,
)
#: When there is less time than `LONG_HOURS`: what the harnesses do on their own.
SHORT = Sizes(lmdb={}, redis={}, seeds=2_000)
LONG_HOURS = 0.5


@dataclass
class Sums:
    """What the rounds of one harness saw."""

    rounds: int = 0
    reads: int = 0
    hits: int = 0
    faults: int = 0
    killed: int = 0
    broken: int = 0
    failed: list[str] = field(default_factory=list)

    def add(self, told: str, log: Path, *, has_failed: bool) -> None:
        """Takes in what one round printed."""

        def total(pattern: str) -> int:
            return sum(int(number) for number in re.findall(pattern, told))

        self.rounds += 1
        self.reads += total(r"(\d+) reads\b")
        self.hits += total(r"(\d+) hits\b")
        self.faults += total(r"(\d+) faults\b")
        self.killed += total(r"(\d+) (?:(?:workers|nodes) were killed|killed themselves)")
        promises = re.findall(r"^stale reads: .*$", told, re.MULTILINE)
        self.broken += sum(int(number) for line in promises for number in re.findall(r": (\d+)", line))
        self.broken += total(r"seeds that break a promise: (\d+)")
        if has_failed:
            self.failed.append(str(log))


def run(name: str, command: str, settings: dict[str, str], folder: Path, sums: Sums) -> None:
    """Runs one round of a harness."""
    log = folder / f"{sums.rounds:04}-{name}.log"
    environment = {**os.environ, **settings}
    with log.open("w") as output:
        done = subprocess.run(  # noqa: S603
            command.split(), cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    sums.add(log.read_text(errors="replace"), log, has_failed=done.returncode != 0)
    if done.returncode == 0 and sums.rounds > 1:
        log.unlink()


def summary(all_sums: dict[str, Sums], began: float) -> str:
    """What is printed in the end."""
    lines = [f"{(time.monotonic() - began) / 3600:.2f} hours"]
    for name, sums in all_sums.items():
        lines.append(
            f"{name}: {sums.rounds} rounds, {sums.reads} reads, {sums.hits} hits, {sums.faults} faults, "
            f"{sums.killed} processes killed, {sums.broken} promises broken, {len(sums.failed)} rounds failed"
        )
        lines += [f"  see {log}" for log in sums.failed]
    return "\n".join(lines)


def main() -> int:
    """Runs rounds until the time is over."""
    try:
        hours = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5
    except ValueError:
        print(f"soak: {sys.argv[1]!r} is no number of hours", file=sys.stderr)
        return 2
    folder = Path(os.environ["CARGO_TARGET_DIR"]) / "soak" / time.strftime("%Y%m%d-%H%M%S")
    folder.mkdir(parents=True)
    began = time.monotonic()
    sums = {"lmdb": Sums(), "redis": Sums(), "simulation": Sums()}
    first = int(time.time()) * 1_000
    sizes = LONG if hours >= LONG_HOURS else SHORT
    print(f"until {hours} hours have passed; logs in {folder}", flush=True)
    try:
        while time.monotonic() - began < hours * 3600:
            if sums["lmdb"].rounds:
                print(summary(sums, began), flush=True)
            run("lmdb", LMDB, sizes.lmdb, folder, sums["lmdb"])
            run("redis", REDIS, sizes.redis, folder, sums["redis"])
            simulation = SIMULATION.format(first=first, seeds=sizes.seeds)
            run("simulation", simulation, {}, folder, sums["simulation"])
            first += sizes.seeds
    except KeyboardInterrupt:
        print()
    print(summary(sums, began))
    return 1 if any(one.failed or one.broken for one in sums.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
