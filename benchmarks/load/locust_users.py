"""How locust's own clients read a stream, as its documentation shows: `stream=True` and `iter_lines`.

    CLIENT=HttpUser|FastHttpUser WARM_UP=4 SECONDS=8 locust -f locust_users.py --headless ...

Time to first token is noted at the first line with content, the gap at every later one; one JSON line at the end.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any, ClassVar

from locust import FastHttpUser, HttpUser, constant, events

CONTENT = '"content":"'
PATH = "/v1/chat/completions"
BODY = {"model": "paced", "stream": True, "messages": [{"role": "user", "content": "Tell a short story."}]}
WARM_UP, SECONDS = float(os.environ["WARM_UP"]), float(os.environ["SECONDS"])
now = time.perf_counter_ns


class Seen:
    """What all users of this process saw, in nanoseconds, within the measured window."""

    ttft: ClassVar[list[int]] = []
    gaps: ClassVar[list[int]] = []
    chunks = 0
    streams = 0
    begin = 0
    end = 0
    cpu = 0.0
    used = 0.0


def _start(**_: object) -> None:
    import gevent

    def window() -> None:
        gevent.sleep(WARM_UP)
        Seen.begin, Seen.cpu = now(), time.process_time()
        gevent.sleep(SECONDS)
        Seen.end, Seen.used = now(), time.process_time() - Seen.cpu

    gevent.spawn(window)


def quantile(values: list[int], share: float) -> float:
    """The quantile in microseconds; 0 where nothing was seen."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1000 if ordered else 0.0


def _quitting(**_: object) -> None:
    window = ((Seen.end or now()) - Seen.begin) / 1e9
    used = Seen.used or time.process_time() - Seen.cpu
    result = {
        "window_s": window, "cpu_s": used, "chunks": Seen.chunks, "streams": Seen.streams,
        "ttft_p50_us": quantile(Seen.ttft, 0.5), "ttft_p99_us": quantile(Seen.ttft, 0.99),
        "gap_p50_us": quantile(Seen.gaps, 0.5), "gap_p99_us": quantile(Seen.gaps, 0.99),
    }  # fmt: skip
    print("RESULT " + json.dumps(result), flush=True)


# locust leaves its events untyped.
_at_start: Any = events.test_start
_at_start.add_listener(_start)
_at_end: Any = events.quitting
_at_end.add_listener(_quitting)


def stream(user: HttpUser | FastHttpUser) -> None:
    """One stream, read as the documentation of each client shows."""
    asked, last = now(), 0
    for line in lines_of(user):
        text = line.decode() if isinstance(line, bytes) else line
        if CONTENT not in text:
            continue
        at = now()
        if Seen.begin and not Seen.end:
            Seen.chunks += 1
            if last:
                Seen.gaps.append(at - last)
            elif asked >= Seen.begin:
                Seen.ttft.append(at - asked)
        last = at
    if Seen.begin and not Seen.end:
        Seen.streams += 1


def lines_of(user: HttpUser | FastHttpUser) -> Iterator[bytes | str]:
    """The lines of a streamed response: a method of the fast client, and of the response of the other."""
    if isinstance(user, FastHttpUser):
        yield from user.client.iter_lines(PATH, "POST", json=BODY)
        return
    yield from user.client.post(PATH, json=BODY, stream=True).iter_lines()


if os.environ["CLIENT"] == "HttpUser":

    class Requests(HttpUser):
        """The client on requests."""

        wait_time = constant(0)
        tasks = [stream]  # noqa: RUF012 - locust declares it so
else:

    class Fast(FastHttpUser):
        """The client on geventhttpclient."""

        wait_time = constant(0)
        tasks = [stream]  # noqa: RUF012 - locust declares it so
