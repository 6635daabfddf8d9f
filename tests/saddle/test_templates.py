"""Templates of an application: what they see, what is escaped, what is found, both engines, several threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
from chameleon.exc import ExpressionError
from twisted.trial.unittest import SynchronousTestCase

from skitai import debugpage
from skitai.errors import PeerError
from skitai.pages import escape
from skitai.saddle.templates import Templates

ROOT = Path(__file__).resolve().parent.parent.parent


class TemplateTestCase(SynchronousTestCase):
    """Has a directory for templates and something for ``was``."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.templates = Templates(str(self.directory))
        self.was = SimpleNamespace(
            request=SimpleNamespace(args={"query": "<q>", "level": "top"}),
            g=SimpleNamespace(howmany=2, product="Apple"),
            cookie=SimpleNamespace(username="Hans"),
            ab=lambda *names: "/" + "/".join(map(str, names)),
        )

    def write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def render(self, name: str, **variables: Any) -> str:
        return self.templates.render(self.was, name, variables)

    def touch(self, name: str) -> None:
        """Let a file look changed, however coarse the file system's clock is."""
        os.utime(self.directory / name, (1, 1))


class JinjaTests(TemplateTestCase):
    def test_the_manuals_examples(self) -> None:
        self.write(
            "index.html",
            '{{ was.cookie.username }} choices item {{ was.request.args.get ("choice", "N/A") }}.\n'
            "<a href=\"{{ was.ab ('checkout', choice) }}\">Proceed</a>\n"
            "{% set g = was.g %} {# make shortcut #}\n"
            'Checkout for {{ g.howmany }} {{ g.product }}{{g.howmany > 1 and "s" or ""}}',
        )
        self.assertEqual(
            self.render("index.html", choice=2),
            'Hans choices item N/A.\n<a href="/checkout/2">Proceed</a>\n \nCheckout for 2 Apples',
        )

    def test_escaped_by_suffix(self) -> None:
        for suffix, expected in (
            *((name, "&lt;b&gt;") for name in ("html", "htm", "xml", "xhtml", "HTML")),
            *((name, "<b>") for name in ("txt", "css", "js", "j2")),
        ):
            with self.subTest(suffix):
                self.write(f"a.{suffix}", "{{ x }}")
                self.assertEqual(self.render(f"a.{suffix}", x="<b>"), expected)

    def test_text_is_utf_8(self) -> None:
        self.write("a.html", "é {{ x }} 日本")
        self.assertEqual(self.render("a.html", x="ü"), "é ü 日本")

    def test_another_encoding_is_named(self) -> None:
        (self.directory / "a.html").write_bytes(b"\xe9")
        error = self.assertRaises(ValueError, self.render, "a.html")
        self.assertIn("'a.html' is not UTF-8", str(error))

    def test_undefined_is_nothing(self) -> None:
        self.write("a.html", "[{{ nothing }}]")
        self.assertEqual(self.render("a.html"), "[]")

    def test_globals_and_extensions_of_the_application(self) -> None:
        self.templates.env.globals["form_token"] = lambda: "T"
        self.templates.env.filters["shout"] = str.upper
        self.templates.env.add_extension("jinja2.ext.do")
        self.write("a.html", "{% do [].append(1) %}{{ form_token() }}{{ 'a'|shout }}")
        self.assertEqual(self.render("a.html"), "TA")

    def test_layouts_in_folders(self) -> None:
        self.write("includes/layout.html", "<title>{% block title %}{% endblock %}</title>{{ was.g.product }}")
        self.write("admin/index.html", "{% extends 'includes/layout.html' %}{% block title %}{{ x }}{% endblock %}")
        self.assertEqual(self.render("admin/index.html", x=1), "<title>1</title>Apple")

    def test_overlay(self) -> None:
        self.templates.env.globals["a"] = 1
        env = self.templates.overlay(variable_start_string="#", variable_end_string="#")
        self.assertIs(self.templates.env, env)
        self.write("a.html", "#a# ## {{ vue }} #was.g.product#")
        self.assertEqual(self.render("a.html"), "1 # {{ vue }} Apple")

    def test_overlay_from_the_start(self) -> None:
        self.templates = Templates(
            str(self.directory), False, {"variable_start_string": "[[", "variable_end_string": "]]"}
        )
        self.write("a.html", "{{ vue }} [[ 1 + 1 ]]")
        self.assertEqual(self.render("a.html"), "{{ vue }} 2")

    def test_errors_name_the_file_and_the_line(self) -> None:
        self.write("a.html", "\n\n{{ 1 / 0 }}")
        error = self.assertRaises(ZeroDivisionError, self.render, "a.html")
        places = []
        at = error.__traceback__
        while at is not None:
            places.append((at.tb_frame.f_code.co_filename, at.tb_lineno))
            at = at.tb_next
        self.assertIn((str(self.directory / "a.html"), 3), places)

    def test_debug_page_shows_the_line_of_the_template(self) -> None:
        line = "<p>and some more text than a statement of Python has: {{ 1 / 0 }}"
        self.write("a.html", f"<p>\n{line}\n</p>")
        page = debugpage.render(self.assertRaises(ZeroDivisionError, self.render, "a.html"))
        self.assertIn(f'<span class="hot"><i>2</i>{escape(line)}</span>', page)
        self.assertIn("in <code>top-level template code</code>", page)
        self.assertNotIn("<th>lipsum</th>", page)

    def test_cache_is_bounded(self) -> None:
        for n in range(402):
            self.write(f"{n}.txt", "x")
            self.render(f"{n}.txt")
        cache: Any = self.templates.env.cache
        self.assertEqual(len(cache), 400)


