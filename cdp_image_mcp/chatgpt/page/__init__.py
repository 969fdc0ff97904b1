"""What the page shows and how it is touched."""
