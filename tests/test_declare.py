"""The public functions and what they leave in a declaration."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import skitai
from skitai import constants, declare
from skitai.attributes import AttributeDictionary
from skitai.declare import Declaration, Stage
from skitai.errors import ConfigError, NotAvailable
from skitai.mounts import locate, make_mount
from skitai.schedule import Schedule


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Stand for an application; never called."""
    return []


class Case(SynchronousTestCase):
    """A test with a declaration of its own, whose base directory holds an application file and a directory."""

    def setUp(self) -> None:
        """Make both."""
        self.base = os.path.abspath(self.mktemp())
        os.makedirs(os.path.join(self.base, "static"))
        with open(os.path.join(self.base, "app_v1.py"), "w", encoding="utf-8"):
            pass
        self.declaration = Declaration(self.base)
        self.addCleanup(declare.replace, declare.replace(self.declaration))

    def faults(self) -> list[str]:
        """Return everything that is wrong; what is not mounted apart."""
        return [fault for fault in self.declaration.all_faults() if not fault.startswith("nothing is mounted")]


class PublicNamesTest(SynchronousTestCase):
    """What ``import skitai`` offers, and what it costs."""

    def test_signatures(self) -> None:
        """Each function can be called as the manual does."""
        import inspect

        promised = {
            "mount": "(point, target, appname='app', pref=None, host=None)",
            "vmount": "(host, point, target, appname='app', pref=None)",
            "pref": "()",
            "cron": "(schedule, command)",
            "getswd": "()",
            "joinpath": "(*parts)",
            "set_keep_alive": "(timeout=2)",
            "set_max_age": "(path, max_age=300)",
            "set_max_rcache": "(objmax=300)",
            "enable_proxy": "(source=None, allow_private=False, credentials=None)",
            "enable_ssl": "(certfile, keyfile=None, passphrase=None)",
            "enable_gateway": "(enable_auth=False, secure_key=None, realm='Skitai API Gateway')",
            "enable_cachefs": "(memmax=0, diskmax=0, path=None)",
            "enable_smtpda": "(server=None, user=None, password=None, ssl=False, max_retry=10, keep_days=3)",
            "run": "(**settings)",
        }
        for name, wanted in promised.items():
            signature = inspect.signature(getattr(skitai, name))
            bare = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
            self.assertEqual(str(inspect.Signature(bare)), wanted, name)
        alias = list(inspect.signature(skitai.alias).parameters)
        self.assertEqual(alias[:6], ["name", "ctype", "members", "role", "source", "ssl"])

    def test_all_names_are_there(self) -> None:
        """Everything announced exists; ``was`` is imported only when asked for."""
        for name in skitai.__all__:
            if name != "was":
                self.assertTrue(hasattr(skitai, name), name)

    def test_old_names(self) -> None:
        """Names that older programs use mean the new ones."""
        self.assertEqual(skitai.WEBSOCKET_REQDATA, skitai.WS_SIMPLE)
        self.assertEqual(skitai.WEBSOCKET_GROUPCHAT, skitai.WS_GROUPCHAT)
        self.assertEqual(skitai.WEBSOCKET_DEDICATE_THREADSAFE, skitai.WS_DEDICATE)

    def test_version(self) -> None:
        """The version is said in numbers and in words, which agree."""
        self.assertEqual(skitai.__version__.split(".")[:3], [str(part) for part in skitai.version_info])

    def test_unknown_name(self) -> None:
        """A name that does not exist is an AttributeError."""
        with self.assertRaises(AttributeError):
            _ = skitai.mounted  # type: ignore[attr-defined]

    def test_light(self) -> None:
        """Importing skitai loads neither Twisted nor anything else that is not needed to declare."""
        heavy = "twisted", "httptools", "h2", "autobahn", "jinja2", "argparse", "logging", "ipaddress", "difflib"
        code = f"import sys, skitai; print([name for name in {heavy!r} if name in sys.modules])"
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=_root())
        self.assertEqual(shown.stdout.strip(), b"[]")


