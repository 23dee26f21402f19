"""Commands of ``python -m tutorlib`` that are too long for its entry: each adds its own arguments and runs them."""
