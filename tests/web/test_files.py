"""The files of a directory: safe paths, representations, what is kept in memory."""

from __future__ import annotations

import errno
import gc
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.web import files
from skitai.web.conditional import format_date
from skitai.web.files import SMALL_FILE_SIZE, FileStore, Missing, Representation, relative_path
from tests.openfiles import open_files

PIECES = [
    "/",
    ".",
    "..",
    "%2e",
    "%2E%2e",
    "%2f",
    "%2F",
    "\\",
    "%5c",
    "%00",
    "%",
    "%25",
    "a",
    "b.txt",
    "%c0%ae",
    "//",
    "é",
    "%",
]


class RelativePathTests(SynchronousTestCase):
    """``relative_path``"""

    def test_below_the_mount_point(self) -> None:
        self.assertEqual(relative_path("/a/b.txt", ""), "/a/b.txt")
        self.assertEqual(relative_path("/", ""), "/")
        self.assertEqual(relative_path("/pp/a.txt", "/pp"), "/a.txt")
        self.assertEqual(relative_path("/pp/", "/pp"), "/")

    def test_not_below_the_mount_point(self) -> None:
        for path in ("/pp", "/ppx/a", "/q/a", "/", "", "*"):
            self.assertIsNone(relative_path(path, "/pp"), path)
        self.assertIsNone(relative_path("", ""))
        self.assertIsNone(relative_path("*", ""))

    def test_is_decoded_once(self) -> None:
        self.assertEqual(relative_path("/a%20b%c3%a9", ""), "/a bé")
        self.assertEqual(relative_path("/%252e%252e/a", ""), "/%2e%2e/a")
        self.assertEqual(relative_path("/%70p/%61", "/pp"), "/a")
        self.assertEqual(relative_path("/%c3%a9/a", "/é"), "/a")

    def test_dots_that_are_part_of_a_name(self) -> None:
        for path in ("/a..b", "/..a", "/...", "/.well-known/x", "/a./b"):
            self.assertEqual(relative_path(path, ""), path)

    def test_unsafe(self) -> None:
        for path in (
            "/..",
            "/../a",
            "/a/../b",
            "/a/..",
            "/.",
            "/./a",
            "/a/.",
            "/%2e%2e/a",
            "/%2E./a",
            "/.%2e/a",
            "/a%2f..%2fb",
            "/a%2Fb",
            "/..%2fa",
            "/a\\b",
            "/..\\a",
            "/%5c..%5ca",
            "/a%00.txt",
            "/\0",
            "//",
            "//a",
            "/a//b",
            "/a//",
        ):
            self.assertIsNone(relative_path(path, ""), path)

    @given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join) | st.text(max_size=20))
    def test_never_leads_upwards(self, path: str) -> None:
        for candidate in (path, "/" + path, "/pp/" + path):
            relative = relative_path(candidate, "/pp" if candidate.startswith("/pp") else "")
            if relative is not None:
                self.assertEqual(os.path.normpath("/d" + relative), ("/d" + relative).rstrip("/"))
                self.assertNotIn("\0", relative)


class StoreTestCase(SynchronousTestCase):
    """A directory and its store."""

    def setUp(self) -> None:
        self.outside = Path(self.mktemp()).absolute()
        self.directory = self.outside / "public"
        self.directory.mkdir(parents=True)
        self.now = 0.0
        self.store = self.make()

    def make(self, capacity: int = files.CACHE_SIZE) -> FileStore:
        def complete(built: Representation) -> None:
            built.max_age = 60 if built.name == "/aged.txt" else 0

        return FileStore(str(self.directory), lambda: self.now, complete, capacity)

    def write(self, name: str, content: bytes, settled: bool = True) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.now = path.stat().st_ctime + (100 if settled else 0)
        return path

    def get(self, name: str, coding: bytes = b"") -> Representation:
        found = self.store.find(name, coding)
        assert isinstance(found, Representation), (name, found)
        return found


