"""Asks whether the addresses that the documents name are still there; only on demand, and only 404 and 410 count as gone."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

from openassay.published.commands import addresses
from openassay.published.files import LinkAsked, PublishedFiles

MAX_LINKS = 200
TIMEOUT_S = 10.0

Ask = Callable[[str], tuple[int | None, str]]


def ask_links(release: PublishedFiles, ask: Ask | None = None) -> tuple[LinkAsked, ...]:
    """The addresses that the READMEs name, at most 200, with what their servers say today."""
    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    asked = []
    for text, line, url in addresses(release)[:MAX_LINKS]:
        status, problem = (ask or status_of)(url)
        asked.append(LinkAsked(text=text, line=line, url=url, status=status, problem=problem, date=today))
    return tuple(asked)


def status_of(url: str) -> tuple[int | None, str]:
    """(status, problem) of an address; only places on the public network are asked."""
    import httpx  # noqa: PLC0415 - few inspections ask anybody

    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None, "no address"
    if parts.scheme not in {"http", "https"} or not host:
        return None, "no address"
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, port or 443, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return None, "its name is not known here"
    if not all(ipaddress.ip_address(str(address)).is_global for address in found):
        return None, "not on the public network"
    try:
        answer = httpx.head(url, timeout=TIMEOUT_S, follow_redirects=False)
        if answer.status_code in {404, 405, 410, 501}:  # some servers do not know HEAD
            with httpx.stream("GET", url, timeout=TIMEOUT_S, follow_redirects=False) as answer:
                pass
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return None, type(error).__name__
    return answer.status_code, "" if answer.status_code < 300 else f"status {answer.status_code}"
