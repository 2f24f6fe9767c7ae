"""The documents that requirements cite by a short name: title, publisher and address, so that each can be looked up.

S0 to S4 are single pages. The other names stand for a body of public pages, and the heading of a source says which.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from weighbridge.catalogue import Source


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """A cited document; `address` is empty where the name stands for many pages."""

    title: str
    publisher: str
    address: str = ""


#: When the pages were read. They carry no version of their own and may have changed since.
READ_ON = "2026-11-21"
DOCUMENTS = {
    "S0": SourceDocument("claude-opus-4-8", "reAPI Docs", "https://reapi.ai/docs/claude-opus-4-8"),
    "S1": SourceDocument("claude-sonnet-4-6", "reAPI Docs", "https://reapi.ai/docs/claude-sonnet-4-6"),
    "S2": SourceDocument("gpt-5.5", "reAPI Docs", "https://reapi.ai/docs/gpt-5-5"),
    "S3": SourceDocument("Overview of the HTTP API", "reAPI Docs", "https://reapi.ai/docs/api"),
    "S4": SourceDocument(
        "Claude 4.8 Opus",
        "AI/ML API documentation",
        "https://docs.aimlapi.com/api-references/text-models-llm/anthropic/claude-4.8-opus",
    ),
    "public docs": SourceDocument(
        "other public pages and repositories of the same vendor; the heading names the page",
        "reAPI, AI/ML API",
    ),
    "OpenAI format": SourceDocument("the public wire format of chat completions", "OpenAI"),
    "Anthropic format": SourceDocument("the public wire format of Messages", "Anthropic"),
    "inference": SourceDocument("what follows from the documents where they are silent", "Weighbridge"),
    "practice": SourceDocument("what no document states and clients rely on", "Weighbridge"),
}


def cited(sources: Iterable[Source]) -> Iterator[str]:
    """One line for each page with an address that is cited, such as `S2 = gpt-5.5, reAPI Docs: https://...`."""
    for name in dict.fromkeys(source.document for source in sources):
        document = DOCUMENTS[name]
        if document.address:
            yield f"{name} = {document.title}, {document.publisher}: {document.address}"
