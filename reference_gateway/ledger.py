"""The ledger: every change of money is one transfer with a reason and a call id, and a balance is their sum.

A transfer has two legs: what `account` gains, `counter` loses, so all accounts together always sum to zero. Chat calls
go hold -> release + settle (+ overrun), or hold -> release; tasks go debit (-> refund). A chat call is refunded only if
its charge was committed and the database could not say so, for then its caller was refused. A unique index on
(call, reason) makes a second settlement, release or refund impossible, whoever asks for it and however often.

The `post_*` methods run inside a transaction, so that others can join them with their own changes. Each of them locks the
account first, so that two processes cannot decide on the same balance.
Amounts are whole: credits for task accounts, pico-dollars for all others.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from reference_gateway.database import Connection, ConstraintError, Database, StorageError, storable
from reference_gateway.jsonwire import JsonObject, encode
from reference_gateway.rate_card import RateCard

_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0

_log = logging.getLogger(__name__)


class Reason(StrEnum):
    """Why a transfer happened."""

    TOPUP = "topup"
    HOLD = "hold"
    SETTLE = "settle"
    RELEASE = "release"
    DEBIT = "debit"
    REFUND = "refund"
    OVERRUN = "overrun"


_COUNTER: Final = {
    Reason.TOPUP: "funding",
    Reason.HOLD: "held",
    Reason.RELEASE: "held",
    Reason.SETTLE: "revenue",
    Reason.OVERRUN: "revenue",
    Reason.DEBIT: "revenue",
    Reason.REFUND: "revenue",
}


class InsufficientError(Exception):
    """The balance does not cover what was asked; nothing was changed."""


class UnknownAccountError(Exception):
    """There is no such account."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """One row of the ledger as an operator reads it."""

    seq: int
    call: str
    reason: Reason
    amount: int
    balance_after: int
    detail: bytes | None
    account: str
    counter: str
    at: int


class Ledger:
    """Moves money, each thing once. Awaitables finish when the change is durable, unless said otherwise."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rate_card = ""
        self._giving: set[asyncio.Task[None]] = set()

    def hold(self, call: str, account: str, wanted: int) -> "asyncio.Future[int]":
        """Set aside what fits of the wanted amount before dispatch; raises `InsufficientError` at zero or below.

        Done as soon as it has run: a crash before the commit leaves no hold, which is where a restart ends as well.
        """
        return self._database.submit(
            lambda connection: self.post_hold(connection, call, account, wanted), early=True, lane=account
        )

    async def use_rate_card(self, card: RateCard) -> None:
        """Keep a rate card, and name it in every charge from now on."""
        await self._database.submit(
            lambda connection: connection.execute(
                "INSERT INTO rate_cards (version, card, first_used_at) VALUES (?, ?, ?)"
                " ON CONFLICT (version) DO NOTHING",
                card.version,
                card.card,
                int(time.time()),
            )
        )
        self._rate_card = card.version

    def rate_card(self, version: str) -> "asyncio.Future[RateCard | None]":
        """A rate card that was in use once."""
        return self._database.submit(lambda connection: self.read_rate_card(connection, version))

    def settle(self, call: str, account: str, charge: int, detail: JsonObject) -> "asyncio.Future[None]":
        """End a held call with its charge; raises `ConstraintError` if it has ended already."""
        return self._database.submit(
            lambda connection: self.post_settle(connection, call, account, charge, detail), lane=account
        )

    def release(self, call: str, account: str) -> "asyncio.Future[None]":
        """End a held call without a charge; does nothing when there is no open hold. Done as soon as it has run."""
        return self._database.submit(
            lambda connection: self.post_release(connection, call, account), early=True, lane=account
        )

    def give_back(self, call: str, account: str) -> None:
        """Have a call that failed end without cost, as soon as the database can do that; nobody waits for it.

        A charge goes back as well: its commit may have gone through although nobody could be told.
        """
        giving = asyncio.create_task(self._given_back(call, account), name=f"give back {call}")
        self._giving.add(giving)
        giving.add_done_callback(self._giving.discard)

    async def _given_back(self, call: str, account: str) -> None:
        pause = _PAUSE_S
        while True:
            try:
                return await self._database.submit(
                    lambda connection: self.post_nothing_taken(connection, call, account), lane=account
                )
            except ConstraintError:
                _log.exception("%s cannot give back what it holds", call)
                return None
            except StorageError as error:
                _log.error("%s waits for the database to give back what it holds: %s", call, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def close(self) -> None:
        """Leave what could not be given back yet to the next start."""
        for giving in self._giving:
            giving.cancel()
        await asyncio.gather(*self._giving, return_exceptions=True)

    def top_up(self, call: str, account: str, amount: int) -> "asyncio.Future[int]":
        """Add money from outside; the balance afterwards. Raises `UnknownAccountError`."""
        return self._database.submit(
            lambda connection: self.post_topup(connection, call, account, amount), lane=account
        )

    def balance(self, account: str) -> "asyncio.Future[int]":
        """The balance after everything submitted so far; raises `UnknownAccountError`."""
        return self._database.submit(lambda connection: self.read_balance(connection, account), lane=account)

    def transfers(self, account: str) -> "asyncio.Future[list[Transfer]]":
        """All transfers of an account in order."""
        return self._database.submit(
            lambda connection: self.read_transfers(connection, account), lane=account
        )

    def explain(self, call: str) -> "asyncio.Future[list[Transfer]]":
        """All transfers of one call or task in order: what was set aside, charged and given back, and why."""
        return self._database.submit(lambda connection: self.read_call(connection, call))

    async def release_open_holds(self) -> int:
        """Give back the holds of workers that are gone; how many there were."""
        orphans = await self._database.submit(self.read_orphans)
        # One transaction each: two workers that do this at once must not wait for each other in a circle.
        for call, account in orphans:
            await self.release(call, account)
        return len(orphans)

    def ping(self) -> "asyncio.Future[int]":
        """Done when the database has run an operation."""
        return self._database.submit(_ping)

    def audit(self) -> "asyncio.Future[list[str]]":
        """What does not add up (nothing, ever): accounts and calls by name."""
        return self._database.submit(self.read_mismatches)

    def admits(self, balance: int) -> bool:
        """Whether a chat call may begin (402 otherwise): the cost is unknown yet, so any positive balance will do."""
        return balance > 0

    async def post_hold(self, connection: Connection, call: str, account: str, wanted: int) -> int:
        """Hold min(wanted, balance); the amount held."""
        balance = await self.lock_balance(connection, account)
        if not self.admits(balance):
            raise InsufficientError
        amount = max(min(wanted, balance), 0)
        await self.post(connection, Reason.HOLD, call, account, -amount)
        await connection.execute(
            "INSERT INTO holds (call, account, worker) VALUES (?, ?, ?)", call, account, self._database.worker
        )
        return amount

    async def post_settle(
        self, connection: Connection, call: str, account: str, charge: int, detail: JsonObject
    ) -> None:
        """Give the hold back and take the charge; what the balance does not cover becomes an overrun."""
        held = await self.read_held(connection, call)
        available = await self._post_end_of_hold(connection, call, account, held)
        covered = min(charge, max(available, 0))
        await self.post(connection, Reason.SETTLE, call, account, -covered, self._priced(detail))
        if charge > covered:
            await self.post(connection, Reason.OVERRUN, call, account, covered - charge)

    async def post_release(self, connection: Connection, call: str, account: str) -> None:
        """Give the hold back, if it is still open."""
        await self.lock_balance(connection, account)
        rows = await connection.fetch(
            "SELECT reason, amount FROM transfers WHERE call = ? AND reason IN ('hold', 'release')", call
        )
        if [row[0] for row in rows] == [Reason.HOLD.value]:
            await self._post_end_of_hold(connection, call, account, -rows[0][1])

    async def post_nothing_taken(self, connection: Connection, call: str, account: str) -> None:
        """Give back what the call has taken, its hold or its charge."""
        await self.post_release(connection, call, account)
        rows = await connection.fetch(
            "SELECT reason, amount FROM transfers WHERE call = ? AND reason IN ('settle', 'overrun', 'refund')",
            call,
        )
        if rows and Reason.REFUND.value not in [row[0] for row in rows]:
            await self.post(connection, Reason.REFUND, call, account, -sum(row[1] for row in rows))

    async def _post_end_of_hold(self, connection: Connection, call: str, account: str, held: int) -> int:
        await connection.execute("DELETE FROM holds WHERE call = ?", call)
        return await self.post(connection, Reason.RELEASE, call, account, held)

    async def post_debit(
        self, connection: Connection, call: str, account: str, amount: int, detail: JsonObject
    ) -> int:
        """Take whole credits at submission; the balance afterwards. Raises `InsufficientError`."""
        if await self.lock_balance(connection, account) < amount:
            raise InsufficientError
        return await self.post(connection, Reason.DEBIT, call, account, -amount, self._priced(detail))

    async def post_refund(self, connection: Connection, call: str, account: str, detail: JsonObject) -> int:
        """Give back exactly what the call's debit took; raises `ConstraintError` the second time."""
        return await self.post(
            connection, Reason.REFUND, call, account, await self.read_debited(connection, call), detail
        )

    async def post_topup(self, connection: Connection, call: str, account: str, amount: int) -> int:
        """Add money from outside; the balance afterwards."""
        return await self.post(connection, Reason.TOPUP, call, account, amount)

    async def post(
        self,
        connection: Connection,
        reason: Reason,
        call: str,
        account: str,
        amount: int,
        detail: JsonObject | None = None,
    ) -> int:
        """Write one transfer and move the balance with it; the balance afterwards."""
        row = await connection.fetch_one(
            "UPDATE accounts SET balance = balance + ? WHERE account = ? RETURNING balance", amount, account
        )
        if row is None:
            raise UnknownAccountError(account)
        await connection.execute(
            "INSERT INTO transfers (call, reason, account, counter, amount, balance_after, detail, at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            call,
            reason.value,
            account,
            _COUNTER[reason],
            amount,
            row[0],
            None if detail is None else encode(detail),
            int(time.time()),
        )
        return int(row[0])

    def _priced(self, detail: JsonObject) -> JsonObject:
        return {**detail, "rate_card": self._rate_card}

    async def lock_balance(self, connection: Connection, account: str) -> int:
        """The balance, which nobody else can change until the transaction ends."""
        return await self._balance(connection, account, connection.for_update)

    async def read_balance(self, connection: Connection, account: str) -> int:
        """The balance inside a transaction."""
        return await self._balance(connection, account, "")

    async def _balance(self, connection: Connection, account: str, lock: str) -> int:
        row = await connection.fetch_one(f"SELECT balance FROM accounts WHERE account = ?{lock}", account)  # noqa: S608 - a constant of the dialect
        if row is None:
            raise UnknownAccountError(account)
        return int(row[0])

    async def read_held(self, connection: Connection, call: str) -> int:
        """What the call's hold set aside; raises `ConstraintError` when there was none."""
        return -await self._amount_of(connection, call, Reason.HOLD)

    async def read_debited(self, connection: Connection, call: str) -> int:
        """What the call's debit took; raises `ConstraintError` when there was none."""
        return -await self._amount_of(connection, call, Reason.DEBIT)

    async def _amount_of(self, connection: Connection, call: str, reason: Reason) -> int:
        row = await connection.fetch_one(
            "SELECT amount FROM transfers WHERE call = ? AND reason = ?", call, reason.value
        )
        if row is None:
            raise ConstraintError(f"{call} has no {reason}")
        return int(row[0])

    async def read_transfers(self, connection: Connection, account: str) -> list[Transfer]:
        """All transfers of an account in order."""
        return await self._transfers(connection, "account", account) if storable(account) else []

    async def read_call(self, connection: Connection, call: str) -> list[Transfer]:
        """All transfers of a call in order."""
        return await self._transfers(connection, "call", call) if storable(call) else []

    async def _transfers(self, connection: Connection, column: str, value: str) -> list[Transfer]:
        rows = await connection.fetch(
            "SELECT seq, call, reason, amount, balance_after, detail, account, counter, at FROM transfers"  # noqa: S608 - a column of ours
            f" WHERE {column} = ? ORDER BY seq",
            value,
        )
        return [Transfer(row[0], row[1], Reason(row[2]), *row[3:]) for row in rows]

    async def read_rate_card(self, connection: Connection, version: str) -> RateCard | None:
        """One rate card."""
        if not storable(version):
            return None
        row = await connection.fetch_one("SELECT card FROM rate_cards WHERE version = ?", version)
        return None if row is None else RateCard(version, bytes(row[0]))

    async def read_orphans(self, connection: Connection) -> list[tuple[str, str]]:
        """Call and account of the open holds whose worker is gone."""
        rows = await connection.fetch(
            "SELECT call, account FROM holds WHERE worker NOT IN (SELECT worker FROM workers)"
        )
        return [(row[0], row[1]) for row in rows]

    async def read_mismatches(self, connection: Connection) -> list[str]:
        """What does not add up: balances that are no sums of transfers, and holds that are open in one place only."""
        rows = await connection.fetch(
            "SELECT account FROM accounts AS a WHERE balance <> "
            "(SELECT COALESCE(SUM(amount), 0) FROM transfers AS t WHERE t.account = a.account)"
        )
        strays = await connection.fetch(_STRAY_HOLDS)
        return [row[0] for row in (*rows, *strays)]


async def _ping(connection: Connection) -> int:
    row = await connection.fetch_one("SELECT 1")
    return 0 if row is None else int(row[0])


_STRAY_HOLDS: Final = """
SELECT h.call FROM transfers AS h WHERE h.reason = 'hold'
  AND NOT EXISTS (SELECT 1 FROM transfers AS r WHERE r.call = h.call AND r.reason = 'release')
  AND NOT EXISTS (SELECT 1 FROM holds AS o WHERE o.call = h.call)
UNION ALL
SELECT o.call FROM holds AS o
  WHERE EXISTS (SELECT 1 FROM transfers AS r WHERE r.call = o.call AND r.reason = 'release')
"""
