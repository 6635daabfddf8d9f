"""Back ends of the black-box tests of requests: they answer well, or misbehave as the path asks.

They are threads of this process, so that tests see what came.
"""

from __future__ import annotations

import atexit
import base64
import datetime
import functools
import gzip
import hashlib
import ipaddress
import json
import os
import shutil
import socket
import ssl
import tempfile
import threading
import time
import urllib.parse
import xmlrpc.client
import zlib
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import brotli  # type: ignore[import-untyped]
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

BIG = 70 * 1024 * 1024
"""Bytes of a decoded body that is past the limit."""


def rest_of(connection: socket.socket) -> None:
    """Wait until the peer leaves."""
    connection.settimeout(30)
    try:
        while connection.recv(65536):
            pass
    except OSError:
        pass


class Handler(BaseHTTPRequestHandler):
    """Answers by the first segment of the path; any other path is echoed."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: BackEnd
    body = b""
    query = ""
    rest: list[str] = []

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self) -> None:
        self.body = self.read_body()
        path, _, self.query = self.path.partition("?")
        with self.server.lock:
            self.server.hits[path] += 1
            self.server.seen.add((path, self.server.port))
        name, *self.rest = path.strip("/").split("/")
        getattr(self, "at_" + name, self.at_echo)()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = answer

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return data
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reply(self, status: int, body: bytes = b"", *fields: str, reason: str = "Fine") -> None:
        lines = [f"HTTP/1.1 {status} {reason}", *fields]
        if not any(field.lower().startswith(("content-length", "transfer-encoding")) for field in fields):
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        self.wfile.write(head + (b"" if self.command == "HEAD" or status in (204, 304) else body))

    def raw(self, data: bytes, close: bool = True) -> None:
        self.wfile.write(data)
        self.close_connection = close

    # What is well.

    def at_echo(self) -> None:
        self.reply(200, json.dumps(self.seen()).encode(), "Content-Type: application/json")

    def seen(self) -> dict[str, Any]:
        path, _, query = self.path.partition("?")
        return {
            "method": self.command,
            "path": path,
            "query": query,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "fields": [[name, value] for name, value in self.headers.items()],
            "body": self.body.decode("latin-1"),
            "port": self.server.port,
            "peer": self.client_address[1],
        }

    def at_slow(self) -> None:
        time.sleep(float(self.rest[0]))
        self.at_echo()

    def at_status(self) -> None:
        self.reply(int(self.rest[0]), b"page", reason="Such Is Life")

    def at_count(self) -> None:
        """Count the requests for this path, at all ports together."""
        time.sleep(float(dict(urllib.parse.parse_qsl(self.query)).get("slow", 0)))
        path = self.path.partition("?")[0]
        self.reply(200, str(self.server.hits[path]).encode(), "Content-Type: text/plain")

    def at_port(self) -> None:
        self.reply(200, str(self.server.port).encode(), "Content-Type: text/plain")

    def at_type(self) -> None:
        """Answer with the body sent, in the type of the query."""
        self.reply(200, self.body or b"caf\xc3\xa9", f"Content-Type: {urllib.parse.unquote(self.query)}")

    def at_fields(self) -> None:
        self.reply(200, b"x", "X-One: 1", "X-Two: a", "X-Two: b", "Set-Cookie: a=1", "Set-Cookie: b=2")

    def at_big(self) -> None:
        self.reply(200, b"0123456789" * (int(self.rest[0]) // 10), "Content-Type: application/octet-stream")

    def at_size(self) -> None:
        digest = hashlib.sha256(self.body).hexdigest()
        coded = self.headers.get("Transfer-Encoding", "")
        self.reply(200, json.dumps([len(self.body), digest, coded]).encode(), "Content-Type: application/json")

    def at_encoded(self) -> None:
        data = b"encoded " * 400
        plain = zlib.compressobj(wbits=-15)
        bodies = {
            "gzip": gzip.compress(data),
            "deflate": zlib.compress(data),
            "rawdeflate": plain.compress(data) + plain.flush(),
            "br": brotli.compress(data),
            "identity": data,
            "twice": gzip.compress(zlib.compress(data)),
            "false": b"this is no gzip at all",
            "short": gzip.compress(data)[:-12],
            "bomb": bomb() if self.rest[0] == "bomb" else b"",
        }
        names = {"rawdeflate": "deflate", "twice": "deflate, gzip", "false": "gzip", "short": "gzip", "bomb": "gzip"}
        name = self.rest[0]
        self.reply(200, bodies[name], f"Content-Encoding: {names.get(name, name)}", "Content-Type: text/plain")

    def at_chunked(self) -> None:
        self.raw(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n3;x=y\r\n-th\r\n0\r\nT: 1\r\n\r\n",
            False,
        )

    def at_unbounded(self) -> None:
        self.raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end")

    def at_old(self) -> None:
        self.raw(b"HTTP/1.0 200 OK\r\n\r\nold")

    def at_hints(self) -> None:
        self.raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", False)
        self.reply(200, b"after")

    def at_farewell(self) -> None:
        """Answer, and close without having said so."""
        self.reply(200, b"bye")
        self.close_connection = True

    # Redirects and credentials.

    def at_to(self) -> None:
        where = urllib.parse.unquote(self.query)
        self.reply(int(self.rest[0]), b"elsewhere", f"Location: {where}")

    def at_down(self) -> None:
        left = int(self.rest[0])
        if left:
            self.reply(302, b"", f"Location: /down/{left - 1}")
        else:
            self.reply(200, b"ground")

    def at_rawto(self) -> None:
        """Redirect to a name in UTF-8 that is not encoded."""
        self.reply(302, b"", "Location: /echo/caf\u00c3\u00a9 x")

    def at_loop(self) -> None:
        self.reply(302, b"", "Location: /loop")

    def at_basic(self) -> None:
        said = self.headers.get("Authorization", "")
        if said == "Basic " + base64.b64encode(b"ann:s\xc3\xa9cret").decode():
            self.reply(200, b"welcome")
        else:
            self.reply(401, b"who", 'WWW-Authenticate: Basic realm="r"')

    def at_digest(self) -> None:
        said = self.headers.get("Authorization", "")
        algorithm = self.rest[0]
        if said.startswith("Digest ") and digest_is_right(said, self.command, algorithm):
            self.reply(200, b"welcome")
        else:
            field = f'Digest realm="r", nonce="abc", opaque="o", qop="auth", algorithm={algorithm}'
            self.reply(401, b"who", "WWW-Authenticate: " + field)

    # Faults.

    def at_hang(self) -> None:
        if self.rest[0] == "status":
            self.raw(b"HTTP/1.1 20")
        elif self.rest[0] == "fields":
            self.raw(b"HTTP/1.1 200 OK\r\nContent-Len")
        elif self.rest[0] == "body":
            self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        elif self.rest[0] == "chunk":
            self.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12")
        rest_of(self.connection)
        with self.server.lock:
            self.server.left[self.path] += 1
        self.close_connection = True

    def at_drip(self) -> None:
        """Send a byte now and then, so that only a deadline for the whole ends it."""
        self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        try:
            for _ in range(100):
                self.wfile.write(b"x")
                time.sleep(0.05)
        except OSError:
            pass

    def at_fault(self) -> None:
        ok = b"HTTP/1.1 200 OK\r\n"
        if self.rest[0] in ("header", "fields"):
            self.endless(ok)
            return
        self.raw(
            {
                "close": b"",
                "cuthead": ok + b"Content-Le",
                "cutbody": ok + b"Content-Length: 10\r\n\r\n12345",
                "cutchunk": ok + b"Transfer-Encoding: chunked\r\n\r\n5\r\n12",
                "nolastchunk": ok + b"Transfer-Encoding: chunked\r\n\r\n2\r\n12\r\n",
                "garbage": b"\x00\x01\x02 this is not HTTP\r\n\r\n",
                "badlength": ok + b"Content-Length: ten\r\n\r\n1234567890",
                "lengths": ok + b"Content-Length: 3\r\nContent-Length: 5\r\n\r\n12345",
                "negative": ok + b"Content-Length: -1\r\n\r\n",
                "badchunk": ok + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n12",
                "both": ok + b"Content-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
                "version": b"HTTP/7.3 200 OK\r\nContent-Length: 0\r\n\r\n",
                "number": b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
                "http09": b"<html>hello</html>",
            }[self.rest[0]]
        )

    def endless(self, start: bytes) -> None:
        more = b"X: y\r\n" * 1000 if self.rest[0] == "fields" else b"x" * 8000
        self.raw(start + (b"" if self.rest[0] == "fields" else b"X: "))
        try:
            for _ in range(5000):
                self.wfile.write(more)
        except OSError:
            pass

    # XML-RPC.

    def at_rpc2(self) -> None:
        params, method = xmlrpc.client.loads(self.body)
        if method == "fault":
            data = xmlrpc.client.dumps(xmlrpc.client.Fault(7, "seven"))
        else:
            data = xmlrpc.client.dumps((self.call(method or "", params),), methodresponse=True, allow_none=True)
        self.reply(200, data.encode(), "Content-Type: text/xml")

    def call(self, method: str, params: Any) -> Any:
        if method == "add":
            return params[0] + params[1]
        if method == "slow":
            time.sleep(params[0])
        if method == "getinfo":
            with self.server.lock:
                self.server.hits["getinfo"] += 1
            return {"port": self.server.port, "n": self.server.hits["getinfo"]}
        if method == "search":
            return [params[0], self.server.port]
        if method == "echo":
            return params[0]
        return [method, list(params)]

    def at_bombrpc(self) -> None:
        entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 9))
        text = f"""<?xml version="1.0"?><!DOCTYPE m [<!ENTITY e0 "haha">{entities}]>
            <methodResponse><params><param><value><string>&e8;</string></value></param></params></methodResponse>"""
        self.reply(200, text.encode(), "Content-Type: text/xml")

    def at_leave(self) -> None:
        """Answer the first request of a connection; close at the next without a word."""
        if getattr(self, "again", False):
            self.close_connection = True
            return
        self.again = True
        self.at_echo()

    def at_badrpc(self) -> None:
        self.reply(200, b"<methodResponse><params><param>", "Content-Type: text/xml")


def digest_is_right(said: str, method: str, algorithm: str) -> bool:
    """Tell whether ``said`` proves ann's password."""
    pairs = [part.strip().partition("=") for part in said[7:].split(",")]
    of = {name: value.strip('"') for name, _, value in pairs}

    def h(text: str) -> str:
        return hashlib.new("md5" if algorithm == "MD5" else "sha256", text.encode()).hexdigest()

    proof = ":".join([h("ann:r:secret"), "abc", of["nc"], of["cnonce"], "auth", h(f"{method}:{of['uri']}")])
    return of["username"] == "ann" and of["response"] == h(proof) and of.get("opaque") == "o"


