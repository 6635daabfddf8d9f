"""Views that wait without a thread: http://127.0.0.1:5000/wait/1.5.

Coroutines run on the reactor. They may await Deferreds; on the reactor of asyncio, whatever asyncio has, too.
"""

import time

from twisted.internet.task import deferLater

from skitai.saddle import Saddle

app = Saddle(__name__)


def pause(seconds):
    from twisted.internet import reactor  # here, for the server chooses which reactor it is

    return deferLater(reactor, seconds)


@app.route("/wait/<float:seconds>")
async def wait(was, seconds):
    await pause(min(seconds, 10))
    return {"waited": seconds}


@app.route("/count")
async def count(was):
    async def lines():
        for number in range(3):
            yield f"{number}\n"
            await pause(0.05)

    return was.response("200 OK", lines(), [("Content-Type", "text/plain")])


@app.route("/blocking")
async def blocking(was):
    """What waits in the old way is given to an application thread."""
    return {"at": await was.in_thread(sleep)}


def sleep():
    time.sleep(0.1)
    return time.time()


if __name__ == "__main__":
    import skitai

    skitai.mount("/", app)
    skitai.run()
