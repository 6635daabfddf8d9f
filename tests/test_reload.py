"""``skitai.reload``: noticing that files have changed."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from skitai.reload import Watch

SECOND = 1_000_000_000


class WatchTests(SynchronousTestCase):
    """A watch of files in a directory, on a wall clock that the test sets."""

    def setUp(self) -> None:
        """Make a directory with a file, and a watch whose time is that of the file's last change."""
        self.directory = self.mktemp()
        os.mkdir(self.directory)
        self.path = self.write("a.py", "one")
        self.now = os.stat(self.path).st_ctime_ns
        self.watch = Watch(lambda: self.now)

    def write(self, name: str, text: str) -> str:
        """Write a file and return its path."""
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def freeze_times(self) -> None:
        """Have the last edit look as if it had not changed the file's times, as when they move in large steps."""
        status = os.stat(self.path)
        stamp = self.watch._stamps[self.path]
        stamp.identity = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev)

    def test_reads_and_notices(self) -> None:
        """A change of content is told until the file is read again."""
        self.assertEqual(self.watch.read(self.path), b"one")
        self.assertEqual(self.watch.changed(), [])
        self.write("a.py", "three")
        self.assertEqual(self.watch.changed(), [self.path])
        self.assertEqual(self.watch.changed(), [self.path])
        self.watch.read(self.path)
        self.assertEqual(self.watch.changed(), [])
        self.assertEqual(self.watch.files, (self.path,))
        self.assertIn(self.path, self.watch)

    def test_same_size_and_times(self) -> None:
        """A file written again within one step of the clock is told by its content, while it is young."""
        self.watch.read(self.path)
        self.write("a.py", "two")
        self.freeze_times()
        self.assertEqual(self.watch.changed(), [self.path])

    def test_settles(self) -> None:
        """Content is compared until the last change is long enough ago, and no longer."""
        self.watch.read(self.path)
        self.now += 4 * SECOND
        self.assertEqual(self.watch.changed(), [])
        self.write("a.py", "two")
        self.freeze_times()
        self.assertEqual(self.watch.changed(), [])

    def test_old_file_is_settled(self) -> None:
        """A file that was old when read is only looked at."""
        self.now += 4 * SECOND
        self.watch.read(self.path)
        self.write("a.py", "two")
        self.freeze_times()
        self.assertEqual(self.watch.changed(), [])

    def test_replaced(self) -> None:
        """An editor that writes a new file and renames it is noticed, though size and modification are the same."""
        self.now += 4 * SECOND
        self.watch.read(self.path)
        status = os.stat(self.path)
        other = self.write("b.py", "two")
        os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.replace(other, self.path)
        self.assertEqual(self.watch.changed(), [self.path])

    def test_touched(self) -> None:
        """Touching a file counts as a change."""
        self.watch.read(self.path)
        os.utime(self.path, (1, 1))
        self.assertEqual(self.watch.changed(), [self.path])

    def test_removed(self) -> None:
        """So does removing it."""
        self.watch.read(self.path)
        os.remove(self.path)
        self.assertEqual(self.watch.changed(), [self.path])

    def test_missing(self) -> None:
        """A file that can not be read is an error of who reads it, and watched for coming into being."""
        path = os.path.join(self.directory, "b.py")
        self.assertRaises(FileNotFoundError, self.watch.read, path)
        self.watch.add(path)
        self.assertEqual(self.watch.changed(), [])
        self.write("b.py", "")
        self.assertEqual(self.watch.changed(), [path])

    def test_reads_while_it_looks(self) -> None:
        """Another thread may import a module, and so read its file, while one looks for changes."""
        other = self.write("b.py", "one")
        imported: list[str] = []

        def now() -> int:
            while imported:
                watch.read(imported.pop())
            return self.now

        watch = Watch(now)
        watch.read(self.path)
        imported.append(other)
        self.assertEqual(watch.changed(), [])
        self.assertEqual(watch.files, (self.path, other))

    def test_directory(self) -> None:
        """A watched directory tells of files that appear."""
        self.watch.add_directory(self.directory)
        self.assertEqual(self.watch.changed(), [])
        os.utime(self.directory, (1, 1))
        self.assertEqual(self.watch.changed(), [self.directory])

    def test_keep(self) -> None:
        """What another watch had is watched as it is now; what this one has read is as it was read."""
        other = self.write("b.py", "one")
        older = Watch(lambda: self.now)
        older.read(self.path)
        older.read(other)
        older.add_directory(self.directory)
        self.watch.read(self.path)
        self.write("a.py", "three")
        self.write("b.py", "three")
        self.watch.keep(older)
        self.assertEqual(self.watch.changed(), [self.path])
        self.write("b.py", "fifteen")
        self.assertEqual(self.watch.changed(), [self.path, other])
