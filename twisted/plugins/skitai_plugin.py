"""The ``skitai`` command of twistd. It imports nothing of Skitai: twistd loads every plugin whenever it starts."""

from twisted.application.service import ServiceMaker

skitai = ServiceMaker("Skitai", "skitai.tap", "A fast WSGI application server: twistd -n skitai --app app.py", "skitai")
