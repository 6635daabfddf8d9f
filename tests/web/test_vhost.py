"""``skitai.web.vhost``: which handler gets a request."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import ConfigError
from skitai.reasons import reason_of
from skitai.web.events import Response
from skitai.web.exchange import Exchange
from skitai.web.vhost import Entry, Kind, MountPoint, MountTable, decode_path, host_names, normal_host
from tests.web.exchanges import make_exchange, sent


class Named:
    """A handler that answers with its name and the SCRIPT_NAME it was found by, for the paths it has."""

    def __init__(self, name: str, *paths: str) -> None:
        self.name = name
        self.paths = paths

    def handle(self, exchange: Exchange, mount: MountPoint) -> bool:
        """Answer."""
        if self.paths and exchange.request.path not in self.paths:
            return False
        body = f"{self.name}@{mount.script_name}"
        exchange.respond(Response(200, [], reason_of(200)), body.encode("latin-1"))
        return True


class Files(Named):
    """Like the handler of static files: only for GET."""

    def handle(self, exchange: Exchange, mount: MountPoint) -> bool:
        """Answer a GET."""
        return exchange.request.method == "GET" and super().handle(exchange, mount)

    def allowed(self, exchange: Exchange, mount: MountPoint) -> bool:
        """Tell whether the file is there."""
        return exchange.request.path in self.paths


def table(*rows: tuple[str, str] | tuple[str, str, str]) -> MountTable:
    """Make a table of applications; each row is ``[host,] point, name``."""
    whole = [row if len(row) == 3 else ("", *row) for row in rows]
    return MountTable([Entry(host or None, point, "app", Named(name)) for host, point, name in whole])


def ask(where: MountTable, target: str, host: str = "", method: str = "GET") -> Exchange:
    """Dispatch a request and return it, answered."""
    exchange = make_exchange(target=target, method=method)
    exchange.request.host = host
    if method == "CONNECT":
        exchange.request.path = ""
    where.dispatch(exchange)
    return exchange


def answer(where: MountTable, target: str, host: str = "", method: str = "GET") -> str | int:
    """Return who answered, or the status."""
    response, _, body = sent(ask(where, target, host, method))
    return body.decode("latin-1") if response.status == 200 else response.status


class MountPointTests(SynchronousTestCase):
    """The forms of a mount point."""

    def test_forms(self) -> None:
        """Slashes at the ends do not count; the root is empty."""
        cases = [
            ("/", "", "", b"/"),
            ("", "", "", b"/"),
            ("/pp", "/pp", "/pp", b"/pp/"),
            ("/pp/", "/pp", "/pp", b"/pp/"),
            ("pp", "/pp", "/pp", b"/pp/"),
            ("//evil.com", "/evil.com", "/evil.com", b"/evil.com/"),
            ("/a b", "/a b", "/a b", b"/a%20b/"),
            ("/é", "/é", "/Ã©", b"/%C3%A9/"),
            ("/\\evil.com", "/\\evil.com", "/\\evil.com", b"/%5Cevil.com/"),
        ]
        for written, point, script_name, location in cases:
            mount = MountPoint(written)
            self.assertEqual((mount.point, mount.script_name, mount.location), (point, script_name, location), written)

    def test_decode_path(self) -> None:
        """Escapes become bytes, and bytes the characters of the same numbers; what is no escape stays."""
        cases = {
            "/plain/path": "/plain/path",
            "/a%20b": "/a b",
            "/%C3%A9": "/Ã©",
            "/%ff": "/\xff",
            "/100%": "/100%",
            "/%zz": "/%zz",
            "/%2Fx": "//x",
            "/a+b": "/a+b",
        }
        for raw, decoded in cases.items():
            self.assertEqual(decode_path(raw), decoded, raw)


class PathTests(SynchronousTestCase):
    """Longest mount point, at segments only."""

    def test_longest_wins(self) -> None:
        """The longest mount point above the path answers, whatever the order of declaration."""
        where = table(("/", "root"), ("/a", "a"), ("/a/b/c", "abc"), ("/a/b", "ab"), ("/z", "z"))
        cases = {
            "/": "root@",
            "/x": "root@",
            "/ax": "root@",
            "/a/": "a@/a",
            "/a/x": "a@/a",
            "/a/bx": "a@/a",
            "/a/b/": "ab@/a/b",
            "/a/b/cx": "ab@/a/b",
            "/a/b/c/d/e": "abc@/a/b/c",
            "/z/a/b/": "z@/z",
            "//a/": "root@",
        }
        for path, expected in cases.items():
            self.assertEqual(answer(where, path), expected, path)

    def test_matches_the_decoded_path(self) -> None:
        """An escaped letter, or a mount point beyond ASCII, is found."""
        where = table(("/", "root"), ("/pp", "pp"), ("/é", "e"))
        self.assertEqual(answer(where, "/%70p/x"), "pp@/pp")
        self.assertEqual(answer(where, "/%C3%A9/"), "e@/Ã©")
        self.assertEqual(answer(where, "/%C3%A8/"), "root@")

    def test_nothing_mounted(self) -> None:
        """A path below no mount point is 404."""
        where = table(("/pp", "pp"))
        for path in ("/", "/ppx", "/p", "/x/pp/"):
            self.assertEqual(answer(where, path), 404, path)
        self.assertEqual(answer(MountTable([]), "/"), 404)

    def test_two_applications_at_one_point(self) -> None:
        """The second could never answer, so the table is refused, naming all such points."""
        with self.assertRaises(ConfigError) as caught:
            table(("/a", "1"), ("/a/", "2"), ("/b", "3"), ("b.com", "/b", "4"), ("b.com c.com", "/b", "5"))
        self.assertEqual(len(caught.exception.faults), 2)
        self.assertIn("'/a'", caught.exception.faults[0])
        self.assertIn("'/b' of host 'b.com'", caught.exception.faults[1])


class RedirectTests(SynchronousTestCase):
    """The mount point without its slash."""

    def redirect(self, target: str, method: str = "GET") -> tuple[int, bytes]:
        """Return status and location of the answer."""
        response, fields, body = sent(ask(table(("/", "root"), ("/pp/é", "x"), ("/pp", "pp")), target, method=method))
        self.assertEqual(body, b"")
        return response.status, fields[b"location"]

    def test_slash_is_added(self) -> None:
        """308 with the query kept, for every method."""
        self.assertEqual(self.redirect("/pp"), (308, b"/pp/"))
        self.assertEqual(self.redirect("/pp?a=1&b=%2F?", "POST"), (308, b"/pp/?a=1&b=%2F?"))
        self.assertEqual(self.redirect("/%70p?q"), (308, b"/pp/?q"))
        self.assertEqual(self.redirect("/pp/%c3%a9"), (308, b"/pp/%C3%A9/"))

    def test_never_to_another_host(self) -> None:
        """However the target is written, the location is the mount point."""
        where = table(("/", "root"), ("/evil.com", "x"))
        self.assertEqual(answer(where, "//evil.com"), "root@")
        self.assertEqual(sent(ask(where, "%2Fevil.com"))[1][b"location"], b"/evil.com/")


class KindTests(SynchronousTestCase):
    """Several handlers at one mount point, and falling through."""

    def setUp(self) -> None:
        """Mount files above and below two applications."""
        rows: list[tuple[str, Kind, Named]] = [
            ("/", "app", Named("root")),
            ("/", "static", Files("files1", "/one", "/both", "/pp/one")),
            ("/", "static", Files("files2", "/two", "/both")),
            ("/pp", "app", Named("pp", "/pp/only")),
            ("/pp", "alias", Named("alias", "/pp/only", "/pp/alias")),
            ("/pp", "static", Files("ppfiles", "/pp/file", "/pp/alias")),
            ("/st", "static", Files("stfiles", "/st/file")),
        ]
        self.table = MountTable([Entry(None, point, kind, handler) for point, kind, handler in rows])

    def test_order(self) -> None:
        """Static files, then aliases, then the application, then the same of shorter mount points."""
        cases = {
            "/one": "files1@",
            "/two": "files2@",
            "/both": "files1@",
            "/none": "root@",
            "/pp/alias": "ppfiles@/pp",
            "/pp/only": "alias@/pp",
            "/pp/one": "files1@",
            "/pp/none": "root@",
            "/st/file": "stfiles@/st",
            "/st/none": "root@",
        }
        for path, expected in cases.items():
            self.assertEqual(answer(self.table, path), expected, path)

    def test_method_for_files_only(self) -> None:
        """A POST for a file goes on to the application; where nothing takes it, 405 says what is allowed."""
        self.assertEqual(answer(self.table, "/one", method="POST"), "root@")
        files = MountTable([Entry(None, "/", "static", Files("files", "/one"))])
        response, fields, _ = sent(ask(files, "/one", method="DELETE"))
        self.assertEqual((response.status, fields[b"allow"]), (405, b"GET, HEAD"))
        self.assertEqual(answer(files, "/none", method="DELETE"), 404)
        self.assertEqual(answer(files, "/none"), 404)


class HostTests(SynchronousTestCase):
    """Virtual hosts."""

    def setUp(self) -> None:
        """Mount one application a host."""
        self.table = table(
            ("/", "default"),
            ("www.a.com, A.com\tb.com:8080", "/", "ab"),
            (".c.com", "/", "c"),
            (".deep.c.com", "/", "deep"),
            ("x.deep.c.com", "/", "exact"),
            ("only.com", "/pp", "pp"),
            ("[::1] 10.0.0.1", "/", "ip"),
            ("münchen.de", "/", "m"),
        )

    def test_names(self) -> None:
        """Exact names before domains, longer domains first, the default site for the rest."""
        cases = {
            "www.a.com": "ab@",
            "a.com": "ab@",
            "A.COM.": "ab@",
            "a.com:5000": "ab@",
            "b.com": "ab@",
            "x.a.com": "default@",
            "c.com": "c@",
            "x.c.com:80": "c@",
            "y.x.c.com": "c@",
            "xc.com": "default@",
            "deep.c.com": "deep@",
            "y.deep.c.com": "deep@",
            "x.deep.c.com": "exact@",
            "y.x.deep.c.com": "deep@",
            "[::1]": "ip@",
            "[::1]:5000": "ip@",
            "[::2]:5000": "default@",
            "10.0.0.1:80": "ip@",
            "xn--mnchen-3ya.de": "m@",
            "": "default@",
            ".": "default@",
            ":80": "default@",
            "[": "default@",
            "com": "default@",
        }
        for _ in range(2):  # from the cache the second time
            for host, expected in cases.items():
                self.assertEqual(answer(self.table, "/", host), expected, host)

    def test_no_mount_at_a_host(self) -> None:
        """A host that matches does not fall back to the default site."""
        self.assertEqual(answer(self.table, "/pp/", "only.com"), "pp@/pp")
        self.assertEqual(answer(self.table, "/x", "only.com"), 404)
        self.assertEqual(answer(table(("a.com", "/", "a")), "/", "b.com"), 404)

    def test_cache_is_bounded(self) -> None:
        """Clients can not fill the memory with names they make up."""
        for number in range(5000):
            self.table.site(f"{number}.c.com")
        self.assertLessEqual(len(self.table._cache), 1024)
        self.table.site("x" * 60000 + ".c.com")
        self.assertLess(max(map(len, self.table._cache)), 300)

    def test_hosts_as_written(self) -> None:
        """Names are taken apart and normalised; what can be no name is refused."""
        self.assertEqual(host_names(" A.com,b.com:80  .C.com. ::1 A.com"), ["a.com", "b.com", ".c.com", "[::1]"])
        self.assertEqual(normal_host("[FE80::1]:80"), "[fe80::1]")
        for bad in ("", " , ", ".", "http://a.com", "a.com/x", "a..é", "a..b", "..a.com", "a:b", "a@b", "[::1"):
            with self.assertRaises(ConfigError) as caught:
                host_names(bad)
            self.assertIn("virtual host", str(caught.exception), bad)


class TargetTests(SynchronousTestCase):
    """Targets that are no path."""

    def test_answered_by_the_table(self) -> None:
        """No application is asked."""
        where = table(("/", "root"))
        response, fields, body = sent(ask(where, "*", method="OPTIONS"))
        self.assertEqual((response.status, body), (204, b""))
        self.assertIn(b"OPTIONS", fields[b"allow"])
        self.assertEqual(answer(where, "*"), 400)
        response, fields, _ = sent(ask(where, "a.com:443", method="CONNECT"))
        self.assertEqual(response.status, 405)
        self.assertIn(b"GET", fields[b"allow"])

    def test_empty_path(self) -> None:
        """It means the root (RFC 9110 section 4.2.3)."""
        self.assertEqual(answer(table(("/", "root")), ""), "root@")

    def test_options_of_a_path(self) -> None:
        """Any other OPTIONS is the application's business."""
        self.assertEqual(answer(table(("/", "root")), "/x", method="OPTIONS"), "root@")
