"""`zoocache serve`: the dashboard by itself."""

from __future__ import annotations

import errno
import ipaddress
import os
import secrets
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

try:
    import uvicorn

    from zoocache.dashboard import dashboard
    from zoocache.dashboard._app import check_token
except ImportError as error:
    raise click.ClickException(
        f"the dashboard needs Starlette and uvicorn: {error.name} is missing; to install them: "
        "pip install 'zoocache[cli,dashboard]'"
    ) from None

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zoocache.dashboard import Dashboard
    from zoocache.inspect import Inspector

#: Seconds that requests may still take when it ends.
_PATIENCE = 1


def serve(
    inspector: Inspector,
    host: str,
    port: int,
    token_file: str | None,
    actions: bool,
    names: Sequence[str] = (),
) -> Any:
    """Serve until Ctrl-C.

    Returns:
        What to tell before, and a function that serves.
    """
    token, is_new = _token(token_file, actions)
    listening = _listen(host, port)
    name = f"[{host}]" if ":" in host else host
    is_local = _is_loopback(host)
    hosts = {*names, "localhost", "127.0.0.1", "[::1]", name} if is_local or names else None
    app = dashboard(inspector, token=token, allowed_hosts=hosts)
    told = {"url": f"http://{name}:{listening.getsockname()[1]}/", "token": token if is_new else None}
    return {**told, "actions": token is not None, "local": is_local}, lambda: _run(app, listening)


def _token(path: str | None, actions: bool) -> tuple[str | None, bool]:
    """The token, and whether it was made here: then nobody knows it yet."""
    # Not an argument: all users of a machine see those.
    given = os.environ.get("ZOOCACHE_TOKEN")
    if path is not None:
        try:
            given = Path(path).read_text(encoding="utf-8").strip()
        except UnicodeDecodeError as error:
            raise click.UsageError(f"{path}: token must be text") from error
    if given is None:
        return (secrets.token_urlsafe(24), True) if actions else (None, False)
    try:
        check_token(given)
    except ValueError as error:
        raise click.UsageError(f"{path or 'ZOOCACHE_TOKEN'}: {error}") from error
    return given, False


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        # From here on connections wait, until they are served.
        listening.listen(128)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise click.ClickException(
                f"port {port} of {host} is taken; give another one: --port N"
            ) from error
        raise click.ClickException(f"cannot listen at {host}, port {port}: {error.strerror}") from error
    return listening


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _run(app: Dashboard, listening: socket.socket) -> None:
    config = uvicorn.Config(
        app,
        log_level="warning",
        # Addresses contain keys and tags.
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_PATIENCE,
    )
    try:
        _Server(config, app).run(sockets=[listening])
    except KeyboardInterrupt:
        # It has ended in order, and says now why.
        pass
    finally:
        app.close()
        listening.close()


class _Server(uvicorn.Server):
    """Ends open streams at once when it is to end."""

    def __init__(self, config: uvicorn.Config, app: Dashboard) -> None:
        super().__init__(config)
        self._dashboard = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._dashboard.close()
        await super().shutdown(sockets)
