"""Sessions: what is kept, for how long, and what becomes of cookies that are not ours."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import ConfigError
from skitai.saddle.cookie import MAX_COOKIE_SIZE
from skitai.saddle.sealed import make_seal
from skitai.saddle.session import CSRF_KEY, RENEWAL_INTERVAL, Session, SessionSettings
from skitai.saddle.store import DEFAULT_TIMEOUT
from tests.saddle.visitor import Visitor


class Sessions(SynchronousTestCase):
    def setUp(self) -> None:
        self.visitor = Visitor()

    def put(self, **values: Any) -> None:
        with self.visitor.session() as session:
            session.update(values)

    def read(self) -> dict[str, Any]:
        with self.visitor.session() as session:
            return dict(session)

    @property
    def name(self) -> str:
        (name,) = self.visitor.kept
        return name


class DictionaryTests(Sessions):
    """A session is a dictionary."""

    def test_keeps_values(self) -> None:
        values = {"text": "é;\n", "int": 2**70, "float": 0.1, "yes": True, "no": None, "list": [1, {"a": []}], "d": {}}
        self.put(**values)
        self.assertEqual(self.read(), values)

    def test_manual(self) -> None:
        with self.visitor.session() as session:
            session.set("a", 1)
            session["b"] = 2
            self.assertEqual((session.get("a"), session["b"], session.get("c"), session.get("c", 3)), (1, 2, None, 3))
            self.assertIn("a", session)
            self.assertNotIn("c", session)
            self.assertTrue(session.has_key("a"))
            self.assertFalse(session.has_key("c"))
            self.assertEqual(len(session), 2)
            self.assertEqual((list(session), list(session.keys()), list(session.kyes())), (["a", "b"],) * 3)
            self.assertEqual((list(session.iterkeys()), list(session.iterkyes())), (["a", "b"],) * 2)
            self.assertEqual((list(session.values()), list(session.itervalues())), ([1, 2],) * 2)
            self.assertEqual((list(session.items()), list(session.iteritems())), ([("a", 1), ("b", 2)],) * 2)
            session.remove("a")
            session.remove("a")
            del session["b"]
            self.assertEqual(len(session), 0)
            with self.assertRaises(KeyError):
                session["a"]
            with self.assertRaises(KeyError):
                del session["a"]

    def test_other_methods_of_a_dictionary(self) -> None:
        with self.visitor.session() as session:
            self.assertEqual(session.setdefault("a", []), [])
            session["a"].append(1)
            session.update(b=2)
            self.assertEqual(session.pop("b"), 2)
        self.assertEqual(self.read(), {"a": [1]})

    def test_nested_changes_are_kept(self) -> None:
        self.put(cart={"items": [1]})
        with self.visitor.session() as session:
            session["cart"]["items"].append(2)
        self.assertEqual(self.read(), {"cart": {"items": [1, 2]}})

    def test_values_that_json_has_not(self) -> None:
        with self.visitor.session() as session:
            session["a"] = 1
            for value in (b"x", object(), {1: 2}, [{1, 2}]):
                with self.assertRaisesRegex(TypeError, "value of 'bad' can not be kept in a session: "):
                    session["bad"] = value
            with self.assertRaisesRegex(TypeError, "key 5 of a session must be a text"):
                session[5] = 1  # type: ignore[index]
        self.assertEqual(self.read(), {"a": 1})

    def test_nested_values_that_json_has_not(self) -> None:
        self.put(good=[1])
        cookie = self.visitor.cookie()
        session = Session(cookie, self.visitor.settings())
        session["bad"] = []
        session["bad"].append(b"x")
        with self.assertRaisesRegex(TypeError, "value of 'bad' can not be kept"):
            session.commit()
        # The page that reports it is committed too.
        session.commit()
        self.assertEqual((dict(session), cookie.header_values()), ({"good": [1]}, []))

    def test_too_large(self) -> None:
        with self.visitor.session() as session:
            session["a"] = "x" * 2900
            with self.assertRaisesRegex(
                ValueError, r"session of 4,\d\d\d bytes does not fit into a cookie, which holds 2,9"
            ):
                session["b"] = "x" * 1200
            self.assertNotIn("b", session)
        self.assertEqual(list(self.read()), ["a"])

    def test_too_large_by_a_nested_change(self) -> None:
        cookie = self.visitor.cookie()
        session = Session(cookie, self.visitor.settings())
        session["a"] = []
        session["a"].append("x" * 4000)
        with self.assertRaisesRegex(ValueError, "does not fit into a cookie"):
            session.commit()
        session.commit()
        self.assertEqual(cookie.header_values(), [])

    def test_room_does_not_depend_on_the_address(self) -> None:
        size = 4000
        while True:
            try:
                self.put(a="x" * size)
                break
            except ValueError:
                size -= 1
        self.assertGreater(size, 2900)
        self.assertLessEqual(len(self.name) + len(self.visitor.kept[self.name]), MAX_COOKIE_SIZE)
        self.visitor.address = "2001:db8:1111:2222:3333:4444:5555:6666%" + "e" * 500
        self.visitor.now += 100
        self.put(a="y" * size)
        self.assertEqual(self.read(), {"a": "y" * size})


class CookieTests(Sessions):
    """When a cookie is set, and which"""

    def test_attributes(self) -> None:
        self.put(a=1)
        (field,) = self.visitor.fields
        self.assertRegex(
            field,
            r"\ASESS_[0-9a-f]{4}=[\w-]+; Path=/; Expires=[^;]+; Max-Age=1200; HttpOnly; SameSite=Lax\Z",
        )
        self.assertEqual(self.name, "SESS_" + make_seal("the application's secret").fingerprint)

    def test_secure_under_tls(self) -> None:
        self.visitor.tls = True
        self.put(a=1)
        self.assertIn("; Secure; HttpOnly; SameSite=Lax", self.visitor.fields[0])

    def test_not_used(self) -> None:
        self.put(a=1)
        self.visitor.now += 500
        with self.visitor.session():
            pass
        self.assertEqual(self.visitor.fields, [])

    def test_not_used_needs_no_securekey(self) -> None:
        self.visitor.securekey = None
        with self.visitor.session():
            pass

    def test_only_read(self) -> None:
        self.put(a=1)
        self.read()
        self.assertEqual(self.visitor.fields, [])

    def test_empty_and_read(self) -> None:
        self.read()
        self.assertEqual(self.visitor.fields, [])

    def test_set_to_what_it_was(self) -> None:
        self.put(a=1)
        self.put(a=1)
        self.assertEqual(self.visitor.fields, [])

    def test_written_once(self) -> None:
        cookie = self.visitor.cookie()
        session = Session(cookie, self.visitor.settings())
        session["a"] = 1
        session.commit()
        before = cookie.header_values()
        session.commit()
        self.assertEqual(cookie.header_values(), before)
        self.assertEqual(session["a"], 1)

    def test_clear(self) -> None:
        self.put(a=1)
        name = self.name
        with self.visitor.session() as session:
            session.clear()
            self.assertEqual(len(session), 0)
        self.assertRegex(self.visitor.fields[0], rf"\A{name}=; Path=/; Expires=.*1970.*; Max-Age=0\Z")
        self.assertEqual(self.read(), {})

    def test_emptied_by_removing(self) -> None:
        self.put(a=1)
        with self.visitor.session() as session:
            del session["a"]
        self.assertEqual(self.visitor.kept, {})

    def test_cleared_without_a_cookie(self) -> None:
        with self.visitor.session() as session:
            session["a"] = 1
            session.clear()
        self.assertEqual(self.visitor.fields, [])

    def test_cleared_and_filled(self) -> None:
        self.put(a=1)
        with self.visitor.session() as session:
            session.clear()
            session["b"] = 2
        self.assertEqual(self.read(), {"b": 2})


class TimeoutTests(Sessions):
    """A session ends after a time without use."""

    def test_ends(self) -> None:
        self.visitor.now = 1_000_000_000
        self.put(a=1)
        self.visitor.now += DEFAULT_TIMEOUT
        self.assertEqual(self.read(), {})

    def test_lives_until_then(self) -> None:
        self.put(a=1)
        self.visitor.now += DEFAULT_TIMEOUT - 1
        self.assertEqual(self.read(), {"a": 1})

    def test_timeout_of_the_application(self) -> None:
        self.visitor.timeout = 90
        self.put(a=1)
        self.assertIn("; Max-Age=90;", self.visitor.fields[0])
        self.visitor.now += 90
        self.assertEqual(self.read(), {})

    def test_renewed_once_a_minute(self) -> None:
        self.put(a=1)
        self.visitor.now += RENEWAL_INTERVAL - 1
        self.read()
        self.assertEqual(self.visitor.fields, [])
        self.visitor.now += 1
        self.assertEqual(self.read(), {"a": 1})
        self.assertEqual(len(self.visitor.fields), 1)
        self.read()
        self.assertEqual(self.visitor.fields, [])

    def test_reader_keeps_it_alive(self) -> None:
        for timeout in (None, 30):
            self.visitor.timeout = timeout
            self.put(a=1)
            for _ in range(200):
                self.visitor.now += 14
                self.assertEqual(self.read(), {"a": 1})

    def test_old_copy_of_a_cookie(self) -> None:
        self.put(a=1)
        old = dict(self.visitor.kept)
        for _ in range(3):
            self.visitor.now += 500
            self.read()
        self.assertEqual(self.read(), {"a": 1})
        self.visitor.kept = old
        self.assertEqual(self.read(), {})

    def test_clock_of_another_server_ahead(self) -> None:
        self.put(a=1)
        self.visitor.now -= 5
        self.assertEqual(self.read(), {"a": 1})


class ForgeryTests(Sessions):
    """Cookies that are not ours"""

    def test_anything_is_an_empty_session(self) -> None:
        self.put(a=1)
        name, good = self.name, self.visitor.kept[self.name]
        for value in (
            "",
            "x",
            "{}",
            good[:-1],
            good[1:],
            good[:40] + "AB"[good[40] == "A"] + good[41:],
            "%FF",
            "=" * 9,
            "A" * 9000,
        ):
            self.visitor.kept = {name: value}
            self.assertEqual(self.read(), {}, value)
            # It may be what another program has a use for.
            self.assertEqual(self.visitor.fields, [], value)

    def test_replaced_when_used(self) -> None:
        self.put(a=1)
        self.visitor.kept[self.name] = "junk"
        self.put(b=2)
        self.assertEqual(self.read(), {"b": 2})

    def test_cleared_all_the_same(self) -> None:
        self.put(a=1)
        self.visitor.kept[self.name] = "junk"
        with self.visitor.session() as session:
            session.clear()
        self.assertEqual(self.visitor.kept, {})

    def test_another_securekey(self) -> None:
        self.put(a=1)
        sealed = self.visitor.kept[self.name]
        self.visitor.securekey = "another"
        self.assertEqual(self.read(), {})
        self.visitor.kept["SESS_" + make_seal("another").fingerprint] = sealed
        self.assertEqual(self.read(), {})

    def test_applications_with_one_key_share_it(self) -> None:
        self.put(a=1)
        other = Visitor()
        other.kept = self.visitor.kept
        with other.session() as session:
            self.assertEqual(session["a"], 1)

    def test_a_mbox_is_no_session(self) -> None:
        with self.visitor.mbox() as box:
            box.send("hello", "x")
        self.visitor.kept = {self.name.replace("MBOX", "SESS"): self.visitor.kept[self.name]}
        self.assertEqual(self.read(), {})

    def test_a_named_one_is_not_the_default_one(self) -> None:
        with self.visitor.session() as session:
            session.mount("ADM")
            session["admin"] = True
        self.visitor.kept = {
            "SESS_" + make_seal("the application's secret").fingerprint: self.visitor.kept["SESS__ADM"]
        }
        self.assertEqual(self.read(), {})


class SecurekeyTests(Sessions):
    """Nothing works without a securekey."""

    def test_missing(self) -> None:
        for key in (None, ""):
            self.visitor.securekey = key
            session = Session(self.visitor.cookie(), self.visitor.settings())
            for use in (
                lambda session=session: session["a"],
                lambda session=session: session.set("a", 1),
                lambda session=session: len(session),
                lambda session=session: "a" in session,
                lambda session=session: session.clear(),
                lambda session=session: session.exists(),
                lambda session=session: session.mount(None, "a key"),
                lambda session=session: session.mount("ADM"),
            ):
                with self.assertRaisesRegex(ConfigError, r"the session needs a securekey: set app\.securekey"):
                    use()

    def test_no_text(self) -> None:
        self.visitor.securekey = b"bytes"  # type: ignore[assignment]
        with self.assertRaisesRegex(ConfigError, "securekey must be a text, not bytes"):
            self.read()

    def test_not_shown(self) -> None:
        self.assertNotIn("hidden", repr(SessionSettings("hidden")))


class SourceTests(Sessions):
    """``source_verified`` and ``getv``"""

    def seen(self) -> tuple[bool, Any]:
        with self.visitor.session() as session:
            return session.source_verified(), session.getv("a", "no")

    def test_same_address(self) -> None:
        self.put(a=1)
        self.assertEqual(self.seen(), (True, 1))

    def test_another_address(self) -> None:
        self.put(a=1)
        self.visitor.address = "192.0.2.2"
        self.assertEqual(self.seen(), (False, "no"))
        with self.visitor.session() as session:
            self.assertIsNone(session.getv("a"))
            self.assertEqual(session.get("a"), 1)

    def test_renewal_does_not_verify(self) -> None:
        self.put(a=1)
        self.visitor.address = "192.0.2.2"
        self.visitor.now += 100
        self.assertEqual(self.seen(), (False, "no"))
        self.assertEqual(len(self.visitor.fields), 1)
        self.assertEqual(self.seen(), (False, "no"))

    def test_who_changes_it_is_the_source(self) -> None:
        self.put(a=1)
        self.visitor.address = "192.0.2.2"
        self.put(b=1)
        self.assertEqual(self.seen(), (True, 1))
        self.visitor.address = "192.0.2.1"
        self.assertEqual(self.seen(), (False, "no"))

    def test_signing_in_again_with_the_same_values(self) -> None:
        self.put(a=1)
        self.visitor.address = "192.0.2.2"
        self.put(a=1)
        self.assertEqual(self.seen(), (True, 1))

    def test_after_clear_it_is_new(self) -> None:
        self.put(a=1)
        self.visitor.address = "192.0.2.2"
        with self.visitor.session() as session:
            session.clear()
            session["a"] = 2
            self.assertEqual(session.getv("a"), 2)

    def test_new_session(self) -> None:
        with self.visitor.session() as session:
            session["a"] = 1
            self.assertEqual(session.getv("a"), 1)

    def test_address_that_is_none(self) -> None:
        self.visitor.address = '1"\n{"a":2}'
        self.put(a=1)
        self.assertEqual(self.seen(), (True, 1))


class NamedTests(Sessions):
    """``mount`` and ``exists``"""

    def test_beside_the_default_one(self) -> None:
        with self.visitor.session() as session:
            session["a"] = 1
            session.mount("ADM", "a key", path="/admin")
            self.assertNotIn("a", session)
            session["b"] = 2
            session.mount()
            self.assertEqual(dict(session), {"a": 1})
            session.mount("ADM")
            self.assertEqual(dict(session), {"b": 2})
        self.assertEqual(len(self.visitor.fields), 2)
        self.assertIn("; Path=/;", self.visitor.fields[0])
        self.assertRegex(self.visitor.fields[1], r"\ASESS__ADM=[\w-]+; Path=/admin;")
        with self.visitor.session() as session:
            session.mount("ADM", "a key", path="/admin")
            self.assertEqual(dict(session), {"b": 2})

    def test_default_path_is_the_mount_point(self) -> None:
        with self.visitor.session() as session:
            session.mount("ADM")
            session["b"] = 2
        self.assertIn("; Path=/app;", self.visitor.fields[0])

    def test_options(self) -> None:
        with self.visitor.session() as session:
            session.mount("ADM", None, "/x", "example.com", True, False, 60)
            session["b"] = 2
        self.assertRegex(
            self.visitor.fields[0],
            "; Path=/x; Domain=example.com; Expires=[^;]+; Max-Age=60; Secure; SameSite=Lax$",
        )
        with self.visitor.session() as session:
            session.mount("ADM", None, "/x", "example.com")
            session.clear()
        self.assertIn("; Path=/x; Domain=example.com; Expires=Thu, 01 Jan 1970", self.visitor.fields[0])

    def test_another_key_does_not_open_it(self) -> None:
        with self.visitor.session() as session:
            session.mount("ADM", "a key")
            session["b"] = 2
        with self.visitor.session() as session:
            session.mount("ADM", "b key")
            self.assertEqual(dict(session), {})
        self.assertEqual(self.visitor.fields, [])

    def test_needs_no_key_of_the_application(self) -> None:
        self.visitor.securekey = None
        with self.visitor.session() as session:
            session.mount("ADM", "a key")
            session["b"] = 2
        self.assertEqual(self.name, "SESS__ADM")

    def test_default_one_by_key(self) -> None:
        self.put(a=1)
        with self.visitor.session() as session:
            session.mount(None, "the application's secret")
            self.assertEqual(dict(session), {"a": 1})
            with self.assertRaisesRegex(ValueError, "securekey of the default session must be the one of the app"):
                session.mount(None, "another")

    def test_mounted_twice_with_two_keys(self) -> None:
        with self.visitor.session() as session:
            session.mount("ADM", "a key")
            session.mount("ADM", "a key")
            with self.assertRaisesRegex(ValueError, "session 'ADM' is mounted in this request with another securekey"):
                session.mount("ADM", "b key")

    def test_timeout_of_its_own(self) -> None:
        with self.visitor.session() as session:
            session.mount("ADM", session_timeout=5000)
            session["b"] = 2
        self.visitor.now += 4000
        with self.visitor.session() as session:
            session.mount("ADM", session_timeout=5000)
            self.assertEqual(dict(session), {"b": 2})

    def test_its_timeout_goes_with_it(self) -> None:
        """Who only asks whether it exists, or mounts it without one, must not give an ended one a longer life."""
        for timeout in (60, 5 * DEFAULT_TIMEOUT):
            with self.visitor.session() as session:
                session.mount("ADM", session_timeout=timeout)
                session["b"] = timeout
            for passed, exists in ((timeout - 1, True), (1, False)):
                self.visitor.now += passed
                cookie = self.visitor.cookie()
                self.assertIs(Session(cookie, self.visitor.settings()).exists("ADM"), exists)
                mounted = Session(cookie, self.visitor.settings())
                mounted.mount("ADM")
                self.assertEqual(dict(mounted), {"b": timeout} if exists else {})

    def test_timeout_that_is_given_wins(self) -> None:
        with self.visitor.session() as session:
            session.mount("ADM", session_timeout=60)
            session["b"] = 2
        self.visitor.now += 60
        with self.visitor.session() as session:
            session.mount("ADM", session_timeout=61)
            self.assertEqual(dict(session), {"b": 2})
        with self.visitor.session() as session:
            session.mount("ADM", session_timeout=10)
            session["b"] = 3
        self.assertIn("; Max-Age=10", self.visitor.fields[0])

    def test_new_timeout_of_the_application_counts(self) -> None:
        self.put(a=1)
        self.visitor.timeout = 50
        self.visitor.now += 50
        self.assertEqual(self.read(), {})

    def test_shorter_timeout_counts_at_once(self) -> None:
        self.put(a=1)
        self.visitor.now += 50
        with self.visitor.session() as session:
            self.assertEqual(session["a"], 1)
            session.mount(session_timeout=40)
            self.assertNotIn("a", session)

    def test_arguments_that_can_not_be(self) -> None:
        with self.visitor.session() as session:
            for arguments, words in (
                ({"name": ""}, "can not be the session's name"),
                ({"name": "a b"}, "can not be the session's name"),
                ({"name": "a\n"}, "can not be the session's name"),
                ({"name": 5}, "can not be the session's name"),
                ({"path": "x"}, "path of a cookie"),
                ({"domain": "x;y"}, "domain of a cookie"),
                ({"session_timeout": 0}, "session_timeout is 0"),
            ):
                with self.assertRaisesRegex(ValueError, words):
                    session.mount(**arguments)
            session["a"] = 1
        self.assertEqual(self.read(), {"a": 1})

    def test_exists(self) -> None:
        with self.visitor.session() as session:
            self.assertFalse(session.exists())
            self.assertFalse(session.exists("ADM"))
            session.mount("ADM")
            self.assertFalse(session.exists("ADM"))
            session["b"] = 2
            self.assertTrue(session.exists("ADM"))
            self.assertFalse(session.exists(None))
        with self.visitor.session() as session:
            self.assertTrue(session.exists("ADM"))
            self.assertFalse(session.exists("OTHER"))
            self.assertEqual(dict(session), {})
        self.put(a=1)
        with self.visitor.session() as session:
            self.assertTrue(session.exists())
            session.clear()
            self.assertFalse(session.exists())

    def test_exists_no_longer(self) -> None:
        self.put(a=1)
        self.visitor.now += DEFAULT_TIMEOUT
        with self.visitor.session() as session:
            self.assertFalse(session.exists())

    def test_forged_one_does_not_exist(self) -> None:
        self.visitor.kept["SESS__ADM"] = make_seal("my own").close("session", "SESS__ADM", b'[1,""]\n{"admin":true}')
        with self.visitor.session() as session:
            self.assertFalse(session.exists("ADM"))

    def test_one_with_its_own_key_exists_when_mounted(self) -> None:
        with self.visitor.session() as session:
            session.mount("ADM", "a key")
            session["b"] = 2
        with self.visitor.session() as session:
            self.assertFalse(session.exists("ADM"))
            session.mount("ADM", "a key")
            self.assertTrue(session.exists("ADM"))

    def test_token_alone_is_no_session(self) -> None:
        self.put(**{CSRF_KEY: "x"})
        with self.visitor.session() as session:
            self.assertFalse(session.exists())
            session["a"] = 1
            self.assertTrue(session.exists())
