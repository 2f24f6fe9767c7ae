"""A recorded history is sent again in a fresh account: what was wrong comes again, and only where it still is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import weighbridge.probes
from defects import DEFECTS
from tests.report.records import call, upstream_call
from weighbridge import evidence_file
from weighbridge.checks.books import ADDED
from weighbridge.cli import main
from weighbridge.embed import embedded, serving
from weighbridge.engine import Evidence, Settings, gather
from weighbridge.errors import ExitCode, UsageError
from weighbridge.evidence import Ending
from weighbridge.history import BOOKS, Action, Books, History, broken_history, steps_of
from weighbridge.likeness import Pair, call_difference, poll_difference
from weighbridge.replay import Replayed, leave_of, replay, take_again
from weighbridge.target import EMBEDDED_PLACE, Target
from weighbridge.verdict import Outcome

assert weighbridge.probes  # registers the probes

CASES = (("FUZZ-CHAT-03", "failed-call-charged"), ("FUZZ-TASK-01", "second-failure-kept"))


async def walked(books: Books, target: Target, seed: int = 0) -> Evidence:
    return await gather(target, [books.probe], (books.surface,), Settings(seed=seed))


def recorded(evidence: Evidence, folder: Path) -> Path:
    return recorded_at(EMBEDDED_PLACE, evidence, folder)


def recorded_at(place: str, evidence: Evidence, folder: Path) -> Path:
    evidence_file.write(evidence, folder / evidence_file.NAME, {"target": {"place": place}})
    return folder


@pytest.mark.parametrize(("row", "defect"), CASES)
def test_a_finding_comes_again_at_the_wrong_gateway_and_not_at_the_right_one(
    row: str, defect: str, tmp_path: Path
) -> None:
    books = BOOKS[row]

    async def work() -> tuple[History, Replayed, Replayed]:
        async with serving(DEFECTS[defect].components()) as pair:
            folder = recorded(await walked(books, pair.target), tmp_path)
            evidence, _, _ = evidence_file.read(folder / evidence_file.NAME)
            history = broken_history(books, evidence.observations, evidence.facts)
            wrong = await take_again(history, pair.target, Settings())
        async with embedded() as target:
            return history, wrong, await take_again(history, target, Settings())

    history, wrong, right = asyncio.run(work())
    assert wrong.finding.outcome is Outcome.BROKEN
    assert wrong.finding.observed == history.finding.observed
    assert wrong.exit_code == ExitCode.VIOLATION
    assert any(line.startswith("Reproduced: ") for line in wrong.lines())
    assert right.finding.outcome is Outcome.MET
    assert right.exit_code == ExitCode.OK
    assert right.differences == ()
    assert f"sent again to {EMBEDDED_PLACE}" in right.lines()
    assert any(line.startswith("Not reproduced: ") for line in right.lines())


@pytest.mark.parametrize("row", BOOKS)
def test_every_walk_can_be_taken_again_step_by_step(row: str) -> None:
    books = BOOKS[row]

    async def work() -> tuple[set[Action], list[tuple[History, Replayed]]]:
        async with embedded() as target:
            evidence = await walked(books, target, seed=3)
            observation = evidence.observations[books.probe]
            seen: list[tuple[History, Replayed]] = []
            actions: set[Action] = set()
            for label in dict.fromkeys(reading.situation for reading in observation.readings):
                steps = steps_of(observation, label)
                opening = next(item.amount for item in observation.readings if item.situation == label)
                finding = books.judge(observation, evidence.facts)[0]
                history = History(books, label, opening, steps, finding)
                actions |= {step.action for step in steps}
                seen.append((history, await take_again(history, target, Settings())))
            return actions, seen

    actions, seen = asyncio.run(work())
    assert actions == set(Action)
    assert len(seen) > 5
    for history, again in seen:
        assert again.finding.outcome is Outcome.MET, (history.label, again.told)
        for line in again.told:
            now, _, then = line.partition(", recorded ")
            # A client that hangs up after so many reads may find the end among them.
            assert not line.startswith("send") or "left" in then or now.endswith(then), line
        if not any("left" in line for line in again.told):
            assert (again.differences, again.exit_code) == ((), ExitCode.OK), again.told


def test_a_client_leaves_again_where_it_left() -> None:
    async def work() -> Evidence:
        async with embedded() as target:
            return await walked(BOOKS["FUZZ-CHAT-03"], target)

    observation = asyncio.run(work()).observations["chat_books"]
    left = [call for call in observation.calls if call.exchange.ending is Ending.LEFT]
    assert left
    for one in left:
        leave = leave_of(one)
        assert leave is not None
        assert leave.after_chunks == len(one.exchange.response.chunks if one.exchange.response else ())
    unheard = replace(left[0], exchange=replace(left[0].exchange, response=None, ended_at=0.25))
    leave = leave_of(unheard)
    assert leave is not None
    assert leave.after_s == 0.25


# ------------------------------------------------------------------ what cannot be replayed
@pytest.fixture(scope="module")
def agreeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record whose histories all agree."""

    async def work() -> Evidence:
        async with embedded() as target:
            return await walked(BOOKS["FUZZ-TASK-01"], target)

    return recorded(asyncio.run(work()), tmp_path_factory.mktemp("agreeing"))


