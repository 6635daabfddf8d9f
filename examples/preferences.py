"""A package that brings its own web interface, and preferences that the program gives to it.

``greetings`` is an ordinary package; what it serves is in ``greetings/export/skitai``. Its ``bootstrap`` turns the file
that the program names into a list before the application starts. http://127.0.0.1:5000/v1/
"""

import greetings

import skitai

pref = skitai.pref()
pref.debug = True
pref.config.greetings_file = skitai.joinpath("greetings", "greetings.txt")
pref.config["default"] = "English"

if __name__ == "__main__":
    skitai.mount("/v1", greetings, "app", pref)
    skitai.run()
