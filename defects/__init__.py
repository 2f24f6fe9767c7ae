"""Deliberately wrong gateways, each with one named thing wrong, and odd ones that are right.

A conformance test is worth what it catches. Each `Defect` is the reference gateway with one behaviour
replaced by a mistake that real gateways make, and names the requirements whose verdict it must spoil; each
`Variant` behaves unusually within its rights, and must not be accused. Together they show that the checks
bite, and bite nobody else.

One module per area; a defect is a few lines that override one behaviour of one component.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar

from defects import (
    acceptance,
    aimlapi_errors,
    aimlapi_meanings,
    aimlapi_replies,
    aimlapi_requests,
    aimlapi_variants,
    aimlapi_wire,
    auth,
    billing,
    charged_refusals,
    chat_calls,
    chat_forms,
    chat_requests,
    chat_validation,
    cut_streams,
    errors,
    event_frames,
    generated,
    hasty,
    limits,
    message_blocks,
    message_forms,
    message_money,
    message_requests,
    messages,
    refunds,
    replies,
    routing,
    settlement,
    stream_breaks,
    streams,
    surfaces,
    task_errors,
    task_forms,
    task_polls,
    task_promises,
    task_repeats,
    tasks,
    upstream,
    user_limits,
    variants,
    vision,
    wire_variants,
)
from defects import credits as task_credits
from defects.definition import Defect, Variant

T = TypeVar("T", Defect, Variant)


def _by_id(entries: Iterable[T]) -> Mapping[str, T]:
    found: dict[str, T] = {}
    for entry in entries:
        if entry.id in found:
            raise ValueError(f"two entries are called {entry.id}; give one of them another id")
        found[entry.id] = entry
    return MappingProxyType(found)


DEFECTS: Mapping[str, Defect] = _by_id(
    [
        *auth.DEFECTS,
        *errors.DEFECTS,
        *chat_requests.DEFECTS,
        *chat_validation.DEFECTS,
        *acceptance.DEFECTS,
        *vision.DEFECTS,
        *routing.DEFECTS,
        *surfaces.DEFECTS,
        *charged_refusals.DEFECTS,
        *replies.DEFECTS,
        *streams.DEFECTS,
        *stream_breaks.DEFECTS,
        *cut_streams.DEFECTS,
        *event_frames.DEFECTS,
        *upstream.DEFECTS,
        *hasty.DEFECTS,
        *billing.DEFECTS,
        *settlement.DEFECTS,
        *limits.DEFECTS,
        *tasks.DEFECTS,
        *task_repeats.DEFECTS,
        *task_promises.DEFECTS,
        *task_errors.DEFECTS,
        *task_polls.DEFECTS,
        *task_credits.DEFECTS,
        *refunds.DEFECTS,
        *messages.DEFECTS,
        *message_requests.DEFECTS,
        *message_blocks.DEFECTS,
        *aimlapi_requests.DEFECTS,
        *aimlapi_meanings.DEFECTS,
        *aimlapi_replies.DEFECTS,
        *aimlapi_errors.DEFECTS,
        *aimlapi_wire.DEFECTS,
        *chat_calls.DEFECTS,
        *chat_forms.DEFECTS,
        *message_forms.DEFECTS,
        *message_money.DEFECTS,
        *task_forms.DEFECTS,
        *user_limits.DEFECTS,
        *generated.DEFECTS,
    ]
)
VARIANTS: Mapping[str, Variant] = _by_id(
    [
        *variants.VARIANTS,
        *wire_variants.VARIANTS,
        *stream_breaks.VARIANTS,
        *cut_streams.VARIANTS,
        *aimlapi_variants.VARIANTS,
    ]
)

__all__ = ["DEFECTS", "VARIANTS", "Defect", "Variant"]
