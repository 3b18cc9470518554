"""How does a file get here over HTTP(S)? In pieces that survive a broken connection, with a progress bar."""

from __future__ import annotations

import math
import netrc
import os
import re
import shutil
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

from tqdm import tqdm

from openassay.faults import printable
from openassay.sources.fetched import STATUS_KINDS, Interrupted, Unavailable, Unreachable
from openassay.store import MAX_UNPACKED_BYTES

if TYPE_CHECKING:
    import httpx

TRIES = 4
TIMEOUT_S = 30.0
"""Without a byte, and until an answer's headers are here."""
SLOW_S = 60.0
SLOW_BYTES = 60_000
"""A connection that brings fewer bytes in so many seconds is given up."""
RETRY_AFTER_S = 60.0
"""The most that a server which asks for patience gets of it."""

Verify = ssl.SSLContext | bool
"""By which certificates is a server known? True: the usual ones; False: it is trusted without any."""

Login = tuple[str, str] | None
"""A name and a password."""

Span = tuple[int, int]
"""From which byte on, and up to which byte, that one not included."""

_LOGIN = re.compile(r"://[^\s/?#]*@")
_QUERY = re.compile(r"(://[^\s?#]*)\?[^\s#`'\")]*")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)\s*\Z")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for, and what is known of it beforehand."""

    url: str
    label: str
    verify: Verify = True
    login: Login = None
    headers: Mapping[str, str] | None = None
    """More headers, a token perhaps: httpx drops it where an address leads to another host."""
    span: Span | None = None
    """Only these bytes of the file."""
    size_bytes: int | None = None
    """Of the whole file, when it is known: a server that has another is not serving that file."""
    most_bytes: int = MAX_UNPACKED_BYTES

    @property
    def start(self) -> int:
        """The first byte that is wanted."""
        return self.span[0] if self.span else 0

    @property
    def length(self) -> int | None:
        """How many bytes are wanted, when that is known."""
        return self.span[1] - self.span[0] if self.span else self.size_bytes


def download(url: str, part: Path, label: str, verify: Verify = True, login: Login = None) -> None:
    """Bring `url` into the file `part`, as `bring` does; `file:` addresses are copied."""
    if urlsplit(url).scheme == "file":
        source = Path(unquote(urlsplit(url).path))
        if not source.is_file():
            raise Unavailable(f"{source} does not exist")
        shutil.copyfile(source, part)
        return
    bring(Wanted(url=url, label=label, verify=verify, login=login), part)


def bring(wanted: Wanted, part: Path) -> str:
    """Bring a file, or a span of it, into the file `part`, going on from what is already there; gives the file's version.

    Raises `Unavailable` when the server answers and does not serve it, or serves something of another length, and
    `Unreachable` when nobody answers, or no whole file comes, in a few tries; then `part` is kept.
    """
    import httpx  # noqa: PLC0415 - what is in the store needs none of it

    url = without_credentials(wanted.url)
    problem, patience = "", 0.0
    other: Unavailable | None = None
    for attempt in range(TRIES):
        if attempt:
            pause(attempt, patience)
        patience, other = 0.0, None
        try:
            if _one_try(wanted, part):
                version = version_of(part).read_text(encoding="utf-8") if version_of(part).exists() else ""
                version_of(part).unlink(missing_ok=True)
                return version
            problem = "the connection closed before the end"
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            if status in STATUS_KINDS:
                host = error.response.url.host
                via = "" if host == httpx.URL(wanted.url).host else f", which leads to {host}"
                refusal = Unavailable(f"HTTP {status} from {url}{via}", STATUS_KINDS[status])
                if not via:
                    raise refusal from None
                other = refusal  # a link to another host may have expired: the next try gets a fresh one
            problem = f"HTTP {status}"
            patience = _patience(error.response.headers.get("Retry-After", ""))
        except Interrupted as interrupted:
            problem = str(interrupted)
        except Unavailable as mismatch:
            if mismatch.kind != "changed":
                raise
            other = mismatch  # one answer out of line is an accident, several are not
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            problem = str(error) or type(error).__name__
    if other:
        raise other
    raise Unreachable(
        without_credentials(
            f"{wanted.url}: {problem}, {TRIES} tries; the part that came is kept: check the network and run the same again"
        )
    )


def pause(attempt: int, patience_s: float = 0.0) -> None:
    """Wait before another try: longer each time, and at least as long as the server asked for."""
    time.sleep(max(min(2.0**attempt, 10.0), patience_s))


