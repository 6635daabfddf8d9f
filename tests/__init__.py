"""Tests of Skitai, mirroring the package.

Run them with ``trial --random 0 tests``: the order is random, and its seed is printed; give it to repeat an order.
"""
