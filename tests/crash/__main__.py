"""`python -m tests.crash`: many kills on both databases, of one process and of several. `make crash` calls it."""

# ruff: noqa: T201 - a program prints

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.audit import Tally
from tests.crash.defects import DEFECTS
from tests.crash.harness import CrashRun
from tests.crash.workers import WorkersRun
from tests.postgresql.server import NoServerError, PostgresqlServer

SETTINGS = ("sqlite", "postgresql", "workers")


def main() -> int:
    """0 when nothing went wrong, 1 when something did, 2 when a database cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument(
        "--kills", type=int, default=250, help="kills of one process for each database (default: %(default)s)"
    )
    parser.add_argument(
        "--worker-kills",
        type=int,
        default=100,
        help="kills of workers, their parent and the server (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats the choices of a run")
    parser.add_argument("--database", choices=(*SETTINGS, "all"), default="all")
    parser.add_argument("--defect", choices=sorted(DEFECTS), help="run a gateway that is wrong on purpose")
    asked = parser.parse_args()
    print(f"seed {asked.seed}; process death only, not power loss", flush=True)
    wanted = SETTINGS if asked.database == "all" else (asked.database,)
    wrong = 0
    for setting in wanted:
        try:
            wrong += _run(setting, asked)
        except NoServerError as error:
            print(f"{setting} is left out: {error}", file=sys.stderr)
            if asked.database != "all" or os.environ.get("REQUIRE_ALL") == "1":
                return 2
    return 1 if wrong else 0


def _run(setting: str, asked: argparse.Namespace) -> int:
    names = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "workers": "two workers on PostgreSQL"}
    name = names[setting]

    def progress(line: str) -> None:
        print(f"  {name}: {line}", flush=True)

    with tempfile.TemporaryDirectory(prefix="crash-") as text:
        folder = Path(text)
        run: CrashRun | WorkersRun
        if setting == "sqlite":
            run = CrashRun(
                folder, f"{folder}/books.sqlite", asked.seed, defect=asked.defect, progress=progress
            )
            tally = asyncio.run(run.run(asked.kills))
        else:
            with PostgresqlServer(durable=setting == "workers") as server:
                url = server.database()
                if setting == "postgresql":
                    run = CrashRun(folder, url, asked.seed, defect=asked.defect, progress=progress)
                    tally = asyncio.run(run.run(asked.kills))
                else:
                    run = WorkersRun(folder, server, url, asked.seed, defect=asked.defect, progress=progress)
                    tally = asyncio.run(run.run(asked.worker_kills))
    return _told(tally, name)


def _told(tally: Tally, name: str) -> int:
    for sentence in tally.wrong[:20]:
        print(f"  WRONG {sentence}")
    print(tally.line(name), flush=True)
    return len(tally.wrong)


if __name__ == "__main__":
    sys.exit(main())
