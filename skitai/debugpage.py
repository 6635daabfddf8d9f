"""The page of an exception for the developer who has to find out why: in debug, instead of the plain error page.

From top to bottom: what was raised, and where in the application; the frames with the source around each, those of the
application open, those of libraries folded; what caused the exception; the request; the traceback as text, to copy.
Local variables unfold. No script: it is HTML and a style.

Everything is escaped, everything is bounded, and values whose names look secret are masked (``skitai.reprs``). Still it
shows sources and values: it is for nobody but developers.

Layer 0: an exception in, text out. It must not know where the page is sent. It runs the ``__repr__`` of the
application's objects. Thread: the one that caught the exception.
"""

from __future__ import annotations

import linecache
import os
import sysconfig
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from types import CodeType, FrameType, ModuleType, TracebackType
from typing import Final, TypeAlias

from skitai.pages import escape
from skitai.reprs import brief, clip, public_text

Request: TypeAlias = Mapping[str, Mapping[str, object]]
"""What to show of a request: by the heading of each table its rows."""

MAX_EXCEPTIONS: Final = 10
"""How many exceptions of a chain or a group are shown."""

MAX_FRAMES: Final = 40
"""How many frames of an exception are shown; of more the first and the last."""

_FIRST_FRAMES: Final = 15
_MAX_LOCALS: Final = 50
_MAX_ROWS: Final = 100
_MAX_NOTES: Final = 20
_MAX_MESSAGE: Final = 4000
_MAX_LINE: Final = 300
_MAX_TITLE: Final = 200
_AROUND: Final = 5
_MAX_TEXT: Final = 40_000
_MAX_DETAILS: Final = 1_500_000
"""Characters after which frames come without source and locals."""

_TEMPLATE_GLOBALS: Final = frozenset({"range", "dict", "lipsum", "cycler", "joiner", "namespace"})
"""What Jinja2 puts into every template."""

_HERE: Final = os.path.dirname(os.path.abspath(__file__)) + os.sep
_DEMO: Final = os.path.join(_HERE, "demo") + os.sep
_LIBRARIES: Final = tuple(
    {sysconfig.get_paths()[name] + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
_PACKAGES: Final = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))

_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #222; --paper: #fff; --soft: #f5f4f2; --line: #dddbd7; --dim: #6b6862;
 --red: #b3261e; --hot: #fdecea; --mark: #f7c9c4 }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #ddd; --paper: #1c1b1f; --soft: #28272b; --line: #3c3a41;
 --dim: #9a97a0; --red: #f2867e; --hot: #43272a; --mark: #7a3b3b }} }}
body {{ margin: 2rem auto; max-width: 72rem; padding: 0 1.5rem; font: .95rem/1.5 system-ui, sans-serif;
 color: var(--ink); background: var(--paper) }}
h1 {{ margin: 0; color: var(--red); font-size: 1.6rem }}
h2 {{ margin: 2.5rem 0 .5rem; font-size: 1.15rem }}
h2 b {{ color: var(--red) }}
p {{ margin: .3rem 0 }}
.message {{ margin: .3rem 0 .8rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 1.1rem }}
.note {{ padding-left: .8rem; border-left: 3px solid var(--mark) }}
.dim, footer {{ color: var(--dim) }}
code, pre, td, th {{ font: .82rem/1.5 ui-monospace, monospace; tab-size: 4 }}
details.frame {{ margin: .4rem 0; border: 1px solid var(--line); border-radius: 4px; overflow: hidden }}
summary {{ padding: .35rem .7rem; cursor: pointer; overflow-wrap: anywhere }}
.frame > summary {{ background: var(--soft) }}
.library > summary {{ color: var(--dim) }}
pre {{ margin: 0; padding: .5rem 0; overflow-x: auto }}
pre.text {{ padding: .7rem; background: var(--soft) }}
pre span {{ display: inline-block; min-width: 100% }}
pre .hot {{ background: var(--hot) }}
pre i {{ display: inline-block; width: 4.5em; margin-right: 1em; text-align: right; font-style: normal;
 color: var(--dim); user-select: none }}
