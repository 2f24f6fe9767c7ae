"""Rules about the results of completed tasks: their URLs, their number, where they are stored (TPOL rows)."""

from __future__ import annotations

import json
from urllib.parse import unquote, urlsplit

from weighbridge.checks.findings import (
    broken,
    excerpt,
    holds,
    member,
    met,
    needs,
    not_applicable,
    outcome_of,
    unjudged,
)
from weighbridge.checks.tasks import Story, ended_as, sent
from weighbridge.evidence import Call, Ending
from weighbridge.verdict import Finding

URL_LISTS = {"image": "image_urls", "video": "video_urls", "audio": "audio_urls"}


def has_urls(story: Story) -> Finding:
    """The output lists its results under the name of their kind, as strings."""
    end = ended_as(story, "completed")
    if isinstance(end, Finding):
        return end
    name = URL_LISTS[story.kind]
    urls = member(end.exchange.json, "output", name)
    ok = isinstance(urls, list) and bool(urls) and all(isinstance(url, str) and url for url in urls)
    return holds(
        end, ok, f"output.{name} is an array of strings", f"output.{name} is {excerpt(json.dumps(urls))}"
    )


def has_n_urls(story: Story) -> Finding:
    """As many URLs as pictures were asked for."""
    end = ended_as(story, "completed")
    if isinstance(end, Finding):
        return end
    wanted = member(sent(story.submission), "n")
    urls = member(end.exchange.json, "output", URL_LISTS[story.kind])
    count = len(urls) if isinstance(urls, list) else 0
    return holds(end, count == wanted, f"{wanted} URLs", f"{count} URLs")


def has_last_frame(story: Story) -> Finding:
    """last_frame_url is a string."""
    end = ended_as(story, "completed")
    if isinstance(end, Finding):
        return end
    url = member(end.exchange.json, "output", "last_frame_url")
    return holds(
        end, isinstance(url, str) and bool(url), "output.last_frame_url is a string", f"it is {url!r}"
    )


def labels_tracks(story: Story) -> Finding:
    """A stem task lists its tracks with type, label and url."""
    if "stem" not in (sent(story.submission) or {}):
        return not_applicable("the target's audio model separates no stems")
    end = ended_as(story, "completed")
    if isinstance(end, Finding):
        return end
    tracks = member(end.exchange.json, "output", "tracks")
    parts = ("type", "label", "url")
    ok = (
        isinstance(tracks, list)
        and bool(tracks)
        and all(isinstance(member(t, p), str) for t in tracks for p in parts)
    )
    required = "output.tracks[] with type, label and url"
    return holds(end, ok, required, f"output.tracks is {excerpt(json.dumps(tracks))}")


def is_own_storage(story: Story) -> Finding:
    """No result URL is a link of the provider's: none has the path of a file that the provider served."""
    end = ended_as(story, "completed")
    if isinstance(end, Finding):
        return end
    seen = story.submission.upstream
    if seen is None:
        return needs("upstream")
    theirs = [unquote(urlsplit(call.path).path) for call in seen if call.operation == "file"]
    for url in _urls(end):
        path = unquote(urlsplit(url).path)
        if any(path.endswith(file) for file in theirs):
            return broken(
                end, "result URLs on the gateway's own storage", f"{excerpt(url)} is the provider's link"
            )
    if not _urls(end):
        return unjudged(end, "the output has no URL")
    return met(end, "result URLs on the gateway's own storage", excerpt(_urls(end)[0]))


def _urls(call: Call) -> list[str]:
    output = member(call.exchange.json, "output")
    values = output.values() if isinstance(output, dict) else ()
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    return [item for item in flat if isinstance(item, str) and item.startswith(("http://", "https://"))]


def is_downloadable(story: Story) -> Finding:
    """Every result can be fetched without a key, and its media type is that of its kind."""
    end = ended_as(story, "completed")
    if isinstance(end, Finding):
        return end
    if not story.fetches:
        return unjudged(end, "no result was fetched")
    for call in story.fetches:
        response = call.exchange.response
        whole = call.exchange.ending in {Ending.COMPLETE, Ending.LEFT}
        if response is None or response.status != 200 or not whole or not response.body:
            return broken(call, "the result can be downloaded", outcome_of(call))
        # A last frame is a picture; storage names what it does not know application/ or binary/octet-stream, or not at all.
        expected = {story.kind, "image", "application", "binary", ""}
        media = response.content_type.partition("/")[0]
        if media not in expected:
            return broken(call, f"Content-Type {story.kind}/...", response.content_type)
    return met(story.fetches[-1], "results can be downloaded", f"{len(story.fetches)} files")
