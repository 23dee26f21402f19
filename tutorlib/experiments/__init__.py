"""One file per lesson: its experiments, as data."""
