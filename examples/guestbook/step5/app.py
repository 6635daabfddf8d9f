"""Guest book, step 5: an administrator who signs in."""

import os
import secrets

import admin
from store import Entries

from skitai.saddle import Saddle

app = Saddle(__name__)
app.debug = True
app.use_reloader = True
app.config.database = app.get_resource("guestbook.db")
app.config.pictures = app.get_resource("pictures")
app.config.max_upload_file_size = 2_000_000
app.securekey = os.environ.get("GUESTBOOK_KEY") or secrets.token_hex(32)
app.session_timeout = 3600
app.csrf_protect = True
app.config.password = os.environ.get("GUESTBOOK_PASSWORD", "")
app.realm = "Guest book"
app.users = {"admin": app.config.password} if app.config.password else {}
app.mount("/admin", admin, "part")

PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


def kind_of(picture):
    """Return the media type of an upload by its first bytes, for what the browser says is no proof."""
    with picture.open() as file:
        start = file.read(8)
    return next((kind for mark, kind in PICTURES.items() if start.startswith(mark)), None)


@app.startup
@app.onreload
def open_store(wasc):
    wasc.register("entries", Entries(app.config.database))


@app.route("/", methods=["GET"])
def index(was):
    return was.render("index.html", entries=was.entries.all())


@app.route("/", methods=["POST"])
def sign(was, name, message, picture=None):
    # A field that is sent twice would come as a list.
    name, message = str(name).strip(), str(message).strip()
    kind = kind_of(picture) if hasattr(picture, "save") else None
    if not name or not message:
        return refuse(was, "Please fill in both fields.")
    if picture and not kind:
        return refuse(was, "The picture must be a PNG, JPEG or GIF file.")
    number = was.entries.add(name[:80], message[:2000])
    if kind:
        picture.save(app.config.pictures, name=str(number), mkdir=True, dup="o")
        was.entries.add_picture(number, kind)
    was.session["name"] = name[:80]
    was.mbox.send(f"Thank you, {name[:80]}!", "thanks")
    return was.redirect(was.ab("index"), "303 See Other")


def refuse(was, problem):
    was.mbox.send(problem, "error")
    return was.response("422 Unprocessable Content", was.render("index.html", entries=was.entries.all()))


@app.route("/picture/<int:number>")
def picture(was, number):
    entry = was.entries.get(number)
    if entry is None or not entry["kind"]:
        return was.response("404 Not Found")
    was.response.set_header("X-Content-Type-Options", "nosniff")
    return was.fstream(os.path.join(app.config.pictures, str(number)), entry["kind"])


@app.route("/export", methods=["GET"], authenticate=True)
def export(was):
    return {"entries": [dict(entry) for entry in was.entries.all()], "for": was.request.user.name}


@app.route("/by/<name>")
def by(was, name):
    found = was.entries.by(name)
    if not found:
        return was.response("404 Not Found")
    return was.render("index.html", entries=found)


if __name__ == "__main__":
    import skitai

    skitai.mount("/", "static")
    skitai.mount("/", app)
    skitai.run()
