"""The code of the manual's chapter on Saddle, as it stands there but for slips and for what it leaves to the reader.

What needs requests of ``was``, gRPC or WebSocket is tested with those.
"""

from __future__ import annotations

import json
import xmlrpc.client

from twisted.trial.unittest import SynchronousTestCase

from skitai.testing.credentials import Digest
from skitai.testing.uploads import encode_upload
from tests.functional.blackbox import Reply, Shared
from tests.functional.process import until
from tests.functional.saddlebox import JSON, Browser, each, post, tables

BASIC = """\
import json
import sys
import skitai
from skitai.saddle import Saddle

app = Saddle (__name__)
app.debug = True # output exception information
app.use_reloader = True # auto realod on file changed
app.add_package ('mylib', 'corplib')

@app.route ("/hello")
def hello_world (was):
  return was.render ("hello.htm")

@app.route ("/restricted", methods = ["GET"], content_types = ["text/xml"])
def restricted (was):
  return was.render ("hello.htm")

@app.route ("/hello1")
def hello1 (was):
  return was.response ("200 OK", was.render ("hello.htm"), [("Cache-Control", "max-age=60")])

@app.route ("/hello2")
def hello2 (was):
  return was.response (body = was.render ("hello.htm"), headers = [("Cache-Control", "max-age=60")])

@app.route ("/hello3")
def hello3 (was):
  was.response.set_header ("Cache-Control", "max-age=60")
  return was.render ("hello.htm")

@app.route ("/err1")
def err1 (was):
  return was.response ("404 Not Found", was.render ("err404.htm"))

@app.route ("/err2")
def err2 (was):
  # if body is not given, automaticcally generated with default error template.
  return was.response ("404 Not Found")

# File
@app.route ("/raise_exception")
def raise_exception (was):
  try:
    raise ValueError ("Test Error")
  except:
    return was.response ("500 Internal Server Error", exc_info = sys.exc_info ())

# File
@app.route ("/streaming")
def streaming (was):
  return was.response ("200 OK", open ("mypicnic.mp4", "rb"), headers = [("Content-Type", "video/mp4")])

def iter_all_rows ():
  return [("a", "b"), ("c", "d")]

# Generator
@app.route ("/csv")
def build_csv (was):
  def generate():
    for row in iter_all_rows():
      yield ','.join(row) + '\\n'
  return was.response ("200 OK", generate (), headers = [("Content-Type", "text/csv")])

@app.route ("/")
def getjson (was):
  return was.jstream ({'mydata': 'myvalue'})

@app.route ("/files/<filename>")
def getfile (was, filename):
  return was.fstream (skitai.joinpath ('data/%s' % filename))

@app.route ("/promise")
def promise (was):

  was.response.hint_promise ('/images/A.png')
  was.response.hint_promise ('/images/B.png')

  return was.response (
    "200 OK",
    (
      'Promise Sent<br><br>'
      '<img src="/images/A.png">'
      '<img src="/images/B.png">'
    )
  )

@app.route ("/properties")
def properties (was):
  was.app.config.my_setting = 1
  a, c = was.app, was.app.config
  return json.dumps ([a.debug,
      a.use_reloader, c.my_setting, a.securekey, a.session_timeout, a.authorization, a.authenticate, a.realm,
    a.users, a.jinja_env is not None, a.build_url ("hello_world"), c.max_post_body_size, c.max_cache_size,
    c.max_multipart_body_size, c.max_upload_file_size, a.get_resource ("db", "sqlite3.db")])

@app.route ("/environment")
def environment (was):
  if "HTTP_USER_AGENT" in was.env:
    return was.env.get ("CONTENT_TYPE")
  return "no agent"

@app.route ("/log")
def sum_ (was):
  was.log ("called index", "info")
  try:
    raise KeyError ("of the manual")
  except:
    was.log ("exception occured", "error")
    was.traceback ()
  was.log ("done index", "info")
  return "logged"
"""

