"""Brings files over HTTP(S), in pieces that survive a broken connection, with a progress bar."""

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
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

from tqdm import tqdm

from openassay.faults import counted, naming, printable
from openassay.records import file_digest
from openassay.sources.fetched import STATUS_KINDS, TELL_ITS_OWNER, Interrupted, Unavailable, Unreachable
from openassay.store import MAX_UNPACKED_BYTES

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
TRIES = 4
PATIENCE_S = 60.0
"""The most that is waited for a server without progress, in all tries together, also where it asks for more."""
TIMEOUT_S = 25.0
"""Without a byte, and half of what an answer's headers may take: two tries fit into our patience."""
SLOW_S = 25.0
SLOW_BYTES = 25_000
"""A connection that brings fewer bytes in so many seconds is given up; as many are progress."""

Verify = ssl.SSLContext | bool
"""The certificates that a server is known by. True: the usual ones; False: it is trusted without any."""
Login = tuple[str, str] | None
"""A name and a password."""

_LOGIN = re.compile(r"://[^\s/?#]*@")
_QUERY = re.compile(r"(://[^\s?#]*)\?[^\s#`'\")]*")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)\s*\Z")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for, and what is known of it beforehand."""

    url: str
    label: str
    verify: Verify = True
    login: Login = None
    headers: Mapping[str, str] | None = None
    """More headers, a token perhaps: httpx drops it where an address leads to another host."""
    span: tuple[int, int] | None = None
    """Only these bytes of the file: from the first on, and up to the second, that one not included."""
    size_bytes: int | None = None
    """Of the whole file, when it is known: a server that has another is not serving that file."""
    most_bytes: int = MAX_UNPACKED_BYTES

    @property
    def shown(self) -> str:
        """The address as messages may show it."""
        return without_credentials(self.url)


def tried(call: Callable[[], T], what: str, tries: int | None = None, came: Callable[[], int] = lambda: 0) -> T:
    """The result of `call`, which is made again, after longer and longer pauses, while it raises `Interrupted`.

    tries: calls in all; `TRIES` when left out. No try is begun that `PATIENCE_S` seems too short for. came: the bytes that
    have come; where many are new, patience begins anew. Raises the finding of the last call, or `Unreachable`, which begins
    with `what`.
    """
    made, since, before = 0, time.monotonic(), came()
    while True:
        began = time.monotonic()
        try:
            return call()
        except Interrupted as interrupted:
            problem = interrupted
        made, ended, took_s = made + 1, time.monotonic(), time.monotonic() - began
        if came() - before >= SLOW_BYTES:
            since, before, took_s = ended, came(), 0.0
        if made == (tries or TRIES) or ended - since + pause_s(made, problem.patience_s) + took_s > PATIENCE_S:
            break
        pause(made, problem.patience_s)
    if problem.finding:
        raise problem.finding
    more = f"; it asks to be left alone for {problem.patience_s:.0f} s" if problem.patience_s > PATIENCE_S else ""
    raise Unreachable(without_credentials(f"{what}: {problem}{more} ({counted(made, 'attempt')}). {problem.todo}"))


def pause_s(attempt: int, patience_s: float = 0.0) -> float:
    """The seconds before another try: more each time, and at least as many as the server asked for."""
    return max(min(2.0**attempt, 10.0), patience_s)


def pause(attempt: int, patience_s: float = 0.0) -> None:
    """Wait before another try."""
    time.sleep(pause_s(attempt, patience_s))


def within(limit_s: float, call: Callable[[], T]) -> T:
    """The result of `call`, made in a thread of its own, which is left behind where it takes longer: `Interrupted` then."""
    answer: Future[T] = Future()

    def work() -> None:
        try:
            answer.set_result(call())
        except BaseException as problem:  # noqa: BLE001 - it is raised where the answer is waited for
            answer.set_exception(problem)

    threading.Thread(target=work, daemon=True).start()
    try:
        return answer.result(limit_s)
    except TimeoutError:
        if answer.done():
            raise
        raise Interrupted(f"it takes more than {limit_s:g} s") from None


def download(url: str, part: Path, label: str, verify: Verify = True, login: Login = None) -> None:
    """Bring `url` into the file `part`, as `bring` does; `file:` addresses are copied."""
    if urlsplit(url).scheme == "file":
        source = Path(unquote(urlsplit(url).path))
        if not source.is_file():
            raise Unavailable(f"{source} does not exist")
        shutil.copyfile(source, part)
    else:
        bring(Wanted(url=url, label=label, verify=verify, login=login), part)