def _root() -> str:
    return os.path.dirname(os.path.dirname(os.path.abspath(skitai.__file__)))


class PrefTest(SynchronousTestCase):
    """Preferences."""

    def test_attributes_and_items(self) -> None:
        """Items are attributes, in ``config`` too."""
        pref = skitai.pref()
        pref.use_reloader = 1
        pref.config["prefA"] = 1
        pref.config.prefB = 2
        self.assertEqual(pref, {"use_reloader": 1, "config": {"prefA": 1, "prefB": 2}})
        self.assertEqual((pref["use_reloader"], pref.config.prefA, pref.config.get("none")), (1, 1, None))
        self.assertIn("prefA", dir(pref.config))

    def test_missing(self) -> None:
        """What is not there is an AttributeError, so that ``hasattr`` and ``copy`` work."""
        pref = skitai.pref()
        self.assertFalse(hasattr(pref, "debug"))
        with self.assertRaises(AttributeError):
            del pref.debug
        pref.debug = True
        del pref.debug
        self.assertNotIn("debug", pref)
        self.assertIsInstance(pref.copy(), AttributeDictionary)

    def test_two_are_two(self) -> None:
        """Preferences share nothing."""
        first = skitai.pref()
        first.config.x = 1
        self.assertEqual(skitai.pref().config, {})


