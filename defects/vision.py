"""Pictures in chat completions: kinds that are refused, and pictures that never reach the provider."""

from typing import Any

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.jsonwire import JsonObject
from reference_gateway.translation.to_anthropic import RequestToAnthropic
from reference_gateway.validation.chat import ClaudeChatValidator
from reference_gateway.validation.fields import invalid


def _picture(part: JsonObject) -> str:
    """The URL of a picture; empty for any other part."""
    return str(part["image_url"]["url"]) if part["type"] == "image_url" else ""


class NoWebImages(ClaudeChatValidator):
    """Takes images inside the request only."""

    def check_part(self, part: Any, place: str) -> None:
        super().check_part(part, place)
        if _picture(part).startswith("http"):
            raise invalid(place, f"`{place}` must be a data URL.")


class PngOnly(ClaudeChatValidator):
    """Knows one format of images."""

    def check_part(self, part: Any, place: str) -> None:
        super().check_part(part, place)
        if _picture(part).startswith("data:") and not _picture(part).startswith("data:image/png"):
            raise invalid(place, f"`{place}` must be a PNG image.")


class LosesImages(RequestToAnthropic):
    """Keeps the text of a message and forgets the rest."""

    def blocks(self, parts: list[Any], place: str) -> list[JsonObject]:
        return [block for block in super().blocks(parts, place) if block["type"] == "text"]


DEFECTS = (
    Defect(
        "web-image-refused",
        "Images by web URL are refused on Claude models",
        ("VIS-01",),
        lambda: Components(claude_validator=NoWebImages),
    ),
    Defect(
        "images-other-than-png-refused",
        "JPEG, GIF and WebP images are refused on Claude models",
        ("VIS-04", "VIS-05", "VIS-06"),
        lambda: Components(claude_validator=PngOnly),
    ),
    Defect(
        "images-lost",
        "Images do not reach the provider",
        ("VIS-08",),
        lambda: Components(request_to_anthropic=LosesImages),
    ),
)
