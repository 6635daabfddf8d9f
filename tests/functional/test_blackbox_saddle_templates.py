"""Saddle: Jinja2 and Chameleon templates with ``was`` in reach."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.blackbox import Reply, Shared
from tests.functional.process import until
from tests.functional.saddlebox import each, tables

APP = """\
import parts
from skitai.saddle import Saddle

app = Saddle (__name__)
app.mount ("/parts", parts, "part")

def generate_form_token ():
  return "token-5"

@app.startup
def startup (wasc):
  app.jinja_env.globals ['form_token'] = generate_form_token

@app.route ("/keywords")
def keywords (was):
  return was.render ("index.html", choice = 2, product = "Apples")

@app.route ("/dictionary")
def dictionary (was):
  return was.render ("index.html", {"choice": 2, "product": "Apples"})

@app.route ("/both")
def both (was):
  return was.render ("index.html", {"choice": 2}, product = "Apples")

@app.route ("/neither")
def neither (was):
  return was.render ("plain.txt")

@app.route ("/checkout")
def checkout (was, choice):
  return "checked out"

@app.route ("/was")
def with_was (was, choice = None):
  was.cookie ["username"] = "Ann"
  return was.render ("was.html", choice = 2)

@app.route ("/g")
def with_g (was, howmany = 10):
  was.g.product = "Apple"
  was.g.howmany = int (howmany)
  return was.render ("g.html")

@app.route ("/show/<name>")
def show (was, name, text):
  return was.render (name, text = text)

@app.route ("/template")
def template (was, name):
  return was.render (name)

@app.route ("/child")
def child (was):
  return was.render ("app/child.html", rows = [1, 2])

@app.route ("/stream")
def stream (was):
  def generate ():
    yield was.render ("plain.txt")
    yield was.render ("fails.html")
  return generate ()

@app.route ("/entities")
def entities (was, level, state):
  return "entities"

@app.route ("/chameleon/<name>")
def chameleon (was, name, query = "", level = "1"):
  return was.render (
    name,
    dashboard = [
      {'population': 235642, 'schools': 34, 'state': 'NY', 'nation': 'USA'},
      {'population': 534556, 'schools': 54, 'state': 'BC', 'nation': '<Canada>'},
    ]
  )
"""

OVERLAID = """\
from skitai.saddle import Saddle

def make (**delimiters):
  app = Saddle (__name__)
  app.jinja_overlay (**delimiters)
  @app.route ("/<name>")
  def show (was, name):
    return was.render (name, value = "<x>", rows = [1, 2])
  return app

manual = make (
  variable_start_string = "{{",
  variable_end_string = "}}",
  block_start_string = "{%",
  block_end_string = "%}",
  comment_start_string = "{#",
  comment_end_string = "#}",
  line_statement_prefix = "%",
  line_comment_prefix = "%%"
)
same = make (variable_start_string = "#", variable_end_string = "#")
brackets = make (variable_start_string = "[[", variable_end_string = "]]")
"""

PARTS = """\
from skitai.saddle import Saddlery
part = Saddlery (__name__)

@part.route ("/own/<name>")
def own (was, name):
  return was.render2 ("show.htm", name = name)

@part.route ("/main/<name>")
def of_main (was, name):
  return was.render ("show.htm", name = name)
