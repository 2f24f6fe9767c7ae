"""Settlement of chat calls: charged twice, charged for nothing, not charged, and served without money."""

# ruff: noqa: ARG002 - a defect ignores what it ought to look at

import asyncio
from collections import OrderedDict, defaultdict
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import Self

from aiohttp import web

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.database import Connection
from reference_gateway.errors import ErrorRenderer
from reference_gateway.failures import Failure, GatewayError
from reference_gateway.jsonwire import JsonObject, decode
from reference_gateway.ledger import InsufficientError, Ledger
from reference_gateway.payment import Payment
from reference_gateway.pricing import Usage
from reference_gateway.relay import EventSink, StreamRelay
from reference_gateway.translation.streams import StreamTranslator

_MICRO_USD = 10**6


class TierByHistory(Payment):
    """Counts the input of the account's earlier calls towards the boundary."""

    async def complete(self, usage: Usage | None) -> None:
        if usage is not None and self.model.long_context is not None:
            details = [
                decode(row.detail) for row in await self._ledger.transfers(self.account.id) if row.detail
            ]
            so_far = sum(detail["usage"]["input"] for detail in details)
            if so_far + usage.input > self.model.long_context.above:
                self.model = replace(self.model, rates=self.model.long_context.rates)
        await super().complete(usage)


class ChargesTwice(Ledger):
    """Settles each call twice over."""

    async def post_settle(
        self, connection: Connection, call: str, account: str, charge: int, detail: JsonObject
    ) -> None:
        await super().post_settle(connection, call, account, 2 * charge, detail)


class ChargesNothing(Payment):
    """Delivers and forgets the bill."""

    async def complete(self, usage: Usage | None) -> None:
        await self.release()


class LosesUpdates(Ledger):
    """Reads the balance, computes, and writes it back: of two calls at once, one goes unpaid."""

    def settle(self, call: str, account: str, charge: int, detail: JsonObject) -> "asyncio.Future[None]":
        return asyncio.ensure_future(self._read_then_write(call, account, charge, detail))

    async def _read_then_write(self, call: str, account: str, charge: int, detail: JsonObject) -> None:
        before = await self.balance(account)

        async def write(connection: Connection) -> None:
            after = before + await self.read_held(connection, call) - charge
            await self.post_settle(connection, call, account, charge, detail)
            await connection.execute("UPDATE accounts SET balance = ? WHERE account = ?", after, account)

        await self._database.submit(write)


class ForgetsOldCalls(Ledger):
    """Remembers the youngest open calls of an account, as a cache of fixed size does; an older one goes unpaid."""

    _MOST = 100

    @cached_property
    def _open(self) -> "defaultdict[str, OrderedDict[str, None]]":
        return defaultdict(OrderedDict)

    def hold(self, call: str, account: str, wanted: int) -> "asyncio.Future[int]":
        calls = self._open[account]
        calls[call] = None
        if len(calls) > self._MOST:
            calls.popitem(last=False)
        return super().hold(call, account, wanted)

    def settle(self, call: str, account: str, charge: int, detail: JsonObject) -> "asyncio.Future[None]":
        if call not in self._open[account]:
            return self.release(call, account)
        del self._open[account][call]
        return super().settle(call, account, charge, detail)

    def release(self, call: str, account: str) -> "asyncio.Future[None]":
        self._open[account].pop(call, None)
        return super().release(call, account)


class ChargesFailures(Payment):
    """Charges a failed call by an estimate of what the provider may have done."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, GatewayError) and not self._ended:
            await self.complete(Usage(1000, 100))
        await super().__aexit__(kind, error, trace)


class ChargesBrokenStreams(StreamRelay):
    """Charges a stream that broke by an estimate of what was sent."""

    async def on_upstream_broken(
        self,
        translator: StreamTranslator,
        payment: Payment,
        sink: EventSink,
        errors: ErrorRenderer,
        failure: Failure,
    ) -> web.StreamResponse:
        if sink.started:
            await payment.complete(Usage(1000, 100))
        return await super().on_upstream_broken(translator, payment, sink, errors, failure)


class StreamsForNothing(StreamRelay):
    """Ends a stream without looking at its usage."""

    async def on_complete(
        self, translator: StreamTranslator, payment: Payment, sink: EventSink
    ) -> web.StreamResponse:
        translator.usage = None
        return await super().on_complete(translator, payment, sink)


class CountsEventsAsTokens(StreamRelay):
    """Bills the output of a stream by another count than the provider's."""

    async def on_complete(
        self, translator: StreamTranslator, payment: Payment, sink: EventSink
    ) -> web.StreamResponse:
        if translator.usage is not None:
            translator.usage = replace(translator.usage, output=translator.usage.output + 100)
        return await super().on_complete(translator, payment, sink)


