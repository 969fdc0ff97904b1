"""The browser as a person meets it."""
