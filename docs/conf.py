"""Settings of Sphinx, which makes the documentation: ``sphinx-build docs docs/_build``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sphinx.addnodes import pending_xref

from skitai.config import reference
from skitai.constants import VERSION

project = "Skitai"
author = "The Skitai contributors"
copyright = "The Skitai contributors"
release = version = VERSION

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_custom_sections = [("Thread", "notes_style")]
html_theme = "alabaster"
html_theme_options = {"description": "A fast WSGI application server on Twisted", "fixed_sidebar": True}
html_show_sourcelink = False

HIDDEN_COLON = "\N{MODIFIER LETTER COLON} "


def _fill_in_options(app, name, source):
    """Make the page of options from the table itself, so that it can not be out of date."""
    if name == "reference/options":
        source[0] = reference()


def _keep_colons(app, what, name, obj, options, lines):
    """Hide the colon in the first line of a property from napoleon, which takes what is before it for a type."""
    if what == "property" and lines:
        lines[0] = lines[0].replace(": ", HIDDEN_COLON)


def _show_colons(app, what, name, obj, options, lines):
    """Undo ``_keep_colons``."""
    lines[:] = [line.replace(HIDDEN_COLON, ": ") for line in lines]


def _tell_cookies_apart(app, doctree):
    """Have "Cookie" mean that of Saddle in the reference of ``was``: the test kit has one, too."""
    if app.env.docname == "reference/was":
        for reference in doctree.findall(pending_xref):
            if reference["reftarget"] == "Cookie":
                reference["reftarget"] = "skitai.saddle.cookie.Cookie"


MADE_BY_WAS = frozenset(
    f"skitai.{name}"
    for name in (
        "fields.Headers",
        "saddle.resproxy.ResProxy",
        "was.calls.RemoteCalls",
        "was.calls.Stub",
        "was.calls.Verb",
        "was.gathering.Gathering",
        "was.handle.Handle",
        "was.gathering.MapHandle",
        "was.result.Response",
        "was.result.Responses",
    )
)
"""Classes that applications use, but never make: what they are made with is nobody's business."""


def _hide_signature(app, what, name, obj, options, signature, return_annotation):
    """Leave out the arguments of what nobody makes."""
    return ("", None) if name in MADE_BY_WAS else None


def _hide_arguments(app, what, name, obj, options, lines):
    """Leave out their descriptions, too."""
    if name in MADE_BY_WAS and "Args:" in lines:
        begin = lines.index("Args:")
        end = begin + 1
        while end < len(lines) and (not lines[end] or lines[end].startswith(" ")):
            end += 1
        del lines[begin:end]


def setup(app):
    """Register what is needed on top of Sphinx's own extensions."""
    app.connect("source-read", _fill_in_options)
    app.connect("autodoc-process-signature", _hide_signature)
    app.connect("autodoc-process-docstring", _hide_arguments, priority=300)
    app.connect("autodoc-process-docstring", _keep_colons, priority=400)  # napoleon has 500
    app.connect("autodoc-process-docstring", _show_colons, priority=600)
    app.connect("doctree-read", _tell_cookies_apart)
