"""The terminal monitor on caches that another process uses at that moment, without a terminal and in one."""

import os
import shlex
import shutil
import subprocess
import sys
import uuid

import pytest
from command_line import Sockets, shop, zoocache
from helpers import wait_until
from monitor_pilot import use
from redis_server import Server

from zoocache.inspect import inspect

pytestmark = pytest.mark.memory_only("it names its storages")

NAME = "__main__.product@product"


@pytest.fixture(params=["lmdb", "redis"])
def live(request, tmp_path):
    """The other process, which says what it does, and the URL of its cache."""
    with Sockets():
        server = Server() if request.param == "redis" else None
        url = f"lmdb://{tmp_path}" if server is None else server.url
        try:
            with shop(url, "control=True") as other:
                yield other, url
        finally:
            if server is not None:
                server.end()


def test_another_process_is_watched_explained_and_invalidated(live):
    other, url = live

    async def scenario(monitor):
        # It reads, computes and invalidates all the time.
        sample = await monitor.until(
            lambda: next((one for one in monitor.app.seen.samples if one.hits and one.invalidations), None)
        )
        assert sample.processes == 1
        before = other("stats()['hits']")
        await monitor.until(lambda: other("stats()['hits']") > before)
        await monitor.go(2)
        await monitor.until("product")
        await monitor.go(5)
        await monitor.until("busy:")
        await monitor.go(6)
        await monitor.until(str(other.pid))
        # A server forgets what became stale when a thousand invalidations have come after.
        other.run(
            "@cacheable(namespace='kept', deps=['shop:1:kept'], stale_if_error=('1h', 'any'))\n"
            "def kept():\n"
            "    return 1\n"
            "key = kept.key(); kept()"
        )
        key = other("key")
        await monitor.go(4)
        await monitor.press("slash")
        await monitor.type(key[:-1])
        await monitor.press("enter")
        await monitor.until("1 entry")
        other.run("invalidate('shop:1:kept')")
        await monitor.press("e")
        await monitor.until("because shop:1:kept was invalidated")
        await monitor.until(f"{other.pid}")
        await monitor.press("escape")
        await monitor.go(3)
        await monitor.press("slash")
        await monitor.type("shop:1:product:7")
        await monitor.press("enter")
        await monitor.until("1 entry with shop:1:product:7")
        await monitor.press("i")
        await monitor.until("1 fresh entry goes stale")
        await monitor.press("y")
        await monitor.until(lambda: other(f"explain({NAME + '(7)'!r}).state") != "fresh")

    with inspect(url) as inspector:
        use(inspector, scenario)


def test_without_control_it_says_what_programs_must_say(tmp_path):
    async def scenario(monitor):
        await monitor.until("configure(control=True)")
        # What needs nobody to tell is shown all the same.
        await monitor.until(lambda: any(one.invalidations for one in monitor.app.seen.samples))
        await monitor.go(2)
        await monitor.until("configure(control=True)")

    with Sockets(), shop(tmp_path), inspect(f"lmdb://{tmp_path}") as inspector:
        use(inspector, scenario)


def test_a_process_that_ends_is_trouble_and_no_end():
    async def scenario(monitor):
        await monitor.until("hits/s")
        await monitor.until(lambda: any(one.hits for one in monitor.app.seen.samples))
        other.kill()
        await monitor.until("does not answer")
        for number in (3, 4):
            await monitor.go(number)
            await monitor.press("r")
        await monitor.until("could not list entries")

    with Sockets():
        other = shop("memory://", "control=True")
        try:
            with inspect(other.pid) as inspector:
                use(inspector, scenario)
        finally:
            if other._process.returncode is None:
                other.kill()


def test_a_server_that_is_away_is_trouble_until_it_is_back():
    async def scenario(monitor):
        await monitor.until(lambda: monitor.app.seen.samples)
        server.kill()
        await monitor.until(lambda: monitor.app.query_one("#trouble").has_class("-shown"))
        server.start()
        await monitor.until(lambda: not monitor.app.query_one("#trouble").has_class("-shown"))

    server = Server()
    try:
        with Sockets(), shop(server.url, "control=True"), inspect(server.url) as inspector:
            use(inspector, scenario)
    finally:
        server.end()


