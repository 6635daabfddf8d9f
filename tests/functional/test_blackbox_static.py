"""Static files as a client sees them."""

from __future__ import annotations

import email.utils
import gzip
import os
import re
import sys
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.blackbox import Reply, Shared
from tests.functional.process import until

APPLICATION = """\
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [("app " + environ["SCRIPT_NAME"] + " " + environ["PATH_INFO"]).encode()]

if __name__ == "__main__":
    import os
    import skitai
    if not os.path.lexists("static/out.txt"):
        os.symlink("/etc/passwd", "static/out.txt")
        os.symlink("/etc", "static/etc")
        os.symlink("a.txt", "static/in.txt")
    skitai.mount("/", "static")
    skitai.mount("/both", "static")
    skitai.mount("/both", app)
    skitai.mount("/js", "js")
    skitai.set_max_age("/", 300)
    skitai.set_max_age("/js", 0)
    skitai.set_max_age("/images", 3600)
    skitai.run()
"""

LETTERS = b"abcdefghijklmnopqrstuvwxyz"
PAGE = b"<p>" + b"page " * 1000
FILES: dict[str, str | bytes] = {
    "app.py": APPLICATION,
    "secret.txt": "secret",
    "static2/secret.txt": "secret",
    "static/a.txt": LETTERS,
    "static/empty.txt": b"",
    "static/images/a.png": b"png",
    "static/images/deep/b.jpeg": b"jpeg",
    "static/imagesx.txt": b"no image",
    "static/dir/index.html": b"index of dir",
    "static/htm/index.htm": b"index.htm",
    "static/two/index.html": b"html first",
    "static/two/index.htm": b"htm second",
    "static/bare/file": b"no index here",
    "static/page.html": PAGE,
    "static/page.html.gz": gzip.compress(PAGE),
    "static/page.html.br": b"brotli bytes",
    "static/only.css": b"p { }" * 1000,
    "static/only.css.gz": gzip.compress(b"p { }" * 1000),
    "static/with space.txt": b"space",
    "static/\xe9t\xe9.txt": b"summer",
    "static/100%.txt": b"percent",
    "static/large.bin": bytes(range(256)) * 12_000,
    "static/.hidden": b"hidden",
    "js/a.js": b"alert(1)",
    **{f"static/types/x.{suffix}": b"x" for suffix in ("html", "htm", "css", "js", "mjs", "json", "svg", "png", "jpg")},
    **{f"static/types/x.{suffix}": b"x" for suffix in ("gif", "webp", "ico", "pdf", "xml", "txt", "woff2", "wasm")},
    **{f"static/types/x.{suffix}": b"x" for suffix in ("mp4", "unknownsuffix", "tar.gz", "JPG", "md", "csv", "zip")},
    "static/types/nosuffix": b"x",
}

site = Shared(FILES)
get = site.ask


