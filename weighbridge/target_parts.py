"""Converts the parts of a target file that its schema accepted into frozen values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weighbridge.errors import TargetFileError, nearest
from weighbridge.money import pico_from_usd, pico_per_token
from weighbridge.target import (
    DEFAULT_IN_FLIGHT,
    DEFAULT_REQUESTS_PER_SECOND,
    NOT_IN_HEADER,
    Balance,
    Hook,
    Principal,
    Surface,
    Target,
    key_problem,
    seconds,
    url_problem,
)


def _pairs(mapping: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    return tuple((str(key), str(value)) for key, value in (mapping or {}).items())


def _hook(raw: Mapping[str, Any]) -> Hook:
    if "command" in raw:
        return Hook(command=raw["command"], pick=_pairs(raw.get("pick")))
    http = raw["http"]
    method = next(name for name in ("get", "post", "put", "delete") if name in http)
    body = json.dumps(http["body"]) if "body" in http else None
    pick = dict(raw.get("pick") or {}) | dict(http.get("pick") or {})
    pick |= {name: http[name] for name in ("json", "key", "account") if name in http}
    return Hook(method.upper(), http[method], _pairs(http.get("headers")), body, None, _pairs(pick))


def _by_surface(raw: Mapping[str, Any] | None, surfaces: Mapping[str, Surface]) -> dict[str, Hook]:
    """One action for all surfaces, or one for each."""
    if not raw:
        return {}
    if "command" in raw or "http" in raw:
        return dict.fromkeys(surfaces, _hook(raw))
    return {name: _hook(item) for name, item in raw.items()}


def _surface(name: str, raw: Mapping[str, Any], shared: tuple[tuple[str, str], ...], path: str) -> Surface:
    url = str(raw["url"]).rstrip("/")
    if problem := url_problem(url):
        raise TargetFileError(f"{path}, surfaces.{name}.url: {raw['url']!r} {problem}")
    headers = shared + _pairs(raw.get("headers"))
    for header, value in headers:
        if NOT_IN_HEADER.search(header + value):
            raise TargetFileError(
                f"{path}, the header {header!r} of surfaces.{name} has a line break, a control character or "
                "one beyond latin-1; correct it"
            )
    return Surface(name, url, raw.get("auth", "bearer"), headers)


def _beside(path: str, file: str | None) -> str | None:
    """A file that a target file names: relative to it."""
    return None if file is None else str(Path(path).parent / file)


def _simulator(raw: Mapping[str, Any], path: str) -> str | None:
    url = str(raw.get("simulator") or "").rstrip("/")
    if url and (problem := url_problem(url)):
        raise TargetFileError(f"{path}, upstream.simulator: {url!r} {problem}")
    return url or None


def _retries(raw: Mapping[str, Any]) -> str:
    """The declared retries, for people."""
    if not raw:
        return ""
    causes = ", ".join(map(str, raw.get("on") or ()))
    return f"{raw['max_attempts']} attempts{f' on {causes}' if causes else ''}"


def convert(raw: Mapping[str, Any], path: str) -> Target:
    """The target that a document describes which its schema has accepted; `path` is of its file."""
    shared = _pairs(raw.get("headers"))
    surfaces = {name: _surface(name, item, shared, path) for name, item in raw["surfaces"].items()}
    principals = {}
    for name, item in (raw.get("principals") or {}).items():
        surface, _, role = name.partition(".")
        if surface not in surfaces:
            raise TargetFileError(
                f"{path}, principals.{name}: there is no surface {surface!r}{nearest(surface, surfaces)}; name it <surface>.<role>"
            )
        if problem := key_problem(item["key"]):
            raise TargetFileError(f"{path}, principals.{name}.key: the key {problem}")
        principals[name] = Principal(
            surface,
            role,
            item["key"],
            float(item.get("requests_per_second", DEFAULT_REQUESTS_PER_SECOND)),
            int(item.get("in_flight", DEFAULT_IN_FLIGHT)),
            _pairs(item.get("ids")),
        )
    rates = {
        str(model): {
            kind: pico_from_usd(rate) if kind == "web_search" else pico_per_token(rate)
            for kind, rate in card.items()
        }
        for model, card in (raw.get("rates") or {}).items()
    }
    balance = {}
    for name, item in (raw.get("balance") or {}).items():
        unit = item.get("unit", "credits" if name == "tasks" else "usd")
        raw_resolution = item.get("resolution")
        if raw_resolution is None:
            resolution = 1
        else:
            resolution = int(raw_resolution) if unit == "credits" else pico_from_usd(raw_resolution)
        balance[name] = Balance(
            _hook(item), unit, seconds(item.get("settle", 2.0)), resolution, item.get("rounding", "")
        )
    return Target(
        name=str(raw["name"]),
        profiles=tuple(raw.get("profiles") or ()),
        surfaces=surfaces,
        principals=principals,
        models={role: str(model) for role, model in (raw.get("models") or {}).items()},
        rates=rates,
        task_prices={
            str(model): int(price["credits"] if isinstance(price, dict) else price)
            for model, price in (raw.get("task_prices") or {}).items()
        },
        task_price_per={
            str(model): str(price["per"])
            for model, price in (raw.get("task_prices") or {}).items()
            if isinstance(price, dict)
        },
        balance=balance,
        accounts=_by_surface(raw.get("accounts"), surfaces),
        hooks={
            (what, name): hook
            for what, item in (raw.get("hooks") or {}).items()
            for name, hook in _by_surface(item, surfaces).items()
        },
        simulator=_simulator(raw.get("upstream") or {}, path),
        upstream_timeout=seconds(raw["upstream"]["timeout"])
        if "timeout" in (raw.get("upstream") or {})
        else None,
        impatient_group=(raw.get("upstream") or {}).get("impatient_group"),
        unreachable_group=(raw.get("upstream") or {}).get("unreachable_group"),
        features={str(k): bool(v) for k, v in (raw.get("features") or {}).items()},
        groups={str(k): (v or {}).get("requests_per_second") for k, v in (raw.get("groups") or {}).items()},
        assets=dict(_pairs(raw.get("assets"))),
        retry_policy=_retries(raw.get("retry_policy") or {}),
        out_of_credit_status=raw.get("out_of_credit_status"),
        cache_window=seconds(raw["cache_window"]) if "cache_window" in raw else None,
        usage=raw.get("usage"),
        dialects=dict(_pairs((raw.get("upstream") or {}).get("dialects"))),
        max_output=next(((name, int(bound)) for name, bound in (raw.get("max_output") or {}).items()), None),
        credit_usd=None if "credit_usd" not in raw else pico_from_usd(raw["credit_usd"]),
        timeouts={name: seconds(value) for name, value in (raw.get("timeouts") or {}).items()},
        max_response=(raw.get("limits") or {}).get("response_bytes"),
        verify_tls=bool((raw.get("tls") or {}).get("verify", True)),
        ca_file=_beside(path, (raw.get("tls") or {}).get("ca_file")),
        identity=dict(_pairs(raw.get("identity"))),
        place=path,
    )
