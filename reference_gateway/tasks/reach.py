"""Which addresses a result may be fetched from: public ones only, unless the configuration says otherwise.

The check sits where the socket is made, after all names are resolved and all spellings of an address are normalised by
the system. So the address that is checked is the one that is connected to: a name that resolves differently the second
time, a redirect, `2130706433`, `0177.0.0.1` and `::ffff:127.0.0.1` all end here.
"""

import ipaddress
import socket
from typing import Any, Final

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_SHARED: Final = ipaddress.IPv4Network("100.64.0.0/10")


class PrivateAddressError(OSError):
    """The address is not a public one; nothing was connected."""


def is_public(address: str) -> bool:
    """Whether a numeric address belongs to the public internet; what an address wraps is judged as well."""
    try:
        ip: Ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return all(map(_is_public, (ip, *_wrapped(ip))))


def _is_public(ip: Ip) -> bool:
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip in _SHARED)


def _wrapped(ip: Ip) -> tuple[ipaddress.IPv4Address, ...]:
    """IPv4 addresses inside an IPv6 one: 6to4, Teredo, NAT64."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ()
    found = [ip.sixtofour, *(ip.teredo or ())]
    if ip in _NAT64:
        found.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    return tuple(address for address in found if address is not None)


def public_socket(address: Any) -> socket.socket:
    """A socket for a resolved address (family, type, protocol, name, socket address), as aiohttp asks for one.

    Raises:
        PrivateAddressError: the address is not public.
    """
    family, kind, protocol, _, target = address
    # The system normalises what inet_aton would take: octal, hexadecimal, short and whole-number forms.
    host = _numeric(str(target[0]))
    if not is_public(host):
        raise PrivateAddressError(f"{host} is not a public address")
    return socket.socket(family=family, type=kind, proto=protocol)


def _numeric(host: str) -> str:
    if ":" in host:
        return host
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return host
