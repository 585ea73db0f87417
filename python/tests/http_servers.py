"""Servers of an ASGI application in processes of their own, which tests ask over HTTP."""

import contextlib
import os
import socket
import subprocess
import sys

import httpx
from helpers import wait_until


@contextlib.contextmanager
def http_servers(folder, application, *, count=1, **environment):
    """Serve an application with `count` processes; gives a client of each.

    Args:
        folder: Where its module lies.
        application: Its module and name, such as `"app:app"`.
        count: How many processes, each with a port of its own.
        **environment: Variables of their environment, beside ours.
    """
    with contextlib.ExitStack() as stack:
        ports = [
            stack.enter_context(
                uvicorn(folder, application, "--log-level", "warning", env={**os.environ, **environment})
            )
            for _ in range(count)
        ]
        clients = [
            stack.enter_context(
                httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False)
            )
            for _, port in ports
        ]
        for (process, _), client in zip(ports, clients, strict=True):
            wait_until(lambda process=process, client=client: _answers(process, client))
        yield clients


@contextlib.contextmanager
def uvicorn(folder, application, *options, **popen):
    """Start a server that is given a port of its own; gives its process and the port.

    Args:
        folder: Where the application's module lies.
        application: Its module and name, such as `"app:app"`.
        *options: More options of uvicorn.
        **popen: More arguments of `subprocess.Popen`.
    """
    # It listens when it is ready; until then the port is taken, and connections are refused.
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        command = [
            sys.executable, "-m", "uvicorn", application, "--app-dir", str(folder),
            "--fd", str(place.fileno()), *options,
        ]  # fmt: skip
        process = subprocess.Popen(command, pass_fds=[place.fileno()], **popen)  # noqa: S603 - our own interpreter
        try:
            yield process, place.getsockname()[1]
        finally:
            _stop(process)


def _stop(process):
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def _answers(process, client):
    assert process.poll() is None, "the server ended before it answered"
    try:
        client.get("/")
    except httpx.ConnectError:
        return False
    return True
