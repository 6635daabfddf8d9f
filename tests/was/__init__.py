"""Tests of ``was``, what applications ask the outside world with."""
