"""The servers that are compared: how each is started, and the call that gets the same answer from it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.simulator.processes import HERE, PYTHON, aimock


@dataclass(frozen=True, slots=True)
class Contender:
    """`command` takes the number of chunks of a stream and the gap between them in milliseconds."""

    name: str
    command: Callable[[int, float], list[str | Path]]
    scripted: bool = False

    def body(self, chunks: int, gap_ms: float, *, stream: bool) -> str:
        """The call; only the simulator is told in the call what to answer.

        No two calls have the same prompt (apart from the token, which is no part of it) or the same correlation id.
        """
        told = f"[[wb:bench-@@@@@@@@;chunks={chunks - 2};gap_ms={gap_ms:g}]]" if self.scripted else "@@@@@@@@"
        kind = "true" if stream else "false"
        return f'{{"model":"bench","stream":{kind},"messages":[{{"role":"user","content":"Call @@@@@@@@ {told}"}}]}}'


def _simulator(flush: str) -> Callable[[int, float], list[str | Path]]:
    def command(chunks: int, gap_ms: float) -> list[str | Path]:
        del chunks, gap_ms
        return [PYTHON, "-m", "mock_upstreams", "--port", "0", "--flush", flush]

    return command


def _aiohttp(mode: str) -> Callable[[int, float], list[str | Path]]:
    def command(chunks: int, gap_ms: float) -> list[str | Path]:
        options = ["--mode", mode, "--chunks", str(chunks), "--gap-ms", str(gap_ms)]
        return [PYTHON, HERE / "peer_aiohttp.py", *options]

    return command


def _raw(chunks: int, gap_ms: float) -> list[str | Path]:
    return [PYTHON, HERE / "peer_raw.py", "--chunks", str(chunks), "--gap-ms", str(gap_ms)]


def _aimock(chunks: int, gap_ms: float) -> list[str | Path]:
    return ["node", HERE / "peer_aimock.mjs", aimock(), str(chunks), str(gap_ms)]


SIMULATOR: Final = Contender("simulator", _simulator("frame"), scripted=True)
MERGING: Final = Contender("simulator, merged writes", _simulator("stream"), scripted=True)
RAW: Final = Contender("raw uvloop protocol", _raw)
AIOHTTP_WRITE: Final = Contender("aiohttp, resp.write", _aiohttp("write"))
AIOHTTP_TRANSPORT: Final = Contender("aiohttp, one transport write", _aiohttp("transport"))
AIOHTTP_WHEEL: Final = Contender("aiohttp, timer wheel", _aiohttp("wheel"))
AIMOCK: Final = Contender("aimock", _aimock)
