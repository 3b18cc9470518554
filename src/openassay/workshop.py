"""Where an environment is built: in a cage, if one is asked for, as build scripts and installed packages are strangers' code.

A caged build sees the network, the Pythons, its own files, and of the package indexes' settings what uv needs. uv's cache, which
all environments share, is written by runs of uv that build nothing and start nothing that was installed; a caged run of uv gets a
copy that is thrown away, with the unpacked wheels of the shared one, which it can only read.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from openassay.cage import caged, interpreter_folders
from openassay.faults import Fault
from openassay.layout import cache_home
from openassay.limits import Limits, limited, printed
from openassay.sources.pypi import PackageIndex
from openassay.store import remove_tree

_MOST_WHEELS = 400
"""That are shown, the newest: each takes a quarter of a millisecond, and more where there are many."""
_LONGEST_S = 6 * 3600
"""A build that takes longer has no end."""
_FILES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
"""Variables that name what a program reads."""
_STOCK = """
cd "$1"
for of in *; do
    case "$of" in
        simple-*) cp -rs "$1/$of" "$2" ;;
        archive-* | sdists-* | builds-*) ;;
        *) cp -a "$of" "$2" ;;
    esac
done
"""
"""Makes a cache of uv's from another: what it only reads or replaces is linked to, the rest is copied."""


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """The cage of one environment's build."""

    folder: Path
    """The environment."""
    around: Path
    """A folder beside it, for the build alone: home, temporary files, uv's cache."""
    readable: tuple[Path, ...]
    limits: Limits

    @property
    def home(self) -> Path:
        """A home folder."""
        return self.around / "home"

    def stock(self) -> None:
        """Give uv's cache what the shared one holds."""
        cache = self.around / "cache"
        subprocess.run(["/bin/sh", "-ec", _STOCK, "sh", str(shared_cache()), str(cache)], check=True)

    def run(
        self,
        command: list[str],
        variables: Mapping[str, str],
        words: str = "",
        *,
        changes: bool = False,
        wheels: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the cage. words: its input.

        changes: whether it may write to the environment. wheels: whether it sees those of the shared cache.
        """
        own = {"HOME": str(self.home), "TMPDIR": str(self.around / "tmp"), "UV_CACHE_DIR": str(self.around / "cache")}
        writable, shared = [self.around, *([self.folder] if changes else [])], shared_cache()
        readable = [*self.readable, *([] if changes else [self.folder])]
        unpacked = sorted(shared.glob("archive-*/*"), key=os.path.getmtime)[-_MOST_WHEELS:] if wheels else []
        with (
            caged(
                command, {**variables, **own}, readable=readable, writable=writable, device="cpu", limits=self.limits,
                network=True, elsewhere={self.around / "cache" / path.relative_to(shared): path for path in unpacked},
            ) as (in_it, descriptors),
            limited(in_it, self.limits, writable) as (within, meter),
        ):  # fmt: skip
            try:
                return printed(within, {}, descriptors, meter, timeout_s=_LONGEST_S, words=words)
            except subprocess.TimeoutExpired:
                raise Fault(
                    f"the environment could not be built: it took more than {_LONGEST_S // 3600} hours"
                ) from None

    def keeps(self, python: str) -> bool:
        """Whether the environment's interpreter is this one yet: what a later cage shows follows from it."""
        here = self.folder.resolve() / "bin"
        return os.path.realpath(self.folder / "bin") == str(here) and os.path.realpath(here / "python") == python


def shared_cache() -> Path:
    """uv's cache that no build script and no installed package ever reaches."""
    folder = cache_home() / "uv-wheels"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def with_logins(index: PackageIndex) -> PackageIndex:
    """The package indexes with the names and passwords that .netrc has for them: the file itself is not in the cage."""
    return replace(
        index, index_urls=tuple(_with_login(of, index) for of in index.index_urls),
        find_links=tuple(_with_login(of, index) for of in index.find_links),
    )  # fmt: skip


def _with_login(url: str, index: PackageIndex) -> str:
    pieces = urlsplit(url)
    login = index.login(url) if pieces.scheme in {"http", "https"} and not pieces.username else None
    if login is None:
        return url
    return pieces._replace(netloc=f"{quote(login[0], safe='')}:{quote(login[1], safe='')}@{pieces.netloc}").geturl()


@contextmanager
def workshop(
    folder: Path, index: PackageIndex, variables: Mapping[str, str], programs: Iterable[Path], limits: Limits
) -> Iterator[Workshop]:
    """A cage for building the environment in `folder`, which is there and of which nothing has run.

    variables: the build's own, of which some name files. programs: further files and folders that it reads.
    """
    around = folder.with_suffix(".building")
    remove_tree(around)
    for name in ("home", "tmp", "cache"):
        (around / name).mkdir(parents=True)
    local = [
        url if os.path.isabs(url) else unquote(url.removeprefix("file://"))
        for url in (*index.index_urls, *index.find_links)
    ]
    local += [variables[name] for name in _FILES if name in variables]
    readable = [*interpreter_folders(str(folder / "bin" / "python"))[1:], *map(Path, local), *programs, shared_cache()]
    try:
        yield Workshop(
            folder=folder, around=around, readable=tuple(path for path in readable if path.exists()), limits=limits
        )
    finally:
        remove_tree(around)
