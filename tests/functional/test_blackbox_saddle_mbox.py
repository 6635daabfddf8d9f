"""Saddle: the messaging box."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.blackbox import Shared
from tests.functional.process import until
from tests.functional.saddlebox import RUN, Browser, each, quoted, tables

APP = """\
import json
from skitai.saddle import Saddle

app = Saddle (__name__)
app.securekey = "ds8fdsflksdjf9879dsf;?<>Asda"
KEY = "another key for the administrators"

@app.route ("/msg")
def msg (was):
  was.mbox.send ("This is Flash Message", "flash")
  was.mbox.send ("This is Alert Message Kept by 60 seconds on every request", "alram", valid = 60)
  return was.redirect (was.ab ("showmsg", "Hans Roh"), status = "302 Object Moved")

@app.route ("/showmsg")
def showmsg (was, name):
  return was.render ("msg.htm", name=name)

@app.route ("/news")
def main (was):
  was.mbox.send ("New Item Arrived", "notice")
  was.g.username = "Ann"
  return was.render ("news.htm")

@app.route ("/run")
def run (was, code):
  scope = {"was": was, "KEY": KEY}
  exec (code, scope)
  return json.dumps (scope.get ("result"))

@app.route ("/failing")
def failing (was):
  was.mbox.get ()
  raise ValueError ("after the messages were read")

@app.route ("/status")
def status (was, status):
  was.mbox.get ()
  return was.response (status, "read")

if __name__ == "__main__":
  pass
"""

MSG = """\
Messages To {{ name }},
<ul>
  {% for message_id, category, created, valid, msg, extra in was.mbox.get () %}
    <li> {{ category }}: {{ msg }}</li>
  {% endfor %}
</ul>
"""

NEWS = """\
News for {{ was.g.username }},
<ul>
  {% for mid, category, created, valid, msg, extra in was.mbox.get ("notice", "news") %}
    <li class="{{category}}"> {{ msg }}</li>
  {% endfor %}
