"""Mounts, virtual hosts, preferences and bootstrap, as the manual shows them."""

from __future__ import annotations

import json
import re

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.blackbox import Reply, Shared

NAMED = """\
import sys
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["|".join([{name!r}, environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["QUERY_STRING"]])]
other = lambda environ, start_response: app(environ, lambda s, h: start_response("202 Accepted", h))
"""

SERVICE = """\
#WSGI App
import skitai

def app1 (env, start_response):
  start_response ("200 OK", [("Content-Type", "text/plain")])
  return ['Hello World']

app1.use_reloader = True
app1.debug = True

from flask import Flask
app2 = Flask(__name__)

app2.use_reloader = True
app2.debug = True

@app2.route("/")
def index ():
  return "Hello World"

@app2.route ("/hello")
def hello ():
  from flask import url_for
  return url_for ("index")

@app2.route ("/fails")
def fails ():
  1 / 0

import bottle
app3 = bottle.Bottle ()

@app3.get ("/a/<name>")
def greet (name):
  return bottle.template ("{{name}} {{path}}", name = name, path = bottle.request.path)

@app3.post ("/form")
def form ():
  return bottle.request.forms.name

class Callable:
  def __call__ (self, env, start_response):
    start_response ("200 OK", [("Content-Type", "text/plain")])
    yield b"an "
    yield b"object"

if __name__ == "__main__":
  import unsub

  skitai.mount ('/t1', __file__, 'app1')
  skitai.mount ('/t2', __file__, 'app2')
  skitai.mount ('/t3', app3)
  skitai.mount ('/object', Callable ())
  skitai.mount ('/v1', 'app_v1')
  skitai.mount ('/v2', 'app_v2.py')
  skitai.mount ('/v1/deep/er', 'deeper/app.py', 'app')
  skitai.mount ('/slashed/', 'app_v1.py', 'other')
  skitai.mount ('/d1', 'app_d1/static'),
  skitai.mount ('/d1', 'app_d1/app'),
  skitai.mount ('/d2', 'app_d2/static'),
  skitai.mount ('/d2', 'app_d2/app')
  skitai.mount ('/\\u00fcber', 'app_v1')
  pref = skitai.pref ()
  pref.config.urlfile = skitai.joinpath ('resources', 'urllist.txt')
  skitai.mount ("/u1", unsub, "app", pref)
  skitai.mount ("/u2", (unsub, "app_v1.py"), "app", pref)
  pref = skitai.pref ()
  pref.use_reloader = 1
  pref.debug = 1
  pref.secret_thing = "set"
  pref.config ["prefA"] = 1
  pref.config.prefB = 2
  skitai.mount ("/pref", "prefs/app.py", "app", pref)
  skitai.mount ("/nopref", "prefs/app.py")
  skitai.mount ("/django", "dj.py", "application")
  skitai.mount ('/', 'static')
  skitai.vmount ('www.site1.com', '/', 'site1.py')
  skitai.vmount ('www.site2.com alias.site2.com', '/', 'site2.py')
  skitai.vmount ('.wild.org', '/', 'wild.py')
  skitai.vmount ('one.wild.org', '/', 'onewild.py')
  skitai.vmount ('www.files.com', '/pp', 'app_v1')
  skitai.vmount ('[::1]', '/', 'six.py')
  skitai.mount ('/', 'same.py', host = 'www.keyword.com')
  skitai.run ()
"""

PREFS = """\
import json
class App:
    use_reloader = False
    debug = False
    def __init__(self):
        self.config = {"prefA": "own", "prefC": "own"}
    def __call__(self, environ, start_response):
        body = json.dumps({
            "config": self.config, "debug": bool(self.debug), "use_reloader": bool(self.use_reloader),
            "secret": getattr(self, "secret_thing", None), "keys": sorted(self.config)})
        start_response("200 OK", [("Content-Type", "application/json")])
        return [body]
app = App()
"""

