"""The client's true lag: how long after the simulator wrote a part of an answer the client noted its arrival. Pure.

The simulator's journal keeps when it wrote each part; its clock is laid over ours by looking at it before and after.
Without a gateway in between, the difference is the way through the kernel and the client's own lateness: the error
that every timestamp of this client has. Reads that carried several writes are left out, the first one aside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from weighbridge.clock import Clock
from weighbridge.evidence import UpstreamCall
from weighbridge.load.verdicts import Recorded

#: Where the clocks cannot be laid over each other better than this, a lag says nothing.
MAX_UNCERTAINTY_S = 0.001


def lags_us(
    records: Iterable[Recorded], seen: Mapping[str, tuple[UpstreamCall, ...]], clock: Clock | None
) -> Iterator[int]:
    """The lags of recorded direct calls, in microseconds.

    Args:
        records: calls that went to the simulator itself.
        seen: the simulator's side of them, by correlation id.
        clock: the simulator's clock on our axis; None where it could not be read.
    """
    if clock is None or clock.uncertainty_s > MAX_UNCERTAINTY_S:
        return
    for item in records:
        exchange = item.call.exchange
        upstream = seen.get(item.call.id, ())
        if item.failure is not None or exchange.response is None or len(upstream) != 1:
            continue
        arrived = clock.at(upstream[0].arrived_ns)
        written = [arrived + after / 1e6 for after in upstream[0].writes_us]
        read = [exchange.started + chunk.at for chunk in exchange.response.chunks]
        pairs = (
            zip(read, written, strict=False)
            if len(read) == len(written)
            else zip(read[:1], written[:1], strict=True)
        )
        for came, went in pairs:
            yield max(0, round((came - went) * 1e6))
