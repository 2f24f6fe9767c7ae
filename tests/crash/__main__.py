"""`python -m tests.crash`: many kills on both databases, and every defect found. `make crash` calls it."""

# ruff: noqa: T201 - a program prints

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.defects import DEFECTS
from tests.crash.harness import CrashRun, Tally
from tests.postgresql.server import NoServerError, PostgresqlServer


def main() -> int:
    """0 when nothing went wrong, 1 when something did, 2 when a database cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument(
        "--kills", type=int, default=250, help="kills for each database (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats the choices of a run")
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--defect", choices=sorted(DEFECTS), help="run a gateway that is wrong on purpose")
    asked = parser.parse_args()
    print(f"seed {asked.seed}; process death only, not power loss", flush=True)
    wrong = 0
    if asked.database != "postgresql":
        wrong += _run("SQLite", None, asked)
    if asked.database != "sqlite":
        try:
            with PostgresqlServer() as server:
                wrong += _run("PostgreSQL", server.database(), asked)
        except NoServerError as error:
            print(f"PostgreSQL is left out: {error}", file=sys.stderr)
            return 2 if asked.database == "postgresql" or os.environ.get("REQUIRE_ALL") == "1" else wrong
    return 1 if wrong else 0


def _run(name: str, url: str | None, asked: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        run = CrashRun(
            Path(folder),
            url or f"{folder}/books.sqlite",
            asked.seed,
            defect=asked.defect,
            progress=lambda line: print(f"  {name}: {line}", flush=True),
        )
        tally: Tally = asyncio.run(run.run(asked.kills))
    for sentence in tally.wrong[:20]:
        print(f"  WRONG {sentence}")
    print(tally.line(name), flush=True)
    return len(tally.wrong)


if __name__ == "__main__":
    sys.exit(main())
