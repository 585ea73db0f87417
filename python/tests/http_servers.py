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
        ports = [_start(stack, folder, application, environment) for _ in range(count)]
        clients = [
            stack.enter_context(
                httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False)
            )
            for _, port in ports
        ]
        for (process, _), client in zip(ports, clients, strict=True):
            wait_until(lambda process=process, client=client: _answers(process, client))
        yield clients


def _start(stack, folder, application, environment):
    # It listens when it is ready; until then the port is taken, and connections are refused.
    place = stack.enter_context(socket.socket())
    place.bind(("127.0.0.1", 0))
    command = [
        sys.executable, "-m", "uvicorn", application, "--app-dir", str(folder), "--fd", str(place.fileno()),
        "--log-level", "warning",
    ]  # fmt: skip
    process = subprocess.Popen(  # noqa: S603 - our own interpreter
        command, pass_fds=[place.fileno()], env={**os.environ, **environment}
    )
    stack.callback(_stop, process)
    return process, place.getsockname()[1]


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
