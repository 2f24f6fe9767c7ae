"""What a caller holds at the end of a call, in every dialect: a whole answer, or none.

Between the two lies a stream that was cut: its caller cannot know what became of it at the other end.
"""

from __future__ import annotations

from weighbridge.checks import aimlapi_streams, message_events, transcripts
from weighbridge.evidence import Call, Ending


def failed(call: Call) -> bool:
    """Whether the caller holds no whole answer: no success, or a stream without its normal ending."""
    response = call.exchange.response
    if not call.exchange.ok or response is None:
        return True
    if not call.streamed or response.json is not None:
        return False
    if call.surface == "messages":
        message = message_events.read(call)
        return bool(message.errors) or not message.of("message_stop")
    stream = transcripts.read(call)
    if call.surface == "aimlapi" and any(aimlapi_streams.is_error(piece) for piece in stream.events):
        return True
    return bool(stream.errors) or not stream.finishes


def answer_lost(call: Call) -> bool:
    """Whether a call may have been served although its caller holds no whole answer: the wire took it, not a refusal.

    One that found no connection, or that is known to have reached no provider, was not served.
    """
    seen = call.exchange
    if seen.ending in {Ending.COMPLETE, Ending.REFUSED} or call.posts == 0:
        return False
    return seen.status is None or seen.status < 400


def has_stop_reason(call: Call) -> bool:
    """Whether a message told why it stopped, without an error; its end mark adds nothing to that."""
    if call.surface != "messages" or not call.streamed:
        return False
    message = message_events.read(call)
    return bool(message.stop_reasons) and not message.errors


def has_whole_stream(call: Call) -> bool:
    """Whether a stream came to its end mark without an error, whoever hung up behind it.

    An end mark without the blank line behind it was not dispatched: its reader never saw it.
    """
    status = call.exchange.status
    if not call.streamed or status is None or not 200 <= status < 300:
        return False
    if call.surface == "messages":
        message = message_events.read(call)
        return any(event.complete for event in message.of("message_stop")) and not message.errors
    stream = transcripts.read(call)
    if call.surface == "aimlapi" and any(aimlapi_streams.is_error(piece) for piece in stream.events):
        return False
    ended = any(event.complete for event in stream.dones)
    return ended and bool(stream.finishes) and not stream.errors
