"""Uploaded files: safe names of anything, saving with and without a file of that name, and what stays behind."""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.saddle import upload as upload_module
from skitai.saddle.upload import MAX_NAME_SIZE, Upload, safe_name


class SafeNameTests(SynchronousTestCase):
    """``safe_name``"""

    def expect(self, name: str, expected: str) -> None:
        self.assertEqual(safe_name(name), expected, ascii(name))

    def test_ordinary_names_stay(self) -> None:
        for name in ("report.pdf", "report (1) final-2_b.tar.gz", "보고서 ü.txt", "no extension", "a.b", "x", "it's"):
            self.expect(name, name)

    def test_no_part_of_a_path(self) -> None:
        for name in (
            "/etc/x.txt",
            "../../x.txt",
            "a/b/../x.txt",
            "..\\..\\x.txt",
            "C:\\dir\\x.txt",
            "C:x.txt",
            "\\\\server\\share\\x.txt",
            "a\\b/x.txt",
            "/a/b\\x.txt",
            "c:/x.txt",
        ):
            self.expect(name, "x.txt")

    def test_nothing_left(self) -> None:
        for name in (
            "",
            ".",
            "..",
            "...",
            "/",
            "\\",
            "a/",
            "a\\",
            "../",
            "..\\..",
            "C:",
            "C:\\",
            " ",
            ". .",
            "\0",
            "\u202e",
        ):
            self.expect(name, "file")

    def test_dots_and_blanks_around(self) -> None:
        self.expect(".htaccess", "htaccess")
        self.expect("... x.txt", "x.txt")
        self.expect("C:.profile", "profile")
        self.expect("x.txt. . ", "x.txt")
        self.expect("\u3000x\u00a0", "x")

    def test_control_characters(self) -> None:
        self.expect("a\0b\r\n\x7f\x85.txt", "ab.txt")
        self.expect("x.txt\0.png", "x.txt.png")
        self.expect(".\0./\n..\t/..", "file")
        self.expect("\udc80a", "a")

    def test_text_shown_in_another_order(self) -> None:
        self.expect("invoice\u202egpj.exe", "invoicegpj.exe")

    def test_characters_that_windows_reserves(self) -> None:
        self.expect('a<b>c"d|e?f*g.txt', "a_b_c_d_e_f_g.txt")
        self.expect("index.php::$DATA", "index.php__$DATA")

    def test_device_names_of_windows(self) -> None:
        for name in ("con", "NUL.txt", "nul .txt", "Com1.tar.gz", "LPT9", "com\u00b9", "CONIN$", "aux.", "C:\\prn"):
            self.assertTrue(safe_name(name).startswith("_"), name)
        for name in ("console", "nul-1", "com10", "lpt", "a.con", "auxiliary"):
            self.expect(name, name)

    def test_long_names(self) -> None:
        self.expect("a" * 300 + ".pdf", "a" * 251 + ".pdf")
        self.expect("a" * 300, "a" * 255)
        self.expect("\ud55c" * 200 + ".hwp", "\ud55c" * 83 + ".hwp")
        self.expect("a." + "b" * 300, "a." + "b" * 31)

    @settings(max_examples=500, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.text(max_size=40) | st.text("./\\: \0\u202eCONconaxl1\ud55c\U0001f600", max_size=400))
    @example("C" * 254 + ". . x")
    def test_any_name(self, name: str) -> None:
        """Any name becomes one that is safe to create, and such a name stays as it is."""
        safe = safe_name(name)
        self.assertTrue(safe)
        self.assertLessEqual(len(safe.encode()), MAX_NAME_SIZE)
        self.assertFalse(re.search(r'[\x00-\x1f\x7f/\\<>:"|?*]', safe), ascii(safe))
        self.assertNotIn(safe[0], ". ")
        self.assertNotIn(safe[-1], ". ")
        self.assertEqual(os.path.basename(safe), safe)
        self.assertEqual(safe_name(safe), safe)

    def test_large_name_takes_no_time(self) -> None:
        for name in (". " * 500_000 + "x", "x" + " ." * 500_000 + "y", "C:" * 500_000, "\u202e" * 1_000_000):
            safe_name(name)


class UploadTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Path(os.path.abspath(self.mktemp()))
        self.temporary = self.root / "temporary"
        self.temporary.mkdir(parents=True)
        self.into = self.root / "into"
        self.into.mkdir()

    def upload(self, data: bytes = b"data", name: str = "x.txt") -> Upload:
        path = self.temporary / f"upload-{len(list(self.temporary.iterdir()))}"
        path.touch(mode=0o600)
        path.write_bytes(data)
        return Upload(str(path), name, len(data), "text/plain")

    def saved(self) -> dict[str, bytes]:
        """Return what is in the target directory, hidden files too."""
        return {path.name: path.read_bytes() for path in self.into.iterdir()}


class UploadTests(UploadTestCase):
    """What an upload tells, and removing it."""

    def test_attributes(self) -> None:
        upload = self.upload(name="C:\\dir\\..\\a b.txt")
        self.assertEqual((upload.name, upload.original_name), ("a b.txt", "C:\\dir\\..\\a b.txt"))
        self.assertEqual((upload.size, upload.mimetype, upload.saved), (4, "text/plain", False))
        self.assertTrue(os.path.isfile(upload.path))
        self.assertIn("a b.txt", repr(upload))

    def test_is_true(self) -> None:
        """The manual asks ``if file:``; an empty file is one too."""
        self.assertTrue(self.upload(b""))

    def test_read_and_open(self) -> None:
        upload = self.upload(b"1\n2\n")
        self.assertEqual(upload.read(), b"1\n2\n")
        with upload.open() as file:
            self.assertEqual(list(file), [b"1\n", b"2\n"])
        self.assertEqual(upload.read(), b"1\n2\n")

    def test_remove(self) -> None:
        upload = self.upload()
        upload.remove()
        upload.remove()
        self.assertEqual(list(self.temporary.iterdir()), [])
        error = self.assertRaises(FileNotFoundError, upload.open)
        self.assertIn("save()", str(error))
        self.assertRaises(FileNotFoundError, upload.read)
        self.assertRaises(FileNotFoundError, upload.save, str(self.into))
        self.assertEqual(self.saved(), {})