class FileTests(SynchronousTestCase):
    """What is there, and how it is described."""

    def test_a_file(self) -> None:
        reply = get("/a.txt")
        self.assertEqual((reply.status, reply.body), (200, LETTERS))
        self.assertEqual(reply.get("content-length"), "26")
        self.assertTrue(reply.get("content-type").startswith("text/plain"))
        self.assertEqual(reply.get("accept-ranges"), "bytes")
        self.assertRegex(reply.get("etag"), r'^"[^"]+"$')
        modified = email.utils.parsedate_to_datetime(reply.get("last-modified")).timestamp()
        self.assertEqual(modified, int(os.stat(os.path.join(site.directory, "static", "a.txt")).st_mtime))
        self.assertTrue(reply.get("last-modified").endswith(" GMT"))

    def test_head(self) -> None:
        for path in ("/a.txt", "/page.html", "/empty.txt", "/large.bin", "/missing.txt"):
            with site.connect() as wire:
                # Error pages name the transaction, whose number may grow by a digit.
                whole, head = wire.ask(path, "X-Gtxn-Id: same"), wire.ask(path, "X-Gtxn-Id: same", method="HEAD")
                self.assertEqual(whole.status, head.status)
                for name in ("content-length", "etag", "content-type", "last-modified", "cache-control", "vary"):
                    self.assertEqual(head.get(name), whole.get(name), (path, name))

    def test_bodies(self) -> None:
        with site.connect() as wire:
            self.assertEqual(wire.ask("/empty.txt").get("content-length"), "0")
            self.assertEqual(wire.ask("/large.bin").body, FILES["static/large.bin"])
            self.assertEqual(wire.ask("/with%20space.txt").body, b"space")
            self.assertEqual(wire.ask("/%C3%A9t%c3%a9.txt").body, b"summer")
            self.assertEqual(wire.ask("/100%25.txt").body, b"percent")
            self.assertEqual(wire.ask("/%61.txt?query=1").body, LETTERS)
            self.assertEqual(wire.ask("/in.txt").body, LETTERS)

    def test_media_types(self) -> None:
        for suffix, kind in {
            "html": "text/html", "htm": "text/html", "css": "text/css", "js": "text/javascript",
            "mjs": "text/javascript", "json": "application/json", "svg": "image/svg+xml", "png": "image/png",
            "jpg": "image/jpeg", "JPG": "image/jpeg", "gif": "image/gif", "webp": "image/webp",
            "pdf": "application/pdf",
            "txt": "text/plain", "woff2": "font/woff2", "wasm": "application/wasm", "mp4": "video/mp4",
            "unknownsuffix": "application/octet-stream", "csv": "text/csv", "zip": "application/zip",
        }.items():  # fmt: skip
            reply = get(f"/types/x.{suffix}")
            self.assertEqual((reply.status, reply.get("content-type").split(";")[0]), (200, kind), suffix)
        self.assertEqual(get("/types/nosuffix").get("content-type"), "application/octet-stream")
        self.assertIn(get("/types/x.xml").get("content-type").split(";")[0], ("text/xml", "application/xml"))
        self.assertIn("icon", get("/types/x.ico").get("content-type"))
        archive = get("/types/x.tar.gz")
        self.assertEqual(archive.get("content-encoding"), "")
        self.assertIn("gzip", archive.get("content-type"))

    def test_indexes(self) -> None:
        self.assertEqual(get("/dir/").body, b"index of dir")
        self.assertTrue(get("/dir/").get("content-type").startswith("text/html"))
        self.assertEqual(get("/htm/").body, b"index.htm")
        self.assertEqual(get("/two/").body, b"html first")

    def test_a_directory_without_slash_is_301(self) -> None:
        reply = get("/dir?a=b")
        self.assertEqual(reply.status, 301)
        self.assertRegex(reply.get("location"), r"^(http://localhost(:\d+)?)?/dir/\?a=b$")
        self.assertEqual(get("/types").status, 404)

    def test_no_listing(self) -> None:
        reply = get("/bare/")
        self.assertEqual(reply.status, 404)
        self.assertNotIn("file", re.sub(r"<style>.*?</style>", "", reply.text, flags=re.S).replace("profile", ""))

    def test_not_there(self) -> None:
        for path in ("/missing", "/a.txt/", "/a.txt/x", "/dir/missing", "/", "/dirx/", "/A.TXT"):
            reply = get(path)
            self.assertEqual(reply.status, 404, path)
            self.assertIn("404", reply.text)
            self.assertRegex(reply.text, r"GTID-[0-9a-f]{6}-C\d+-R\d+")

    def test_other_methods_are_405(self) -> None:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            reply = get("/a.txt", method=method)
            self.assertEqual(reply.status, 405, method)
            self.assertLessEqual({"GET", "HEAD"}, {name.strip() for name in reply.get("allow").split(",")})

    def test_a_file_that_changes(self) -> None:
        path = os.path.join(site.directory, "static", "changing.txt") if site.server else ""
        with open(path, "w") as file:
            file.write("one")
        first = get("/changing.txt")
        self.assertEqual(first.body, b"one")
        with open(path, "w") as file:
            file.write("two")
        os.utime(path, (time.time() + 10, time.time() + 10))
        second = get("/changing.txt", f"If-None-Match: {first.get('etag')}")
        self.assertEqual((second.status, second.body), (200, b"two"))
        self.assertNotEqual(first.get("etag"), second.get("etag"))
        os.unlink(path)
        self.assertEqual(get("/changing.txt").status, 404)