class FindingTests(TemplateTestCase):
    def test_missing(self) -> None:
        for name in ("no.html", "no.pt", "sub/no.ptal", "a\0.html", "a\0.pt", "", "folder", "folder.pt"):
            with self.subTest(name):
                (self.directory / "folder").mkdir(exist_ok=True)
                (self.directory / "folder.pt").mkdir(exist_ok=True)
                error = self.assertRaises(jinja2.TemplateNotFound, self.render, name)
                self.assertEqual(error.name, name)
                self.assertEqual(str(error), f"there is no template {name!r} in {self.directory}")

    def test_another_name_of_a_template(self) -> None:
        """Jinja2 drops a slash at the end, and would not see the suffix for which it escapes."""
        for name in ("a.html", "a.pt"):
            self.write(name, "{{ v }}")
            for slashes in ("/", "//"):
                error = self.assertRaises(jinja2.TemplateNotFound, self.render, name + slashes, v="<")
                self.assertEqual(str(error), f"there is no template {name + slashes!r} in {self.directory}")

    def test_missing_directory(self) -> None:
        self.templates = Templates(str(self.directory / "no"))
        for name in ("a.html", "a.pt"):
            error = self.assertRaises(jinja2.TemplateNotFound, self.render, name)
            self.assertIn(f"there is no directory {self.directory / 'no'}", str(error))

    def test_missing_include(self) -> None:
        self.write("a.html", "{% include 'no.html' %}")
        self.assertIn("'no.html'", str(self.assertRaises(jinja2.TemplateNotFound, self.render, "a.html")))
        self.write("b.html", "{% include 'no.html' ignore missing %}b")
        self.assertEqual(self.render("b.html"), "b")

    def test_no_way_out_of_the_directory(self) -> None:
        for suffix in ("html", "pt"):
            outside = self.directory.parent / f"outside.{suffix}"
            outside.write_text("secret")
            sibling = Path(f"{self.directory}2")
            sibling.mkdir(exist_ok=True)
            (sibling / f"a.{suffix}").write_text("secret")
            for name in (
                f"../outside.{suffix}",
                str(outside),
                f"x/../../outside.{suffix}",
                f"../{sibling.name}/a.{suffix}",
            ):
                with self.subTest(name):
                    error = self.assertRaises(jinja2.TemplateNotFound, self.render, name)
                    self.assertIn("is not below", str(error))

    def test_no_path_of_the_file_system(self) -> None:
        for suffix in ("html", "pt"):
            self.write(f"a.{suffix}", "")
            self.assertRaises(jinja2.TemplateNotFound, self.render, str(self.directory / f"a.{suffix}"))

    def test_a_variable_can_not_replace_was(self) -> None:
        self.write("a.html", "")
        self.assertIn("'was'", str(self.assertRaises(TypeError, self.render, "a.html", was=1)))