class FileStoreTests(StoreTestCase):
    """``FileStore``"""

    def test_small_file_is_in_memory(self) -> None:
        self.write("a.txt", b"hello")
        found = self.get("/a.txt")
        self.assertEqual((found.content, found.size), (b"hello", 5))

    def test_larger_file_is_not(self) -> None:
        self.write("a.bin", b"x" * SMALL_FILE_SIZE)
        self.write("b.bin", b"x" * (SMALL_FILE_SIZE + 1))
        self.assertEqual(self.get("/a.bin").content, b"x" * SMALL_FILE_SIZE)
        self.assertIsNone(self.get("/b.bin").content)
        self.assertEqual(self.get("/b.bin").size, SMALL_FILE_SIZE + 1)

    def test_missing(self) -> None:
        self.write("a.txt", b"")
        for name in ("/b.txt", "/a.txt/", "/a.txt/b", "/" + "x" * 5000, "/\udcff"):
            self.assertIs(self.store.find(name), Missing.FILE, name)

    def test_directory(self) -> None:
        self.write("sub/a.txt", b"")
        self.assertIs(self.store.find("/sub"), Missing.DIRECTORY)

    def test_special_files_are_missing(self) -> None:
        os.mkfifo(self.directory / "fifo")
        self.assertIs(self.store.find("/fifo"), Missing.FILE)

    def test_kept_while_nothing_changes(self) -> None:
        self.write("a.txt", b"hello")
        self.assertIs(self.get("/a.txt"), self.get("/a.txt"))

    def test_file_that_has_just_changed_is_read_again(self) -> None:
        path = self.write("a.txt", b"hello", settled=False)
        # As when the clock of the file system has not moved on between two changes.
        self.patch(files, "identity_of", lambda status: (status.st_ino, 0, 0, status.st_size, 0))
        first = self.get("/a.txt")
        path.write_bytes(b"world")
        second = self.get("/a.txt")
        self.assertEqual(second.content, b"world")
        self.assertNotEqual(first.etag, second.etag)

    def test_changed_content(self) -> None:
        path = self.write("a.txt", b"hello")
        old = self.get("/a.txt")
        status = path.stat()
        path.write_bytes(b"world")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        self.assertEqual(self.get("/a.txt").content, b"world")
        self.assertNotEqual(self.get("/a.txt").etag, old.etag)

    def test_replaced_file(self) -> None:
        self.write("a.txt", b"hello")
        self.get("/a.txt")
        os.replace(self.write("new", b"other"), self.directory / "a.txt")
        self.assertEqual(self.get("/a.txt").content, b"other")

    def test_removed_file(self) -> None:
        path = self.write("a.txt", b"hello")
        self.get("/a.txt")
        path.unlink()
        self.assertIs(self.store.find("/a.txt"), Missing.FILE)

    def test_link_inside_the_directory(self) -> None:
        self.write("real/a.txt", b"hello")
        (self.directory / "link").symlink_to("real")
        self.assertEqual(self.get("/link/a.txt").content, b"hello")

    def test_link_out_of_the_directory(self) -> None:
        (self.outside / "secret.txt").write_bytes(b"secret")
        sibling = self.outside / "public-not"
        sibling.mkdir()
        (sibling / "a.txt").write_bytes(b"secret")
        (self.directory / "file.txt").symlink_to(self.outside / "secret.txt")
        (self.directory / "up").symlink_to("..")
        (self.directory / "sibling").symlink_to(sibling)
        for name in ("/file.txt", "/up/secret.txt", "/sibling/a.txt"):
            self.assertIs(self.store.find(name), Missing.FILE, name)
        # A way out and back in ends inside, where everything may be served.
        self.write("a.txt", b"hello")
        self.assertEqual(self.get("/up/public/a.txt").content, b"hello")

    def test_file_that_becomes_a_link_out(self) -> None:
        path = self.write("a.txt", b"hello")
        self.get("/a.txt")
        path.unlink()
        (self.outside / "secret.txt").write_bytes(b"secret")
        path.symlink_to(self.outside / "secret.txt")
        self.assertIs(self.store.find("/a.txt"), Missing.FILE)

    def test_link_to_nowhere_and_to_itself(self) -> None:
        (self.directory / "nowhere").symlink_to("absent")
        (self.directory / "itself").symlink_to("itself")
        self.assertIs(self.store.find("/nowhere"), Missing.FILE)
        self.assertIs(self.store.find("/itself"), Missing.FILE)

    def test_directory_that_is_a_link_may_be_switched(self) -> None:
        for release in ("one", "two"):
            (self.outside / release).mkdir()
            (self.outside / release / "a.txt").write_bytes(release.encode())
        current = self.outside / "current"
        current.symlink_to("one")
        self.store = FileStore(str(current), lambda: self.now, lambda built: None)
        self.assertEqual(self.get("/a.txt").content, b"one")
        current.unlink()
        current.symlink_to("two")
        self.assertEqual(self.get("/a.txt").content, b"two")

    def test_neighbour(self) -> None:
        self.write("a.css", b"plain")
        self.write("a.css.gz", b"packed")
        plain, packed = self.get("/a.css"), self.get("/a.css", b"gzip")
        self.assertEqual((packed.content, packed.coding, packed.content_type), (b"packed", b"gzip", plain.content_type))
        self.assertNotEqual(plain.etag, packed.etag)
        self.assertTrue(plain.varies and packed.varies)
        self.assertIs(self.store.find("/a.css", b"br"), Missing.FILE)
        self.assertEqual(self.get("/a.css.gz").coding, b"")

    def test_tags_of_equal_neighbours_differ(self) -> None:
        for name in ("a.css", "a.css.gz", "a.css.br"):
            self.write(name, b"same")
        self.assertEqual(len({self.get("/a.css", coding).etag for coding in (b"", b"gzip", b"br")}), 3)

    def test_tags_are_strong(self) -> None:
        self.write("a.css", b"x" * 20000)
        self.write("a.css.gz", b"x")
        for coding in (b"", b"gzip"):
            self.assertRegex(self.get("/a.css", coding).etag, rb'^"[0-9a-f-]+[a-z]*"$')

    def test_memory_is_bounded(self) -> None:
        self.store = self.make(capacity=40 * 1024)
        for number in range(20):
            self.write(f"{number}.txt", b"x" * 9000)
        for number in range(20):
            self.get(f"/{number}.txt")
            self.get("/0.txt")
        kept = self.store._kept
        self.assertEqual(len(kept), 4)
        self.assertIn(("/0.txt", b""), kept)
        self.assertLessEqual(sum(len(one.content or b"") for one in kept.values()), 40 * 1024)
        self.assertEqual(self.store._weight, 4 * (9000 + 1024))

    def test_replacing_keeps_the_books(self) -> None:
        for number in range(5):
            self.write("a.txt", b"x" * number)
            self.get("/a.txt")
        self.assertEqual(self.store._weight, 1024 + 4)

    def test_open(self) -> None:
        path = self.write("a.bin", b"x" * 20000)
        found = self.get("/a.bin")
        file = self.store.open(found)
        assert file is not None
        with file:
            self.assertEqual(file.read(), b"x" * 20000)
        path.write_bytes(b"y" * 20000)
        self.assertIsNone(self.store.open(found))
        path.unlink()
        self.assertIsNone(self.store.open(found))

    def test_open_does_not_follow_a_new_link(self) -> None:
        path = self.write("a.bin", b"x" * 20000)
        found = self.get("/a.bin")
        os.rename(path, self.outside / "moved.bin")
        path.symlink_to(self.outside / "moved.bin")
        self.patch(files, "identity_of", lambda _: found.identity)
        self.assertIsNone(self.store.open(found))

    def test_scarcity_is_not_absence(self) -> None:
        self.write("a.txt", b"hello")

        def refuse(path: str, flags: int) -> int:
            raise OSError(errno.EMFILE, "Too many open files", path)

        self.patch(files.os, "open", refuse)
        error = self.assertRaises(OSError, self.store.find, "/a.txt")
        self.assertEqual(error.errno, errno.EMFILE)

    def test_unreadable_is_missing(self) -> None:
        self.write("a.txt", b"hello")

        def refuse(path: str, flags: int) -> int:
            raise PermissionError(errno.EACCES, "Permission denied", path)

        self.patch(files.os, "open", refuse)
        self.assertIs(self.store.find("/a.txt"), Missing.FILE)

    def test_no_descriptor_is_leaked(self) -> None:
        self.write("a.bin", b"x" * 20000)
        os.mkfifo(self.directory / "fifo")
        gc.collect()  # what other tests have left open is not closed in between
        before = open_files(str(self.directory))
        found = self.get("/a.bin")
        self.store.find("/fifo")
        self.write("a.bin", b"y" * 20000)
        self.store.open(found)
        self.assertEqual(open_files(str(self.directory)), before)


