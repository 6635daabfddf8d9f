"""Settings of Sphinx, which makes the documentation: ``sphinx-build docs docs/_build``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

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


def _fill_in_options(app, name, source):
    """Make the page of options from the table itself, so that it can not be out of date."""
    if name == "reference/options":
        source[0] = reference()


def setup(app):
    """Register what is needed on top of Sphinx's own extensions."""
    app.connect("source-read", _fill_in_options)
