"""The handler for static files, driven with a carrier that records."""

from __future__ import annotations

import errno
import gzip
import os
from email import message_from_bytes
from pathlib import Path
from typing import BinaryIO

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.settings import CompressionSettings
from skitai.web import files, static
from skitai.web.conditional import format_date
from skitai.web.events import Request, Response
from skitai.web.exchange import DONE, Exchange, Peers
from skitai.web.static import MaxAge, StaticHandler
from skitai.web.vhost import MountPoint

PEERS = Peers(("127.0.0.1", 40000), ("127.0.0.1", 5000), False, 1)
ROOT = MountPoint("/")
TEXT = b"".join(b"line %d of a text that is worth compressing\n" % number for number in range(100))
BINARY = bytes(range(256)) * 200


class Recorder:
    """A carrier that keeps what it is told to send, as the client would receive it."""

    def __init__(self) -> None:
        self.response: Response | None = None
        self.body = b""
        self.length = 0
        self.sent_file = False

    def send(self, exchange: Exchange, response: Response, body: bytes) -> None:
        self._done(exchange, response, body)

    def send_file(self, exchange: Exchange, response: Response, file: BinaryIO, offset: int, count: int) -> None:
        with file:
            file.seek(offset)
            self.sent_file = True
            self._done(exchange, response, file.read(count))
        assert self.length == count

    def _done(self, exchange: Exchange, response: Response, body: bytes) -> None:
        exchange.phase = DONE
        self.response = response
        self.length = len(body)
        self.body = b"" if exchange.request.method == "HEAD" else body

    def _unexpected(self, *arguments: object) -> None:
        raise AssertionError(arguments)

    send_head = send_data = send_end = send_interim = cut = _unexpected


class Answer:
    """What a client sees."""

    def __init__(self, recorder: Recorder) -> None:
        assert recorder.response is not None
        self.status = recorder.response.status
        self.pairs = recorder.response.headers
        self.fields = dict(self.pairs)
        self.body = recorder.body
        self.length = recorder.length
        self.sent_file = recorder.sent_file
        assert len(self.fields) == len(self.pairs), self.pairs

    def __getitem__(self, name: str) -> bytes | None:
        return self.fields.get(name.encode())


