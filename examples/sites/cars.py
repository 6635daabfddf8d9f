"""The site of cars, for the domain and all below it."""


def app(env, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["cars"]
