"""Browsers found, started, attached to and ended."""
