"""Rules about refusals of the task gateway: status, envelope and code are judged apart."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.tasks_evidence import call, document, refusal
from weighbridge.checks import tasks_errors
from weighbridge.evidence import Observation
from weighbridge.suite import Rule
from weighbridge.verdict import Outcome


def _error(status: int = 400, **members: Any) -> Any:
    return call({"error": members}, status=status)


FULL = {"code": 20002, "message": "No.", "request_id": "req_1"}


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (tasks_errors.has_envelope, {"code": 20002, "message": "No.", "more": 1}, {"message": "No."}),
        (tasks_errors.code_has_five_digits, FULL, FULL | {"code": "20002"}),
        (tasks_errors.code_has_five_digits, FULL, FULL | {"code": 2002}),
        (tasks_errors.code_has_five_digits, FULL, FULL | {"code": 20002.5}),
        (tasks_errors.code_has_five_digits, FULL, FULL | {"code": True}),
        (tasks_errors.has_message, FULL | {"message": "Nein."}, FULL | {"message": " "}),
        (tasks_errors.has_message, FULL, FULL | {"message": None}),
        (tasks_errors.has_request_id, FULL | {"request_id": "abc"}, {"code": 20002, "message": "No."}),
        (tasks_errors.request_id_is_prefixed, FULL, FULL | {"request_id": "abc"}),
    ],
)
def test_rule_about_the_envelope_tells_good_from_bad(rule: Rule, good: Any, bad: Any) -> None:
    assert rule(_error(**good)).outcome is Outcome.MET
    assert rule(_error(**bad)).outcome is Outcome.BROKEN


def test_envelope_rules_do_not_judge_a_served_call() -> None:
    assert tasks_errors.has_envelope(call(document())).outcome is Outcome.NOT_VERIFIED


def test_body_without_error_object_is_reported_by_the_envelope_alone() -> None:
    odd = call({"detail": "No."}, status=400)
    assert tasks_errors.has_envelope(odd).outcome is Outcome.BROKEN
    assert tasks_errors.code_has_five_digits(odd).outcome is Outcome.NOT_VERIFIED
    assert tasks_errors.has_message(odd).outcome is Outcome.NOT_VERIFIED


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (401, 10003, Outcome.MET),
        (403, 10007, Outcome.MET),
        (400, 20002, Outcome.MET),
        (402, 30001, Outcome.MET),
        (400, 80006, Outcome.MET),
        (404, 40401, Outcome.MET),
        (429, 50001, Outcome.MET),
        (400, 10003, Outcome.BROKEN),
        (422, 20002, Outcome.BROKEN),
        (401, 20002, Outcome.BROKEN),
        (500, 10001, Outcome.BROKEN),
    ],
)
def test_leading_digit_must_fit_the_status(status: int, code: int, outcome: Outcome) -> None:
    assert tasks_errors.digit_fits_status(refusal(status, code)).outcome is outcome


def test_repeated_request_id_is_caught_and_absent_ones_are_spared() -> None:
    absent = call({"error": {"code": 20002, "message": "No."}}, status=400)
    one, two = refusal(400, 20002), refusal(400, 20002)
    assert [f.outcome for f in tasks_errors.request_ids_differ([one, absent, absent, two])] == [Outcome.MET]
    assert [f.outcome for f in tasks_errors.request_ids_differ([one, one])] == [Outcome.BROKEN]
    number = call({"error": {"code": 20002, "message": "No.", "request_id": 7}}, status=400)
    assert [f.outcome for f in tasks_errors.request_ids_differ([number])] == [Outcome.BROKEN]


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        (refusal(401, 10001), Outcome.MET),
        (call({"code": 10001}, status=401), Outcome.MET),
        (refusal(401, "10001"), Outcome.MET),
        (refusal(401, 10003), Outcome.BROKEN),
        (refusal(403, 10001), Outcome.BROKEN),
        (call(document()), Outcome.BROKEN),
    ],
)
def test_exact_code_counts_even_in_an_odd_envelope(seen: Any, outcome: Outcome) -> None:
    assert tasks_errors.refusal(401, 10001)(seen).outcome is outcome


def test_category_and_range_of_a_code() -> None:
    category, between = (
        tasks_errors.refused_as(400, 2),
        tasks_errors.refused_between(401, range(10001, 10006)),
    )
    assert category(refusal(400, 20077)).outcome is Outcome.MET
    assert category(refusal(400, 30001)).outcome is Outcome.BROKEN
    assert category(refusal(422, 20077)).outcome is Outcome.BROKEN
    assert between(refusal(401, 10005)).outcome is Outcome.MET
    assert between(refusal(401, 10006)).outcome is Outcome.BROKEN


def test_402_and_404_need_the_envelope_but_no_certain_code() -> None:
    assert tasks_errors.in_envelope(402)(refusal(402, 31234)).outcome is Outcome.MET
    assert tasks_errors.in_envelope(402)(call({"detail": "pay"}, status=402)).outcome is Outcome.BROKEN
    assert tasks_errors.in_envelope(404)(refusal(403, 10007)).outcome is Outcome.BROKEN


def test_undocumented_status_is_noticed() -> None:
    assert tasks_errors.status_is_documented(refusal(404, 40401)).outcome is Outcome.MET
    assert tasks_errors.status_is_documented(refusal(418, 20001)).outcome is Outcome.BROKEN


def test_off_route_refusal_may_have_any_json_members() -> None:
    assert tasks_errors.is_json_error(call({"detail": "Not Found"}, status=404)).outcome is Outcome.MET
    page = call(b"<h1>404</h1>", status=404, headers=(("Content-Type", "text/html"),))
    assert tasks_errors.is_json_error(page).outcome is Outcome.BROKEN
    assert tasks_errors.is_json_error(call(document())).outcome is Outcome.BROKEN


def test_unexpected_errors_are_judged_only_where_one_was_seen() -> None:
    (unseen,) = tasks_errors.unexpected_errors([refusal(404, 40401)])
    assert unseen.outcome is Outcome.NOT_VERIFIED
    assert not unseen.inside_scope
    assert [f.outcome for f in tasks_errors.unexpected_errors([refusal(500, 60099)])] == [Outcome.MET]
    assert [f.outcome for f in tasks_errors.unexpected_errors([refusal(500, 60001)])] == [Outcome.BROKEN]


def test_downloads_and_undocumented_routes_are_no_errors_of_the_api() -> None:
    kept = refusal(401, 10001, "no-key:poll")
    others = [refusal(404, 1, "unknown-route"), refusal(403, 1, "completed:fetch"), call(document())]
    assert tasks_errors.errors(Observation("p", (kept, *others))) == [kept]
