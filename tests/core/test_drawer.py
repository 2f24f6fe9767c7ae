"""Requests are drawn in a process of their own: the same under the same seed, shrunk by calls that others make."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from weighbridge.ahead import RunEndedError
from weighbridge.drawer_process import DrawerProcess
from weighbridge.drawing import INVALID, VALID, Answer, Order, Sent, Told
from weighbridge.errors import HarnessError

PATH = "/chat/completions"
URL = "http://127.0.0.1:1/v1"


def _order(*, valid: int = 6, invalid: int = 4, seed: int = 0) -> Order:
    wanted = {(PATH, VALID): valid, (PATH, INVALID): invalid}
    return Order(
        "chat", URL, frozenset({"gpt-5.5"}), seed, {kind: count for kind, count in wanted.items() if count}
    )


def _sent(body: bytes, status: int, answer: bytes = b"{}") -> Sent:
    headers = (("Content-Type", "application/json"),)
    return Sent(Answer("POST", f"{URL}{PATH}", body, status, headers, answer, 0.1))


@pytest.fixture
def drawer() -> Iterator[DrawerProcess]:
    process = DrawerProcess()
    try:
        yield process
    finally:
        process.close()


def test_it_draws_as_many_different_requests_as_were_ordered_and_the_seed_fixes_them(
    drawer: DrawerProcess,
) -> None:
    first = drawer.draw(_order()).bodies
    assert {kind: len(set(bodies)) for kind, bodies in first.items()} == {
        (PATH, VALID): 6,
        (PATH, INVALID): 4,
    }
    assert any(json.loads(body)["model"] == "gpt-5.5" for body in first[PATH, VALID])
    other = DrawerProcess()
    try:
        assert other.draw(_order()).bodies == first
        assert other.draw(_order(seed=1)).bodies != first
    finally:
        other.close()


def test_it_says_what_an_undocumented_answer_shows(drawer: DrawerProcess) -> None:
    drawn = drawer.draw(_order()).bodies
    valid, invalid = (PATH, VALID), (PATH, INVALID)
    told = drawer.read(
        "chat",
        [
            (valid, drawn[valid][0], _sent(drawn[valid][0], 418)),
            (valid, drawn[valid][1], _sent(drawn[valid][1], 200, b'{"choices": 1}')),
            (invalid, drawn[invalid][0], _sent(drawn[invalid][0], 400)),
            (invalid, drawn[invalid][1], _sent(drawn[invalid][1], 500)),
        ],
    )
    assert told[0].first is not None
    assert told[0].first.startswith("Undocumented status code: Received: 418")
    assert told[1].first is not None
    assert told[1].first.startswith("Response violates schema")
    assert told[2:] == [Told(), Told(("status 500",))]


def test_it_shrinks_what_was_shown_with_calls_of_its_own_until_there_are_none_left(
    drawer: DrawerProcess,
) -> None:
    kind = (PATH, INVALID)
    drawn = drawer.draw(_order(valid=0, invalid=20)).bodies[kind]
    tried: list[bytes] = []
    told: list[Told] = []

    def answer(body: bytes) -> Sent:
        return _sent(body, 500 if b"messages" in body else 400)

    def send(body: bytes) -> Sent:
        tried.append(body)
        return answer(body)

    said = drawer.read("chat", [(kind, body, answer(body)) for body in drawn])
    seen = {body: what.first for body, what in zip(drawn, said, strict=True)}
    assert {what.first for what in said} == {None, "status 500"}
    drawer.shrink("chat", kind, seen, send, told.append)
    assert 0 < len(tried) <= len(drawn)
    assert [what.first for what in told] == ["status 500" if b"messages" in body else None for body in tried]
    assert len({*tried, *drawn}) == len(tried) + len(drawn), "each is sent once"

    spent: list[bytes] = []
    drawer.shrink("chat", kind, seen, spent.append, told.append)
    assert len(spent) == 1, "one that is not sent ends it"
    assert drawer.draw(_order()).bodies, "and it serves on"


def test_what_breaks_while_drawing_is_told_and_it_serves_on(drawer: DrawerProcess) -> None:
    broken = Order("chat", URL, frozenset(), 0, {("/nowhere", VALID): 1})
    with pytest.raises(HarnessError, match=r"requests could not be drawn: .*nowhere"):
        drawer.draw(broken)
    assert drawer.draw(_order(valid=1, invalid=0)).bodies


def _shown(drawer: DrawerProcess) -> tuple[tuple[str, str], dict[bytes, str | None]]:
    """What the drawn requests have shown: something, so that it is shrunk."""
    kind = (PATH, INVALID)
    drawn = drawer.draw(_order(valid=2, invalid=10)).bodies[kind]
    return kind, dict.fromkeys(drawn, "status 500")


def _in_step(drawer: DrawerProcess) -> bool:
    """Whether the next questions get their own answers."""
    kind = (PATH, VALID)
    body = drawer.draw(_order(valid=1, invalid=0)).bodies[kind][0]
    told = drawer.read("chat", [(kind, body, _sent(body, 418)), (kind, body, _sent(body, 418))])
    return [what.first is not None for what in told] == [True, True]


def test_an_answer_that_cannot_be_looked_at_ends_the_shrinking_and_it_serves_on(
    drawer: DrawerProcess,
) -> None:
    kind, seen = _shown(drawer)
    pid = drawer.pid
    tried: list[bytes] = []

    def send(body: bytes) -> Sent:
        tried.append(body)
        return Sent(cast("Answer", None))

    with pytest.raises(HarnessError, match="requests could not be drawn: AttributeError"):
        drawer.shrink("chat", kind, seen, send, lambda _: None)
    assert len(tried) == 1
    assert _in_step(drawer)
    assert drawer.pid == pid


@pytest.mark.parametrize("which", ["send", "tell"])
def test_what_breaks_on_our_side_of_the_shrinking_is_raised_and_it_serves_on(
    drawer: DrawerProcess, which: str
) -> None:
    kind, seen = _shown(drawer)
    pid = drawer.pid
    sent: list[bytes] = []

    def send(body: bytes) -> Sent:
        sent.append(body)
        if which == "send":
            raise ZeroDivisionError(which)
        return _sent(body, 500)

    def tell(_: Told) -> None:
        raise ZeroDivisionError(which)

    with pytest.raises(ZeroDivisionError, match=which):
        drawer.shrink("chat", kind, seen, send, tell)
    assert len(sent) == 1, "nothing is sent after that"
    assert _in_step(drawer)
    assert drawer.pid == pid


class _Unknown:
    """Cannot be read at the other end, where there is no such module."""

    def __reduce__(self) -> tuple[Any, ...]:
        return importlib.import_module, ("weighbridge.nowhere",)


def test_a_message_that_cannot_be_read_ends_it_in_one_sentence(drawer: DrawerProcess) -> None:
    drawer.draw(_order(valid=1, invalid=0))
    asked: list[BaseException] = []

    def ask() -> None:
        try:
            drawer.read("chat", cast("Any", [_Unknown()]))
        except HarnessError as error:
            asked.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(30)
    assert [str(error).partition(", ")[2] for error in asked] == [
        "ModuleNotFoundError: No module named 'weighbridge.nowhere'"
    ]
    assert str(asked[0]).startswith("the process that draws requests died: exit code 1, ")


def test_its_death_is_one_sentence(drawer: DrawerProcess) -> None:
    drawer.draw(_order(valid=1, invalid=0))
    os.kill(drawer.pid, signal.SIGKILL)
    with pytest.raises(HarnessError, match="process that draws requests died: exit code -9, it said nothing"):
        drawer.draw(_order())


def test_one_that_cannot_be_started_is_one_sentence(
    drawer: DrawerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    with pytest.raises(HarnessError, match=r"no process can be started to draw requests in: .*nowhere"):
        drawer.draw(_order())


def test_the_end_of_the_run_ends_it_whatever_it_is_at(drawer: DrawerProcess) -> None:
    drawer.draw(_order(valid=1, invalid=0))
    ended: list[BaseException] = []

    def draw() -> None:
        try:
            drawer.draw(_order(valid=100_000))
        except BaseException as error:  # noqa: BLE001 - which one is what is asked
            ended.append(error)

    thread = threading.Thread(target=draw)
    thread.start()
    time.sleep(0.1)  # it is drawing, or about to; either will do
    pid = drawer.pid
    drawer.close()
    thread.join(20)
    assert [type(error) for error in ended] == [RunEndedError]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(RunEndedError):
        drawer.draw(_order())


def test_it_rests_when_told(drawer: DrawerProcess) -> None:
    drawer.draw(_order(valid=1, invalid=0))
    drawer.rest(rests=True)
    drawn = threading.Event()

    def draw() -> None:
        drawer.draw(_order(valid=1, invalid=0, seed=7))
        drawn.set()

    thread = threading.Thread(target=draw)
    thread.start()
    assert not drawn.wait(1)
    drawer.rest(rests=False)
    assert drawn.wait(30)
    thread.join(20)
