"""How does a file get here over HTTP(S)? In pieces that survive a broken connection, with a progress bar."""

from __future__ import annotations

import re
import shutil
import ssl
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
from tqdm import tqdm

from openassay.faults import printable
from openassay.sources.fetched import Unavailable, Unreachable

TRIES = 4
TIMEOUT_S = 30.0

Verify = ssl.SSLContext | bool
"""By which certificates is a server known? True: the usual ones; False: it is trusted without any."""

Login = tuple[str, str] | None
"""A name and a password."""

_LOGIN = re.compile(r"://[^\s/?#]*@")
_QUERY = re.compile(r"(://[^\s?#]*)\?[^\s#`'\")]*")


def download(url: str, part: Path, label: str, verify: Verify = True, login: Login = None) -> None:
    """Bring `url` into the file `part`, going on from what is already there; `file:` addresses are copied.

    Raises `Unavailable` on 401, 403, 404, 410 and `Unreachable` when nobody answers after a few tries; `part` is kept.
    """
    if urlsplit(url).scheme == "file":
        source = Path(unquote(urlsplit(url).path))
        if not source.is_file():
            raise Unavailable(f"{source} does not exist")
        shutil.copyfile(source, part)
        return
    problem = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(min(2.0**attempt, 10.0))
        try:
            if _one_try(url, part, label, verify, login):
                return
            problem = "the connection closed before the end"
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            if status in {401, 403, 404, 410, 451}:
                raise Unavailable(f"HTTP {status} from {without_credentials(url)}") from None
            problem = f"HTTP {status}"
        except httpx.HTTPError as error:
            problem = str(error) or type(error).__name__
    raise Unreachable(
        without_credentials(
            f"{url}: {problem}, {TRIES} tries; the part that came is kept: check the network and run the same again"
        )
    )


def _one_try(url: str, part: Path, label: str, verify: Verify, login: Login) -> bool:
    have = part.stat().st_size if part.exists() else 0
    # Identity: we ask for the bytes that the pin was made of, not for a recompressed copy.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with (
        httpx.Client(follow_redirects=True, timeout=TIMEOUT_S, verify=verify, auth=login) as client,
        client.stream("GET", url, headers=headers) as reply,
    ):
        if reply.status_code == 416:  # the part is already as long as the file, or longer
            part.unlink()
            return False
        reply.raise_for_status()
        resumed = reply.status_code == 206
        length = int(reply.headers.get("Content-Length", 0))
        total = length + (have if resumed else 0)
        with (
            part.open("ab" if resumed else "wb") as file,
            tqdm(
                total=total or None,
                initial=have if resumed else 0,
                unit="B",
                unit_scale=True,
                desc=printable(label),
                disable=None,
            ) as bar,
        ):
            # of no fixed size: what has come is written before the connection can break
            for chunk in reply.iter_bytes():
                file.write(chunk)
                bar.update(len(chunk))
    return not total or part.stat().st_size == total


def without_credentials(text: str) -> str:
    """An address, or words with addresses in them, without the names, passwords and queries that may open a door."""
    return _QUERY.sub(r"\1", _LOGIN.sub("://", text))
