"""Accounts and their keys. The database holds them (keys only as SHA-256); a copy in memory serves the hot path.

Every change of the directory takes the next version number and marks its account with it, in one transaction. Where
other processes share the database, the copy is brought up to date before each request (`catch_up`): what one of them
has answered, a new key or a revoked one, holds for all from that moment.
"""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from reference_gateway.database import Connection, Database
from reference_gateway.identifiers import random_hex, secret_key
from reference_gateway.jsonwire import decode, encode
from reference_gateway.ledger import Ledger


class Workspace(StrEnum):
    """The worlds whose keys and balances never cross (public docs, Authentication)."""

    CHAT = "chat"
    TASKS = "tasks"
    AIMLAPI = "aimlapi"


_KEY_PREFIX = {Workspace.CHAT: "sk-", Workspace.TASKS: "rk_live_", Workspace.AIMLAPI: "ak-"}


@dataclass(frozen=True, slots=True)
class Account:
    """Who pays. Limits left unset take the configured ones."""

    id: str
    workspace: Workspace
    requests_per_second: int | None = None
    group_limits: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Key:
    """One credential of an account, known by its digest only. A disabled key can be enabled again."""

    id: str
    account: Account
    digest: bytes
    revoked: bool
    disabled: bool = False

    @property
    def state(self) -> str:
        """As operators and the database call it."""
        return "revoked" if self.revoked else "disabled" if self.disabled else "active"


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key with its secret, which is shown once."""

    id: str
    secret: str


class UnknownKeyError(Exception):
    """There is no such key."""


class RevokedKeyError(Exception):
    """The key is gone for good and cannot be switched on or off."""


def digest_of(secret: str) -> bytes:
    """How a key is stored."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


