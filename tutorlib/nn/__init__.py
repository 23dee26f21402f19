"""Torch enters here: devices, data, models, optimizers."""