class SaveTests(UploadTestCase):
    """``Upload.save``"""

    def test_moves_the_file(self) -> None:
        upload = self.upload()
        inode = os.stat(upload.path).st_ino
        path = upload.save(str(self.into))
        self.assertEqual(path, str(self.into / "x.txt"))
        self.assertEqual(self.saved(), {"x.txt": b"data"})
        self.assertEqual(os.stat(path).st_ino, inode)
        self.assertEqual(list(self.temporary.iterdir()), [])
        self.assertEqual((upload.path, upload.saved, upload.read()), (path, True, b"data"))

    def test_removing_leaves_the_saved_file(self) -> None:
        upload = self.upload()
        upload.save(str(self.into))
        upload.remove()
        self.assertEqual(self.saved(), {"x.txt": b"data"})

    def test_path_object_and_relative_path(self) -> None:
        upload = self.upload()
        path = upload.save(Path(os.path.relpath(self.into)))
        self.assertEqual(path, str(self.into / "x.txt"))

    def test_permissions_are_those_of_the_umask(self) -> None:
        old = os.umask(0o027)
        self.addCleanup(os.umask, old)
        for dup in "uo":
            path = self.upload().save(str(self.into), dup=dup)
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o640)

    def test_name(self) -> None:
        self.assertEqual(self.upload().save(str(self.into), "y.bin"), str(self.into / "y.bin"))

    def test_name_is_reduced(self) -> None:
        for name in ("../../y", "/tmp/y", "\\y", "C:y", "..y"):
            path = self.upload().save(str(self.into), name, dup="o")
            self.assertEqual(path, str(self.into / "y"))

    def test_traversal_in_the_name_of_the_client(self) -> None:
        path = self.upload(name="../../../etc/passwd").save(str(self.into))
        self.assertEqual(path, str(self.into / "passwd"))

    def test_unique_name(self) -> None:
        paths = [self.upload(b"%d" % number).save(str(self.into)) for number in range(3)]
        self.assertEqual([os.path.basename(path) for path in paths], ["x.txt", "x-1.txt", "x-2.txt"])
        self.assertEqual(self.saved(), {"x.txt": b"0", "x-1.txt": b"1", "x-2.txt": b"2"})

    def test_unique_name_beside_a_directory_or_link(self) -> None:
        (self.into / "x.txt").mkdir()
        os.symlink("nowhere", self.into / "x-1.txt")
        self.assertEqual(self.upload().save(str(self.into)), str(self.into / "x-2.txt"))
        self.assertFalse((self.into / "nowhere").exists())

    def test_unique_name_of_full_length(self) -> None:
        names = [os.path.basename(self.upload(name="n" * 300 + ".txt").save(str(self.into))) for _ in range(2)]
        self.assertEqual(names, ["n" * 251 + ".txt", "n" * 249 + "-1.txt"])

    def test_many_of_one_name(self) -> None:
        """After the first hundred the name has a random part: trying each number would take ever longer."""
        for number in range(100):
            (self.into / (f"x-{number}.txt" if number else "x.txt")).touch()
        name = os.path.basename(self.upload().save(str(self.into)))
        self.assertTrue(re.fullmatch(r"x-[0-9a-f]{16}\.txt", name), name)

    def test_unique_names_in_threads(self) -> None:
        """Of several threads that save one name at once each gets its own."""
        uploads = [self.upload(b"%d" % number) for number in range(8)]
        start = threading.Barrier(len(uploads))
        paths: list[str] = []

        def save(upload: Upload) -> None:
            start.wait(10)
            paths.append(upload.save(str(self.into)))

        threads = [threading.Thread(target=save, args=(upload,)) for upload in uploads]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        self.assertEqual(len(set(paths)), len(uploads))
        self.assertEqual(sorted(self.saved().values()), [b"%d" % number for number in range(8)])

    def test_name_taken_between_asking_and_saving(self) -> None:
        """Whether a name is free is not asked first: another process may take it in between."""

        def never_there(path: Any) -> bool:
            return os.path.basename(path) == "into" and bool(os.stat(path))

        (self.into / "x.txt").write_bytes(b"other")
        self.patch(os.path, "exists", never_there)
        self.upload().save(str(self.into))
        self.assertEqual(self.saved(), {"x.txt": b"other", "x-1.txt": b"data"})

    def test_overwrite(self) -> None:
        (self.into / "x.txt").write_bytes(b"old and longer")
        self.assertEqual(self.upload().save(str(self.into), dup="o"), str(self.into / "x.txt"))
        self.assertEqual(self.saved(), {"x.txt": b"data"})

    def test_overwriting_replaces_the_file(self) -> None:
        """Who has the old file open keeps reading the old one: there is no moment with half a file."""
        (self.into / "x.txt").write_bytes(b"old")
        with open(self.into / "x.txt", "rb") as old:
            self.upload().save(str(self.into), dup="o")
            self.assertEqual(old.read(), b"old")

    def test_overwriting_does_not_follow_a_link(self) -> None:
        outside = self.root / "outside"
        outside.write_bytes(b"outside")
        os.symlink(outside, self.into / "x.txt")
        self.upload().save(str(self.into), dup="o")
        self.assertEqual(outside.read_bytes(), b"outside")
        self.assertEqual(self.saved(), {"x.txt": b"data"})

    def test_overwriting_a_directory(self) -> None:
        (self.into / "x.txt").mkdir()
        upload = self.upload()
        self.assertRaises(IsADirectoryError, upload.save, str(self.into), dup="o")
        self.assertEqual(os.listdir(self.into), ["x.txt"])
        self.assertEqual(upload.read(), b"data")

    def test_unknown_dup(self) -> None:
        upload = self.upload()
        for dup in ("", "x", "uo", None):
            error = self.assertRaises(ValueError, upload.save, str(self.into), dup=dup)
            self.assertIn(repr(dup), str(error))
        self.assertEqual(self.saved(), {})

    def test_missing_directory(self) -> None:
        upload = self.upload()
        error = self.assertRaises(FileNotFoundError, upload.save, str(self.into / "a" / "b"))
        self.assertIn("mkdir=True", str(error))
        self.assertIn(str(self.into / "a" / "b"), str(error))
        path = upload.save(str(self.into / "a" / "b"), mkdir=True)
        self.assertEqual(path, str(self.into / "a" / "b" / "x.txt"))

    def test_mkdir_of_a_directory_that_is_there(self) -> None:
        self.upload().save(str(self.into), mkdir=True)
        self.assertEqual(self.saved(), {"x.txt": b"data"})

    def test_into_a_file(self) -> None:
        (self.root / "file").touch()
        self.assertRaises(NotADirectoryError, self.upload().save, str(self.root / "file"))

    def test_twice(self) -> None:
        upload = self.upload()
        first = upload.save(str(self.into))
        second = upload.save(str(self.into))
        third = upload.save(str(self.into), "third", dup="o")
        self.assertEqual(self.saved(), {"x.txt": b"data", "x-1.txt": b"data", "third": b"data"})
        self.assertEqual([os.path.basename(path) for path in (first, second, third)], ["x.txt", "x-1.txt", "third"])

    def test_twice_over_itself(self) -> None:
        upload = self.upload()
        upload.save(str(self.into), dup="o")
        upload.save(str(self.into), dup="o")
        self.assertEqual(self.saved(), {"x.txt": b"data"})


