"""Accounts and their keys. The database holds them (keys only as SHA-256); a copy in memory serves the hot path."""

import asyncio
import hashlib
import secrets
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from reference_gateway.database import Database
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

    async def load(self) -> None:
        """Fill the copy in memory from the database."""
        accounts, keys = await self._database.submit(_read_all)
        self._accounts = {account.id: account for account in accounts}
        for key_id, account_id, digest, state in keys:
            account = self._accounts[account_id]
            self._remember(Key(key_id, account, digest, state == "revoked", state == "disabled"))

    def account(self, account_id: str) -> Account | None:
        """An open account."""
        return self._accounts.get(account_id)

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

        def operation(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO accounts (account, workspace, requests_per_second, group_limits, created_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (
                    account.id,
                    workspace.value,
                    requests_per_second,
                    encode(dict(group_limits)).decode(),
                    int(time.time()),
                ),
            )
            _insert_key(connection, key)
            if balance:
                self._ledger.post_topup(connection, f"topup_{random_hex()}", account.id, balance)

        await self._database.submit(operation)
        self._accounts[account.id] = account
        self._remember(key)
        return account, issued

    async def add_key(self, account: Account) -> IssuedKey:
        """One more key for the same user."""
        issued, key = _new_key(account)
        await self._database.submit(lambda connection: _insert_key(connection, key))
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
        for key in self.keys_of(account_id):
            del self._keys[key.id], self._by_digest[key.digest]
        self._keys_of.pop(account_id, None)
        self._accounts.pop(account_id, None)

        def operation(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE accounts SET state = 'closed' WHERE account = ?", (account_id,))
            connection.execute("DELETE FROM keys WHERE account = ?", (account_id,))

        return self._database.submit(operation)

    def _key(self, key_id: str) -> Key:
        key = self._keys.get(key_id)
        if key is None:
            raise UnknownKeyError(key_id)
        return key

    async def _keep(self, key: Key) -> None:
        self._remember(key)
        await self._database.submit(
            lambda connection: connection.execute(
                "UPDATE keys SET state = ? WHERE key_id = ?", (key.state, key.id)
            )
        )

    def _remember(self, key: Key) -> None:
        self._keys[key.id] = key
        self._keys_of.setdefault(key.account.id, {})[key.id] = key
        self._by_digest[key.digest] = key


def _new_key(account: Account) -> tuple[IssuedKey, Key]:
    issued = IssuedKey(f"key_{random_hex()}", secret_key(_KEY_PREFIX[account.workspace]))
    return issued, Key(issued.id, account, digest_of(issued.secret), revoked=False)


def _insert_key(connection: sqlite3.Connection, key: Key) -> None:
    connection.execute(
        "INSERT INTO keys (key_id, account, digest) VALUES (?, ?, ?)", (key.id, key.account.id, key.digest)
    )


def _read_all(connection: sqlite3.Connection) -> tuple[list[Account], list[tuple[str, str, bytes, str]]]:
    accounts = [
        Account(row[0], Workspace(row[1]), row[2], decode(row[3]))
        for row in connection.execute(
            "SELECT account, workspace, requests_per_second, group_limits FROM accounts WHERE state = 'open'"
        )
    ]
    keys = connection.execute("SELECT key_id, account, digest, state FROM keys").fetchall()
    return accounts, keys
