"""Starts locust with our locustfile, as a user does who has no `weighbridge load`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from weighbridge.locate import folder


def plain_locust(
    url: str, place: Path, *arguments: str, before: tuple[str, ...] = (), **variables: str
) -> subprocess.Popen[str]:
    """Locust in a process of its own, against a server at this address.

    Args:
        url: of the server.
        place: the folder in which it runs.
        arguments: of locust.
        before: a command that starts it.
        variables: beside target, key and model.
    """
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("WEIGHBRIDGE", "LOCUST"))
    }
    environment |= {
        "WEIGHBRIDGE_TARGET": url,
        "WEIGHBRIDGE_KEY": "k",
        "WEIGHBRIDGE_MODEL": "m",
        **variables,
    }
    file = str(folder("loadtests") / "locustfile.py")
    return subprocess.Popen(
        [*before, sys.executable, "-P", "-m", "locust", "-f", file, *arguments],
        cwd=place, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def honest_code(said: str) -> int:
    """How locust has to end by what it said of itself: 5 where its figures cannot be trusted, as on a starved machine."""
    assert ("client ok" in said) != ("client not ok" in said), said
    return 0 if "client ok" in said else 5


def free_port() -> int:
    """A port that was free a moment ago; one of locust's own choice cannot be told to its workers."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
