"""`zoocache serve` on caches that another process uses at that moment."""

import json
import socket
import subprocess
import sys
import time

import httpx
import pytest
from command_line import live_cache, shop, zoocache
from dashboard_server import TOKEN, Serving
from helpers import wait_until
from redis_server import Server

pytestmark = pytest.mark.memory_only("it names its storages")

KEY = "__main__.product@product(5)"


@pytest.fixture(scope="module", params=["lmdb", "redis", "memory"])
def live(request, tmp_path_factory):
    """Another process, and the options that name its cache."""
    with live_cache(request.param, tmp_path_factory, "control=True") as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The options that name a cache that nobody uses now."""
    place = tmp_path_factory.mktemp("quiet")
    subprocess.run(  # noqa: S603 - our own interpreter
        [
            sys.executable,
            "-c",
            f"from zoocache import Cache; Cache(storage_url='lmdb://{place}').set('key', 1)",
        ],
        check=True,
    )
    return ("--lmdb", place)


def events(client):
    """The events of a stream, for ever."""
    while True:
        with client.stream("GET", "events") as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))


def test_it_serves_what_another_process_does(live):
    other, options = live
    with (
        Serving(*options, ZOOCACHE_TOKEN=TOKEN) as serving,
        httpx.Client(base_url=serving.url, trust_env=False) as client,
    ):
        assert TOKEN not in "".join(serving.said)
        assert "<title>zoocache</title>" in client.get("").text
        found = client.get("api/entries", params={"prefix": KEY}).json()["entries"]
        assert [entry["key"] for entry in found] == [KEY]
        for told in events(client):
            samples = [dict(zip(told["fields"], row, strict=True)) for row in told["samples"]]
            if samples and samples[-1]["hits"] > 0 and samples[-1]["invalidations"] > 0:
                break
        assert [one["name"] for one in told["functions"]] == ["__main__.product"]
        assert any(str(other.pid) in node["name"] for node in told["nodes"])
        other.run("set('lone', 1, deps=['lone:1'])")
        headers = {"authorization": f"Bearer {TOKEN}"}
        assert client.post("api/invalidate", json={"tags": ["lone"]}, headers=headers).status_code == 200
        assert wait_until(lambda: other("get('lone')") is None)


def test_ctrl_c_ends_it_at_once_with_open_streams(folder):
    with Serving(*folder) as serving, httpx.Client(base_url=serving.url, trust_env=False) as client:
        with client.stream("GET", "events") as stream, client.stream("GET", "events") as another:
            for one in (stream, another):
                lines = one.iter_lines()
                while not next(lines).startswith("data: "):
                    pass
            began = time.monotonic()
            code, said = serving.interrupt()
        assert code == 0
        assert said == ""
        # Far less than a stream lasts.
        assert time.monotonic() - began < 6


def test_a_storage_that_dies_is_told_and_it_recovers():
    server = Server()
    try:
        with (
            shop(server.url, "control=True"),
            Serving("--redis", server.url) as serving,
            httpx.Client(base_url=serving.url, trust_env=False, timeout=60) as client,
        ):
            told = events(client)
            wait_until(lambda: next(told)["samples"])
            server.kill()
            assert wait_until(lambda: next(told)["trouble"])
            answer = client.get("api/entries")
            assert answer.status_code == 503
            assert answer.json()["error"]
            server.start()
            wait_until(lambda: next(told)["trouble"] is None)
    finally:
        server.end()


def test_only_local_names_are_answered(folder):
    with Serving(*folder) as serving, httpx.Client(base_url=serving.url, trust_env=False) as client:
        assert client.get("", headers={"host": "localhost:1"}).status_code == 200
        refused = client.get("api/entries", headers={"host": "evil.test"})
        assert refused.status_code == 400
        assert "localhost" in refused.json()["error"]
        refused = client.post(
            "api/invalidate", json={"tags": ["a"]}, headers={"authorization": f"Bearer {TOKEN}"}
        )
        assert refused.status_code == 403


def test_another_address_than_loopback_is_warned_of(folder):
    with Serving(*folder, "--host", "0.0.0.0") as serving:  # noqa: S104 - to see the warning
        assert any("Everybody who can reach" in line for line in serving.said)


def test_elsewhere_only_the_names_that_are_given_are_answered(folder):
    names = ("--allow-host", "Shop.test", "--allow-host", "10.0.0.1")
    with (
        Serving(*folder, *names, "--host", "0.0.0.0") as serving,  # noqa: S104 - to be elsewhere
        httpx.Client(base_url=serving.url, trust_env=False) as client,
    ):
        told = {
            host: client.get("", headers={"host": host}).status_code
            for host in ("shop.test", "10.0.0.1:80", "localhost", "evil.test")
        }
    assert told == {"shop.test": 200, "10.0.0.1:80": 200, "localhost": 200, "evil.test": 400}


def test_a_token_is_made_and_printed_once(folder):
    with (
        Serving(*folder, "--actions") as serving,
        httpx.Client(base_url=serving.url, trust_env=False) as client,
    ):
        token = serving.line().rpartition(" ")[2].strip()
        assert len(token) >= 24
        assert (
            client.post("api/unlock", json={}, headers={"authorization": f"Bearer {token}"}).status_code
            == 200
        )
        assert client.post("api/unlock", json={}, headers={"authorization": "Bearer x"}).status_code == 401


def test_a_token_comes_from_a_file(folder, tmp_path):
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    with (
        Serving(*folder, "--token-file", file) as serving,
        httpx.Client(base_url=serving.url, trust_env=False) as client,
    ):
        assert (
            client.post("api/unlock", json={}, headers={"authorization": f"Bearer {TOKEN}"}).status_code
            == 200
        )
    file.write_bytes(b"\xd0\xff" * 20)
    done = zoocache("serve", *folder, "--token-file", file)
    assert done.returncode == 2
    assert "token must be text" in done.stderr
    file.write_text("short")
    done = zoocache("serve", *folder, "--token-file", file)
    assert done.returncode == 2
    assert "at least 16 characters, not 5" in done.stderr
    done = zoocache("serve", *folder, ZOOCACHE_TOKEN="")
    assert done.returncode == 2
    assert "ZOOCACHE_TOKEN" in done.stderr
    assert zoocache("serve", *folder, "--token-file", tmp_path / "nothing").returncode == 1


def test_a_port_that_is_taken_is_named(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = zoocache("serve", *folder, "--port", port)
    assert done.returncode == 1
    assert f"port {port} of 127.0.0.1 is taken" in done.stderr


def test_an_address_of_another_machine_is_named(folder):
    done = zoocache("serve", *folder, "--host", "192.0.2.1")
    assert done.returncode == 1
    assert "cannot listen at 192.0.2.1" in done.stderr


def test_without_a_cache_it_ends_with_1(tmp_path):
    done = zoocache("serve", "--lmdb", tmp_path / "nothing")
    assert done.returncode == 1
    assert "there is no cache in" in done.stderr


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_what_is_missing_is_named(folder, tmp_path, missing):
    (tmp_path / f"{missing}.py").write_text(
        f"raise ModuleNotFoundError('there is no {missing}', name={missing!r})"
    )
    done = zoocache("serve", *folder, PYTHONPATH=f"{tmp_path}:{':'.join(sys.path)}")
    assert done.returncode == 1
    assert f"{missing} is missing; to install them: pip install 'zoocache[cli,dashboard]'" in " ".join(
        done.stderr.split()
    )
