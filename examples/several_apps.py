"""Three mounts on one server, and two versions of one interface.

==============  =====================================================
``/t1/``        a WSGI function of this file
``/t2/``        a Flask application of this file
``/v1/``        ``app_v1/app.py`` and the files of ``app_v1/static``
``/v2/``        ``app_v2/app.py`` and the files of ``app_v2/static``
``/``           the files of ``site``
==============  =====================================================
"""

from flask import Flask


def app1(env, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["Hello World"]


app1.use_reloader = True
app1.debug = True

app2 = Flask(__name__)
app2.use_reloader = True
app2.debug = True


@app2.route("/")
def index():
    return "Hello Flask"


if __name__ == "__main__":
    import skitai

    skitai.mount("/t1", __file__, "app1")
    skitai.mount("/t2", __file__, "app2")
    skitai.mount("/v1", "app_v1/static")
    skitai.mount("/v1", "app_v1/app")
    skitai.mount("/v2", "app_v2/static")
    skitai.mount("/v2", "app_v2/app")
    skitai.mount("/", "site")
    skitai.run()
