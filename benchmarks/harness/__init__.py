"""What ``run.py`` and ``profile.py`` share: starting servers, loading them, judging and reporting what came out."""
