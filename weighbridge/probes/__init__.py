"""Probes: what is sent to obtain evidence. They judge nothing.

One module for each subject; importing this package registers all of them under their function's names,
which are the names that checks take as arguments.
"""

from weighbridge.probes import (
    aimlapi_refusals,
    aimlapi_replies,
    aimlapi_upstream,
    chat_billing,
    chat_extent,
    chat_generated,
    chat_groups,
    chat_refusals,
    chat_replies,
    chat_upstream,
    chat_vision,
    message_billing,
    message_refusals,
    message_replies,
    message_upstream,
    tasks_failures,
    tasks_generated,
    tasks_lifecycle,
    tasks_rates,
    tasks_refusals,
    tasks_workspaces,
)

__all__ = [
    "aimlapi_refusals",
    "aimlapi_replies",
    "aimlapi_upstream",
    "chat_billing",
    "chat_extent",
    "chat_generated",
    "chat_groups",
    "chat_refusals",
    "chat_replies",
    "chat_upstream",
    "chat_vision",
    "message_billing",
    "message_refusals",
    "message_replies",
    "message_upstream",
    "tasks_failures",
    "tasks_generated",
    "tasks_lifecycle",
    "tasks_rates",
    "tasks_refusals",
    "tasks_workspaces",
]