class ChameleonTests(TemplateTestCase):
    TABLE = """<table><tr tal:repeat="each dashboard">
<td><a tal:define="entity_name '%s, %s' % (each ['state'], each ['nation'])"
 tal:attributes="href was.ab ('entities', was.request.args ['level'], each ['state'])"
 tal:content="entity_name">
</a></td>
<td tal:content="each ['population']" />
<td>${ each ['schools'] }</td>
</tr></table>"""

    def test_the_manuals_example(self) -> None:
        self.write("index.ptal", "<p>${ was.request.args ['query'] }</p>\n" + self.TABLE)
        page = self.render(
            "index.ptal", dashboard=[{"population": 235642, "schools": 34, "state": "NY", "nation": "USA"}]
        )
        self.assertIn("<p>&lt;q&gt;</p>", page)
        self.assertIn('<a href="/entities/top/NY">NY, USA</a>', page)
        self.assertIn("<td>235642</td>\n<td>34</td>", page)

    def test_missing_key_is_told_with_its_place_but_without_values(self) -> None:
        self.write("index.ptal", self.TABLE)
        error = self.assertRaises(
            KeyError,
            self.render,
            "index.ptal",
            dashboard=[{"population": 1, "state": "NY", "nation": "USA"}],
            pin="4711",
        )
        for words in ("'schools'", "each ['schools']", "index.ptal", "line 7", "pin: str"):
            self.assertIn(words, str(error))
        self.assertNotIn("4711", str(error))

    def test_both_suffixes_and_text(self) -> None:
        for name in ("a.pt", "a.ptal"):
            self.write(name, "<p>é ${x} ${structure: y} ${z}</p>")
            self.assertEqual(self.render(name, x="<ü>", y="<b/>", z="日本".encode()), "<p>é &lt;ü&gt; <b/> 日本</p>")

    def test_attributes_of_vue_are_left_alone(self) -> None:
        self.write("a.pt", '<b @click="go" v-on:click="go" :class="{a: b}">{{ vue }} ${x}</b>')
        self.assertEqual(self.render("a.pt", x=1), '<b @click="go" v-on:click="go" :class="{a: b}">{{ vue }} 1</b>')

    def test_macros_of_other_templates(self) -> None:
        self.write("layout.pt", '<html metal:define-macro="page"><i metal:define-slot="body"/> ${was.g.product}</html>')
        self.write("sub/beside.pt", "<i>beside</i>")
        self.write(
            "sub/a.pt",
            '<div><p metal:use-macro="load: layout.pt"><b metal:fill-slot="body">${x}</b></p>'
            '<u tal:define="t load: beside.pt">${structure: t()}</u></div>',
        )
        self.assertEqual(self.render("sub/a.pt", x=1), "<div><html><b>1</b> Apple</html><u><i>beside</i></u></div>")

    def test_load_stays_in_the_directory(self) -> None:
        (self.directory.parent / "outside.pt").write_text("<p>secret</p>")
        self.write("a.pt", '<p tal:define="t load: ${which}">${structure: t()}</p>')
        for name in ("../outside.pt", str(self.directory.parent / "outside.pt"), "skitai:outside.pt"):
            with self.subTest(name):
                self.assertRaises(jinja2.TemplateNotFound, self.render, "a.pt", which=name)

    def test_faults_in_the_template(self) -> None:
        self.write("a.pt", "<p>\n${ x. }</p>")
        for _ in range(2):
            error = self.assertRaises(ExpressionError, self.render, "a.pt", x=1)
            self.assertIn("line 2", str(error))
        self.write("a.pt", "<p>mended ${ x }</p>")
        self.assertEqual(self.render("a.pt", x=1), "<p>mended 1</p>")

    def test_what_a_client_did_wrong_is_told_in_its_own_words(self) -> None:
        def refuse() -> None:
            raise PeerError(413, "too much")

        self.write("a.pt", "<p>${ refuse() }</p>")
        error = self.assertRaises(PeerError, self.render, "a.pt", refuse=refuse)
        self.assertEqual((error.status, str(error)), (413, "too much"))

    def test_names_that_are_taken(self) -> None:
        self.write("a.pt", "<p/>")
        for name in ("encoding", "repeat", "translate"):
            self.assertIn(name, str(self.assertRaises(TypeError, self.render, "a.pt", **{name: 1})))

    def test_cache_is_bounded(self) -> None:
        from skitai.saddle import pagetemplates

        self.patch(pagetemplates, "CACHE_SIZE", 3)
        for n in range(5):
            self.write(f"{n}.pt", f"<p>{n}</p>")
        for n in (0, 1, 2, 3, 4, 0):
            self.assertEqual(self.render(f"{n}.pt"), f"<p>{n}</p>")
        pages: Any = self.templates._pages
        self.assertEqual(len(pages._cache), 3)


