"""Small pictures for answers."""