mark {{ color: inherit; background: var(--mark) }}
table {{ width: 100%; border-collapse: collapse; table-layout: fixed }}
th {{ width: 14rem; text-align: left; vertical-align: top; font-weight: 600 }}
@media (max-width: 40rem) {{ th {{ width: 7rem }} }}
th, td {{ padding: .2rem .7rem; border-top: 1px solid var(--line); overflow-wrap: anywhere; white-space: pre-wrap }}
footer {{ margin-top: 2.5rem; font-size: .8rem; overflow-wrap: anywhere }}
</style>
</head>
<body>
{body}<footer>{gtxn}This page is shown because debug is on. Turn it off where others can reach the server.</footer>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Report:
    """An exception and the request that met it; what error pages show of a failure in debug.

    Attributes:
        error: The exception.
        request: What to show of the request.
    """

    error: BaseException
    request: Request = field(default_factory=dict)

    def html(self, gtxn: str) -> str:
        """Return the page."""
        return render(self.error, self.request, gtxn)

    def text(self) -> str:
        """Return the traceback as text."""
        return format_text(self.error)


def render(error: BaseException, request: Request | None = None, gtxn: str = "") -> str:
    """Return the page.

    Args:
        error: The exception, with the traceback it was caught with.
        request: What to show of the request: tables by their headings, each with its rows by name. Rows whose names
            look secret are masked, so are such parameters in the query of a URI.
        gtxn: Global transaction id of the request, "" for none.
    """
    page = _Page()
    for relation, each in _chain(error):
        page.add_exception(each, relation)
    for heading, rows in islice((request or {}).items(), _MAX_ROWS):
        page.add_table(heading, rows)
    page.parts.append("<h2>As text</h2>\n<details><summary>Traceback</summary>")
    page.parts.append(f'<pre class="text">{escape(format_text(error))}</pre></details>\n')
    title = " ".join(f"{_name(type(error))}: {_message(error)}".split())
    footer = f"{escape(gtxn)}<br>\n" if gtxn else ""
    return _PAGE.format(title=escape(clip(title, _MAX_TITLE)), body="".join(page.parts), gtxn=footer)


def format_text(error: BaseException) -> str:
    """Return the traceback as Python writes it, its middle left out where it is very long."""
    try:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    except Exception:  # of an exception class that meddles with its own attributes
        text = f"{_name(type(error))}: {_message(error)}\n"
    return clip(text, _MAX_TEXT)


def _chain(error: BaseException) -> Iterator[tuple[str, BaseException | None]]:
    """Yield ``error``, the exceptions of a group and those that led to it, each with how it is related; None: more."""
    pending: list[tuple[str, BaseException]] = [("", error)]
    seen: set[int] = set()
    while pending:
        relation, each = pending.pop(0)
        if id(each) in seen:
            continue
        if len(seen) == MAX_EXCEPTIONS:
            yield f"{len(pending) + 1} or more further exceptions are left out", None
            return
        seen.add(id(each))
        yield relation, each
        members = _members(each)
        related = [(f"Exception {n} of {len(members)} in the group", e) for n, e in enumerate(members, 1)]
        if each.__cause__ is not None:
            related.append(("Caused by", each.__cause__))
        elif each.__context__ is not None and not each.__suppress_context__:
            related.append(("Raised while handling", each.__context__))
        pending[:0] = related


def _members(error: BaseException) -> list[BaseException]:
    """Return the exceptions of a group (PEP 654), of Python's own or of the package that brings them to 3.10."""
    found = getattr(error, "exceptions", None) if hasattr(error, "derive") else None
    return [each for each in found if isinstance(each, BaseException)] if isinstance(found, tuple) else []