class MountTest(Case):
    """``mount()``, ``vmount()`` and the keyword ``mount``."""

    def test_mount(self) -> None:
        """A mount is recorded with the globals of its caller."""
        pref = skitai.pref()
        skitai.mount("/v1/", "app_v1", "app", pref)
        (mount,) = self.declaration.mounts
        self.assertEqual((mount.point, mount.target, mount.appname, mount.host), ("/v1", "app_v1", "app", None))
        self.assertIs(mount.pref, pref)
        self.assertIs(mount.origin, globals())
        self.assertEqual(self.faults(), [])

    def test_vmount(self) -> None:
        """A virtual host's mount has its host."""
        skitai.vmount("www.site1.com .site2.com", "/", application)
        (mount,) = self.declaration.mounts
        self.assertEqual((mount.host, mount.point), ("www.site1.com .site2.com", "/"))
        self.assertIs(mount.target, application)
        self.assertIs(mount.origin, globals())

    def test_file_and_name_in_one(self) -> None:
        """A target may hold the file and the name of the application."""
        skitai.mount("/p", ("app_v1", "app2"))
        (mount,) = self.declaration.mounts
        self.assertEqual((mount.target, mount.appname), ("app_v1", "app2"))

    def test_kinds(self) -> None:
        """Directories, aliases and applications are told apart."""
        for target in ("static", "@members", "app_v1", application, os):
            skitai.mount("/", target)
        kinds = [mount.kind(self.base) for mount in self.declaration.mounts]
        self.assertEqual(kinds, ["static", "alias", "app", "app", "app"])

    def test_wrong(self) -> None:
        """Each wrong part is a fault that names it, and nothing is raised before the start."""
        for parts, wanted in {
            ("pp", application): "mount point 'pp' must be a path that starts with '/'",
            (5, application): "mount point 5",
            ("/a?b", application): "mount point '/a?b'",
            ("/1", 5): "mount '/1': 5 is no application",
            ("/2", ""): "mount '/2': '' is no application",
            ("/3", (5, "x")): "mount '/3': (5, 'x') is no application",
            ("/4", application, "a b"): "mount '/4': the application's name must be that of a variable, not 'a b'",
            ("/5", application, "app", 5): "mount '/5': the preferences must come from skitai.pref()",
            ("/6", application, "app", None, 5): "mount '/6' of 5: the host must be a name",
            ("/7", "nix.py"): f"mount '/7': there is no file or directory {os.path.join(self.base, 'nix.py')!r}",
            ("/8", "@nix"): "mount '/8': there is no alias '@nix'",
        }.items():
            self.declaration.mounts.clear()
            self.declaration.faults.clear()
            skitai.mount(*parts)
            self.assertEqual(len(self.faults()), 1, parts)
            self.assertTrue(self.faults()[0].startswith(wanted), self.faults())

    def test_nothing_mounted(self) -> None:
        """No mount is a fault that says what to do."""
        error = self.assertRaises(ConfigError, self.declaration.check)
        self.assertEqual(str(error), "nothing is mounted: call skitai.mount('/', app) before skitai.run()")

    def test_two_applications_at_one_place(self) -> None:
        """A second application could never be reached; several directories and other hosts are fine."""
        skitai.mount("/", "static")
        skitai.mount("/", "static")
        skitai.mount("/", application)
        skitai.vmount("x", "/", application)
        self.assertEqual(self.faults(), [])
        skitai.mount("/", "app_v1")
        self.assertEqual(self.faults(), ["mount '/' is given twice"])

    def keyword(self, value: Any) -> list[tuple[Any, ...]]:
        """Return the mounts that the keyword makes, as tuples."""
        self.declaration.accept({"mount": value}, globals())
        return [(mount.point, mount.target, mount.appname) for mount in self.declaration.mounts]

    def test_keyword_tuple(self) -> None:
        """One tuple is one mount."""
        self.assertEqual(self.keyword(("/", application)), [("/", application, "app")])
        self.assertIs(self.declaration.mounts[0].origin, globals())

    def test_keyword_list(self) -> None:
        """A list holds tuples, whose target may be a pair of file and name."""
        made = self.keyword(
            [("/a", ("app_v1", "app2")), ("/b", "static"), ("/c", "app_v1", "app3"), ["/d", (os, "x.py")]]
        )
        wanted = [
            ("/a", "app_v1", "app2"),
            ("/b", "static", "app"),
            ("/c", "app_v1", "app3"),
            ("/d", (os, "x.py"), "app"),
        ]
        self.assertEqual(made, wanted)

    def test_keyword_dictionary(self) -> None:
        """A dictionary goes from point to target."""
        made = self.keyword({"/admin": application, "/x": ("app_v1", "y")})
        self.assertEqual(made, [("/admin", application, "app"), ("/x", "app_v1", "y")])

    def test_keyword_wrong(self) -> None:
        """What can not be read is a fault, what can be is kept."""
        self.assertEqual(
            self.keyword([("/", application), ("/x",), 5, ("y", application)]), [("/", application, "app")]
        )
        self.assertEqual(len(self.faults()), 3)
        self.assertEqual(self.keyword(5), [("/", application, "app")])
        self.assertIn("mount must be a tuple, a list of tuples or a dictionary, not 5", self.faults())

    def test_keyword_wins(self) -> None:
        """A mount of ``run()`` replaces that of the same sort at the same place, and no other."""
        skitai.mount("/", application)
        skitai.mount("/", "static")
        skitai.mount("/a", application)
        made = self.keyword(("/", "app_v1"))
        self.assertEqual(made, [("/", "static", "app"), ("/a", application, "app"), ("/", "app_v1", "app")])


class LocateTest(Case):
    """Where a target is on the disk."""

    def test_files_and_directories(self) -> None:
        """ ".py" may be left away; relative paths start at the base directory."""
        path = os.path.join(self.base, "app_v1.py")
        for target in ("app_v1", "app_v1.py", path, "./app_v1"):
            self.assertEqual(locate(target, self.base), path, target)
        self.assertEqual(locate("static", self.base), os.path.join(self.base, "static"))

    def test_no_path(self) -> None:
        """Objects and aliases have none."""
        self.assertIs(locate(application, self.base), None)
        self.assertIs(locate("@members", self.base), None)

    def test_module(self) -> None:
        """A module exports from its directory, a file of any name."""
        places = os.path.join(self.base, "unsub", "export", "skitai")
        os.makedirs(places)
        for name in ("app.py", "app_v1.py"):
            with open(os.path.join(places, name), "w", encoding="utf-8"):
                pass
        module = types.ModuleType("unsub")
        module.__file__ = os.path.join(self.base, "unsub", "__init__.py")
        self.assertEqual(locate(module, self.base), os.path.join(places, "app.py"))
        self.assertEqual(locate((module, "app_v1.py"), "/"), os.path.join(places, "app_v1.py"))
        self.assertEqual(locate((module, "app_v1"), "/"), os.path.join(places, "app_v1.py"))
        error = self.assertRaises(ValueError, locate, (module, "nix.py"), "/")
        self.assertIn(os.path.join(places, "nix.py"), str(error))

    def test_module_without_directory(self) -> None:
        """A built-in module exports nothing."""
        error = self.assertRaises(ValueError, locate, sys, "/")
        self.assertIn("module 'sys' has no directory", str(error))


