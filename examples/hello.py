"""A plain WSGI function: ``python examples/hello.py``, then http://127.0.0.1:5000/.

Change the text while it runs: the next request has it.
"""


def app(env, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["Hello World"]


app.use_reloader = True
app.debug = True

if __name__ == "__main__":
    import skitai

    skitai.mount("/", app)
    skitai.run(address="127.0.0.1", port=5000)