class _Page:
    """The parts of a page as they are written, and how much room is left."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.room = _MAX_DETAILS

    def add_exception(self, error: BaseException | None, relation: str) -> None:
        """Write an exception with its frames."""
        if error is None:
            self.parts.append(f'<p class="dim">{escape(relation)}</p>\n')
            return
        name = escape(_name(type(error)))
        self.parts.append(f"<h2>{escape(relation)} <b>{name}</b></h2>\n" if relation else f"<h1>{name}</h1>\n")
        message = _message(error)
        if "\n" in message.strip():
            # It may point at something below a line.
            self.parts.append(f'<pre class="text">{escape(message)}</pre>\n')
        elif message:
            self.parts.append(f'<p class="message">{escape(message)}</p>\n')
        self.parts.extend(f'<p class="message note">{escape(note)}</p>\n' for note in _notes(error))
        if isinstance(error, SyntaxError):
            self.parts.append(_syntax(error))
        frames = list(_walk(error.__traceback__))
        if frames:
            self._add_frames(frames, bool(relation))

    def _add_frames(self, frames: list[TracebackType], led_to_it: bool) -> None:
        own = [not _is_library(each.tb_frame.f_code.co_filename) for each in frames]
        if True not in own:
            own[-1] = True
        if not led_to_it:
            at = frames[len(own) - 1 - own[::-1].index(True)]
            self.parts.append(f"<p>in {_place(at)}</p>\n<h2>Traceback, most recent call last</h2>\n")
        left_out = len(frames) - MAX_FRAMES
        for number, (each, opened) in enumerate(zip(frames, own, strict=True)):
            if left_out <= 0 or number < _FIRST_FRAMES or number >= _FIRST_FRAMES + left_out:
                self._add_frame(each, opened)
            elif number == _FIRST_FRAMES:
                self.parts.append(f'<p class="dim">{left_out} frames are left out</p>\n')

    def _add_frame(self, at: TracebackType, opened: bool) -> None:
        kind = 'class="frame" open' if opened else 'class="frame library"'
        self.parts.append(f"<details {kind}><summary>{_place(at)}</summary>\n")
        if self.room > 0:
            details = _source(at) + _locals(at.tb_frame)
            self.room -= len(details)
            self.parts.append(details)
        self.parts.append("</details>\n")

    def add_table(self, heading: str, rows: Mapping[str, object]) -> None:
        """Write a table of the request."""
        if not rows or self.room <= 0:
            return
        shown = [
            (name, public_text(value, name) if isinstance(value, str) else brief(value, name))
            for name, value in islice(rows.items(), _MAX_ROWS)
        ]
        if len(rows) > len(shown):
            shown.append(("...", f"and {len(rows) - len(shown)} more"))
        table = f"<h2>{escape(heading)}</h2>\n{_table(shown)}"
        self.room -= len(table)
        self.parts.append(table)


def _walk(at: TracebackType | None) -> Iterator[TracebackType]:
    while at is not None:
        yield at
        at = at.tb_next


def _name(kind: type) -> str:
    module = kind.__module__
    return kind.__qualname__ if module in ("builtins", "__main__") else f"{module}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    try:
        return clip(str(error), _MAX_MESSAGE)
    except Exception as fault:
        return f"(its str() raised {type(fault).__name__})"


def _notes(error: BaseException) -> list[str]:
    """Return what ``add_note`` left (PEP 678)."""
    notes = getattr(error, "__notes__", None)
    if not isinstance(notes, list):
        return []
    return [clip(note if isinstance(note, str) else brief(note), _MAX_MESSAGE) for note in notes[:_MAX_NOTES]]


def _is_library(path: str) -> bool:
    """Return whether a file belongs to Python, to Skitai or to an installed package rather than to the application."""
    if path.startswith(_DEMO):
        return False
    if not path.startswith("<") and not os.path.isabs(path) and not os.path.exists(path):
        return True  # code that something generated, Chameleon for one
    return path.startswith(("<frozen", _HERE, *_LIBRARIES)) or any(part in path for part in _PACKAGES)


def _is_template(frame: FrameType) -> bool:
    """Return whether a frame is one that Jinja2 has put into a traceback in the place of its generated code."""
    return "__jinja_exception__" in frame.f_globals


def _place(at: TracebackType) -> str:
    code = at.tb_frame.f_code
    path, shown = code.co_filename, code.co_filename
    for part in (*_PACKAGES, *_LIBRARIES):
        # Below the packages a path says enough; the whole one is in the tooltip.
        shown = shown.rpartition(part)[2]
    # The qualified name of a template is that of a module.
    function = code.co_name if _is_template(at.tb_frame) else getattr(code, "co_qualname", code.co_name)
    return (
        f'<code title="{escape(clip(path))}">{escape(clip(shown))}</code>, line <b>{at.tb_lineno}</b>,'
        f" in <code>{escape(clip(function))}</code>"
    )


def _source(at: TracebackType) -> str:
    """Return the lines around the one where a frame is, with the part of it that was running where Python knows it."""
    frame = at.tb_frame
    lines = _read_lines(frame.f_code.co_filename, frame)
    number = at.tb_lineno
    # A frame out of the middle of an import, or of a file that has changed since, may be anywhere.
    if number is None or not 0 < number <= len(lines):
        return '<p class="dim">&nbsp; no source</p>\n'
    return _excerpt(lines, number, _columns(at, lines[number - 1]))


def _read_lines(path: str, frame: FrameType | None = None) -> list[str]:
    try:
        linecache.checkcache(path)
        return linecache.getlines(path, frame.f_globals if frame is not None else None)
    except Exception:  # of a module's own loader
        return []


def _excerpt(lines: list[str], number: int, columns: tuple[int, int] | None, first: int = 1) -> str:
    """Return the lines around line ``number``, where ``first`` is the number of ``lines[0]``."""
    shown = []
    for n in range(max(first, number - _AROUND), min(first + len(lines), number + _AROUND + 1)):
        line = lines[n - first].rstrip()[:_MAX_LINE]
        if n != number:
            shown.append(f"<span><i>{n}</i>{escape(line)}</span>\n")
            continue
        text = escape(line)
        if columns is not None:
            start, end = columns
            text = f"{escape(line[:start])}<mark>{escape(line[start:end])}</mark>{escape(line[end:])}"
        shown.append(f'<span class="hot"><i>{n}</i>{text}</span>\n')
    return f"<pre>{''.join(shown)}</pre>\n"


def _columns(at: TracebackType, line: str) -> tuple[int, int] | None:
    """Return which characters of its line a frame was running (PEP 657), None for unknown or for all of them."""
    code: CodeType = at.tb_frame.f_code
    positions = getattr(code, "co_positions", None)
    # Jinja2 puts the lines of a template into tracebacks, with the columns of something else.
    if positions is None or at.tb_lasti < 0 or _is_template(at.tb_frame):
        return None
    first, last, start, end = next(islice(positions(), at.tb_lasti // 2, None), (None,) * 4)
    if start is None or first != at.tb_lineno:
        return None
    encoded = line.rstrip().encode("utf-8", "surrogatepass")  # positions count the bytes of UTF-8
    whole = len(encoded)
    end = whole if last != first or end is None else min(end, whole)
    if start >= end or encoded[start:end] == encoded.strip():
        return None
    return tuple(len(encoded[:n].decode("utf-8", "replace")) for n in (start, end))  # type: ignore[return-value]


def _syntax(error: SyntaxError) -> str:
    """Return the source that Python could not read: no frame of the traceback leads to it."""
    number, path = error.lineno, error.filename
    if not isinstance(number, int):
        return ""
    columns = None
    if isinstance(error.offset, int) and error.offset > 0:
        start, end = error.offset, error.end_offset
        if error.end_lineno != number or not isinstance(end, int) or end <= start:
            end = start + 1
        columns = (start - 1, end - 1)
    where = f"<p>in <code>{escape(clip(str(path)))}</code>, line <b>{number}</b></p>\n"
    lines = _read_lines(path) if isinstance(path, str) else []
    if 0 < number <= len(lines):
        return where + _excerpt(lines, number, columns)
    # Of what was compiled from a string this line is all there is.
    return where + (_excerpt([error.text], number, columns, number) if isinstance(error.text, str) else "")


def _locals(frame: FrameType) -> str:
    try:
        found = dict(frame.f_locals)
    except Exception:
        return ""
    # Modules and what is in every module or template tell nothing.
    common = _TEMPLATE_GLOBALS if _is_template(frame) else frozenset()
    items = [
        (name, value)
        for name, value in islice(found.items(), 10 * _MAX_LOCALS)
        if isinstance(name, str)
        and not name.startswith(("__", "."))
        and not issubclass(type(value), ModuleType)
        and name not in common
    ]
    if not items:
        return ""
    shown = [(clip(name), brief(value, name)) for name, value in items[:_MAX_LOCALS]]
    if len(items) > len(shown):
        shown.append(("...", f"and {len(items) - len(shown)} more"))
    return f"<details><summary>Locals</summary>{_table(shown)}</details>\n"


def _table(rows: list[tuple[str, str]]) -> str:
    cells = (f"<tr><th>{escape(clip(name))}</th><td>{escape(value)}</td></tr>\n" for name, value in rows)
    return f"<table>\n{''.join(cells)}</table>\n"