def bring(wanted: Wanted, part: Path) -> None:
    """Bring a file, or a span of it, into the file `part`; resumes where an earlier call stopped.

    Raises `Unavailable` when the server answers and does not serve it, or serves something of another length, and
    `Unreachable` when nobody answers, or no whole file comes, in a few tries; then `part` is kept.
    """
    tried(lambda: _one_try(wanted, part), wanted.url, came=lambda: part.stat().st_size if part.exists() else 0)
    version_of(part).unlink(missing_ok=True)


def bring_checked(wanted: Wanted, part: Path, problem_of: Callable[[str], str]) -> str:
    """Bring a file as `bring` does, and give its sha256. `problem_of` says what is wrong with a file of a sha256, if anything.

    A part that was resumed may join two versions of the file: only one that came in one piece is `Unavailable`.
    """
    whole = not part.exists()
    while True:
        bring(wanted, part)
        got = file_digest(part)
        if not (problem := problem_of(got)):
            return got
        drop(part)
        if whole:
            raise Unavailable(problem, "changed")
        whole = True


def version_of(part: Path) -> Path:
    """The file that notes of which version of the published file a part is."""
    return part.with_name(f"{part.name}.version")


def drop(part: Path) -> None:
    """Forget an unfinished download."""
    part.unlink(missing_ok=True)
    version_of(part).unlink(missing_ok=True)


_clients = threading.local()
"""Each thread's clients, by their settings: connections stay open for the next file, and no two requests share them."""