class AliasTest(Case):
    """``alias()`` and the keyword ``clusters``."""

    def test_alias(self) -> None:
        """The manual's examples."""
        skitai.alias(
            "@members", skitai.PROTO_HTTP, "members.example.com", role="admin", source="172.30.1.0/24,192.168.1/24"
        )
        skitai.alias("@mysqlite3", skitai.DB_SQLITE3, ["/var/tmp/db1", "/var/tmp/db2"])
        self.assertEqual(self.faults(), [])
        alias = self.declaration.aliases["@members"]
        self.assertEqual((alias.type, alias.members, alias.role), ("http", ("members.example.com",), "admin"))
        self.assertEqual([str(network) for network in alias.source], ["172.30.1.0/24", "192.168.1.0/24"])
        self.assertFalse(alias.ssl)
        self.assertEqual(self.declaration.aliases["@mysqlite3"].members, ("/var/tmp/db1", "/var/tmp/db2"))

    def test_words(self) -> None:
        """A type may be its word, also a misspelt one that the manual has; TLS follows from some."""
        for number, (word, kind) in enumerate(
            {"https": "https", "postgresql": "postgresql", "postresql": "postgresql", "WSS": "wss"}.items()
        ):
            skitai.alias(f"@{number}", word, "h:1")
            self.assertEqual(self.declaration.aliases[f"@{number}"].type, kind)
        self.assertEqual([alias.ssl for alias in self.declaration.aliases.values()], [True, False, False, True])

    def test_every_type(self) -> None:
        """Each constant is a type."""
        for kind in constants.ALIAS_TYPES:
            skitai.alias(kind, kind, "h")
        self.assertEqual(self.faults(), [])
        self.assertEqual(len(self.declaration.aliases), 8)

    def test_members(self) -> None:
        """Ports, paths, weights, IPv6 addresses and database members."""
        members = ["a", "a:80", "a:80/x/y", "a:80 3", "[::1]:80/x 2", "h:5432/db/user/p@:ss"]
        skitai.alias("@a", "http", members)
        self.assertEqual(self.faults(), [])
        self.assertEqual(self.declaration.aliases["@a"].members, tuple(members))

    def test_wrong(self) -> None:
        """Each wrong part is a fault that names the alias, but never what may be a password."""
        for parts, wanted in {
            ("", "http", "h"): "alias '': the name must be",
            ("@a b", "http", "h"): "alias '@a b': the name must be",
            ("@a", "htp", "h"): "alias '@a': the type must be one of",
            ("@a", 5, "h"): "alias '@a': the type must be one of",
            ("@a", "http", ()): "alias '@a': it needs at least one member",
            ("@a", "http", None): "alias '@a': it needs at least one member",
            ("@a", "http", ("h", 5)): "alias '@a': a member must be a text, not int",
            ("@a", "http", "h:0"): "alias '@a': member 'h:0' has no port from 1 to 65535",
            ("@a", "http", "h:99999"): "alias '@a': member 'h:99999' has no port from 1 to 65535",
            ("@a", "http", "h 0"): "alias '@a': member 'h 0' has a weight of 0",
            ("@a", "http", "http://127.0.0.1:1"): "alias '@a': member 'http://127.0.0.1:1' must be written without",
            (
                "@a",
                "https",
                "HTTPS://h/api 3",
            ): "alias '@a': member 'HTTPS://h/api 3' must be written without 'HTTPS://'",
            ("@a", "http", "http://u:hush@h/x"): "alias '@a': member 'http://...@h/x' must be written without",
            ("@a", "postgresql", "postgresql://u:hush@h:1/db"): "alias '@a': member 'postgresql://...@h:1' must be",
            ("@a", "redis", "redis://h:1/0/u/hush"): "alias '@a': member 'redis://h:1' must be written without",
            ("@a", "http", "h/x://y"): "alias '@a': member 'h' must look like",
            ("@a", "postgresql", "h:x/db/u/hush"): "alias '@a': member 'h:x' must look like",
            ("@a", "http", "h", 5): "alias '@a': the role must be a text",
            ("@a", "http", "h", "", "1.2.3.4/99"): "alias '@a': source must be an address or network",
        }.items():
            self.declaration.faults.clear()
            skitai.alias(*parts)
            self.assertEqual(len(self.declaration.faults), 1, parts)
            self.assertTrue(self.declaration.faults[0].startswith(wanted), self.declaration.faults)
            self.assertNotIn("hush", self.declaration.faults[0])

    def test_suggestion(self) -> None:
        """A misspelt type gets a suggestion."""
        skitai.alias("@a", "mongdb", "h")
        self.assertIn("(did you mean mongodb?)", self.declaration.faults[0])

    def test_clusters(self) -> None:
        """The keyword is a dictionary of type and members and wins over ``alias()``."""
        skitai.alias("@mysearch", "http", "old")
        members = ["s1.myserver.com:443", "s2.myserver.com:443"]
        self.declaration.accept({"clusters": {"@mysearch": ("https", members), "b": ("redis", "h", "r", "::1")}}, None)
        self.assertEqual(self.faults(), [])
        self.assertEqual(self.declaration.aliases["@mysearch"].members, tuple(members))
        self.assertEqual(self.declaration.aliases["@b"].role, "r")

    def test_clusters_wrong(self) -> None:
        """Anything else is a fault."""
        self.declaration.accept({"clusters": {"@a": "http", "@b": ("http",)}}, None)
        self.declaration.accept({"clusters": [1]}, None)
        self.assertEqual(len(self.faults()), 3)

    def test_twice(self) -> None:
        """One name is one cluster."""
        skitai.alias("@a", "http", "h")
        skitai.alias("a", "http", "h")
        self.assertEqual(self.declaration.faults, ["alias '@a' is given twice"])


