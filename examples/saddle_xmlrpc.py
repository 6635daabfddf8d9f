"""Views that are XML-RPC methods, too: POST http://127.0.0.1:5000/rpc/, or GET http://127.0.0.1:5000/rpc/add?a=1&b=2.

::

    >>> from xmlrpc.client import ServerProxy
    >>> server = ServerProxy("http://127.0.0.1:5000/rpc/")
    >>> server.add(1, 2)
    3
    >>> server.text.upper("abc")
    'ABC'
"""

from skitai.saddle import Saddle

app = Saddle(__name__)


@app.route("/add")
def add(was, a, b):
    """Return the sum of two numbers."""
    return int(a) + int(b)


@app.route("/text/upper")
def upper(was, text):
    """Return a text in upper case."""
    return text.upper()


if __name__ == "__main__":
    import skitai

    skitai.mount("/rpc", app)
    skitai.run()
