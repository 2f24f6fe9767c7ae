"""TLS: the certificate that the simulator was given, and the faults of a TLS listener."""

import asyncio
import ssl
from pathlib import Path
from typing import Final

_BAD_CERTIFICATE: Final = Path(__file__).with_name("bad_certificate.pem")
"""Self-signed, for wrong-host.invalid, expired in 2020; its key is public, as nobody may trust it."""


class TlsError(Exception):
    """A certificate cannot be used; the message is one sentence with file and remedy."""


def server_context(certificate: str, key: str | None) -> ssl.SSLContext:
    """What a listener needs to speak TLS; the key may be in the file of the certificate. Raises TlsError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except FileNotFoundError:
        missing = next((name for name in (certificate, key) if name and not Path(name).exists()), certificate)
        raise TlsError(f"{missing}: no such file; give a certificate and its key as PEM files") from None
    except (OSError, ValueError) as exc:
        where = certificate if key is None else f"{certificate} with {key}"
        reason = getattr(exc, "reason", None) or exc
        raise TlsError(f"{where}: no certificate with its key, as PEM: {reason}") from None
    return context


def untrustworthy_context() -> ssl.SSLContext:
    """A certificate that every careful client refuses: unknown issuer, wrong name, expired."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_BAD_CERTIFICATE)
    return context


class HangUp(asyncio.Protocol):
    """Closes the connection as soon as the first bytes of a handshake have come."""

    def __init__(self) -> None:
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        del data
        if self._transport is not None:
            self._transport.close()
