"""The pictures in README and documentation show the report that is published."""

from pathlib import Path

import pytest

from tests.report.picture import FINDINGS, STREAMS, source, source_told, with_source


@pytest.mark.parametrize("picture", [FINDINGS, STREAMS], ids=lambda path: path.name)
def test_a_picture_was_taken_from_the_published_report(picture: Path) -> None:
    assert source_told(picture.read_bytes()) == source(), "take it again: python -m tests.report.picture"


def test_a_picture_of_another_report_is_noticed() -> None:
    other = with_source(FINDINGS.read_bytes(), "another run")
    assert source_told(other) == "another run"
