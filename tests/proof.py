"""Runs what docs/proof.md tells of, and writes the figures into it.

./dev proof
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "proof.md"
BEGIN, END = "<!-- figures: written by ./dev proof -->", "<!-- end of the figures -->"


def told(program: str, *words: str) -> str:
    """What a program prints; ends here if it fails."""
    done = subprocess.run([program, *words], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    sys.stderr.write(done.stderr)
    if done.returncode != 0:
        print(done.stdout)
        sys.exit(f"{program} {' '.join(words)} failed: there are no figures to be written")
    return done.stdout


def main() -> None:
    """Writes the figures."""
    simulation = sys.argv[1]
    grounds = []
    for ground in sys.argv[2:]:
        seen = told(simulation, f"ground={ground}", "seeds=10000").splitlines()[0]
        seeds, _, rest = seen.partition(" seeds in ")
        seconds, _, counts = rest.partition(" s: ")
        grounds.append((ground, seeds, seconds, counts))
    mutants = told(simulation, "mutants").strip()
    lines = [BEGIN, "", f"Of {time.strftime('%Y-%m-%d')}, on {cores()} cores. No seed broke a promise.", ""]
    lines += ["| on | seeds | seconds | what they saw |", "|---|---:|---:|---|"]
    lines += [f"| {' | '.join(row)} |" for row in grounds]
    lines += ["", mutants, "", END]
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + "\n".join(lines) + after)
    print(f"written: {PAGE.relative_to(ROOT)}")


def cores() -> int:
    """How many there are."""
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    main()
