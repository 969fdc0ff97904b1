"""The real clients of other makes against a scripted model: ``sh tests/run clients``."""