def _client(verify: Verify) -> tuple[httpx.Client, list[socket.socket]]:
    """This thread's client for these certificates and the user's proxies, and the sockets that it has opened."""
    import httpx  # noqa: PLC0415 - what is in the store needs none of it

    by_settings = vars(_clients).setdefault("by_settings", {})
    settings = verify, *sorted(getproxies().items()), *map(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    if settings not in by_settings:
        by_settings[settings] = httpx.Client(follow_redirects=True, verify=verify, max_redirects=8), []
    client, sockets = by_settings[settings]
    client.cookies.clear()
    sockets[:] = [one for one in sockets if one.fileno() >= 0]
    return client, sockets


@contextmanager
def _ask(wanted: Wanted, method: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
    """One request; its headers are here in time or not at all, however slowly a server drips them.

    What goes wrong in the block is raised as `Unavailable` where it is an answer about the file, else as `Interrupted`.
    """
    import httpx  # noqa: PLC0415 - as in `_client`

    client, sockets = _client(wanted.verify)

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
    except httpx.HTTPStatusError as error:
        status, host = error.response.status_code, error.response.url.host
        via = "" if host == httpx.URL(wanted.url).host else f", which leads to {host}"
        finding = None
        if status in STATUS_KINDS:
            finding = Unavailable(f"HTTP {status} from {wanted.shown}{via}", STATUS_KINDS[status])
            if not via:
                raise finding from None
        # A link to another host may have expired: the next try gets a fresh one.
        raise Interrupted(f"HTTP {status}", finding, _patience(error.response)) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise failure_of(error) from None
    finally:
        timer.cancel()


def failure_of(error: Exception) -> Interrupted:
    """What a failure of httpx, or of httpx2, says: a redirect that leads nowhere is the server's own."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    said = printable((str(error) or type(error).__name__).splitlines()[0])[:300]
    if "TooManyRedirects" in kinds:
        return Interrupted("it redirects in a circle, or too often", todo=TELL_ITS_OWNER)
    if "UnsupportedProtocol" in kinds:
        return Interrupted(f"it leads to an address that is not followed: {said}", todo=TELL_ITS_OWNER)
    return Interrupted(said)


def _patience(reply: httpx.Response) -> float:
    """How many seconds the server asks to be left alone."""
    try:
        seconds = float(reply.headers.get("Retry-After", ""))
    except ValueError:  # a date, or nothing
        return 0.0
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0


def _another(message: str) -> Interrupted:
    """An answer that does not fit what is known of the file: one is an accident, several are a finding."""
    return Interrupted(message, Unavailable(message, "changed"))


def _one_try(wanted: Wanted, part: Path) -> None:
    """Ask once for what is missing of a part; `Interrupted` where it is not whole then."""
    have = part.stat().st_size if part.exists() else 0
    first, stop = wanted.span or (0, None)
    length = wanted.size_bytes if stop is None else stop - first
    if stop is not None and length is not None:
        if have > length:
            drop(part)
            have = 0
        if have == length:
            return
    version = version_of(part).read_text(encoding="utf-8") if have and version_of(part).exists() else ""
    headers = {"If-Range": version} if version else {}
    if have or wanted.span:
        headers["Range"] = f"bytes={first + have}-{'' if stop is None else stop - 1}"
    with _ask(wanted, "GET", headers) as reply:
        if reply.status_code == 416:  # the part is already as long as the file, or longer
            drop(part)
            raise _another(f"{wanted.shown} ends before byte {stop}") if stop else Interrupted("it was too long")
        reply.raise_for_status()
        if reply.status_code == 206:
            total = _check_piece(reply, part, first + have, version)
        elif first:
            raise Unavailable(f"{wanted.shown}: the server does not support byte ranges", "refused")
        else:
            have, total = 0, _length(reply)
        if total is not None:
            _check_total(wanted, total)
        if version := _version(reply):
            version_of(part).write_text(version, encoding="utf-8")
        end = total if length is None else length
        _receive(reply, part, wanted, have, end)
    if end is not None and part.stat().st_size != end:
        raise Interrupted("the connection closed before the end")


def _check_piece(reply: httpx.Response, part: Path, start: int, version: str) -> int | None:
    """The whole file's bytes, as an answer says that holds those from `start` on; `Interrupted` where it holds others."""
    found = _CONTENT_RANGE.match(reply.headers.get("Content-Range", ""))
    if not found or int(found[1]) != start:
        drop(part)
        raise Interrupted("the server sent another part of the file than was asked for")
    if version and version != _version(reply):
        drop(part)
        raise Interrupted("the file changed between two pieces")
    return None if found[2] == "*" else int(found[2])


def _check_total(wanted: Wanted, total: int) -> None:
    """Raise where a file of `total` bytes is not the one that is wanted, or too large."""
    if wanted.size_bytes is not None and total != wanted.size_bytes:
        raise _another(f"{wanted.shown}: expected {wanted.size_bytes} bytes, the server has {total}")
    if wanted.span and total < wanted.span[1]:
        raise _another(f"{wanted.shown}: it ends at byte {total}, before byte {wanted.span[1]}")
    if not wanted.span and total > wanted.most_bytes:
        raise Unavailable(f"{wanted.shown}: it has {total} bytes; at most {wanted.most_bytes} are accepted", "refused")


def _length(reply: httpx.Response) -> int | None:
    text = reply.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _version(reply: httpx.Response) -> str:
    """By what the rest of the same file can be asked for: a strong ETag, or the date of its last change."""
    tag: str = reply.headers.get("ETag", "")
    return tag if tag.startswith('"') else reply.headers.get("Last-Modified", "")


def _receive(reply: httpx.Response, part: Path, wanted: Wanted, have: int, end: int | None) -> None:
    """Write the body into the part; what has come is written before the connection can break."""
    with (
        naming(part),
        part.open("ab" if have else "wb") as file,
        tqdm(total=end, initial=have, unit="B", unit_scale=True, desc=printable(wanted.label), disable=None) as bar,
    ):
        since, before, came, length = time.monotonic(), have, 0, _length(reply)
        for chunk in reply.iter_raw():
            piece = chunk if end is None else chunk[: end - have]
            if len(piece) < len(chunk) and not (
                wanted.span and reply.status_code == 200
            ):  # then it sends the whole file
                drop(part)
                raise _another(f"{wanted.shown}: it sends more than {end} bytes")
            file.write(piece)
            have += len(piece)
            bar.update(len(piece))
            if have > wanted.most_bytes:
                drop(part)
                most = f"more than {wanted.most_bytes} bytes, the most that are accepted"
                raise Unavailable(f"{wanted.shown}: it sends {most}", "refused")
            came += len(chunk)
            if have == end and came != length:
                break  # where the answer ends here too, its connection is good for the next one
            if time.monotonic() - since > SLOW_S:
                if have - before < SLOW_BYTES:
                    raise Interrupted(f"only {have - before} bytes came in {SLOW_S:g} s")
                since, before = time.monotonic(), have


def look(wanted: Wanted) -> str:
    """What lies at an address now, without bringing it: its ETag, else its date and length; "unknown" if it tells neither.

    Raises `Unavailable` and `Unreachable` as `bring` does.
    """

    def once() -> str:
        with _ask(wanted, "HEAD", {}) as reply:
            if reply.status_code not in {405, 501}:
                reply.raise_for_status()
                return _told(reply)
        with _ask(wanted, "GET", {"Range": "bytes=0-0"}) as reply:  # it knows no HEAD; closed before its body
            reply.raise_for_status()
            return _told(reply)

    return printable(tried(once, wanted.url)) or "unknown"


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
    """The name and password for this host in the user's .netrc. `default`: its entry for all other hosts counts too."""
    try:
        entries = netrc.netrc(os.environ.get("NETRC"))
    except (OSError, netrc.NetrcParseError):
        return None
    known = entries.authenticators(host) if default or host in entries.hosts else None
    return (known[0], known[2] or "") if known else None


def without_credentials(text: str) -> str:
    """An address, or words with addresses in them, without the names, passwords and queries that may open a door."""
    return _QUERY.sub(r"\1", _LOGIN.sub("://", text))
