"""The ledger: every change of money is one transfer with a reason and a call id, and a balance is their sum.

A transfer has two legs: what `account` gains, `counter` loses, so all accounts together always sum to zero. Chat calls
go hold -> release + settle (+ overrun), or hold -> release; tasks go debit (-> refund). A unique index on
(call, reason) makes a second settlement, release or refund impossible, whoever asks for it and however often.

The `post_*` methods run inside a transaction of the writer thread, so that others can join them with their own changes.
Amounts are whole: credits for task accounts, pico-dollars for all others.
"""

import asyncio
import sqlite3
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from reference_gateway.database import Database
from reference_gateway.jsonwire import JsonObject, encode

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS accounts (
  account TEXT PRIMARY KEY,
  workspace TEXT NOT NULL CHECK (workspace IN ('chat', 'tasks', 'aimlapi')),
  balance INTEGER NOT NULL DEFAULT 0,
  requests_per_second INTEGER,
  group_limits TEXT NOT NULL DEFAULT '{}',
  state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed')),
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS keys (
  key_id TEXT PRIMARY KEY,
  account TEXT NOT NULL REFERENCES accounts,
  digest BLOB NOT NULL UNIQUE,
  state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'revoked', 'disabled'))
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS keys_of_account ON keys (account);
CREATE TABLE IF NOT EXISTS transfers (
  seq INTEGER PRIMARY KEY,
  call TEXT NOT NULL,
  reason TEXT NOT NULL
    CHECK (reason IN ('topup', 'hold', 'settle', 'release', 'debit', 'refund', 'overrun')),
  account TEXT NOT NULL REFERENCES accounts,
  counter TEXT NOT NULL CHECK (counter IN ('funding', 'held', 'revenue')),
  amount INTEGER NOT NULL,
  balance_after INTEGER NOT NULL,
  detail BLOB,
  at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS transfers_once ON transfers (call, reason);
CREATE INDEX IF NOT EXISTS transfers_of_account ON transfers (account, seq);
"""


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


class Ledger:
    """Moves money, each thing once. Awaitables finish when the change is durable, unless said otherwise."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def hold(self, call: str, account: str, wanted: int) -> "asyncio.Future[int]":
        """Set aside what fits of the wanted amount before dispatch; raises `InsufficientError` at zero or below.

        Done as soon as it has run: a crash before the commit leaves no hold, which is where a restart ends as well.
        """
        return self._database.submit(
            lambda connection: self.post_hold(connection, call, account, wanted), early=True
        )

    def settle(self, call: str, account: str, charge: int, detail: JsonObject) -> "asyncio.Future[None]":
        """End a held call with its charge; raises `sqlite3.IntegrityError` if it has ended already."""
        return self._database.submit(
            lambda connection: self.post_settle(connection, call, account, charge, detail)
        )

    def release(self, call: str, account: str) -> "asyncio.Future[None]":
        """End a held call without a charge; does nothing when there is no open hold. Done as soon as it has run."""
        return self._database.submit(
            lambda connection: self.post_release(connection, call, account), early=True
        )

    def top_up(self, call: str, account: str, amount: int) -> "asyncio.Future[int]":
        """Add money from outside; the balance afterwards. Raises `UnknownAccountError`."""
        return self._database.submit(lambda connection: self.post_topup(connection, call, account, amount))

    def balance(self, account: str) -> "asyncio.Future[int]":
        """The balance after everything submitted so far; raises `UnknownAccountError`."""
        return self._database.submit(lambda connection: self.read_balance(connection, account))

    def transfers(self, account: str) -> "asyncio.Future[list[Transfer]]":
        """All transfers of an account in order."""
        return self._database.submit(lambda connection: self.read_transfers(connection, account))

    def release_open_holds(self) -> "asyncio.Future[int]":
        """After a restart: give back every hold whose call never ended; how many there were."""
        return self._database.submit(self.post_release_all)

    def audit(self) -> "asyncio.Future[list[str]]":
        """Accounts whose balance is not the sum of their transfers (none, ever)."""
        return self._database.submit(self.read_mismatches)

    def admits(self, balance: int) -> bool:
        """Whether a chat call may begin (402 otherwise): the cost is unknown yet, so any positive balance will do."""
        return balance > 0

    def post_hold(self, connection: sqlite3.Connection, call: str, account: str, wanted: int) -> int:
        """Hold min(wanted, balance); the amount held."""
        balance = self.read_balance(connection, account)
        if not self.admits(balance):
            raise InsufficientError
        amount = max(min(wanted, balance), 0)
        self.post(connection, Reason.HOLD, call, account, -amount)
        return amount

    def post_settle(
        self, connection: sqlite3.Connection, call: str, account: str, charge: int, detail: JsonObject
    ) -> None:
        """Give the hold back and take the charge; what the balance does not cover becomes an overrun."""
        held = self.read_held(connection, call)
        available = self.post(connection, Reason.RELEASE, call, account, held)
        covered = min(charge, max(available, 0))
        self.post(connection, Reason.SETTLE, call, account, -covered, detail)
        if charge > covered:
            self.post(connection, Reason.OVERRUN, call, account, covered - charge)

    def post_release(self, connection: sqlite3.Connection, call: str, account: str) -> None:
        """Give the hold back, if it is still open."""
        row = connection.execute(
            "SELECT reason FROM transfers WHERE call = ? AND reason IN ('hold', 'release')", (call,)
        ).fetchall()
        if row == [("hold",)]:
            self.post(connection, Reason.RELEASE, call, account, self.read_held(connection, call))

    def post_debit(
        self, connection: sqlite3.Connection, call: str, account: str, amount: int, detail: JsonObject
    ) -> int:
        """Take whole credits at submission; the balance afterwards. Raises `InsufficientError`."""
        if self.read_balance(connection, account) < amount:
            raise InsufficientError
        return self.post(connection, Reason.DEBIT, call, account, -amount, detail)

    def post_refund(self, connection: sqlite3.Connection, call: str, account: str, detail: JsonObject) -> int:
        """Give back exactly what the call's debit took; raises `sqlite3.IntegrityError` the second time."""
        return self.post(
            connection, Reason.REFUND, call, account, self.read_debited(connection, call), detail
        )

    def post_topup(self, connection: sqlite3.Connection, call: str, account: str, amount: int) -> int:
        """Add money from outside; the balance afterwards."""
        return self.post(connection, Reason.TOPUP, call, account, amount)

    def post_release_all(self, connection: sqlite3.Connection) -> int:
        """Give back every open hold; how many there were."""
        open_holds = connection.execute(
            "SELECT call, account FROM transfers AS h WHERE reason = 'hold' AND NOT EXISTS "
            "(SELECT 1 FROM transfers AS r WHERE r.call = h.call AND r.reason = 'release')"
        ).fetchall()
        for call, account in open_holds:
            self.post_release(connection, call, account)
        return len(open_holds)

    def post(
        self,
        connection: sqlite3.Connection,
        reason: Reason,
        call: str,
        account: str,
        amount: int,
        detail: JsonObject | None = None,
    ) -> int:
        """Write one transfer and move the balance with it; the balance afterwards."""
        row = connection.execute(
            "UPDATE accounts SET balance = balance + ? WHERE account = ? RETURNING balance", (amount, account)
        ).fetchone()
        if row is None:
            raise UnknownAccountError(account)
        connection.execute(
            "INSERT INTO transfers (call, reason, account, counter, amount, balance_after, detail, at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                call,
                reason.value,
                account,
                _COUNTER[reason],
                amount,
                row[0],
                None if detail is None else encode(detail),
                int(time.time()),
            ),
        )
        return int(row[0])

    def read_balance(self, connection: sqlite3.Connection, account: str) -> int:
        """The balance inside a transaction."""
        row = connection.execute("SELECT balance FROM accounts WHERE account = ?", (account,)).fetchone()
        if row is None:
            raise UnknownAccountError(account)
        return int(row[0])

    def read_held(self, connection: sqlite3.Connection, call: str) -> int:
        """What the call's hold set aside; raises `sqlite3.IntegrityError` when there was none."""
        return -self._amount_of(connection, call, Reason.HOLD)

    def read_debited(self, connection: sqlite3.Connection, call: str) -> int:
        """What the call's debit took; raises `sqlite3.IntegrityError` when there was none."""
        return -self._amount_of(connection, call, Reason.DEBIT)

    def _amount_of(self, connection: sqlite3.Connection, call: str, reason: Reason) -> int:
        row = connection.execute(
            "SELECT amount FROM transfers WHERE call = ? AND reason = ?", (call, reason.value)
        ).fetchone()
        if row is None:
            raise sqlite3.IntegrityError(f"{call} has no {reason}")
        return int(row[0])

    def read_transfers(self, connection: sqlite3.Connection, account: str) -> list[Transfer]:
        """All transfers of an account in order."""
        rows = connection.execute(
            "SELECT seq, call, reason, amount, balance_after, detail FROM transfers WHERE account = ? ORDER BY seq",
            (account,),
        )
        return [Transfer(row[0], row[1], Reason(row[2]), row[3], row[4], row[5]) for row in rows]

    def read_mismatches(self, connection: sqlite3.Connection) -> list[str]:
        """Accounts whose balance differs from the sum of their transfers."""
        rows = connection.execute(
            "SELECT account FROM accounts AS a WHERE balance <> "
            "(SELECT COALESCE(SUM(amount), 0) FROM transfers AS t WHERE t.account = a.account)"
        )
        return [row[0] for row in rows]
