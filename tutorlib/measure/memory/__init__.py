"""Memory of a training step: predicted on shapes alone, measured on a real step, and the largest batch that fits."""
