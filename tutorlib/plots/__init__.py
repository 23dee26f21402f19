"""Records to axes: every function returns its axes, none measures and none shows."""
