"""What the Rust benchmark of a storage has measured, for the page that the Python one writes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import report

_HEADER = ("work", "ours", "baseline", "ratio", "goal", "met?")


def options(description: str | None) -> argparse.Namespace:
    """Read the command line: `quick`, and `rust`, the path of the rows."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="see in seconds that it works; write no page")
    parser.add_argument("--rust", type=Path, metavar="PATH", help="the rows of the Rust benchmark")
    return parser.parse_args()


def section(name: str, path: Path | None) -> tuple[str, str | None]:
    """Write what the benchmark `name` has put into `path`, and the turns of its kinds, if it has."""
    if path is None:
        command = f"cargo bench -p zoocache --features {name} --bench {name} -- --json PATH"
        return f"Not measured: `{command}`, then `--rust PATH`.", None
    found = json.loads(path.read_text(encoding="utf-8"))
    cells = [report.Row(**row).cells() for row in found["rows"]]
    table = report.markdown(_HEADER, cells)
    text = f"Load average {found['load']} at the start; {found['rounds']} rounds.\n\n{table}"
    return text, report.grouped(found["turns"])
