"""Slow answers that are kept: http://127.0.0.1:5000/.

Start ``service.py`` first: ``python service.py --port 5001``.
"""

import os

from skitai.saddle import Saddle

app = Saddle(__name__)
SERVICE = os.environ.get("SERVICE", "http://127.0.0.1:5001")


@app.route("/")
def rates(was):
    response = was.get(f"{SERVICE}/rates").getwait()
    if response.status_code == 200:
        response.cache(60)
    return {"rates": response.data, "kept": response.is_cached}


@app.route("/refresh")
def refresh(was):
    """Ask in any case, and have everybody get the new answer from now on."""
    response = was.get(f"{SERVICE}/rates", use_cache=False).getwait(reraise=True)
    response.cache(60)
    return {"rates": response.data, "kept": response.is_cached}


@app.route("/forget")
def forget(was):
    """Forget what is kept: whoever asks next gets a new answer."""
    was.get(f"{SERVICE}/rates").getwait().cache(0)
    return "forgotten"


if __name__ == "__main__":
    import skitai

    skitai.set_max_rcache(1000)
    skitai.mount("/", app)
    skitai.run()
