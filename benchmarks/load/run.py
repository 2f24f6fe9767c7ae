"""Is the load client late, and what does it cost? One command, one table.

    python benchmarks/load/run.py [--quick] [--peers all|locust|none] [--json FILE]

A paced server in C, compiled here and pinned to one core, answers every request 100 ms later and then every 20 ms,
and tells what it attained: that is the truth. Each client runs as one process pinned to another core and says what
it believes. The clients take turns, in several rounds, so that a busy machine weighs on all of them alike:

    raw            a uvloop protocol that does next to nothing (raw.py): the yardstick for processor time
    weighbridge    `weighbridge load`, as a user calls it
    HttpUser, FastHttpUser    locust's own clients, reading as locust documents it (locust_users.py)
    aiperf, guidellm          with --peers all: installed on demand into environments of their own (peers.py)

Where the system allows it the server and the single-process clients run in the real-time class, since the question
is about the clients and not about what else the machine does. Exit code 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))
BUILD = HERE / "build"
TTFT_US, GAP_US, CHUNKS = 100_000, 20_000, 200
STREAMS = (50, 200, 500)
MAX_P50_ERROR, MAX_P99_ERROR, MAX_CPU_RATIO = 0.3, 1.5, 1.6
#: An error below this is beyond what the server's own figures (20 us in 100 ms) can tell.
RESOLUTION = 0.02


@dataclass(frozen=True)
class Result:
    """What one client said, beside what the server says.

    Attributes:
        p50_error, p99_error: of the time to first token, per cent of the truth.
        gap_p99_error: of the gaps, per cent.
        cpu_us: processor time for each chunk.
    """

    client: str
    streams: int
    ttft_p50_ms: float
    ttft_p99_ms: float
    p50_error: float
    p99_error: float
    cpu_us: float
    gap_p99_ms: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Missing:
    """A client that could not be run, and why."""

    client: str
    why: str


class Server:
    """The paced server, pinned to the first core."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path: str) -> dict[str, float]:
        """Its statistics, or a reset of them."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(link):
            link.request("GET", path)
            answer = json.loads(link.getresponse().read())
            assert isinstance(answer, dict)
            return answer


def allowed_cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def real_time(priority: int) -> list[str]:
    """The prefix that puts a command into the real-time class; empty where that is not allowed."""
    if shutil.which("chrt") is None:
        return []
    tried = subprocess.run(["chrt", "-f", str(priority), "true"], capture_output=True, check=False)
    return ["chrt", "-f", str(priority)] if tried.returncode == 0 else []


def pinned(core: int) -> list[str]:
    return ["taskset", "-c", str(core)] if shutil.which("taskset") else []


@contextlib.contextmanager
def paced_server() -> Iterator[Server]:
    BUILD.mkdir(exist_ok=True)
    program = BUILD / "paced"
    source = HERE / "paced.c"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        if shutil.which("cc") is None:
            raise SystemExit(
                "left out: the paced server needs a C compiler (cc); on Debian: apt-get install gcc libc6-dev"
            )
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", str(program), str(source)], check=True)
    command = [
        *real_time(10),
        *pinned(allowed_cores()[0]),
        str(program),
        str(TTFT_US),
        str(GAP_US),
        str(CHUNKS),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Server(int(process.stdout.readline()))
        finally:
            process.stdin.close()
            process.wait(10)


def error(seen_us: float, true_us: float) -> float:
    return 100 * abs(seen_us - true_us) / true_us


def result(
    client: str, streams: int, seen: dict[str, float], truth: dict[str, float], note: str = ""
) -> Result:
    if not seen["chunks"] or not seen["ttft_p50_us"]:
        raise SystemExit(f"{client} saw no stream of {streams}; that is no measurement")
    gap = seen.get("gap_p99_us")
    return Result(
        client,
        streams,
        seen["ttft_p50_us"] / 1000,
        seen["ttft_p99_us"] / 1000,
        error(seen["ttft_p50_us"], truth["ttft_p50_us"]),
        error(seen["ttft_p99_us"], truth["ttft_p99_us"]),
        1e6 * seen["cpu_s"] / max(seen["chunks"], 1),
        None if gap is None else gap / 1000,
        note,
    )


def run_raw(server: Server, streams: int, seconds: int, warm_up: int, prefix: list[str]) -> dict[str, float]:
    command = [
        *prefix,
        sys.executable,
        str(HERE / "raw.py"),
        str(server.port),
        str(streams),
        str(seconds),
        str(warm_up),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def run_weighbridge(
    server: Server, streams: int, seconds: int, warm_up: int, prefix: list[str]
) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as out:
        command = [
            *prefix, sys.executable, "-m", "weighbridge", "load",
            "--target", f"http://127.0.0.1:{server.port}/v1", "--key-env", "PACED_KEY", "--model", "paced",
            "--users", str(streams), "--spawn-rate", str(max(1, streams // 2)),
            "--duration", f"{seconds + warm_up}s", "--warm-up", f"{warm_up}s", "--out", out,
        ]  # fmt: skip
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
            cwd=ROOT,
            env=os.environ | {"PACED_KEY": "x"},
        )
        try:
            document = json.loads((Path(out) / "load.json").read_text())
        except OSError:
            raise SystemExit(f"weighbridge load left no figures:\n{done.stdout}{done.stderr}") from None
    # The server serves no rule book: rows may fail or be missing. Its figures are what counts here.
    if document["streams"]["failed"]:
        raise SystemExit(f"{document['streams']['failed']} streams failed: {document['failures']}")
    processes = document["client"]["processes"]
    latencies = document["latencies_ms"]
    return {
        "cpu_s": sum(item["cpu_s"] for item in processes),
        "chunks": sum(item["chunks"] for item in processes),
        "ttft_p50_us": latencies["ttft"]["p50"] * 1000,
        "ttft_p99_us": latencies["ttft"]["p99"] * 1000,
        "gap_p50_us": latencies["icl"]["p50"] * 1000,
        "gap_p99_us": latencies["icl"]["p99"] * 1000,
    }


def run_locust(
    client: str, server: Server, streams: int, seconds: int, warm_up: int, prefix: list[str]
) -> dict[str, float]:
    command = [
        *prefix, sys.executable, "-m", "locust", "-f", str(HERE / "locust_users.py"), "--headless", "--only-summary",
        "--skip-log-setup", "--host", f"http://127.0.0.1:{server.port}", "--users", str(streams),
        "--spawn-rate", str(max(1, streams // 2)), "--run-time", f"{seconds + warm_up + 1}s", "--stop-timeout", "0",
    ]  # fmt: skip
    variables = os.environ | {"CLIENT": client, "WARM_UP": str(warm_up), "SECONDS": str(seconds)}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
        env=variables,
        cwd=tempfile.gettempdir(),
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        raise SystemExit(f"{client} left no figures:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(line.removeprefix("RESULT "))
    return found


def measure(
    server: Server, clients: Sequence[str], streams: int, seconds: int, warm_up: int, rounds: int
) -> list[Result]:
    """The clients in turns; of each the median of its rounds."""
    prefix = [*real_time(5), *pinned(allowed_cores()[-1])]
    found: dict[str, list[Result]] = {name: [] for name in clients}
    for turn in range(rounds):
        for name in clients if turn % 2 == 0 else reversed(clients):
            server.ask("/reset")
            if name == "raw":
                seen = run_raw(server, streams, seconds, warm_up, prefix)
            elif name == "weighbridge":
                seen = run_weighbridge(server, streams, seconds, warm_up, prefix)
            else:
                seen = run_locust(name, server, streams, seconds, warm_up, prefix)
            found[name].append(result(name, streams, seen, server.ask("/stats")))
            print(f"  {_line(found[name][-1])}", flush=True)
    return [_median(items) for items in found.values()]


def _median(items: Sequence[Result]) -> Result:
    def middle(name: str) -> float:
        figures: list[float] = [getattr(item, name) for item in items]
        return statistics.median(figures)

    gaps = [item.gap_p99_ms for item in items if item.gap_p99_ms is not None]
    return Result(
        items[0].client, items[0].streams, middle("ttft_p50_ms"), middle("ttft_p99_ms"), middle("p50_error"),
        middle("p99_error"), middle("cpu_us"), statistics.median(gaps) if gaps else None, items[0].note,
    )  # fmt: skip


def _line(item: Result) -> str:
    gap = "-" if item.gap_p99_ms is None else f"{item.gap_p99_ms:.2f}"
    return (
        f"{item.client:<14}{item.streams:>6}{item.ttft_p50_ms:>11.2f}{item.ttft_p99_ms:>11.2f}{item.p50_error:>10.2f} %"
        f"{item.p99_error:>10.2f} %{gap:>11}{item.cpu_us:>11.1f}  {item.note}"
    )


HEADER = f"  {'client':<14}{'streams':>6}{'ttft p50':>10}{'ttft p99':>11}{'p50 error':>12}{'p99 error':>12}{'gap p99':>11}{'us/chunk':>11}"


def rows_of(results: Sequence[Result]) -> Iterator[dict[str, object]]:
    """The rows of results.json: our figure, what it is compared with, the target, whether it is met."""
    for streams in dict.fromkeys(item.streams for item in results):
        mine = next(item for item in results if item.client == "weighbridge" and item.streams == streams)
        raw = next(item for item in results if item.client == "raw" and item.streams == streams)
        for name, value, bound in (
            ("ttft p50 error", mine.p50_error, MAX_P50_ERROR),
            ("ttft p99 error", mine.p99_error, MAX_P99_ERROR),
        ):
            yield _row(
                f"{name}, {streams} streams", value, "%", "truth", None, f"<= {bound} %", value <= bound
            )
        ratio = mine.cpu_us / raw.cpu_us
        yield _row(
            f"CPU per chunk, {streams} streams", mine.cpu_us, "us", "raw uvloop", ratio,
            f"<= {MAX_CPU_RATIO} x", ratio <= MAX_CPU_RATIO, ratio_target=MAX_CPU_RATIO,
        )  # fmt: skip
        for peer in results:
            if peer.streams != streams or peer.client in {"weighbridge", "raw"}:
                continue
            for name, unit in (("p50_error", "%"), ("p99_error", "%"), ("cpu_us", "us")):
                own, theirs = getattr(mine, name), getattr(peer, name)
                ahead = theirs / max(own, RESOLUTION)
                title = {
                    "p50_error": "ttft p50 error",
                    "p99_error": "ttft p99 error",
                    "cpu_us": "CPU per chunk",
                }[name]
                # This ratio is the peer's over ours: how many times better ours is.
                yield _row(
                    f"{title}, {streams} streams", own, unit, f"{peer.client}, times better", ahead,
                    "> 1 x better", ahead > 1, better="higher", ratio_target=1,
                )  # fmt: skip


def _row(
    name: str,
    value: float,
    unit: str,
    peer: str,
    ratio: float | None,
    target: str,
    ok: bool,
    *,
    better: str = "lower",
    ratio_target: float | None = None,
) -> dict[str, object]:
    return {
        "group": "load", "name": name, "value": round(value, 3), "unit": unit, "peer": peer,
        "ratio": None if ratio is None else round(ratio, 2), "target": target, "ok": ok,
        "better": better, "ratio_target": ratio_target,
    }  # fmt: skip


def missing_row(item: Missing) -> dict[str, object]:
    """The row of a client without figures: text in place of them."""
    return {
        "group": "load", "name": f"{item.client} could not be run: {item.why}", "value": None, "unit": "",
        "peer": item.client, "ratio": None, "target": "", "ok": None,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="50 streams, one short round")
    parser.add_argument("--peers", choices=("all", "locust", "none"), default="locust")
    parser.add_argument("--streams", help="numbers of streams, such as 50,200,500")
    parser.add_argument("--rounds", type=int, default=None, help="how often the clients take turns (3)")
    parser.add_argument("--seconds", type=int, default=None, help="measured seconds of each turn (12)")
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args()
    counts = (
        tuple(map(int, options.streams.split(",")))
        if options.streams
        else (50,)
        if options.quick
        else STREAMS
    )
    seconds = options.seconds or (5 if options.quick else 12)
    rounds = options.rounds or (1 if options.quick else 3)
    clients = ["raw", "weighbridge"] + ([] if options.peers == "none" else ["FastHttpUser", "HttpUser"])
    cores = allowed_cores()
    print(
        f"{platform.processor() or platform.machine()}, {len(cores)} cores, load {os.getloadavg()[0]:.1f}; real-time class "
        f"{'used' if real_time(5) else 'not allowed'}; {TTFT_US // 1000} ms + {GAP_US // 1000} ms, {CHUNKS} chunks a stream; "
        f"{rounds} rounds of {seconds} s"
    )
    if len(cores) < 2:
        print("one core only: server and client share it, the figures say little")
    results: list[Result] = []
    missing: list[Missing] = []
    with paced_server() as server:
        for streams in counts:
            print(f"\n{streams} streams\n{HEADER}", flush=True)
            results += measure(server, clients, streams, seconds, 4, rounds)
            if options.peers == "all":
                from benchmarks.load import peers

                for name in peers.NAMES:
                    found = peers.run(name, server, streams, seconds + 4)
                    if isinstance(found, str):
                        print(f"  {name:<14} could not be run: {found}", flush=True)
                        missing.append(Missing(name, found))
                        continue
                    note = "all cores, start-up included in the CPU"
                    results.append(result(name, streams, found, server.ask("/stats"), note))
                    print(f"  {_line(results[-1])}", flush=True)
    rows = list(rows_of(results))
    print("\nMedians of all rounds")
    print(HEADER)
    for item in sorted(results, key=lambda item: item.streams):
        print(f"  {_line(item)}")
    print(f"\n  {'target':<34}{'measured':>12}  {'against':<14}{'ratio':>8}   wanted")
    for row in rows:
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f} x"
        print(
            f"  {row['name']!s:<34}{row['value']:>9} {row['unit']!s:<3} {row['peer']!s:<14}{ratio:>8}   {row['target']!s:<14} "
            f"{'ok' if row['ok'] else 'MISSED'}"
        )
    for absent in {entry.client: entry for entry in missing}.values():
        rows.append(missing_row(absent))
        print(f"  {rows[-1]['name']}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0 if all(row["ok"] is not False for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
