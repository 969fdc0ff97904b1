"""Bringing the server into clients' configuration files, each in its own form; everything else stays untouched."""
