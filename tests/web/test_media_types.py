"""Media types by file name."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skitai.web.media_types import UNKNOWN, media_type


class MediaTypeTests(SynchronousTestCase):
    """``media_type``"""

    def test_types_of_the_web(self) -> None:
        for name, expected in {
            "index.html": b"text/html; charset=utf-8",
            "index.htm": b"text/html; charset=utf-8",
            "style.css": b"text/css; charset=utf-8",
            "app.js": b"text/javascript; charset=utf-8",
            "app.mjs": b"text/javascript; charset=utf-8",
            "robots.txt": b"text/plain; charset=utf-8",
            "data.json": b"application/json",
            "feed.xml": b"application/xml",
            "logo.svg": b"image/svg+xml",
            "logo.png": b"image/png",
            "photo.JPG": b"image/jpeg",
            "favicon.ico": b"image/vnd.microsoft.icon",
            "font.woff2": b"font/woff2",
            "module.wasm": b"application/wasm",
            "film.mp4": b"video/mp4",
            "song.mp3": b"audio/mpeg",
            "paper.pdf": b"application/pdf",
            "site.webmanifest": b"application/manifest+json",
        }.items():
            self.assertEqual(media_type(name), expected, name)

    def test_only_text_has_a_charset(self) -> None:
        self.assertNotIn(
            b"charset", media_type("x.json") + media_type("x.xml") + media_type("x.svg") + media_type("x.png")
        )

    def test_last_suffix_counts(self) -> None:
        self.assertEqual(media_type("backup.tar.gz"), b"application/gzip")
        self.assertEqual(media_type("jquery.min.js"), b"text/javascript; charset=utf-8")

    def test_path_is_not_part_of_the_name(self) -> None:
        self.assertEqual(media_type("/site.html/data.json"), b"application/json")
        self.assertEqual(media_type("/site.html/data"), UNKNOWN)

    def test_without_a_known_suffix(self) -> None:
        for name in ("", "README", "x.", "x.nonsense", ".html", "/a/.css", "html"):
            self.assertEqual(media_type(name), b"application/octet-stream", name)

    def test_same_type_whatever_the_system_says(self) -> None:
        import mimetypes

        self.addCleanup(mimetypes.init)
        mimetypes.add_type("text/wrong", ".css")
        self.assertEqual(media_type("x.css"), b"text/css; charset=utf-8")
