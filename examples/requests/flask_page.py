"""A page of Flask made of three answers of another service: http://127.0.0.1:5000/.

Start ``service.py`` first: ``python service.py --port 5001``.
"""

import os

from flask import Flask, request

from skitai import was

app = Flask(__name__)
SERVICE = os.environ.get("SERVICE", "http://127.0.0.1:5001")


@app.route("/")
def index():
    here = was.get(f"{SERVICE}/weather", {"city": "Seoul"})
    there = was.get(f"{SERVICE}/weather", {"city": "Oslo"})
    news = was.get(f"{SERVICE}/news")
    # All three are on their way. They were asked at the same time, so the page takes as long as the slowest.
    return {"weather": [here.getwait().data, there.getwait().data], "news": news.getwait().data}


@app.route("/order", methods=["POST"])
def order():
    response = was.post(f"{SERVICE}/orders", {"item": request.form["item"], "pieces": 2}).getwait(5)
    if response.status_code == 201:
        return response.data, 201
    was.log(f"no order: {response.status_code} {response.reason}", "error")
    return {"error": "try again later"}, 503


@app.route("/brief")
def brief():
    weather = was.get(f"{SERVICE}/weather", {"city": "Seoul"})
    news = was.get(f"{SERVICE}/news")
    # What is nice to have gets little time. Without an answer in time, its data is None.
    return {"news": news.getwait(0.05).data, "weather": weather.getwait(3).data}


@app.route("/sum")
def total():
    return {"sum": was.rpc(f"{SERVICE}/").add(40, 2).getwait(reraise=True).data}


if __name__ == "__main__":
    import skitai

    skitai.mount("/", app)
    skitai.run()
