"""The administrator's pages, mounted at /admin."""

import hmac
import os

from skitai.saddle import Saddlery

part = Saddlery(__name__)


@part.before_request
def only_administrators(was):
    if was.request.routed_function is not login and not was.session.get("admin"):
        return was.redirect(was.ab("admin.login"), "303 See Other")
    return None


@part.route("/login", methods=["GET", "POST"])
def login(was, password=None):
    if password is not None:
        wanted = was.app.config.password
        if wanted and hmac.compare_digest(str(password).encode(), wanted.encode()):
            was.session["admin"] = True
            return was.redirect(was.ab("admin.index"), "303 See Other")
        was.mbox.send("That is not the password.", "error")
    return was.render("login.html")


@part.route("/logout", methods=["POST"])
def logout(was):
    was.session.clear()
    return was.redirect(was.ab("app.index"), "303 See Other")


@part.route("/", methods=["GET"])
def index(was):
    return was.render("admin.html", entries=was.entries.all())


@part.route("/delete/<int:number>", methods=["POST"])
def delete(was, number):
    entry = was.entries.get(number)
    if entry is None:
        return was.response("404 Not Found")
    if entry["kind"]:
        os.remove(os.path.join(was.app.config.pictures, str(number)))
    was.entries.delete(number)
    was.mbox.send(f"The entry of {entry['name']} is gone.", "thanks")
    return was.redirect(was.ab("admin.index"), "303 See Other")
