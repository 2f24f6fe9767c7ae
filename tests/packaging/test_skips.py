"""With REQUIRE_ALL=1 no test is left out in silence: a skip of any kind is a failure that says what to do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

_MARK = (
    "import pytest\n@pytest.mark.skipif(True, reason='no frobnicator; install one')\ndef test_it(): pass\n"
)
_CALL = "import pytest\ndef test_it(): pytest.skip('no frobnicator; install one')\n"
_FIXTURE = """
import pytest

@pytest.fixture
def tool(): pytest.skip('no frobnicator; install one')

def test_it(tool): pass
"""
_MODULE = "import pytest\npytest.importorskip('frobnicator', reason='no frobnicator; install one')\ndef test_it(): pass\n"
_CLASS = "import unittest\nclass TestIt(unittest.TestCase):\n    def test_it(self): self.skipTest('no frobnicator; install one')\n"
_DESIGN = "import pytest\n@pytest.mark.skipif(True, reason='only Linux has sendmmsg')\ndef test_it(): pass\n"
_EXPECTED = "import pytest\n@pytest.mark.xfail(reason='a known bug')\ndef test_it(): assert False\n"


def ran(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Pytest with the hooks of this project's tests, in a process of its own."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "REQUIRE_ALL"))
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**inherited, **environment},
        timeout=60,
        check=False,
    )


def outcome(folder: Path, source: str, **environment: str) -> tuple[int, str]:
    """Exit code and output of one file."""
    file = folder / "test_it.py"
    file.write_text(source, encoding="utf-8")
    done = ran(
        "-p", "tests.conftest", f"--rootdir={folder}", "-c", os.devnull, "-ra", str(file), **environment
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "source",
    [_MARK, _CALL, _FIXTURE, _MODULE, _CLASS],
    ids=["mark", "call", "fixture", "module", "unittest"],
)
def test_a_skip_of_any_kind_is_a_failure_that_says_what_to_do(tmp_path: Path, source: str) -> None:
    code, told = outcome(tmp_path, source, REQUIRE_ALL="1")
    assert code in {pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED}
    assert "REQUIRE_ALL=1 allows no skip: no frobnicator; install one" in told
    assert "tests/bring.sh" in told
    assert not re.search(r"\d skipped", told)


@pytest.mark.parametrize("source", [_MARK, _MODULE], ids=["mark", "module"])
def test_a_skip_stays_one_where_not_everything_is_required(tmp_path: Path, source: str) -> None:
    code, told = outcome(tmp_path, source)
    assert code in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}
    assert "1 skipped" in told


def test_a_skip_by_design_and_an_expected_failure_are_spared(tmp_path: Path) -> None:
    code, told = outcome(tmp_path, _DESIGN, REQUIRE_ALL="1")
    assert (code, "1 skipped" in told) == (pytest.ExitCode.OK, True)
    code, told = outcome(tmp_path, _EXPECTED, REQUIRE_ALL="1")
    assert (code, "1 xfailed" in told) == (pytest.ExitCode.OK, True)


def test_the_projects_own_tests_fail_where_their_tool_is_missing(tmp_path: Path) -> None:
    chosen = "tests/benchmarks/test_load_client.py::test_every_call_may_have_a_head_of_its_own"
    done = ran("-q", chosen, PATH=str(tmp_path), REQUIRE_ALL="1")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert "there is no C compiler; on Debian: apt-get install gcc libc6-dev" in done.stdout
    assert ran("-q", chosen, PATH=str(tmp_path)).returncode == pytest.ExitCode.OK


def test_every_reason_that_is_spared_is_one_that_a_test_gives() -> None:
    from tests.conftest import SKIPS_BY_DESIGN

    files = [file for file in (ROOT / "tests").rglob("test_*.py") if file != Path(__file__).resolve()]
    sources = "\n".join(file.read_text(encoding="utf-8") for file in files)
    assert all(f'reason="{reason}"' in sources for reason in SKIPS_BY_DESIGN)
    assert all(why.strip() for why in SKIPS_BY_DESIGN.values())
