"""Prepare the application; ``skitai.mount()`` calls ``bootstrap`` before the server starts."""

from pathlib import Path


def bootstrap(pref):
    lines = Path(pref.config.greetings_file).read_text("utf-8").splitlines()
    pref.config.greetings = dict(line.split("\t") for line in lines)
