"""A page that is sent while its parts arrive: http://127.0.0.1:5000/.

Start ``service.py`` first: ``python service.py --port 5001``.
"""

import os

from markupsafe import escape

from skitai.saddle import Saddle

app = Saddle(__name__)
SERVICE = os.environ.get("SERVICE", "http://127.0.0.1:5001")
HEAD = "<!doctype html>\n<title>Today</title>\n<h1>Today</h1>\n"
END = "<p>That is all.</p>\n"


@app.route("/")
def index(was):
    """Send each part as soon as it is there."""
    page = was.aresponse(add_part, prolog=HEAD, epilog=END)
    page.get("weather", f"{SERVICE}/weather", {"city": "Seoul"})
    page.get("news", f"{SERVICE}/news")
    return page


def add_part(response, page):
    if response.status_code == 200:
        page.push(page.render(f"{response.reqid}.html", response.data))
    else:
        page.push(f"<p>No {escape(response.reqid)}: {escape(response.reason)}</p>\n")
    if page.fetched_all():
        page.done()


@app.route("/ordered")
def ordered(was):
    """Send the page in one piece, each part where it belongs."""
    page = was.aresponse(fill_in)
    page.get("weather", f"{SERVICE}/weather", {"city": "Seoul"})
    page.get("news", f"{SERVICE}/news")
    return was.response("200 OK", page, [("Cache-Control", "no-store")])


def fill_in(response, page):
    page[response.reqid] = page.render(f"{response.reqid}.html", response.data) if response.data else "<p>-</p>"
    if page.fetched_all():
        page.done(page.render_all("today.html"))


@app.route("/lines")
async def lines(was):
    """The same by hand: a coroutine that returns an asynchronous generator."""
    handles = [was.get(f"{SERVICE}/weather", {"city": city}) for city in ("Seoul", "Oslo")]

    async def each():
        for handle in handles:
            response = await handle
            yield f"{response.text}\n"

    return was.response("200 OK", each(), [("Content-Type", "text/plain")])


if __name__ == "__main__":
    import skitai

    skitai.mount("/", app)
    skitai.run()
