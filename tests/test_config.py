"""Options: how values are read, which source wins, and how faults are told."""

from __future__ import annotations

import dataclasses
import os
import sys
from ipaddress import ip_network
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai import config, settings, values
from skitai.config import OPTIONS, Settings, resolve
from skitai.errors import ConfigError


class ValuesTest(SynchronousTestCase):
    """Each kind of value."""

    def check(self, kind: values.Kind[Any], good: dict[Any, Any], bad: list[Any]) -> None:
        """Check what ``kind`` makes of good values and that it refuses bad ones with "must be"."""
        for value, expected in good.items():
            self.assertEqual(kind.parse(value), expected, f"{value!r}")
        for value in bad:
            error = self.assertRaises(ValueError, kind.parse, value)
            self.assertTrue(str(error).startswith("must be "), f"{value!r}: {error}")

    def test_size(self) -> None:
        """A size is a number of bytes or a text with a binary unit."""
        good = {0: 0, "10": 10, "64K": 65536, "64M": 64 << 20, "1.5k": 1536, "2 GiB": 2 << 30, "1gb": 1 << 30, "7b": 7}
        self.check(values.Size(), good, ["", "-1", -1, "64X", "M", 1.5, True, None, "1e3", "٣", "9" * 400])

    def test_size_least(self) -> None:
        """A size below the least is refused."""
        self.check(values.Size(10), {10: 10}, [9, "9"])

    def test_seconds(self) -> None:
        """A time is a number of seconds or a text with a unit."""
        good = {1: 1.0, 0.5: 0.5, "30": 30.0, "1.5s": 1.5, "2m": 120.0, "1H": 3600.0}
        self.check(values.Seconds(), good, [0, "0", -1, "x", "", True, float("nan"), float("inf"), "1d", None])
        self.check(values.Seconds(zero=True), {0: 0.0, "0": 0.0}, [-1])

    def test_integer(self) -> None:
        """A number is whole and within its bounds, both included."""
        self.check(values.Integer(0, 5), {0: 0, 5: 5, " 3 ": 3, "+2": 2}, [-1, 6, "6", 2.0, "x", "", True, None, "0x1"])

    def test_switch(self) -> None:
        """A switch takes truth values and the words for them."""
        good = {True: True, False: False, "on": True, "YES": True, "off": False, "0": False, "False": False}
        self.check(values.Switch(), good, ["maybe", 2, None, 0.5, ""])

    def test_choice(self) -> None:
        """A choice takes its words only."""
        self.check(values.Choice("a", "b"), {"a": "a"}, ["c", "A", 1, None])

    def test_address(self) -> None:
        """An address is IPv4 or IPv6, the latter also in brackets."""
        good = {"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1", "::": "::", "[::1]": "::1", "0.0.0.0": "0.0.0.0"}
        self.check(
            values.Address(), good, ["", "example.com", "1.2.3", "256.0.0.1", "1.2.3.4:80", "01.2.3.4", ":::", 5]
        )

    def test_networks(self) -> None:
        """Networks come as a text with commas or as a sequence, in short forms too, with host bits or without."""
        several: Any = values.Several(values.ProxyKind())
        self.assertEqual(several.show(several.parse("unix, 10.0.0.1")), "unix, 10.0.0.1/32")
        self.assertIn('or "unix"', str(self.assertRaises(ValueError, several.parse, "unit")))
        several = values.Several(values.NetworkKind())
        self.assertRaises(ValueError, several.parse, "unix")
        wanted = (ip_network("172.30.1.0/24"), ip_network("192.168.1.0/24"))
        self.assertEqual(several.parse("172.30.1.0/24, 192.168.1/24"), wanted)
        self.assertEqual(several.parse(["172.30.1.7/24", "192.168.1"]), wanted)
        self.assertEqual(several.parse("10/8,::1"), (ip_network("10.0.0.0/8"), ip_network("::1/128")))
        self.assertEqual(several.parse(wanted), wanted)
        self.check(several, {"": ()}, ["x", "10.0.0.0/33", "1.2.3.4.5", ["a"], 5, "fe80::/129"])

    def test_path(self) -> None:
        """A path is a text or a path object; "~" is the home directory."""
        self.assertEqual(values.Path().parse("~/x"), os.path.expanduser("~/x"))
        self.check(values.Path(), {"a/b": "a/b"}, ["", "a\0b", 5, None, b"x"])

    def test_secrets_are_not_repeated(self) -> None:
        """No message about a secret has its value in it."""
        for kind in (values.Secret(), values.Key(), values.Credentials()):
            error = self.assertRaises(ValueError, kind.parse, ["hush"])
            self.assertNotIn("hush", str(error))

    def test_shown_as_written(self) -> None:
        """A default is shown in the form that a user would write."""
        self.assertEqual(values.Size().show(65536), "64K")
        self.assertEqual(values.Size().show(1 << 30), "1G")
        self.assertEqual(values.Size().show(1000), "1000")
        self.assertEqual(values.Size().show(0), "0")
        self.assertEqual(values.Seconds().show(2.0), "2")
        self.assertEqual(values.Switch().show(False), "off")


