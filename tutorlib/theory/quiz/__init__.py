"""Ten situations from training, each answered by a measurement: nothing in here knows the answer beforehand."""