class AccountDirectory:
    """Creates, finds and closes accounts and keys."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger
        self._accounts: dict[str, Account] = {}
        self._keys: dict[str, Key] = {}
        self._keys_of: dict[str, dict[str, Key]] = {}
        self._by_digest: dict[bytes, Key] = {}
        self._version = -1
        self._asking: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Bring the copy in memory up to the database."""
        version, accounts, keys = await self._database.submit(self._read_changes)
        for account_id, workspace, requests_per_second, group_limits, state in accounts:
            self._forget(account_id)
            if state == "open":
                self._accounts[account_id] = Account(
                    account_id, Workspace(workspace), requests_per_second, decode(group_limits)
                )
        for key_id, account_id, digest, state in keys:
            if account_id in self._accounts:
                account = self._accounts[account_id]
                self._remember(Key(key_id, account, bytes(digest), state == "revoked", state == "disabled"))
        self._version = max(self._version, version)

    async def catch_up(self) -> None:
        """See every change that was answered before this call, by whichever process; requests share one look."""
        if self._next is None:
            # A look that is under way may have begun before the change; the next one cannot.
            self._next = asyncio.create_task(self._look(self._asking))
        await asyncio.shield(self._next)

    async def _look(self, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await asyncio.wait([before])
        self._asking, self._next = self._next, None
        await self.load()

    async def _read_changes(
        self, connection: Connection
    ) -> tuple[int, Sequence[Sequence[Any]], Sequence[Sequence[Any]]]:
        """The version of the directory, and what has changed since the one that is known here.

        Changes that are newer than the version may come along; they come again with the next look.
        """
        row = await connection.fetch_one("SELECT version FROM directory")
        version = 0 if row is None else int(row[0])
        if version == self._version:
            return version, (), ()
        known = self._version
        accounts = await connection.fetch(
            "SELECT account, workspace, requests_per_second, group_limits, state FROM accounts"
            " WHERE changed > ?",
            known,
        )
        keys = await connection.fetch(
            "SELECT k.key_id, k.account, k.digest, k.state FROM keys AS k JOIN accounts AS a ON a.account = k.account"
            " WHERE a.changed > ?",
            known,
        )
        return version, accounts, keys

    def account(self, account_id: str) -> Account | None:
        """An open account."""
        return self._accounts.get(account_id)

    def open_accounts(self) -> list[Account]:
        """All of them, by id."""
        return sorted(self._accounts.values(), key=lambda account: account.id)

    async def set_limits(
        self, account: Account, requests_per_second: int | None, group_limits: Mapping[str, int]
    ) -> Account:
        """Give an account other limits, from its next call on."""
        changed = replace(account, requests_per_second=requests_per_second, group_limits=group_limits)

        async def operation(connection: Connection) -> None:
            await _mark_changed(connection, account.id)
            await connection.execute(
                "UPDATE accounts SET requests_per_second = ?, group_limits = ? WHERE account = ?",
                requests_per_second,
                encode(dict(group_limits)).decode(),
                account.id,
            )

        await self._database.submit(operation)
        self._accounts[account.id] = changed
        for key in self.keys_of(account.id):
            self._remember(replace(key, account=changed))
        return changed

    def key_for(self, secret: str) -> Key | None:
        """The key with this secret, revoked or not; the digests are compared in constant time."""
        digest = digest_of(secret)
        key = self._by_digest.get(digest)
        return key if key is not None and secrets.compare_digest(key.digest, digest) else None

    def keys_of(self, account_id: str) -> list[Key]:
        """All keys of an account, revoked ones too."""
        return list(self._keys_of.get(account_id, {}).values())

    async def create(
        self,
        workspace: Workspace,
        balance: int,
        requests_per_second: int | None,
        group_limits: Mapping[str, int],
    ) -> tuple[Account, IssuedKey]:
        """Open an account with a first key; the balance is in the workspace's unit."""
        account = Account(f"acct_{random_hex()}", workspace, requests_per_second, group_limits)
        issued, key = _new_key(account)

        async def operation(connection: Connection) -> None:
            await connection.execute(
                "INSERT INTO accounts (account, workspace, requests_per_second, group_limits, created_at)"
                " VALUES (?, ?, ?, ?, ?)",
                account.id,
                workspace.value,
                requests_per_second,
                encode(dict(group_limits)).decode(),
                int(time.time()),
            )
            await _insert_key(connection, key)
            await _mark_changed(connection, account.id)
            if balance:
                await self._ledger.post_topup(connection, f"topup_{random_hex()}", account.id, balance)

        await self._database.submit(operation)
        self._accounts[account.id] = account
        self._remember(key)
        return account, issued

    async def add_key(self, account: Account) -> IssuedKey:
        """One more key for the same user."""
        issued, key = _new_key(account)

        async def operation(connection: Connection) -> None:
            await _mark_changed(connection, account.id)
            await _insert_key(connection, key)

        await self._database.submit(operation)
        self._remember(key)
        return issued

    async def revoke(self, key_id: str) -> None:
        """Revoke a key for good; raises `UnknownKeyError`."""
        await self._keep(replace(self._key(key_id), revoked=True, disabled=False))

    async def switch(self, key_id: str, *, enabled: bool) -> None:
        """Disable a key, or enable it again; raises `UnknownKeyError` and `RevokedKeyError`."""
        key = self._key(key_id)
        if key.revoked:
            raise RevokedKeyError(key_id)
        await self._keep(replace(key, disabled=not enabled))

    def close(self, account_id: str) -> "asyncio.Future[None]":
        """Close an account: its keys stop working at once, its ledger stays."""
        self._forget(account_id)

        async def operation(connection: Connection) -> None:
            await _mark_changed(connection, account_id)
            await connection.execute("UPDATE accounts SET state = 'closed' WHERE account = ?", account_id)
            await connection.execute("DELETE FROM keys WHERE account = ?", account_id)

        return self._database.submit(operation, lane=account_id)

    def _forget(self, account_id: str) -> None:
        for key in self.keys_of(account_id):
            del self._keys[key.id], self._by_digest[key.digest]
        self._keys_of.pop(account_id, None)
        self._accounts.pop(account_id, None)

    def _key(self, key_id: str) -> Key:
        key = self._keys.get(key_id)
        if key is None:
            raise UnknownKeyError(key_id)
        return key

    async def _keep(self, key: Key) -> None:
        self._remember(key)

        async def operation(connection: Connection) -> None:
            await _mark_changed(connection, key.account.id)
            # Another worker may have revoked it meanwhile, and that is for good.
            await connection.execute(
                "UPDATE keys SET state = ? WHERE key_id = ? AND state <> 'revoked'", key.state, key.id
            )

        await self._database.submit(operation)

    def _remember(self, key: Key) -> None:
        self._keys[key.id] = key
        self._keys_of.setdefault(key.account.id, {})[key.id] = key
        self._by_digest[key.digest] = key


def _new_key(account: Account) -> tuple[IssuedKey, Key]:
    issued = IssuedKey(f"key_{random_hex()}", secret_key(_KEY_PREFIX[account.workspace]))
    return issued, Key(issued.id, account, digest_of(issued.secret), revoked=False)


async def _insert_key(connection: Connection, key: Key) -> None:
    await connection.execute(
        "INSERT INTO keys (key_id, account, digest) VALUES (?, ?, ?)", key.id, key.account.id, key.digest
    )


async def _mark_changed(connection: Connection, account_id: str) -> None:
    """Give the account the next version; the row of the directory lets one change commit after the other."""
    row = await connection.fetch_one("UPDATE directory SET version = version + 1 RETURNING version")
    await connection.execute(
        "UPDATE accounts SET changed = ? WHERE account = ?", None if row is None else row[0], account_id
    )
