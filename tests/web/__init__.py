"""Tests of the protocol engines and of the edge that serves them."""
