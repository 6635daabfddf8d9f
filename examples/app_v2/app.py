"""Version 2 of an interface. Both versions have a module ``data``, and each gets its own."""

from data import GREETING


def app(env, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{GREETING} (version 2)"]
