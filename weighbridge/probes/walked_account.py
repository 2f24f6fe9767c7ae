"""The account under a walk of a state machine: opened with money, topped up, locked out, weighed after every step.

What a walk does in between differs by surface; what is judged, and how it is told, is the walk's own as well.
"""

from __future__ import annotations

from weighbridge.checks.books import ADDED
from weighbridge.evidence import Call
from weighbridge.generation import Bridge
from weighbridge.history import REVOKED
from weighbridge.lab import Lab
from weighbridge.target import Principal

#: Walks over tasks are not about the rate limit; where the account hook takes a limit they get one out of the way.
WALK_REQUESTS_PER_SECOND = 500


def note_addition(lab: Lab, label: str, at: float, worth: int) -> None:
    """Keep in the record that money was added to the account of a walk; `worth` in the unit of readings."""
    lab.notes.append(f"{ADDED}{label}\t{at}\t{worth}")


class WalkedAccount:
    """One account, in the thread of its generator.

    Attributes:
        label: the situation of all readings.
        step: how often it was weighed.
        who: None until it is opened.
    """

    def __init__(self, lab: Lab, bridge: Bridge, surface: str, label: str) -> None:
        self._lab = lab
        self._bridge = bridge
        self._surface = surface
        self.label = label
        self.step = 0
        self.who: Principal | None = None

    def open(self, balance: str, requests_per_second: int | None = None) -> None:
        """Make the account and read its money; ends the walk if there is nothing left to send with."""
        self._bridge.go_on()
        made = self._lab.make_account(self._surface, balance=balance, requests_per_second=requests_per_second)
        self.who = self._bridge.run(made, cost=0)
        self._bridge.run(self._lab.money(self.who, self.label, "before"), cost=0)

    def top_up(self, amount: int, worth: int) -> None:
        """Add money.

        Args:
            amount: in the hook's unit.
            worth: the same in the unit of readings.
        """
        if self.who is not None:
            began = self._lab.now()
            self._bridge.run(self._lab.steer("top_up", self.who, amount=str(amount)), cost=0)
            note_addition(self._lab, self.label, began, worth)

    def revoke(self) -> None:
        """Withdraw its key."""
        if self.who is not None:
            self._lab.notes.append(f"{REVOKED}{self.label}\t{self._lab.now()}")
            self._bridge.run(self._lab.steer("revoke", self.who), cost=0)

    def weigh(self, after: Call | None = None) -> None:
        """Read the money once more, after that call."""
        if self.who is not None:
            self.step += 1
            reading = self._lab.money(self.who, self.label, f"step-{self.step}", after=after)
            self._bridge.run(reading, cost=0)
