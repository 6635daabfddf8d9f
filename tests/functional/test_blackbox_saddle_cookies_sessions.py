"""Saddle: ``was.cookie`` and ``was.session``, as the manual and a browser see them, and what tampering leads to."""

from __future__ import annotations

import json
import re
import time
from email.utils import parsedate_to_datetime
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.blackbox import Reply, Shared
from tests.functional.process import until
from tests.functional.saddlebox import Browser, each, quoted, tables

APP = """\
import json
import skitai
from skitai.saddle import Saddle

app = Saddle (__name__)
app.securekey = "ds8fdsflksdjf9879dsf;?<>Asda"
app.session_timeout = 1200
KEY = "another key for the administrators"

@app.route ("/run")
def run (was, code):
  scope = {"was": was, "cookie": was.cookie, "session": lambda: was.session, "mbox": lambda: was.mbox, "KEY": KEY}
  try:
    result = eval (code, scope) if "\\n" not in code and ";" not in code else exec (code, scope) or scope.get ("result")
  except Exception as error:
    return json.dumps ({"raised": "%s: %s" % (type (error).__name__, error)})
  return json.dumps (result)

@app.route ("/admin/run")
def admin_run (was, code):
  return run (was, code)

@app.route ("/login")
def hello_world (was, **form):
  if "login" not in was.session:
    was.session.set ("user_id", form.get ("hansroh"))
    # or
    was.session ["user_id"] = form.get ("hansroh")
  return str (was.session ["user_id"])

@app.route ("/cookie")
def cookie_of_the_manual (was):
  if "user_id" not in was.cookie:
    was.cookie.set ("user_id", "hansroh")
    # or
    was.cookie ["user_id"] = "hansroh"
    return "new"
  return was.cookie.get ("user_id")

@app.route ("/fails")
def fails (was):
  was.session ["failed"] = True
  raise ValueError ("after a change")

@app.route ("/streams")
def streams (was):
  was.session ["streamed"] = 1
  return iter (["a", "b"])

@app.route ("/values")
def values (was):
  was.session ["object"] = object ()
  return "stored"

if __name__ == "__main__":
  skitai.run (mount = {"/": app, "/same": ("more.py", "same"), "/other": ("more.py", "other"),
    "/short": ("more.py", "short"), "/keyless": ("more.py", "keyless"), "/sub": ("app.py", "app")})
"""

MORE = """\
import json
from skitai.saddle import Saddle

def make (key, timeout = None):
  app = Saddle (__name__)
  if key:
    app.securekey = key
  if timeout:
    app.session_timeout = timeout
  @app.route ("/run")
  def run (was, code):
    return json.dumps (eval (code, {"was": was}))
  return app

same = make ("ds8fdsflksdjf9879dsf;?<>Asda")
other = make ("quite another key")
short = make ("short-lived", 2)
keyless = make (None)
"""

site = Shared({"app.py": APP, "more.py": MORE}, "--trusted-proxies", "127.0.0.1")


class Checks(SynchronousTestCase):
    """A browser that has its code run in a view."""

    def setUp(self) -> None:
        self.browser = Browser(site)

    def ask(self, code: str, mount: str = "", *fields: str) -> Reply:
        return self.browser.ask(f"{mount}/run?code={quoted(code)}", *fields)

    def run_code(self, code: str, mount: str = "", *fields: str) -> Any:
        reply = self.ask(code, mount, *fields)
        self.assertEqual(reply.status, 200, reply.text[:300])
        return json.loads(reply.body)

    def set_cookies(self, code: str, mount: str = "", *fields: str) -> list[tuple[str, str, dict[str, str]]]:
        """Return name, value and attributes of the cookies that code sets."""
        reply = self.ask(code, mount, *fields)
        self.assertEqual(reply.status, 200, reply.text[:300])
        self.assertNotIn("raised", reply.text)
        found = []
        for field in reply.all("Set-Cookie"):
            pair, *rest = field.split(";")
            name, _, value = pair.partition("=")
            attributes = dict(part.strip().partition("=")[::2] for part in rest)
            found.append((name, value, {key.lower(): said for key, said in attributes.items()}))
        return found