def _patience(retry_after: str) -> float:
    try:
        seconds = float(retry_after)
    except ValueError:  # a date, or nothing
        return 0.0
    return min(max(seconds, 0.0), RETRY_AFTER_S) if math.isfinite(seconds) else 0.0


def version_of(part: Path) -> Path:
    """Where is it noted of which version of the file a part is?"""
    return part.with_name(f"{part.name}.version")


def drop(part: Path) -> None:
    """Forget an unfinished download."""
    part.unlink(missing_ok=True)
    version_of(part).unlink(missing_ok=True)


class _Lines(threading.local):
    """One thread's clients, by their settings: connections stay open for the next file, and no two requests share them."""

    def __init__(self) -> None:
        self.of: dict[object, tuple[httpx.Client, list[socket.socket]]] = {}


_lines = _Lines()


def _line(verify: Verify) -> tuple[httpx.Client, list[socket.socket]]:
    """This thread's client for these certificates and the user's proxies, and the sockets that it has opened."""
    import httpx  # noqa: PLC0415 - as in `bring`

    settings = verify, *sorted(getproxies().items()), *map(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    if settings not in _lines.of:
        client = httpx.Client(follow_redirects=True, verify=verify, max_redirects=8)
        _lines.of[settings] = client, []
    client, sockets = _lines.of[settings]
    client.cookies.clear()
    sockets[:] = [one for one in sockets if one.fileno() >= 0]
    return client, sockets


@contextmanager
def _ask(wanted: Wanted, method: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
    """One request; its headers are here in time or not at all, however slowly a server drips them."""
    client, sockets = _line(wanted.verify)

    def trace(event: str, info: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            sockets.append(info["return_value"].get_extra_info("socket"))

    def hang_up() -> None:
        for one in sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it is closed already

    # Identity: we ask for the bytes that the pin was made of, not for a recompressed copy.
    headers = {"Accept-Encoding": "identity", **(wanted.headers or {}), **headers}
    timer = threading.Timer(TIMEOUT_S * 2, hang_up)
    timer.daemon = True
    timer.start()
    try:
        with client.stream(
            method, wanted.url, headers=headers, auth=wanted.login, timeout=TIMEOUT_S, extensions={"trace": trace}
        ) as reply:
            timer.cancel()
            yield reply
    finally:
        timer.cancel()


def _one_try(wanted: Wanted, part: Path) -> bool:
    have = part.stat().st_size if part.exists() else 0
    length = wanted.length
    if wanted.span and have > wanted.span[1] - wanted.span[0]:
        drop(part)
        have = 0
    if wanted.span and have == length and have:
        return True
    version = version_of(part).read_text(encoding="utf-8") if have and version_of(part).exists() else ""
    headers = {}
    if have or wanted.span:
        last = str(wanted.span[1] - 1) if wanted.span else ""
        headers["Range"] = f"bytes={wanted.start + have}-{last}"
    if version:
        headers["If-Range"] = version
    with _ask(wanted, "GET", headers) as reply:
        if reply.status_code == 416:
            drop(part)  # the part is already as long as the file, or longer
            if wanted.span:
                raise Unavailable(f"{without_credentials(wanted.url)} ends before byte {wanted.span[1]}", "changed")
            return False
        reply.raise_for_status()
        resumed = reply.status_code == 206
        if resumed:
            total = _check_span(wanted, reply, have, part)
        else:
            if wanted.start:
                raise Unavailable(f"{without_credentials(wanted.url)}: the server gives no byte ranges", "refused")
            have = 0
            total = _length(reply)
        if version and version != _version(reply) and resumed:
            drop(part)
            raise Interrupted("the file changed between two pieces")
        if total is not None:
            _check_total(wanted, total)
        if found := _version(reply):
            version_of(part).write_text(found, encoding="utf-8")
        end = length if length is not None else total
        _receive(reply, part, wanted, have, end)
    return end is None or part.stat().st_size == end


def _check_span(wanted: Wanted, reply: httpx.Response, have: int, part: Path) -> int | None:
    """Is a partial answer the part that was asked for? Gives the length of the whole file."""
    found = _CONTENT_RANGE.match(reply.headers.get("Content-Range", ""))
    if not found or int(found[1]) != wanted.start + have:
        drop(part)
        raise Interrupted("the server sent another part of the file than was asked for")
    return None if found[3] == "*" else int(found[3])


def _check_total(wanted: Wanted, total: int) -> None:
    url = without_credentials(wanted.url)
    if wanted.size_bytes is not None and total != wanted.size_bytes:
        raise Unavailable(f"{url}: expected {wanted.size_bytes} bytes, the server has {total}", "changed")
    if wanted.span and total < wanted.span[1]:
        raise Unavailable(f"{url}: it ends at byte {total}, before byte {wanted.span[1]}", "changed")
    if not wanted.span and total > wanted.most_bytes:
        raise Unavailable(f"{url}: it has {total} bytes; at most {wanted.most_bytes} are taken", "refused")


def _length(reply: httpx.Response) -> int | None:
    text = reply.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _version(reply: httpx.Response) -> str:
    """By what can the server be asked for the rest of the same file? A strong ETag, or the date of its last change."""
    tag: str = reply.headers.get("ETag", "")
    return tag if tag.startswith('"') else reply.headers.get("Last-Modified", "")


def _receive(reply: httpx.Response, part: Path, wanted: Wanted, have: int, end: int | None) -> None:
    """Write the body into the part; what has come is written before the connection can break."""
    with (
        part.open("ab" if have else "wb") as file,
        tqdm(total=end, initial=have, unit="B", unit_scale=True, desc=printable(wanted.label), disable=None) as bar,
    ):
        since, before, came, length = time.monotonic(), have, 0, _length(reply)
        for chunk in reply.iter_raw():
            piece = chunk
            if end is not None and have + len(chunk) > end:
                if wanted.span and reply.status_code == 200:
                    piece = chunk[: end - have]  # it sends the whole file; the rest of it is not wanted
                else:
                    drop(part)
                    raise Unavailable(f"{without_credentials(wanted.url)}: it sends more than {end} bytes", "changed")
            file.write(piece)
            have += len(piece)
            bar.update(len(piece))
            if have > wanted.most_bytes:
                file.close()
                drop(part)
                raise Unavailable(
                    f"{without_credentials(wanted.url)}: it sends more than {wanted.most_bytes} bytes, the most that "
                    "are taken", "refused",
                )  # fmt: skip
            came += len(chunk)
            if have == end and came != length:
                break  # where the answer ends here too, its connection is good for the next one
            if time.monotonic() - since > SLOW_S:
                if have - before < SLOW_BYTES:
                    raise Interrupted(f"only {have - before} bytes came in {SLOW_S:g} s")
                since, before = time.monotonic(), have


def look(wanted: Wanted) -> str:
    """What lies at an address now, without bringing it? Its ETag, else its date and length; "unknown" if it tells neither.

    Raises `Unavailable` and `Unreachable` as `bring` does.
    """
    import httpx  # noqa: PLC0415 - as in `bring`

    problem = ""
    for attempt in range(TRIES):
        if attempt:
            pause(attempt)
        try:
            for method in ("HEAD", "GET"):  # some servers know no HEAD; a GET is closed before its body
                with _ask(wanted, method, {} if method == "HEAD" else {"Range": "bytes=0-0"}) as reply:
                    if method == "HEAD" and reply.status_code in {405, 501}:
                        continue
                    reply.raise_for_status()
                    return printable(_told(reply)) or "unknown"
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            if status in STATUS_KINDS:
                raise Unavailable(
                    f"HTTP {status} from {without_credentials(wanted.url)}", STATUS_KINDS[status]
                ) from None
            problem = f"HTTP {status}"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            problem = str(error) or type(error).__name__
    raise Unreachable(
        without_credentials(f"{wanted.url}: {problem}, {TRIES} tries; check the network, then the same again")
    )


def _told(reply: httpx.Response) -> str:
    if tag := reply.headers.get("ETag"):
        return str(tag)
    length = reply.headers.get("Content-Range", "").rpartition("/")[2] or reply.headers.get("Content-Length", "")
    return f"{reply.headers.get('Last-Modified', '')} {length}".strip()


def tell(label: str, size_bytes: int) -> None:
    """Say that a file has come, where no progress bar says it."""
    if not sys.stderr.isatty():
        print(f"    {printable(label)}: {size_bytes} bytes", file=sys.stderr, flush=True)


def netrc_login(host: str, *, default: bool = True) -> Login:
    """Who asks at this host, as the user's .netrc says? `default`: also as its entry for all other hosts says."""
    try:
        entries = netrc.netrc(os.environ.get("NETRC"))
    except (OSError, netrc.NetrcParseError):
        return None
    known = entries.authenticators(host) if default or host in entries.hosts else None
    return (known[0], known[2] or "") if known else None


def without_credentials(text: str) -> str:
    """An address, or words with addresses in them, without the names, passwords and queries that may open a door."""
    return _QUERY.sub(r"\1", _LOGIN.sub("://", text))