class TableTest(SynchronousTestCase):
    """The table is complete and consistent."""

    def test_every_option_is_described(self) -> None:
        """Each has a group, a help that ends as a sentence, and a default its own kind reads back."""
        for option in OPTIONS:
            self.assertIn(option.group, config.GROUPS, option.name)
            self.assertTrue(option.help.endswith("."), option.name)
            if option.describe_default():
                self.assertEqual(option.kind.parse(option.describe_default()), option.default, option.name)

    def test_units(self) -> None:
        """Whatever is a size or a time says in what."""
        for option in OPTIONS:
            if isinstance(option.kind, values.Size):
                self.assertTrue(option.unit.startswith("bytes"), option.name)
            if isinstance(option.kind, values.Seconds):
                self.assertEqual(option.unit, "seconds", option.name)

    def test_documented_defaults(self) -> None:
        """The defaults that are promised."""
        promised = {
            "address": "127.0.0.1",
            "port": 5000,
            "threads": 4,
            "workers": 1,
            "keep_alive_timeout": 2.0,
            "head_timeout": 30.0,
            "graceful_timeout": 10.0,
            "proxy_timeout": 60.0,
            "max_head_size": 65536,
            "max_target_size": 16384,
            "max_post_body_size": 1 << 30,
            "compression_min_size": 1024,
            "compression_enabled": True,
            "early_hints": False,
            "access_log_format": "text",
            "logpath": None,
            "trusted_proxies": (),
        }
        made = Settings()
        self.assertEqual({name: getattr(made, name) for name in promised}, promised)

    def test_least_response_size(self) -> None:
        """However small, it is the user's business."""
        self.assertEqual(resolve({}, {"max_response_size": 1}, {}).max_response_size, 1)
        self.assertRaises(ConfigError, resolve, {}, {"max_response_size": 0}, {})

    def test_default_reactor(self) -> None:
        """epoll where there is one."""
        self.assertEqual(Settings().reactor, "epoll" if sys.platform.startswith("linux") else "default")

    def test_small_values(self) -> None:
        """What lower layers get has the same defaults as the options, and follows them."""
        made = Settings()
        self.assertEqual(made.limits, settings.Limits())
        self.assertEqual(made.pool, settings.PoolSettings())
        self.assertEqual(made.log, settings.LogSettings())
        self.assertEqual(made.compression, settings.CompressionSettings())
        changed = resolve({}, {"threads": 7, "max_head_size": "32K", "compression": False, "log_rotate_keep": 3}, {})
        self.assertEqual(changed.pool.threads, 7)
        self.assertEqual(changed.limits.max_head_size, 32768)
        self.assertFalse(changed.compression.enabled)
        self.assertEqual(changed.log.rotate_keep, 3)

    def test_frozen(self) -> None:
        """Settings can not be changed."""
        with self.assertRaises(dataclasses.FrozenInstanceError):
            Settings().port = 1  # type: ignore[misc]

    def test_reference(self) -> None:
        """The reference page has every option, its default and its unit, but no secret on the command line."""
        page = config.reference()
        for option in OPTIONS:
            self.assertIn(f"\n``{option.name}``", page)
        self.assertIn("``--max-head-size SIZE``", page)
        self.assertIn("``--no-compression``", page)
        self.assertIn("Default: ``64K``; unit: bytes.", page)
        self.assertNotIn("--passphrase", page)


