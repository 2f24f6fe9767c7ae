"""Requests drawn by Schemathesis from `spec/openapi.yaml`, and what it says about the answers to them.

Nothing is sent from here. What goes between this and who sends are the plain values below: a body, and an answer.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from weighbridge.breaking import Basket, Breaches, mutations
from weighbridge.openapi import for_models, for_surface, request_schema

VALID, INVALID, LINKED = "generated", "generated-invalid", "generated:poll"
#: The operation that polls what another one has made.
_LINK = "/tasks/{id}"
#: A schema may have fewer different requests than its share; drawing ends after so many times as many examples.
_PATIENCE = 4
#: What is drawn to break a schema costs most, and more than half of it is valid after all; the rest is made of valid
#: bodies by changing them, with so many tries for each that is wanted.
_TRIES = 8
_EXCERPT = 300

#: Path of an operation, and whether its requests are valid or break the schema.
Kind = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Order:
    """What to draw for one surface.

    Attributes:
        url: of the surface, as the target file has it.
        models: those that the target serves.
        wanted: how many different requests of each kind.
    """

    surface: str
    url: str
    models: frozenset[str]
    seed: int
    wanted: Mapping[Kind, int]


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn for one surface.

    Attributes:
        bodies: of each kind, as they are to be sent.
        left_out: how many different bodies, meant to break a schema, were thrown away since they do not.
    """

    bodies: Mapping[Kind, tuple[bytes, ...]]
    left_out: Mapping[Kind, int]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request.

    Attributes:
        status: None where no answer came.
        elapsed: seconds until its end.
    """

    method: str
    url: str
    sent: bytes
    status: int | None
    headers: tuple[tuple[str, str], ...]
    body: bytes
    elapsed: float


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a drawn request; of a task that came of it also a poll, with the id it was polled by."""

    answer: Answer
    task: str | None = None
    polled: Answer | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What there is to say about the answer to a request, and about the poll of its task."""

    answer: tuple[str, ...] = ()
    polled: tuple[str, ...] = ()

    @property
    def first(self) -> str | None:
        """The first thing said, or None for nothing."""
        return next(iter((*self.answer, *self.polled)), None)


class _Enough(BaseException):
    """As many different requests are drawn as were wanted; no generator takes it for a failing example."""


class NoneLeftError(BaseException):
    """No request may be sent any more; no generator takes it for a failing example."""


class _BrokenError(BaseException):
    """What looks at an answer broke; no generator takes it for a failing example and tries again."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause


#: Sends a body, and gives back what became of it.
#: Raises `NoneLeftError` where none may be sent.
Try = Callable[[bytes], Sent]


