"""The same page as a coroutine, which waits without a thread: http://127.0.0.1:5000/.

Start ``service.py`` first: ``python service.py --port 5001``.
"""

import os

from skitai.saddle import Saddle

app = Saddle(__name__)
SERVICE = os.environ.get("SERVICE", "http://127.0.0.1:5001")


@app.route("/")
async def index(was):
    here = was.get(f"{SERVICE}/weather", {"city": "Seoul"})
    there = was.get(f"{SERVICE}/weather", {"city": "Oslo"})
    news = was.get(f"{SERVICE}/news")
    here, there, news = await was.gather(here, there, news)
    return {"weather": [here.data, there.data], "news": news.data}


@app.route("/one")
async def one(was):
    response = await was.get(f"{SERVICE}/weather", {"city": "Seoul"}, timeout=3)
    return response.data if response.status_code == 200 else was.response("503 Service Unavailable")


if __name__ == "__main__":
    import skitai

    skitai.mount("/", app)
    skitai.run()