@functools.cache
def bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(BIG >> 20)) + packer.flush()


class BackEnd(ThreadingHTTPServer):
    """A back end at a port; all of them count together."""

    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True
    hits: Counter[str] = Counter()
    left: Counter[str] = Counter()
    seen: set[tuple[str, int]] = set()
    lock = threading.Lock()
    context: ssl.SSLContext | None = None

    def __init__(self, port: int = 0, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.port: int = self.server_address[1]
        self.context = context
        self.open: set[socket.socket] = set()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.context is not None:
            request.settimeout(20)
            request = self.context.wrap_socket(request, server_side=True)
        self.open.add(request)
        try:
            super().finish_request(request, client_address)
        finally:
            self.open.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass

    def stop(self) -> None:
        """Stop listening and close what is open."""
        self.shutdown()
        self.server_close()
        for connection in list(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Silent:
    """Accepts connections and says nothing."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._held: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            self._held.append(self._socket.accept()[0])


def unused() -> int:
    """Return a port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Authority:
    """Signs certificates, in files of a directory."""

    def __init__(self, directory: str, name: str) -> None:
        self._directory, self._name = directory, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._build(self._subject, self._key.public_key(), (-1, 2), None)
        self.path = os.path.join(directory, name + ".pem")
        with open(self.path, "wb") as file:
            file.write(certificate.public_bytes(serialization.Encoding.PEM))

    def _build(self, subject: x509.Name, key: Any, days: tuple[int, int], host: str | None) -> x509.Certificate:
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder(self._subject, subject, key, x509.random_serial_number())
        builder = builder.not_valid_before(now + datetime.timedelta(days[0]))
        builder = builder.not_valid_after(now + datetime.timedelta(days[1]))
        builder = builder.add_extension(x509.BasicConstraints(host is None, None), True)
        if host is not None:
            names: list[x509.GeneralName] = [x509.DNSName(host)]
            if host == "localhost":
                names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        return builder.sign(self._key, hashes.SHA256())

    def context(self, host: str = "localhost", days: tuple[int, int] = (-1, 1)) -> ssl.SSLContext:
        """Return the context of a server for ``host``, valid for ``days`` from today."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        path = os.path.join(self._directory, f"{self._name}-{host}{days[1]}.pem")
        with open(path, "wb") as file:
            file.write(self._build(subject, key.public_key(), days, host).public_bytes(serialization.Encoding.PEM))
            plain = serialization.NoEncryption()
            form = serialization.PrivateFormat.PKCS8
            file.write(key.private_bytes(serialization.Encoding.PEM, form, plain))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


class World:
    """All back ends."""

    def __init__(self) -> None:
        self.directory = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, self.directory, True)
        known, own = Authority(self.directory, "known"), Authority(self.directory, "own")
        self.authority, self.own = known.path, own.path
        self.ends = {name: BackEnd() for name in "ABC"}
        self.ends["T"] = BackEnd(0, known.context())
        self.ends["EXPIRED"] = BackEnd(0, known.context(days=(-3, -1)))
        self.ends["WRONG"] = BackEnd(0, known.context("elsewhere.example"))
        self.ends["OWN"] = BackEnd(0, own.context())
        self.ports: dict[str, int] = {name: end.port for name, end in self.ends.items()}
        self.ports |= {"SILENT": Silent().port, "DEAD": unused(), "DEAD2": unused()}
        for name in ("R1", "R2", "R3", "R4", "R5"):
            self.ports[name] = unused()


@functools.cache
def world() -> World:
    """Return the back ends, started by the first who asks."""
    return World()
