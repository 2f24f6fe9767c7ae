"""What an operator asks of the books: rates, groups, usage by model, and how a single charge came about."""

from collections import Counter
from typing import Any

from aiohttp import web

from reference_gateway.accounts import AccountDirectory
from reference_gateway.config import GatewayConfig
from reference_gateway.failures import Kind, refuse
from reference_gateway.jsonwire import JsonObject, decode, encode
from reference_gateway.ledger import Ledger, Reason, Transfer
from reference_gateway.rate_card import rate_card
from reference_gateway.surface import Handler

_COUNTERS = ("input", "cached", "written", "output", "searches")


class OperatorQueries:
    """Handlers that read and change nothing."""

    def __init__(self, config: GatewayConfig, directory: AccountDirectory, ledger: Ledger) -> None:
        self._config = config
        self._directory = directory
        self._ledger = ledger
        self._card = rate_card(config)

    def routes(self, base: str) -> dict[tuple[str, str], Handler]:
        """The queries by method and path."""
        return {
            ("GET", base + "/rates"): self.show_rates,
            ("GET", base + "/rates/{version}"): self.show_old_rates,
            ("GET", base + "/groups"): self.show_groups,
            ("GET", base + "/accounts/{account}/usage"): self.show_usage,
            ("GET", base + "/calls/{call}"): self.explain,
        }

    async def show_rates(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002 - a handler
        return _json({"version": self._card.version, "rates": decode(self._card.card)})

    async def show_old_rates(self, request: web.Request) -> web.StreamResponse:
        version = request.match_info["version"]
        card = await self._ledger.rate_card(version)
        if card is None:
            raise refuse(Kind.UNKNOWN_ROUTE, f"There is no rate card {version[:80]!r}.")
        return _json({"version": card.version, "rates": decode(card.card)})

    async def show_groups(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002 - a handler
        groups = [
            {
                "group": group.name,
                "routes": dict(group.routes),
                "requests_per_second": group.requests_per_second,
            }
            for group in self._config.groups.values()
        ]
        return _json({"groups": groups})

    async def show_usage(self, request: web.Request) -> web.StreamResponse:
        account = request.match_info["account"]
        transfers = await self._ledger.transfers(account)
        # An account that was closed is known by its books only.
        if not transfers and self._directory.account(account) is None:
            raise refuse(Kind.UNKNOWN_ROUTE, f"There is no account {account[:80]!r}.")
        return _json({"account": account, "models": usage_by_model(transfers)})

    async def explain(self, request: web.Request) -> web.StreamResponse:
        call = request.match_info["call"]
        transfers = await self._ledger.explain(call)
        if not transfers:
            raise refuse(Kind.UNKNOWN_ROUTE, f"There is no call {call[:80]!r} in the books.")
        return _json(explanation(call, transfers))


def explanation(call: str, transfers: list[Transfer]) -> JsonObject:
    """One call or task: every transfer, the charge with usage, rates and arithmetic, and what is left of it.

    `charged` is what the account paid in the end: settlements, overruns and debits less refunds.
    """
    paid = {Reason.SETTLE, Reason.OVERRUN, Reason.DEBIT, Reason.REFUND}
    details = [transfer.detail for transfer in transfers if transfer.reason in {Reason.SETTLE, Reason.DEBIT}]
    return {
        "call": call,
        "account": transfers[0].account,
        "charged": str(-sum(transfer.amount for transfer in transfers if transfer.reason in paid)),
        "charge": next((decode(detail) for detail in details if detail is not None), None),
        "transfers": [
            {
                "seq": transfer.seq,
                "reason": transfer.reason.value,
                "counter": transfer.counter,
                "amount": str(transfer.amount),
                "balance_after": str(transfer.balance_after),
                "at": transfer.at,
            }
            for transfer in transfers
        ],
    }


def usage_by_model(transfers: list[Transfer]) -> list[JsonObject]:
    """Calls, tokens and charges of an account, by model; a refunded task counts as a call that cost nothing."""
    totals: dict[str, Counter[str]] = {}
    model_of: dict[str, str] = {}
    for transfer in transfers:
        if transfer.reason in {Reason.SETTLE, Reason.DEBIT} and transfer.detail is not None:
            detail = decode(transfer.detail)
            model = model_of[transfer.call] = str(detail.get("model", ""))
            total = totals.setdefault(model, Counter())
            total["calls"] += 1
            total.update(_counts(detail.get("usage")))
        if transfer.call in model_of:
            totals[model_of[transfer.call]]["charged"] -= _paid(transfer)
    return [
        {
            "model": model,
            "calls": total["calls"],
            **{name: total[name] for name in _COUNTERS},
            "charged": str(total["charged"]),
        }
        for model, total in sorted(totals.items())
    ]


def _paid(transfer: Transfer) -> int:
    return 0 if transfer.reason in {Reason.HOLD, Reason.RELEASE} else transfer.amount


def _counts(usage: Any) -> dict[str, int]:
    return {name: int(usage.get(name, 0)) for name in _COUNTERS} if isinstance(usage, dict) else {}


def _json(value: JsonObject) -> web.Response:
    return web.Response(body=encode(value), content_type="application/json")
