"""The page of all pictures."""
