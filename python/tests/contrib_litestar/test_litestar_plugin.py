"""The plugin configures the cache, and without Litestar the import says what to install."""

import pytest
from helpers import program
from litestar import Litestar, get
from litestar.testing import TestClient

import zoocache
from zoocache.contrib.litestar import ZooCachePlugin, cache_endpoint


@pytest.mark.memory_only("it configures the cache itself")
def test_the_cache_is_configured_while_the_application_runs(tmp_path):
    seen = []

    @get("/")
    @cache_endpoint
    async def item() -> str:
        return "x"

    def started():
        # The application's own hooks find it configured.
        seen.append((tmp_path / "cache").exists())

    app = Litestar(
        [item],
        plugins=[ZooCachePlugin(storage_url=f"lmdb://{tmp_path}/cache")],
        on_startup=[started],
        on_shutdown=[started],
        logging_config=None,
    )
    assert not (tmp_path / "cache").exists()
    for _ in "ab":
        with TestClient(app) as client:
            assert client.get("/").text == "x"
            with pytest.raises(RuntimeError, match="configured already"):
                zoocache.configure(max_entries=5)
        # It is free to be configured again.
    assert seen == [True] * 4


@pytest.mark.memory_only("it configures the cache itself")
def test_a_wrong_setting_stops_the_application():
    app = Litestar([], plugins=[ZooCachePlugin(max_entries=-1)], logging_config=None)
    with pytest.raises(BaseException) as caught, TestClient(app):  # noqa: PT011 - a group, of anyio
        raise AssertionError
    assert "max_entries" in f"{caught.value!r} {getattr(caught.value, 'exceptions', '')!r}"


def test_without_litestar_the_import_says_what_to_install():
    printed = program("""
        import sys
        sys.modules["litestar"] = None
        try:
            import zoocache.contrib.litestar
        except ImportError as error:
            print(error)
    """)
    assert "zoocache.contrib.litestar needs Litestar" in printed
    assert "pip install 'zoocache[litestar]'" in printed
