"""A wheel or sdist from a Python package index, as published; nothing of it is executed.

The index is the one that pip is set up to use on this machine (`pip config list`): its index-url, extra-index-url,
no-index, find-links, cert and trusted-host, environment variables included.
"""

from __future__ import annotations

import ast
import functools
import logging
import re
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from packaging import utils

from openassay.faults import BadInput
from openassay.records import file_digest
from openassay.sources.download import (
    PATIENCE_S,
    TIMEOUT_S,
    Login,
    Verify,
    download,
    failure_of,
    netrc_login,
    within,
    without_credentials,
)
from openassay.sources.fetched import (
    AnySource,
    Fetched,
    Interrupted,
    Root,
    Unavailable,
    Unreachable,
    WrongPin,
    stored,
)
from openassay.store import Store

if TYPE_CHECKING:
    from unearth import Link

_PROJECT = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\Z")
DEFAULT_INDEX = "https://pypi.org/simple/"
_UNSUPPORTED = {"proxy": "set https_proxy in the environment instead", "client-cert": "use an index that needs none"}
_YES = {"y", "yes", "t", "true", "on", "1"}


@dataclass(frozen=True, kw_only=True)
class PackageIndex:
    """The package indexes that pip is set up to use on this machine."""

    index_urls: tuple[str, ...]
    """None when pip's no-index is set."""
    find_links: tuple[str, ...]
    cert: str | None = None
    """A file of the certificates that servers are known by, or a folder of such files."""
    trusted_hosts: tuple[str, ...] = ()
    """`host` or `host:port` that need no certificate."""

    def verify(self, url: str = "") -> Verify:
        """The certificates by which this address is known."""
        pieces = urlsplit(url)
        if {pieces.hostname, pieces.netloc.rpartition("@")[2]} & set(self.trusted_hosts):
            return False
        if self.cert is None:
            return True
        folder = Path(self.cert).is_dir()
        return ssl.create_default_context(cafile=None if folder else self.cert, capath=self.cert if folder else None)

    def login(self, url: str) -> Login:
        """The name and password for this address: of an index on the same host, or of the user's .netrc."""
        host = urlsplit(url).netloc.rpartition("@")[2]
        for pieces in map(urlsplit, self.index_urls):
            if pieces.username and pieces.netloc.rpartition("@")[2] == host:
                return unquote(pieces.username), unquote(pieces.password or "")
        return netrc_login(host.partition(":")[0])


@functools.cache
def package_index() -> PackageIndex:
    """The package indexes that pip uses here, by `pip config list`, which knows files and variables alike."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False, timeout=60
    )
    found = []
    for line in done.stdout.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        # A variable beats [install] or [download], and that beats [global], whatever the order of the lines.
        rank = {"global": 0, "install": 1, "download": 1, ":env:": 2}.get(section)
        # pip prints the value as Python would, and takes an empty one as none
        if value and rank is not None and (text := str(ast.literal_eval(value)).strip()):
            found.append((rank, name, text))
    settings = {name: text for _, name, text in sorted(found, key=lambda of: of[0])}
    for name, remedy in _UNSUPPORTED.items():
        if name in settings:
            raise BadInput(f"pip's setting {name} is not supported here; {remedy}")
    cert = settings.get("cert")
    if cert and not Path(cert).exists():
        raise BadInput(f"pip's setting cert: {cert} does not exist")
    urls = [settings.get("index-url", DEFAULT_INDEX), *settings.get("extra-index-url", "").split()]
    links = [link for link in settings.get("find-links", "").split() if "://" in link or Path(link).exists()]
    return PackageIndex(
        index_urls=() if settings.get("no-index", "").lower() in _YES else tuple(urls),
        find_links=tuple(links), cert=cert, trusted_hosts=tuple(settings.get("trusted-host", "").split()),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PypiSource(AnySource):
    """A file of a project on a Python package index. Indexes replace no files: a pin that is not met is a mistake."""

    kind: Literal["pypi"]
    package: str
    version: str
    file: str | None = None
    """The file's name. Needed only when the release has several files and `sha256` is not given."""
    sha256: str | None = None
    """The pin. May be left out when the artifact has a payload pin."""
    root: Root = ""
    """Folder inside the archive that counts as its top; a glob."""

    def __post_init__(self) -> None:
        if not _PROJECT.match(self.package):
            raise ValueError(f"{self.package!r} is not the name of a project on a package index")
        if self.file is None:
            return
        try:
            parse = utils.parse_wheel_filename if self.file.endswith(".whl") else utils.parse_sdist_filename
            name, version = parse(self.file)[:2]
        except (utils.InvalidWheelFilename, utils.InvalidSdistFilename):
            return  # an old kind of file; the index will tell
        if name != utils.canonicalize_name(self.package) or utils.canonicalize_version(
            version
        ) != utils.canonicalize_version(self.version):
            raise ValueError(f"{self.file!r} is not a file of {self.package} {self.version}")

    def label(self) -> str:
        """This source in a few words."""
        return f"pypi {self.package} {self.version}"

    def upstream(self) -> str:
        """The sha256 that the index lists for the file now."""
        return str((self._link(self.label()).hashes or {}).get("sha256", "unknown"))

    def fetch(self, store: Store, where: str) -> Fetched:
        """Bring the file into the store; `where` names the source in messages."""
        if self.sha256 and self.file and self._gave(store, self.file, self.sha256):
            return stored(store, self.sha256, self.file, downloaded=False)
        link = self._link(where)
        url, name, listed = link.normalized, link.filename, (link.hashes or {}).get("sha256")
        if self.sha256 and listed and listed != self.sha256:
            raise WrongPin(
                f"{where}.sha256: expected {self.sha256}, but the index lists {listed} for {name}; correct it"
            )
        known = self.sha256 or listed
        if known and ((listed and store.has(known)) or self._gave(store, name, known)):
            store.remember(self._file_label(name), known)
            return stored(store, known, name, downloaded=False)
        part, index = store.part(url), package_index()
        download(url, part, name, index.verify(url), index.login(url))
        got = file_digest(part)
        if known and got != known:
            part.unlink()
            raise WrongPin(f"{where}.sha256: expected {known}, got {got} for {name}; the download is dropped")
        store.remember(self._file_label(name), got)
        return stored(store, store.add(part, got), name, downloaded=True)

    def _file_label(self, filename: str) -> str:
        return f"{self.label()} {filename}"

    def _gave(self, store: Store, filename: str, sha256: str) -> bool:
        """Whether an index gave this very file before, so that it need not be asked again: a pin alone proves no origin."""
        return store.has(sha256) and sha256 in store.seen(self._file_label(filename))

    def _link(self, where: str) -> Link:
        of_version = files_of(self.package, self.version, where)
        names = ", ".join(link.filename for link in of_version)
        if self.file:
            chosen = [link for link in of_version if link.filename == self.file]
            problem = f"file: {self.file!r} is not among the files of this version: {names}"
        elif self.sha256:
            chosen = [link for link in of_version if (link.hashes or {}).get("sha256") == self.sha256]
            problem = f"sha256: no file of {self.package} {self.version} has it; there are: {names}"
        else:
            chosen = of_version if len(of_version) == 1 else []
            problem = f"file: this version has several files; name one: {names}"
        if not chosen:
            raise WrongPin(f"{where}.{problem}")
        return chosen[0]