class EscapeTests(SynchronousTestCase):
    """No way out of the directory."""

    def test_no_way_out(self) -> None:
        for path in (
            "/../secret.txt", "/%2e%2e/secret.txt", "/%2e%2e%2fsecret.txt", "/..%2fsecret.txt", "/dir/../../secret.txt",
            "/dir/%2e%2e/%2e%2e/secret.txt", "/..\\secret.txt", "/..%5csecret.txt", "/%2e%2e%5csecret.txt",
            "/a.txt%00", "/%00", "/a.txt%00.html", "/out.txt", "/etc/passwd", "/etc/", "//etc/passwd", "/%2fetc/passwd",
            "/./../secret.txt", "/.../secret.txt", "/%252e%252e/secret.txt", "/../static2/secret.txt",
            "/..;/secret.txt", "/%c0%ae%c0%ae/secret.txt", "/%ff%fe", "/../app.py", "/js/../../app.py",
            "/js/%2e%2e/app.py",
            "/js/../../js/../secret.txt", "/file:///etc/passwd", "/dir\\index.html", "/dir%5cindex.html",
            "/~root", "/%e0%80%af",
        ):  # fmt: skip
            with site.connect() as wire:
                reply = wire.ask(path)
                self.assertIn(reply.status, (400, 403, 404), path)
                self.assertNotIn(b"root:", reply.body, path)
                self.assertNotIn(b"import skitai", reply.body, path)

    def test_paths_as_long_as_can_be(self) -> None:
        for path in ("/" + "a" * 300, "/" + "a/" * 3000, "/" + "../" * 3000 + "etc/passwd", "/" + "%2e%2e/" * 2000):
            self.assertIn(get(path).status, (400, 404), path[:20])


class AgeTests(SynchronousTestCase):
    """``set_max_age``."""

    def test_the_longest_path_gives_the_age(self) -> None:
        for path, age in (
            ("/a.txt", 300), ("/images/a.png", 3600), ("/images/deep/b.jpeg", 3600), ("/imagesx.txt", 300),
            ("/dir/", 300), ("/both/a.txt", 300),
        ):  # fmt: skip
            reply = get(path)
            self.assertEqual(reply.get("cache-control"), f"max-age={age}", path)
            expires = email.utils.parsedate_to_datetime(reply.get("expires"))
            date = email.utils.parsedate_to_datetime(reply.get("date"))
            self.assertAlmostEqual((expires - date).total_seconds(), age, delta=2)

    def test_zero_means_none(self) -> None:
        reply = get("/js/a.js")
        self.assertEqual((reply.status, reply.get("expires")), (200, ""))
        self.assertNotRegex(reply.get("cache-control"), "max-age=[1-9]")

    def test_304_has_the_age_too(self) -> None:
        tag = get("/a.txt").get("etag")
        self.assertEqual(get("/a.txt", f"If-None-Match: {tag}").get("cache-control"), "max-age=300")

    def test_errors_have_none(self) -> None:
        self.assertNotIn("max-age=300", get("/missing.txt").get("cache-control"))


