"""What a reply's pieces take: as much memory as they hold, whatever the encoder needed to make them."""

import gc
import tracemalloc

from mock_upstreams.replies import encoded_pieces


def test_pieces_take_the_memory_that_they_hold_and_no_more() -> None:
    """An encoder that works in a large buffer must not leave the rest of it beside each piece."""
    texts = ["".join(chr(97 + (i * step) % 26) for i in range(800)) for step in (3, 5, 7, 9, 11)]
    gc.collect()
    tracemalloc.start()
    try:
        kept = [encoded_pieces(text, 200) for text in texts]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    held = sum(
        len(piece) + 48 for pieces in kept for piece in pieces
    )  # 48: a bytes object and its place in a list
    assert b"".join(piece[1:-1] for piece in kept[0]).decode() == texts[0]
    assert taken < 2 * held
