"""Saddle: ``python examples/saddle_hello.py``, then http://127.0.0.1:5000/.

Change a text while it runs: the next request has it.
"""

from skitai.saddle import Saddle

app = Saddle(__name__)
app.debug = True
app.use_reloader = True


@app.route("/")
def index(was):
    return f'<a href="{was.ab("hello", "you and me")}">hello</a>'


@app.route("/hello/<name>")
def hello(was, name):
    return {"hello": name}


@app.route("/square/<int:number>")
def square(was, number):
    return number * number


if __name__ == "__main__":
    import skitai

    skitai.mount("/", app)
    skitai.run()