class FailureTests(UploadTestCase):
    """Other file systems, and what goes wrong there."""

    def across_file_systems(self) -> None:
        """Let renaming from the temporary directory fail as between file systems."""
        replace = os.replace

        def refuse(source: str, target: str) -> None:
            if source.startswith(str(self.temporary)):
                raise OSError(errno.EXDEV, "cross-device link")
            replace(source, target)

        self.patch(os, "replace", refuse)

    def test_to_another_file_system(self) -> None:
        self.across_file_systems()
        (self.into / "x.txt").write_bytes(b"old")
        upload = self.upload(b"0123456789" * 100_000)
        self.assertEqual(upload.save(str(self.into), dup="o"), str(self.into / "x.txt"))
        self.assertEqual(self.saved(), {"x.txt": b"0123456789" * 100_000})
        self.assertEqual(list(self.temporary.iterdir()), [])
        self.assertEqual(self.upload().save(str(self.into)), str(self.into / "x-1.txt"))

    def test_full_file_system(self) -> None:
        """The file that was there stays, and so does the upload, to be saved elsewhere."""
        self.across_file_systems()
        (self.into / "x.txt").write_bytes(b"old")
        upload = self.upload()
        full = mock.Mock(side_effect=OSError(errno.ENOSPC, "no space"))
        with mock.patch.object(upload_module.shutil, "copyfileobj", full):
            for dup in "uo":
                self.assertRaises(OSError, upload.save, str(self.into), dup=dup)
        self.assertEqual(self.saved(), {"x.txt": b"old"})
        self.assertEqual((upload.read(), upload.saved), (b"data", False))

    def test_last_step_fails(self) -> None:
        """Nothing is left behind but the upload itself, which goes when the request is over."""
        replace = os.replace

        def refuse(source: str, target: str) -> None:
            if os.path.basename(target).startswith("x"):
                raise OSError(errno.EIO, "input/output error")
            replace(source, target)

        self.patch(os, "replace", refuse)
        for dup in "uo":
            upload = self.upload()
            self.assertRaises(OSError, upload.save, str(self.into), dup=dup)
            self.assertEqual(upload.read(), b"data")
            upload.remove()
            self.assertEqual(self.saved(), {})
            self.assertEqual(list(self.temporary.iterdir()), [])

    def test_second_save_fails(self) -> None:
        upload = self.upload()
        upload.save(str(self.into))
        self.patch(upload_module.os, "replace", mock.Mock(side_effect=OSError(errno.EIO, "input/output error")))
        self.assertRaises(OSError, upload.save, str(self.into))
        self.assertEqual(self.saved(), {"x.txt": b"data"})
