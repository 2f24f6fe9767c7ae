"""The two ids on every response: ours, and the caller's own if it has the documented form.

Source: public docs, Request tracing and cost.
"""

import re
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from reference_gateway.identifiers import random_hex

INFERENCE_ID: Final = "x-inference-id"
CLIENT_REQUEST_ID: Final = "x-client-request-id"
_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


class RequestTracing:
    """Gives out ids and puts them on responses of every kind, streams and errors included."""

    def inference_id(self) -> str:
        """An id of a call, never used before."""
        return random_hex()

    def client_id(self, headers: Mapping[str, str]) -> str | None:
        """The caller's id, or None when there is none of the documented form; the call runs all the same."""
        sent = headers.get(CLIENT_REQUEST_ID, "")
        return sent if _CLIENT_ID.fullmatch(sent) else None

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Complete the headers of a response that is about to be sent."""
        if INFERENCE_ID not in response.headers:
            response.headers[INFERENCE_ID] = self.inference_id()
        sent = self.client_id(request.headers)
        if sent is not None:
            response.headers[CLIENT_REQUEST_ID] = sent
