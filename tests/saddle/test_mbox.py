"""Messaging boxes: which messages a page shows, and which wait for the next one."""

from __future__ import annotations

from markupsafe import Markup
from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import ConfigError
from skitai.saddle.cookie import MAX_COOKIE_SIZE
from skitai.saddle.mbox import Message, MessageBox
from skitai.saddle.sealed import make_seal
from tests.saddle.visitor import Visitor


class Boxes(SynchronousTestCase):
    def setUp(self) -> None:
        self.visitor = Visitor()

    def send(self, *messages: str, valid: float = 0) -> None:
        with self.visitor.mbox() as box:
            for message in messages:
                box.send(message, "news", valid)

    def shown(self, *filters: object, failed: bool = False) -> list[str]:
        with self.visitor.mbox(failed) as box:
            return texts(box.get(*filters))  # type: ignore[arg-type]


def texts(messages: list[Message]) -> list[str]:
    return [message.msg for message in messages]


class SendingTests(Boxes):
    """``send``"""

    def test_what_a_template_gets(self) -> None:
        with self.visitor.mbox() as box:
            sent = box.send("hello", "notice", 60, user="é", n=[1])
        with self.visitor.mbox() as box:
            ((message_id, category, created, valid, msg, extra),) = box.get()
        self.assertEqual((message_id, category, created), (sent, "notice", self.visitor.now))
        self.assertEqual((valid, msg, extra), (60, "hello", {"user": "é", "n": [1]}))

    def test_ways_to_say_how_long(self) -> None:
        with self.visitor.mbox() as box:
            box.send("a", "x")
            box.send("b", "x", 5)
            box.send("c", "x", valid=6)
            box.send("d", "x", valid_seconds=7)
            self.assertEqual([message.valid for message in box.get()], [0, 5, 6, 7])

    def test_how_long_that_can_not_be(self) -> None:
        with self.visitor.mbox() as box:
            for valid in (-1, "60", None, float("nan"), float("inf")):
                with self.assertRaisesRegex(ValueError, "valid is .*: it must be seconds from 0 on"):
                    box.send("a", "x", valid)  # type: ignore[arg-type]
            self.assertEqual(box.get(), [])

    def test_what_json_has_not(self) -> None:
        with self.visitor.mbox() as box:
            with self.assertRaisesRegex(TypeError, "message b'x' can not be kept in an mbox"):
                box.send(b"x", "x")
            with self.assertRaisesRegex(TypeError, "message 'x' can not be kept"):
                box.send("x", "x", thing=object())
            self.assertEqual(box.get(), [])

    def test_looks_the_same_now_and_later(self) -> None:
        """Markup is text after a cookie, so it is text at once: a page escapes it now or it never does."""
        with self.visitor.mbox() as box:
            box.send(Markup("<b>"), "x", 60)
            self.assertIs(type(box.get()[0].msg), str)

    def test_ids_are_unique(self) -> None:
        with self.visitor.mbox() as box:
            ids = [box.send("a", "x") for _ in range(5)]
        with self.visitor.mbox() as box:
            ids += [box.send("a", "x") for _ in range(5)]
        self.assertEqual(len(set(ids)), 10)