class Drawing:
    """All requests of one surface.

    Attributes:
        drawn: what is to be sent.
    """

    def __init__(self, order: Order, go_on: Callable[[], None]) -> None:
        """Draw; `go_on` is called before each example and may wait."""
        import schemathesis
        from schemathesis import GenerationMode

        logging.getLogger("schemathesis").setLevel(logging.ERROR)
        document = for_models(for_surface(order.surface, order.url), order.models)
        self._schema: Any = schemathesis.openapi.from_dict(document)
        self._seed = order.seed
        self._modes = {VALID: GenerationMode.POSITIVE, INVALID: GenerationMode.NEGATIVE}
        wanted = order.wanted
        self._cases = {
            kind: self._drawn(kind, count, go_on) for kind, count in wanted.items() if kind[1] != INVALID
        }
        self._breaches = {
            path: Breaches(request_schema(order.surface, path)) for path, what in wanted if what == INVALID
        }
        bodies = {kind: tuple(cases) for kind, cases in self._cases.items()}
        left_out: dict[Kind, int] = {}
        for kind, count in wanted.items():
            if kind[1] == INVALID:
                basket = self._broken(kind, count, bodies.get((kind[0], VALID), ()), go_on)
                bodies[kind], left_out[kind] = basket.bodies(), basket.valid
        self.drawn = Drawn(bodies, left_out)

    def _broken(self, kind: Kind, wanted: int, valid: tuple[bytes, ...], go_on: Callable[[], None]) -> Basket:
        """Bodies that break the contract: drawn ones, then valid ones with one thing changed in them."""
        basket = Basket(self._breaches[kind[0]], wanted)

        def take(case: Any) -> None:
            go_on()
            raw = encoded(case.body)
            if raw is not None:
                basket.take(raw, case.body)
            if basket.full:
                raise _Enough

        with contextlib.suppress(_Enough):
            self._each(kind, wanted if valid else _PATIENCE * wanted, take)
        whole = [json.loads(raw) for raw in sorted(valid, key=len)]
        for body in islice(mutations(whole, self._seed), _TRIES * wanted):
            go_on()
            raw = encoded(body)
            if raw is not None:
                basket.take(raw, body)
            if basket.full:
                break
        return basket

    def _drawn(self, kind: Kind, wanted: int, go_on: Callable[[], None]) -> dict[bytes, Any]:
        found: dict[bytes, Any] = {}

        def take(case: Any) -> None:
            go_on()
            raw = encoded(case.body)
            if raw is not None:
                found.setdefault(raw, case)
            if len(found) == wanted:
                raise _Enough

        with contextlib.suppress(_Enough):
            self._each(kind, _PATIENCE * wanted, take)
        return found

    def _each(self, kind: Kind, examples: int, take: Callable[[Any], None]) -> None:
        """Draw so many examples; where `take` fails one, Hypothesis shrinks it.

        Raises:
            AssertionError: what `take` raised for the smallest one that fails.
        """
        from hypothesis import HealthCheck, Phase, given, seed, settings

        chosen = settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )
        path, situation = kind
        strategy = self._schema[path]["POST"].as_strategy(generation_mode=self._modes[situation])

        def one(case: Any) -> None:
            take(case)

        test: Any = seed(self._seed)(chosen(given(strategy)(one)))  # type: ignore[no-untyped-call]
        test()

    def told(self, kind: Kind, raw: bytes, sent: Sent) -> Told:
        """What Schemathesis says about what became of a drawn request; of one that breaks the schema, a crash alone."""
        return self._told(self._cases[kind][raw] if kind in self._cases else None, kind, sent)

    def _told(self, case: Any, kind: Kind, sent: Sent) -> Told:
        if kind[1] == INVALID:
            status = sent.answer.status
            return Told((f"status {status}",)) if (status or 500) >= 500 else Told()
        polled: tuple[str, ...] = ()
        if sent.polled is not None:
            linked = self._schema[_LINK]["GET"].Case(path_parameters={"id": sent.task})
            polled = _complaints(linked, sent.polled)
        return Told(_complaints(case, sent.answer), polled)

    def shrink(
        self,
        kind: Kind,
        seen: Mapping[bytes, str | None],
        send: Try,
        tell: Callable[[Told], None],
    ) -> None:
        """Look for the smallest request that shows what one of the drawn ones has shown, with calls of its own.

        Args:
            kind: of the requests.
            seen: the first thing that was said about each drawn one.
            send: sends another one, as often as they were many.
            tell: is told what there is to say about what became of it.

        Raises:
            Exception: what looks at requests and answers broke.
        """
        from hypothesis.errors import Flaky

        said, left = dict(seen), len(seen)

        def shown(case: Any) -> str | None:
            nonlocal left
            raw = encoded(case.body)
            if raw is None or (kind[1] == INVALID and self._breaches[kind[0]].of(case.body) is None):
                return None
            if raw not in said:
                if left <= 0:
                    raise NoneLeftError
                left -= 1
                told = self._told(case, kind, send(raw))
                tell(told)
                said[raw] = told.first
            return said[raw]

        def take(case: Any) -> None:
            try:
                what = shown(case)
            except Exception as error:
                raise _BrokenError(error) from error
            if what:
                raise AssertionError(what)

        try:
            self._each(kind, _PATIENCE * len(seen), take)
        except (AssertionError, Flaky, NoneLeftError):
            return  # what was said is told, with the request that shows it
        except _BrokenError as broken:
            raise broken.cause from None
        except BaseExceptionGroup as group:
            rest = group.split(AssertionError)[1]
            if rest is not None:
                raise rest from None


def _complaints(case: Any, answer: Answer) -> tuple[str, ...]:
    """What Schemathesis finds in an answer: a status, a type or a body that is not documented."""
    import requests
    import schemathesis
    from schemathesis.core.failures import FailureGroup
    from schemathesis.core.transport import Response

    if answer.status is None:
        return ()
    headers: dict[str, list[str]] = {}
    for name, value in answer.headers:
        headers.setdefault(name.lower(), []).append(value)
    prepared = requests.Request(answer.method, answer.url, data=answer.sent).prepare()
    response = Response(answer.status, headers, answer.body, prepared, answer.elapsed, verify=False)
    try:
        case.validate_response(
            response,
            checks=[
                schemathesis.checks.status_code_conformance,
                schemathesis.checks.content_type_conformance,
                schemathesis.checks.response_schema_conformance,
            ],
        )
    except FailureGroup as group:
        return tuple(
            f"{failure.title}: {' '.join(str(failure.message).split())[:_EXCERPT]}"
            for failure in group.exceptions
        )
    return ()


def encoded(body: Any) -> bytes | None:
    """The body as JSON, or None for what no JSON text can hold (lone surrogates) and for bodies left out."""
    if not isinstance(body, (dict, list, str, int, float, bool)) and body is not None:
        return None
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (UnicodeEncodeError, ValueError, TypeError):
        return None