class CronTest(Case):
    """``cron()`` and cron expressions."""

    def test_cron(self) -> None:
        """The manual's examples."""
        skitai.cron("*/2 */2 * * *", "/home/apps/monitor.py  > /home/apps/monitor.log 2>&1")
        skitai.cron("9 2/12 * * *", "/home/apps/remove_pended_files.py > /dev/null 2>&1")
        self.assertEqual(self.faults(), [])
        first, second = self.declaration.crons
        self.assertEqual(first.schedule.minutes, frozenset(range(0, 60, 2)))
        self.assertEqual((second.schedule.minutes, second.schedule.hours), (frozenset({9}), frozenset({2, 14})))

    def test_fields(self) -> None:
        """Ranges, steps, lists and names; Sunday is 0 and 7."""
        made = Schedule.parse("0,30 9-17/4 1-3 JAN,dec sun-tue,7")
        self.assertEqual(made.minutes, {0, 30})
        self.assertEqual(made.hours, {9, 13, 17})
        self.assertEqual(made.days, {1, 2, 3})
        self.assertEqual(made.months, {1, 12})
        self.assertEqual(made.weekdays, {0, 1, 2})
        self.assertEqual(Schedule.parse("* * * * *").weekdays, frozenset(range(7)))
        self.assertEqual(Schedule.parse("* * * * 5-7").weekdays, {5, 6, 0})

    def test_day_and_weekday(self) -> None:
        """Only when both are restricted it is enough that one fits."""
        for text, either in {"* * 1 * 1": True, "* * 1 * *": False, "* * * * 1": False, "* * */2 * 1": False}.items():
            self.assertIs(Schedule.parse(text).any_day, either, text)

    def test_wrong(self) -> None:
        """Each wrong part is a fault that shows the schedule."""
        for text, wanted in {
            "* * * *": "a schedule has five fields (minute hour day month weekday), not 4",
            "60 * * * *": "'60' is not a minute (0 to 59)",
            "* 24 * * *": "'24' is not a hour (0 to 23)",
            "* * 0 * *": "'0' is not a day (1 to 31)",
            "* * * 13 *": "'13' is not a month (1 to 12)",
            "* * * * 8": "'8' is not a weekday (0 to 7)",
            "*/0 * * * *": "'0' is not a step",
            "*/x * * * *": "'x' is not a step",
            "5-2 * * * *": "'5-2' runs backwards",
            "1,,2 * * * *": "'' is not a minute (0 to 59)",
            "-5 * * * *": "'' is not a minute (0 to 59)",
            "* * * foo *": "'foo' is not a month (1 to 12)",
        }.items():
            self.declaration.faults.clear()
            skitai.cron(text, "x")
            self.assertEqual(self.declaration.faults, [f"cron {text!r}: {wanted}"])

    def test_wrong_types(self) -> None:
        """Schedule and command are texts."""
        skitai.cron(5, "x")  # type: ignore[arg-type]
        skitai.cron("* * * * *", "")
        skitai.cron("* * * * *", None)  # type: ignore[arg-type]
        self.assertEqual(len(self.declaration.faults), 3)


