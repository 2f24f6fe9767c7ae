"""What a target file lets us see or steer, surface by surface.

A capability is declared by the presence of what it takes: a balance reading, an account hook, the key
of a revoked principal. Whether it delivers is found out by the run.
"""

from __future__ import annotations

from dataclasses import dataclass

from weighbridge.target import Target

#: The hook that yields the names of the token groups.
GROUP_LIST = "group_list"

#: Every capability a requirement may need, with what declaring it takes.
CAPABILITIES: dict[str, str] = {
    "upstream": "upstream.simulator: URL of the simulator that the deployment's providers point to",
    "balance": "balance.<surface>: how an account's money is read",
    "rates": "rates.<model>: USD per one million tokens (task_prices for tasks)",
    "accounts": "accounts.<surface>: how a fresh account is made",
    "broke": "principals.<surface>.broke: a key whose account is empty (or accounts with a balance)",
    "revoked": "principals.<surface>.revoked: a key that was revoked (or hooks.revoke with accounts)",
    "second_key": "principals.<surface>.second_key: another key of the same user (or hooks.second_key)",
    "second_user": "principals.<surface>.second_user: a key of another user (or accounts)",
    "other_workspace_key": "a principal on both a chat surface and tasks, whose keys must not cross over",
    "top_up": "hooks.top_up.<surface>: how money is added to an account",
    "groups": "groups: at least two token groups with their requests_per_second (or hooks.group_list)",
    "time": "nothing: the run may take a few seconds longer",
}


@dataclass(frozen=True, slots=True)
class Capability:
    """One declared capability and the key of the target file that declares it."""

    name: str
    source: str


def capabilities(target: Target, surface: str) -> dict[str, Capability]:
    """The capabilities declared for one surface, by name."""
    found: dict[str, str] = {"time": "always"}
    money = "chat" if surface == "messages" else surface
    if target.simulator:
        found["upstream"] = "upstream.simulator"
    balance = _first(target.balance, surface, money)
    if balance:
        found["balance"] = f"balance.{balance}"
    if (surface == "tasks" and target.task_prices) or (surface != "tasks" and target.rates):
        found["rates"] = "task_prices" if surface == "tasks" else "rates"
    account = _first(target.accounts, surface, money)
    if account:
        found |= dict.fromkeys(("accounts", "second_user"), f"accounts.{account}")
        if "{balance" in (target.accounts[account].body or target.accounts[account].command or ""):
            found["broke"] = f"accounts.{account}"
    for role, hook in (("revoked", "revoke"), ("second_key", "second_key"), ("top_up", "top_up")):
        name = _first({where: 1 for what, where in target.hooks if what == hook}, surface, money)
        if name and (account or role == "top_up"):
            found[role] = f"hooks.{hook}.{name}"
    for role in ("broke", "revoked", "second_key", "second_user"):
        name = _first(target.principals, f"{surface}.{role}", f"{money}.{role}")
        if name:
            found[role] = f"principals.{name}"
    if surface in {"chat", "messages"} and "tasks" in target.surfaces and _has_key(target, "tasks"):
        found["other_workspace_key"] = "principals.tasks"
    if surface == "tasks" and any(
        _has_key(target, name) for name in ("chat", "messages") if name in target.surfaces
    ):
        found["other_workspace_key"] = "principals.chat"
    if len(target.groups) > 1:
        found["groups"] = "groups"
    elif listing := group_list_of(target, surface):
        found["groups"] = f"hooks.{GROUP_LIST}.{listing}"
    return {name: Capability(name, source) for name, source in found.items()}


def group_list_of(target: Target, surface: str) -> str | None:
    """Which surface's hook lists the token groups of a surface, if one does."""
    money = "chat" if surface == "messages" else surface
    return _first({where: 1 for what, where in target.hooks if what == GROUP_LIST}, surface, money)


def _first(mapping: object, *names: str) -> str | None:
    return next((name for name in names if name in mapping), None)  # type: ignore[operator]


def _has_key(target: Target, surface: str) -> bool:
    return f"{surface}.funded" in target.principals or surface in target.accounts
