"""``/`` greets in the default language, ``/?language=French`` in another. ``bootstrap`` has filled ``app.config``."""

from urllib.parse import parse_qs


class Greeter:
    """A WSGI application that is an object: preferences become its attributes."""

    debug = False

    def __init__(self):
        self.config = {"default": "French"}

    def __call__(self, env, start_response):
        greetings = self.config["greetings"]
        language = parse_qs(env.get("QUERY_STRING", "")).get("language", [self.config["default"]])[0]
        known = language in greetings
        start_response("200 OK" if known else "404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [greetings[language] if known else f"no greeting in {language}"]


app = Greeter()
