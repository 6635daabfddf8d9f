"""Cross-origin resource sharing: the fields for answers and preflights, and settings that can not be used."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.saddle.cors import MAX_ORIGIN_SIZE, MAX_REQUESTED_SIZE, CorsPolicy, same_origin

SHOP = "https://shop.example.com"
ALLOW = "Access-Control-Allow-Origin"
VARY = ("Vary", "Origin")


def preflight(
    policy: CorsPolicy, headers: str | None = None, method: str = "POST", origin: str = SHOP
) -> dict[str, str]:
    """Return the answer to a preflight for a route with POST and OPTIONS."""
    fields = policy.preflight(origin, method, headers, ["POST", "OPTIONS"])
    assert len(dict(fields)) == len(fields)
    return dict(fields)


class AnswerTests(SynchronousTestCase):
    """``headers`` and ``allows``"""

    def test_no_policy_no_field(self) -> None:
        self.assertEqual(CorsPolicy().headers(SHOP), [])
        self.assertEqual(CorsPolicy(allow_credentials=True, expose_headers="X-A", max_age=5).headers(SHOP), [])
        self.assertFalse(CorsPolicy().allows(SHOP))

    def test_everybody(self) -> None:
        policy = CorsPolicy("*", expose_headers=["X-Total", "ETag"])
        wanted = [(ALLOW, "*"), ("Access-Control-Expose-Headers", "X-Total, ETag")]
        for origin in (SHOP, "null", None, "nonsense"):
            self.assertEqual(policy.headers(origin), wanted, origin)
        self.assertTrue(policy.allows("null"))
        self.assertFalse(policy.allows(None))

    def test_the_result_may_be_changed(self) -> None:
        policy = CorsPolicy("*")
        policy.headers(SHOP).append(("X", "y"))
        self.assertEqual(policy.headers(SHOP), [(ALLOW, "*")])

    def test_one_origin(self) -> None:
        policy = CorsPolicy(SHOP)
        self.assertEqual(policy.headers(SHOP), [(ALLOW, SHOP), VARY])
        self.assertTrue(policy.allows(SHOP))

    def test_others_get_no_field_but_vary(self) -> None:
        policy = CorsPolicy([SHOP, "http://localhost:3000"], allow_credentials=True, expose_headers="X-A")
        others: list[str | None] = [
            None,
            "",
            "null",
            "*",
            "http://shop.example.com",
            "https://shop.example.com.evil.org",
            "https://evil.org/https://shop.example.com",
            "https://example.com",
            "https://shop.example.com:8443",
            "https://shop.example.com/",
            "https://shop.example.com\r\nX: y",
            "https://shop.example.com\n",
            f"{SHOP} {SHOP}",
            f"{SHOP},{SHOP}",
            "http://localhost",
        ]
        for origin in others:
            self.assertEqual(policy.headers(origin), [VARY], origin)
            self.assertFalse(policy.allows(origin), origin)

    def test_several_origins(self) -> None:
        for several in (
            [SHOP, "http://b:8080"],
            (SHOP, "http://b:8080"),
            {SHOP, "http://b:8080"},
            f"{SHOP}, http://b:8080",
        ):
            policy = CorsPolicy(several)
            self.assertEqual(policy.headers("http://b:8080"), [(ALLOW, "http://b:8080"), VARY])
            self.assertEqual(policy.headers(SHOP), [(ALLOW, SHOP), VARY])

    def test_case_and_default_port(self) -> None:
        policy = CorsPolicy(["HTTPS://Shop.Example.com:443", "http://b", "http://[2001:DB8::1]:8080"])
        for origin in (SHOP, "https://SHOP.example.com", "http://b:80", "http://[2001:db8::1]:8080"):
            # As the client wrote it, since that is what its browser compares.
            self.assertEqual(policy.headers(origin), [(ALLOW, origin), VARY])
        for origin in ("https://shop.example.com:80", "http://b:443", "https://b"):
            self.assertEqual(policy.headers(origin), [VARY], origin)

    def test_null_only_by_name(self) -> None:
        self.assertEqual(CorsPolicy([SHOP, "null"]).headers("null"), [(ALLOW, "null"), VARY])
        self.assertEqual(CorsPolicy([SHOP, "null"]).headers("NULL"), [VARY])

    def test_applications_made_of_pages(self) -> None:
        policy = CorsPolicy(["capacitor://localhost", "chrome-extension://abcdefgh"])
        self.assertTrue(policy.allows("capacitor://localhost"))
        self.assertTrue(policy.allows("chrome-extension://abcdefgh"))

    def test_nobody_of_an_empty_list(self) -> None:
        self.assertEqual(CorsPolicy([]).headers(SHOP), [VARY])
        self.assertEqual(preflight(CorsPolicy([])), {"Vary": "Origin"})

    def test_credentials(self) -> None:
        policy = CorsPolicy(SHOP, allow_credentials=True, expose_headers="X-A")
        self.assertEqual(
            policy.headers(SHOP),
            [
                (ALLOW, SHOP),
                ("Access-Control-Allow-Credentials", "true"),
                ("Access-Control-Expose-Headers", "X-A"),
                VARY,
            ],
        )

    def test_everybody_in_a_list(self) -> None:
        self.assertEqual(CorsPolicy([SHOP, "*"]), CorsPolicy("*"))

    def test_a_long_origin_is_nobody(self) -> None:
        host = "a" * (MAX_ORIGIN_SIZE - len("http://"))
        policy = CorsPolicy(f"http://{host}")
        self.assertTrue(policy.allows(f"HTTP://{host}"))
        self.assertFalse(policy.allows(f"HTTP://{host}:80"))


class PreflightTests(SynchronousTestCase):
    """``preflight``"""

    def test_as_in_the_manual(self) -> None:
        self.assertEqual(
            preflight(CorsPolicy("*", max_age=3600), "content-type"),
            {
                ALLOW: "*",
                "Access-Control-Allow-Methods": "POST, OPTIONS",
                "Access-Control-Allow-Headers": "content-type",
                "Access-Control-Max-Age": "3600",
                "Vary": "Access-Control-Request-Headers",
            },
        )

    def test_one_origin_with_everything(self) -> None:
        policy = CorsPolicy(SHOP, "get,Put", ("X-A", "authorization"), True, ["X-B"], 0)
        self.assertEqual(
            preflight(policy, "x-whatever"),
            {
                ALLOW: SHOP,
                "Access-Control-Allow-Credentials": "true",
                "Access-Control-Allow-Methods": "GET, PUT",
                "Access-Control-Allow-Headers": "X-A, authorization",
                "Access-Control-Max-Age": "0",
                "Vary": "Origin",
            },
        )

    def test_refused_origin(self) -> None:
        policy = CorsPolicy(SHOP, allow_credentials=True, max_age=5)
        self.assertEqual(preflight(policy, "x-a", origin="https://evil.org"), {"Vary": "Origin"})
        self.assertEqual(preflight(CorsPolicy(), "x-a"), {})
        self.assertEqual(CorsPolicy("*").preflight(None, "GET", None, ["GET"]), [])

    def test_a_method_that_is_not_allowed_is_answered_with_those_that_are(self) -> None:
        self.assertEqual(preflight(CorsPolicy("*"), method="DELETE")["Access-Control-Allow-Methods"], "POST, OPTIONS")

    def test_headers_are_echoed_only_as_a_list_of_names(self) -> None:
        name = "Access-Control-Allow-Headers"
        for requested, echoed in (
            ("content-type,authorization", "content-type, authorization"),
            ("x-a ,, x-b", "x-a, x-b"),
            ("x-a\r\nSet-Cookie: a=b", None),
            ("x a", None),
            ("", None),
            (None, None),
            ("a" * MAX_REQUESTED_SIZE, "a" * MAX_REQUESTED_SIZE),
            ("a" * (MAX_REQUESTED_SIZE + 1), None),
        ):
            answer = preflight(CorsPolicy("*"), requested)
            self.assertEqual(answer.get(name), echoed, requested)
            self.assertEqual(answer["Vary"], "Access-Control-Request-Headers")

    def test_any_header_with_credentials_is_echoed(self) -> None:
        policy = CorsPolicy(SHOP, allow_headers="*", allow_credentials=True)
        answer = preflight(policy, "x-a")
        self.assertEqual(answer["Access-Control-Allow-Headers"], "x-a")
        self.assertEqual(answer["Vary"], "Origin, Access-Control-Request-Headers")

    def test_any_method_is_echoed(self) -> None:
        policy = CorsPolicy("*", allow_methods="*", allow_headers="X-A")
        answer = preflight(policy, method="PURGE")
        self.assertEqual(answer["Access-Control-Allow-Methods"], "PURGE")
        self.assertEqual(answer["Vary"], "Access-Control-Request-Method")
        for bad in ("A B", "A,B", "A\r\nB", ""):
            self.assertNotIn("Access-Control-Allow-Methods", preflight(policy, method=bad))

    @settings(derandomize=True, max_examples=150, deadline=None)
    @given(st.text(max_size=40), st.text(max_size=20), st.text(max_size=40), st.booleans())
    def test_whatever_comes_nothing_raises_and_no_line_breaks(
        self, origin: str, method: str, headers: str, any_origin: bool
    ) -> None:
        policy = CorsPolicy("*" if any_origin else [SHOP, "null"], allow_methods="*")
        for name, value in [*policy.headers(origin), *policy.preflight(origin, method, headers, ["GET"])]:
            self.assertTrue((name + value).isascii() and (name + value).isprintable(), value)


class SettingsTests(SynchronousTestCase):
    """What an application and a route set"""

    def refused(self, wanted: str, **given: Any) -> None:
        """Assert that the settings can not be used, for a reason that holds ``wanted``."""
        error = self.assertRaises(ValueError, CorsPolicy, **given)
        self.assertIn(wanted, str(error))

    def test_credentials_for_everybody(self) -> None:
        self.refused("name the origins", allow_origin="*", allow_credentials=True)
        self.refused("name the origins", allow_origin=[SHOP, "*"], allow_credentials=True)
        self.refused("name the fields", allow_origin=SHOP, allow_credentials=True, expose_headers="*")
        self.assertEqual(CorsPolicy("*", expose_headers="*").headers(None)[1][1], "*")

    def test_origins_that_are_none(self) -> None:
        self.refused("(nothing after the host and port: 'https://a.com')", allow_origin="https://a.com/")
        for origin in (
            "a.com",
            "https://",
            "https://a.com/path",
            "https://*.a.com",
            "//a.com",
            "https://a:b",
            "https://ü.de",
        ):
            self.refused('access_control_allow_origin must be "*", "null" or like', allow_origin=[SHOP, origin])
        for value in ("", 7, [7], {"a": 1}, True):
            self.refused("access_control_allow_origin must be a text", allow_origin=value)

    def test_names_that_are_none(self) -> None:
        self.refused("access_control_allow_methods must be names of methods, not 'A B'", allow_methods=["GET", "A B"])
        self.refused("access_control_allow_headers must be names of fields", allow_headers="X-A\r\nX-B")
        self.refused("access_control_expose_headers must be names of fields", expose_headers=["X:"])
        self.refused("access_control_expose_headers must be a text", expose_headers=5)

    def test_other_values(self) -> None:
        self.refused("access_control_allow_credentials must be True or False, not 'no'", allow_credentials="no")
        for age in (-1, "3600", 1.5, True):
            self.refused("access_control_max_age must be a whole number of seconds", max_age=age)

    def test_from_an_application(self) -> None:
        app = SimpleNamespace(
            access_control_allow_origin=SHOP, access_control_max_age=60, access_control_allow_headers=None
        )
        self.assertEqual(CorsPolicy.of(app), CorsPolicy(SHOP, max_age=60))
        self.assertEqual(CorsPolicy.of(object()), CorsPolicy())

    def test_a_route_overrides_option_by_option(self) -> None:
        app = SimpleNamespace(access_control_allow_origin=SHOP, access_control_max_age=60)
        options = {"methods": ["GET"], "access_control_allow_origin": "*", "access_control_allow_headers": ["X-A"]}
        self.assertEqual(CorsPolicy.of(app, options), CorsPolicy("*", allow_headers="X-A", max_age=60))
        self.assertEqual(CorsPolicy.of(app, {"access_control_allow_origin": None}).headers(SHOP), [])

    def test_a_route_can_make_a_contradiction(self) -> None:
        app = SimpleNamespace(access_control_allow_origin="*")
        error = self.assertRaises(ValueError, CorsPolicy.of, app, {"access_control_allow_credentials": True})
        self.assertIn("name the origins", str(error))

    def test_an_option_misspelt(self) -> None:
        error = self.assertRaises(ValueError, CorsPolicy.of, object(), {"access_control_allow_origins": "*"})
        self.assertEqual(
            str(error), "there is no option access_control_allow_origins: did you mean access_control_allow_origin?"
        )
        self.assertRaises(ValueError, CorsPolicy.of, object(), {"access_control__origins": "*"})


class SameOriginTests(SynchronousTestCase):
    """``same_origin``"""

    def test_the_server_itself(self) -> None:
        for origin, scheme, host in (
            ("http://a.com", "http", "A.com:80"),
            ("https://a.com", "wss", "a.com"),
            ("http://a.com:5000", "ws", "a.com:5000"),
        ):
            self.assertTrue(same_origin(origin, scheme, host), origin)

    def test_others(self) -> None:
        for origin, scheme, host in (
            ("http://a.com", "https", "a.com"),
            ("http://a.com", "http", "a.com:5000"),
            ("null", "http", "a.com"),
            ("null", "http", ""),
            ("", "http", ""),
        ):
            self.assertFalse(same_origin(origin, scheme, host), origin)
