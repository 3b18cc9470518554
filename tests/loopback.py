"""A package index on this machine (PEP 503 and 691), with what goes wrong in real ones: cuts, wrong files, refusals.

    with PackageIndex() as index:
        index.publish("demo", "demo-1.0-py3-none-any.whl", wheel("demo", "1.0"))
        index.cuts["demo-1.0-py3-none-any.whl"] = [100]   # the first answer ends after 100 bytes

It listens on 127.0.0.1 only. `requests` holds what it was asked for.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import socket
import ssl
import tarfile
import threading
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import unquote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Request:
    """One request that the index was sent."""

    method: str
    path: str
    range: str | None


@dataclass
class Published:
    """One file of a project, as the index lists it."""

    data: bytes
    uploaded: str = "2024-01-01T00:00:00Z"
    yanked: bool = False


@dataclass
class PackageIndex:
    """A package index: `url` is its simple index, files lie below `/files/`, anything else in `static`."""

    style: Literal["json", "html"] = "json"
    lists_digests: bool = True
    login: str = ""
    """`name:password` that every request must carry."""
    certificate: str | None = None
    """A file with a certificate and its key: the server speaks HTTPS."""
    ranges: bool = True
    chunked: bool = False
    projects: dict[str, dict[str, Published]] = field(default_factory=dict)
    served: dict[str, bytes] = field(default_factory=dict)
    """What is sent for a file's name instead of what was published."""
    status: dict[str, int] = field(default_factory=dict)
    """A status that is answered at a path, whatever lies there."""
    redirects: dict[str, str] = field(default_factory=dict)
    cuts: dict[str, list[int]] = field(default_factory=dict)
    """For a file's name: after how many bytes each next answer ends, though more was promised."""
    silent: set[str] = field(default_factory=set)
    """Paths that are never answered."""
    static: dict[str, bytes] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def reset(self) -> None:
        """Forget everything that was published and set."""
        self.style, self.lists_digests, self.login, self.ranges, self.chunked = "json", True, "", True, False
        for part in (
            self.projects, self.served, self.status, self.redirects, self.cuts, self.silent, self.static, self.requests
        ):  # fmt: skip
            part.clear()

    def publish(self, project: str, filename: str, data: bytes, **more: Any) -> str:
        """Add a file to a project; gives its sha256."""
        self.projects.setdefault(project, {})[filename] = Published(data, **more)
        return hashlib.sha256(data).hexdigest()

    def asked(self, filename: str) -> list[Request]:
        """The requests for a file's content."""
        return [
            request for request in self.requests if request.path == f"/files/{filename}" and request.method == "GET"
        ]

    @property
    def root(self) -> str:
        """The server's address."""
        return f"http{'s' if self.certificate else ''}://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """The address of the simple index."""
        return f"{self.root}/simple/"

    def __enter__(self) -> Self:
        index = self

        class Handler(_Handler):
            """The handler of this index."""

            @property
            def index(self) -> PackageIndex:
                return index

        self._stopped = threading.Event()
        self._server = _Server(("127.0.0.1", 0), Handler)
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def page(self, project: str) -> tuple[str, bytes]:
        """The project's page: content type and content."""
        files = self.projects[project]
        if self.style == "json":
            listed = [
                {
                    "filename": name,
                    "url": f"/files/{name}",
                    "hashes": {"sha256": hashlib.sha256(file.data).hexdigest()} if self.lists_digests else {},
                    "upload-time": file.uploaded,
                    "size": len(file.data),
                    "yanked": "broken" if file.yanked else False,
                    "core-metadata": metadata_of(file.data) is not None,
                }
                for name, file in files.items()
            ]
            page = {"meta": {"api-version": "1.1"}, "name": project, "versions": [], "files": listed}
            return "application/vnd.pypi.simple.v1+json", json.dumps(page).encode()
        anchors = []
        for name, file in files.items():
            fragment = f"#sha256={hashlib.sha256(file.data).hexdigest()}" if self.lists_digests else ""
            yanked = ' data-yanked="broken"' if file.yanked else ""
            anchors.append(f'<a href="../../files/{name}{fragment}"{yanked}>{html.escape(name)}</a><br>')
        return "text/html", ("<!DOCTYPE html><html><body>\n" + "\n".join(anchors) + "\n</body></html>\n").encode()

    def find(self, path: str) -> tuple[str, bytes] | None:
        """What lies at a path: content type and content."""
        if path in self.static:
            return "application/octet-stream", self.static[path]
        folder, _, name = path.strip("/").rpartition("/")
        if folder == "simple" and name in self.projects:
            return self.page(name)
        if folder == "files":
            for files in self.projects.values():
                if name.endswith(".metadata") and (of := files.get(name.removesuffix(".metadata"))):
                    metadata = metadata_of(of.data)
                    return None if metadata is None else ("application/octet-stream", metadata)
                if name in files:
                    return "application/octet-stream", self.served.get(name, files[name].data)
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def index(self) -> PackageIndex:
        raise NotImplementedError

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        index = self.index
        path = unquote(urlsplit(self.path).path).replace("/./", "/")
        index.requests.append(Request(self.command, path, self.headers.get("Range")))
        login = "Basic " + base64.b64encode(index.login.encode()).decode()
        if index.login and self.headers.get("Authorization") != login:
            self._empty(401, **{"WWW-Authenticate": "Basic"})
        elif path in index.silent:
            index._stopped.wait(20)
            self.close_connection = True
        elif path in index.status:
            self._empty(index.status[path])
        elif path in index.redirects:
            self._empty(302, Location=index.redirects[path])
        elif (found := index.find(path)) is None:
            self._empty(404)
        else:
            self._content(path.rpartition("/")[2], *found)

    def _empty(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _content(self, name: str, kind: str, data: bytes) -> None:
        index, total = self.index, len(data)
        start, end, status = 0, total, 200
        asked = self.headers.get("Range")
        if index.ranges and asked:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start = int(first) if first else max(0, total - int(last))
            end = min(int(last) + 1, total) if first and last else total
            if start >= total:
                self._empty(416)
                return
            status = 206
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if index.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{total}")
        body = data[start:end]
        if index.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if cuts := index.cuts.get(name, []):
            self.wfile.write(body[: cuts.pop(0)])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif index.chunked:
            for place in range(0, len(body), 1000):
                piece = body[place : place + 1000]
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.wfile.write(body)


def metadata_of(data: bytes) -> bytes | None:
    """A wheel's metadata, which an index gives on its own (PEP 658)."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return None
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        name = next((name for name in archive.namelist() if name.endswith(".dist-info/METADATA")), None)
        return archive.read(name) if name else None


def closed_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def self_signed(folder: Path) -> str:
    """A file with a certificate of 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=2))
    signed = made.add_extension(address, critical=False).sign(key, hashes.SHA256())
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "certificate.pem"
    file.write_bytes(plain + signed.public_bytes(serialization.Encoding.PEM))
    return str(file)


def wheel(name: str, version: str, files: dict[str, str] | None = None, requires: tuple[str, ...] = ()) -> bytes:
    """A pure wheel that installs."""
    files = {f"{name}.py": f"version = {version!r}\n"} if files is None else dict(files)
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return packed.getvalue()


def sdist(name: str, version: str, backend: str, requires: str = "") -> bytes:
    """An sdist whose build backend is the given Python, in the sdist itself: it needs nothing from any index."""
    files = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "pyproject.toml": f'[build-system]\nrequires = [{requires}]\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\n',
        "backend.py": backend,
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(f"{name}-{version}/{path}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()
