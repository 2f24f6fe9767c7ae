"""Spending in one workspace while the balance of the other is watched, for one user with a key in both."""

from __future__ import annotations

from weighbridge.lab import Lab, probe
from weighbridge.probes.tasks_flow import submit
from weighbridge.probes.tasks_models import role_of
from weighbridge.scenario import Scenario

_CHAT_WORK = Scenario(prompt_tokens=50_000, completion_tokens=1_000)
_TASK_WORK = Scenario(outcome="completed", duration_ms=0)


@probe("tasks", needs=("other_workspace_key", "balance"))
async def task_workspaces(lab: Lab) -> None:
    """A chat call and a submission with the declared keys, both balances read before, between and after."""
    surface = next((name for name in ("chat", "messages") if name in lab.target.surfaces), "chat")
    role = role_of(lab, "image")
    chat_roles = lab.roles(surface)
    if role is None or not chat_roles or not lab.has(surface, "balance"):
        lab.miss("workspaces", "models.image" if role is None else f"balance.{surface}")
        return
    if "tasks.funded" not in lab.target.principals or not {"chat.funded", "messages.funded"} & set(
        lab.target.principals
    ):
        lab.miss("workspaces", "principals.chat.funded and principals.tasks.funded of one user")
        return
    chat, tasks = lab.declared(surface), lab.declared("tasks")
    locks = lab.shared.principals
    async with lab.shared.lock(locks, chat.key).alone(), lab.shared.lock(locks, tasks.key).alone():
        await lab.money(chat, "workspaces/chat", "before")
        await lab.money(tasks, "workspaces/tasks", "before")
        ask = lab.chat if surface == "chat" else lab.message
        call = await ask(chat_roles[0], "workspaces", chat, scenario=_CHAT_WORK)
        await lab.money(chat, "workspaces/chat", "between", after=call)
        await lab.money(tasks, "workspaces/tasks", "between", after=call)
        call = await submit(lab, role, "workspaces", tasks, scenario=_TASK_WORK)
        await lab.money(chat, "workspaces/chat", "final", after=call)
        await lab.money(tasks, "workspaces/tasks", "final", after=call)