def files_of(package: str, version: str, where: str) -> list[Link]:
    """Every published file of a version; `WrongPin`, which begins with `where`, when there is none."""
    packages = project_files(package)
    if found := [link for known, link in packages if known == version]:
        return found
    ask_every_index(package)
    versions = list(dict.fromkeys(known for known, _ in packages))
    listed = f"it has {', '.join(versions[:6])}" if versions else "there is no such project"
    raise WrongPin(f"{where}.version: {package} {version} is not on the index; {listed}")


def project_files(package: str) -> list[tuple[str, Link]]:
    """Every published file of a project, as (version, link), newest version first. Raises `Unreachable`, `Unavailable`."""
    from unearth import PackageFinder  # noqa: PLC0415 - with httpx and requests; what is in the store needs none of them
    from unearth.auth import MultiDomainBasicAuth  # noqa: PLC0415
    from unearth.fetchers.sync import PyPIClient  # noqa: PLC0415

    index = package_index()
    logging.getLogger("unearth").setLevel(logging.CRITICAL)

    def ask() -> list[tuple[str, Link]]:
        with PyPIClient(trusted_hosts=index.trusted_hosts, verify=index.verify()) as session:
            session.auth = MultiDomainBasicAuth(prompting=False, index_urls=index.index_urls)  # an audit asks nobody
            finder = PackageFinder(
                session,
                index_urls=index.index_urls,
                find_links=index.find_links,
                ignore_compatibility=True,
                verbosity=0,
            )
            return [(str(best.version), best.link) for best in finder.find_all_packages(package, allow_yanked=True)]

    try:
        found = within(PATIENCE_S, ask)
    except Interrupted as slow:
        raise _no_answer(", ".join(index.index_urls), slow) from None
    except Exception as error:
        # The finder speaks through httpx or, from unearth 0.19 on, through httpx2; both call their errors so.
        if "HTTPError" not in {kind.__name__ for kind in type(error).__mro__}:
            raise
        raise _no_answer(", ".join(index.index_urls), failure_of(error)) from None
    for _, link in found:
        if not link.hashes and link.hash_name and link.hash:  # an index in HTML gives the digest in the address
            link.hashes = {link.hash_name: link.hash}
    if not found:
        ask_every_index(package)
    return found


def ask_every_index(package: str) -> None:
    """Raise where an index refuses (`Unavailable`) or fails (`Unreachable`): the finder is silent about both."""
    import httpx  # noqa: PLC0415 - takes a while to import

    index = package_index()
    for url in index.index_urls:
        if not url.startswith(("https://", "http://")):
            continue
        ask = functools.partial(
            httpx.get, url.rstrip("/") + f"/{package}/", follow_redirects=True, timeout=TIMEOUT_S,
            verify=index.verify(url), auth=index.login(url),
        )  # fmt: skip
        try:
            reply = within(PATIENCE_S, ask)
        except Interrupted as slow:
            raise _no_answer(url, slow) from None
        except httpx.HTTPError as error:
            raise _no_answer(url, failure_of(error)) from None
        if reply.status_code in {401, 403}:
            raise Unavailable(f"HTTP {reply.status_code} from the package index {without_credentials(url)}", "gated")
        if reply.status_code == 429 or reply.status_code >= 500:
            raise _no_answer(url, Interrupted(f"HTTP {reply.status_code}"))


def _no_answer(urls: str, problem: Interrupted) -> Unreachable:
    return Unreachable(without_credentials(f"the package index {urls} does not answer ({problem}). {problem.todo}"))