UNSUB = """\
import json
class App:
    def __init__(self):
        self.config = {}
    def __call__(self, environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps([VERSION, self.config["urllist"]])]
app = App()
"""

BOOTSTRAP = """\
import skitai

def bootstrap (pref):
  if pref.config.get ('enable_cron'):
    from . import cronjob
    skitai.cron ('*/10 * * * *', cronjob.__file__)
  skitai.mount ('/bootstrapped', skitai.joinpath ('resources'))

  with open (pref.config.urlfile, "r") as f:
    urllist = []
    while 1:
      line = f.readline ().strip ()
      if not line: break
      urllist.append (line.split ("\\t", 4))
  pref.config.urllist = urllist
"""

DJANGO = """\
from django.conf import settings
settings.configure(DEBUG=True, SECRET_KEY="k", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path, reverse

def index(request):
    return HttpResponse("django " + reverse("named") + " " + request.POST.get("a", ""))

from django.views.decorators.csrf import csrf_exempt
urlpatterns = [path("", csrf_exempt(index)), path("named/", index, name="named")]
application = get_wsgi_application()
"""

HELPER = "from helper import NAME\n" + NAMED.replace("{name!r}", "NAME")

FILES: dict[str, str | bytes] = {
    "app.py": SERVICE,
    "app_v1.py": NAMED.replace("{name!r}", "'v1'"),
    "app_v2.py": NAMED.replace("{name!r}", "'v2'"),
    "deeper/app.py": NAMED.replace("{name!r}", "'deeper'"),
    "app_d1/app.py": HELPER,
    "app_d1/helper.py": "NAME = 'd1'",
    "app_d1/static/style.css": "d1 style",
    "app_d2/app.py": HELPER,
    "app_d2/helper.py": "NAME = 'd2'",
    "app_d2/static/style.css": "d2 style",
    "prefs/app.py": PREFS,
    "static/index.html": "static index",
    "static/t1/file.txt": "file at the root that t1 hides",
    "static/v1/file.txt": "hidden by an application",
    "static/pp/x.txt": "default site",
    "dj.py": DJANGO,
    "resources/urllist.txt": "http://a/\tA\nhttp://b/\tB\n",
    "unsub/__init__.py": "",
    "unsub/export/__init__.py": "",
    "unsub/export/skitai/__init__.py": BOOTSTRAP,
    "unsub/export/skitai/app.py": "VERSION = 0\n" + UNSUB,
    "unsub/export/skitai/app_v1.py": "VERSION = 1\n" + UNSUB,
    **{
        f"{name}.py": NAMED.replace("{name!r}", repr(name))
        for name in ("site1", "site2", "wild", "onewild", "six", "same")
    },
}

site = Shared(FILES)
get = site.ask


