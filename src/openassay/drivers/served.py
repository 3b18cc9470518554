"""What published code downloads by itself, served to it on this machine: declared addresses from artifacts, and no other.

The run gets the address of a proxy and the certificate of an authority made for this run alone, in the variables by which
programs look for them. A program that looks for neither is not served, and its own connection is not hindered.
"""

from __future__ import annotations

import os
import shutil
import socket
import socketserver
import ssl
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CERTIFICATES = (
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "AWS_CA_BUNDLE",
)  # fmt: skip
"""Variables that name a file of certificates."""
PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")
MOST_ASKED = 100
"""Addresses that are noted, of those that nothing provides."""
PORT = 3128
"""Of the proxy, on a cage's own loopback."""
_CHUNK = 2**20


@dataclass
class Served:
    """A running proxy: the variables that lead a program to it, and the addresses that it had no answer for."""

    files: Mapping[str, Path]
    """By address, without what follows a `?` or `#` where the address has none."""
    variables: dict[str, str] = field(default_factory=dict)
    forward: tuple[int, str] | None = None
    """For a caged run: the port of its own loopback, and the socket that this leads to."""
    not_provided: list[str] = field(default_factory=list)
    """In the order in which they were first asked for."""

    def find(self, url: str) -> Path | None:
        """The file that an address stands for; notes the address where there is none."""
        found = self.files.get(url) or self.files.get(url.partition("?")[0])
        if found is None and url not in self.not_provided and len(self.not_provided) < MOST_ASKED:
            self.not_provided.append(url)
        return found


class _UnixServer(ThreadingHTTPServer):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's asks for a host's name

    def get_request(self) -> tuple[Any, Any]:
        return super().get_request()[0], ("the cage", 0)


@contextmanager
def serving(files: Mapping[str, Path], folder: Path, *, caged: bool) -> Iterator[Served]:
    """Serve files by their addresses while the block lasts. folder: takes the authority's certificate, `authority.pem`.

    caged: what asks sees nothing of this machine's network; it is served through a socket (`Served.forward`).
    """
    import trustme  # noqa: PLC0415 - with cryptography, which takes a tenth of a second to import

    authority, served = trustme.CA(), Served(files)
    contexts: dict[str, ssl.SSLContext] = {}

    def context_of(host: str) -> ssl.SSLContext:
        if host not in contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(host).configure_cert(context)
            contexts[host] = context
        return contexts[host]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        base = ""
        """Scheme and host of the requests in a tunnel."""

        def do_CONNECT(self) -> None:
            host = self.path.rpartition(":")[0].strip("[]")
            port = self.path.rpartition(":")[2]
            self.send_response(200)
            self.end_headers()
            self.wfile.flush()
            try:
                self.connection = context_of(host).wrap_socket(self.connection, server_side=True)
            except (OSError, ssl.SSLError):  # it does not trust the authority: the log of the run says so
                served.find(f"https://{self.path.removesuffix(':443')}/")
                self.close_connection = True
                return
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
            self.base = f"https://{host}" if port == "443" else f"https://{host}:{port}"
            self.close_connection = False

        def do_GET(self) -> None:
            self.answer(with_content=True)

        def do_HEAD(self) -> None:
            self.answer(with_content=False)

        def do_POST(self) -> None:
            self.answer(with_content=True)

        def answer(self, *, with_content: bool) -> None:
            url = self.path if urlsplit(self.path).scheme else f"{self.base}{self.path}"
            path = served.find(url)
            if path is None:
                self.close_connection = True
                self.send_error(403, "The target provides no such address")
                return
            self.send_response(200)
            self.send_header("Content-Length", str(path.stat().st_size))
            self.send_header("Content-Type", "application/octet-stream")
            self.end_headers()
            if with_content:
                with path.open("rb") as file:
                    while chunk := file.read(_CHUNK):
                        self.wfile.write(chunk)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name is given
            pass

    if caged:
        # a short place: the path of a socket holds a hundred characters
        served.forward = (PORT, os.path.join(tempfile.mkdtemp(), "proxy"))
        server: ThreadingHTTPServer = _UnixServer(served.forward[1], Handler)  # type: ignore[arg-type]
    else:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    pem = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(pem))
    address = f"http://127.0.0.1:{PORT if caged else server.server_address[1]}"
    served.variables |= dict.fromkeys(PROXIES, address) | dict.fromkeys(CERTIFICATES, str(pem.absolute()))
    served.variables |= dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost,::1")
    wget = folder / "wgetrc"  # it goes by no variable for certificates
    wget.write_text(f"ca_certificate = {pem.absolute()}\n", encoding="utf-8")
    served.variables["WGETRC"] = str(wget.absolute())
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        if served.forward:
            shutil.rmtree(os.path.dirname(served.forward[1]), ignore_errors=True)
