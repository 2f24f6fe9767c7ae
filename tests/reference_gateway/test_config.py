"""Configuration: every refusal says where, why and what to write instead."""

import copy
from pathlib import Path
from typing import Any

import pytest

from reference_gateway import ConfigError, load_config, parse_config

GOOD: dict[str, Any] = {
    "operator_token": "t",
    "channels": {
        "o": {"dialect": "openai", "url": "http://o/v1", "key": "k"},
        "a": {"dialect": "anthropic", "url": "http://a", "key": "k"},
    },
    "groups": {"default": {"routes": {"m/x": "o"}, "requests_per_second": None}},
    "media": {"url": "http://m", "key": "k"},
    "models": {
        "m/x": {
            "family": "openai",
            "rates": {"input": "5", "output": "30"},
            "long_context": {"above": 272000, "input_factor": "2", "output_factor": "1.5"},
            "surfaces": ["chat"],
        }
    },
    "task_models": {"t": {"endpoint": "images", "kind": "image", "price": 1}},
}


def test_a_good_configuration_is_frozen_with_both_tiers_multiplied_out() -> None:
    config = parse_config(GOOD)
    model = config.models["m/x"]
    assert (model.id, model.rates.input, model.rates.output) == ("m/x", 5_000_000, 30_000_000)
    assert model.long_context is not None
    assert (model.long_context.rates.input, model.long_context.rates.output) == (10_000_000, 45_000_000)
    assert (config.task_rate_limit, config.listen.chat.port) == (10, 0)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("operator_token", None, "operator_token: is missing"),
        ("operator_token", "", "operator_token: must not be empty"),
        ("opperator_token", "x", "opperator_token: is not a known key; did you mean operator_token?"),
        ("listen", {"chat": "nowhere"}, "listen.chat: 'nowhere' is no address"),
        ("channels.o.url", "http://o", "must end in /v1"),
        ("channels.a.url", "http://a/v1", "must be the bare root"),
        ("channels.o.dialect", "latin", "channels.o.dialect: 'latin' is not a valid"),
        (
            "groups.default.routes",
            {"m/y": "o"},
            "groups.default.routes.m/y: no such model; did you mean m/x?",
        ),
        ("groups.default.routes", {"m/x": "q"}, "no such channel 'q'"),
        ("groups", {"pro": {"routes": {}}}, "a group named default is needed"),
        ("models.m/x.rates.input", 2.5, "models.m/x.rates.input: must be str, found 2.5; put quotes"),
        ("models.m/x.rates.input", "0.0000001", "not a whole number of pico-dollars per token"),
        ("models.m/x.rates.output", "0.000001", "0.000001 x 1.5 is not a whole number"),
        ("models.m/x.surfaces", ["web"], "models.m/x.surfaces: must list chat, messages or both"),
        ("task_models.t.price", -1, "task_models.t.price: must be at least 0"),
        ("task_models.t.endpoint", "songs", "task_models.t.endpoint: 'songs' must be one of images"),
        (
            "task_models.t.fields",
            {"f": {"tpye": "string"}},
            "task_models.t.fields.f.tpye: is not a known key",
        ),
        ("upstream_timeout_s", 0, "upstream_timeout_s: must be more than 0 seconds"),
    ],
)
def test_a_bad_configuration_is_refused_in_words(path: str, value: Any, words: str) -> None:
    values = copy.deepcopy(GOOD)
    section: dict[str, Any] = values
    *parents, last = path.split(".")
    for name in parents:
        section = section[name]
    section[last] = value
    with pytest.raises(ConfigError) as refused:
        parse_config(values)
    assert words in str(refused.value)


def test_a_missing_or_broken_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    with pytest.raises(ConfigError, match="is not YAML"):
        load_config(broken)
    broken.write_text("- a")
    with pytest.raises(ConfigError, match="mapping"):
        load_config(broken)