class MountTests(SynchronousTestCase):
    """What can be mounted, and what it sees."""

    def assert_text(self, target: str, text: str, status: int = 200, host: str = "localhost") -> None:
        reply = get(target, host=host)
        self.assertEqual((reply.status, reply.text), (status, text), (target, host))

    def test_every_kind_of_target(self) -> None:
        self.assert_text("/t1/", "Hello World")
        self.assert_text("/t2/", "Hello World")
        self.assert_text("/t2/hello", "/t2/")
        self.assert_text("/t3/a/x", "x /a/x")
        self.assert_text("/object/", "an object")
        self.assert_text("/v1/", "v1|/v1|/|")
        self.assert_text("/v2/a/b?c=d", "v2|/v2|/a/b|c=d")
        self.assert_text("/slashed/x", "v1|/slashed|/x|", 202)
        self.assert_text("/", "static index")
        self.assert_text("/django/", "django /django/named/ ")
        form = ("Content-Type: application/x-www-form-urlencoded",)
        self.assertEqual(get("/django/", *form, method="POST", body=b"a=b").text, "django /django/named/ b")
        self.assertEqual(get("/t3/form", *form, method="POST", body=b"name=n").text, "n")

    def test_directories_and_applications_at_one_point(self) -> None:
        self.assert_text("/d1/style.css", "d1 style")
        self.assert_text("/d2/style.css", "d2 style")
        self.assert_text("/d1/other.css", "d1|/d1|/other.css|")

    def test_same_names_are_different_modules(self) -> None:
        self.assert_text("/d1/x", "d1|/d1|/x|")
        self.assert_text("/d2/x", "d2|/d2|/x|")

    def test_the_longest_point_wins(self) -> None:
        self.assert_text("/v1/deep/er/x", "deeper|/v1/deep/er|/x|")
        self.assert_text("/v1/deep/erx", "v1|/v1|/deep/erx|")
        self.assert_text("/v1/deep/", "v1|/v1|/deep/|")
        self.assert_text("/v1/file.txt", "v1|/v1|/file.txt|")

    def test_points_end_at_slashes(self) -> None:
        for path in ("/v1x", "/v1x/", "/V1/", "/v1.txt", "/v"):
            self.assertEqual(get(path).status, 404, path)

    def test_encoded_paths(self) -> None:
        self.assert_text("/%761/a%20b%2Fc", "v1|/v1|/a b/c|")
        reply = get("/%C3%BCber/%C3%A9")
        # PEP 3333: the bytes of the path as Latin-1
        self.assertEqual(reply.text, "v1|/\xc3\xbcber|/\xc3\xa9|")
        self.assert_text("/v1//double//slash", "v1|/v1|//double//slash|")
        self.assert_text("/v1/a;b=c,d+e", "v1|/v1|/a;b=c,d+e|")
        self.assert_text("/v1/?a=b?c&d=%20%zz", "v1|/v1|/|a=b?c&d=%20%zz")

    def test_without_its_slash_a_point_redirects(self) -> None:
        for target, location in (("/v1", "/v1/"), ("/v1?a=b&c", "/v1/?a=b&c"), ("/v1/deep/er", "/v1/deep/er/")):
            for method in ("GET", "POST", "HEAD"):
                reply = get(target, method=method)
                self.assertEqual(reply.status, 308)
                self.assertRegex(reply.get("location"), rf"^(http://localhost)?{re.escape(location)}$")
        reply = get("/slashed")
        self.assertEqual((reply.status, reply.get("location")[-9:]), (308, "/slashed/"))
        self.assertNotIn("//", get("/t1").get("location").replace("http://", ""))

    def test_no_open_redirect(self) -> None:
        for target in ("//evil.example/v1", "//evil.example/%2e%2e/v1", "/\\evil.example/v1"):
            location = get(target).get("location")
            self.assertNotRegex(location, r"^(//|/\\|http://evil)", target)

    def test_no_header_injection_in_a_redirect(self) -> None:
        reply = get("/v1?a=%0d%0aX-Evil:%20b")
        self.assertEqual((reply.status, reply.all("x-evil")), (308, []))

    def test_use_of_flask_errors(self) -> None:
        self.assertEqual(get("/t2/nothing").status, 404)
        self.assertEqual(get("/t2/fails").status, 500)


class PreferenceTests(SynchronousTestCase):
    """``pref`` and ``bootstrap``."""

    def test_preferences(self) -> None:
        seen = json.loads(get("/pref/").body)
        self.assertEqual(seen["config"], {"prefA": 1, "prefB": 2, "prefC": "own"})
        self.assertEqual((seen["debug"], seen["use_reloader"], seen["secret"]), (True, True, "set"))
        other = json.loads(get("/nopref/").body)
        self.assertEqual(other["config"], {"prefA": "own", "prefC": "own"})
        self.assertEqual((other["debug"], other["use_reloader"], other["secret"]), (False, False, None))

    def test_a_module_and_its_bootstrap(self) -> None:
        urls = '[["http://a/", "A"], ["http://b/", "B"]]'
        self.assertEqual(get("/u1/").text, f"[0, {urls}]")
        self.assertEqual(get("/u2/").text, f"[1, {urls}]")

    def test_a_mount_of_bootstrap(self) -> None:
        self.assertTrue(get("/bootstrapped/urllist.txt").text.startswith("http://a/"))


