"""Pictures in chat completions."""

from weighbridge.checks import errors, replies, reply_tokens
from weighbridge.checks.findings import over
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement


@requirement("VIS-01", surface="chat")
def test_picture_by_url_is_accepted(judge: Judge, chat_vision: Observation) -> None:
    """The documented example."""
    judge.settle(*over(chat_vision, ("image-url",), replies.accepted))


@requirement("VIS-02", "VIS-03", "VIS-07", surface="chat")
def test_png_inside_the_call_is_accepted(judge: Judge, chat_vision: Observation) -> None:
    """Text and a PNG as data URL in one message."""
    judge.settle(*over(chat_vision, ("image-png", "image-png-large"), replies.accepted))


@requirement("VIS-04", surface="chat")
def test_jpeg_is_accepted(judge: Judge, chat_vision: Observation) -> None:
    """Photographs come as JPEG."""
    judge.settle(*over(chat_vision, ("image-jpeg",), replies.accepted))


@requirement("VIS-05", surface="chat")
def test_gif_is_accepted(judge: Judge, chat_vision: Observation) -> None:
    """A documented format."""
    judge.settle(*over(chat_vision, ("image-gif",), replies.accepted))


@requirement("VIS-06", surface="chat")
def test_webp_is_accepted(judge: Judge, chat_vision: Observation) -> None:
    """A documented format."""
    judge.settle(*over(chat_vision, ("image-webp",), replies.accepted))


@requirement("VIS-08", surface="chat")
def test_pictures_count_by_size(judge: Judge, chat_vision: Observation) -> None:
    """The customer pays for pixels, and sees how many."""
    judge.settle(*reply_tokens.pictures_count(chat_vision))


@requirement("VIS-09", surface="chat")
def test_unsupported_format_is_400(judge: Judge, chat_vision: Observation) -> None:
    """A format that no page names is refused before it costs anything."""
    judge.settle(*over(chat_vision, ("image-bmp",), errors.status(400)))
