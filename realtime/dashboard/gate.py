# SPDX-License-Identifier: MIT
"""Who may see the page: the token and its cookie, and the checks of Host and Origin.

`app` asks it before any route runs. The token is compared in constant time and never part of a URL, a log line or a
page.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import re
import time
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from realtime.dashboard.throttle import Throttle

# How long a login lasts (s).
COOKIE_S = 30 * 24 * 3600
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
# Longest host name that a reply repeats: the longest that DNS allows in one part, and some more.
_LONGEST_NAME = 80
_DEFAULT_PORTS = {"http": 80, "https": 443}
# The key under which `look_at` keeps its answer in a scope.
_KNOWN = "realtime.known"
# Any: a scope of ASGI has values of many types.
Scope = Mapping[str, Any]


class Gate:
    """Lets requests with the token or its cookie through.

    >>> gate = Gate("an example token", hosts=["cameras.example.org"])
    >>> gate.why_closed({"type": "http", "method": "GET", "headers": [(b"host", b"evil.example")]})
    (421, "this page has no name 'evil.example': use its address, or allow the name with web_hosts or --host")
    >>> request = {"headers": [(b"authorization", b"Bearer an example token")]}
    >>> asyncio.run(gate.look_at(request)), gate.knows(request)
    (True, True)

    Args:
        token: what viewers enter; None: no token is needed.
        hosts: names of the page besides addresses and localhost.
    """

    def __init__(self, token: str | None, hosts: Sequence[str] = ()) -> None:
        self._token = None if token is None else token.encode()
        self._hosts = {_plain(host) for host in hosts}
        self._throttle = Throttle()
        # Cookies of two dashboards on one machine must not replace each other: browsers ignore the port.
        self.cookie_name = "realtime_" + ("" if token is None else self._signed("web/1 name")[:8])

    # ---- Host and Origin

    def why_closed(self, scope: Scope) -> tuple[int, str] | None:
        """Check Host and, of WebSockets and POST, Origin: no other site may use the login of a viewer.

        Returns:
            Status code and reason; None if the request may pass.
        """
        said = _header(scope, b"host")
        match = _HOST.fullmatch(said or "")
        if match is None:
            return 400, "the request has no valid Host"
        if not self._is_ours(match[1]):
            name = match[1][:_LONGEST_NAME]
            return 421, f"this page has no name {name!r}: use its address, or allow the name with web_hosts or --host"
        origins = [value.decode("latin-1") for key, value in scope["headers"] if key == b"origin"]
        is_checked = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        if is_checked and not all(self._is_same(origin, match) for origin in origins):
            advice = "behind a reverse proxy, allow the page's name with web_hosts or --host"
            return 403, f"the request comes from another site; {advice}"
        return None

    def _is_ours(self, host: str) -> bool:
        name = _plain(host)
        if name == "localhost" or name in self._hosts:
            return True
        try:  # DNS rebinding: a site can make its name point to this machine, but not an address
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def _is_same(self, origin: str, host: re.Match[str]) -> bool:
        try:
            parts = urlsplit(origin)
            theirs, usual = _plain(parts.hostname or ""), _DEFAULT_PORTS[parts.scheme]
            port = parts.port or usual
        except (ValueError, KeyError):
            return False
        if theirs in self._hosts:
            return True
        return (theirs, port) == (_plain(host[1]).strip("[]"), int(host[2] or usual))

    # ---- the token

    @property
    def is_open(self) -> bool:
        """Whether no token is needed."""
        return self._token is None

    def knows(self, scope: Scope) -> bool:
        """Whether this request has the cookie or the token, or no token is needed. `look_at` was called."""
        return self._token is None or scope.get(_KNOWN) is True

    async def look_at(self, scope: MutableMapping[str, Any]) -> bool | None:
        """Find out whether a request has the cookie or the token, for `knows`.

        Returns:
            Whether it has; None if too many attempts are waiting already.
        """
        known: bool | None = self._token is None or any(
            self._is_cookie(value) for value in _cookies(scope, self.cookie_name)
        )
        if not known and (token := _token(scope)) is not None:
            known = await self.try_token(token, address_of(scope))
        scope[_KNOWN] = known
        return known

    async def try_token(self, text: str, address: str) -> bool | None:
        """Check a token that someone entered, slowly if the same address has entered wrong ones.

        Args:
            text: the token that was entered.
            address: the address it came from.

        Returns:
            Whether it is the token; None if too many attempts are waiting already.
        """
        delay_s = self._throttle.delay_s(address, time.monotonic())
        if delay_s:
            if not self._throttle.may_wait(address):
                return None
            try:
                await asyncio.sleep(delay_s)
            finally:
                self._throttle.waited(address)
        if self._is_token(text):
            return True
        self._throttle.failed(address, time.monotonic())
        return False

    def new_cookie(self, *, is_https: bool, now_s: float | None = None) -> str:
        """Return the Set-Cookie of a successful login. Its path is the folder of the page, under any base path."""
        expiry = str(int(time.time() if now_s is None else now_s) + COOKIE_S)
        secure = "; Secure" if is_https else ""
        value = f"{expiry}.{self._signed(f'web/1 {expiry}')}"
        return f"{self.cookie_name}={value}; Max-Age={COOKIE_S}; HttpOnly; SameSite=Strict{secure}"

    def old_cookie(self) -> str:
        """Return the Set-Cookie of a logout."""
        return f"{self.cookie_name}=; Max-Age=0; HttpOnly; SameSite=Strict"

    def _is_token(self, text: str) -> bool:
        return self._token is None or hmac.compare_digest(text.encode(errors="surrogatepass"), self._token)

    def _is_cookie(self, value: str) -> bool:
        expiry, _, signature = value.partition(".")
        if not re.fullmatch(r"[0-9]{1,12}", expiry) or not signature.isascii():
            return False
        is_signed = hmac.compare_digest(signature, self._signed(f"web/1 {expiry}"))
        return is_signed and int(expiry) > time.time()

    def _signed(self, text: str) -> str:
        assert self._token is not None
        return hmac.new(self._token, text.encode(), hashlib.sha256).hexdigest()


def _token(scope: Scope) -> str | None:
    """The token in the header Authorization of a request; None if it has none.

    It is a bearer token, or the password of a Basic login, with any user name, because Home Assistant's generic camera
    knows only those. Browsers don't offer a Basic login by themselves, because no reply asks for one.
    """
    scheme, _, text = (_header(scope, b"authorization") or "").partition(" ")
    if scheme.lower() == "bearer":
        return text.strip().encode("latin-1").decode(errors="replace")  # the token file is UTF-8, and so is a terminal
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(text.strip(), validate=True).decode().partition(":")[2]
    except ValueError:  # not base64, or not UTF-8
        return None


def address_of(scope: Scope) -> str:
    """Return the address that a request comes from."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def is_https(scope: Scope) -> bool:
    """Whether the viewer's browser speaks HTTPS, perhaps with a reverse proxy. A false claim hurts only itself."""
    return scope.get("scheme") in ("https", "wss") or _header(scope, b"x-forwarded-proto") == "https"


def _header(scope: Scope, name: bytes) -> str | None:
    """The value of a header; None unless it occurs exactly once."""
    values = [value for key, value in scope["headers"] if key == name]
    return values[0].decode("latin-1") if len(values) == 1 else None


def _cookies(scope: Scope, name: str) -> Iterator[str]:
    for key, value in scope["headers"]:
        for pair in value.decode("latin-1").split(";") if key == b"cookie" else ():
            found, _, text = pair.strip().partition("=")
            if found == name:
                yield text


def _plain(host: str) -> str:
    """A host as it is compared: `Cam.Example.org.` and `cam.example.org` are the same."""
    return host.lower().rstrip(".")
