"""A service that takes its time, for the other programs in this directory to ask.

Start it at the port where they look for it: ``python service.py --port 5001``; three times for ``balanced.py``. Most
answers take a fifth of a second, and no thread meanwhile.
"""

import itertools
import os

from twisted.internet.task import deferLater

from skitai.saddle import Saddle

app = Saddle(__name__)
orders = {}
count = itertools.count(1)


def pause(seconds=0.2):
    from twisted.internet import reactor  # here, for the server chooses which reactor it is

    return deferLater(reactor, seconds)


@app.route("/weather", methods=["GET"])
async def weather(was, city):
    await pause()
    return {"city": city, "degrees": 10 + len(city)}


@app.route("/news", methods=["GET"])
async def news(was):
    await pause(0.1)
    return {"headline": "Nothing <happened>"}


@app.route("/rates", methods=["GET"])
async def rates(was):
    """Tell how often this was asked, so that a cache can be seen at work."""
    await pause()
    return {"asked": next(count), "EUR": 1.17}


@app.route("/orders", methods=["POST"])
async def order(was):
    await pause()
    number = len(orders) + 1
    orders[number] = was.request.json()
    return was.response("201 Created", {"number": number, **orders[number]})


@app.route("/search", methods=["GET"])
async def search(was, q):
    await pause()
    return {"found": [f"{q} in {os.getpid()}"]}


@app.route("/add")
def add(was, a, b):
    """Return the sum of two numbers; XML-RPC clients call it, too."""
    return a + b


if __name__ == "__main__":
    import skitai

    skitai.mount("/", app)
    skitai.run()
