"""What an operation of the control API is given: the simulator's parts, and the request."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mock_upstreams.journal import Journal
from mock_upstreams.refusals import bad_request

if TYPE_CHECKING:
    from mock_upstreams.answers import Providers
    from mock_upstreams.listeners import Listeners


@dataclass(slots=True)
class Controls:
    """What the control API may read and change; `listeners` is there while the simulator serves."""

    journal: Journal
    providers: "Providers"
    token: str | None = None
    listeners: "Listeners | None" = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One control request; `argument` is the variable part of its path."""

    query: str
    body: bytes
    argument: str = ""

    @property
    def number(self) -> int:
        """The argument as a number. Raises Refusal (400)."""
        if not self.argument.isascii() or not self.argument.isdigit() or len(self.argument) > 9:
            raise bad_request(f"{self.argument[:64]!r} is not a number")
        return int(self.argument)
