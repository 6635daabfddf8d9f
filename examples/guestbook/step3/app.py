"""Guest book, step 3: sessions, messages and a token against forged forms."""

import os
import secrets

from store import Entries

from skitai.saddle import Saddle

app = Saddle(__name__)
app.debug = True
app.use_reloader = True
app.config.database = app.get_resource("guestbook.db")
app.securekey = os.environ.get("GUESTBOOK_KEY") or secrets.token_hex(32)
app.session_timeout = 3600
app.csrf_protect = True


@app.startup
@app.onreload
def open_store(wasc):
    wasc.register("entries", Entries(app.config.database))


@app.route("/", methods=["GET"])
def index(was):
    return was.render("index.html", entries=was.entries.all())


@app.route("/", methods=["POST"])
def sign(was, name, message):
    # A field that is sent twice would come as a list.
    name, message = str(name).strip(), str(message).strip()
    if not name or not message:
        was.mbox.send("Please fill in both fields.", "error")
        return was.response("422 Unprocessable Content", was.render("index.html", entries=was.entries.all()))
    was.entries.add(name[:80], message[:2000])
    was.session["name"] = name[:80]
    was.mbox.send(f"Thank you, {name[:80]}!", "thanks")
    return was.redirect(was.ab("index"), "303 See Other")


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
