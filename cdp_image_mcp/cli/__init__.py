"""The edge to people at a terminal."""