PARAMETERS = """\
from skitai.saddle import Saddle

def make ():
  app = Saddle (__name__)
  return app

url = make ()

@url.route ("/hello")
def hello_world (was, num = 8):
  return num
# http://127.0.0.1:5000/hello?num=100

@url.route ("/hello/<int:num>")
def hello_world (was, num = 8):
  return str (num)
  # http://127.0.0.1:5000/hello/100

@url.route ("/args")
def args (was, **others):
  num = was.request.args.get ("num", 0)
  return num

@url.route ("/download/<int:major_ver>/<path>")
def download (was, major_ver, path):
  return "%d %s" % (major_ver, path)

form = make ()

@form.route ("/hello")
def hello (was, **form):
  return "Post %s %s" % (form.get ("userid", ""), form.get ("comment", ""))

form2 = make ()

@form2.route ("/hello")
def hello_world (was, userid, **form):
  return "Post %s %s" % (userid, form.get ("comment", ""))

math = make ()

@math.route ("/add")
def add (was, num1, num2):
  return int (num1) + int (num2)

@math.route ("/hello/<name>")
def hello (was, name = "Hans Roh"):
  return "Hello, %s" % name

@math.route ("/built")
def built (was):
  return " ".join ([was.app.build_url ("add", 10, 40), was.ab ("add", 10, 40), was.ab ("add", 10, num2=60),
    was.ab ("hello", "Your Name")])
"""

STATEFUL = '''\
import skitai
from skitai.saddle import Saddle

app = Saddle (__name__)
app.securekey = "ds8fdsflksdjf9879dsf;?<>Asda"
app.session_timeout = 1200 # sec
SECUREKEY_STRING = "a key of its own"
items = []

def has_new_item ():
  return items and items.pop ()

@app.before_request
def before_request (was):
  if has_new_item ():
    was.mbox.send ("New Item Arrived", "notice")

@app.route ("/cookie")
def cookie (was):
  if "user_id" not in was.cookie:
    was.cookie.set ("user_id", "hansroh")
    # or
    was.cookie ["user_id"] = "hansroh"
  val = "value"
  was.cookie.set ('private_cookie', val)
  was.cookie.set ('public_cookie', val, path = '/')
  return "set"

@app.route ("/session")
def hello_world (was, **form):
  if "login" not in was.session:
    was.session.set ("user_id", form.get ("hansroh"))
    # or
    was.session ["user_id"] = form.get ("hansroh")
  return str (was.session.get ("user_id"))

@app.route ("/msg")
def msg (was):
  was.mbox.send ("This is Flash Message", "flash")
  was.mbox.send ("This is Alert Message Kept by 60 seconds on every request", "alram", valid = 60)
  return was.redirect (was.ab ("showmsg", "Hans Roh"), status = "302 Object Moved")

@app.route ("/showmsg")
def showmsg (was, name):
  return was.render ("msg.htm", name=name)

@app.route ("/main")
def main (was):
  was.g.username = "Hans"
  return was.render ("news.htm")

@app.route ("/arrived")
def arrived (was):
  items.append (1)
  return "arrived"

@app.route("/adm")
def index (was):
  was.session.mount ("ADM", SECUREKEY_STRING, path = '/state/admin')
  was.session.set ("admin_login", True)

  was.mbox.mount ("ADM", SECUREKEY_STRING, path = '/state/admin')
  was.mbox.send ("10 data has been deleted", 'warning')
  return "mounted"

@app.route ("/admin/page")
def admin (was):
  was.session.mount ("ADM", SECUREKEY_STRING, path = '/state/admin')
  was.mbox.mount ("ADM", SECUREKEY_STRING, path = '/state/admin')
  return "%s %s" % (was.session.get ("admin_login"), [message [4] for message in was.mbox.get ()])

@app.route ("/admin/exists")
def exists (was):
  if not was.session.exists (None):
    return "Your session maybe expired or signed out, please sign in again"

  if not was.session.exists ("ADM"):
    return "Your admin session maybe expired or signed out, please sign in again"
  return "signed in"

FORM = """
  <form enctype="multipart/form-data" method="post">
  <input type="hidden" name="submit-hidden" value="Genious">
  <p></p>What is your name? <input type="text" name="submit-name" value="Hans Roh"></p>
  <p></p>What files are you sending? <br />
  <input type="file" name="file">
  </p>
  <input type="submit" value="Send">
  <input type="reset">
</form>
"""

@app.route ("/upload")
def upload (was, **form):
  if was.request.command == "get":
    return FORM
  else:
    file = form.get ("file")
    if file:
      file.save (skitai.joinpath ("upload"), mkdir = True, dup = "o") # overwrite
    return form ["submit-name"]
'''