def exchange_for(target: str, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[Exchange, Recorder]:
    """Return an exchange for a request and its carrier."""
    pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    request = Request(method, target, "1.1", [(b"host", b"localhost"), *pairs])
    request.path, _, request.query = target.partition("?")
    recorder = Recorder()
    return Exchange(request, PEERS, 1, recorder, 0.0), recorder


class StaticTestCase(SynchronousTestCase):
    """A directory and its handler."""

    compression: CompressionSettings | None = CompressionSettings()
    max_age: dict[str, int] = {}

    def setUp(self) -> None:
        self.outside = Path(self.mktemp()).absolute()
        self.directory = self.outside / "public"
        self.directory.mkdir(parents=True)
        self.now = self.directory.stat().st_ctime + 1000
        self.handler = StaticHandler(
            str(self.directory), MaxAge(self.max_age), self.compression, wall_clock=lambda: self.now
        )

    def write(self, name: str, content: bytes, age: float = 0) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        modified = 1_700_000_000 - age
        os.utime(path, (modified, modified))
        return path

    def ask(self, target: str, method: str = "GET", mount: MountPoint = ROOT, **headers: str) -> Answer | None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        exchange, recorder = exchange_for(target, method, named)
        if not self.handler.handle(exchange, mount):
            self.assertIsNone(recorder.response)
            return None
        return Answer(recorder)

    def get(self, target: str, method: str = "GET", mount: MountPoint = ROOT, **headers: str) -> Answer:
        answer = self.ask(target, method, mount, **headers)
        assert answer is not None, target
        return answer

    def tag(self, target: str, **headers: str) -> str:
        return (self.get(target, **headers)["etag"] or b"").decode()


class WholeFileTests(StaticTestCase):
    """GET and HEAD"""

    def test_small_file(self) -> None:
        self.write("hello.txt", b"hello")
        answer = self.get("/hello.txt")
        self.assertEqual((answer.status, answer.body, answer.sent_file), (200, b"hello", False))
        self.assertEqual(answer["content-type"], b"text/plain; charset=utf-8")
        self.assertEqual(answer["last-modified"], format_date(1_700_000_000))
        self.assertEqual(answer["accept-ranges"], b"bytes")
        self.assertRegex(answer["etag"], rb'^"[^"]+"$')

    def test_large_file_is_sent_as_a_file(self) -> None:
        self.write("a.bin", BINARY)
        answer = self.get("/a.bin")
        self.assertEqual((answer.status, answer.body, answer.sent_file), (200, BINARY, True))

    def test_empty_file(self) -> None:
        self.write("empty.txt", b"")
        self.assertEqual((self.get("/empty.txt").status, self.get("/empty.txt").body), (200, b""))

    def test_again_from_memory(self) -> None:
        self.write("hello.txt", b"hello")
        first = self.get("/hello.txt")
        self.patch(files.os, "open", None)
        again = self.get("/hello.txt")
        self.assertEqual((again.body, again.pairs), (first.body, first.pairs))

    def test_head_is_get_without_the_body(self) -> None:
        self.write("hello.txt", TEXT)
        self.write("a.bin", BINARY)
        for target in ("/hello.txt", "/a.bin"):
            for accepted in ("", "gzip"):
                get = self.get(target, accept_encoding=accepted)
                head = self.get(target, "HEAD", accept_encoding=accepted)
                self.assertEqual((head.status, head.pairs, head.length), (get.status, get.pairs, get.length))
                self.assertEqual(head.body, b"")

    def test_the_carriers_fields_are_left_to_it(self) -> None:
        self.write("hello.txt", b"hello")
        for name in ("content-length", "date", "server", "connection", "transfer-encoding"):
            self.assertIsNone(self.get("/hello.txt")[name])

    def test_query_does_not_matter(self) -> None:
        self.write("app.js", b"x")
        self.assertEqual(self.get("/app.js?v=2").body, b"x")

    def test_names_with_blanks_and_other_scripts(self) -> None:
        self.write("größe 1%.txt", b"x")
        self.assertEqual(self.get("/gr%C3%B6%C3%9Fe%201%25.txt").body, b"x")

    def test_changed_file(self) -> None:
        for content in (b"one", b"two", BINARY, BINARY[::-1], b"three"):
            self.write("a.txt", content)
            self.assertEqual(self.get("/a.txt").body, content)

    def test_below_a_mount_point(self) -> None:
        self.write("a.txt", b"x")
        self.assertEqual(self.get("/pp/a.txt", mount=MountPoint("/pp")).body, b"x")
        self.assertIsNone(self.ask("/a.txt", mount=MountPoint("/pp")))

    def test_file_replaced_while_it_is_opened(self) -> None:
        path = self.write("a.bin", BINARY)
        original = files.FileStore.open
        opened: list[int] = []

        def replace_first(store: files.FileStore, representation: files.Representation) -> BinaryIO | None:
            opened.append(1)
            if len(opened) == 1:
                path.write_bytes(BINARY[::-1])
            return original(store, representation)

        self.patch(files.FileStore, "open", replace_first)
        answer = self.get("/a.bin")
        self.assertEqual((answer.status, answer.body, len(opened)), (200, BINARY[::-1], 2))

    def test_file_replaced_again_and_again(self) -> None:
        self.write("a.bin", BINARY)
        self.patch(files.FileStore, "open", lambda store, representation: None)
        self.assertEqual(self.get("/a.bin").status, 503)

    def test_out_of_descriptors(self) -> None:
        self.write("a.bin", BINARY)

        def refuse(path: str, flags: int) -> int:
            raise OSError(errno.EMFILE, "Too many open files", path)

        self.patch(files.os, "open", refuse)
        answer = self.get("/a.bin")
        self.assertEqual((answer.status, answer["retry-after"]), (503, b"1"))


class FallThroughTests(StaticTestCase):
    """What is left to others"""

    def test_absent_file(self) -> None:
        self.assertIsNone(self.ask("/absent.txt"))
        self.assertIsNone(self.ask("/absent/a.txt"))

    def test_file_with_a_slash(self) -> None:
        self.write("a.txt", b"x")
        self.assertIsNone(self.ask("/a.txt/"))
        self.assertIsNone(self.ask("/a.txt/b"))

    def test_other_methods(self) -> None:
        self.write("a.txt", b"x")
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "PROPFIND"):
            self.assertIsNone(self.ask("/a.txt", method), method)

    def test_allowed_tells_whether_there_is_a_file(self) -> None:
        self.write("a.txt", b"x")
        self.write("sub/index.html", b"x")
        for target, expected in (
            ("/a.txt", True),
            ("/sub/", True),
            ("/sub", False),
            ("/absent", False),
            ("/", False),
            ("/../public/a.txt", False),
        ):
            exchange, _ = exchange_for(target, "POST")
            self.assertIs(self.handler.allowed(exchange, ROOT), expected, target)

    def test_asterisk(self) -> None:
        self.assertIsNone(self.ask("*"))

    def test_neighbour_without_its_file(self) -> None:
        self.write("a.css.gz", b"x")
        self.assertIsNone(self.ask("/a.css", accept_encoding="gzip"))


