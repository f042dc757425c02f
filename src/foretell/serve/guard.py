"""Who may ask: an API key, and no web pages of strangers."""

import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from foretell.serve.refusal import Refusal


class Guard:
    """Checks requests before anything else is done for them.

    A server on the loopback interface trusts this machine, but not the pages that its browser shows: they could send
    requests here as well. So it refuses names of other machines in Host (they may be made to point here) and pages from
    elsewhere in Origin.

    Args:
        api_key: what `Authorization: Bearer` must say; None: anything.
        host: the address that the server listens at.
    """

    def __init__(self, api_key: str | None, host: str) -> None:
        self._key = None if api_key is None else api_key.encode()
        self._local = is_loopback(host)

    def check(self, headers: Headers, *, is_open: bool) -> None:
        """Raise a Refusal. is_open: whether anyone may, without a key."""
        if self._local:
            host, origin = headers.get("host"), headers.get("origin")
            if host and not is_loopback(_name(f"//{host}")):
                raise Refusal(403, f"this server answers to localhost, not to {host[:100]!r}", code="wrong_host")
            if origin and not is_loopback(_name(origin)):
                raise Refusal(403, f"pages from {origin[:100]!r} may not use this server", code="wrong_origin")
        if self._key is None or is_open:
            return
        kind, _, key = headers.get("authorization", "").partition(" ")
        # Header values are Latin-1; compared in constant time, so that the time tells nothing of the key.
        if kind.lower() != "bearer" or not hmac.compare_digest(key.strip().encode("latin-1", "replace"), self._key):
            message = "the API key is missing or wrong: send it as `Authorization: Bearer KEY`"
            raise Refusal(401, message, code="invalid_api_key")


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