DECORATED = """\
from skitai.saddle import Saddle

app = Saddle (__name__)
closed = []

class Resource:
  def close (self):
    closed.append (1)

class SNSLoginEngine:
  def __init__ (self, logger):
    logger ("made", "info")
  def get_user_info (self):
    return "user info"
  def check_user_to (self, name):
    return "checked " + name

class FulltextSearcher:
  def __init__ (self, numthreads):
    self.numthreads = numthreads
  def query (self, text):
    return "%s with %d threads" % (text, self.numthreads)
  def close (self):
    print ("searcher closed", flush = True)

@app.before_request
def before_request (was):
  if not was.request.args.get ("login"):
    return "Not Authorized"

@app.finish_request
def finish_request (was):
  was.g.user_id
  was.g.user_status

@app.failed_request
def failed_request (was, exc_info):
  # releasing resources
  return was.response (
    "501 Server Error",
    was.render ("err501.htm", msg = "We're sorry but something's going wrong")
  )

@app.teardown_request
def teardown_request (was):
  if hasattr (was.g, "resouce"):
    was.g.resouce.close ()

@app.route ("/view-account")
def view_account (was, userid, login):
  was.g.user_id = "jerry"
  was.g.user_status = "active"
  was.g.resouce = Resource ()
  return "%s %d" % (userid, len (closed))

@app.route ("/failing")
def failing (was, login):
  was.g.resouce = Resource ()
  raise ValueError ("failed")

@app.startup
def startup (wasc):
  logger = wasc.logger.get ("app")
  # OR
  logger = wasc.logger.make_logger ("login", "daily")
  config = wasc.config
  wasc.register ("loginengine", SNSLoginEngine (logger))
  wasc.register ("searcher", FulltextSearcher (wasc.numthreads))

@app.onreload
def onreload (wasc):
  wasc.loginengine.reset ()

@app.shutdown
def shutdown (wasc):
  wasc.searcher.close ()

  wasc.unregister ("loginengine")
  wasc.unregister ("searcher")

register = Saddle (__name__)

@register.route ("/")
def index (was):
  return was.loginengine.check_user_to ("facebook") + ", " + was.searcher.query ("ipad")
"""

GUARDED = """\
from hashlib import md5
from skitai.saddle import Saddle

cors = Saddle (__name__)
cors.access_control_allow_origin = "*"
cors.access_control_max_age = 3600

@cors.route ("/post", methods = ["POST", "OPTIONS"])
def post (was):
  args = was.request.json ()
  return was.jstream ({"args": args})

cors2 = Saddle (__name__)

@cors2.route (
 "/post", methods = ["POST", "OPTIONS"],
 access_control_allow_origin = "*",
 access_control_max_age = 3600
)
def post (was):
  args = was.request.json ()
  return was.jstream ({"args": args})

whole = Saddle (__name__)

whole.authorization = "digest"
whole.realm = "Partner App Area of mysite.com"
whole.users = {"app": ("iamyourpartnerapp", 0, {'role': 'root'})}
whole.authenticate = True

@whole.route ("/hello/<name>")
def hello (was, name = "Hans Roh"):
  return "Hello, %s, says %s of %s %s" % (name, was.request.user.name, was.request.user.realm, was.request.user.info)

partly = Saddle (__name__)
username, realm, password = "ann", "a realm", "secret"

encrypted_password = md5 (
  ("%s:%s:%s" % (username, realm, password)).encode ("utf8")
).hexdigest ()

partly.authorization = "digest"
partly.realm = realm
partly.users = {username: (encrypted_password, 1)}
# False is default, you can omit this line
partly.authenticate = False

@partly.route ("/hello/<name>", authenticate = True)
def hello (was, name = "Hans Roh"):
  return "Hello, %s" % name
"""

