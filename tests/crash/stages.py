"""Named places in a call's and a task's life at which the gateway can be made to die, to the instruction.

Random moments find what nobody thought of; these find the narrow gaps that random moments miss: after a row is written
and before the commit, after the commit and before the answer, after the provider has accepted and before we know it.
"""

import os
import signal
from typing import Any, Final

from reference_gateway import Components
from reference_gateway.ledger import Ledger
from reference_gateway.payment import Payment
from reference_gateway.pricing import Usage
from reference_gateway.tasks.media import MediaClient
from reference_gateway.tasks.store import TaskStore
from reference_gateway.tasks.worker import TaskOutcomes, TaskWorker
from reference_gateway.upstream import UpstreamClient

STAGES: Final = (
    "hold written",
    "call held",
    "reply whole",
    "settlement written",
    "call settled",
    "release written",
    "debit written",
    "intent written",
    "intent durable",
    "task about to be sent",
    "task sent",
    "job written",
    "job recorded",
    "result fetched",
    "completion written",
    "task completed",
    "task about to be failed",
    "refund about to be written",
    "refund written",
    "failure written",
    "task failed",
)
"""In order of a call, then of a task. `written` is inside of the transaction, before its commit."""


class Trigger:
    """Kills this process when a stage is reached for the n-th time."""

    def __init__(self, stage: str | None, nth: int) -> None:
        if stage is not None and stage not in STAGES:
            raise ValueError(f"unknown stage {stage!r}")
        self._stage = stage
        self._left = nth

    def reached(self, stage: str) -> None:
        """Tell that a stage has been reached."""
        if stage == self._stage:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


def mortal(parts: Components, trigger: Trigger) -> dict[str, Any]:
    """The same parts with a trigger at every stage, as changes to `Components`."""
    reached = trigger.reached
    ledger_base: type[Ledger] = parts.ledger
    payment_base: type[Payment] = parts.payment
    upstream_base: type[UpstreamClient] = parts.upstream
    store_base: type[TaskStore] = parts.task_store
    worker_base: type[TaskWorker] = parts.task_worker
    outcomes_base: type[TaskOutcomes] = parts.task_outcomes
    media_base: type[MediaClient] = parts.media_client

    class MortalLedger(ledger_base):  # type: ignore[misc, valid-type]
        async def post_hold(self, *values: Any) -> int:
            held: int = await super().post_hold(*values)
            reached("hold written")
            return held

        async def post_settle(self, *values: Any) -> None:
            await super().post_settle(*values)
            reached("settlement written")

        async def post_release(self, *values: Any) -> None:
            await super().post_release(*values)
            reached("release written")

        async def post_debit(self, *values: Any) -> int:
            left: int = await super().post_debit(*values)
            reached("debit written")
            return left

        async def post_refund(self, *values: Any) -> int:
            reached("refund about to be written")
            left: int = await super().post_refund(*values)
            reached("refund written")
            return left

    class MortalPayment(payment_base):  # type: ignore[misc, valid-type]
        async def complete(self, usage: Usage | None) -> None:
            reached("reply whole")
            await super().complete(usage)
            reached("call settled")

    class MortalUpstream(upstream_base):  # type: ignore[misc, valid-type]
        async def send(self, *values: Any, **named: Any) -> Any:
            reached("call held")
            return await super().send(*values, **named)

    class MortalStore(store_base):  # type: ignore[misc, valid-type]
        async def post_created(self, *values: Any) -> None:
            await super().post_created(*values)
            reached("intent written")

        async def post_job(self, *values: Any) -> bool:
            done: bool = await super().post_job(*values)
            reached("job written")
            return done

        async def post_completed(self, *values: Any) -> bool:
            done: bool = await super().post_completed(*values)
            reached("completion written")
            return done

        async def post_failed(self, *values: Any, **named: Any) -> bool:
            done: bool = await super().post_failed(*values, **named)
            reached("failure written")
            return done

    class MortalWorker(worker_base):  # type: ignore[misc, valid-type]
        def begin(self, *values: Any) -> None:
            reached("intent durable")
            super().begin(*values)

        async def follow(self, *values: Any) -> None:
            reached("job recorded")
            await super().follow(*values)

    class MortalOutcomes(outcomes_base):  # type: ignore[misc, valid-type]
        async def completed(self, *values: Any) -> None:
            reached("result fetched")
            await super().completed(*values)
            reached("task completed")

        async def failed(self, *values: Any) -> None:
            reached("task about to be failed")
            await super().failed(*values)
            reached("task failed")

    class MortalMedia(media_base):  # type: ignore[misc, valid-type]
        async def submit(self, *values: Any) -> str:
            reached("task about to be sent")
            job: str = await super().submit(*values)
            reached("task sent")
            return job

    return {
        "ledger": MortalLedger,
        "payment": MortalPayment,
        "upstream": MortalUpstream,
        "task_store": MortalStore,
        "task_worker": MortalWorker,
        "task_outcomes": MortalOutcomes,
        "media_client": MortalMedia,
    }
