"""The money side of one chat call: a hold before dispatch, then exactly one end, a settlement or a release.

Whatever happens in between (failure, cancellation, a caller who leaves), leaving the block ends the hold. The ledger runs
operations in the order they were handed over, so an end that is handed over is an end, even if nobody waits for it.
"""

import asyncio
import logging
from types import TracebackType
from typing import Self

from reference_gateway.accounts import Account
from reference_gateway.config import ChatModel
from reference_gateway.database import ConstraintError, StorageError
from reference_gateway.failures import Kind, refuse
from reference_gateway.ledger import InsufficientError, Ledger
from reference_gateway.pricing import Charge, Pricing, Usage

_log = logging.getLogger(__name__)


class Payment:
    """An async context manager around the dispatch of one call; the reservation is in pico-dollars."""

    def __init__(
        self,
        ledger: Ledger,
        pricing: Pricing,
        call: str,
        account: Account,
        model: ChatModel,
        reservation: int,
    ) -> None:
        self._ledger = ledger
        self._pricing = pricing
        self.call = call
        self.account = account
        self.model = model
        self._reservation = reservation
        self._ended = False
        self.charge: Charge | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._ledger.hold(self.call, self.account.id, self._reservation)
        except InsufficientError as error:
            self._ended = True
            raise refuse(
                Kind.INSUFFICIENT_BALANCE, "The balance is used up; top up and try again."
            ) from error
        except asyncio.CancelledError:
            # The hold may still run; the release behind it takes it back.
            self.abandon()
            raise
        except StorageError:
            # The hold may stand all the same, if its commit went through unheard.
            self._give_back()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, asyncio.CancelledError):
            self.abandon()
        else:
            await self.release()

    async def complete(self, usage: Usage | None) -> None:
        """The reply is whole: charge what it used, or nothing when that is unknown."""
        if usage is None:
            _log.warning("unpriced: %s of %s came without usage", self.call, self.model.id)
            await self.release()
            return
        charge = self._pricing.charge(self.model, usage)
        if not self._ended:
            self._ended = True
            try:
                await self._ledger.settle(self.call, self.account.id, charge.total, charge.detail())
                self.charge = charge
            except ConstraintError:
                # What cannot be charged is not held either; the caller gets an error instead of the reply.
                self._ledger.release(self.call, self.account.id).add_done_callback(self._released)
                raise
            except StorageError:
                # The same; here the charge itself may stand, if its commit went through unheard.
                self._give_back()
                raise

    async def release(self) -> None:
        """The call failed: it costs nothing. Does nothing once the call has ended."""
        if not self._ended:
            self._ended = True
            try:
                await self._ledger.release(self.call, self.account.id)
            except StorageError:
                self._give_back()

    def abandon(self) -> None:
        """Release without waiting, for callers that are being cancelled."""
        if not self._ended:
            self._ended = True
            try:
                self._ledger.release(self.call, self.account.id).add_done_callback(self._released)
            except StorageError:
                self._give_back()

    def _released(self, future: "asyncio.Future[None]") -> None:
        if not future.cancelled() and (error := future.exception()) is not None:
            _log.error("a hold could not be released", exc_info=error)
            if isinstance(error, StorageError):
                self._give_back()

    def _give_back(self) -> None:
        """The database is in trouble: it shall end this call without cost as soon as it can."""
        self._ended = True
        self._ledger.give_back(self.call, self.account.id)
