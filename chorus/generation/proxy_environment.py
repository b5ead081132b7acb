"""What the environment says about proxies and certificates, where that keeps a client from being.

HTTP libraries read these variables when a client is made and fail in their own ways; here the
variable and its value are found and named.
"""

from __future__ import annotations

import importlib.util
import os
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from chorus.errors import BadInput
from chorus.generation.credentials import redact

_PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_SOCKS = ("socks5", "socks5h")
_SCHEMES = ("http", "https", *_SOCKS)


def environment_fault(error: Exception) -> BadInput:
    """The sentence about an HTTP client that could not be made: which variable is to blame, what it
    holds, and what to set instead."""
    for name, value in _set(*_CERTIFICATES):
        if wrong := _certificate_fault(name, value):
            return BadInput(f"{name} is {value!r}: {wrong}, or unset {name}.")
    for name, value in _set(*_PROXIES):
        if wrong := _proxy_fault(value):
            return BadInput(f"{name} is {_shown(value)!r}: {wrong}, or unset {name}.")
    others = [name for name, _ in _set(*_PROXIES, *_CERTIFICATES, "NO_PROXY")]
    suspects = f"check {', '.join(others)} in the environment" if others else "check --base_url"
    return BadInput(f"no client for the server ({type(error).__name__}: {error}); {suspects}.")


def _set(*names: str) -> Iterator[tuple[str, str]]:
    """The variables of these names, in capitals or not, that are set, with their values."""
    for name in names:
        for spelling in (name.lower(), name):
            if value := os.environ.get(spelling, ""):
                yield spelling, value


def _certificate_fault(name: str, value: str) -> str:
    if "FILE" in name.upper() and not os.path.isfile(value):
        return "there is no such file; give the certificates' file"
    if "DIR" in name.upper():
        return "" if os.path.isdir(value) else "there is no such folder; give the certificates'"
    try:
        ssl.create_default_context(cafile=value)
    except (ssl.SSLError, OSError):
        return "the file holds no certificates in PEM; give one that does"
    return ""


def _proxy_fault(value: str) -> str:
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        _ = parts.port  # raises ValueError if it is no number
    except ValueError:
        return "this is no address; write http://HOST:PORT"
    if parts.scheme not in _SCHEMES:
        other = f"socks5://{parts.netloc.rpartition('@')[2]}" if "socks" in parts.scheme else ""
        instead = f"; write {other}" if other else "; write http://HOST:PORT"
        return f"proxies are {', '.join(f'{scheme}://' for scheme in _SCHEMES)}{instead}"
    if parts.scheme in _SOCKS and importlib.util.find_spec("socksio") is None:
        return "a SOCKS proxy needs the package socksio, pip install socksio; give an HTTP proxy"
    return ""


def _shown(value: str) -> str:
    """A proxy's address without its login."""
    scheme, mark, rest = value.rpartition("://")
    return redact(f"{scheme}{mark}{rest.rpartition('@')[2]}")
