"""The pages tell the truth: their Python examples run, and their links lead somewhere."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import zoocache

ROOT = Path(__file__).parent.parent
#: Stands for a server in the examples; they are run with one of their own.
SERVER = "redis://cache.internal:6379/0"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]


def blocks(page: Path) -> list[str]:
    """The blocks marked ``python``, each after as many empty lines as put it where it stands in the page."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return ["\n" * text.count("\n", 0, match.start(1)) + match[1] for match in found]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = shutil.which("redis-server")
    assert program, "redis-server is not installed: apt-get install redis-server"
    folder = tmp_path_factory.mktemp("redis")
    arguments = ["--port", "0", "--unixsocket", "socket", "--save", "", "--dir", str(folder)]
    with subprocess.Popen([program, *arguments], cwd=folder, stdout=subprocess.DEVNULL) as process:  # noqa: S603 - our own
        deadline = time.monotonic() + 30
        while not (folder / "socket").exists():
            assert process.poll() is None, "it ended"
            assert time.monotonic() < deadline, "it does not start"
            time.sleep(0.01)
        yield f"unix://{folder}/socket"
        process.terminate()


def configures_django(page: Path) -> bool:
    """Whether the page makes Django's settings itself, which a process does once."""
    return any("settings.configure(" in block for block in blocks(page))


RUN = [page for page in PAGES if blocks(page)]


@pytest.mark.parametrize(
    "page", [page for page in RUN if configures_django(page)], ids=lambda page: page.name
)
def test_examples_run_in_a_process_of_their_own(page: Path) -> None:
    done = subprocess.run(  # noqa: S603 - our own pages
        [sys.executable, "-c", "\n".join(blocks(page))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "page", [page for page in RUN if not configures_django(page)], ids=lambda page: page.name
)
def test_examples_run(page: Path, server: str) -> None:
    zoocache.reset()
    names = {"__name__": page.stem}
    for block in blocks(page):
        if "configure(" in block:
            zoocache.reset()
        exec(compile(block.replace(SERVER, server), page, "exec"), names)
    zoocache.reset()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not broken
