"""Tests of Saddle, the framework."""
