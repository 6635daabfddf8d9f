"""The demonstration that ``python -m skitai`` serves.

A plain WSGI application (``app``) and a directory of static files (``static``), written as a user would write them: it
knows nothing of Skitai but what every WSGI application is given.
"""
