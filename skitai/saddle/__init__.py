"""Saddle, the micro framework of Skitai.

``Saddle`` is an application, ``Saddlery`` a part of one. They run under any WSGI server; under Skitai, ``was`` has the
services of the server too.

Layer S: no Twisted. It reaches Skitai only through ``environ["skitai.was"]``. Thread: any.
"""

from __future__ import annotations

from skitai.saddle.app import Saddle
from skitai.saddle.building import BuildError
from skitai.saddle.saddlery import Saddlery

__all__ = ["BuildError", "Saddle", "Saddlery"]