ADMIN = """\
from skitai.saddle import Saddlery
part = Saddlery ()

@part.route ("/<name>")
def hello (was):
  # can build other module's method url
  return was.ab ("index", 1, 2)
"""

LARGER = """\
from skitai.saddle import Saddle
from . import admin

app = Saddle (__name__)
app.debug = True
app.use_reloader = True
app.mount ("/admin", admin, "part")

@app.route ("/")
def index (was, num1, num2):
  return was.ab ("hello", "Hans Roh") # url building
"""

MEMBERS = """\
from skitai.saddle import Saddlery

part = Saddlery (__name__)

@part.route ("/<name>")
def hello (was, name):
  return was.render2 ("show.htm", name = name)
"""

SEPARATE = """\
from skitai.saddle import Saddle
import members
app = Saddle (__name__)
app.mount ("/members", members, "part")

# XMLRPC, Server Side
@app.route ("/add")
def index (was, num1, num2):
  return num1 + num2
"""

RUN = """\
import skitai

skitai.run (
  mount = [
    ('/', ('basic', 'app')),
    ('/url', ('parameters.py', 'url')), ('/form', ('parameters.py', 'form')), ('/form2', ('parameters.py', 'form2')),
    ('/math', ('parameters.py', 'math')),
    ('/state', ('stateful', 'app')),
    ('/members', ('decorated', 'app')), ('/register', ('decorated', 'register')),
    ('/cors', ('guarded', 'cors')), ('/cors2', ('guarded', 'cors2')), ('/whole', ('guarded', 'whole')),
    ('/partly', ('guarded', 'partly')),
    ('/larger', ('larger/app', 'app')),
    ('/separate', ('separate', 'app')),
    ('/', 'static')
  ]
)
"""

site = Shared(
    {
        "app.py": RUN, "basic.py": BASIC, "parameters.py": PARAMETERS, "stateful.py": STATEFUL,
        "decorated.py": DECORATED,
        "guarded.py": GUARDED, "separate.py": SEPARATE, "larger/__init__.py": "", "larger/app.py": LARGER,
        "larger/admin.py": ADMIN, "members/__init__.py": MEMBERS, "members/templates/show.htm": "member {{ name }}",
        "templates/hello.htm": "Hello Template", "templates/err404.htm": "own 404", "templates/err501.htm": "{{ msg }}",
        "templates/msg.htm": """Messages To {{ name }},
<ul>
  {% for message_id, category, created, valid, msg, extra in was.mbox.get () %}
    <li> {{ mtype }}: {{ msg }}</li>
  {% endfor %}
</ul>""",
        "templates/news.htm": """News for {{ was.g.username }},
<ul>
  {% for mid, category, created, valid, msg, extra in was.mbox.get ("notice", "news") %}
    <li class="{{category}}"> {{ msg }}</li>
  {% endfor %}
</ul>""",
        "mypicnic.mp4": b"\x00film", "data/report.txt": "a report", "static/images/a.png": b"\x89PNG",
    }
)  # fmt: skip


def get(target: str, *fields: str) -> Reply:
    return site.ask(target, *fields)