class RepresentationTests(StoreTestCase):
    """The header fields of a ``Representation``"""

    def test_fields(self) -> None:
        path = self.write("a.txt", b"hello")
        found = self.get("/a.txt")
        self.assertEqual(
            dict(found.fields(self.now)),
            {
                b"etag": found.etag,
                b"last-modified": format_date(path.stat().st_mtime),
                b"accept-ranges": b"bytes",
                b"content-type": b"text/plain; charset=utf-8",
            },
        )

    def test_fields_are_the_callers_own(self) -> None:
        self.write("a.txt", b"hello")
        found = self.get("/a.txt")
        found.fields(self.now).append((b"x", b"y"))
        self.assertNotIn((b"x", b"y"), found.fields(self.now))

    def test_max_age(self) -> None:
        self.write("aged.txt", b"hello")
        found = self.get("/aged.txt")
        for now in (self.now, self.now + 1.5):
            fields = dict(found.fields(now))
            self.assertEqual(fields[b"cache-control"], b"max-age=60")
            self.assertEqual(fields[b"expires"], format_date(int(now) + 60))

    def test_date_in_the_future_becomes_the_present(self) -> None:
        path = self.write("a.txt", b"hello")
        os.utime(path, (self.now + 5000, self.now + 5000))
        self.assertEqual(dict(self.get("/a.txt").fields(self.now))[b"last-modified"], format_date(self.now))

    def test_fields_of_a_304(self) -> None:
        self.write("aged.txt", b"hello")
        self.write("aged.txt.gz", b"packed")
        found = self.get("/aged.txt")
        self.assertEqual(
            [name for name, _ in found.validator_fields(self.now)],
            [b"etag", b"last-modified", b"cache-control", b"expires", b"vary"],
        )

    def test_other_forms_may_turn_up_later(self) -> None:
        self.write("a.txt", b"hello")
        found = self.get("/a.txt")
        self.assertNotIn((b"vary", b"Accept-Encoding"), found.fields(self.now))
        found.vary()
        self.assertIn((b"vary", b"Accept-Encoding"), found.fields(self.now))

    def test_derived(self) -> None:
        self.write("aged.txt", b"hello")
        found = self.get("/aged.txt")
        derived = found.derive(b"gzip", b"packed")
        self.assertEqual(derived.etag, found.etag[:-1] + b'-gzip"')
        self.assertEqual(derived.etag, found.derived_tag(b"gzip"))
        fields = dict(derived.fields(self.now))
        self.assertEqual(fields[b"content-encoding"], b"gzip")
        self.assertEqual(fields[b"vary"], b"Accept-Encoding")
        self.assertEqual(fields[b"content-type"], b"text/plain; charset=utf-8")
        self.assertEqual(fields[b"cache-control"], b"max-age=60")
        self.assertEqual((derived.size, derived.content), (6, b"packed"))