class ResolveTest(SynchronousTestCase):
    """Which source wins."""

    def test_precedence(self) -> None:
        """Command line, then keywords, then functions, then defaults."""
        declared = {"keep_alive_timeout": 5, "port": 1, "threads": 1}
        keywords = {"port": 2, "threads": 2}
        made = resolve({"threads": "3"}, keywords, declared)
        self.assertEqual((made.threads, made.port, made.keep_alive_timeout, made.address), (3, 2, 5.0, "127.0.0.1"))

    def test_none_is_nothing(self) -> None:
        """A keyword that is None says nothing."""
        self.assertEqual(resolve({}, {"port": None}, {"port": 8}).port, 8)

    def test_declaring_keywords_are_no_options(self) -> None:
        """``mount`` and ``clusters`` belong to the declaration."""
        self.assertEqual(resolve({}, {"mount": [], "clusters": {}}, {}), Settings())

    def test_all_faults_in_one_line(self) -> None:
        """Every fault of every source is named, once, in one line."""
        error = self.assertRaises(
            ConfigError, resolve, {"threads": "x"}, {"prot": 5, "max_head_size": "-"}, {"keep_alive_timeout": -1}
        )
        self.assertEqual(len(error.faults), 4)
        self.assertNotIn("\n", str(error))
        self.assertIn("--threads must be a number from 0 to 1000, not 'x'", error.faults)
        self.assertIn("there is no option 'prot' (did you mean port?)", error.faults)
        self.assertEqual(str(error), "; ".join(error.faults))

    def test_fault_that_is_overridden(self) -> None:
        """A wrong value is wrong even where a better source overrides it."""
        error = self.assertRaises(ConfigError, resolve, {"port": "5"}, {"port": "x"}, {})
        self.assertEqual(error.faults, ("port must be a number from 0 to 65535, not 'x'",))

    def test_unknown_without_suggestion(self) -> None:
        """Nothing is suggested where nothing is close."""
        error = self.assertRaises(ConfigError, resolve, {}, {"zzzzzz": 1}, {})
        self.assertEqual(str(error), "there is no option 'zzzzzz'")

    def test_paths(self) -> None:
        """Relative paths are relative to the base directory."""
        made = resolve({}, {"logpath": "logs", "varpath": "/v"}, {}, "/srv/app")
        self.assertEqual((made.logpath, made.varpath), ("/srv/app/logs", "/v"))

    def test_certificate_that_is_not_there(self) -> None:
        """A missing certificate is named with the path that was looked at."""
        directory = self.mktemp()
        os.makedirs(directory)
        error = self.assertRaises(ConfigError, resolve, {}, {}, {"certfile": "c.pem"}, os.path.abspath(directory))
        self.assertIn(os.path.join(os.path.abspath(directory), "c.pem"), str(error))
        self.assertIn("certfile must be a file", str(error))

    def test_another_certificate_does_not_keep_the_key_of_the_first(self) -> None:
        """A key belongs to the certificate it was named with."""
        declared = {"certfile": __file__, "keyfile": __file__, "passphrase": "secret"}
        self.assertEqual(resolve({}, {}, declared).keyfile, __file__)
        settings = resolve({}, {"certfile": __file__}, declared)
        self.assertEqual((settings.keyfile, settings.passphrase), (None, "secret"))
        self.assertEqual(resolve({"certfile": __file__, "keyfile": __file__}, {}, declared).keyfile, __file__)

    def test_key_without_certificate(self) -> None:
        """A key or pass phrase alone is a fault."""
        error = self.assertRaises(ConfigError, resolve, {}, {"passphrase": "p"}, {})
        self.assertEqual(str(error), "passphrase needs certfile")

    def test_passphrase_is_not_shown(self) -> None:
        """A pass phrase that can not be read is not repeated, and settings do not show theirs."""
        error = self.assertRaises(ConfigError, resolve, {}, {"passphrase": ["hush"]}, {})
        self.assertNotIn("hush", str(error))
        directory = os.path.abspath(self.mktemp())
        os.makedirs(directory)
        path = os.path.join(directory, "c.pem")
        with open(path, "w", encoding="ascii"):
            pass
        made = resolve({}, {"passphrase": "hush", "certfile": path}, {})
        self.assertEqual(made.passphrase, "hush")
        self.assertNotIn("hush", repr(made))

    def test_target_larger_than_head(self) -> None:
        """A target is part of the head."""
        error = self.assertRaises(ConfigError, resolve, {}, {"max_head_size": "8K"}, {})
        self.assertIn("max_target_size (16384) must not be larger than max_head_size (8192)", str(error))

    def test_varpath_default(self) -> None:
        """The user's state directory, and a fixed one for root."""
        self.patch(os, "geteuid", lambda: 0)
        self.assertEqual(config.default_varpath(), "/var/tmp/skitai")
        self.patch(os, "geteuid", lambda: 1000)
        self.patch(os, "environ", {"HOME": "/home/u", "XDG_STATE_HOME": "relative"})
        self.assertEqual(config.default_varpath(), "/home/u/.local/state/skitai")
        self.patch(os, "environ", {"HOME": "/home/u", "XDG_STATE_HOME": "/state"})
        self.assertEqual(config.default_varpath(), "/state/skitai")
