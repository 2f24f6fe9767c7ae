"""Runs the target file's hooks: an HTTP request template or a command that yields values.

Placeholders such as `{account}` or `{key}` in URL, headers and body are filled from the principal at
hand; `"{balance:int}"` in a body becomes a bare number. What a hook answers is JSON; `$.a.b[0]` picks from it. A command prints JSON, or one bare number.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shlex
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weighbridge.errors import HarnessError
from weighbridge.evidence import Ending, Request
from weighbridge.redaction import MARK
from weighbridge.target import Hook
from weighbridge.wire import Timeouts, exchange

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_INTEGER = re.compile(r'"\{([a-z_]+):int\}"')
_STEP = re.compile(r"\.([A-Za-z_][\w-]*)|\[(\d+)\]")
_NAME = re.compile(r"[A-Za-z_]\w{0,40}")
#: A word of a command's complaint that may be a key: long, with a digit in it.
_KEY_LIKE = re.compile(r"(?=[\w.+/=-]*\d)[\w.+/=-]{16,}")
_TIMEOUTS = Timeouts(connect=5.0, first_byte=30.0, total=30.0)


class HookError(HarnessError):
    """A hook of the target file did not do what it is there for."""


def pick(document: Any, path: str) -> Any:
    """The value at `$.a.b[0]`.

    Raises:
        HookError: the path is malformed or leads nowhere.
    """
    if not path.startswith("$") or _STEP.sub("", path[1:]):
        raise HookError(f"{path!r} is no path of the form $.member[0].member")
    value = document
    for name, index in _STEP.findall(path):
        try:
            value = value[name] if name else value[int(index)]
        except (KeyError, IndexError, TypeError):
            raise HookError(f"nothing is at {path} in the answer, which is {_shape(document)}") from None
    return value


def fill(template: str, values: Mapping[str, str], *, quote: bool = False) -> str:
    """The template with its placeholders filled.

    Args:
        template: text with `{name}` placeholders.
        values: what they stand for.
        quote: the text is JSON, so values are escaped for the inside of a JSON string.

    Raises:
        HookError: a placeholder has no value.
    """

    def one(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise HookError(
                f"the hook needs {{{match[1]}}}, which is not known here (known: {', '.join(sorted(values))})"
            )
        value = values[match[1]]
        return json.dumps(value)[1:-1] if quote else value

    if quote:
        template = _INTEGER.sub(lambda match: str(int(one(match))), template)
    return _PLACEHOLDER.sub(one, template)


def _shape(document: Any) -> str:
    """What an answer looks like, without its values: those may be keys, or the money of others."""
    if isinstance(document, dict):
        names = sorted(name for name in document if _NAME.fullmatch(name))
        return f"an object with {', '.join(names[:20])}" if names else "an object"
    if isinstance(document, list):
        return f"a list of {len(document)}"
    return "no object"


def _told(url: str) -> str:
    """A hook's URL as it may be shown: without its query, and without what stands before the host."""
    head, _, rest = url.partition("?")[0].partition("://")
    return f"{head}://{rest.rpartition('@')[2]}" if rest else head


def _reason(error: ValueError) -> str:
    """The cause without the text that could not be encoded: that may be a key."""
    return f"a character is not {error.encoding}" if isinstance(error, UnicodeEncodeError) else str(error)


@dataclass(frozen=True, slots=True)
class HookRunner:
    """Runs hooks; commands only when the operator allowed them."""

    allow_commands: bool = False

    async def run(self, hook: Hook, values: Mapping[str, str]) -> dict[str, Any]:
        """The picked values by name; the whole answer under the name `*`.

        Raises:
            HookError: the hook failed or answered something else than it should.
        """
        answer = await (self._command(hook, values) if hook.command else self._http(hook, values))
        return {"*": answer} | {name: pick(answer, path) for name, path in hook.pick}

    async def _http(self, hook: Hook, values: Mapping[str, str]) -> Any:
        url = fill(hook.url, values)
        headers = tuple((name, fill(value, values)) for name, value in hook.headers)
        body = b"" if hook.body is None else fill(hook.body, values, quote=True).encode()
        if body:
            headers = (*headers, ("Content-Type", "application/json"))
        request = Request(hook.method, url, headers, body)
        try:
            seen = await exchange(request, id="hook", epoch=time.perf_counter(), timeouts=_TIMEOUTS)
        except ValueError as error:  # URL and headers come from the target file, filled in just now
            raise HookError(
                f"the hook {hook.method} {_told(url)} cannot be sent: {_reason(error)}; correct its url and headers"
            ) from error
        if seen.ending is not Ending.COMPLETE or seen.status is None or not 200 <= seen.status < 300:
            raise HookError(
                f"the hook {hook.method} {_told(url)} failed: {seen.detail or f'it answered {seen.status}'}"
            )
        return seen.json

    async def _command(self, hook: Hook, values: Mapping[str, str]) -> Any:
        assert hook.command is not None  # noqa: S101 - the caller chose this branch by it
        if not self.allow_commands:
            raise HookError(f"the hook command {hook.command!r} runs only with --allow-commands")
        try:
            words = [fill(word, values) for word in shlex.split(hook.command)]
        except ValueError as error:
            raise HookError(
                f"the hook command {hook.command!r} is no command line: {error}; correct its quotes"
            ) from error
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                # A group of its own: Ctrl-C ends it through us, with whatever it started.
                start_new_session=True,
            )
        except OSError as error:
            raise HookError(f"the hook command {words[0]!r} cannot be started: {error.strerror}") from error
        try:
            async with asyncio.timeout(_TIMEOUTS.total):
                out, err = await process.communicate()
        except TimeoutError:
            raise HookError(f"the hook command {words[0]!r} took more than {_TIMEOUTS.total:g} s") from None
        finally:
            if process.returncode is None:  # too slow, or the run was interrupted
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode != 0:
            tail = err.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
            told = _KEY_LIKE.sub(MARK, tail[0])
            raise HookError(f"the hook command {words[0]!r} exited with {process.returncode}: {told}")
        text = out.decode(errors="replace").strip()
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise HookError(
                f"the hook command {words[0]!r} printed {len(text)} characters that are neither JSON nor a number"
            ) from None
