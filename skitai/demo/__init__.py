"""The demonstration that ``python -m skitai`` serves.

A Saddle application (``app``) with its templates, and a directory of static files (``static``), written as a user would
write them.
"""
