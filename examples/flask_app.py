"""Flask, mounted below a path: http://127.0.0.1:5000/flaskapp/. ``url_for`` knows where it is mounted."""

from flask import Flask, request, url_for

app = Flask(__name__)


@app.route("/")
def index():
    return f'<a href="{url_for("hello", name="you")}">hello</a>'


@app.route("/hello/<name>")
def hello(name):
    return {"hello": name}


@app.route("/count", methods=["POST"])
def count():
    return {"letters": len(request.form["text"])}


if __name__ == "__main__":
    import skitai

    skitai.mount("/flaskapp", app)
    skitai.run()
