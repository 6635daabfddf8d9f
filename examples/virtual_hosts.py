"""Two sites and a default one, told apart by the Host field.

Try ``curl -H 'Host: www.jeans.example' http://127.0.0.1:5000/``.
"""


def app(env, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"no site is called {env.get('HTTP_HOST', '')}"]


if __name__ == "__main__":
    import skitai

    skitai.vmount("www.jeans.example jeans.example", "/", "sites/jeans.py")
    skitai.vmount(".cars.example", "/", "sites/cars.py")
    skitai.vmount(".cars.example", "/files", "site")
    skitai.mount("/", app)
    skitai.run()