class DirectoryTests(StaticTestCase):
    """Index files and directories"""

    def test_index_html_then_index_htm(self) -> None:
        self.write("sub/index.htm", b"htm")
        self.assertEqual(self.get("/sub/").body, b"htm")
        self.write("sub/index.html", b"html")
        self.assertEqual(self.get("/sub/").body, b"html")
        (self.directory / "sub/index.html").unlink()
        self.assertEqual(self.get("/sub/").body, b"htm")

    def test_index_of_the_root(self) -> None:
        self.write("index.html", b"root")
        self.assertEqual(self.get("/").body, b"root")
        self.assertEqual(self.get("/")["content-type"], b"text/html; charset=utf-8")

    def test_index_has_everything_a_file_has(self) -> None:
        self.write("index.html", TEXT)
        self.assertEqual(self.get("/", if_none_match=self.tag("/")).status, 304)
        self.assertEqual(self.get("/", range="bytes=0-3").body, TEXT[:4])
        self.assertEqual(self.get("/", accept_encoding="gzip")["content-encoding"], b"gzip")

    def test_directory_without_slash_is_redirected(self) -> None:
        self.write("sub/index.html", b"x")
        for method in ("GET", "HEAD"):
            answer = self.get("/sub?a=1&b=%20", method)
            self.assertEqual((answer.status, answer["location"]), (301, b"/sub/?a=1&b=%20"))
        self.assertEqual(self.get("/pp/sub", mount=MountPoint("/pp"))["location"], b"/pp/sub/")

    def test_redirect_is_encoded(self) -> None:
        self.write("a b\r\nX-Injected: 1é/index.html", b"x")
        answer = self.get("/a%20b%0d%0aX-Injected:%201%C3%A9")
        self.assertEqual(answer["location"], b"/a%20b%0D%0AX-Injected:%201%C3%A9/")

    def test_redirect_never_leaves_the_site(self) -> None:
        self.write("example.com/index.html", b"x")
        for target in ("//example.com", "/%2fexample.com", "/\\example.com", "/%5cexample.com", "///example.com"):
            self.assertIsNone(self.ask(target), target)

    def test_no_listing(self) -> None:
        self.write("sub/a.txt", b"x")
        self.assertIsNone(self.ask("/sub/"))
        self.assertIsNone(self.ask("/"))

    def test_directory_with_nothing_to_show_is_not_redirected(self) -> None:
        self.write("sub/a.txt", b"x")
        self.assertIsNone(self.ask("/sub"))

    def test_directory_called_index_html(self) -> None:
        self.write("sub/index.html/a.txt", b"x")
        self.write("sub/index.htm", b"htm")
        self.assertEqual(self.get("/sub/").body, b"htm")


class NoWayOutTests(StaticTestCase):
    """No request gets what lies outside of the directory"""

    names = ["a.txt", "secret.txt", "public", "sub", "link", "up", "index.html", "etc/passwd"]
    dots = ["..", ".", "%2e%2e", "%2E.", ".%2e", "%252e%252e", "%c0%ae%c0%ae", "...", "..;"]
    slashes = ["/", "//", "%2f", "%2F", "\\", "%5c", "%5C", "/./", "%00", "\0", "%252f", "%u2215", "%e2%88%95"]

    def setUp(self) -> None:
        super().setUp()
        self.write("a.txt", b"fine")
        self.write("sub/a.txt", b"fine")
        self.write("sub/index.html", b"fine")
        (self.outside / "secret.txt").write_bytes(b"SECRET")
        (self.outside / "a.txt").write_bytes(b"SECRET")
        (self.outside / "index.html").write_bytes(b"SECRET")
        (self.directory / "link").symlink_to(self.outside / "secret.txt")
        (self.directory / "up").symlink_to("..")

    def test_known_tricks(self) -> None:
        for target in (
            "/../secret.txt",
            "/sub/../../secret.txt",
            "/%2e%2e/secret.txt",
            "/..%2fsecret.txt",
            "/%2e%2e%2fsecret.txt",
            "/..%5csecret.txt",
            "/..\\secret.txt",
            "/a.txt%00",
            "/..%00/secret.txt",
            "/link",
            "/up/secret.txt",
            "/up/",
            "/up",
            "//secret.txt",
            f"/{self.outside}/secret.txt",
            "/%2fetc/passwd",
            "//etc/passwd",
            "/sub/..",
            "/..",
        ):
            self.assertIsNone(self.ask(target), target)

    @given(st.lists(st.sampled_from(names + dots + slashes), max_size=9).map("".join))
    def test_combinations(self, path: str) -> None:
        for target in (path, "/" + path, "/sub/" + path):
            answer = self.ask(target)
            self.assertTrue(answer is None or answer.status == 301 or answer.body == b"fine", target)
            if answer is not None and answer.status == 301:
                self.assertRegex(answer["location"], rb"^/[^/\\]")

    def test_neighbour_that_leads_out(self) -> None:
        self.write("style.css", TEXT)
        (self.directory / "style.css.gz").symlink_to(self.outside / "secret.txt")
        answer = self.get("/style.css", accept_encoding="gzip")
        self.assertEqual(gzip.decompress(answer.body), TEXT)


