"""``was.response``: status and header fields."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skitai.saddle.response import Response


class StatusTests(SynchronousTestCase):
    """Setting the status."""

    def test_default(self) -> None:
        self.assertEqual(Response().get_status(), "200 OK")

    def test_reason_is_added(self) -> None:
        response = Response()
        for status in (404, "404"):
            response.set_status(status)
            self.assertEqual((response.get_status(), response.status_code), ("404 Not Found", 404))

    def test_own_reason(self) -> None:
        response = Response()
        response.set_status("302 Object Moved")
        self.assertEqual(response.get_status(), "302 Object Moved")

    def test_what_is_no_status(self) -> None:
        for status in ("", "OK", "99", "2000", "200 O\r\nK", "200OK", "0200 OK"):
            self.assertRaises(ValueError, Response().set_status, status)


class FieldTests(SynchronousTestCase):
    """Setting header fields."""

    def test_a_field_replaces_its_namesake_whatever_the_case(self) -> None:
        response = Response()
        response.set_header("X-A", "1")
        response.set_header("x-a", "2")
        self.assertEqual(response.get_headers(), [("x-a", "2")])
        self.assertEqual(response.get_header("X-a"), "2")

    def test_several(self) -> None:
        response = Response()
        response.set_header("A", "0")
        response.set_headers([("A", "1"), ("A", "2"), ("B", "3")])
        self.assertEqual(response.get_headers(), [("A", "1"), ("A", "2"), ("B", "3")])

    def test_add(self) -> None:
        response = Response()
        response.add_header("Link", "a")
        response.add_header("Link", "b")
        self.assertEqual(len(response.get_headers()), 2)

    def test_delete(self) -> None:
        response = Response()
        response.set_header("A", "1")
        response.del_header("a")
        response.del_header("b")
        self.assertEqual(response.get_headers(), [])
        self.assertIsNone(response.get_header("A"))

    def test_the_list_given_out_is_a_copy(self) -> None:
        response = Response()
        response.get_headers().append(("A", "1"))
        self.assertEqual(response.get_headers(), [])

    def test_numbers_become_text(self) -> None:
        response = Response()
        response.set_header("Content-Length", 5)  # type: ignore[arg-type]
        self.assertEqual(response.get_header("Content-Length"), "5")

    def test_what_would_split_the_response(self) -> None:
        response = Response()
        for name, value in (("A", "1\r\nB: 2"), ("A", "1\n"), ("A\r\n", "1"), ("A:", "1"), ("", "1"), ("A", "\x00")):
            self.assertRaises(ValueError, response.set_header, name, value)
        self.assertRaises(ValueError, response.set_header, "A", "\u20ac")
        self.assertEqual(response.get_headers(), [])


class CallTests(SynchronousTestCase):
    """``return was.response(...)``."""

    def test_returns_itself_filled(self) -> None:
        response = Response()
        self.assertIs(response("404 Not Found", "x", [("A", "1")]), response)
        self.assertEqual((response.status, response.body, response.headers), ("404 Not Found", "x", [("A", "1")]))

    def test_fields_set_before_stay(self) -> None:
        response = Response()
        response.set_header("A", "1")
        response(body="x", headers={"B": "2"})
        self.assertEqual(response.get_headers(), [("A", "1"), ("B", "2")])

    def test_reset(self) -> None:
        response = Response()
        response("404", "x", [("A", "1")])
        response.reset()
        self.assertEqual((response.status, response.body, response.headers), ("200 OK", None, []))

    def test_promises(self) -> None:
        response = Response()
        response.hint_promise("/images/A.png")
        self.assertEqual(response.promises, ["/images/A.png"])
        self.assertRaises(ValueError, response.hint_promise, "/a>; rel=x\r\n")
