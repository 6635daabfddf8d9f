"""Serving: protocol engines (sans-IO) and the edge that joins them to the reactor, to threads and to files."""