class AdmitsEveryone(Ledger):
    """Serves on credit."""

    def admits(self, balance: int) -> bool:
        return True


class FeeForRefusal(Payment):
    """Takes a small fee for saying that there is no money."""

    async def __aenter__(self) -> Self:
        try:
            return await super().__aenter__()
        except GatewayError as refusal:
            if isinstance(refusal.__cause__, InsufficientError):
                await self._ledger.top_up(f"fee_{self.call}", self.account.id, -_MICRO_USD)
            raise


class StaysEmpty(Ledger):
    """An account that was refused once is refused for good, whatever is paid in."""

    @cached_property
    def _blocked(self) -> set[str]:
        return set()

    async def post_hold(self, connection: Connection, call: str, account: str, wanted: int) -> int:
        if account in self._blocked or not self.admits(await self.read_balance(connection, account)):
            self._blocked.add(account)
            raise InsufficientError
        return await super().post_hold(connection, call, account, wanted)


DEFECTS = (
    Defect(
        "long-tier-by-history",
        "Earlier calls count towards the long-context boundary",
        ("CBIL-22", "FUZZ-CHAT-03"),
        lambda: Components(payment=TierByHistory),
    ),
    Defect(
        "charged-twice",
        "Each call is charged twice",
        ("CBIL-14", "CBIL-02", "MERR-05"),
        lambda: Components(ledger=ChargesTwice),
    ),
    Defect(
        "nothing-charged",
        "No call is charged",
        ("CBIL-01", "CBIL-14"),
        lambda: Components(payment=ChargesNothing),
    ),
    Defect(
        "charge-lost-under-concurrency",
        "Of two calls at once one goes unpaid",
        ("CBIL-14",),
        lambda: Components(ledger=LosesUpdates),
    ),
    Defect(
        "old-open-calls-forgotten",
        "Of more than a hundred open calls in one account, the oldest go unpaid",
        ("CBIL-14",),
        lambda: Components(ledger=ForgetsOldCalls),
    ),
    Defect(
        "failed-call-charged",
        "A call that fails at the provider is charged",
        ("CBIL-13", "CERR-500-4", "CERR-500-5"),
        lambda: Components(payment=ChargesFailures),
    ),
    Defect(
        "broken-stream-charged",
        "A stream that the provider broke is charged",
        ("CBIL-13", "CERR-DB-1"),
        lambda: Components(relay=ChargesBrokenStreams),
    ),
    Defect(
        "streams-for-nothing",
        "Streamed calls are not charged",
        ("CBIL-15",),
        lambda: Components(relay=StreamsForNothing),
    ),
    Defect(
        "streams-cost-more",
        "A streamed call costs more than the same call unstreamed",
        ("CBIL-15",),
        lambda: Components(relay=CountsEventsAsTokens),
    ),
    Defect(
        "empty-account-served",
        "An account without money is served",
        ("CERR-402-1", "CERR-402-2", "AIML-ERR-05"),
        lambda: Components(ledger=AdmitsEveryone),
    ),
    Defect(
        "refusal-costs-a-fee",
        "A call answered with 402 costs a fee",
        ("CERR-402-3",),
        lambda: Components(payment=FeeForRefusal),
    ),
    Defect(
        "top-up-does-not-help",
        "An account that was refused once stays refused after a top-up",
        ("CERR-402-4",),
        lambda: Components(ledger=StaysEmpty),
    ),
)