class HostTests(SynchronousTestCase):
    """Virtual hosts."""

    def name(self, host: str | None, target: str = "/x") -> str:
        reply: Reply = get(target, host=host)
        return reply.text.split("|")[0] if reply.status == 200 else str(reply.status)

    def test_names(self) -> None:
        for host, name in {
            "www.site1.com": "site1", "www.site2.com": "site2", "alias.site2.com": "site2", "WWW.Site1.COM": "site1",
            "www.site1.com:8080": "site1", "www.site1.com:": "site1", "wild.org": "wild", "a.wild.org": "wild",
            "a.b.wild.org:80": "wild", "one.wild.org": "onewild", "two.one.wild.org": "wild", "www.keyword.com": "same",
            "[::1]": "six", "[::1]:5000": "six",
        }.items():  # fmt: skip
            self.assertEqual(self.name(host), name, host)

    def test_others_are_the_default_site(self) -> None:
        for host in ("site1.com", "xwww.site1.com", "www.site1.com.evil", "xwild.org", "127.0.0.1", "", "site2.com"):
            self.assertEqual(self.name(host), "404", host)
            self.assertEqual(get("/", host=host).text, "static index", host)
        with site.raw("GET / HTTP/1.0\r\n\r\n") as wire:
            self.assertEqual(wire.receive().text, "static index")

    def test_a_trailing_dot_is_the_same_name(self) -> None:
        self.assertIn(self.name("www.site1.com."), ("site1", "404"))

    def test_a_host_without_a_mount_for_the_path_is_404(self) -> None:
        self.assertEqual(self.name("www.files.com", "/pp/x.txt"), "v1")
        for path in ("/", "/x", "/v1/", "/ppx", "/t1/"):
            self.assertEqual(self.name("www.files.com", path), "404", path)
        reply = get("/pp", host="www.files.com")
        self.assertEqual(reply.status, 308)

    def test_absolute_targets(self) -> None:
        self.assertEqual(self.name("www.site2.com", "http://www.site1.com/x"), "site1")
        self.assertEqual(self.name("www.site2.com", "http://www.site1.com:99/x"), "site1")

    def test_redirects_stay_at_the_host(self) -> None:
        location = get("/pp", host="www.files.com:8080").get("location")
        self.assertIn(location, ("/pp/", "http://www.files.com:8080/pp/"))


class LateTests(SynchronousTestCase):
    """What a mount of ``run()`` can be."""

    def serve(self, call: str) -> Shared:
        files: dict[str, str | bytes] = {
            "app.py": f"import skitai\n{call}\n",
            "one.py": NAMED.replace("{name!r}", "'one'"),
            "two.py": NAMED.replace("{name!r}", "'two'"),
            "static/a.txt": "file",
        }
        served = Shared(files)
        self.addCleanup(served.end)
        return served

    def test_tuple_list_dictionary(self) -> None:
        for call, answers in (
            ("skitai.run(mount=('/', 'one.py'))", {"/": "one||/|"}),
            ("skitai.run(mount=('/p', ('one.py', 'other')))", {"/p/": "one|/p|/|"}),
            ("skitai.run(mount=[('/', 'static'), ('/', 'one.py'), ('/2', ('two', 'app'))])",
             {"/a.txt": "file", "/b": "one||/b|", "/2/": "two|/2|/|"}),
            ("skitai.run(mount={'/': 'one.py', '/2': ('two.py', 'app')})", {"/": "one||/|", "/2/": "two|/2|/|"}),
        ):  # fmt: skip
            served = self.serve(call)
            for path, text in answers.items():
                self.assertEqual(served.ask(path).text, text, (call, path))
