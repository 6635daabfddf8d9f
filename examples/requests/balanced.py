"""Requests balanced over three servers: http://127.0.0.1:5000/?q=cats.

Start ``service.py`` three times first: ``python service.py --port 5001``, then with 5002 and 5003.
"""

import os

from skitai.saddle import Saddle

app = Saddle(__name__)
SERVERS = os.environ.get("SERVERS", "127.0.0.1:5001, 127.0.0.1:5002 2, 127.0.0.1:5003").split(", ")


@app.route("/")
def search(was, q="cats"):
    """Ask one of them, whichever has least to do."""
    return was.get("@search/search", {"q": q}).getwait(reraise=True).data


@app.route("/all")
def search_all(was, q="cats"):
    """Ask all of them, and join what they find."""
    responses = was.get.map("@search/search", {"q": q}).getswait()
    found = [text for response in responses if response.status_code == 200 for text in response.data["found"]]
    return {"found": found, "status": responses.status_code}


@app.route("/add")
def add(was, a, b):
    """Call a procedure of one of them, as XML-RPC."""
    return {"sum": was.rpc("@search/").add(int(a), int(b)).getwait(reraise=True).data}


if __name__ == "__main__":
    import skitai

    skitai.alias("@search", skitai.PROTO_HTTP, SERVERS)
    skitai.mount("/", app)
    skitai.run()
