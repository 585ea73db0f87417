"""The programs in examples/ run and end well."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("options", [[], ["--lmdb"]], ids=["memory", "lmdb"])
def test_the_store_never_serves_a_stale_page(tmp_path: Path, options: list[str]) -> None:
    program = [sys.executable, str(EXAMPLES / "store"), "--reads", "1500", *options]
    # From another folder, as a user might.
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603 - our own program
    assert done.returncode == 0, done.stderr
    assert "stale reads: 0" in done.stdout
    assert "was invalidated at" in done.stdout