class ShowingTests(Boxes):
    """A message is shown once, or as long as it is valid."""

    def test_once(self) -> None:
        self.send("a")
        self.assertEqual(self.shown(), ["a"])
        self.assertEqual(self.visitor.kept, {})
        self.assertEqual(self.shown(), [])

    def test_in_the_order_they_were_sent(self) -> None:
        self.send("a", "b")
        self.send("c")
        self.assertEqual(self.shown(), ["a", "b", "c"])

    def test_in_the_same_request(self) -> None:
        with self.visitor.mbox() as box:
            box.send("x" * 100_000, "news")
            self.assertEqual(len(box.get()[0].msg), 100_000)
        self.assertEqual((self.visitor.fields, self.visitor.dropped), ([], []))

    def test_twice_in_one_request(self) -> None:
        self.send("a")
        with self.visitor.mbox() as box:
            self.assertEqual((texts(box.get()), texts(box.get())), (["a"], ["a"]))

    def test_a_hundred_years_later(self) -> None:
        self.send("a")
        self.assertIn("; Max-Age=3153600000;", self.visitor.fields[0])
        self.visitor.now += 36500 * 86400
        self.assertEqual(self.shown(), ["a"])

    def test_not_asked_for(self) -> None:
        self.send("a")
        with self.visitor.mbox():
            pass
        self.assertEqual(self.visitor.fields, [])
        self.assertEqual(self.shown(), ["a"])

    def test_as_long_as_valid(self) -> None:
        self.send("a", valid=60)
        self.assertIn("; Max-Age=60;", self.visitor.fields[0])
        for _ in range(3):
            self.assertEqual(self.shown(), ["a"])
            self.assertEqual(self.visitor.fields, [])
            self.visitor.now += 19
        self.visitor.now += 3
        self.assertEqual(self.shown(), [])
        self.assertEqual(self.visitor.kept, {})

    def test_over_within_a_request(self) -> None:
        with self.visitor.mbox() as box:
            box.send("a", "news", 60)
            self.visitor.now += 60
            self.assertEqual(box.get(), [])
        self.assertEqual(self.visitor.fields, [])

    def test_valid_and_shown_in_the_same_request(self) -> None:
        with self.visitor.mbox() as box:
            box.send("a", "news", 60)
            box.get()
        self.assertEqual(self.shown(), ["a"])

    def test_cookie_lives_as_long_as_the_last_message(self) -> None:
        with self.visitor.mbox() as box:
            box.send("a", "x", 60)
            box.send("b", "x", 30)
        self.assertIn("; Max-Age=60;", self.visitor.fields[0])
        with self.visitor.mbox() as box:
            box.send("c", "x")
        self.assertIn("; Max-Age=3153600000;", self.visitor.fields[0])

    def test_failed_page(self) -> None:
        self.send("a")
        self.assertEqual(self.shown(failed=True), ["a"])
        self.assertEqual(self.visitor.fields, [])
        self.assertEqual(self.shown(), ["a"])
        self.assertEqual(self.shown(), [])

    def test_sent_by_a_failed_page(self) -> None:
        with self.visitor.mbox(failed=True) as box:
            box.send("a", "x")
            box.get()
        self.assertEqual(self.shown(), ["a"])


class FilterTests(Boxes):
    """``get``, ``search`` and ``remove``"""

    def setUp(self) -> None:
        super().setUp()
        with self.visitor.mbox() as box:
            box.send("a", "notice")
            box.send("b", "alarm", notice="news")
            box.send("c", "alarm", level=3)

    def test_by_category(self) -> None:
        self.assertEqual(self.shown("alarm"), ["b", "c"])

    def test_by_keyword(self) -> None:
        self.assertEqual(self.shown("notice", "news"), ["b"])
        self.assertEqual(self.shown("level", 3), ["c"])
        self.assertEqual(self.shown("level", 4), [])
        self.assertEqual(self.shown("nothing", 3), [])

    def test_two_categories_where_no_message_has_the_keyword(self) -> None:
        self.assertEqual(self.shown("alarm", "notice"), ["a", "b", "c"])

    def test_only_what_was_shown_is_gone(self) -> None:
        self.shown("alarm")
        self.assertEqual(self.shown(), ["a"])

    def test_search(self) -> None:
        with self.visitor.mbox() as box:
            ids = {message.msg: message.message_id for message in box.get()}
            self.assertEqual(box.search("alarm"), [ids["b"], ids["c"]])
            self.assertEqual(box.search("notice", "news"), [ids["b"]])
            self.assertEqual(box.search("notice", None), [ids["a"]])
            self.assertEqual(box.search("nothing"), [])

    def test_search_shows_nothing(self) -> None:
        with self.visitor.mbox() as box:
            box.search("alarm")
        self.assertEqual(self.shown(), ["a", "b", "c"])

    def test_remove(self) -> None:
        with self.visitor.mbox() as box:
            first, second = box.search("alarm")
            box.remove(first)
            box.remove(str(second))
            box.remove(first)
            box.remove("x")
        self.assertEqual(self.shown(), ["a"])


