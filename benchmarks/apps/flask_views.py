"""The views of ``saddle_views`` with Flask."""

from __future__ import annotations

import os
from typing import Any

import flask
from answers import UPLOAD_LIMIT, item

app = flask.Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = UPLOAD_LIMIT


@app.route("/json")
def json() -> dict[str, Any]:
    """Answer with JSON."""
    return item()


@app.route("/upload", methods=["POST"])
def upload() -> str:
    """Save the file beside the logs; answer with the size that it has there."""
    path = os.path.join(os.environ["BENCH_LOGS"], "upload.bin")
    flask.request.files["file"].save(path)
    try:
        return str(os.path.getsize(path))
    finally:
        os.remove(path)