"""

TEMPLATES = {
    "index.html": "choice {{ choice }} product {{ product }}",
    "plain.txt": "plain ",
    "was.html": "{{ was.cookie.username }} choices item {{ was.request.args.get ('choice', 'N/A') }}."
    "<a href=\"{{ was.ab ('checkout', choice) }}\">Proceed</a> "
    "{{ was.app.debug }} {{ was.env.REQUEST_METHOD }} {{ form_token () }}",
    "g.html": "{% set g = was.g }}".replace("}}", "%}")
    + '{# make shortcut #}Checkout for {{ g.howmany }} {{ g.product }}{{g.howmany > 1 and "s" or ""}}',
    "fails.html": "before {{ 1 // 0 }} after",
    "undefined.html": "a{{ nothing }}b",
    "syntax.html": "{% if %}",
    "app/base.html": "<h1>{% block title %}base{% endblock %}</h1>{% include 'includes/row.html' %}",
    "app/child.html": "{% extends 'app/base.html' %}{% block title %}child"
    "{% for r in rows %} {{ r }}{% endfor %}{% endblock %}",
    "includes/row.html": "included",
    "unicode.html": "caf\xe9 \u4e2d",
    "safe.html": "{{ text|safe }}",
    "attribute.html": "<a title='{{ text }}'>",
    "show.htm": "main {{ name }}",
    "manual.html": "a %% not seen\n% for r in rows\n{{ r }}{# comment #}\n% endfor\n"
    "{% if value %}{{ value }}{% endif %}",
    "same.html": "#value# ## #rows[0]#",
    "brackets.html": "[[ value ]] {{ mustache }}",
    "index.ptal": """<table>
${ was.request.args ['query'] }
<tr tal:repeat="each dashboard">
  <td>
    <a tal:define="entity_name '%s, %s' % (each ['state'], each ['nation'])"
       tal:attributes="href was.ab ('entities', was.request.args ['level'], each ['state'])"
       tal:content="entity_name">
    </a>
  </td>
  <td tal:content="each ['population']" />
  <td>${ each ['schools'] }</td>
</tr></table>
""",
    "simple.pt": "<p title=\"${ was.request.args.get ('query') }\">"
    "${ was.request.args.get ('query') } ${ was.app.debug }</p>",
    "fails.pt": "<p>${ 1 // 0 }</p>",
    **{f"escape.{kind}": "{{ text }}" for kind in ("html", "htm", "xml", "xhtml", "txt", "HTML")},
}

site = Shared(
    {
        "app.py": APP
        + """
if __name__ == "__main__":
  import skitai
  skitai.run (mount = {"/": app, "/manual": ("overlaid.py", "manual"), "/same": ("overlaid.py", "same"),
    "/brackets": ("overlaid.py", "brackets"), "/math": ("app.py", "app")})
