"""The picture in the README shows the report that is published."""

from tests.report.picture import PICTURE, source, source_told, with_source


def test_the_picture_was_taken_from_the_published_report() -> None:
    assert source_told(PICTURE.read_bytes()) == source(), "take it again: python -m tests.report.picture"


def test_a_picture_of_another_report_is_noticed() -> None:
    other = with_source(PICTURE.read_bytes(), "another run")
    assert source_told(other) == "another run"