class ConditionTests(SynchronousTestCase):
    """Conditional requests."""

    def test_if_none_match(self) -> None:
        tag = get("/a.txt").get("etag")
        for value in (tag, f"W/{tag}", f'"other", {tag}', f'W/"other",{tag}', "*"):
            for method in ("GET", "HEAD"):
                reply = get("/a.txt", f"If-None-Match: {value}", method=method)
                self.assertEqual((reply.status, reply.body, reply.get("etag")), (304, b"", tag), value)
                self.assertNotIn("content-length: 26", str(reply.fields).lower())
        for value in ('"other"', tag.strip('"'), f'"x{tag[1:]}'):
            self.assertEqual(get("/a.txt", f"If-None-Match: {value}").status, 200, value)

    def test_if_modified_since(self) -> None:
        reply = get("/a.txt")
        modified = email.utils.parsedate_to_datetime(reply.get("last-modified"))
        later = email.utils.formatdate(modified.timestamp() + 10, usegmt=True)
        before = email.utils.formatdate(modified.timestamp() - 10, usegmt=True)
        for value, status in (
            (reply.get("last-modified"), 304), (later, 304), (before, 200), ("nonsense", 200), ("", 200),
            (modified.strftime("%A, %d-%b-%y %H:%M:%S GMT"), 304), (modified.strftime("%a %b %e %H:%M:%S %Y"), 304),
        ):  # fmt: skip
            self.assertEqual(get("/a.txt", f"If-Modified-Since: {value}").status, status, value)
        both = get("/a.txt", 'If-None-Match: "other"', f"If-Modified-Since: {later}")
        self.assertEqual(both.status, 200)  # If-None-Match decides alone (RFC 9110 13.1.3)

    def test_if_match_and_if_unmodified_since(self) -> None:
        reply = get("/a.txt")
        tag, modified = reply.get("etag"), email.utils.parsedate_to_datetime(reply.get("last-modified"))
        before = email.utils.formatdate(modified.timestamp() - 10, usegmt=True)
        self.assertEqual(get("/a.txt", f"If-Match: {tag}").status, 200)
        self.assertEqual(get("/a.txt", "If-Match: *").status, 200)
        self.assertEqual(get("/a.txt", 'If-Match: "other"').status, 412)
        self.assertEqual(get("/a.txt", f"If-Match: W/{tag}").status, 412)
        self.assertEqual(get("/a.txt", f"If-Unmodified-Since: {before}").status, 412)
        self.assertEqual(get("/a.txt", f"If-Unmodified-Since: {reply.get('last-modified')}").status, 200)

    def test_connection_stays_after_304(self) -> None:
        with site.connect() as wire:
            tag = wire.ask("/a.txt").get("etag")
            for _ in range(3):
                self.assertEqual(wire.ask("/a.txt", f"If-None-Match: {tag}").status, 304)
            self.assertEqual(wire.ask("/a.txt").body, LETTERS)


