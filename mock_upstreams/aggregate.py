"""One control API for several workers: what is read is put together, what is changed is changed in all of them.

The parts of a journal are put in order by `seq`, which all workers draw from one counter. An answer holds no entry
that was numbered after it was asked for, so that a reader who goes on from the last number misses none.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from urllib.parse import parse_qs

import orjson
from aiohttp import web

from mock_upstreams.asking import Asker
from mock_upstreams.calls import Json
from mock_upstreams.control import FOLLOW, refused
from mock_upstreams.metrics import added
from mock_upstreams.plans import Document, json_document
from mock_upstreams.refusals import Refusal

_PAGE: Final = 1000
_Merge = Callable[[Sequence[Document], int, str], Document]


def _entries(answers: Iterable[Document], upto: int) -> tuple[list[Json], int]:
    pages = [orjson.loads(answer.body) for answer in answers]
    entries = [entry for page in pages for entry in page["entries"] if entry["seq"] <= upto]
    return sorted(entries, key=lambda entry: int(entry["seq"])), sum(page["dropped"] for page in pages)


def _page(answers: Sequence[Document], upto: int, query: str) -> Document:
    entries, dropped = _entries(answers, upto)
    limit = min(int(parse_qs(query).get("limit", [str(_PAGE)])[-1]), _PAGE)
    return json_document(200, {"entries": entries[:limit], "dropped": dropped})


def _found(answers: Sequence[Document], upto: int, query: str) -> Document:
    del query
    entries, dropped = _entries(answers, upto)
    return json_document(200, {"entries": entries, "dropped": dropped})


def _export(answers: Sequence[Document], upto: int, query: str) -> Document:
    del query
    lines = [orjson.loads(line) for answer in answers for line in answer.body.splitlines()]
    dropped = sum(line["dropped"] for line in lines if "dropped" in line)
    entries = sorted(
        (line for line in lines if "seq" in line and line["seq"] <= upto), key=lambda line: int(line["seq"])
    )
    found: list[Any] = [{"dropped": dropped}, *entries] if dropped else entries
    return Document(200, b"".join(orjson.dumps(line) + b"\n" for line in found), answers[0].headers)


def _cursor(answers: Sequence[Document], upto: int, query: str) -> Document:
    del query
    size = sum(orjson.loads(answer.body).get("bytes", 0) for answer in answers)
    return json_document(200, {"seq": upto, "bytes": size})


def _reset(answers: Sequence[Document], upto: int, query: str) -> Document:
    del answers, query
    return json_document(200, {"seq": upto})


def _metrics(answers: Sequence[Document], upto: int, query: str) -> Document:
    del upto, query
    return Document(200, added(answer.body for answer in answers), answers[0].headers)


def _callbacks(answers: Sequence[Document], upto: int, query: str) -> Document:
    del upto, query
    return json_document(
        200, {"callbacks": [item for answer in answers for item in orjson.loads(answer.body)["callbacks"]]}
    )


_MERGED: Final[dict[str, _Merge]] = {
    "/_wb/journal": _page,
    "/_wb/journal/query": _found,
    "/_wb/journal/export": _export,
    "/_wb/journal/cursor": _cursor,
    "/_wb/reset": _reset,
    "/_wb/metrics": _metrics,
    "/_wb/callbacks": _callbacks,
}


class Aggregate:
    """Speaks for the workers behind `askers`; `latest` tells the number that was drawn last."""

    def __init__(self, askers: Sequence[Asker], latest: Callable[[], int]) -> None:
        self._askers = askers
        self._latest = latest
        self._changing = asyncio.Lock()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one control request."""
        try:
            found = await self._answer(request, await request.read())
        except Refusal as refusal:
            found = refused(refusal)
        return web.Response(status=found.status, body=found.body, headers=dict(found.headers))

    async def _answer(self, request: web.BaseRequest, body: bytes) -> Document:
        path, target = request.rel_url.raw_path, str(request.rel_url)
        if path == FOLLOW:
            raise Refusal(
                501, "the journal of several workers cannot be followed; poll /_wb/journal?since=SEQ"
            )
        if path.startswith("/_wb/listeners"):
            raise Refusal(501, "several workers have no more ports; start one simulator for each port")

        async def ask(asker: Asker) -> Document:
            return await asker.ask(request.method, target, body, request.headers)

        upto = self._latest()
        if request.method == "GET" or path == "/_wb/journal/query":
            merge = _MERGED.get(path)
            if merge is None:
                return await ask(self._askers[0])
            answers = await asyncio.gather(*map(ask, self._askers))
        else:
            async with self._changing:
                answers = await asyncio.gather(*map(ask, self._askers))
            merge = _MERGED.get(path)
        failed = next((answer for answer in answers if answer.status != 200), None)
        if failed is not None:
            return failed
        return answers[0] if merge is None else merge(answers, upto, request.rel_url.raw_query_string)