@tables
class CookieTests(Checks):
    """``was.cookie``."""

    def test_manual(self) -> None:
        self.assertEqual([self.browser.text("/cookie") for _ in range(2)], ["new", "hansroh"])

    @each(
        ("cookie.get ('a')", "1"), ("cookie ['b']", "2"), ("cookie.get ('c')", None), ("cookie.get ('c', 5)", 5),
        ("'a' in cookie", True), ("'c' in cookie", False), ("cookie.has_key ('a')", True), ("cookie.has_key ('c')",
            False),
        ("sorted (cookie.keys ())", ["a", "b"]), ("sorted (cookie.values ())", ["1", "2"]),
        ("sorted (cookie.items ())", [["a", "1"], ["b", "2"]]), ("sorted (cookie.iterkeys ())", ["a", "b"]),
        ("sorted (cookie.itervalues ())", ["1", "2"]), ("sorted (cookie.iteritems ())", [["a", "1"], ["b", "2"]]),
        ("len (cookie)", 2), ("sorted (cookie)", ["a", "b"]), ("cookie.a", "1"),
    )  # fmt: skip
    def test_reading(self, code: str, value: object) -> None:
        self.browser.cookies.update({"a": "1", "b": "2"})
        self.assertEqual(self.run_code(code), value)

    def test_plain(self) -> None:
        """A cookie is for the session of the browser and the mount point."""
        ((name, value, attributes),) = self.set_cookies("cookie.set ('k', 'v')")
        self.assertEqual((name, value, attributes["path"]), ("k", "v", "/"))
        self.assertEqual(set(attributes) & {"expires", "max-age", "secure", "httponly", "domain"}, set())

    def test_path(self) -> None:
        """The default path is the mount point."""
        ((_, _, attributes),) = self.set_cookies("cookie.set ('k', 'v')", "/sub")
        self.assertEqual(attributes["path"].rstrip("/"), "/sub")
        ((_, _, attributes),) = self.set_cookies("cookie.set ('k', 'v', path = '/')", "/sub")
        self.assertEqual(attributes["path"], "/")

    def test_attributes(self) -> None:
        ((_, _, attributes),) = self.set_cookies(
            "cookie.set ('k', 'v', path = '/p', domain = 'localhost', secure = True, http_only = True)"
        )
        self.assertEqual((attributes["path"], attributes["domain"].lstrip(".")), ("/p", "localhost"))
        self.assertLessEqual({"secure", "httponly"}, set(attributes))

    def expiry(self, code: str) -> float:
        """Return in how many seconds a cookie ends."""
        ((_, _, attributes),) = self.set_cookies(code)
        if "max-age" in attributes:
            return int(attributes["max-age"])
        return parsedate_to_datetime(attributes["expires"]).timestamp() - time.time()

    @each((60, 58, 62), (0, -1e12, 0), ("now", -1e12, 0), ("never", 99 * 365 * 86400, 101 * 366 * 86400))
    def test_expires(self, expires: object, least: float, most: float) -> None:
        self.assertTrue(least <= self.expiry(f"cookie.set ('k', 'v', expires = {expires!r})") <= most)

    def test_read_in_the_same_request(self) -> None:
        self.assertEqual(
            self.run_code("cookie.set ('k', 'v'); result = [cookie.get ('k'), 'k' in cookie]"), ["v", True]
        )

    def test_remove(self) -> None:
        self.browser.cookies.update({"a": "1", "b": "2"})
        self.run_code("cookie.remove ('a', None, None)")
        self.assertEqual(list(self.browser.cookies), ["b"])
        self.run_code("cookie.remove ('b')")
        self.assertEqual(list(self.browser.cookies), [])

    def test_remove_by_del(self) -> None:
        self.browser.cookies["a"] = "1"
        self.assertEqual(self.run_code("del cookie ['a']; result = 'a' in cookie"), False)
        self.assertEqual(list(self.browser.cookies), [])

    def test_clear(self) -> None:
        self.browser.cookies.update({"a": "1", "b": "2"})
        self.run_code("cookie.clear ()")
        self.assertEqual(list(self.browser.cookies), [])

    def test_the_last_change_counts(self) -> None:
        self.run_code("cookie ['a'] = '1'; cookie ['a'] = '2'")
        self.assertEqual(dict(self.browser.cookies), {"a": "2"})

    @each(
        "plain", "two words", "a;b,c=d", '"quoted"', "caf\xe9", "\u4e2d\u6587", "a\\b", "%41%", "=", "", "a\nb", "\x01"
    )
    def test_values_come_back(self, value: str) -> None:
        """Whatever the value, it comes back and smuggles nothing in; or it is refused at once."""
        reply = self.ask(f"cookie.set ('k', {value!r})")
        self.assertEqual(reply.status, 200)
        self.assertLessEqual(len(reply.all("Set-Cookie")), 1)
        if "raised" in reply.text:
            self.assertIn(value, ("a\nb", "\x01"))
        else:
            self.assertEqual(self.run_code("cookie.get ('k')"), value)

    @each("v\r\nX-Evil: 1", "v\nSet-Cookie: evil=1")
    def test_injection(self, value: str) -> None:
        for code in (
            f"cookie.set ('k', {value!r})",
            f"cookie.set ({value!r}, 'v')",
            f"cookie.set ('k', 'v', path = {value!r})",
        ):
            reply = self.ask(code)
            self.assertEqual(reply.all("X-Evil"), [])
            self.assertFalse(any(field.startswith("evil") for field in reply.all("Set-Cookie")))

    @each(
        "", ";", "=", "a", "a=1; b", "=v; a=1", "a=1;;;", "a=\"", "a=1, b=2", "\x01=\x02", "$Version=1; a=1", "a=%zz",
        "a=%ff", "a=\xff", "a=" + "x" * 8000, "; ".join(f"c{n}={n}" for n in range(1500)), "__proto__=1", "a=1; a=2",
    )  # fmt: skip
    def test_hostile(self, field: str) -> None:
        reply = site.ask(f"/run?code={quoted('len (list (cookie.items ()))')}", f"Cookie: {field}")
        if "\x01" in field:
            self.assertIn(reply.status, (200, 400))
        else:
            self.assertEqual(reply.status, 200)


