"""Log lines as JSON, one object a line, each with the id of the request that it belongs to.

The standard library's logging carries them; a formatter is all that is added. Before a line leaves, every configured
secret and everything that has the form of one of our keys is masked, so that no mistake elsewhere can print one.
"""

import logging
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

import orjson

from reference_gateway.config import ACCOUNT_PLACEHOLDER, GatewayConfig
from reference_gateway.identifiers import current_request

MASK: Final = "***"
_OWN_KEYS: Final = re.compile(r"\b(sk-|rk_live_|ak-)[A-Za-z0-9_-]{16,}")
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SHORTEST_SECRET: Final = 6


class Redaction:
    """Masks what must not be written."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # Longest first: a secret may be part of another.
        known = sorted((text for text in secrets if len(text) >= _SHORTEST_SECRET), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(MASK, text)
        return _OWN_KEYS.sub(rf"\1{MASK}", text)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, request and whatever a record carries as extra."""

    def __init__(self, redaction: Redaction) -> None:
        super().__init__()
        self._redaction = redaction

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request := current_request.get():
            line["request_id"] = request
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return self._redaction(orjson.dumps(line, default=str).decode())


class TextFormatter(logging.Formatter):
    """The same for eyes."""

    def __init__(self, redaction: Redaction) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._redaction = redaction

    def format(self, record: logging.LogRecord) -> str:
        extras = " ".join(f"{name}={value}" for name, value in vars(record).items() if name not in _STANDARD)
        return self._redaction(f"{super().format(record)} {extras}".rstrip())


def secrets_of(config: GatewayConfig) -> Iterator[str]:
    """Every secret that a configuration holds."""
    if config.operator_token is not None:
        yield config.operator_token
    yield config.media.key
    for channel in config.channels.values():
        # Where the account stands in a key, the rest of it is the secret.
        yield from channel.key.split(ACCOUNT_PLACEHOLDER)


def configure_logging(config: GatewayConfig) -> None:
    """Send the whole process's log to standard error as the configuration says; for programs, not for libraries."""
    redaction = Redaction(secrets_of(config))
    handler = logging.StreamHandler(sys.stderr)
    formatter = JsonFormatter(redaction) if config.log.format == "json" else TextFormatter(redaction)
    handler.setFormatter(formatter)
    logging.basicConfig(level=config.log.level.upper(), handlers=[handler], force=True)
