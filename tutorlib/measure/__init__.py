"""Instruments: one measured quantity a file, each with a naive twin in ``tests/naive.py``."""