class ReloadTests(TemplateTestCase):
    def test_changes_are_seen_only_with_auto_reload(self) -> None:
        for name in ("a.html", "a.pt"):
            for auto_reload in (False, True):
                with self.subTest(name=name, auto_reload=auto_reload):
                    self.templates = Templates(str(self.directory), auto_reload)
                    self.write(name, "<p>old</p>")
                    self.assertEqual(self.render(name), "<p>old</p>")
                    self.write(name, "<p>new</p>")
                    self.touch(name)
                    self.assertEqual(self.render(name), "<p>new</p>" if auto_reload else "<p>old</p>")

    def test_auto_reload_may_come_later(self) -> None:
        for name in ("a.html", "a.pt"):
            with self.subTest(name):
                self.templates = Templates(str(self.directory))
                self.write(name, "<p>old</p>")
                self.render(name)
                self.templates.auto_reload = True
                self.assertTrue(self.templates.auto_reload)
                self.write(name, "<p>new</p>")
                self.touch(name)
                self.assertEqual(self.render(name), "<p>new</p>")

    def test_a_template_that_is_gone(self) -> None:
        for name in ("a.html", "a.pt"):
            with self.subTest(name):
                self.templates = Templates(str(self.directory), True)
                self.write(name, "<p/>")
                self.render(name)
                (self.directory / name).unlink()
                self.assertRaises(jinja2.TemplateNotFound, self.render, name)


class ThreadTests(TemplateTestCase):
    def test_threads_render_at_once(self) -> None:
        self.write("layout.pt", '<b metal:define-macro="m"><i metal:define-slot="s"/></b>')
        for n in range(4):
            self.write(f"{n}.html", "{% for x in range(20) %}{{ n }}{% endfor %}")
            self.write(
                f"{n}.pt",
                '<b metal:use-macro="load: layout.pt"><i metal:fill-slot="s" tal:repeat="x range(20)">${n}</i></b>',
            )
        faults: list[object] = []
        gate = threading.Barrier(6)

        def work(number: int) -> None:
            try:
                gate.wait(10)
                for n in (*range(4), *range(4)):
                    value = f"{number}."
                    if self.render(f"{n}.html", n=value) != value * 20:
                        faults.append((number, n))
                    if self.render(f"{n}.pt", n=value).count(value) != 20:
                        faults.append((number, n))
            except BaseException as error:
                faults.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        self.assertEqual(faults, [])


class ImportTests(SynchronousTestCase):
    def test_engines_come_when_they_are_needed(self) -> None:
        code = (
            "import sys\nfrom skitai.saddle.templates import Templates\nt = Templates('.')\n"
            "print('jinja2' in sys.modules, 'chameleon' in sys.modules)\nt.env\n"
            "print('jinja2' in sys.modules, 'chameleon' in sys.modules)"
        )
        answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        self.assertEqual(answer.stdout.split(), ["False", "False", "True", "False"])
