"""Guest book, step 1: routes and templates."""

from skitai.saddle import Saddle

app = Saddle(__name__)
app.debug = True
app.use_reloader = True

ENTRIES = [
    {"name": "Ann Lee", "message": "What a nice place!"},
    {"name": "Bob", "message": "May I write in <b>bold</b>?"},
]


@app.route("/")
def index(was):
    return was.render("index.html", entries=ENTRIES)


@app.route("/by/<name>")
def by(was, name):
    found = [entry for entry in ENTRIES if entry["name"] == name]
    if not found:
        return was.response("404 Not Found")
    return was.render("index.html", entries=found)


if __name__ == "__main__":
    import skitai

    skitai.mount("/", "static")
    skitai.mount("/", app)
    skitai.run()
