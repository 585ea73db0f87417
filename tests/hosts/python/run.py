"""Runs the conformance vectors on the component in wasmtime-py: all, or those of the files that are named.

It needs the package `wasmtime`, the component in dist/, and nothing else of this project.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

from component import Component
from timing import judgement_times
from vector import Failure, run_vector

ROOT = Path(__file__).resolve().parents[3]


def main(files: list[Path]) -> int:
    """Run the vectors of some files, and say what failed and what a judgement costs; 1 if anything failed."""
    component = Component(ROOT / "dist/zoocache-engine.wasm")
    passed = total = 0
    for file in files:
        for vector in json.loads(file.read_bytes()):
            total += 1
            try:
                run_vector(vector, component.instance())
            except Failure as failure:
                sys.stderr.write(f'FAILED: "{vector["name"]}" of {file.name}, {failure}\n\n')
            else:
                passed += 1
    sys.stdout.write(f"python (wasmtime-py {version('wasmtime')}): {passed} of {total} vectors\n")
    judge, judge_many = judgement_times(component.instance())
    sys.stdout.write(f"  judge {judge:.1f} µs, judge-many of 1000 {judge_many:.0f} µs (medians)\n")
    return 0 if 0 < total == passed else 1


if __name__ == "__main__":
    named = [Path(name) for name in sys.argv[1:]]
    sys.exit(main(named or sorted((ROOT / "tests/conformance").glob("*.json"))))
