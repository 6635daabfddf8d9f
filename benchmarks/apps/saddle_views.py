"""Views of Saddle: JSON, text, and a form with a file that is saved."""

from __future__ import annotations

import os
from typing import Any

from answers import UPLOAD_LIMIT, item

from skitai.saddle import Saddle

app = Saddle(__name__)
app.config.max_multipart_body_size = app.config.max_upload_file_size = UPLOAD_LIMIT


@app.route("/")
def hello(was: Any) -> str:
    """Answer with the text of ``hello.app``."""
    return "Hello World"


@app.route("/json")
def json(was: Any) -> dict[str, Any]:
    """Answer with JSON."""
    return item()


@app.route("/upload", methods=["POST"])
def upload(was: Any, file: Any) -> str:
    """Save the file beside the logs; answer with the size that it has there."""
    path = file.save(os.environ["BENCH_LOGS"])
    try:
        return str(os.path.getsize(path))
    finally:
        os.remove(path)