</ul>
"""

site = Shared(
    {"app.py": APP + RUN, "templates/msg.htm": MSG, "templates/news.htm": NEWS}, "--trusted-proxies", "127.0.0.1"
)


@tables
class MboxTests(SynchronousTestCase):
    """``was.mbox``."""

    def setUp(self) -> None:
        self.browser = Browser(site)

    def run_code(self, code: str, *fields: str) -> Any:
        reply = self.browser.ask(f"/run?code={quoted(code)}", *fields)
        self.assertEqual(reply.status, 200, reply.text[:300])
        return json.loads(reply.body)

    def send(self) -> None:
        """Send three messages in a request of their own."""
        self.run_code(
            "was.mbox.send ('one', 'notice'); was.mbox.send ('two', 'news', 60); "
            "was.mbox.send ('three', 'notice', to = 'Ann')"
        )

    def texts(self, arguments: str = "") -> Any:
        return self.run_code(f"result = [m [4] for m in was.mbox.get ({arguments})]")

    def test_manual(self) -> None:
        reply = self.browser.ask("/msg")
        self.assertEqual((reply.status, reply.reason), (302, "Object Moved"))
        first = self.browser.text(reply.get("Location"))
        self.assertIn("Messages To Hans Roh,", first)
        self.assertIn("flash: This is Flash Message", first)
        self.assertIn("alram: This is Alert Message Kept", first)
        second = self.browser.text(reply.get("Location"))
        self.assertNotIn("flash", second)
        self.assertIn("alram: This is Alert Message Kept", second)

    def test_in_the_same_request(self) -> None:
        """What is shown at once leaves no cookie, whatever its size."""
        reply = self.browser.ask(f"/run?code={quoted('was.mbox.send (chr (65) * 9000, chr (66)); was.mbox.get ()')}")
        self.assertEqual((reply.status, reply.all("Set-Cookie")), (200, []))

    def test_message(self) -> None:
        self.run_code("was.mbox.send ('text \\xe9', 'cat', 60, a = 1, b = 'x')")
        ((identity, category, created, valid, text, extra),) = self.run_code("result = was.mbox.get ()")
        self.assertEqual((category, valid, text, extra), ("cat", 60, "text \xe9", {"a": 1, "b": "x"}))
        self.assertLess(abs(created - time.time()), 60)
        self.assertEqual(self.run_code(f"result = was.mbox.search ('cat') == [{identity!r}]"), True)

    @each(
        ("", ["one", "two", "three"], ["two"]), ("'notice'", ["one", "three"], ["two"]),
        ("'news'", ["two"], ["one", "two", "three"]), ("'to', 'Ann'", ["three"], ["one", "two"]),
        ("'to', 'Bob'", [], ["one", "two", "three"]), ("'none'", [], ["one", "two", "three"]),
    )  # fmt: skip
    def test_get(self, arguments: str, got: list[str], left: list[str]) -> None:
        """A filtered get consumes only what it returned."""
        self.send()
        self.assertEqual(self.texts(arguments), got)
        self.assertEqual(self.texts(), left)
        self.assertEqual(self.texts(), ["two"])

    @each("/failing", "/status?status=500+Oh")
    def test_nothing_is_consumed_by_a_page_that_failed(self, target: str) -> None:
        self.send()
        self.assertEqual(self.browser.ask(target).status, 500)
        self.assertEqual(self.texts(), ["one", "two", "three"])

    def test_a_page_of_its_own(self) -> None:
        self.send()
        self.browser.ask("/status?status=200+OK")
        self.assertEqual(self.texts(), ["two"])

    def test_waits_for_a_reader(self) -> None:
        """Pages that do not ask leave messages alone."""
        self.send()
        for _ in range(3):
            self.run_code("result = 1")
        self.assertEqual(self.texts(), ["one", "two", "three"])

    def test_valid(self) -> None:
        """A message with a time is shown until then."""
        self.run_code("was.mbox.send ('brief', 'x', 2)")
        self.assertEqual(self.texts(), ["brief"])
        until(lambda: self.texts() == [], "the end of the message", 5)

    @each(
        ("'notice'", 2), ("'news'", 1), ("'none'", 0), ("'to', 'Ann'", 1), ("'to', 'Bob'", 0),
    )  # fmt: skip
    def test_search(self, arguments: str, count: int) -> None:
        self.send()
        self.assertEqual(self.run_code(f"result = len (was.mbox.search ({arguments}))"), count)
        self.assertEqual(self.texts(), ["one", "two", "three"])

    def test_remove(self) -> None:
        self.send()
        self.run_code("was.mbox.remove (was.mbox.search ('to', 'Ann') [0])")
        self.assertEqual(self.texts(), ["one", "two"])

    def test_source(self) -> None:
        self.run_code("was.mbox.send ('one', 'x', 60)", "X-Forwarded-For: 192.0.2.1")
        code = "result = [was.mbox.source_verified (), len (was.mbox.getv ()), len (was.mbox.get ())]"
        self.assertEqual(self.run_code(code, "X-Forwarded-For: 192.0.2.1"), [True, 1, 1])
        verified, trusted, seen = self.run_code(code, "X-Forwarded-For: 192.0.2.2")
        self.assertEqual((verified, bool(trusted), seen), (False, False, 1))

    def test_cookie(self) -> None:
        self.send()
        cookie = self.browser.starting("MBOX_")
        self.assertTrue(re.fullmatch(r"MBOX_[0-9a-fA-F]{4}", cookie.name), cookie.name)
        self.assertEqual((cookie.path, cookie.http_only), ("/", True))
        self.assertNotIn("one", cookie.value)

    @each("", "nonsense", "A" * 500)
    def test_tampering(self, value: str) -> None:
        self.send()
        self.browser.cookies[self.browser.starting("MBOX_").name] = value
        self.assertEqual(self.texts(), [])

    def test_a_session_is_no_mbox(self) -> None:
        self.run_code("was.session ['a'] = 1; was.mbox.send ('one', 'x')")
        session, mbox = self.browser.starting("SESS_"), self.browser.starting("MBOX_")
        self.browser.cookies[session.name], self.browser.cookies[mbox.name] = mbox.value, session.value
        self.assertEqual(self.run_code("result = [len (was.session), was.mbox.get ()]"), [0, []])

    def test_named(self) -> None:
        reply = self.browser.ask(
            f"/run?code={quoted('was.mbox.mount (chr (65), KEY, path = chr (47)); was.mbox.send (chr (49), chr (50))')}"
        )
        self.assertTrue(reply.get("Set-Cookie").startswith("MBOX__A="), reply.fields)
        self.assertEqual(self.texts(), [])
        code = "was.mbox.mount ('A', KEY, path = '/'); result = [was.mbox.exists ('A'), was.mbox.get () [0][4]]"
        self.assertEqual(self.run_code(code), [True, "1"])

    def test_exists(self) -> None:
        self.assertEqual(self.run_code("result = [was.mbox.exists (None), was.mbox.exists ('A')]"), [False, False])
        self.send()
        self.assertEqual(self.run_code("result = [was.mbox.exists (None), was.mbox.exists ('A')]"), [True, False])

    def test_escaped_in_a_template(self) -> None:
        self.run_code("was.mbox.send ('<script>', 'flash')")
        page = self.browser.text("/showmsg?name=%3Cb%3E")
        self.assertIn("&lt;script&gt;", page)
        self.assertNotIn("<script>", page)
