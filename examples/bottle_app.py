"""Bottle: http://127.0.0.1:5000/hello/you."""

import bottle

app = bottle.Bottle()


@app.route("/hello/<name>")
def hello(name):
    return bottle.template("Hello {{name}}", name=name)


@app.post("/upload")
def upload():
    file = bottle.request.files.get("file")
    return {"name": file.filename, "size": len(file.file.read())}


if __name__ == "__main__":
    import skitai

    skitai.mount("/", app)
    skitai.run()
