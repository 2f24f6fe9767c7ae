"""From a request, however it was read, to the player of its answer and its entry in the journal.

Both ways into the simulator meet here: `direct.py`, which answers without a task, and the handler of `server.py`.
"""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Final

from aiohttp import HttpVersion11
from aiohttp.http import RawRequestMessage
from multidict import CIMultiDictProxy
from yarl import URL

from mock_upstreams.answers import Providers, Received
from mock_upstreams.config import SimulatorConfig
from mock_upstreams.errors import MEDIA
from mock_upstreams.journal import Entry, Journal
from mock_upstreams.pacing import Wheel
from mock_upstreams.plans import Plan
from mock_upstreams.player import Player
from mock_upstreams.refusals import Refusal
from mock_upstreams.routes import find_place
from mock_upstreams.scenario import find_token
from mock_upstreams.wire import Wire

_LOG: Final = logging.getLogger("mock_upstreams")
_HOST: Final = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
_SCENARIO_HEADER: Final = "x-wb-scenario"
_BEARER: Final = re.compile(r"bearer\s+(\S.*)", re.IGNORECASE)


@dataclass(slots=True)
class Head:
    """Request line and headers, as the HTTP parser understood them, and when they were there."""

    method: str
    url: URL
    headers: CIMultiDictProxy[str]
    raw_headers: tuple[tuple[bytes, bytes], ...]
    is_11: bool
    keep_alive: bool
    arrived_ns: int

    @classmethod
    def of(cls, message: RawRequestMessage) -> "Head":
        return cls(
            method=message.method,
            url=message.url,
            headers=message.headers,
            raw_headers=message.raw_headers,
            is_11=message.version >= HttpVersion11,
            keep_alive=not message.should_close,
            arrived_ns=time.monotonic_ns(),
        )


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

    def entry(self, head: Head) -> Entry:
        """The journal's record of a request, before anything is known of its body; not yet in the journal."""
        url = head.url
        place = find_place(url.raw_path)
        return Entry(
            upstream=place.upstream,
            provider=place.route.provider,
            operation=place.route.operation,
            method=head.method,
            path=url.raw_path,
            query=url.raw_query_string,
            raw_headers=head.raw_headers,
            credential=_credential(head),
            arrived_ns=head.arrived_ns,
        )

    def left_early(self, entry: Entry) -> None:
        """The caller went away before the whole request was there."""
        entry.caller_left()
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
            place=find_place(entry.path),
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
        return f"http://{host}" if _HOST.fullmatch(host) else self._url()


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


def _credential(head: Head) -> str | None:
    """The provider credential: a bearer token or x-api-key."""
    key = head.headers.get("x-api-key")
    if key:
        return key
    given = head.headers.get("authorization", "")
    if given.startswith("Bearer ") and given[7:8].strip():
        return given[7:].rstrip()
    found = _BEARER.fullmatch(given.strip())
    return found[1] if found else None
