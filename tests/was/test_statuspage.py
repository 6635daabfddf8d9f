"""The page of ``was.status()``."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.was.statuspage import render


class Reader(HTMLParser):
    """Reads the titles and the tables of a page; a tag that does not close the last one that is open is a fault."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.titles: list[str] = []
        self.cells: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        if tag != "meta":
            self.tags.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        if self.tags.pop() != tag:
            raise AssertionError(f"</{tag}> closes something else")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "h2":
            self.titles.append(data)
        elif self.tags and self.tags[-1] in ("td", "th"):
            self.cells[-1] += data


def read(facts: dict[str, Any]) -> Reader:
    reader = Reader()
    reader.feed(render(facts))
    reader.close()
    if reader.tags:
        raise AssertionError(f"not closed: {reader.tags}")
    return reader


class StatusPageTests(SynchronousTestCase):
    """Facts become tables."""

    def test_a_mapping_is_a_table_of_two_columns(self) -> None:
        page = read({"Server": {"Name": "Skitai", "Threads": 4}})
        self.assertEqual((page.titles, page.cells), (["Server"], ["Name", "Skitai", "Threads", "4"]))

    def test_a_list_of_mappings_has_a_column_for_each_key(self) -> None:
        page = read({"Mounts": [{"Point": "/", "Host": "any"}, {"Host": "x.com", "Point": "/a"}, {"Point": "/b"}]})
        self.assertEqual(page.cells, ["Point", "Host", "/", "any", "/a", "x.com", "/b", "–"])

    def test_nothing(self) -> None:
        for nothing in ({}, [], ()):
            self.assertIn('<p class="none">none</p>', render({"Aliases": nothing}))

    def test_a_list_of_words(self) -> None:
        self.assertIn("<p>@a, @b</p>", render({"Aliases": ["@a", "@b"]}))

    def test_values(self) -> None:
        page = read({"": {"a": None, "b": True, "c": False, "d": ("x", "y"), "e": (), "f": 0, "g": b"raw"}})
        self.assertEqual(page.cells[1::2], ["–", "yes", "no", "x, y", "–", "0", "b'raw'"])

    def test_everything_is_escaped(self) -> None:
        evil = "<script>alert('x')</script>&amp;\""
        facts: tuple[dict[str, Any], ...] = (
            {evil: {evil: evil}},
            {evil: [{evil: evil}]},
            {evil: [evil]},
            {evil: evil},
            {evil: {evil: [evil]}},
        )
        for item in facts:
            page = read(item)
            self.assertNotIn("script", page.seen)
            self.assertEqual(page.titles, [evil])
            self.assertNotIn("<script", render(item))
