"""A JSON interface that pages of other origins may use (CORS): http://127.0.0.1:5000/api/tasks.

::

    curl -H 'Content-Type: application/json' -d '{"title": "write"}' http://127.0.0.1:5000/api/tasks
    curl -X DELETE http://127.0.0.1:5000/api/tasks/1
"""

import itertools

from skitai.saddle import Saddle

app = Saddle(__name__)
app.access_control_allow_origin = ["https://tasks.example"]
app.access_control_max_age = 3600

tasks = {}
numbers = itertools.count(1)


@app.route("/tasks", methods=["GET"])
def index(was):
    return {"tasks": list(tasks.values())}


@app.route("/tasks", methods=["POST", "OPTIONS"], content_types=["application/json"])
def add(was):
    match was.request.json():
        case {"title": str(title)}:
            number = next(numbers)
            tasks[number] = {"id": number, "title": title}
            return was.response("201 Created", tasks[number], [("Location", was.ab("task", number))])
    return was.response("422 Unprocessable Content", {"problem": "title must be a text"})


@app.route("/tasks/<int:number>", methods=["GET"])
def task(was, number):
    return tasks.get(number) or was.response("404 Not Found", {"problem": "there is no such task"})


@app.route("/tasks/<int:number>", methods=["DELETE", "OPTIONS"])
def delete(was, number):
    tasks.pop(number, None)
    return was.response("204 No Content")


if __name__ == "__main__":
    import skitai

    skitai.mount("/api", app)
    skitai.run()
