"""Money that moves where none may: refused calls that cost, and one purse for two workspaces."""

from typing import Any

from aiohttp import web

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.accounts import Account, AccountDirectory, Key, Workspace
from reference_gateway.calls import CallService
from reference_gateway.chat_surface import CallSurface, ChatSurface
from reference_gateway.database import Connection
from reference_gateway.failures import GatewayError, Kind
from reference_gateway.identifiers import random_hex
from reference_gateway.jsonwire import JsonObject
from reference_gateway.ledger import Ledger, Reason

_CENT = 10**10


class ChargesWithdrawnKeys(AccountDirectory):
    """Takes a cent for every look at a key that has been revoked."""

    def key_for(self, secret: str) -> Key | None:
        key = super().key_for(secret)
        if key is not None and key.revoked and key.account.workspace is Workspace.CHAT:
            self._ledger.top_up(f"refused_{random_hex()}", key.account.id, -_CENT)
        return key


class TakesFees(CallService):
    """Can charge a call that was never made."""

    async def fee(self, account: Account) -> None:
        """One cent."""
        await self._ledger.top_up(f"refused_{random_hex()}", account.id, -_CENT)


class FeeForShape(CallSurface[Any]):
    """The other half: a call that is refused for its shape costs the fee."""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        try:
            return await super().serve(request)
        except GatewayError as refusal:
            shape = {Kind.MALFORMED_BODY, Kind.MISSING_FIELD, Kind.INVALID_FIELD}
            if refusal.failure.kind in shape and isinstance(self._calls, TakesFees):
                await self._calls.fee(self._authenticator.authenticate(request.headers))
            raise


class ChargesRefusals(FeeForShape, ChatSurface):
    """Takes it on chat completions."""


class OnePurse(Ledger):
    """Takes a credit of the first task account along with every charge for chat."""

    async def post_settle(
        self, connection: Connection, call: str, account: str, charge: int, detail: JsonObject
    ) -> None:
        await super().post_settle(connection, call, account, charge, detail)
        row = await connection.fetch_one(
            "SELECT account FROM transfers JOIN accounts USING (account) WHERE workspace = ? ORDER BY seq LIMIT 1",
            Workspace.TASKS.value,
        )
        if row is not None:
            await self.post(connection, Reason.DEBIT, f"purse_{call}", row[0], -1)


DEFECTS = (
    Defect(
        "revoked-key-charged",
        "A call with a revoked key costs a cent",
        ("AUTH-12",),
        lambda: Components(directory=ChargesWithdrawnKeys),
    ),
    Defect(
        "bad-shape-charged",
        "A chat call that is answered with 400 costs a cent",
        ("CREQ-23",),
        lambda: Components(calls=TakesFees, chat_surface=ChargesRefusals),
    ),
    Defect(
        "one-purse-for-two-workspaces",
        "A chat call takes a credit of the task gateway as well",
        ("AUTH-07",),
        lambda: Components(ledger=OnePurse),
    ),
)