class RangeTests(SynchronousTestCase):
    """Parts of files."""

    def test_one_range(self) -> None:
        for value, body, span in (
            ("bytes=0-0", b"a", "0-0"), ("bytes=0-4", b"abcde", "0-4"), ("bytes=20-", b"uvwxyz", "20-25"),
            ("bytes=-3", b"xyz", "23-25"), ("bytes=20-1000", b"uvwxyz", "20-25"), ("bytes=-1000", LETTERS, "0-25"),
            ("bytes=25-25", b"z", "25-25"), ("Bytes=1-2", b"bc", "1-2"),
        ):  # fmt: skip
            reply = get("/a.txt", f"Range: {value}")
            self.assertEqual((reply.status, reply.body), (206, body), value)
            self.assertEqual(reply.get("content-range"), f"bytes {span}/26")
            self.assertEqual(reply.get("content-length"), str(len(body)))
            self.assertTrue(reply.get("etag"))

    def test_unsatisfiable_is_416(self) -> None:
        for value in ("bytes=26-", "bytes=100-200", "bytes=-0"):
            reply = get("/a.txt", f"Range: {value}")
            self.assertEqual((reply.status, reply.get("content-range")), (416, "bytes */26"), value)
        self.assertEqual(get("/empty.txt", "Range: bytes=0-").status, 416)

    def test_nonsense_is_ignored(self) -> None:
        for value in ("bytes=5-2", "bytes=a-b", "bytes", "lines=1-2", "bytes=--1", "bytes=1", "bytes=", "bytes=0-1-2"):
            reply = get("/a.txt", f"Range: {value}")
            # RFC 9110 14.2 allows to refuse a malformed range as well.
            self.assertIn((reply.status, len(reply.body) == 26), ((200, True), (416, False)), value)

    def test_several_ranges(self) -> None:
        reply = get("/a.txt", "Range: bytes=0-1,5-6,-2")
        self.assertEqual(reply.status, 206)
        found = re.fullmatch(r'multipart/byteranges; *boundary="?([^"]+)"?', reply.get("content-type"))
        assert found is not None, reply.fields
        parts = reply.body.split(b"--" + found[1].encode())
        self.assertEqual(parts[-1].strip(), b"--")
        pieces = [part.strip(b"\r\n").partition(b"\r\n\r\n") for part in parts[1:-1]]
        self.assertEqual([body for _, _, body in pieces], [b"ab", b"fg", b"yz"])
        for (head, _, _), span in zip(pieces, ("0-1", "5-6", "24-25"), strict=True):
            self.assertIn(f"content-range: bytes {span}/26", head.decode().lower())
            self.assertIn("content-type: text/plain", head.decode().lower())
        self.assertEqual(reply.get("content-length"), str(len(reply.body)))
        self.assertEqual(reply.get("content-range"), "")

    def test_several_of_which_one_can_be_had(self) -> None:
        reply = get("/a.txt", "Range: bytes=0-1,100-200")
        self.assertEqual(reply.status, 206)
        self.assertIn(b"ab", reply.body)

    def test_many_and_overlapping_ranges_cost_no_more_than_the_file(self) -> None:
        reply = get("/large.bin", "Range: bytes=" + ",".join(["0-"] * 500))
        self.assertIn(reply.status, (200, 206, 416))
        self.assertLess(len(reply.body), 2 * 3_072_000)

    def test_if_range(self) -> None:
        reply = get("/a.txt")
        tag, modified = reply.get("etag"), reply.get("last-modified")
        for value, status in (
            (tag, 206), ('"other"', 200), (f"W/{tag}", 200), ("Mon, 01 Jan 2001 00:00:00 GMT", 200), ("nonsense", 200)
        ):  # fmt: skip
            self.assertEqual(get("/a.txt", "Range: bytes=0-1", f"If-Range: {value}").status, status, value)
        # A date is a strong validator only when it is old enough (RFC 9110 8.8.2.2).
        self.assertIn(get("/a.txt", "Range: bytes=0-1", f"If-Range: {modified}").status, (200, 206))
        os.utime(os.path.join(site.directory, "static", "imagesx.txt"), (1e9, 1e9))
        modified = get("/imagesx.txt").get("last-modified")
        self.assertEqual(get("/imagesx.txt", "Range: bytes=0-1", f"If-Range: {modified}").status, 206)

    def test_conditions_come_first(self) -> None:
        tag = get("/a.txt").get("etag")
        self.assertEqual(get("/a.txt", "Range: bytes=0-1", f"If-None-Match: {tag}").status, 304)
        self.assertEqual(get("/a.txt", "Range: bytes=0-1", 'If-Match: "other"').status, 412)

    def test_ranges_of_a_large_file(self) -> None:
        data = FILES["static/large.bin"]
        assert isinstance(data, bytes)
        with site.connect() as wire:
            for first, last in ((0, 0), (1_000_000, 2_000_000), (3_000_000, 3_071_999), (65_535, 131_073)):
                reply = wire.ask("/large.bin", f"Range: bytes={first}-{last}")
                self.assertEqual((reply.status, reply.body), (206, data[first : last + 1]))

    def test_head_with_a_range(self) -> None:
        self.assertIn(get("/a.txt", "Range: bytes=0-1", method="HEAD").status, (200, 206))


