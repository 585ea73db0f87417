"""What `configure` says of servers: which settings make sense, and that no credentials are ever shown."""

import logging
import subprocess
import warnings
from datetime import timedelta

import pytest
from helpers import Counted, free_port
from redis_server import Refused, Server

import zoocache
from zoocache import BusError, Cache, ConfigError, StorageError, _settings, configure

PASSWORD = "hunter2-Geheim"  # noqa: S105 - of servers of the tests' own
USER = "somebody-secret"


@pytest.mark.parametrize("setting", ["storage_url", "bus_url"])
@pytest.mark.parametrize(
    "url",
    [
        f"redis://{USER}:{PASSWORD}@",
        f"redis://{USER}:{PASSWORD}@host:notaport/0",
        f"redis://{USER}:{PASSWORD}@host:99999/0",
        f"redis://{USER}:{PASSWORD}@host:6379/notanumber",
        f"redis://{USER}:{PASSWORD}/x@host/0?nothing=1",
        f"redis://{USER}:{PASSWORD}@[::1/0",
        f"redis:{USER}:{PASSWORD}@host",
        f"{USER}:{PASSWORD}@host",
        f"{USER}:{PASSWORD}@redis://host",
        f"nothing://{USER}:{PASSWORD}@host",
        f"redis+cluster://{USER}:{PASSWORD}@host/7",
        f"redis+sentinel://{USER}:{PASSWORD}@host:26379",
        f"redis+sentinel://{USER}:{PASSWORD}@host:26379/service/notanumber",
        f"redis+sentinel://{USER}:{PASSWORD}@host:26379/service/0/more",
        f"redis+sentinel://{USER}:{PASSWORD}@host/service?password={PASSWORD}",
        f"redis://{USER}:{PASSWORD}@host?ssl_ca_certs=/nowhere/ca.pem",
        f"rediss://{USER}:{PASSWORD}@host?ssl_ca_certs=/nowhere/ca.pem",
        f"rediss://{USER}:{PASSWORD}@host?ssl_certfile=/nowhere/cert.pem",
        f"unix://{USER}:{PASSWORD}@host/socket?user={USER}&pass={PASSWORD}",
        f"unix:?pass={PASSWORD}",
    ],
)
def test_an_address_that_is_none_is_refused_without_showing_credentials(setting, url, caplog, recwarn):
    with pytest.raises(ConfigError) as caught:
        configure(**{setting: url})
    shown = [str(caught.value), repr(caught.value), repr(caught.value.__cause__), caplog.text]
    shown += [str(warning.message) for warning in recwarn]
    assert setting in shown[0]
    assert not any(PASSWORD in text or USER in text for text in shown), shown


@pytest.mark.parametrize("name", ["storage_url", "bus_url"])
def test_settings_show_no_credentials(name):
    url = f"redis://{USER}:{PASSWORD}@host/0"
    shown = repr(_settings.check({name: url, "secret": PASSWORD}))
    assert PASSWORD not in shown
    assert USER not in shown


@pytest.mark.parametrize("name", ["storage_url", "bus_url"])
def test_a_server_that_is_away_is_logged_without_credentials(name, tmp_path, caplog):
    url = f"unix://{tmp_path}/nothing?user={USER}&pass={PASSWORD}"
    with caplog.at_level(logging.DEBUG, "zoocache"):
        configure(**{name: url})
    assert len(caplog.records) == 1
    assert str(tmp_path) in caplog.text
    assert ("without its bus" if name == "bus_url" else "without its storage") in caplog.text
    with pytest.warns(zoocache.InvalidationQueued) as warned:
        zoocache.invalidate("a")
    with pytest.raises((StorageError, BusError)) as caught:
        zoocache.invalidate("a", wait=True)
    for text in (caplog.text, str(warned[0].message), str(caught.value), repr(zoocache.stats())):
        assert PASSWORD not in text
        assert USER not in text


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"storage_url": "redis://a", "bus_url": "redis://b"}, "leave bus_url out"),
        ({"storage_url": "lmdb://somewhere", "bus_url": "redis://b"}, "leave bus_url out"),
        ({"bus_url": "lmdb://somewhere"}, "known are redis://"),
        ({"bus_url": 7}, "bus_url must be a str"),
        ({"storage_url": "redis://a", "prefix": ""}, "prefix must not be empty"),
        ({"storage_url": "redis://a", "prefix": "\ud800"}, "lone surrogates"),
        ({"consistency": "eventual"}, 'consistency must be "bounded" or "strong"'),
        ({"consistency": None}, "consistency must be"),
        ({"max_staleness": 0}, "max_staleness must be greater than 0"),
        ({"max_staleness": -1}, "max_staleness must be greater than 0"),
        ({"max_staleness": "soon"}, "max_staleness must be written as"),
        ({"max_staleness": True}, "max_staleness must be a number"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, says):
    with pytest.raises(ConfigError, match=says):
        Cache(**settings)


@pytest.mark.parametrize("staleness", [0.5, timedelta(milliseconds=500), "500ms"])
def test_a_staleness_is_a_duration(staleness):
    assert _settings.check({"max_staleness": staleness}).max_staleness_ms == 500


