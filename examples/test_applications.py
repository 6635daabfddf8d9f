"""Tests of two of the examples with ``skitai.testing``: ``python -m unittest test_applications`` in this directory."""

import unittest

from flask_app import app as flask_app
from hello import app as hello

from skitai.testing import Client


class HelloTests(unittest.TestCase):
    def test_greets(self):
        response = Client(hello).get("/")
        self.assertEqual((response.status, response.text), (200, "Hello World"))
        self.assertEqual(response.headers["Content-Type"], "text/plain")


class FlaskTests(unittest.TestCase):
    def setUp(self):
        self.client = Client({"/": "site", "/shop": flask_app}, max_post_body_size="1K")

    def test_form(self):
        self.assertEqual(self.client.post("/shop/count", {"text": "abc"}).json(), {"letters": 3})

    def test_body_too_large(self):
        self.assertEqual(self.client.post("/shop/count", {"text": "a" * 2000}).status, 413)

    def test_files_beside_it(self):
        self.assertIn("A site of files", self.client.get("/").text)


if __name__ == "__main__":
    unittest.main()
