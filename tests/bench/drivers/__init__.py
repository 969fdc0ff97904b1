"""One small program per driver; each runs in an environment of its own and prints its figures as one line of JSON."""