# ------------------------------------------------------------------ where it is sent
@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """What a walk saw at a gateway that charges failed calls."""

    async def work() -> Evidence:
        async with serving(DEFECTS["failed-call-charged"].components()) as pair:
            return await walked(BOOKS["FUZZ-CHAT-03"], pair.target)

    return asyncio.run(work())


def replayed(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as leaving:
        main(["replay", "FUZZ-CHAT-03", *arguments])
    return leaving.value.code


def test_the_history_of_another_target_goes_to_the_embedded_pair_only_where_that_is_said(
    found: Evidence, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recorded_at("targets/vendor.yaml", found, tmp_path)
    told = refusal(["FUZZ-CHAT-03", "--in", str(folder)], capsys)
    assert "is a record of targets/vendor.yaml; add --target FILE" in told
    assert "or --embedded to send it to the embedded gateway" in told
    assert replayed("--in", str(folder), "--embedded") == ExitCode.OK
    assert f"sent again to {EMBEDDED_PLACE}\n" in capsys.readouterr().out


def test_the_history_of_the_embedded_pair_goes_there_without_a_word(
    found: Evidence, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recorded(found, tmp_path)
    assert replayed("--in", str(folder)) == ExitCode.OK
    assert f"sent again to {EMBEDDED_PLACE}\n" in capsys.readouterr().out


def test_two_targets_are_refused(found: Evidence, tmp_path: Path) -> None:
    async def work() -> Target:
        async with embedded() as target:
            return target

    target = asyncio.run(work())
    with pytest.raises(UsageError, match="name two targets"):
        replay("FUZZ-CHAT-03", recorded(found, tmp_path), target, Settings(), print, to_embedded=True)


# ------------------------------------------------------------------ what did not come about
def _history(evidence: Evidence) -> History:
    return broken_history(BOOKS["FUZZ-CHAT-03"], evidence.observations, evidence.facts)


def _again(history: History) -> Replayed:
    async def work() -> Replayed:
        async with embedded() as target:
            return await take_again(history, target, Settings())

    return asyncio.run(work())


def _poor(history: History) -> History:
    """The same without money: the right gateway refuses every call."""
    return replace(history, opening=0)


def test_books_that_agree_after_another_history_say_nothing(found: Evidence) -> None:
    again = _again(_poor(_history(found)))
    assert again.finding.outcome is Outcome.MET
    assert again.outcome is Outcome.NOT_VERIFIED
    assert again.exit_code == ExitCode.INCOMPLETE
    told = next(line for line in again.lines() if line.startswith("Could not be judged"))
    assert told.endswith("call 1: 402 before it reached the provider, recorded behind it")


def test_what_differs_behind_the_wrong_reading_follows_from_it(found: Evidence) -> None:
    history = _poor(_history(found))
    assert history.wrong_at >= history.calls[0].exchange.started
    again = _again(replace(history, wrong_at=history.steps[0].at - 1))
    assert again.differences == ()
    assert again.exit_code == ExitCode.OK


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, None),
        ({"status": 503}, "an error, recorded a whole answer"),
        ({"ending": Ending.RESET}, "cut, recorded a whole answer"),
        ({"upstream": ()}, None),
    ],
)
def test_a_call_differs_by_its_end_or_by_how_far_it_got(change: dict[str, Any], told: str | None) -> None:
    before = call("c1", upstream=(upstream_call("c1"),))
    again = call("c2", **{"upstream": (upstream_call("c2"),), **change})
    assert call_difference(before, again) == told
    back = call_difference(again, before)
    assert (back is None) == (told is None)