def test_a_missing_textual_is_told(tmp_path):
    (tmp_path / "textual.py").write_text("raise ModuleNotFoundError(\"No module named 'textual'\")")
    with shop(tmp_path / "cache"):
        path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
        done = zoocache("cli", "--lmdb", tmp_path / "cache", PYTHONPATH=path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "zoocache cli needs textual here: No module named 'textual'" in done.stderr
    assert "pip install 'zoocache[cli]'" in done.stderr


def test_without_a_terminal_it_says_so(tmp_path):
    with shop(tmp_path):
        done = zoocache("cli", "--lmdb", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "needs a terminal" in done.stderr


class Terminal:
    """A terminal of 80 columns and 24 lines, in which a shell runs."""

    def __init__(self):
        program = shutil.which("tmux")
        assert program, "tmux is missing; install it: apt-get install tmux"
        # A server of its own: what else runs in tmux is left alone.
        self._command = [program, "-L", f"zoocache-{uuid.uuid4().hex[:8]}", "-f", os.devnull]
        self._do("new-session", "-d", "-x", "80", "-y", "24", "env PS1='$ ' sh")

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self._do("kill-server")

    def _do(self, *arguments):
        done = subprocess.run(  # noqa: S603 - tmux
            [*self._command, *arguments], capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    def press(self, *keys):
        self._do("send-keys", *keys)

    def run(self, command):
        self._do("send-keys", "-l", command)
        self.press("Enter")

    @property
    def shown(self):
        return self._do("capture-pane", "-p")

    def until(self, *texts):
        """Wait until all texts are shown, and return what is."""
        shown = ""

        def are_shown():
            nonlocal shown
            shown = self.shown
            return all(text in shown for text in texts)

        try:
            wait_until(are_shown)
        except AssertionError:
            raise AssertionError(shown) from None
        return shown


def test_in_a_real_terminal(tmp_path):
    command = shlex.join([sys.executable, "-m", "zoocache", "cli", "--lmdb", str(tmp_path)])
    places = " ".join(
        f"{name}={shlex.quote(os.environ[name])}" for name in ("PYTHONPATH",) if name in os.environ
    )
    with Sockets(), shop(tmp_path, "control=True"), Terminal() as terminal:
        terminal.run("echo before; stty -a | md5sum")
        terminal.until("before", "  -")
        settings = next(line for line in terminal.shown.splitlines() if line.endswith("  -"))
        runtime = shlex.quote(os.environ["XDG_RUNTIME_DIR"])
        terminal.run(f"XDG_RUNTIME_DIR={runtime} {places} {command}; echo ended with $?")
        shown = terminal.until(
            "1 Overview", "hit ratio", "invalidations/s", "processes telling", "█", "q Quit"
        )
        assert max(map(len, shown.splitlines())) <= 80
        terminal.press("3")
        terminal.until("shop  19/20 fresh", "Invalidate")
        terminal.press("/")
        terminal.press("-l", "shop:1:product:7")
        terminal.press("Enter")
        terminal.until("1 entry with shop:1:product:7")
        terminal.press("i")
        terminal.until("Invalidate shop:1:product:7?", "1 fresh entry goes stale")
        terminal.press("n")
        terminal.press("4")
        terminal.until("70 entries")
        terminal.press("Tab", "Tab", "5")
        terminal.until("TIME (UTC)", "busy:")
        terminal.press("q")
        # What was there before is there again, and the terminal does as before.
        terminal.until("before", "ended with 0")
        assert "Overview" not in terminal.shown
        terminal.run("clear; stty -a | md5sum; echo after")
        assert settings in terminal.until("after", settings)
        terminal.run(f"{places} {command}; echo ended with $?")
        terminal.until("1 Overview", "invalidations/s")
        terminal.press("C-c")
        assert "Traceback" not in terminal.until("ended with 0")
