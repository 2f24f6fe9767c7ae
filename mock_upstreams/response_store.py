"""The responses that the Responses API keeps, for previous_response_id and for reading them again."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from mock_upstreams.refusals import Refusal

_MOST_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stored:
    """One response as sent, and the length of the conversation up to its end."""

    body: bytes
    tokens: int


class ResponseStore:
    """Bounded by number and bytes, oldest forgotten first; nobody sees what another credential stored."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._bytes = 0
        self._stored: OrderedDict[tuple[str, str], Stored] = OrderedDict()

    def add(self, credential: str, response_id: str, stored: Stored) -> None:
        self._stored[credential, response_id] = stored
        self._bytes += len(stored.body)
        while len(self._stored) > self._capacity or self._bytes > _MOST_BYTES:
            _, oldest = self._stored.popitem(last=False)
            self._bytes -= len(oldest.body)

    def find(self, credential: str, response_id: str) -> Stored:
        """Raises Refusal (404)."""
        stored = self._stored.get((credential, response_id))
        if stored is None:
            raise Refusal(404, f"Response with id {response_id[:64]!r} not found.", code="response_not_found")
        return stored

    def tokens_before(self, credential: str, previous_id: object) -> int:
        """The length of the conversation that a call goes on with. Raises Refusal (400)."""
        if previous_id is None:
            return 0
        stored = self._stored.get((credential, previous_id)) if isinstance(previous_id, str) else None
        if stored is None:
            raise Refusal(
                400,
                f"Previous response with id {str(previous_id)[:64]!r} not found.",
                "previous_response_id",
                "previous_response_not_found",
            )
        return stored.tokens

    def remove(self, credential: str, response_id: str) -> None:
        """Raises Refusal (404)."""
        self.find(credential, response_id)
        self._bytes -= len(self._stored.pop((credential, response_id)).body)

    def clear(self) -> None:
        self._stored.clear()
        self._bytes = 0