def test_a_failed_call_differs_by_the_side_of_the_provider_that_it_failed_on() -> None:
    behind = call("c1", status=429, upstream=(upstream_call("c1"),))
    before = call("c2", status=402, upstream=())
    assert call_difference(behind, before) == "402 before it reached the provider, recorded behind it"
    assert call_difference(before, behind) == "429 behind the provider, recorded before it was reached"
    assert call_difference(behind, replace(before, upstream=None)) is None
    assert call_difference(before, before) is None


def test_a_call_that_was_not_sent_is_a_difference() -> None:
    before = call("c1", upstream=(upstream_call("c1"),))
    assert Pair(2, before, None).difference({}) == "call 2: left out, its task was not made this time"
    assert Pair(2, before, before).difference(None) is None


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ("completed", "completed", None),
        ("processing", "completed", None),
        ("completed", "failed", "the task is failed, recorded completed"),
        ("failed", "processing", "the task is processing, recorded failed"),
    ],
)
def test_a_task_differs_where_it_ended_otherwise(was: str, now: str, told: str | None) -> None:
    before, again = (call(status, body=json.dumps({"status": status}).encode()) for status in (was, now))
    assert poll_difference(before, again) == told


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as leaving:
        main(["replay", *arguments])
    assert leaving.value.code == ExitCode.USAGE
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("FUZZ-TASK-1", "did you mean 'FUZZ-TASK-01'?"),
        ("CSTR-03", "CSTR-03 has no history to replay; rows with one are FUZZ-CHAT-03, FUZZ-TASK-01"),
        ("FUZZ-TASK-01", "the record holds no finding of FUZZ-TASK-01: its "),
        ("FUZZ-CHAT-03", "the record holds no history for FUZZ-CHAT-03"),
    ],
)
def test_a_row_without_a_recorded_finding_is_one_sentence(
    row: str, told: str, agreeing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told in refusal([row, "--in", str(agreeing)], capsys)


def test_a_report_without_evidence_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report.json").write_text("{}")
    assert "evidence.ndjson cannot be read" in refusal(["FUZZ-CHAT-03", "--in", str(tmp_path)], capsys)


def _without_accounts(target: Target) -> Target:
    return replace(target, accounts={})


def _without_model(target: Target) -> Target:
    return replace(target, models={role: name for role, name in target.models.items() if role != "image"})


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (_without_accounts, "the target file declares no accounts"),
        (_without_model, "the history calls models.image, which the target file does not name"),
        (lambda target: replace(target, hooks={}), "the history has a step `top up`; add hooks.top_up"),
    ],
)
def test_a_target_that_cannot_hold_the_history_is_refused(
    changed: Callable[[Target], Target], told: str, agreeing: Path
) -> None:
    evidence, _, _ = evidence_file.read(agreeing / evidence_file.NAME)
    books = BOOKS["FUZZ-TASK-01"]
    observation = evidence.observations[books.probe]
    label = next(
        note.removeprefix(ADDED).partition("\t")[0] for note in observation.notes if note.startswith(ADDED)
    )
    history = History(
        books, label, 1000, steps_of(observation, label), books.judge(observation, evidence.facts)[0]
    )

    async def work() -> None:
        async with embedded() as target:
            await take_again(history, changed(target), Settings())

    with pytest.raises(UsageError, match=told.replace("`", ".")):
        asyncio.run(work())