class ConditionalTests(StaticTestCase):
    """304 and 412"""

    max_age = {"/": 60}

    def setUp(self) -> None:
        super().setUp()
        self.write("a.txt", TEXT)
        self.write("a.bin", BINARY)
        self.date = format_date(1_700_000_000).decode()

    def test_not_modified(self) -> None:
        for target in ("/a.txt", "/a.bin"):
            for method in ("GET", "HEAD"):
                for fields in (
                    {"if_none_match": self.tag(target)},
                    {"if_none_match": "W/" + self.tag(target)},
                    {"if_none_match": '"x", ' + self.tag(target)},
                    {"if_none_match": "*"},
                    {"if_modified_since": self.date},
                ):
                    answer = self.get(target, method, **fields)
                    self.assertEqual((answer.status, answer.body, answer.sent_file), (304, b"", False), fields)

    def test_fields_of_not_modified(self) -> None:
        whole = self.get("/a.txt")
        answer = self.get("/a.txt", if_none_match=self.tag("/a.txt"))
        self.assertEqual(set(answer.fields), {b"etag", b"last-modified", b"cache-control", b"expires", b"vary"})
        for name in answer.fields:
            self.assertEqual(answer.fields[name], whole.fields[name])

    def test_modified(self) -> None:
        self.assertEqual(self.get("/a.txt", if_none_match='"x"').status, 200)
        self.assertEqual(self.get("/a.txt", if_modified_since="Sun, 06 Nov 1994 08:49:37 GMT").status, 200)
        self.assertEqual(self.get("/a.txt", if_none_match='"x"', if_modified_since=self.date).status, 200)

    def test_precondition_failed(self) -> None:
        for fields in ({"if_match": '"x"'}, {"if_unmodified_since": "Sun, 06 Nov 1994 08:49:37 GMT"}):
            answer = self.get("/a.bin", **fields)
            self.assertEqual((answer.status, answer.sent_file), (412, False))
        self.assertEqual(self.get("/a.txt", if_match=self.tag("/a.txt")).status, 200)

    def test_new_content_is_a_new_tag(self) -> None:
        old = self.tag("/a.txt")
        self.write("a.txt", TEXT[::-1])
        answer = self.get("/a.txt", if_none_match=old)
        self.assertEqual((answer.status, answer.body), (200, TEXT[::-1]))

    def test_goes_before_the_range(self) -> None:
        self.assertEqual(self.get("/a.txt", if_none_match=self.tag("/a.txt"), range="bytes=0-1").status, 304)
        self.assertEqual(self.get("/a.txt", if_match='"x"', range="bytes=999999-").status, 412)


