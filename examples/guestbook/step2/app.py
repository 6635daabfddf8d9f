"""Guest book, step 2: a form, and entries that stay."""

from store import Entries

from skitai.saddle import Saddle

app = Saddle(__name__)
app.debug = True
app.use_reloader = True
app.config.database = app.get_resource("guestbook.db")


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
        page = was.render("index.html", entries=was.entries.all(), problem="Please fill in both fields.")
        return was.response("422 Unprocessable Content", page)
    was.entries.add(name[:80], message[:2000])
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