@tables
class ManualTests(SynchronousTestCase):
    """The examples, section by section."""

    @each(
        ("/hello", "Hello Template"), ("/err1", "own 404"), ("/csv", "a,b\nc,d\n"), ("/files/report.txt", "a report"),
        ("/log", "logged"), ("/url/hello", "8"), ("/url/hello?num=100", "100"), ("/url/hello/100", "100"),
        ("/url/args?num=7", "7"), ("/url/args", "0"), ("/url/download/1/version/1.1/win32", "1 version/1.1/win32"),
        ("/form2/hello?userid=hansroh", "Post hansroh "), ("/math/add?num1=10&num2=40", "50"),
        ("/math/hello/Your_Name", "Hello, Your Name"),
        ("/math/built",
            "/math/add?num1=10&num2=40 /math/add?num1=10&num2=40 /math/add?num1=10&num2=60 /math/hello/Your_Name"),
        ("/members/view-account?userid=5", "Not Authorized"), ("/register/", "checked facebook, ipad with 4 threads"),
        ("/larger/?num1=1&num2=2", "/larger/admin/Hans_Roh"), ("/larger/admin/Hans_Roh", "/larger/?num1=1&num2=2"),
        ("/separate/members/Bob", "member Bob"), ("/state/session?hansroh=me", "me"),
    )  # fmt: skip
    def test_text(self, target: str, text: str) -> None:
        reply = get(target)
        self.assertEqual((reply.status, reply.text), (404 if target == "/err1" else 200, text))

    @each("/hello1", "/hello2", "/hello3")
    def test_three_ways(self, target: str) -> None:
        reply = get(target)
        self.assertEqual((reply.status, reply.text, reply.get("Cache-Control")), (200, "Hello Template", "max-age=60"))

    def test_restrictions(self) -> None:
        self.assertEqual(get("/restricted", "Content-Type: text/xml").text, "Hello Template")
        self.assertEqual(get("/restricted", "Content-Type: text/plain").status, 415)
        self.assertEqual(site.ask("/restricted", "Content-Type: text/xml", method="POST").status, 405)

    def test_statuses(self) -> None:
        self.assertEqual(get("/err2").status, 404)
        self.assertIn("404", get("/err2").text)
        reply = get("/raise_exception")
        self.assertEqual(reply.status, 500)
        self.assertIn("Test Error", reply.text)

    def test_streaming(self) -> None:
        reply = get("/streaming")
        self.assertEqual((reply.get("Content-Type"), reply.body), ("video/mp4", b"\x00film"))
        self.assertEqual(get("/images/a.png").body, b"\x89PNG")

    def test_json(self) -> None:
        self.assertEqual(json.loads(get("/").body), {"mydata": "myvalue"})

    def test_promise(self) -> None:
        self.assertTrue(get("/promise").text.endswith('<img src="/images/B.png">'))

    def test_properties(self) -> None:
        seen = json.loads(get("/properties").body)
        self.assertEqual(seen[:3], [True, True, 1])
        self.assertIsNone(seen[3])
        self.assertIn(seen[4], (None, 1200))
        self.assertEqual(seen[5:9], ["digest", False, None, {}])
        self.assertEqual(seen[9:11], [True, "/hello"])
        self.assertEqual(seen[11:15], [5 * 1024 * 1024, 5 * 1024 * 1024, 20 * 1024 * 1024, 20000000])
        self.assertEqual(seen[15], f"{site.directory}/resources/db/sqlite3.db")

    def test_environment(self) -> None:
        self.assertEqual(get("/environment", "User-Agent: x", "Content-Type: text/x").text, "text/x")
        self.assertEqual(get("/environment").text, "no agent")

    def test_log(self) -> None:
        get("/log")
        until(lambda: "done index" in site.server.output, "the lines of the log")
        self.assertIn("KeyError: 'of the manual'", site.server.output)

    def test_forms(self) -> None:
        self.assertEqual(post(site, "/form/hello", {"userid": "hansroh", "comment": "hi"}).text, "Post hansroh hi")
        self.assertEqual(post(site, "/form2/hello", {"userid": "hansroh", "comment": "hi"}).text, "Post hansroh hi")

    def test_cookies(self) -> None:
        browser = Browser(site)
        browser.text("/state/cookie")
        paths = {cookie.name: cookie.path.rstrip("/") or "/" for cookie in browser.cookies.all()}
        self.assertEqual(paths, {"user_id": "/state", "private_cookie": "/state", "public_cookie": "/"})

    def test_messages(self) -> None:
        browser = Browser(site)
        reply = browser.ask("/state/msg")
        self.assertEqual(
            (reply.status, reply.reason, reply.get("Location")), (302, "Object Moved", "/state/showmsg?name=Hans+Roh")
        )
        page = browser.text(reply.get("Location"))
        self.assertIn("This is Flash Message", page)
        self.assertIn("Messages To Hans Roh", page)
        self.assertNotIn("Flash", browser.text(reply.get("Location")))

    def test_news(self) -> None:
        browser = Browser(site)
        browser.text("/state/arrived")
        self.assertIn("News for Hans", browser.text("/state/main"))

    def test_named(self) -> None:
        browser = Browser(site)
        self.assertEqual(browser.text("/state/adm"), "mounted")
        self.assertEqual(browser.text("/state/admin/page"), "True ['10 data has been deleted']")

    def test_exists(self) -> None:
        browser = Browser(site)
        self.assertTrue(browser.text("/state/admin/exists").startswith("Your session maybe expired"))
        browser.text("/state/session?hansroh=me")
        self.assertTrue(browser.text("/state/admin/exists").startswith("Your admin session maybe expired"))
        browser.text("/state/adm")
        self.assertEqual(browser.text("/state/admin/exists"), "signed in")

    def test_upload(self) -> None:
        self.assertIn("What is your name?", get("/state/upload").text)
        body, kind = encode_upload(
            {"submit-hidden": "Genious", "submit-name": "Hans Roh"}, {"file": ("f.txt", b"content")}
        )
        reply = site.ask("/state/upload", f"Content-Type: {kind}", method="POST", body=body)
        self.assertEqual(reply.text, "Hans Roh")
        with open(f"{site.directory}/upload/f.txt", "rb") as file:
            self.assertEqual(file.read(), b"content")

    def test_decorators(self) -> None:
        first, second = (get("/members/view-account?userid=5&login=1").text.split() for _ in range(2))
        self.assertEqual((first[0], int(second[1]) - int(first[1])), ("5", 1))
        reply = get("/members/failing?login=1")
        self.assertEqual((reply.status, reply.reason), (501, "Server Error"))
        self.assertEqual(reply.text, "We&#39;re sorry but something&#39;s going wrong")

    @each("/cors/post", "/cors2/post")
    def test_cors(self, target: str) -> None:
        reply = site.ask(target, JSON, "Origin: http://a.example", method="POST", body=b'{"a": 1}')
        self.assertEqual(json.loads(reply.body), {"args": {"a": 1}})
        self.assertEqual(reply.get("Access-Control-Allow-Origin"), "*")
        reply = site.ask(target, "Origin: http://a.example", "Access-Control-Request-Method: POST", method="OPTIONS")
        self.assertEqual((reply.get("Access-Control-Allow-Origin"), reply.get("Access-Control-Max-Age")), ("*", "3600"))

    @each(
        ("/whole/hello/Hans_Roh", ("app", "iamyourpartnerapp"),
         "Hello, Hans Roh, says app of Partner App Area of mysite.com {'role': 'root'}"),
        ("/partly/hello/Hans_Roh", ("ann", "secret"), "Hello, Hans Roh"),
    )  # fmt: skip
    def test_authentication(self, target: str, auth: tuple[str, str], text: str) -> None:
        reply = get(target)
        self.assertEqual(reply.status, 401)
        digest = Digest.of(reply.all("WWW-Authenticate"))
        assert digest is not None
        self.assertEqual(get(target, "Authorization: " + digest.answer(auth, "GET", target)).text, text)

    def test_xmlrpc(self) -> None:
        stub = xmlrpc.client.ServerProxy(f"http://127.0.0.1:{site.server.port}/separate/rpc")
        self.assertEqual(stub.add(10000, 5000), 15000)
