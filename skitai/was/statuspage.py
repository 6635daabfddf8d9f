"""The page that ``was.status()`` returns: what the server says about itself, as tables in HTML.

Layer 3. It must not know what the facts mean, nor where they come from. Whatever is in them is shown as text.
Thread: any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

_STYLE: Final = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; background: #fafafa; margin: 2em auto; max-width: 60em;
       padding: 0 1em; }
h1 { font-size: 1.6em; } h2 { font-size: 1.15em; margin: 1.6em 0 .4em; }
table { border-collapse: collapse; width: 100%; background: #fff; }
th, td { border: 1px solid #ddd; padding: .3em .6em; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
th { background: #f0f2f5; font-weight: 600; } tbody th { width: 16em; }
.none { color: #888; }
""".strip()


def render(facts: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        facts: By title; a mapping becomes a table of two columns, a list of mappings one with a column for each key
            of the first, anything else a paragraph.
    """
    sections = "".join(f"<h2>{escape(title)}</h2>\n{_section(value)}\n" for title, value in facts.items())
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Skitai</title>\n'
        f"<style>\n{_STYLE}\n</style>\n</head>\n<body>\n<h1>Skitai</h1>\n{sections}</body>\n</html>\n"
    )


def _section(value: Any) -> str:
    if not value and isinstance(value, Mapping | Sequence):
        return '<p class="none">none</p>'
    if isinstance(value, Mapping):
        rows = "".join(f"<tr><th>{escape(str(name))}</th>{_cell(item)}</tr>\n" for name, item in value.items())
        return f"<table>\n<tbody>\n{rows}</tbody>\n</table>"
    if isinstance(value, Sequence) and isinstance(value[0], Mapping):
        return _table(value)
    return f"<p>{escape(_text(value))}</p>"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = list(rows[0])
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(_cell(row.get(name)) for name in columns)}</tr>\n" for row in rows)
    return f"<table>\n<thead>\n<tr>{head}</tr>\n</thead>\n<tbody>\n{body}</tbody>\n</table>"


def _cell(value: Any) -> str:
    return f"<td>{escape(_text(value))}</td>"


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return ", ".join(map(str, value)) or "–"
    return str(value)