class SettersTest(Case):
    """The functions that set one thing."""

    def test_options(self) -> None:
        """What concerns options is handed to ``resolve()``."""
        skitai.set_keep_alive(300)
        skitai.enable_ssl("server.pem", "key.pem", "your pass phrase")
        wanted = {"certfile": "server.pem", "keyfile": "key.pem", "passphrase": "your pass phrase"}
        self.assertEqual(self.declaration.options, {"keep_alive_timeout": 300, **wanted})

    def test_max_age(self) -> None:
        """Seconds by path; the path starts with a slash."""
        skitai.set_max_age("/", 300)
        skitai.set_max_age("/js", 0)
        skitai.set_max_age("/img")
        self.assertEqual(self.declaration.max_age, {"/": 300, "/js": 0, "/img": 300})
        skitai.set_max_age("js")
        skitai.set_max_age("/", -1)
        self.assertEqual(self.declaration.faults[0], "set_max_age: path must start with '/', not 'js'")
        self.assertTrue(self.declaration.faults[1].startswith("set_max_age: max_age of '/' must be a time in seconds"))

    def test_max_rcache(self) -> None:
        """A number of results."""
        skitai.set_max_rcache(5)
        self.assertEqual(self.declaration.max_rcache, 5)
        skitai.set_max_rcache(-1)
        self.assertTrue(self.declaration.faults[0].startswith("set_max_rcache: objmax must be a number"))

    def test_features(self) -> None:
        """Arguments are read, sizes also as texts."""
        skitai.enable_proxy("10/8", credentials=("u", "p"))
        skitai.enable_gateway(True, "8fa06210")
        skitai.enable_cachefs("64M", 100, "/c")
        skitai.enable_smtpda("127.0.0.1:25", "user", "password", ssl=False, max_retry=10, keep_days=3)
        self.assertEqual(self.faults(), [])
        features = self.declaration.features
        self.assertEqual([str(network) for network in features["enable_proxy"]["source"]], ["10.0.0.0/8"])
        self.assertEqual(features["enable_gateway"]["secure_key"], b"8fa06210")
        self.assertEqual(features["enable_cachefs"], {"memmax": 64 << 20, "diskmax": 100, "path": "/c"})
        self.assertEqual(features["enable_smtpda"]["max_retry"], 10)

    def test_wrong_features(self) -> None:
        """What can not be read is a fault that names function and argument."""
        skitai.enable_cachefs(memmax="x")
        skitai.enable_proxy(credentials="u")  # type: ignore[arg-type]
        self.assertTrue(self.faults()[0].startswith("enable_cachefs: memmax must be a size"))
        self.assertEqual(self.faults()[1], "enable_proxy: credentials must be a pair of user and password")


