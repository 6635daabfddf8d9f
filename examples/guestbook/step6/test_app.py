"""Tests of the guest book: ``python -m unittest`` in this directory."""

import os
import re
import tempfile
import unittest

from app import app

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


class GuestBookTests(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        app.config.database = os.path.join(directory.name, "guestbook.db")
        app.config.pictures = os.path.join(directory.name, "pictures")
        app.config.password = "open sesame"
        app.users = {"admin": "open sesame"}
        self.client = app.test_client()
        self.addCleanup(self.client.close)

    def post(self, page, path, data=None, **more):
        """Send a form as a browser does: load its page, and send the token along."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.client.get(page).text)[1]
        return self.client.post(path, {**(data or {}), "csrf_token": token}, follow_redirects=True, **more)

    def test_sign(self):
        page = self.post("/", "/", {"name": "Ann", "message": "<b>Hello</b>"}).text
        self.assertIn("Thank you, Ann!", page)
        self.assertIn("&lt;b&gt;Hello&lt;/b&gt;", page)
        self.assertIn('value="Ann"', page)
        self.assertNotIn("Thank you", self.client.get("/").text)

    def test_token(self):
        self.assertEqual(self.client.post("/", {"name": "Ann", "message": "Hello"}).status, 403)

    def test_picture(self):
        page = self.post("/", "/", {"name": "Ann", "message": "Look"}, files={"picture": ("a.png", PNG)}).text
        self.assertIn('src="/picture/1"', page)
        answer = self.client.get("/picture/1")
        self.assertEqual((answer.body, answer.headers["Content-Type"]), (PNG, "image/png"))

    def test_no_picture(self):
        files = {"picture": ("a.png", b"<script>")}
        self.assertEqual(self.post("/", "/", {"name": "Ann", "message": "Look"}, files=files).status, 422)

    def test_administrator(self):
        self.post("/", "/", {"name": "Bob", "message": "Buy this"}, files={"picture": ("a.png", PNG)})
        self.assertEqual(self.client.get("/admin/", follow_redirects=True).url, "http://localhost/admin/login")
        self.assertIn("not the password", self.post("/admin/login", "/admin/login", {"password": "guess"}).text)
        self.assertIn("Buy this", self.post("/admin/login", "/admin/login", {"password": "open sesame"}).text)
        self.assertIn("The entry of Bob is gone", self.post("/admin/", "/admin/delete/1").text)
        self.assertEqual(self.client.get("/picture/1").status, 404)
        self.post("/admin/", "/admin/logout")
        self.assertEqual(self.client.get("/admin/").status, 303)

    def test_export(self):
        self.assertEqual(self.client.get("/export").status, 401)
        self.assertEqual(self.client.get("/export", auth=("admin", "guess")).status, 401)
        answer = self.client.get("/export", auth=("admin", "open sesame"))
        self.assertEqual(answer.json(), {"entries": [], "for": "admin"})

    def test_api(self):
        answer = self.client.post("/api/entries", json={"name": "Ann", "message": "Hello"})
        self.assertEqual((answer.status, answer.headers["Location"]), (201, "/api/entries/1"))
        self.assertEqual(self.client.get("/api/entries/1").json(), answer.json())
        self.assertEqual(self.client.get("/api/entries?by=Bob").json(), {"entries": []})
        self.assertEqual(self.client.get("/api/entries").headers["Access-Control-Allow-Origin"], "*")
        self.assertEqual(self.client.post("/api/entries", json={"name": 1}).status, 422)
        self.assertEqual(self.client.post("/api/entries", b"{", {"Content-Type": "application/json"}).status, 400)


if __name__ == "__main__":
    unittest.main()