class RangeTests(StaticTestCase):
    """206 and 416"""

    def setUp(self) -> None:
        super().setUp()
        self.content = {"/a.txt": TEXT, "/a.bin": BINARY}
        for name, content in self.content.items():
            self.write(name[1:], content)

    def test_one_range(self) -> None:
        for target, content in self.content.items():
            size = len(content)
            for value, first, end in (
                ("0-0", 0, 1),
                ("10-19", 10, 20),
                (f"{size - 5}-", size - 5, size),
                ("-7", size - 7, size),
                ("100-999999999", 100, size),
                ("0-", 0, size),
                ("0-9, 5-14", 0, 15),
                ("1-2, 99999999-", 1, 3),
            ):
                answer = self.get(target, range=f"bytes={value}")
                self.assertEqual((answer.status, answer.body), (206, content[first:end]), value)
                self.assertEqual(answer["content-range"], b"bytes %d-%d/%d" % (first, end - 1, size))
                self.assertEqual(answer["etag"], self.get(target)["etag"])

    def test_fields_of_a_part(self) -> None:
        whole, part = self.get("/a.bin"), self.get("/a.bin", range="bytes=0-1")
        self.assertEqual(part.fields, {**whole.fields, b"content-range": b"bytes 0-1/51200"})

    def test_several_ranges(self) -> None:
        for target, content in self.content.items():
            answer = self.get(target, range="bytes=10-19, 0-4 ,-3")
            self.assertEqual((answer.status, answer["content-range"]), (206, None))
            head = b"Content-Type: " + (answer["content-type"] or b"") + b"\r\n\r\n"
            message = message_from_bytes(head + answer.body)
            self.assertEqual(message.get_content_type(), "multipart/byteranges")
            parts = message.get_payload()
            assert isinstance(parts, list)
            size = len(content)
            expected = [content[10:20], content[0:5], content[-3:]]
            self.assertEqual([part.get_payload(decode=True) for part in parts], expected)
            self.assertEqual(
                [part["Content-Range"] for part in parts],
                [f"bytes 10-19/{size}", f"bytes 0-4/{size}", f"bytes {size - 3}-{size - 1}/{size}"],
            )
            self.assertEqual({part["Content-Type"].encode() for part in parts}, {self.get(target)["content-type"]})

    def test_boundaries_differ(self) -> None:
        types = {self.get("/a.txt", range="bytes=0-0,2-2")["content-type"] for _ in range(3)}
        self.assertEqual(len(types), 3)

    def test_many_bytes_in_several_ranges_are_not_held_in_memory(self) -> None:
        self.write("large.bin", BINARY * 20)
        answer = self.get("/large.bin", range="bytes=0-499999,600000-999999")
        self.assertTrue(answer.sent_file)
        self.assertEqual(answer.length, len(answer.body))
        self.assertIn((BINARY * 20)[:500000], answer.body)
        self.assertIn((BINARY * 20)[600000:1000000], answer.body)

    def test_not_satisfiable(self) -> None:
        for target, content in self.content.items():
            answer = self.get(target, range=f"bytes={len(content)}-")
            self.assertEqual((answer.status, answer["content-range"]), (416, b"bytes */%d" % len(content)))
            self.assertFalse(answer.sent_file)

    def test_ignored_ranges(self) -> None:
        for value in ("items=0-1", "bytes=x", "bytes=5-2", "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 200, 2))):
            answer = self.get("/a.bin", range=value)
            self.assertEqual((answer.status, answer.body), (200, BINARY), value)

    def test_no_amplification(self) -> None:
        answer = self.get("/a.bin", range="bytes=" + ",".join(["0-"] * 30))
        self.assertEqual((answer.status, len(answer.body)), (206, len(BINARY)))
        for count in range(2, 60):
            answer = self.get("/a.txt", range="bytes=" + ",".join(f"{n * 2}-{n * 2}" for n in range(count)))
            self.assertLess(len(answer.body), len(TEXT) + 32 * 200)

    def test_head_has_no_ranges(self) -> None:
        # RFC 9110 section 14.2: Range is defined for GET only.
        answer = self.get("/a.bin", "HEAD", range="bytes=0-1")
        self.assertEqual((answer.status, answer.length, answer["content-range"]), (200, len(BINARY), None))

    def test_if_range(self) -> None:
        date = format_date(1_700_000_000).decode()
        later = format_date(1_700_000_001).decode()
        for target in self.content:
            tag = self.tag(target)
            for value, status in ((tag, 206), ("W/" + tag, 200), ('"x"', 200), (date, 206), (later, 200)):
                self.assertEqual(self.get(target, range="bytes=0-1", if_range=value).status, status, value)

    def test_if_range_of_a_file_that_changed(self) -> None:
        tag = self.tag("/a.bin")
        self.write("a.bin", BINARY[::-1], age=5)
        answer = self.get("/a.bin", range="bytes=0-1", if_range=tag)
        self.assertEqual((answer.status, answer.body), (200, BINARY[::-1]))

    def test_if_range_that_fails_hides_416(self) -> None:
        self.assertEqual(self.get("/a.bin", range="bytes=999999-", if_range='"x"').status, 200)

    def test_if_range_without_range(self) -> None:
        self.assertEqual(self.get("/a.bin", if_range=self.tag("/a.bin")).status, 200)

    def test_empty_file(self) -> None:
        self.write("empty.txt", b"")
        self.assertEqual(self.get("/empty.txt", range="bytes=0-0").status, 416)
        self.assertEqual(self.get("/empty.txt", range="bytes=-1").status, 200)

    @given(st.integers(0, 5000), st.integers(0, 5000))
    def test_any_range(self, first: int, more: int) -> None:
        answer = self.get("/a.txt", range=f"bytes={first}-{first + more}")
        if first >= len(TEXT):
            self.assertEqual(answer.status, 416)
        else:
            self.assertEqual((answer.status, answer.body), (206, TEXT[first : first + more + 1]))


class NeighbourTests(StaticTestCase):
    """Files that were compressed beforehand"""

    def setUp(self) -> None:
        super().setUp()
        self.write("style.css", TEXT)
        self.packed = {"gzip": gzip.compress(TEXT), "br": b"as if by brotli"}
        self.write("style.css.gz", self.packed["gzip"])
        self.write("style.css.br", self.packed["br"])

    def test_chosen_by_the_client(self) -> None:
        for accepted, coding in (
            ("gzip", "gzip"),
            ("br", "br"),
            ("gzip, deflate, br, zstd", "br"),
            ("gzip, br;q=0.5, identity;q=0.1", "gzip"),
            ("gzip;q=0, br", "br"),
        ):
            answer = self.get("/style.css", accept_encoding=accepted)
            self.assertEqual((answer.status, answer.body), (200, self.packed[coding]), accepted)
            self.assertEqual(answer["content-encoding"], coding.encode())
            self.assertEqual(answer["content-type"], b"text/css; charset=utf-8")
            self.assertEqual(answer["vary"], b"Accept-Encoding")

    def test_plain_for_who_wants_it(self) -> None:
        for accepted in ("", "identity", "deflate", "gzip;q=0, br;q=0", "*;q=0"):
            answer = self.get("/style.css", accept_encoding=accepted)
            self.assertEqual((answer.body, answer["content-encoding"]), (TEXT, None), accepted)
            self.assertEqual(answer["vary"], b"Accept-Encoding")

    def test_vary_without_accept_encoding(self) -> None:
        self.write("logo.png", b"png")
        self.assertIsNone(self.get("/logo.png")["vary"])
        self.write("photo.png", b"png")
        self.write("photo.png.gz", b"packed")
        self.assertEqual(self.get("/photo.png")["vary"], b"Accept-Encoding")
        # One that turns up later is noticed with the first client that could have it.
        self.write("logo.png.gz", b"packed")
        self.assertEqual(self.get("/logo.png", accept_encoding="gzip").body, b"packed")
        self.assertEqual(self.get("/logo.png")["vary"], b"Accept-Encoding")

    def test_tags_differ_and_each_is_its_own_condition(self) -> None:
        tags = {coding: self.tag("/style.css", accept_encoding=coding) for coding in ("gzip", "br", "")}
        self.assertEqual(len(set(tags.values())), 3)
        for coding in tags:
            for other, tag in tags.items():
                status = self.get("/style.css", accept_encoding=coding, if_none_match=tag).status
                self.assertEqual(status, 304 if coding == other else 200, (coding, other))

    def test_older_neighbour_is_not_used(self) -> None:
        self.write("style.css", TEXT, age=-10)
        answer = self.get("/style.css", accept_encoding="br")
        self.assertEqual((answer.body, answer["content-encoding"]), (TEXT, None))

    def test_of_two_the_one_that_is_not_older(self) -> None:
        self.write("style.css", TEXT, age=-10)
        self.write("style.css.gz", b"new", age=-11)
        self.assertEqual(self.get("/style.css", accept_encoding="br, gzip").body, b"new")

    def test_fractions_of_a_second_do_not_count(self) -> None:
        os.utime(self.directory / "style.css", (1_700_000_000.9, 1_700_000_000.9))
        self.assertEqual(self.get("/style.css", accept_encoding="br").body, self.packed["br"])

    def test_neighbour_that_comes_changes_and_goes(self) -> None:
        self.write("app.json", b"{}")
        self.assertEqual(self.get("/app.json", accept_encoding="gzip").body, b"{}")
        for content in (b"first", b"second"):
            self.write("app.json.gz", content)
            self.assertEqual(self.get("/app.json", accept_encoding="gzip").body, content)
        (self.directory / "app.json.gz").unlink()
        self.assertEqual(self.get("/app.json", accept_encoding="gzip").body, b"{}")

    def test_large_neighbour_is_sent_as_a_file(self) -> None:
        self.write("data.csv", TEXT * 100)
        self.write("data.csv.gz", BINARY)
        answer = self.get("/data.csv", accept_encoding="gzip")
        self.assertEqual((answer.sent_file, answer.body, answer["content-encoding"]), (True, BINARY, b"gzip"))

    def test_neighbour_of_the_index(self) -> None:
        self.write("index.html", b"plain")
        self.write("index.html.br", b"packed")
        self.assertEqual(self.get("/", accept_encoding="br").body, b"packed")

    def test_asked_for_by_its_own_name(self) -> None:
        answer = self.get("/style.css.gz", accept_encoding="gzip")
        self.assertEqual((answer["content-type"], answer["content-encoding"]), (b"application/gzip", None))

    def test_range_is_of_the_plain_file(self) -> None:
        answer = self.get("/style.css", accept_encoding="gzip, br", range="bytes=0-3")
        self.assertEqual((answer.status, answer.body, answer["content-encoding"]), (206, TEXT[:4], None))
        self.assertEqual(answer["content-range"], b"bytes 0-3/%d" % len(TEXT))

    def test_range_of_the_form_that_is_named(self) -> None:
        tag = self.tag("/style.css", accept_encoding="gzip")
        for field in ("if_range", "if_match"):
            answer = self.get("/style.css", accept_encoding="gzip", range="bytes=2-5", **{field: tag})
            self.assertEqual((answer.status, answer.body), (206, self.packed["gzip"][2:6]), field)
            self.assertEqual(answer["content-encoding"], b"gzip")
            self.assertEqual(answer["content-range"], b"bytes 2-5/%d" % len(self.packed["gzip"]))


class CompressionTests(StaticTestCase):
    """Files that are compressed here"""

    def setUp(self) -> None:
        super().setUp()
        self.write("a.txt", TEXT)

    def test_text(self) -> None:
        answer = self.get("/a.txt", accept_encoding="gzip, deflate")
        self.assertEqual((answer.status, answer["content-encoding"]), (200, b"gzip"))
        self.assertEqual(gzip.decompress(answer.body), TEXT)
        self.assertLess(len(answer.body), len(TEXT))
        self.assertEqual(answer["vary"], b"Accept-Encoding")

    def test_plain_says_that_it_varies(self) -> None:
        answer = self.get("/a.txt")
        self.assertEqual((answer.body, answer["vary"], answer["content-encoding"]), (TEXT, b"Accept-Encoding", None))

    def test_file_larger_than_what_is_kept_in_memory(self) -> None:
        self.write("large.txt", TEXT * 20)
        answer = self.get("/large.txt", accept_encoding="gzip")
        self.assertEqual(gzip.decompress(answer.body), TEXT * 20)
        self.assertEqual(self.get("/large.txt").body, TEXT * 20)

    def test_not_worth_it(self) -> None:
        self.write("small.txt", b"x" * 1023)
        self.write("a.bin", TEXT)
        self.write("a.png", TEXT)
        self.write("huge.txt", b"x" * (static.MAX_COMPRESSED_SIZE + 1))
        for target in ("/small.txt", "/a.bin", "/a.png", "/huge.txt"):
            answer = self.get(target, accept_encoding="gzip")
            self.assertEqual((answer["content-encoding"], answer["vary"]), (None, None), target)

    def test_from_the_smallest_size_on(self) -> None:
        self.write("small.txt", b"x" * 1024)
        self.assertEqual(self.get("/small.txt", accept_encoding="gzip")["content-encoding"], b"gzip")

    def test_done_once(self) -> None:
        calls: list[int] = []
        compress = static.compress

        def counted(body: bytes, level: int) -> bytes:
            calls.append(level)
            return compress(body, level)

        self.patch(static, "compress", counted)
        first = self.get("/a.txt", accept_encoding="gzip")
        again = self.get("/a.txt", accept_encoding="gzip")
        self.assertEqual((calls, first.body, first.pairs), ([6], again.body, again.pairs))
        self.write("a.txt", TEXT[::-1])
        self.assertEqual(gzip.decompress(self.get("/a.txt", accept_encoding="gzip").body), TEXT[::-1])
        self.assertEqual(len(calls), 2)

    def test_what_does_not_shrink_is_tried_once(self) -> None:
        calls: list[int] = []

        def useless(body: bytes, level: int) -> bytes:
            calls.append(level)
            return body

        self.patch(static, "compress", useless)
        for _ in range(3):
            answer = self.get("/a.txt", accept_encoding="gzip")
            self.assertEqual((answer.body, answer["content-encoding"]), (TEXT, None))
        self.assertEqual(len(calls), 1)

    def test_same_bytes_in_every_process(self) -> None:
        first = self.get("/a.txt", accept_encoding="gzip")
        self.setUp()
        self.now += 5000
        again = self.get("/a.txt", accept_encoding="gzip")
        self.assertEqual((first.body, first["etag"]), (again.body, again["etag"]))

    def test_tag_of_its_own(self) -> None:
        plain, packed = self.tag("/a.txt"), self.tag("/a.txt", accept_encoding="gzip")
        self.assertEqual(packed, plain[:-1] + '-gzip"')
        self.assertEqual(self.get("/a.txt", accept_encoding="gzip", if_none_match=packed).status, 304)
        self.assertEqual(self.get("/a.txt", accept_encoding="gzip", if_none_match=plain).status, 200)
        self.assertEqual(self.get("/a.txt", if_none_match=packed).status, 200)

    def test_range_is_of_the_plain_file(self) -> None:
        answer = self.get("/a.txt", accept_encoding="gzip", range="bytes=0-3", if_range=self.tag("/a.txt"))
        self.assertEqual((answer.status, answer.body, answer["content-encoding"]), (206, TEXT[:4], None))

    def test_range_of_the_gzip_that_is_named(self) -> None:
        whole = self.get("/a.txt", accept_encoding="gzip").body
        tag = self.tag("/a.txt", accept_encoding="gzip")
        answer = self.get("/a.txt", accept_encoding="gzip", range="bytes=5-", if_range=tag)
        self.assertEqual((answer.status, answer.body, answer["content-encoding"]), (206, whole[5:], b"gzip"))
        # Who no longer accepts gzip gets the plain file, whole.
        self.assertEqual(self.get("/a.txt", range="bytes=5-", if_range=tag).status, 200)

    def test_neighbour_goes_first(self) -> None:
        self.write("a.txt.gz", b"packed beforehand")
        self.assertEqual(self.get("/a.txt", accept_encoding="gzip").body, b"packed beforehand")

    def test_brotli_is_not_made_here(self) -> None:
        self.assertIsNone(self.get("/a.txt", accept_encoding="br")["content-encoding"])
        self.assertEqual(self.get("/a.txt", accept_encoding="br, gzip")["content-encoding"], b"gzip")


class NoCompressionTests(StaticTestCase):
    """Compression switched off"""

    compression = CompressionSettings(enabled=False)

    def test_only_neighbours(self) -> None:
        self.write("a.txt", TEXT)
        answer = self.get("/a.txt", accept_encoding="gzip")
        self.assertEqual((answer.body, answer["content-encoding"], answer["vary"]), (TEXT, None, None))
        self.write("a.txt.gz", b"packed")
        self.assertEqual(self.get("/a.txt", accept_encoding="gzip").body, b"packed")


class MaxAgeTests(SynchronousTestCase):
    """``MaxAge``"""

    def test_longest_prefix(self) -> None:
        ages = MaxAge({"/": 300, "/js": 0, "/images": 3600, "/images/icons/": 60})
        for path, seconds in (
            ("/", 300),
            ("/a.html", 300),
            ("/js/a.js", 0),
            ("/js", 0),
            ("/images/a.png", 3600),
            ("/images/icons/a.png", 60),
            ("/images/icons", 60),
            ("/other/images/a.png", 300),
        ):
            self.assertEqual(ages.of(path), seconds, path)

    def test_prefixes_are_of_whole_segments(self) -> None:
        self.assertEqual(MaxAge({"/js": 60}).of("/jsx/a.js"), 0)

    def test_file_of_its_own(self) -> None:
        self.assertEqual(MaxAge({"/": 5, "/favicon.ico": 900}).of("/favicon.ico"), 900)

    def test_nothing_set(self) -> None:
        self.assertEqual(MaxAge().of("/a"), 0)
        self.assertEqual(MaxAge({"/js": 60}).of("/a"), 0)


class CachingFieldsTests(StaticTestCase):
    """Cache-Control and Expires"""

    max_age = {"/": 300, "/js": 0, "/pp/images": 3600, "/größe": 7}

    def test_by_url_path(self) -> None:
        for name in ("a.html", "js/a.js", "images/a.png", "größe/a.txt"):
            self.write(name, b"x")
        for target, point, seconds in (
            ("/a.html", "", 300),
            ("/images/a.png", "", 300),
            ("/pp/images/a.png", "/pp", 3600),
            ("/pp/js/a.js", "/pp", 300),
            ("/gr%C3%B6%C3%9Fe/a.txt", "", 7),
        ):
            answer = self.get(target, mount=MountPoint(point))
            self.assertEqual(answer["cache-control"], b"max-age=%d" % seconds, target)
            self.assertEqual(answer["expires"], format_date(self.now + seconds))

    def test_zero_says_nothing(self) -> None:
        self.write("js/a.js", b"x")
        answer = self.get("/js/a.js")
        self.assertEqual((answer["cache-control"], answer["expires"]), (None, None))

    def test_expires_moves_with_the_time(self) -> None:
        self.write("a.html", b"x")
        for _ in range(3):
            self.now += 0.7
            self.assertEqual(self.get("/a.html")["expires"], format_date(int(self.now) + 300))

    def test_every_form_has_them(self) -> None:
        self.write("a.txt", TEXT)
        self.write("b.txt", b"x")
        self.write("b.txt.gz", b"y")
        for answer in (
            self.get("/a.txt", accept_encoding="gzip"),
            self.get("/b.txt", accept_encoding="gzip"),
            self.get("/a.txt", range="bytes=0-1"),
            self.get("/a.txt", range="bytes=0-1,4-5"),
            self.get("/a.txt", if_none_match="*"),
        ):
            self.assertEqual(answer["cache-control"], b"max-age=300")

    def test_redirects_and_errors_have_not(self) -> None:
        self.write("sub/index.html", b"x")
        for answer in (
            self.get("/sub"),
            self.get("/sub/", if_match='"x"'),
            self.get("/sub/", range="bytes=9-"),
        ):
            self.assertNotEqual(answer["cache-control"], b"max-age=300")
            self.assertIsNone(answer["expires"])
