"""Instruments inside somebody else's training: what a batch is and how noisy, logged, and nothing changed."""