def test_the_same_server_twice_is_one(redis_server):
    configure(storage_url=redis_server.url, bus_url=redis_server.url)
    f = Counted()
    assert f.entries(lambda f: f(1)) == 1
    assert zoocache.stats()["shared_hits"] == 0


def test_other_settings_are_a_conflict_that_shows_no_credentials(redis_server):
    configure(storage_url=redis_server.url)
    configure(storage_url=redis_server.url)
    with pytest.raises(RuntimeError) as caught:
        configure(storage_url=f"redis://{USER}:{PASSWORD}@host")
    assert PASSWORD not in str(caught.value)


def test_a_prefix_separates_applications(redis_server):
    caches = [Cache(storage_url=redis_server.url, prefix=prefix) for prefix in ("a", "a{b}*", "a b:c")]
    for number, cache in enumerate(caches):
        cache.set("key", number, deps=["t"])
    assert [cache.get("key") for cache in caches] == [0, 1, 2]
    caches[0].invalidate("t")
    caches[0].clear()
    assert [cache.get("key") for cache in caches] == [None, 1, 2]


def test_a_user_with_a_password(redis_server):
    redis_server.ask("ACL", "SETUSER", "app", "on", f">{PASSWORD}", "~*", "&*", "+@all")
    redis_server.ask("ACL", "SETUSER", "default", "off")
    with Cache(storage_url=f"{redis_server.url}?user=app&pass={PASSWORD}") as cache:
        cache.set("key", 1)
        assert cache.get("key") == 1
    for login in (f"user=app&pass={PASSWORD}wrong", f"user=nobody&pass={PASSWORD}", ""):
        for name, error in (("storage_url", StorageError), ("bus_url", BusError)):
            with pytest.raises(error, match="check the user, the password and the rights") as caught:
                Cache(**{name: f"{redis_server.url}?{login}"})
            assert PASSWORD not in repr(caught.value)


def test_a_password_alone():
    server = Server("--requirepass", PASSWORD, port=True)
    try:
        with pytest.raises(Refused, match="NOAUTH"):
            server.ask("PING")
        with Cache(storage_url=f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0") as cache:
            cache.set("key", 1)
            assert cache.get("key") == 1
        with pytest.raises(StorageError) as caught:
            Cache(storage_url=server.tcp_url)
        assert f"127.0.0.1:{server.port}" in str(caught.value)
    finally:
        server.end()


def _certificates(folder):
    """Make an authority, and a certificate of it for the server and for clients."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S603, S607

    days = ("-days", "2")
    openssl(
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        *days,
        "-subj",
        "/CN=test",
    )
    openssl(
        "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "csr", "-subj", "/CN=localhost"
    )
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names")
    openssl("x509", "-req", "-in", "csr", "-out", "cert.pem", *days, *signed)


@pytest.mark.filterwarnings("ignore::zoocache.InvalidationQueued")
def test_tls(tmp_path, caplog):
    _certificates(tmp_path)
    server, port = Server(), free_port()
    try:
        for name, value in {
            "tls-ca-cert-file": tmp_path / "ca.pem",
            "tls-cert-file": tmp_path / "cert.pem",
            "tls-key-file": tmp_path / "key.pem",
            "tls-port": port,
        }.items():
            server.ask("CONFIG", "SET", name, value)
        url = f"rediss://127.0.0.1:{port}/0"
        files = f"ssl_certfile={tmp_path}/cert.pem&ssl_keyfile={tmp_path}/key.pem"
        with Cache(storage_url=f"{url}?ssl_ca_certs={tmp_path}/ca.pem&{files}") as cache:
            cache.set("key", 1)
            assert cache.get("key") == 1
        assert not caplog.records
        # Who does not know the authority trusts nobody, and goes on without.
        with Cache(storage_url=f"{url}?{files}") as cache:
            assert cache.get("key") is None
        assert "without its storage" in caplog.text
    finally:
        server.end()


def test_no_connection_and_no_thread_is_left_behind(redis_server):
    import threading  # noqa: PLC0415

    def threads():
        from pathlib import Path  # noqa: PLC0415

        return len(list(Path("/proc/self/task").iterdir()))

    def cycle():
        configure(storage_url=redis_server.url)
        f = Counted()
        assert f.entries(lambda f: f(1)) == 1
        zoocache.reset()

    from helpers import wait_until  # noqa: PLC0415

    cycle()
    before = threads(), threading.active_count()
    for _ in range(20):
        cycle()
    wait_until(lambda: not redis_server.clients())
    wait_until(lambda: (threads(), threading.active_count()) <= before)


def test_warnings_name_the_caller(redis_server):
    configure(storage_url=redis_server.url)
    redis_server.kill()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        zoocache.invalidate("a")
        with zoocache.changing("a"):
            pass
        with zoocache.invalidation_batch():
            zoocache.invalidate("a")
        zoocache.clear()
    assert [warning.category for warning in warned] == [zoocache.InvalidationQueued] * 4
    assert {warning.filename for warning in warned} == {__file__}
