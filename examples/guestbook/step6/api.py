"""The entries as JSON, mounted at /api."""

from skitai.saddle import Saddlery

part = Saddlery(__name__)


def public(was, entry):
    picture = was.ab("picture", entry["id"]) if entry["kind"] else None
    return {**{key: entry[key] for key in ("id", "name", "message", "written")}, "picture": picture}


@part.route("/entries", methods=["GET"], access_control_allow_origin="*")
def entries(was, by=None):
    found = was.entries.all() if by is None else was.entries.by(str(by))
    return {"entries": [public(was, entry) for entry in found]}


@part.route("/entries/<int:number>", methods=["GET"], access_control_allow_origin="*")
def entry(was, number):
    found = was.entries.get(number)
    return was.response("404 Not Found") if found is None else public(was, found)


@part.route("/entries", methods=["POST"], content_types=["application/json"], csrf=False)
def add(was):
    match was.request.json():
        case {"name": str(name), "message": str(message)} if name.strip() and message.strip():
            number = was.entries.add(name.strip()[:80], message.strip()[:2000])
            location = was.ab("api.entry", number)
            return was.response("201 Created", public(was, was.entries.get(number)), [("Location", location)])
    return was.response("422 Unprocessable Content", {"problem": "name and message must be text"})
