"""Configuration: every refusal says where, why and what to write instead."""

import copy
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reference_gateway import ConfigError, load_config, parse_config
from reference_gateway.config import Channel, Dialect

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
    assert (config.aimlapi.models, config.listen.aimlapi.port) == ({}, 0)


def test_the_aimlapi_has_models_of_its_own() -> None:
    rates = {"input": "6.50", "output": "32.50", "cache_read": "0.50"}
    section = {"models": {"v/m": {"rates": rates, "max_output": 9}}, "routes": {"v/m": "a"}}
    found = parse_config({**GOOD, "aimlapi": {**section, "concurrent_requests": 3}}).aimlapi
    model = found.models["v/m"]
    assert (model.rates.input, model.rates.output, model.rates.cache_read) == (6_500_000, 32_500_000, 500_000)
    assert (model.max_output, dict(found.group.routes)) == (9, {"v/m": "a"})
    assert (found.group.requests_per_second, found.concurrent_requests) == (None, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"routes": {}}, "aimlapi.routes: there is no channel for v/m"),
        ({"routes": {"v/m": "o"}}, "aimlapi.routes.v/m: channel o must be of dialect anthropic"),
        ({"routes": {"v/m": "q"}}, "aimlapi.routes.v/m: no such channel 'q'"),
        ({"routes": {"v/m": "a", "v/n": "a"}}, "aimlapi.routes.v/n: no such model; did you mean v/m?"),
        ({"concurrent_requests": 0}, "aimlapi.concurrent_requests: must be at least 1"),
        ({"models": {"v/m": {"family": "openai"}}}, "aimlapi.models.v/m.rates: is missing"),
        ({"limit": 1}, "aimlapi.limit: is not a known key"),
    ],
)
def test_a_bad_aimlapi_section_is_refused_in_one_sentence(change: dict[str, Any], words: str) -> None:
    section = {"models": {"v/m": {"rates": {"input": "1", "output": "1"}}}, "routes": {"v/m": "a"}}
    with pytest.raises(ConfigError, match=re.escape(words)):
        parse_config({**GOOD, "aimlapi": {**section, **change}})


def test_a_channel_key_may_be_one_per_account() -> None:
    channel = Channel("c", Dialect.ANTHROPIC, "http://a", "k-{account}-x")
    assert channel.for_account("acct_1").key == "k-acct_1-x"
    shared = replace(channel, key="k")
    assert shared.for_account("acct_1") is shared


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("limits", {"body_bites": 1}, "limits.body_bites: is not a known key; did you mean body_bytes?"),
        ("limits", {"header_bytes": 1}, "limits.header_bytes: must be at least 256"),
        ("log", {"level": "loud"}, "log.level: 'loud' must be one of debug, info"),
        ("listen", {"shared": "127.0.0.1:0"}, "listen.hosts: is missing"),
        ("listen", {"hosts": {"chat": ["A.example"]}}, "'A.example' is no host name"),
        (
            "listen",
            {"hosts": {"chat": ["a"], "tasks": ["a"]}},
            "listen.hosts.tasks: a belongs to chat already",
        ),
        ("tracing", {"service": "x"}, "tracing.endpoint: is missing"),
        ("operator_token", "", "operator_token: must not be empty"),
        ("opperator_token", "x", "opperator_token: is not a known key; did you mean operator_token?"),
        ("listen", {"chat": "nowhere"}, "listen.chat: 'nowhere' is no address"),
        ("channels.o.url", "http://o", "must end in /v1"),
        ("channels.a.url", "http://a/v1", "must be the bare root"),
        ("channels.o.dialect", "latin", "channels.o.dialect: 'latin' must be one of openai, anthropic"),
        (
            "groups.default.routes",
            {"m/y": "o"},
            "groups.default.routes.m/y: no such model; did you mean m/x?",
        ),
        ("groups.default.routes", {"m/x": "q"}, "no such channel 'q'"),
        ("groups", {"pro": {"routes": {}}}, "a group named default is needed"),
        ("models.m/x.rates.input", 2.5, "models.m/x.rates.input: must be text, found 2.5; put quotes"),
        ("models.m/x.rates.input", "0.0000001", "not a whole number of pico-dollars per token"),
        ("models.m/x.rates.output", "0.000001", "0.000001 x 1.5 is not a whole number"),
        ("models.m/x.surfaces", ["web"], "models.m/x.surfaces: must list chat, messages or both"),
        ("models.m/x.surfaces", [{"a": "b"}], "models.m/x.surfaces: must list chat, messages or both"),
        ("groups", ["default"], "groups: must be a mapping, found ['default']"),
        ("listen", {"chat": "127.0.0.1:²"}, "listen.chat: '127.0.0.1:²' is no address"),
        ("drain_s", float("nan"), "drain_s: must be more than 0 seconds, found nan"),
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
    for text in (b"a: [", b"day: 2026-13-45", b"[" * 5000):
        broken.write_bytes(text)
        with pytest.raises(ConfigError, match="is not YAML"):
            load_config(broken)
    broken.write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load_config(broken)
    broken.write_text("- a")
    with pytest.raises(ConfigError, match="mapping"):
        load_config(broken)
