"""The heart: from a checked wish to a finished generation."""
