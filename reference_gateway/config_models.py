"""The models of a configuration, read: what each is called, what it costs, what its requests may hold."""

from collections.abc import Callable

from reference_gateway.config import (
    ChatModel,
    Dialect,
    FieldRule,
    LongContext,
    MediaKind,
    Rates,
    Surface,
    TaskModel,
)
from reference_gateway.config_section import REQUIRED, ConfigError, Section
from reference_gateway.money import MoneyError, pico_per_token

_ENDPOINTS = ("images", "videos", "audio", "humanize", "detect", "essay")
_FIELD_TYPES = ("string", "integer", "number", "boolean", "array", "object")


def aimlapi_model(section: Section) -> ChatModel:
    """A model of the AI/ML API surface."""
    written = section.section("rates")
    model = ChatModel(
        id=section.name,
        family=Dialect.ANTHROPIC,
        rates=_rates(written, "1", "1"),
        long_context=None,
        max_output=section.whole("max_output", 128_000, least=1),
        surfaces=frozenset({Surface.AIMLAPI}),
    )
    written.finish()
    section.finish()
    return model


def chat_model(section: Section) -> ChatModel:
    """A model of the chat workspace, with its prices."""
    written = section.section("rates")
    rates = _rates(written, "1", "1")
    long_context = None
    if section.has("long_context"):
        tier = section.section("long_context")
        factors = tier.take("input_factor", str), tier.take("output_factor", str)
        long_context = LongContext(tier.whole("above", REQUIRED, least=1), _rates(written, *factors))
        tier.finish()
    written.finish()
    surfaces = section.take("surfaces", list, [Surface.CHAT.value])
    unknown = [name for name in surfaces if name not in (Surface.CHAT, Surface.MESSAGES)]
    if unknown or not surfaces:
        raise ConfigError(f"{section.place('surfaces')}: must list chat, messages or both, found {surfaces}")
    model = ChatModel(
        id=section.name,
        family=section.choice("family", Dialect),
        rates=rates,
        long_context=long_context,
        max_output=section.whole("max_output", 128_000, least=1),
        surfaces=frozenset(Surface(name) for name in surfaces),
    )
    section.finish()
    return model


def _rates(section: Section, input_factor: str, output_factor: str) -> Rates:
    def rate(key: str, factor: str) -> int:
        return money(section, key, lambda text: pico_per_token(text, factor))

    def cache_rate(key: str) -> int | None:
        return rate(key, input_factor) if section.has(key) else None

    return Rates(
        input=rate("input", input_factor),
        output=rate("output", output_factor),
        cache_read=cache_rate("cache_read"),
        cache_write=cache_rate("cache_write"),
    )


def task_model(section: Section) -> TaskModel:
    """A model of the task gateway, with its price and the rules of its fields."""
    model = TaskModel(
        id=section.name,
        endpoint=section.one_of("endpoint", _ENDPOINTS, REQUIRED),
        kind=section.choice("kind", MediaKind),
        required=tuple(section.take("required", list, [])),
        price=section.whole("price", REQUIRED, least=0),
        price_per=section.take("price_per", str, None),
        fields={name: _field_rule(rule) for name, rule in section.sections("fields", optional=True)},
    )
    section.finish()
    return model


def _field_rule(section: Section) -> FieldRule:
    rule = FieldRule(
        type=section.one_of("type", _FIELD_TYPES, None),
        enum=tuple(section.take("enum", list, [])),
        low=section.take("min", (int, float), None),
        high=section.take("max", (int, float), None),
        max_length=section.whole("max_length", None, least=0),
        max_items=section.whole("max_items", None, least=0),
        media=section.take("media", bool, default=False),
    )
    section.finish()
    return rule


def money(section: Section, key: str, read: Callable[[str], int], default: str | None = None) -> int:
    """An amount of money; `ConfigError` where the text is none."""
    text = section.take(key, str, REQUIRED if default is None else default)
    try:
        return read(text)
    except MoneyError as error:
        raise ConfigError(f"{section.place(key)}: {error}") from error
