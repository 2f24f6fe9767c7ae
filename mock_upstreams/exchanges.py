"""From a request, however it was read, to the player of its answer and its entry in the journal.

Both ways into the simulator meet here: `direct.py`, which answers without a task, and the handler of `server.py`.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Final

from mock_upstreams.answers import Providers
from mock_upstreams.config import SimulatorConfig
from mock_upstreams.errors import MEDIA
from mock_upstreams.heads import Head
from mock_upstreams.journal import Entry, Journal
from mock_upstreams.pacing import Wheel
from mock_upstreams.plain_answers import Received
from mock_upstreams.plans import Plan
from mock_upstreams.player import Player
from mock_upstreams.refusals import Refusal
from mock_upstreams.routes import find_place
from mock_upstreams.scenario import find_token
from mock_upstreams.wire import Wire

_LOG: Final = logging.getLogger("mock_upstreams")
_HOST: Final = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
_SCENARIO_HEADER: Final = "x-wb-scenario"


class Exchanges:
    """What one simulator does with a request to a provider."""

    def __init__(
        self,
        config: SimulatorConfig,
        journal: Journal,
        providers: Providers,
        wheel: Wheel,
        url: Callable[[], str],
    ) -> None:
        self._config = config
        self._journal = journal
        self._providers = providers
        self._wheel = wheel
        self._url = url
        self._scheme = "http" if config.tls_cert is None else "https"
        self.upstreams: dict[int, str] = {}

    def placed(self, head: Head, transport: asyncio.BaseTransport | None) -> Head:
        """The head of a request that came by this connection, whose port may stand for an upstream."""
        if not self.upstreams or transport is None or head.place.prefix:
            return head
        at: str | tuple[str, int] = transport.get_extra_info("sockname")
        name = None if isinstance(at, str) else self.upstreams.get(at[1])
        return head if name is None else replace(head, place=replace(head.place, upstream=name))

    @staticmethod
    def entry(head: Head, arrived_ns: int) -> Entry:
        """The journal's record of a request, before anything is known of its body; not yet in the journal."""
        route = head.place.route
        return Entry(
            upstream=head.place.upstream,
            provider=route.provider,
            operation=route.operation,
            method=head.method,
            path=head.path,
            query=head.query,
            raw_headers=head.raw_headers,
            credential=head.credential,
            arrived_ns=arrived_ns,
            headers_weight=head.weight,
        )

    def left_early(self, entry: Entry, by: str | None = None) -> None:
        """The caller went away before the whole request was there; `by` as told at Entry."""
        entry.caller_left(by)
        self._journal.add(entry)

    def refuse(self, entry: Entry, refusal: Refusal) -> Plan:
        """The answer to a request whose body cannot be read."""
        self._journal.add(entry)
        return self._providers.refuse(find_place(entry.path), refusal)

    def answer(
        self, head: Head, entry: Entry, body: bytes, wire: Wire, over: Callable[[], None]
    ) -> Player | None:
        """The answer to a whole request, ready to be started; `over` as told at Player.

        None if a mistake of ours prevents it: that is logged, and the connection dropped.
        """
        try:
            return self.player(self._plan(head, entry, body), wire, entry, over)
        except Exception:  # noqa: BLE001 - whatever it is, it is logged, and the caller must not get half an answer
            _LOG.exception("no answer to %s %s", entry.method, entry.path)
            wire.abort()
            entry.finish("internal_error")
            return None

    def _plan(self, head: Head, entry: Entry, body: bytes) -> Plan:
        if len(body) > self._config.max_body_bytes:
            return self.refuse(entry, too_large(self._config.max_body_bytes))
        entry.keep_body(body)
        header = head.headers.get(_SCENARIO_HEADER)
        token = find_token(
            body,
            head.url.query_string.encode("utf-8", "replace") if entry.query else None,
            header.encode("utf-8", "surrogateescape") if header is not None else None,
        )
        if token is not None:
            entry.id, entry.token = token.id, token.raw
        received = Received(
            place=head.place,
            method=entry.method,
            body=body,
            token=token,
            credential=entry.credential,
            origin=self._origin(head) if entry.provider == MEDIA else "",
            anthropic_version="anthropic-version" in head.headers,
            headers=head.headers,
        )
        try:
            return self._providers.answer(received, entry)
        finally:
            self._journal.add(entry)

    def player(self, plan: Plan, wire: Wire, entry: Entry, over: Callable[[], None]) -> Player:
        """Ready to be started; `over` as told at Player."""
        if entry.method == "HEAD":
            plan = replace(plan, events=[])
        entry.fault = plan.fault
        if plan.status is not None and plan.status >= 300:
            entry.retry_after_s = _retry_after_s(plan.headers)
        config = self._config
        return Player(
            plan,
            wire,
            entry,
            self._wheel,
            over,
            merge=config.flush == "stream",
            stall_limit_s=config.stall_limit_s,
        )

    def _origin(self, head: Head) -> str:
        """The address at which a media job was submitted is where its files will be."""
        host = head.headers.get("host", "")
        return f"{self._scheme}://{host}" if _HOST.fullmatch(host) else self._url()


def _retry_after_s(headers: tuple[tuple[str, str], ...]) -> float | None:
    """What the header Retry-After asks for, in seconds from now, if it says so; a date may be in the past."""
    stated = next((value for name, value in headers if name == "retry-after"), None)
    if stated is None:
        return None
    if stated.isascii() and stated.isdigit():
        return float(stated)
    try:
        return parsedate_to_datetime(stated).timestamp() - time.time()
    except (ValueError, OverflowError, OSError):
        return None


def too_large(limit: int) -> Refusal:
    return Refusal(413, f"The request is larger than {limit} bytes.")