@tables
class SessionTests(Checks):
    """``was.session``."""

    def test_manual(self) -> None:
        self.assertEqual(self.browser.text("/login?hansroh=me"), "me")
        self.assertEqual(self.run_code("was.session.get ('user_id')"), "me")

    @each(
        ("was.session.get ('a')", 1), ("was.session ['b']", [None, {"c": "\xe9"}]), ("was.session.get ('c')", None),
        ("was.session.get ('c', 5)", 5), ("'a' in was.session", True), ("'c' in was.session", False),
        ("was.session.has_key ('a')", True), ("was.session.has_key ('c')", False), ("len (was.session)", 2),
        ("sorted (was.session.keys ())", ["a", "b"]), ("sorted (was.session.iterkeys ())", ["a", "b"]),
        ("sorted (was.session)", ["a", "b"]), ("len (list (was.session.values ()))", 2),
        ("len (list (was.session.itervalues ()))", 2), ("dict (was.session.items ()) ['a']", 1),
        ("dict (was.session.iteritems ()) ['a']", 1), ("was.session.source_verified ()", True),
        ("was.session.getv ('a')", 1), ("was.session.getv ('c', 7)", 7), ("was.session.exists (None)", True),
    )  # fmt: skip
    def test_reading(self, code: str, value: object) -> None:
        self.run_code("was.session.set ('a', 1); was.session ['b'] = [None, {'c': '\\xe9'}]")
        self.assertEqual(self.run_code(code), value)

    @each(
        ("was.session.remove ('a')", {"b": 2}), ("del was.session ['a']", {"b": 2}), ("was.session.clear ()", {}),
        ("was.session ['a'] = 5", {"a": 5, "b": 2}), ("was.session.set ('c', 3)", {"a": 1, "b": 2, "c": 3}),
        ("was.session.update ({'a': 6})", {"a": 6, "b": 2}), ("was.session.pop ('b')", {"a": 1}),
        ("was.session.setdefault ('d', 4)", {"a": 1, "b": 2, "d": 4}),
    )  # fmt: skip
    def test_changing(self, code: str, left: dict[str, int]) -> None:
        self.run_code("was.session ['a'] = 1; was.session ['b'] = 2")
        self.run_code(f"{code}; result = None")
        self.assertEqual(self.run_code("dict (was.session.items ())"), left)

    def test_missing_key(self) -> None:
        self.assertIn("KeyError", self.run_code("was.session ['no']")["raised"])

    def test_nothing_stored(self) -> None:
        """Looking sets no cookie."""
        self.assertEqual(self.set_cookies("[was.session.get ('a'), len (was.session), was.session.exists (None)]"), [])
        self.assertEqual(self.run_code("was.session.exists (None)"), False)

    def test_cookie(self) -> None:
        ((name, value, attributes),) = self.set_cookies("was.session ['word'] = 'readable'; result = 1")
        self.assertTrue(re.fullmatch(r"SESS_[0-9a-fA-F]{4}", name), name)
        self.assertEqual((attributes["path"], attributes["samesite"]), ("/", "Lax"))
        self.assertIn("httponly", attributes)
        self.assertNotIn("secure", attributes)
        self.assertNotIn("readable", value)
        self.assertNotIn("word", value)

    def test_secure_under_tls(self) -> None:
        self.browser = Browser(site, "X-Forwarded-Proto: https")
        ((_, _, attributes),) = self.set_cookies("was.session ['a'] = 1; result = 1")
        self.assertIn("secure", attributes)
        self.assertEqual(self.run_code("was.session ['a']"), 1)

    def test_not_written_again(self) -> None:
        """A session that is only read is written at most once a minute."""
        self.run_code("was.session ['a'] = 1; result = 1")
        self.assertEqual(self.set_cookies("was.session ['a']"), [])

    def test_a_clear_session_leaves_no_cookie(self) -> None:
        self.run_code("was.session ['a'] = 1; result = 1")
        self.run_code("was.session.clear ()")
        self.assertEqual(self.run_code("[len (was.session), was.session.get ('a')]"), [0, None])

    def test_streams(self) -> None:
        """What a view changes before it returns a stream is kept."""
        self.assertEqual(self.browser.text("/streams"), "ab")
        self.assertEqual(self.run_code("was.session ['streamed']"), 1)

    def test_mount_points(self) -> None:
        """It is one session for all applications with the key, wherever they are mounted."""
        self.run_code("was.session ['a'] = 1; result = 1")
        self.assertEqual(self.run_code("was.session.get ('a')", "/sub"), 1)
        self.assertEqual(self.run_code("was.session.get ('a')", "/same"), 1)
        self.assertIsNone(self.run_code("was.session.get ('a')", "/other"))

    def test_other_keys_do_not_collide(self) -> None:
        self.run_code("was.session ['a'] = 1; result = 1")
        self.assertIsNone(self.run_code("was.session.set ('a', 2)", "/other"))
        self.assertEqual([self.run_code("was.session ['a']", mount) for mount in ("", "/other")], [1, 2])
        self.assertEqual(len(self.browser.cookies), 2)

    def test_a_cookie_under_another_name(self) -> None:
        """A cookie of another key is an empty session."""
        self.run_code("was.session.set ('a', 2)", "/other")
        value = self.browser.starting("SESS_").value
        self.browser.cookies.clear()
        self.run_code("was.session ['b'] = 1; result = 1")
        name = self.browser.starting("SESS_").name
        self.browser.cookies[name] = value
        self.assertEqual(self.run_code("[len (was.session), was.session.exists (None)]"), [0, False])

    @each(*range(8))
    def test_tampering(self, part: int) -> None:
        """A cookie that was changed anywhere is an empty session, never an error."""
        self.run_code("was.session ['a'] = 'value'; result = 1")
        cookie = self.browser.starting("SESS_")
        value = cookie.value
        at = min(len(value) * part // 7, len(value) - 1)
        for new in ("A" if value[at] != "A" else "B", "", "~", "AA"):
            self.browser.cookies[cookie.name] = value[:at] + new + value[at + 1 :]
            if self.browser.cookies[cookie.name] == value:
                continue
            left = self.run_code("dict (was.session.items ())")
            if part == 7 and left:
                # The last character of base64 may hold bits that mean nothing: no other value comes of it.
                self.assertEqual(left, {"a": "value"})
            else:
                self.assertEqual(left, {}, (at, new))

    @each("", "x", "=" * 50, '{"a": 1}', "A" * 4000, "%00", "..", "YQ==", "\xe9")
    def test_nonsense(self, value: str) -> None:
        self.run_code("was.session ['a'] = 1; result = 1")
        self.browser.cookies[self.browser.starting("SESS_").name] = value
        self.assertEqual(self.run_code("dict (was.session.items ())"), {})
        self.run_code("was.session ['a'] = 2; result = 1")
        self.assertEqual(self.run_code("was.session ['a']"), 2)

    def test_truncated(self) -> None:
        self.run_code("was.session ['a'] = 'value'; result = 1")
        cookie = self.browser.starting("SESS_")
        for size in range(0, len(cookie.value), 5):
            self.browser.cookies[cookie.name] = cookie.value[:size]
            self.assertEqual(self.run_code("dict (was.session.items ())"), {}, size)

    def test_source(self) -> None:
        """Another address is noticed."""
        self.run_code("was.session ['a'] = 1; result = 1", "", "X-Forwarded-For: 192.0.2.1")
        code = (
            "[was.session.source_verified (), was.session.getv ('a'), was.session.getv ('a', 0), was.session.get ('a')]"
        )
        self.assertEqual(self.run_code(code, "", "X-Forwarded-For: 192.0.2.1"), [True, 1, 1, 1])
        self.assertEqual(self.run_code(code, "", "X-Forwarded-For: 192.0.2.2"), [False, None, 0, 1])

    def test_timeout(self) -> None:
        """It ends some time after it was used last."""
        self.run_code("was.session.set ('a', 1)", "/short")
        cookie = self.browser.starting("SESS_")

        def value() -> object:
            self.browser.cookies.add(cookie)
            return self.run_code("[was.session.get ('a'), was.session.exists (None)]", "/short")

        self.assertEqual(value(), [1, True])
        until(lambda: value() == [None, False], "the end of the session", 5)

    def test_without_a_key(self) -> None:
        """The error says what is missing."""
        self.assertEqual(self.ask("was.session.get ('a')", "/keyless").status, 500)
        until(lambda: "securekey" in site.server.output, "the name of the setting in the log")

    def test_what_json_can_not_hold(self) -> None:
        self.assertEqual(self.browser.ask("/values").status, 500)

    def test_too_large(self) -> None:
        """A browser would drop a cookie of more than 4 KiB in silence: it is said instead."""
        reply = self.ask("was.session ['a'] = 'x' * 100000; result = 1")
        for field in reply.all("Set-Cookie"):
            self.assertLess(len(field), 8192)


class NamedTests(Checks):
    """Named sessions."""

    MOUNT = "was.session.mount ('ADM', KEY, path = '/admin')"

    def at_admin(self, code: str) -> Any:
        reply = self.browser.ask(f"/admin/run?code={quoted(code)}")
        self.assertEqual(reply.status, 200, reply.text[:300])
        return json.loads(reply.body)

    def test_named(self) -> None:
        ((name, _, attributes),) = self.set_cookies(f"{self.MOUNT}; was.session.set ('admin_login', True)")
        self.assertEqual((name, attributes["path"]), ("SESS__ADM", "/admin"))
        self.assertEqual(self.at_admin(f"{self.MOUNT}; result = was.session.get ('admin_login')"), True)

    def test_exists(self) -> None:
        """Whether there is one can be asked without mounting it, as the manual does."""
        self.assertEqual(self.at_admin("[was.session.exists (None), was.session.exists ('ADM')]"), [False, False])
        self.run_code(f"{self.MOUNT}; was.session.set ('admin_login', True)")
        self.assertEqual(self.at_admin("[was.session.exists (None), was.session.exists ('ADM')]"), [False, True])
        self.assertEqual(self.run_code("was.session.exists ('ADM')"), False)

    def test_exists_with_the_key_of_the_application(self) -> None:
        self.run_code("was.session.mount ('ADM', path = '/admin'); was.session.set ('admin_login', True)")
        self.assertEqual(self.at_admin("[was.session.exists (None), was.session.exists ('ADM')]"), [False, True])

    def test_exists_where_it_is_mounted(self) -> None:
        code = f"result = was.session.exists (None); {self.MOUNT}; result = [result, was.session.exists ('ADM')]"
        self.assertEqual(self.at_admin(code), [False, False])
        self.run_code(f"{self.MOUNT}; was.session.set ('admin_login', True)")
        self.assertEqual(self.at_admin(code), [False, True])

    def test_apart(self) -> None:
        """It does not mix with the session of the application."""
        self.run_code("was.session ['a'] = 1; was.session.mount ('ADM', KEY, path = '/'); was.session ['a'] = 2")
        self.assertEqual(self.run_code("was.session ['a']"), 1)
        code = "was.session.mount ('ADM', KEY, path = '/'); result = was.session ['a']; "
        code += "was.session.mount (None, was.app.securekey)"
        self.assertEqual(self.run_code(code + "; result = [result, was.session ['a']]"), [2, 1])

    def test_wrong_key(self) -> None:
        self.run_code("was.session.mount ('ADM', KEY, path = '/'); was.session ['a'] = 2")
        code = "was.session.mount ('ADM', 'a wrong key', path = '/'); result = was.session.get ('a')"
        self.assertIsNone(self.run_code(code))

    def test_one_name_is_no_other(self) -> None:
        """With one key, the cookie of one name is not good for another."""
        self.run_code("was.session.mount ('ONE', KEY, path = '/'); was.session ['a'] = 2")
        self.browser.cookies["SESS__TWO"] = self.browser.cookies["SESS__ONE"]
        self.assertIsNone(self.run_code("was.session.mount ('TWO', KEY, path = '/'); result = was.session.get ('a')"))
