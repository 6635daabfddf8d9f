"""Greetings in some languages."""