class RoomTests(Boxes):
    """A cookie has little room."""

    def test_oldest_make_room(self) -> None:
        self.send("old", "x" * 1000, "y" * 1000)
        self.assertEqual(self.visitor.dropped, [])
        self.send("z" * 1000)
        (name,) = self.visitor.kept
        self.assertLessEqual(len(name) + len(self.visitor.kept[name]), MAX_COOKIE_SIZE)
        self.assertEqual([message.msg[0] for message in self.visitor.dropped], ["x"])  # type: ignore[attr-defined]
        self.assertEqual([text[0] for text in self.shown()], ["o", "y", "z"])

    def test_one_that_never_fits(self) -> None:
        self.send("a")
        self.send("x" * 5000, "b")
        self.assertEqual([len(message.msg) for message in self.visitor.dropped], [5000])  # type: ignore[attr-defined]
        self.assertEqual(self.shown(), ["a", "b"])

    def test_many_small_ones(self) -> None:
        self.send(*map(str, range(500)))
        shown = self.shown()
        self.assertEqual(shown, [str(number) for number in range(500 - len(shown), 500)])
        self.assertGreater(len(shown), 40)


class StoreTests(Boxes):
    """What boxes have in common with sessions"""

    def test_cookie(self) -> None:
        self.visitor.tls = True
        self.send("a")
        self.assertRegex(
            self.visitor.fields[0],
            r"\AMBOX_[0-9a-f]{4}=[\w-]+; Path=/; Expires=[^;]+; Max-Age=\d+; Secure; HttpOnly; SameSite=Lax\Z",
        )

    def test_forged(self) -> None:
        self.send("a")
        (name,) = self.visitor.kept
        self.visitor.kept[name] = self.visitor.kept[name][:-1]
        self.assertEqual(self.shown(), [])
        self.visitor.kept[name] = make_seal("mine").close("mbox", name, b'[1,""]\n[[1,"a",1,0,"m",{}]]')
        self.assertEqual(self.shown(), [])

    def test_needs_a_securekey(self) -> None:
        self.visitor.securekey = None
        box = MessageBox(self.visitor.cookie(), self.visitor.settings())
        self.assertEqual(box.commit(False), [])
        with self.assertRaisesRegex(ConfigError, r"the mbox needs a securekey: set app\.securekey"):
            box.get()

    def test_source(self) -> None:
        self.send("a")
        self.visitor.address = "192.0.2.2"
        with self.visitor.mbox() as box:
            self.assertFalse(box.source_verified())
            self.assertEqual(box.getv(), [])
        self.visitor.address = "192.0.2.1"
        with self.visitor.mbox() as box:
            self.assertTrue(box.source_verified())
            self.assertEqual((texts(box.getv("news")), box.getv("other")), (["a"], []))
        self.assertEqual(self.shown(), [])

    def test_named(self) -> None:
        with self.visitor.mbox() as box:
            box.send("a", "x")
            box.mount("ADM", "a key", path="/admin")
            box.send("b", "x", 60)
            self.assertEqual(texts(box.get("y") + box.get("x")), ["b"])
        self.assertIn("; Path=/;", self.visitor.fields[0])
        self.assertRegex(self.visitor.fields[1], r"\AMBOX__ADM=[\w-]+; Path=/admin;")
        with self.visitor.mbox() as box:
            box.mount("ADM", "a key", path="/admin")
            self.assertTrue(box.exists("ADM"))
            self.assertEqual(texts(box.get()), ["b"])
        self.assertEqual(self.shown(), ["a"])

    def test_one_box_shown_leaves_the_other(self) -> None:
        """Both may hold a message with the same id."""
        with self.visitor.mbox() as box:
            first = box.send("a", "x")
            box.mount("ADM")
            self.assertEqual(box.send("b", "x"), first)
        with self.visitor.mbox() as box:
            box.get()
            box.mount("ADM")
            box.search("x")
        with self.visitor.mbox() as box:
            box.mount("ADM")
            self.assertEqual(texts(box.get()), ["b"])

    def test_exists(self) -> None:
        with self.visitor.mbox() as box:
            self.assertFalse(box.exists())
        self.send("a")
        with self.visitor.mbox() as box:
            self.assertTrue(box.exists())
            self.assertFalse(box.exists("ADM"))
            box.get()
        self.send("b", valid=60)
        self.visitor.now += 60
        with self.visitor.mbox() as box:
            self.assertFalse(box.exists())

    def test_default_one_needs_the_key_of_the_application(self) -> None:
        with self.visitor.mbox() as box, self.assertRaisesRegex(ValueError, "securekey of the default mbox"):
            box.mount(None, "another")