class NeighbourTests(SynchronousTestCase):
    """Precompressed neighbours."""

    def test_gz_and_br(self) -> None:
        plain = get("/page.html")
        gz = get("/page.html", "Accept-Encoding: gzip")
        br = get("/page.html", "Accept-Encoding: br")
        self.assertEqual((plain.body, plain.get("content-encoding")), (PAGE, ""))
        self.assertEqual((gzip.decompress(gz.body), gz.get("content-encoding")), (PAGE, "gzip"))
        self.assertEqual((br.body, br.get("content-encoding")), (b"brotli bytes", "br"))
        self.assertEqual(len({reply.get("etag") for reply in (plain, gz, br)}), 3)
        for reply in (plain, gz, br):
            self.assertIn("accept-encoding", reply.get("vary").lower())
            self.assertTrue(reply.get("content-type").startswith("text/html"))
            self.assertEqual(reply.get("content-length"), str(len(reply.body)))

    def test_negotiation(self) -> None:
        def coding(value: str, path: str = "/page.html") -> str:
            reply: Reply = get(path, f"Accept-Encoding: {value}")
            return reply.get("content-encoding")

        for value, allowed in {
            "gzip, br": ("br", "gzip"), "gzip;q=0": ("",), "gzip;q=0, br;q=0": ("",), "identity": ("",),
            "br;q=0.1, gzip;q=0.9": ("gzip",), "gzip;q=0.1, br;q=0.9": ("br",), "*": ("br", "gzip", ""),
            "deflate": ("",), "": ("",), "GZIP": ("gzip",), "x-gzip": ("gzip", ""), "gzip ; q=1.0": ("gzip",),
            "*;q=0": ("",), "br;q=0, *": ("gzip", ""), "identity;q=1, gzip;q=0.5": ("", "gzip"),
        }.items():  # fmt: skip
            self.assertIn(coding(value), allowed, value)
        self.assertEqual(coding("br", "/only.css"), "")
        self.assertEqual(coding("br, gzip", "/only.css"), "gzip")

    def test_conditions_and_ranges_are_of_the_neighbour(self) -> None:
        gz = get("/page.html", "Accept-Encoding: gzip")
        again = get("/page.html", "Accept-Encoding: gzip", f"If-None-Match: {gz.get('etag')}")
        self.assertEqual((again.status, again.get("etag")), (304, gz.get("etag")))
        self.assertIn("accept-encoding", again.get("vary").lower())
        part = get("/page.html", "Accept-Encoding: gzip", "Range: bytes=0-3", f"If-Range: {gz.get('etag')}")
        self.assertEqual((part.status, part.body), (206, gz.body[:4]))
        self.assertEqual(get("/page.html", "Range: bytes=0-3", f"If-Range: {gz.get('etag')}").status, 200)

    def test_a_file_without_neighbour_is_compressed_or_not_but_never_wrong(self) -> None:
        reply = get("/a.txt", "Accept-Encoding: gzip")
        self.assertEqual((reply.get("content-encoding"), reply.body), ("", LETTERS))


class OtherTests(SynchronousTestCase):
    """Fall-through, and answers when files are many."""

    def test_falls_through_to_the_application(self) -> None:
        self.assertEqual(get("/both/a.txt").body, LETTERS)
        self.assertEqual(get("/both/missing.txt").text, "app /both /missing.txt")
        self.assertEqual(get("/both/").text, "app /both /")
        self.assertEqual(get("/both/bare/").text, "app /both /bare/")
        self.assertEqual(get("/both/", method="POST").text, "app /both /")

    def test_pipelined(self) -> None:
        names = ["a.txt", "large.bin", "empty.txt", "missing", "page.html"] * 4
        with site.raw("".join(f"GET /{name} HTTP/1.1\r\nHost: a\r\n\r\n" for name in names)) as wire:
            for name in names:
                reply = wire.receive()
                if name == "missing":
                    self.assertEqual(reply.status, 404)
                else:
                    self.assertEqual(reply.body, FILES[f"static/{name}"])

    def test_no_file_stays_open(self) -> None:
        if not sys.platform.startswith("linux"):
            return
        descriptors = f"/proc/{site.server.process.pid}/fd"

        def count() -> int:
            names = []
            for name in os.listdir(descriptors):
                try:
                    names.append(os.readlink(f"{descriptors}/{name}"))
                except FileNotFoundError:
                    pass
            return sum("/static/" in name for name in names)

        with site.connect() as wire:
            for _ in range(20):
                wire.ask("/a.txt")
                wire.ask("/large.bin", "Range: bytes=0-1")
        for _ in range(10):
            with site.connect(buffer=4096) as wire:
                wire.request("/large.bin")
                wire.silent(0.01)
        until(lambda: count() <= 64, "closed files")
        self.assertEqual(get("/a.txt").status, 200)
