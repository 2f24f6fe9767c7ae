"""The flags of `python -m mock_upstreams`, which are those of `weighbridge mock`: each sets one setting of the table."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mock_upstreams.settings import Settings, listener_of, settings


@dataclass(frozen=True, slots=True)
class Flag:
    """`--NAME`, and the setting that it is for; `kind` is what argparse makes of it, a list for one to be repeated."""

    name: str
    setting: str
    says: str
    kind: type = str


FLAGS: Final = (
    Flag("config", "config", "YAML with the same settings; flags win"),
    Flag("host", "host", "default: 127.0.0.1"),
    Flag("port", "port", "default: 8890; 0 takes a free one", int),
    Flag("workers", "workers", "processes that share the port", int),
    Flag("scenarios", "scenarios", "YAML with named scenarios, rules and outages"),
    Flag("strict", "strict", "refuse all that the real upstreams refuse", bool),
    Flag("seed", "seed", "the same seed gives the same bytes", int),
    Flag("replay", "replay", "play what `mock record` has written"),
    Flag("speed", "replay_speed", "how fast to play it: 2x, 0.5x, or 0 without any wait"),
    Flag("flush", "flush", "frame: one write an event; stream: one for all due together"),
    Flag("tls-cert", "tls_cert", "certificate (PEM): the port then speaks TLS"),
    Flag("tls-key", "tls_key", "its key, if in another file"),
    Flag(
        "listener",
        "listeners",
        "one more port, as [KIND:][UPSTREAM:]PORT (repeatable); KIND: http, tls, refused, bad_certificate, "
        "handshake_closed",
        list,
    ),
    Flag(
        "control-token",
        "control_token",
        "guards /_wb/; off loopback one is made and printed if not given",
    ),
    Flag("public-url", "public_url", "where callers reach the files of media jobs"),
    Flag("journal-capacity", "journal_capacity", "entries kept in the journal (default: 50000)", int),
    Flag("journal-bytes", "journal_bytes", "bytes kept in the journal (default: 268435456)", int),
)


def read_arguments(arguments: Sequence[str] | None) -> Settings:
    """The settings that a command line states. Raises SettingsError, and SystemExit as argparse does."""
    parser = argparse.ArgumentParser(
        prog="python -m mock_upstreams", description="Simulate LLM and media providers.", allow_abbrev=False
    )
    for flag in FLAGS:
        if flag.kind is bool:
            parser.add_argument(f"--{flag.name}", dest=flag.setting, action="store_true", help=flag.says)
        elif flag.kind is list:
            parser.add_argument(f"--{flag.name}", dest=flag.setting, action="append", help=flag.says)
        else:
            parser.add_argument(f"--{flag.name}", dest=flag.setting, type=flag.kind, help=flag.says)
    return from_flags(vars(parser.parse_args(arguments)))


def from_flags(given: Mapping[str, Any]) -> Settings:
    """The settings of flags by the names of their settings; what is None, False or empty was not given.

    Raises SettingsError.
    """
    stated = {name: value for name, value in given.items() if name not in {"config", "listeners", "strict"}}
    listeners = [listener_of(text) for text in given.get("listeners") or ()]
    stated |= {"strict": given.get("strict") or None, "listeners": listeners or None}
    return settings(stated, given.get("config"))
