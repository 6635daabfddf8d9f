"""Media types by file name.

One table, the same on every machine: what the operating system says of suffixes differs between hosts, and an answer
must not depend on where it was made. Names are of the IANA registry where it has one.

Layer 1: no Twisted, no clock, no thread; the table is never changed. Thread: any.
"""

from __future__ import annotations

from typing import Final

UNKNOWN: Final = b"application/octet-stream"
"""The type of a file whose suffix says nothing (RFC 9110 section 8.3)."""

# RFC 9239 makes text/javascript the type of scripts; XML stays application/xml because a charset parameter would
# overrule the encoding that the document itself declares (RFC 7303 section 3). JSON has no charset parameter (RFC
# 8259 section 11).
_TABLE: Final = """
text/html                       html htm shtml
text/css                        css
text/javascript                 js mjs cjs
text/plain                      txt text log conf cfg ini diff patch sh bat py pyi c h cc cpp hpp java go rs rb pl
text/plain                      sql tex toml
text/markdown                   md markdown
text/csv                        csv
text/tab-separated-values       tsv
text/calendar                   ics
text/vcard                      vcf
text/vtt                        vtt
text/x-rst                      rst
text/x-component                htc
text/jsx                        jsx
text/x-typescript               tsx
application/json                json map
application/ld+json             jsonld
application/geo+json            geojson
application/manifest+json       webmanifest
application/feed+json           jsonfeed
application/x-ndjson            ndjson jsonl
application/yaml                yaml yml
application/xml                 xml xsd rng
application/xslt+xml            xsl xslt
application/xhtml+xml           xhtml xht
application/atom+xml            atom
application/rss+xml             rss
application/rdf+xml             rdf
application/mathml+xml          mathml
application/dash+xml            mpd
application/gpx+xml             gpx
application/vnd.google-earth.kml+xml    kml
application/vnd.google-earth.kmz        kmz
application/vnd.apple.mpegurl   m3u8
application/wasm                wasm
application/pdf                 pdf
application/postscript          ps eps ai
application/rtf                 rtf
application/epub+zip            epub
application/zip                 zip
application/gzip                gz tgz
application/zstd                zst
application/x-brotli            br
application/x-bzip2             bz2
application/x-xz                xz
application/x-tar               tar
application/x-7z-compressed     7z
application/vnd.rar             rar
application/java-archive        jar war
application/vnd.android.package-archive apk
application/vnd.debian.binary-package   deb
application/x-rpm               rpm
application/x-apple-diskimage   dmg
application/x-iso9660-image     iso
application/x-msdownload        exe dll msi
application/x-bittorrent        torrent
application/x-shockwave-flash   swf
application/vnd.sqlite3         sqlite sqlite3
application/msword              doc dot
application/vnd.ms-excel        xls
application/vnd.ms-powerpoint   ppt
application/vnd.ms-fontobject   eot
application/vnd.openxmlformats-officedocument.wordprocessingml.document     docx
application/vnd.openxmlformats-officedocument.spreadsheetml.sheet           xlsx
application/vnd.openxmlformats-officedocument.presentationml.presentation   pptx
application/vnd.oasis.opendocument.text             odt
application/vnd.oasis.opendocument.spreadsheet      ods
application/vnd.oasis.opendocument.presentation     odp
application/vnd.oasis.opendocument.graphics         odg
application/x-x509-ca-cert      crt der
application/x-pem-file          pem
application/pgp-signature       sig asc
application/ogg                 ogx
image/png                       png
image/jpeg                      jpg jpeg jpe jfif
image/gif                       gif
image/webp                      webp
image/avif                      avif
image/apng                      apng
image/svg+xml                   svg
image/bmp                       bmp
image/tiff                      tif tiff
image/heic                      heic
image/heif                      heif
image/jxl                       jxl
image/vnd.microsoft.icon        ico cur
image/vnd.adobe.photoshop       psd
font/woff                       woff
font/woff2                      woff2
font/ttf                        ttf
font/otf                        otf
font/collection                 ttc
audio/mpeg                      mp3 mpga
audio/mp4                       m4a
audio/aac                       aac
audio/ogg                       ogg oga opus
audio/flac                      flac
audio/wav                       wav
audio/webm                      weba
audio/midi                      mid midi
audio/aiff                      aif aiff
video/mp4                       mp4 m4v
video/mpeg                      mpg mpeg
video/ogg                       ogv
video/webm                      webm
video/quicktime                 mov qt
video/x-msvideo                 avi
video/matroska                  mkv
video/mp2t                      ts m2ts
video/3gpp                      3gp
model/gltf+json                 gltf
model/gltf-binary               glb
model/stl                       stl
"""


def _read(table: str) -> dict[str, bytes]:
    types: dict[str, bytes] = {}
    for line in table.split("\n"):
        name, *suffixes = line.split() or [""]
        value = name + "; charset=utf-8" if name.startswith("text/") else name
        for suffix in suffixes:
            types[suffix] = value.encode("ascii")
    return types


_TYPES: Final = _read(_TABLE)


def media_type(name: str) -> bytes:
    """Return the Content-Type of a file, for text with its charset.

    Args:
        name: Name or path of the file; only what follows the last dot of its last segment counts, in any case.
    """
    stem, dot, suffix = name.rpartition("/")[2].rpartition(".")
    # A name that only begins with a dot (".html") is hidden, not typed.
    return _TYPES.get(suffix.lower(), UNKNOWN) if dot and stem else UNKNOWN
