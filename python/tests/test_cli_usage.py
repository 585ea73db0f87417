"""The command line without a cache, its help, its options and its exit codes."""

import subprocess
import sys

import pytest
from command_line import Sockets, shop, shown, told, zoocache
from redis_server import Server

pytestmark = pytest.mark.memory_only("it names its storages")

PASSWORD = "not-to-be-shown"  # noqa: S105 - of no server


def test_without_a_command_it_prints_help_and_ends_with_1():
    done = zoocache()
    assert done.returncode == 1
    for command in ("stats", "keys", "explain", "tree", "invalidate", "nodes", "tail", "doctor", "bench"):
        assert command in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_help_fits_the_terminal():
    for command in ("keys", "invalidate", "tail", "bench", "cli"):
        assert "--prefix" in shown(command, "--help")


def test_version():
    assert "zoocache" in shown("--version")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_of_shells(shell):
    assert "_ZOOCACHE_COMPLETE" in zoocache("completion", shell).stdout


def test_a_shell_is_told_commands():
    done = zoocache(COMP_WORDS="zoocache inv", COMP_CWORD="1", _ZOOCACHE_COMPLETE="bash_complete")
    assert "invalidate" in done.stdout


@pytest.mark.parametrize(
    "command", [["nonsense"], ["get"], ["invalidate"], ["keys", "--state", "odd"], ["keys", "--limit", "0"]]
)
def test_wrong_usage_ends_with_2(command):
    assert zoocache(*command).returncode == 2


def test_two_places_are_wrong_usage():
    done = zoocache("stats", "--redis", "redis://localhost", "--pid", "1")
    assert done.returncode == 2
    assert "give one of" in done.stderr


@pytest.mark.parametrize("command", ["cli", "dashboard", "stats"])
def test_without_a_cache_it_says_what_is_missing(command):
    with Sockets():
        done = zoocache(command)
    assert (done.returncode, done.stdout) == (1, "")
    assert "--redis" in done.stderr
    assert "REDIS_URL" in done.stderr


@pytest.mark.parametrize("command", ["cli", "dashboard", "stats", "doctor"])
def test_a_server_that_is_away_is_named_without_its_password(command):
    done = zoocache(command, "--redis", f"redis://app:{PASSWORD}@127.0.0.1:9/0")
    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def test_a_url_that_is_none_is_not_shown():
    done = zoocache("stats", "--url", f"http://app:{PASSWORD}@host")
    assert done.returncode == 1
    assert PASSWORD not in done.stderr
    assert "unknown scheme" in done.stderr


def test_looking_at_a_folder_makes_none(tmp_path):
    missing = tmp_path / "cache"
    done = zoocache("stats", "--lmdb", missing)
    assert done.returncode == 1
    assert str(missing) in done.stderr
    assert not missing.exists()


def test_looking_at_a_prefix_makes_none():
    server = Server()
    try:
        done = zoocache("keys", "--redis", server.url, "--prefix", "shop")
        assert done.returncode == 1
        assert "no cache with the prefix 'shop'" in done.stderr
        assert server.ask("DBSIZE") == 0
        with shop(server.url, "prefix='other'"):
            assert "there are: other" in zoocache("keys", "--redis", server.url, "--prefix", "shop").stderr
    finally:
        server.end()


def test_places_by_the_environment(tmp_path):
    with shop(tmp_path / "one"), shop(tmp_path / "two"):
        assert told("stats", ZOOCACHE_URL=f"lmdb://{tmp_path}/one")["place"].endswith("one")
        found = told("stats", "--lmdb", tmp_path / "two", ZOOCACHE_URL=f"lmdb://{tmp_path}/one")
        assert found["place"].endswith("two")


def test_a_prefix_names_the_application(tmp_path):
    with shop(tmp_path, "prefix='shop'"):
        assert (
            told("get", "__main__.product@product(7)", "--lmdb", tmp_path, "--prefix", "shop")["state"]
            == "fresh"
        )
        done = zoocache("stats", "--lmdb", tmp_path)
        assert done.returncode == 1
        assert "app-shop" in done.stderr


@pytest.mark.parametrize("kind", ["lmdb", "redis"])
def test_a_secret_is_needed_for_values_only(kind, tmp_path, request):
    key = "__main__.product@product(7)"
    url = f"lmdb://{tmp_path}" if kind == "lmdb" else request.getfixturevalue("redis_server").url
    with shop(url, f"secret={PASSWORD!r}"):
        assert told("keys", key, "--url", url)["entries"][0]["key"] == key
        assert told("explain", key, "--url", url)["state"] == "fresh"
        assert told("affected", "shop:1:product:7", "--url", url)["affected"] == 1
        assert told("tree", "shop:1", "--url", url)["branches"][0]["fresh"] == 19
        without = zoocache("get", key, "--url", url)
        assert without.returncode == 1
        assert "secret" in without.stderr
        with_it = told("get", key, "--url", url, ZOOCACHE_SECRET=PASSWORD)
        assert with_it["value"]["number"] == 7


def test_the_only_process_that_can_be_looked_at_is_meant():
    with Sockets(), shop("memory://", "control=True") as one:
        assert told("stats")["place"] == f"process {one.pid}"
        with shop("memory://", "control=True") as two:
            done = zoocache("stats")
            assert done.returncode == 1
            assert str(one.pid) in done.stderr
            assert str(two.pid) in done.stderr


def test_what_a_terminal_would_obey_is_shown_as_text(tmp_path):
    with shop(tmp_path) as other:
        other.run(r"set('evil\x1b[2J\nkey', 1)")
        text = shown("keys", "evil", "--lmdb", tmp_path)
    assert "\x1b" not in text
    assert r"evil\x1b[2J\nkey" in text


def test_without_click_it_says_which_extra_to_install():
    source = "import sys; sys.modules['click'] = None; from zoocache.cli import main; main()"
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", source], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "pip install 'zoocache[cli]'" in done.stderr


def test_bench_measures_each_storage_and_leaves_nothing(tmp_path):
    server = Server()
    try:
        rows = told("bench", "--seconds", "0.01", "--redis", server.url)["rows"]
        assert {row["storage"] for row in rows} == {"memory", "lmdb", "redis"}
        assert all(row["microseconds"] > 0 for row in rows)
        assert server.ask("DBSIZE") == 0
    finally:
        server.end()
    shown("bench", "--seconds", "0.01", "--lmdb", tmp_path / "cache")
    assert list(tmp_path.iterdir()) == []
