"""Closed forms: laws and statistics that need no data and no torch."""
