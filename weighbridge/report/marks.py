"""Which part of an exchange a finding is about, so that a reader's eye goes there first.

A finding is words; the exchange is what they are about. The words name members, values, events, headers, the
status or the ending, and what they name and the exchange really holds is marked. What a finding says about
money or about the provider is marked there; where nothing fits, the status line is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from weighbridge.evidence import Call

_EVENT = re.compile(r"\bevents? (\d+)")
_QUOTED = re.compile(r"'([^']{2,120})'|\"([^\"]{2,120})\"|(\[DONE\])")
_MEMBER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_ENDING = re.compile(
    r"\b(clos\w+|reset|timeout|time[sd]? out|connection|hung up|not finished|ended|ending)\b"
)
_UPSTREAM = re.compile(r"\b(upstream|provider|POSTs?)\b")
_MONEY = re.compile(r"\b(charge\w*|balance|credits?|refund\w*|USD|price)\b|\$")
_STATUS = re.compile(r"\b(status|HTTP|answered|[1-5]\d\d)\b")
#: Words that are members of nearly every body and of nearly every sentence.
_COMMON = frozenset(
    {"a", "the", "is", "it", "of", "in", "and", "to", "id", "data", "text", "type", "message", "index"}
)
_MOST = 6


def _texts(call: Call) -> tuple[str, str]:
    response = call.exchange.response
    return (
        response.text if response is not None else "",
        call.exchange.request.body.decode("utf-8", errors="replace"),
    )


def _values(words: str, body: str, request: str) -> Iterator[dict[str, Any]]:
    for match in _QUOTED.finditer(words):
        value = next(group for group in match.groups() if group)
        if value in body:
            yield {"in": "body", "text": value}
        elif value in request:
            yield {"in": "request", "text": value}


def _members(words: str, body: str) -> Iterator[dict[str, Any]]:
    for match in _MEMBER.finditer(words):
        for name in match.group().split("."):
            if name not in _COMMON and f'"{name}"' in body:
                yield {"in": "body", "text": f'"{name}"'}


def _headers(words: str, call: Call) -> Iterator[dict[str, Any]]:
    response = call.exchange.response
    lower = words.lower()
    for name, _ in response.headers if response is not None else ():
        if "-" in name and name.lower() in lower:
            yield {"in": "header", "name": name.lower()}


def marks(finding: Mapping[str, Any], call: Call) -> list[dict[str, Any]]:
    """Where to look in an exchange for what a finding says.

    Args:
        finding: a requirement of a report, with `required` and `observed`.
        call: the exchange that it rests on.
    """
    observed = str(finding["observed"] or finding["message"])
    words = f"{finding['required']} {observed}"
    body, request = _texts(call)
    found: list[dict[str, Any]] = [
        {"in": "event", "index": int(match[1])} for match in _EVENT.finditer(observed)
    ]
    found += _headers(words, call)
    found += _values(observed, body, request)
    if not found:
        found += _members(observed, body)
    if not found:
        found += _members(str(finding["required"]), body)
    if call.upstream and _UPSTREAM.search(words):
        found.append({"in": "upstream"})
    if _MONEY.search(words):
        found.append({"in": "money"})
    if call.exchange.response is None or _ENDING.search(observed):
        found.append({"in": "ending"})
    if not found or _STATUS.search(observed):
        found.append({"in": "status"})
    unique = {tuple(sorted(mark.items())): mark for mark in found}
    return list(unique.values())[:_MOST]
