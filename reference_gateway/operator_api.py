"""The operator's API: accounts, keys, top-ups, ledgers and telemetry. It has its own listener and its own token."""

import re
import secrets
from typing import Any

from aiohttp import web

from reference_gateway.accounts import Account, AccountDirectory, RevokedKeyError, UnknownKeyError, Workspace
from reference_gateway.config import GatewayConfig
from reference_gateway.database import ConstraintError
from reference_gateway.errors import ChatErrorRenderer, ErrorRenderer
from reference_gateway.failures import GatewayError, Kind, refuse
from reference_gateway.identifiers import random_hex
from reference_gateway.jsonwire import JsonObject, decode, encode
from reference_gateway.ledger import Ledger
from reference_gateway.money import MoneyError, pico_from_usd, usd_from_pico
from reference_gateway.observation.health import METRICS_PATH, exposition
from reference_gateway.observation.metrics import Metrics
from reference_gateway.operator_queries import OperatorQueries
from reference_gateway.surface import Handler, SurfaceRoutes, read_body
from reference_gateway.tasks.store import TaskStore
from reference_gateway.validation.fields import check_known, invalid, read_object, require

BASE = "/operator/v1"
MOST_CREDITS = 10**15
MOST_LISTED = 1000
MOST_PER_SECOND = 10**9
_ACCOUNT_FIELDS = frozenset(
    {"workspace", "balance_usd", "credits", "requests_per_second", "group_requests_per_second"}
)
_BEARER = re.compile(r"Bearer +(\S+)", re.IGNORECASE)


