"""Odd but valid requests for an HTTP/1.x server, with what a server has to see in each.

The counterpart of ``tests.web.corpus``: these must not be refused. Data only.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.web.corpus import (
    EMPTY_CHUNKED,
    FIRST,
    HEAD_LIMIT,
    SMUGGLED,
    TARGET_LIMIT,
    chunked,
    coding,
    get,
    line,
    post,
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What an accepted request has to look like; None means that it does not matter."""

    method: str = "GET"
    path: str = "/"
    query: str = ""
    host: str | None = "a"
    body: bytes = b""
    version: str = "1.1"
    keep_alive: bool = True
    expect_continue: bool = False


@dataclass(frozen=True, slots=True)
class Valid:
    """Bytes that must be accepted as exactly the requests of ``seen``."""

    name: str
    data: bytes
    section: str
    seen: tuple[Seen, ...] = (Seen(),)
    note: str = ""

SECOND = Seen(path="/first")

ACCEPTED = [
    Valid("plain", get(), "RFC 9112 3"),
    Valid("crlf_before", b"\r\n" + get(), "RFC 9112 2.2"),
    Valid("several_crlf_before", b"\r\n\r\n\r\n" + get(), "RFC 9112 2.2"),
    Valid("crlf_between", post(b"Content-Length: 1", body=b"x") + b"\r\n" + FIRST,
          "RFC 9112 2.2", (Seen("POST", body=b"x"), SECOND), "old clients add a CRLF to a body"),
    Valid("http_1_2", line(b"GET / HTTP/1.2"), "RFC 9110 2.5", note="served as the highest minor version known"),
    Valid("http_1_9", line(b"GET / HTTP/1.9"), "RFC 9110 2.5"),
    Valid("http_1_0_without_host", b"GET / HTTP/1.0\r\n\r\n",
          "RFC 9112 3.2", (Seen(host="", version="1.0", keep_alive=False),)),
    Valid("http_1_0_keep_alive", b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n" * 2,
          "RFC 9112 9.3", (Seen(host="", version="1.0"),) * 2),
    Valid("http_1_0_body", b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi",
          "RFC 9112 6.3", (Seen("POST", host="", version="1.0", keep_alive=False, body=b"hi"),)),
    Valid("http_1_0_absolute", b"GET http://b/ HTTP/1.0\r\n\r\n",
          "RFC 9112 3.2.2", (Seen(host="b", version="1.0", keep_alive=False),)),
    Valid("lower_case_method", line(b"get / HTTP/1.1"),
          "RFC 9110 9.1", (Seen("get"),), "case-sensitive, so another method"),
    Valid("unknown_method", line(b"BREW / HTTP/1.1"), "RFC 9110 9.1", (Seen("BREW"),), "the application answers it"),
    Valid("punctuation_method", line(b"M-SEARCH / HTTP/1.1"), "RFC 9110 9.1", (Seen("M-SEARCH"),)),
    Valid("every_tchar_method", line(b"!#$%&'*+-.^_`|~0aZ / HTTP/1.1"),
          "RFC 9110 5.6.2", (Seen("!#$%&'*+-.^_`|~0aZ"),)),
    Valid("options_asterisk", line(b"OPTIONS * HTTP/1.1"), "RFC 9112 3.2.4", (Seen("OPTIONS", "*"),)),
    Valid("options_absolute_empty", line(b"OPTIONS http://b HTTP/1.1"),
          "RFC 9112 3.2.4", (Seen("OPTIONS", "*", host="b"),)),
    Valid("connect", line(b"CONNECT b:443 HTTP/1.1"), "RFC 9112 3.2.3", (Seen("CONNECT", "", host="b:443"),)),
    Valid("connect_ipv6", line(b"CONNECT [::1]:443 HTTP/1.1"),
          "RFC 9112 3.2.3", (Seen("CONNECT", "", host="[::1]:443"),)),
    Valid("absolute_form", line(b"GET http://b/c?d HTTP/1.1"),
          "RFC 9112 3.2.2", (Seen(path="/c", query="d", host="b"),), "the target's host wins over the Host field"),
    Valid("absolute_form_port", line(b"GET http://b:8080/ HTTP/1.1"), "RFC 9112 3.2.2", (Seen(host="b:8080"),)),
    Valid("absolute_form_empty_path", line(b"GET http://b HTTP/1.1"), "RFC 9112 3.2.1", (Seen(host="b"),)),
    Valid("absolute_form_only_query", line(b"GET http://b?c=d HTTP/1.1"),
          "RFC 9112 3.2.1", (Seen(query="c=d", host="b"),)),
    Valid("absolute_form_upper_case", line(b"GET HTTP://b/ HTTP/1.1"), "RFC 9110 4.2.3", (Seen(host="b"),)),
    Valid("absolute_form_https", line(b"GET https://b/ HTTP/1.1"), "RFC 9112 3.2.2", (Seen(host="b"),)),
    Valid("path_two_slashes", line(b"GET //evil/a HTTP/1.1"),
          "RFC 9112 3.2.1", (Seen(path="//evil/a"),), "a path, not a host"),
    Valid("path_is_uri", line(b"GET /http://b/ HTTP/1.1"), "RFC 9112 3.2.1", (Seen(path="/http://b/"),)),
    Valid("path_with_colon", line(b"GET /a:b@c;d=1,2 HTTP/1.1"), "RFC 3986 3.3", (Seen(path="/a:b@c;d=1,2"),)),
    Valid("path_with_dots", line(b"GET /a/../b/./c HTTP/1.1"),
          "RFC 9112 3.2", (Seen(path="/a/../b/./c"),), "handed over as received"),
    Valid("path_percent", line(b"GET /%00%2f%E4%zz HTTP/1.1"),
          "RFC 9112 3.2", (Seen(path="/%00%2f%E4%zz"),), "decoding is the next layer's business"),
    Valid("path_browser_characters", line(b'GET /a|b^c"<d>{e}`f\\ HTTP/1.1'),
          "RFC 3986 2", (Seen(path='/a|b^c"<d>{e}`f\\'),), "not in the grammar, but browsers send them"),
    Valid("query_empty", line(b"GET /? HTTP/1.1"), "RFC 3986 3.4", (Seen(),)),
    Valid("query_question_marks", line(b"GET /a?b?c=/? HTTP/1.1"),
          "RFC 3986 3.4", (Seen(path="/a", query="b?c=/?"),)),
    Valid("target_at_limit", line(b"GET /" + b"a" * (TARGET_LIMIT - 1) + b" HTTP/1.1"),
          "RFC 9112 3", (Seen(path="/" + "a" * (TARGET_LIMIT - 1)),)),
    Valid("head_at_limit", get(b"X: " + b"y" * (HEAD_LIMIT - len(get(b"X: ")))),
          "RFC 6585 5", note="its end is part of the head"),
    Valid("many_fields", get(*[b"X-%d: b" % n for n in range(150)]), "RFC 9112 5"),
    Valid("field_empty", get(b"X-A:"), "RFC 9110 5.5"),
    Valid("field_only_blanks", get(b"X-A: \t "), "RFC 9110 5.5"),
    Valid("field_without_space", get(b"X-A:b", host=b"Host:a\r\n"), "RFC 9112 5"),
    Valid("field_blanks_around", get(b"X-A: \t b \t ", host=b"Host: \ta\t \r\n"), "RFC 9112 5.1"),
    Valid("field_tab_inside", get(b"X-A: b\tc"), "RFC 9110 5.5"),
    Valid("field_obs_text", get(b"X-A: \xe9\xff\x80"), "RFC 9110 5.5"),
    Valid("field_colons", get(b"X-A: b:c: d"), "RFC 9112 5"),
    Valid("field_every_tchar", get(b"!#$%&'*+-.^_`|~0aZ: b"), "RFC 9110 5.6.2"),
    Valid("field_repeated", get(b"X-A: b", b"X-A: c", b"Cookie: a=b", b"Cookie: c=d"), "RFC 9110 5.3"),
    Valid("field_upper_case", get(host=b"HOST: a\r\n"), "RFC 9110 5.1"),
    Valid("field_like_framing", get(b"Transfer_Encoding: chunked", b"Content_Length: 5", b"X-Content-Length: 5"),
          "RFC 9110 5.1", note="other names altogether"),
    Valid("host_last", get(b"X: y", b"Host: a", host=b""), "RFC 9112 3.2", note="first is only good practice"),
    Valid("host_empty", get(host=b"Host:\r\n"), "RFC 9112 3.2", (Seen(host=""),)),
    Valid("host_port", get(host=b"Host: a:5000\r\n"), "RFC 9110 7.2", (Seen(host="a:5000"),)),
    Valid("host_empty_port", get(host=b"Host: a:\r\n"), "RFC 3986 3.2.3", (Seen(host=None),)),
    Valid("host_ipv6", get(host=b"Host: [::1]:80\r\n"), "RFC 9110 7.2", (Seen(host="[::1]:80"),)),
    Valid("host_ipv4", get(host=b"Host: 127.0.0.1\r\n"), "RFC 9110 7.2", (Seen(host="127.0.0.1"),)),
    Valid("host_upper_case", get(host=b"Host: EXAMPLE.com\r\n"), "RFC 9110 4.2.3", (Seen(host=None),)),
    Valid("host_underscore", get(host=b"Host: a_b.c\r\n"), "RFC 3986 3.2.2", (Seen(host="a_b.c"),)),
    Valid("host_trailing_dot", get(host=b"Host: a.\r\n"), "RFC 3986 3.2.2", (Seen(host="a."),)),
    Valid("length_zero", post(b"Content-Length: 0"), "RFC 9110 8.6", (Seen("POST"),)),
    Valid("length_leading_zeros", post(b"Content-Length: 0005", body=b"hello"),
          "RFC 9110 8.6", (Seen("POST", body=b"hello"),)),
    Valid("length_blanks_around", post(b"Content-Length: \t 5 \t", body=b"hello"),
          "RFC 9112 5.1", (Seen("POST", body=b"hello"),)),
    Valid("length_in_get", get(b"Content-Length: 38") + SMUGGLED,
          "RFC 9110 9.3.1", (Seen(body=SMUGGLED),), "CL.0: it is the body"),
    Valid("length_in_head", get(b"Content-Length: 38").replace(b"GET", b"HEAD", 1) + SMUGGLED,
          "RFC 9110 9.3.2", (Seen("HEAD", body=SMUGGLED),)),
    Valid("length_in_delete", get(b"Content-Length: 38").replace(b"GET", b"DELETE", 1) + SMUGGLED + FIRST,
          "RFC 9110 9.3.5", (Seen("DELETE", body=SMUGGLED), SECOND)),
    Valid("length_any_bytes", post(b"Content-Length: 6", body=b"\x00\r\n\r\n\xff"),
          "RFC 9112 6.2", (Seen("POST", body=b"\x00\r\n\r\n\xff"),)),
    Valid("no_length_no_body", post() + FIRST, "RFC 9112 6.3", (Seen("POST"), SECOND), "411 is never needed"),
    Valid("coding_odd_case", coding(b"ChUnKeD", b"5\r\nhello\r\n0\r\n\r\n"),
          "RFC 9112 7", (Seen("POST", body=b"hello"),)),
    Valid("coding_blanks_around", coding(b"  chunked  ", EMPTY_CHUNKED), "RFC 9112 5.1", (Seen("POST"),)),
    Valid("coding_in_get_holds_request", get(b"Transfer-Encoding: chunked") + b"26\r\n" + SMUGGLED + b"\r\n0\r\n\r\n",
          "RFC 9112 6", (Seen(body=SMUGGLED),)),
    Valid("chunks_empty", chunked(EMPTY_CHUNKED) + FIRST, "RFC 9112 7.1", (Seen("POST"), SECOND)),
    Valid("chunks_several", chunked(b"5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n" + EMPTY_CHUNKED),
          "RFC 9112 7.1", (Seen("POST", body=b"hello world"),)),
    Valid("chunks_hex_both_cases", chunked(b"A\r\n0123456789\r\na\r\n0123456789\r\n" + EMPTY_CHUNKED),
          "RFC 9112 7.1", (Seen("POST", body=b"0123456789" * 2),)),
    Valid("chunks_leading_zeros", chunked(b"0005\r\nhello\r\n000\r\n\r\n"),
          "RFC 9112 7.1", (Seen("POST", body=b"hello"),)),
    Valid("chunks_of_line_ends", chunked(b"4\r\n\r\n\r\n\r\n" + EMPTY_CHUNKED),
          "RFC 9112 7.1", (Seen("POST", body=b"\r\n\r\n"),)),
    Valid("chunk_extensions", chunked(b'5;a;b=c;d="e;\\" f"\r\nhello\r\n0;z\r\n\r\n'),
          "RFC 9112 7.1.1", (Seen("POST", body=b"hello"),)),
    Valid("chunk_extension_blanks", chunked(b"5 ; a = b\r\nhello\r\n" + EMPTY_CHUNKED),
          "RFC 9112 7.1.1", (Seen("POST", body=b"hello"),), "BWS must be parsed"),
    Valid("trailers", chunked(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-More:\r\n\r\n") + FIRST,
          "RFC 9112 7.1.2", (Seen("POST", body=b"hello"), SECOND)),
    Valid("trailer_content_length", chunked(b"0\r\nContent-Length: 38\r\nHost: b\r\n\r\n") + FIRST,
          "RFC 9110 6.5.1", (Seen("POST"), SECOND), "no meaning in a trailer: ignored"),
    Valid("trailer_transfer_encoding", chunked(b"0\r\nTransfer-Encoding: x\r\n\r\n") + FIRST,
          "RFC 9110 6.5.1", (Seen("POST"), SECOND)),
    Valid("expect", post(b"Expect: 100-Continue", b"Content-Length: 1", body=b"x"),
          "RFC 9110 10.1.1", (Seen("POST", body=b"x", expect_continue=True),)),
    Valid("expect_in_1_0", b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
          "RFC 9110 10.1.1", (Seen("POST", host="", version="1.0", keep_alive=False, body=b"x"),), "must be ignored"),
    Valid("upgrade_ignored", get(b"Connection: upgrade", b"Upgrade: other/1") + FIRST,
          "RFC 9110 7.8", (Seen(), SECOND), "a MAY"),
    Valid("upgrade_with_body",
          post(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 38", body=SMUGGLED) + FIRST, "RFC 9110 7.8",
          (Seen("POST", body=SMUGGLED), SECOND)),
    Valid("te_field", get(b"TE: trailers, gzip;q=0.5", b"Connection: TE"), "RFC 9110 10.1.4"),
    Valid("close", get(b"Connection: close") + FIRST,
          "RFC 9112 9.6", (Seen(keep_alive=False),), "what follows is ignored"),
    Valid("close_in_list", get(b"Connection: keep-alive, Close") + FIRST, "RFC 9112 9.3", (Seen(keep_alive=False),)),
    Valid("close_in_second_field", get(b"Connection: keep-alive", b"Connection: close") + FIRST,
          "RFC 9112 9.3", (Seen(keep_alive=False),)),
    Valid("close_after_body", post(b"Connection: close", b"Content-Length: 1", body=b"x") + SMUGGLED,
          "RFC 9112 9.6", (Seen("POST", body=b"x", keep_alive=False),)),
    Valid("close_then_garbage", get(b"Connection: close") + b"\x00\n", "RFC 9112 9.6", (Seen(keep_alive=False),)),
    Valid("closed_is_not_close", get(b"Connection: closed") + FIRST, "RFC 9110 7.6.1", (Seen(), SECOND)),
    Valid("pipelined_three", FIRST * 3, "RFC 9112 9.3.2", (SECOND,) * 3),
    Valid("pipelined_bodies",
          post(b"Content-Length: 2", body=b"hi") + chunked(b"2\r\nho\r\n" + EMPTY_CHUNKED) + get(), "RFC 9112 9.3.2",
          (Seen("POST", body=b"hi"), Seen("POST", body=b"ho"), Seen())),
]