class AuthoritiesTest(Case):
    """``cafile`` and ``verify`` of an alias."""

    def test_a_file_beside_the_script(self) -> None:
        """Its path may be relative to the directory of the script, and an object."""
        with open(os.path.join(self.base, "ca.pem"), "wb"):
            pass
        skitai.alias("@a", "https", "h", cafile="ca.pem")
        skitai.alias("@b", "https", "h", cafile=Path("ca.pem"), verify=False)  # type: ignore[arg-type]
        skitai.alias("@c", "https", "h")
        self.assertEqual(self.declaration.faults, [])
        path = os.path.join(self.base, "ca.pem")
        self.assertEqual([alias.cafile for alias in self.declaration.clusters()], [path, path, None])

    def test_no_file(self) -> None:
        skitai.alias("@a", "https", "h", cafile="none.pem")
        path = os.path.join(self.base, "none.pem")
        self.assertIn(
            f"alias '@a': cafile must be a file, but there is none at {path!r}", self.declaration.all_faults()
        )

    def test_what_is_no_path(self) -> None:
        for number, extra in enumerate(({"cafile": 5}, {"cafile": ""}, {"cafile": "a\0b"}, {"verify": "no"})):
            skitai.alias(f"@{number}", "https", "h", **extra)  # type: ignore[arg-type]
        self.assertEqual(
            self.declaration.faults,
            [
                "alias '@0': cafile must be the path of a file, not 5",
                "alias '@1': cafile must be the path of a file, not ''",
                "alias '@2': cafile must be the path of a file, not 'a\\x00b'",
                "alias '@3': verify must be True or False, not 'no'",
            ],
        )


class AvailabilityTest(Case):
    """What later versions implement is refused at the start, each by its name."""

    def test_each_is_named(self) -> None:
        """One line names them all."""
        skitai.alias("@a", "http", "h")
        skitai.alias("@b", "postgresql", "h")
        skitai.mount("/", "@a")
        skitai.cron("* * * * *", "x")
        skitai.enable_proxy()
        skitai.enable_gateway()
        skitai.enable_cachefs()
        skitai.enable_smtpda()
        error = self.assertRaises(NotAvailable, self.declaration.check)
        for name in ("alias '@b' of postgresql", "mount '/' of '@a'", "cron '* * * * *'", "enable_proxy()"):
            self.assertIn(f"{name} is not available yet", error.faults)
        for name in ("enable_gateway()", "enable_cachefs()", "enable_smtpda()"):
            self.assertIn(f"{name} is not available yet", error.faults)
        self.assertEqual(len(error.faults), 7)

    def test_available(self) -> None:
        """TLS, static ages, clusters of HTTP servers and the rest of the mounts are."""
        skitai.mount("/", application)
        skitai.alias("@a", "http", "h")
        skitai.alias("@b", skitai.PROTO_HTTPS, ["h", "h:444 3"])
        skitai.set_max_rcache(5)
        skitai.mount("/", "static")
        skitai.enable_ssl("c.pem")
        skitai.set_max_age("/", 5)
        self.declaration.check()

    def test_faults_come_first(self) -> None:
        """A fault is not hidden by what is not available."""
        skitai.cron("* * * * *", "x")
        skitai.mount("x", application)
        error = self.assertRaises(ConfigError, self.declaration.check)
        self.assertNotIsInstance(error, NotAvailable)


