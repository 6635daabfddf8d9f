"""Package metadata of Skitai. Tool settings and the build system are in ``pyproject.toml``.

Two things here are less obvious than they look:

* ``twisted/plugins/skitai_plugin.py`` is shipped as a single module and never as a package: an ``__init__.py`` under
  ``twisted/`` would hide Twisted itself. Installed from a wheel it lands inside Twisted's own plugin directory.
* ``package_dir={"": "."}`` makes an editable install one ``.pth`` line that names this directory. Twisted looks for
  plugins in ``twisted/plugins`` under every entry of ``sys.path``, and so finds ours; it would not see an import hook.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

EXTRAS = {
    "postgresql": ["txpostgres>=1.7", "psycopg2-binary>=2.9"],
    "redis": ["txredisapi>=1.4.10"],
    "mongodb": ["txmongo>=24.1"],
    "grpc": ["protobuf>=5"],
}
EXTRAS["all"] = sorted({requirement for extra in EXTRAS.values() for requirement in extra})
EXTRAS["test"] = [
    "bottle>=0.13",
    "django>=4.2",
    "flask[async]>=3",
    "hypothesis>=6.100",
    "mypy-zope>=1.0.9",
    "mypy>=1.13",
    "ruff>=0.8",
    "setuptools>=77",  # the packaging tests build a wheel without asking the network for it
]
EXTRAS["docs"] = ["sphinx>=7.4", "towncrier>=24.8"]
EXTRAS["benchmark"] = [
    "aiohttp>=3.9",
    "flask>=3",
    "requests>=2.31",
    "gevent>=24.2",
    "granian>=1.6",
    "gunicorn>=22",
    "waitress>=3",
]


def version() -> str:
    """Return ``VERSION`` of ``skitai/constants.py``. It is read, not imported: the dependencies may be missing yet."""
    found = re.search(
        r'^VERSION\b[^=]*= "([^"]+)"', (ROOT / "skitai" / "constants.py").read_text("utf-8"), re.MULTILINE
    )
    if found is None:
        raise SystemExit("setup.py: skitai/constants.py has no line 'VERSION = \"...\"'")
    return found[1]


setup(
    name="txskitai",
    version=version(),
    description="A fast WSGI application server on Twisted that asks as well as it serves",
    long_description=(ROOT / "README.rst").read_text("utf-8"),
    long_description_content_type="text/x-rst",
    license="MIT",
    license_files=["LICENSE"],
    keywords="wsgi server http twisted microservices",
    python_requires=">=3.10",
    package_dir={"": "."},
    packages=find_packages(include=["skitai", "skitai.*"]),
    py_modules=["twisted.plugins.skitai_plugin"],
    package_data={"skitai": ["py.typed"], "skitai.demo": ["templates/*.html", "static/*"]},
    zip_safe=False,
    install_requires=[
        "twisted[tls]>=24.7",
        "httptools>=0.6.1",
        "h2>=4.1",
        "autobahn>=24.4.2",
        "jinja2>=3.1",
        "chameleon>=4.4",
        "cryptography>=42",
        "brotli>=1.2",
        "idna>=2.5",
    ],
    extras_require=EXTRAS,
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: No Input/Output (Daemon)",
        "Environment :: Web Environment",
        "Framework :: Twisted",
        "Intended Audience :: Developers",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP :: HTTP Servers",
        "Topic :: Internet :: WWW/HTTP :: WSGI :: Server",
        "Typing :: Typed",
    ],
)
