"""Hands: panels, predictions, runs and tables for the notebook; the only room with ipywidgets."""