""",
        "overlaid.py": OVERLAID,
        "parts/__init__.py": PARTS,
        "parts/templates/show.htm": "own {{ name }}",
        "secret.html": "the secret",
        **{f"templates/{name}": text for name, text in TEMPLATES.items()},
    }
)


def get(target: str, *fields: str) -> Reply:
    return site.ask(target, *fields)


@tables
class JinjaTests(SynchronousTestCase):
    """Jinja2."""

    @each(
        ("/keywords", "choice 2 product Apples"), ("/dictionary", "choice 2 product Apples"), ("/neither", "plain "),
        ("/g", "Checkout for 10 Apples"), ("/g?howmany=1", "Checkout for 1 Apple"), ("/child",
            "<h1>child 1 2</h1>included"),
        ("/template?name=unicode.html", "caf\xe9 \u4e2d"), ("/parts/own/Bob", "own Bob"), ("/parts/main/Bob",
            "main Bob"),
        ("/template?name=undefined.html", "ab"),
    )  # fmt: skip
    def test_pages(self, target: str, text: str) -> None:
        reply = get(target)
        self.assertEqual((reply.status, reply.text), (200, text))
        self.assertEqual(reply.get("Content-Type").replace(" ", "").lower(), "text/html;charset=utf-8")

    @each(
        ("/was", "Ann choices item N/A.<a href=\"/checkout?choice=2\">Proceed</a> False GET token-5"),
        ("/math/was?choice=x", "Ann choices item x.<a href=\"/math/checkout?choice=2\">Proceed</a> False GET token-5"),
    )  # fmt: skip
    def test_was(self, target: str, text: str) -> None:
        self.assertEqual(get(target).text, text)

    def test_both_are_refused(self) -> None:
        """A dictionary together with keywords is what the manual says one can not do."""
        self.assertEqual(get("/both").status, 500)

    @each("html", "htm", "xml", "xhtml")
    def test_escaped(self, kind: str) -> None:
        self.assertEqual(get(f"/show/escape.{kind}?text=%3Cb%3E%26%22").text, "&lt;b&gt;&amp;&#34;")

    def test_not_escaped(self) -> None:
        self.assertEqual(get("/show/escape.txt?text=%3Cb%3E").text, "<b>")
        self.assertEqual(get("/show/safe.html?text=%3Cb%3E").text, "<b>")

    def test_escaped_attribute(self) -> None:
        self.assertEqual(get("/show/attribute.html?text=%27%20onclick=%27x").text, "<a title='&#39; onclick=&#39;x'>")

    @each("missing.html", "syntax.html", "fails.html")
    def test_errors(self, name: str) -> None:
        """They are 500 and named in the log."""
        self.assertEqual(get(f"/template?name={name}").status, 500)
        until(lambda: name in site.server.output, "the name of the template in the log")

    @each(
        "../secret.html",
        "../app.py",
        "/etc/passwd",
        "%2e%2e/secret.html",
        "..%5csecret.html",
        "app/../../secret.html",
        "%00",
        "",
    )
    def test_way_out(self, name: str) -> None:
        reply = get(f"/template?name={name}")
        self.assertGreaterEqual(reply.status, 400)
        self.assertNotIn("secret", reply.text)

    def test_failure_halfway(self) -> None:
        with site.raw("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n") as wire:
            data = wire.rest()
        self.assertFalse(data.endswith(b"0\r\n\r\n") and b" 200 " in data.partition(b"\r\n")[0], data)

    def test_injected_template(self) -> None:
        """A value is no template."""
        self.assertEqual(get("/show/escape.html?text=%7B%7B7*7%7D%7D").text, "{{7*7}}")


class OverlayTests(SynchronousTestCase):
    """``app.jinja_overlay``."""

    def test_manual(self) -> None:
        self.assertEqual(get("/manual/manual.html").text.split(), ["a", "1", "2", "&lt;x&gt;"])

    def test_equal_delimiters(self) -> None:
        """A doubled one stands for itself."""
        self.assertEqual(get("/same/same.html").text, "&lt;x&gt; # 1")

    def test_others(self) -> None:
        self.assertEqual(get("/brackets/brackets.html").text, "&lt;x&gt; {{ mustache }}")

    def test_others_are_not_affected(self) -> None:
        self.assertEqual(get("/keywords").text, "choice 2 product Apples")
        self.assertEqual(get("/brackets/index.html").text, "choice {{ choice }} product {{ product }}")


class ChameleonTests(SynchronousTestCase):
    """Chameleon."""

    def test_manual(self) -> None:
        reply = get("/chameleon/index.ptal?query=words&level=3")
        self.assertEqual(reply.status, 200, reply.text[:300])
        self.assertTrue(reply.get("Content-Type").startswith("text/html"))
        for text in (
            "words", 'href="/entities?level=3&amp;state=NY"', ">NY, USA</a>", "<td>235642</td>", "<td>34</td>",
            'href="/entities?level=3&amp;state=BC"', ">BC, &lt;Canada&gt;</a>",
        ):  # fmt: skip
            self.assertIn(text, reply.text)

    def test_page_template(self) -> None:
        reply = get("/chameleon/simple.pt?query=%3Cb%3E%22%26")
        self.assertEqual(reply.status, 200, reply.text[:300])
        self.assertNotIn("<b>", reply.text)
        self.assertNotIn('title="&lt;b&gt;""', reply.text)
        self.assertIn("False", reply.text)

    def test_injected_template(self) -> None:
        self.assertIn("${7*7}", get("/chameleon/simple.pt?query=%24%7B7*7%7D").text)

    def test_error(self) -> None:
        self.assertEqual(get("/chameleon/fails.pt").status, 500)
        self.assertEqual(get("/chameleon/missing.pt").status, 500)
        self.assertGreaterEqual(get("/template?name=../secret.pt").status, 400)
