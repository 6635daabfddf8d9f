"""Saddle: uploads, as browsers, careless programs and enemies send them."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.blackbox import Reply, Shared
from tests.functional.process import until
from tests.functional.saddlebox import each, tables

APP = '''\
import hashlib
import json
import os
import skitai
from skitai.saddle import Saddle

app = Saddle (__name__)
app.config.max_multipart_body_size = 300 * 1024
app.config.max_upload_file_size = 200 * 1024
SAVED = skitai.joinpath ("saved")
os.makedirs (SAVED, exist_ok = True)

FORM = """
  <form enctype="multipart/form-data" method="post">
  <input type="hidden" name="submit-hidden" value="Genious">
  <input type="file" name="file">
</form>
"""

def told (value):
  if isinstance (value, list):
    return [told (one) for one in value]
  if hasattr (value, "path"):
    with open (value.path, "rb") as f:
      data = f.read ()
    assert len (data) == value.size
    return {"name": value.name, "size": value.size, "type": value.mimetype, "md5": hashlib.md5 (data).hexdigest (),
        "path": value.path}
  return value

@app.route ("/upload")
def upload (was, **form):
  if was.request.command == "get":
    return FORM
  else:
    file = form.get ("file")
    if file:
      file.save (SAVED, dup = "o") # overwrite
    return "saved"

@app.route ("/tell")
def tell (was, **form):
  return json.dumps ({name: told (value) for name, value in form.items ()})

@app.route ("/save")
def save (was, file, into = "", **options):
  where = os.path.join (SAVED, into)
  if "mkdir" in options:
    options ["mkdir"] = options ["mkdir"] == "yes"
  try:
    file.save (where, **options)
  except Exception as error:
    return json.dumps ({"raised": type (error).__name__})
  return json.dumps (sorted (os.listdir (where)))

@app.route ("/remove")
def remove (was, file):
  path = file.path
  before = os.path.exists (path)
  file.remove ()
  return json.dumps ([before, os.path.exists (path)])

@app.route ("/twice")
def twice (was, file):
  file.save (SAVED, "first.txt", dup = "o")
  return open (os.path.join (SAVED, "first.txt")).read ()

@app.route ("/broken")
def broken (was, file):
  with open (os.path.join (SAVED, "..", "path.txt"), "w") as f:
    f.write (file.path)
  raise ValueError ("after the upload")

@app.route ("/named")
def named (was, title, file):
  return title + " " + file.name

@app.route ("/args")
def args (was, **form):
  return json.dumps (sorted (was.request.args))

large = Saddle (__name__)
large.config.max_multipart_body_size = large.config.max_upload_file_size = 1 << 30

@large.route ("/count")
def count (was, file):
  return str (file.size)

@large.route ("/peak")
def peak (was):
  with open ("/proc/self/status") as f:
    return [line.split () [1] for line in f if line.startswith ("VmHWM")]

if __name__ == "__main__":
  skitai.run (mount = {"/": app, "/large": large})
'''

site = Shared({"app.py": APP})
HEAD = "POST /tell HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=xyz\r\n"


def part(name: str, content: bytes = b"", filename: str | None = None, *fields: str) -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        head += f'; filename="{filename}"'
    return "\r\n".join([head, *fields, "", ""]).encode() + content


def body_of(*parts: bytes, boundary: str = "xyz") -> bytes:
    mark = b"--" + boundary.encode()
    return b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"


def send(target: str, *parts: bytes) -> Reply:
    return raw(target, body_of(*parts))


def raw(target: str, body: bytes, kind: str = "multipart/form-data; boundary=xyz") -> Reply:
    with site.connect() as wire:
        head = f"POST {target} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            wire.send(head.encode() + body)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return wire.receive()


class Checks(SynchronousTestCase):
    """What these tests share."""

    def told(self, *parts: bytes) -> dict[str, Any]:
        reply = send("/tell", *parts)
        self.assertEqual(reply.status, 200, reply.text[:300])
        told = json.loads(reply.body)
        assert isinstance(told, dict)
        return told

    def saved(self, name: str) -> bytes:
        with open(os.path.join(site.directory, "saved", name), "rb") as file:
            return file.read()


@tables
class UploadTests(Checks):
    """Honest uploads."""

    def test_manual(self) -> None:
        self.assertIn("<form", site.ask("/upload").text)
        for content in (b"first content", b"second"):
            self.assertEqual(
                send("/upload", part("file", content, "manual.txt", "Content-Type: text/plain")).text, "saved"
            )
            self.assertEqual(self.saved("manual.txt"), content)

    def test_fields_and_files(self) -> None:
        told = self.told(
            part("a", "caf\xe9".encode()),
            part("f", b"\x00\xff\r\n--xy", "x.bin", "Content-Type: image/png"),
            part("b", b""),
        )
        self.assertEqual((told["a"], told["b"]), ("caf\xe9", ""))
        file = told["f"]
        self.assertEqual((file["name"], file["size"], file["type"]), ("x.bin", 8, "image/png"))
        self.assertEqual(file["md5"], hashlib.md5(b"\x00\xff\r\n--xy").hexdigest())

    def test_as_arguments(self) -> None:
        self.assertEqual(send("/named", part("title", b"A Cat"), part("file", b"x", "cat.png")).text, "A Cat cat.png")
        reply = send("/named?title=B", part("file", b"x", "cat.png"))
        self.assertEqual(reply.text, "B cat.png")
        self.assertEqual(json.loads(send("/args?q=1", part("a", b""), part("f", b"", "n")).body), ["a", "f", "q"])

    def test_missing(self) -> None:
        reply = send("/named", part("title", b"A Cat"))
        self.assertEqual(reply.status, 400)
        self.assertIn("file", reply.text)

    def test_several_of_one_name(self) -> None:
        told = self.told(part("f", b"1", "a"), part("f", b"22", "b"), part("x", b"1"), part("x", b"2"))
        self.assertEqual([file["size"] for file in told["f"]], [1, 2])
        self.assertEqual(told["x"], ["1", "2"])

    def test_no_file_chosen(self) -> None:
        """A file part with an empty name is an empty field."""
        self.assertFalse(self.told(part("f", b"", "", "Content-Type: application/octet-stream"))["f"])

    def test_empty_file(self) -> None:
        self.assertEqual(self.told(part("f", b"", "empty.txt"))["f"]["size"], 0)

    @each(1, 8191, 65536, 65537, 150_000)
    def test_sizes(self, size: int) -> None:
        content = os.urandom(size)
        self.assertEqual(self.told(part("f", content, "x"))["f"]["md5"], hashlib.md5(content).hexdigest())

    @each(
        'multipart/form-data; boundary="xyz"', "Multipart/Form-Data; BOUNDARY=xyz",
        "multipart/form-data; charset=utf-8; boundary=xyz",
        "multipart/form-data;boundary=xyz",
    )  # fmt: skip
    def test_types(self, kind: str) -> None:
        self.assertEqual(json.loads(raw("/tell", body_of(part("a", b"1")), kind).body), {"a": "1"})

    def test_preamble_and_epilogue(self) -> None:
        reply = raw("/tell", b"hello\r\n" + body_of(part("a", b"1")) + b"good bye")
        self.assertEqual(json.loads(reply.body), {"a": "1"})

    def test_boundary_in_the_content(self) -> None:
        content = b"--xyz\r\n--xyz--\r\n\r\n--xy"
        reply = raw("/tell", body_of(part("a", content), boundary="xyzz"), "multipart/form-data; boundary=xyzz")
        self.assertEqual(json.loads(reply.body), {"a": content.decode()})

    def test_byte_by_byte(self) -> None:
        body = body_of(part("a", b"1\r\n\r\n-"), part("f", b"\r\n--xy\r", "n"))
        with site.connect() as wire:
            wire.send(f"{HEAD}Content-Length: {len(body)}\r\n\r\n")
            for at in range(len(body)):
                wire.send(body[at : at + 1])
            told = json.loads(wire.receive().body)
        self.assertEqual((told["a"], told["f"]["size"]), ("1\r\n\r\n-", 7))

    def test_chunked(self) -> None:
        body = body_of(part("f", b"x" * 5000, "n"))
        with site.connect() as wire:
            wire.send(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n")
            wire.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
            self.assertEqual(json.loads(wire.receive().body)["f"]["size"], 5000)


@tables
class SaveTests(Checks):
    """``file.save``, ``file.remove`` and what is left afterwards."""

    def save(self, into: str, query: str = "", name: str = "a.txt") -> Any:
        reply = send(f"/save?into={into}{query}", part("file", b"content", name))
        self.assertEqual(reply.status, 200, reply.text[:300])
        return json.loads(reply.body)

    def test_unique(self) -> None:
        """Names are made unique by default."""
        self.assertEqual(self.save("unique", "&mkdir=yes"), ["a.txt"])
        two = self.save("unique")
        self.assertEqual(len(two), 2)
        self.assertEqual(len(self.save("unique", "&dup=u")), 3)
        self.assertTrue(all(name.startswith("a") and name.endswith(".txt") for name in two), two)

    def test_overwrite(self) -> None:
        for _ in range(2):
            self.assertEqual(self.save("over", "&mkdir=yes&dup=o"), ["a.txt"])

    def test_name(self) -> None:
        self.assertEqual(self.save("name", "&mkdir=yes&name=other.dat"), ["other.dat"])

    def test_no_directory(self) -> None:
        self.assertIn("raised", self.save("not/there"))
        self.assertEqual(self.save("now/there", "&mkdir=yes"), ["a.txt"])

    @each("../up.txt", "/etc/up.txt", "sub/up.txt")
    def test_a_name_that_leads_out(self, name: str) -> None:
        """What the application passes on from a client stays inside."""
        self.save("inside", "&mkdir=yes&name=" + name)
        for place in ("", "saved"):
            self.assertFalse(os.path.exists(os.path.join(site.directory, place, "up.txt")))
        self.assertFalse(os.path.exists("/etc/up.txt"))

    def test_contents(self) -> None:
        self.assertEqual(send("/twice", part("file", b"the content", "x")).text, "the content")

    def test_remove(self) -> None:
        self.assertEqual(json.loads(send("/remove", part("file", b"x", "x")).body), [True, False])

    def test_removed_after_the_request(self) -> None:
        for size in (1, 150_000):
            path = self.told(part("f", b"x" * size, "x"))["f"]["path"]
            self.assertTrue(os.path.isabs(path))
            until(lambda path=path: not os.path.exists(path), "the end of the temporary file")

    def test_removed_after_a_failure(self) -> None:
        self.assertEqual(send("/broken", part("file", b"x" * 100_000, "x")).status, 500)
        with open(os.path.join(site.directory, "path.txt")) as file:
            path = file.read()
        self.assertTrue(path)
        until(lambda: not os.path.exists(path), "the end of the temporary file")

    def test_mode(self) -> None:
        """Others on the machine do not read along."""
        self.save("mode", "&mkdir=yes")
        self.assertFalse(os.stat(os.path.join(site.directory, "saved", "mode", "a.txt")).st_mode & 0o022)


@tables
class HostileTests(Checks):
    """Dishonest ones."""

    @each(
        ("../../etc/passwd", "passwd"), ("/etc/passwd", "passwd"), ("C:\\\\dir\\\\file.txt", "file.txt"),
        ("a/b\\\\c.txt", "c.txt"),
        ("..\\\\..\\\\x.txt", "x.txt"), ("dir/x.txt", "x.txt"),
    )  # fmt: skip
    def test_names(self, name: str, safe: str) -> None:
        self.assertEqual(self.told(part("f", b"x", name))["f"]["name"], safe)

    @each(
        "..",
        ".",
        "/",
        "\\\\",
        "../",
        "a\x00b.txt",
        ".htaccess",
        " ",
        "con",
        "x" * 300 + ".txt",
        "a\nb",
        "~root",
        "caf\xe9.txt",
    )
    def test_odd_names(self, name: str) -> None:
        """Whatever the name, the file is saved inside, once, under a name that the system takes; or it is refused."""
        reply = send("/save?into=odd&mkdir=yes", part("file", b"x", name))
        self.assertIn(reply.status, (200, 400), reply.text[:300])
        if reply.status == 200:
            found = json.loads(reply.body)
            self.assertIsInstance(found, list, "save() raised")
            for entry in found:
                self.assertFalse(set("/\\\x00\n") & set(entry), entry)
                self.assertNotIn(entry, (".", ".."))
        self.assertFalse(os.path.exists(os.path.join(site.directory, "odd")))

    @each(
        (body_of(part("a", b"1")), "multipart/form-data"),
        (body_of(part("a", b"1")), "multipart/form-data; boundary="), (b"nonsense",
            "multipart/form-data; boundary=xyz"),
        (body_of(part("a", b"1")), "multipart/form-data; boundary=other"),
        (body_of(part("a", b"1")), "multipart/form-data; boundary=" + "x" * 5000),
        (body_of(part("a", b"1"))[:-6], "multipart/form-data; boundary=xyz"),
        (body_of(part("a", b"1"))[:-20], "multipart/form-data; boundary=xyz"),
        (body_of(part("f", b"1" * 9000, "n"))[:-4000], "multipart/form-data; boundary=xyz"),
        (body_of(b"no head at all"), "multipart/form-data; boundary=xyz"),
        (body_of(b"Content-Type: text/plain\r\n\r\nno name"), "multipart/form-data; boundary=xyz"),
        (body_of(b"\r\nno fields"), "multipart/form-data; boundary=xyz"),
        (body_of(b'Content-Disposition: attachment; name="a"\r\n\r\nx'), "multipart/form-data; boundary=xyz"),
        (body_of(b"Content-Disposition form-data\r\n\r\nx"), "multipart/form-data; boundary=xyz"),
        (body_of(part("a", b"\xff\xfe")), "multipart/form-data; boundary=xyz"),
    )  # fmt: skip
    def test_malformed(self, body: bytes, kind: str) -> None:
        self.assertEqual(raw("/tell", body, kind).status, 400)

    def test_every_truncation(self) -> None:
        body = body_of(part("a", b"1"), part("f", b"22", "n"))
        for size in range(1, len(body) - 4, 7):
            self.assertEqual(raw("/tell", body[:size]).status, 400, body[:size])

    @each(
        10_000, 50_000,
    )  # fmt: skip
    def test_many_parts(self, count: int) -> None:
        self.assertIn(raw("/tell", b"--xyz\r\n\r\n" * count + b"--xyz--\r\n").status, (400, 413))

    def test_many_small_files(self) -> None:
        body = body_of(*(part("f", b"", f"{number}") for number in range(3500)))
        self.assertIn(raw("/tell", body).status, (400, 413))

    @each("X-Long: " + "x" * 100_000, "\r\n".join(f"X-{n}: {n}" for n in range(9000)))
    def test_large_head(self, fields: str) -> None:
        self.assertIn(send("/tell", part("a", b"1", None, fields)).status, (400, 413))

    def test_endless_line(self) -> None:
        self.assertIn(raw("/tell", b"--xyz\r\n" + b"x" * 200_000).status, (400, 413))

    def test_nested(self) -> None:
        inner = body_of(part("f", b"x", "n"), boundary="in")
        outer = (
            b'Content-Disposition: form-data; name="f"\r\nContent-Type: multipart/mixed; boundary=in\r\n\r\n' + inner
        )
        reply = send("/tell", outer)
        self.assertIn(reply.status, (200, 400))

    def test_file_too_large(self) -> None:
        self.assertEqual(send("/tell", part("f", b"x" * (200 * 1024 + 1), "n")).status, 413)
        self.assertEqual(send("/tell", part("f", b"x" * (200 * 1024), "n")).status, 200)

    def test_body_too_large(self) -> None:
        parts = [part(f"f{number}", b"x" * 100 * 1024, "n") for number in range(3)]
        self.assertEqual(send("/tell", *parts).status, 413)

    def test_field_too_large(self) -> None:
        """A field is no way around the bounds of memory."""
        self.assertIn(send("/tell", part("a", b"x" * 400 * 1024)).status, (400, 413))

    def test_a_client_that_leaves(self) -> None:
        """Nothing of an upload that was broken off is left, and the next request is served."""
        with site.connect() as wire:
            wire.send(f"{HEAD}Content-Length: 150000\r\n\r\n")
            wire.send(body_of(part("f", b"x" * 100_000, "n"))[:-10])
        self.assertEqual(self.told(part("a", b"1")), {"a": "1"})

    def test_memory(self) -> None:
        """A large upload goes to the disk, not into memory."""
        content = bytes(1 << 20)
        self.assertEqual(send("/large/count", part("file", content, "warm")).text, str(len(content)))
        before = int(site.ask("/large/peak").text)
        first, end = body_of(part("file", b"", "n"))[:-11], b"\r\n--xyz--\r\n"
        with site.connect() as wire:
            wire.send(f"POST /large/count HTTP/1.1\r\nHost: a\r\n{HEAD.partition(chr(10))[2].partition(chr(10))[2]}")
            wire.send(f"Content-Length: {len(first) + 64 * len(content) + len(end)}\r\n\r\n".encode() + first)
            for _ in range(64):
                wire.send(content)
            wire.send(end)
            self.assertEqual(wire.receive().text, str(64 * len(content)))
        self.assertLess(int(site.ask("/large/peak").text) - before, 20 * 1024)

    def test_names_of_fields(self) -> None:
        for name in ("was", "self", "a b", "a%22b", "__class__"):
            self.assertIn(send("/tell", part(name, b"1")).status, (200, 400), name)