class DirectoryTest(Case):
    """``getswd()`` and ``joinpath()``."""

    def test_base_directory(self) -> None:
        """Both follow the declaration's directory."""
        self.assertEqual(skitai.getswd(), self.base)
        self.assertEqual(skitai.joinpath("a", "..", "b.txt"), os.path.join(self.base, "b.txt"))
        self.assertEqual(skitai.joinpath("/etc/x"), "/etc/x")
        self.assertEqual(skitai.joinpath(), self.base)

    def test_before_run(self) -> None:
        """Before ``run()`` it is the directory of the main script, wherever it was started from."""
        script = os.path.join(self.base, "script.py")
        with open(script, "w", encoding="utf-8") as file:
            file.write("import skitai\nprint(skitai.getswd())\nprint(skitai.joinpath('x'))\n")
        environment = {**os.environ, "PYTHONPATH": _root()}
        shown = subprocess.run(
            [sys.executable, os.path.relpath(script, "/")], capture_output=True, check=True, cwd="/", env=environment
        )
        self.assertEqual(shown.stdout.decode().split(), [self.base, os.path.join(self.base, "x")])

    def test_symbolic_link(self) -> None:
        """Of a script that is a link, the directory of the file itself counts, as for Python's imports."""
        os.makedirs(os.path.join(self.base, "bin"))
        with open(os.path.join(self.base, "script.py"), "wb"):
            pass
        link = os.path.join(self.base, "bin", "link.py")
        os.symlink("../script.py", link)
        self.assertEqual(declare.directory_of({"__file__": link}), os.path.realpath(self.base))
        itself = make_mount("/", link, origin={"__file__": link})
        self.assertEqual(itself.target, os.path.realpath(os.path.join(self.base, "script.py")))
        self.assertEqual(make_mount("/", link, origin={}).target, link)

    def test_no_script(self) -> None:
        """Without a file it is the working directory."""
        self.assertEqual(declare.directory_of({}), os.getcwd())
        self.assertEqual(declare.directory_of({"__file__": "/a/b.py"}), "/a")


class Records(logging.Handler):
    """Keeps messages."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.messages.append(record.getMessage())


class LoadingTest(Case):
    """What an application file declares while it is loaded as a mount."""

    def setUp(self) -> None:
        """Catch warnings."""
        super().setUp()
        self.records = Records()
        logger = logging.getLogger("skitai")
        self.patch(logger, "propagate", False)
        logger.addHandler(self.records)
        self.addCleanup(logger.removeHandler, self.records)

    def test_ignored_with_one_warning(self) -> None:
        """``run()`` and everything else have no effect; one warning names them."""
        with declare.loading("/a/app_v1.py"):
            skitai.mount("/x", application)
            skitai.cron("* * * * *", "x")
            skitai.run(port=1)
        self.assertEqual((self.declaration.mounts, self.declaration.crons, self.declaration.keywords), ([], [], {}))
        (message,) = self.records.messages
        self.assertIn("/a/app_v1.py is mounted, so its run(), mount(), cron() had no effect", message)

    def test_quiet(self) -> None:
        """A file that declares nothing is not warned about."""
        with declare.loading("/a/app_v1.py"):
            skitai.pref()
            self.assertEqual(skitai.getswd(), self.base)
        self.assertEqual(self.records.messages, [])

    def test_afterwards(self) -> None:
        """Declarations count again afterwards, also when loading failed; so ``bootstrap()`` can mount."""
        with self.assertRaises(ZeroDivisionError), declare.loading("x"):
            raise ZeroDivisionError
        skitai.mount("/x", application)
        self.assertEqual(len(self.declaration.mounts), 1)

    def test_other_threads(self) -> None:
        """Another thread's declarations count meanwhile."""
        import threading

        with declare.loading("x"):
            thread = threading.Thread(target=skitai.mount, args=("/x", application))
            thread.start()
            thread.join()
        self.assertEqual(len(self.declaration.mounts), 1)

    def test_run_while_running(self) -> None:
        """``run()`` is ignored with a warning once the server runs."""
        self.declaration.stage = Stage.RUNNING
        skitai.run(port=1)
        self.assertEqual(self.declaration.keywords, {})
        (message,) = self.records.messages
        self.assertIn("the server runs already", message)

    def test_recorded(self) -> None:
        """In a file that twistd loads, ``run()`` leaves its keywords and returns."""
        self.declaration.stage = Stage.RECORDED
        skitai.run(port=1, mount=("/", application))
        self.assertEqual(self.declaration.keywords["port"], 1)
        self.assertEqual(len(self.declaration.mounts), 1)
        self.assertEqual(self.records.messages, [])
