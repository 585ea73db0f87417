"""The example in `examples/embed-python`, run as a user runs it."""

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[3] / "examples/embed-python"


def test_the_example_serves_what_is_fresh_and_computes_what_is_not(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, EXAMPLE], cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[0] == "price: 3 was computed, and is kept"
    assert lines[lines.index("shop:1:milk changes") + 1] == "price: 3 is fresh"
    assert lines[lines.index("shop:1:tea changes") + 1] == "price: 3 is stale"
    assert lines[-1] == "price: 4 was computed, and is not kept, as it changed meanwhile"
