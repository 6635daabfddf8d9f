"""Uploads of any number of files, which are kept until the program ends: http://127.0.0.1:5000/."""

import os
import tempfile

from skitai.saddle import Saddle

app = Saddle(__name__)
app.config.max_upload_file_size = 10_000_000
app.config.max_multipart_body_size = 50_000_000
kept = tempfile.TemporaryDirectory()

FORM = """
<form method="post" enctype="multipart/form-data">
  <input name="title"> <input type="file" name="files" multiple> <button>Send</button>
</form>
"""


@app.route("/", methods=["GET"])
def form(was):
    return FORM


@app.route("/", methods=["POST"])
def upload(was, title="", files=""):
    # One file comes alone, several as a list, and none as an empty text.
    several = files if isinstance(files, list) else [files]
    saved = [file.save(kept.name) for file in several if file]
    return {"title": title, "files": [os.path.basename(path) for path in saved]}


@app.route("/files/<path:name>", methods=["GET"])
def download(was, name):
    if name not in os.listdir(kept.name):
        return was.response("404 Not Found")
    was.response.set_header("Content-Disposition", "attachment")
    return was.fstream(os.path.join(kept.name, name))


if __name__ == "__main__":
    import skitai

    skitai.mount("/", app)
    skitai.run()