class OperatorApi:
    """Handlers of the operator listener."""

    def __init__(
        self,
        config: GatewayConfig,
        directory: AccountDirectory,
        ledger: Ledger,
        tasks: TaskStore,
        metrics: Metrics,
    ) -> None:
        self._config = config
        self._token = None if config.operator_token is None else config.operator_token.encode()
        self._metrics = metrics
        self._directory = directory
        self._ledger = ledger
        self._tasks = tasks
        self._errors: ErrorRenderer = ChatErrorRenderer()

    def routes(self) -> SurfaceRoutes:
        """What the operator listener serves."""
        routes: dict[tuple[str, str], Handler] = {
            ("POST", BASE + "/accounts"): self.create_account,
            ("GET", BASE + "/accounts/{account}"): self.show_account,
            ("DELETE", BASE + "/accounts/{account}"): self.delete_account,
            ("POST", BASE + "/accounts/{account}/keys"): self.add_key,
            ("POST", BASE + "/accounts/{account}/top-up"): self.top_up,
            ("GET", BASE + "/accounts/{account}/ledger"): self.show_ledger,
            ("POST", BASE + "/keys/{key_id}/revoke"): self.revoke_key,
            ("POST", BASE + "/keys/{key_id}/disable"): self.disable_key,
            ("POST", BASE + "/keys/{key_id}/enable"): self.enable_key,
            ("GET", BASE + "/telemetry/idempotency-keys"): self.show_idempotency_keys,
            ("GET", METRICS_PATH): self.show_metrics,
            ("GET", BASE + "/accounts"): self.list_accounts,
            ("GET", BASE + "/accounts/{account}/keys"): self.list_keys,
            ("GET", BASE + "/accounts/{account}/limits"): self.show_limits,
            ("PUT", BASE + "/accounts/{account}/limits"): self.set_limits,
            **OperatorQueries(self._config, self._directory, self._ledger).routes(BASE),
        }
        guarded = {route: self._authorised(handler) for route, handler in routes.items()}
        return SurfaceRoutes("operator", guarded, lambda _path: self._errors)

    def _authorised(self, handler: Handler) -> Handler:
        async def check(request: web.Request) -> web.StreamResponse:
            match = _BEARER.fullmatch(request.headers.get("Authorization", "").strip())
            sent = b"" if match is None else match[1].encode("utf-8", "surrogateescape")
            if self._token is None:
                raise refuse(
                    Kind.DISABLED_KEY, "The operator API is closed: the configuration has no operator_token."
                )
            if not secrets.compare_digest(sent, self._token):
                raise refuse(Kind.INVALID_KEY, "The operator token is missing or wrong.")
            return await handler(request)

        return check

    async def create_account(self, request: web.Request) -> web.StreamResponse:
        body = read_object(await read_body(request))
        check_known(body, _ACCOUNT_FIELDS)
        workspace = _workspace(require(body, "workspace"))
        amount = _amount(body, workspace, "balance_usd")
        account, key = await self._directory.create(
            workspace, amount, _rate(body, "requests_per_second"), self._group_rates(body)
        )
        value = {
            "account": account.id,
            "key": key.secret,
            "key_id": key.id,
            "balance": _shown(workspace, amount),
        }
        return _json(value, 201)

    async def show_account(self, request: web.Request) -> web.StreamResponse:
        account = self._account(request)
        keys = [{"key_id": key.id, "state": key.state} for key in self._directory.keys_of(account.id)]
        value = {
            "account": account.id,
            "workspace": account.workspace.value,
            "balance": _shown(account.workspace, await self._ledger.balance(account.id)),
            "keys": keys,
        }
        return _json(value)

    async def list_accounts(self, request: web.Request) -> web.StreamResponse:
        after = request.query.get("after", "")
        following = [account for account in self._directory.open_accounts() if account.id > after]
        page = following[:MOST_LISTED]
        value = {
            "accounts": [{"account": account.id, "workspace": account.workspace.value} for account in page],
            "has_more": len(following) > len(page),
        }
        return _json(value)

    async def list_keys(self, request: web.Request) -> web.StreamResponse:
        keys = self._directory.keys_of(self._account(request).id)
        return _json({"keys": [{"key_id": key.id, "state": key.state} for key in keys]})

    async def show_limits(self, request: web.Request) -> web.StreamResponse:
        return _json(_limits(self._account(request)))

    async def set_limits(self, request: web.Request) -> web.StreamResponse:
        account = self._account(request)
        body = read_object(await read_body(request))
        check_known(body, frozenset({"requests_per_second", "group_requests_per_second"}))
        groups = self._group_rates(body)
        changed = await self._directory.set_limits(account, _rate(body, "requests_per_second"), groups)
        return _json(_limits(changed))

    def _group_rates(self, body: JsonObject) -> dict[str, int]:
        value = body.get("group_requests_per_second") or {}
        if not isinstance(value, dict):
            raise invalid(
                "group_requests_per_second", "`group_requests_per_second` must map groups to integers."
            )
        unknown = [name for name in value if name not in self._config.groups]
        if unknown:
            raise invalid("group_requests_per_second", f"There is no group {unknown[0][:80]!r}.")
        rates = {name: _rate(value, name) for name in value}
        return {name: rate for name, rate in rates.items() if rate is not None}

    async def delete_account(self, request: web.Request) -> web.StreamResponse:
        account = self._account(request)
        await self._directory.close(account.id)
        return _json({"account": account.id, "state": "closed"})

    async def add_key(self, request: web.Request) -> web.StreamResponse:
        key = await self._directory.add_key(self._account(request))
        return _json({"key": key.secret, "key_id": key.id}, 201)

    async def revoke_key(self, request: web.Request) -> web.StreamResponse:
        key_id = request.match_info["key_id"]
        try:
            await self._directory.revoke(key_id)
        except UnknownKeyError as error:
            raise _no_key(key_id) from error
        return _json({"key_id": key_id, "state": "revoked"})

    async def disable_key(self, request: web.Request) -> web.StreamResponse:
        return await self._switch(request.match_info["key_id"], enabled=False)

    async def enable_key(self, request: web.Request) -> web.StreamResponse:
        return await self._switch(request.match_info["key_id"], enabled=True)

    async def _switch(self, key_id: str, *, enabled: bool) -> web.StreamResponse:
        try:
            await self._directory.switch(key_id, enabled=enabled)
        except UnknownKeyError as error:
            raise _no_key(key_id) from error
        except RevokedKeyError as error:
            raise invalid("key_id", "The key has been revoked for good; add a new one.") from error
        return _json({"key_id": key_id, "state": "active" if enabled else "disabled"})

    async def top_up(self, request: web.Request) -> web.StreamResponse:
        account = self._account(request)
        body = read_object(await read_body(request))
        check_known(body, frozenset({"usd", "credits"}))
        amount = _amount(body, account.workspace, "usd")
        if amount <= 0:
            unit = "credits" if account.workspace is Workspace.TASKS else "usd"
            raise invalid(unit, f"`{unit}` must be given and be more than 0.")
        try:
            balance = await self._ledger.top_up(f"topup_{random_hex()}", account.id, amount)
        except ConstraintError as error:
            raise invalid("amount", "The balance cannot hold that much.") from error
        return _json({"balance": _shown(account.workspace, balance)})

    async def show_ledger(self, request: web.Request) -> web.StreamResponse:
        transfers = await self._ledger.transfers(request.match_info["account"])
        if not transfers:
            # An account that was closed is known by its books only.
            self._account(request)
        rows = [
            {
                "seq": transfer.seq,
                "call": transfer.call,
                "reason": transfer.reason.value,
                "amount": str(transfer.amount),
                "balance_after": str(transfer.balance_after),
                "detail": None if transfer.detail is None else decode(transfer.detail),
            }
            for transfer in transfers
        ]
        return _json({"rows": rows})

    async def show_idempotency_keys(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002 - a handler
        records = await self._tasks.idempotency_keys()
        entries = [
            {"value": record.value, "account": record.account, "task": record.task, "at": record.at}
            for record in records
        ]
        return _json({"entries": entries})

    async def show_metrics(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002 - a handler
        return exposition(self._metrics)

    def _account(self, request: web.Request) -> Account:
        account_id = request.match_info["account"]
        account = self._directory.account(account_id)
        if account is None:
            raise refuse(Kind.UNKNOWN_ROUTE, f"There is no account {account_id[:80]!r}.")
        return account


def _limits(account: Account) -> JsonObject:
    """The limits of an account's own; null takes the configured one."""
    return {
        "requests_per_second": account.requests_per_second,
        "group_requests_per_second": dict(account.group_limits),
    }


def _no_key(key_id: str) -> GatewayError:
    return refuse(Kind.UNKNOWN_ROUTE, f"There is no key {key_id[:80]!r}.")


def _workspace(value: Any) -> Workspace:
    if value not in set(Workspace):
        raise invalid("workspace", f"`workspace` must be one of {', '.join(Workspace)}.")
    return Workspace(value)


def _amount(body: JsonObject, workspace: Workspace, usd_field: str) -> int:
    """The amount of a body in the workspace's unit; 0 when none is given."""
    in_credits = workspace is Workspace.TASKS
    wanted, other = ("credits", usd_field) if in_credits else (usd_field, "credits")
    if body.get(other) is not None:
        raise invalid(other, f"`{other}` is not the unit of the {workspace} workspace; use `{wanted}`.")
    value = body.get(wanted)
    if value is None:
        return 0
    amount = _credits(value) if in_credits else _pico(wanted, value)
    if amount < 0:
        raise invalid(wanted, f"`{wanted}` must not be negative.")
    return amount


def _pico(name: str, value: Any) -> int:
    if not isinstance(value, str):
        raise invalid(name, f'`{name}` must be a decimal text such as "12.5".')
    try:
        return pico_from_usd(value)
    except MoneyError as error:
        raise invalid(name, f"`{name}`: {error}.") from error


def _credits(value: Any) -> int:
    if type(value) is not int or value > MOST_CREDITS:
        raise invalid("credits", f"`credits` must be an integer of at most {MOST_CREDITS}.")
    return value


def _rate(body: JsonObject, name: str) -> int | None:
    value = body.get(name)
    if value is not None and (type(value) is not int or not 1 <= value <= MOST_PER_SECOND):
        raise invalid(name, f"`{name}` must be an integer between 1 and {MOST_PER_SECOND}.")
    return value


def _shown(workspace: Workspace, amount: int) -> str | int:
    return amount if workspace is Workspace.TASKS else usd_from_pico(amount)


def _json(value: JsonObject, status: int = 200) -> web.Response:
    return web.Response(body=encode(value), status=status, content_type="application/json")
