"""Scripts: events made as they are read, the same whichever way they are read."""

import pytest

from mock_upstreams.plans import Event, Kind, Run, Script, chunk

PIECES = [[], [b"a"], [b"a", b"b", b"c"], [b"a", b"bcd", b"", b"ef", b"g" * 300]]


def script(pieces: list[bytes]) -> Script:
    return Script((Kind.LEAD, b"role"), Run(Kind.CONTENT, b"<", pieces, b">"), (Kind.END, b"done"))


def plain(pieces: list[bytes]) -> list[Event]:
    return [(Kind.LEAD, b"role"), *((Kind.CONTENT, b"<" + p + b">") for p in pieces), (Kind.END, b"done")]


@pytest.mark.parametrize("pieces", PIECES)
def test_a_script_is_the_list_of_its_events(pieces: list[bytes]) -> None:
    made, wanted = script(pieces), plain(pieces)
    assert list(made) == list(made) == wanted
    assert (len(made), made.pieces) == (len(wanted), len(pieces))
    assert wanted[-1] in made
    assert (Kind.NOW, b"other") not in made


@pytest.mark.parametrize("pieces", PIECES)
def test_chunks_carry_the_events_one_by_one_or_joined(pieces: list[bytes]) -> None:
    wanted = [(kind, chunk(data)) for kind, data in plain(pieces)]
    assert list(script(pieces).chunked()) == wanted
    assert script(pieces).joined(b"(", b")") == b"(" + b"".join(data for _, data in wanted) + b")"
