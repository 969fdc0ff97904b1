"""The web back end: one signed-in page of the site, watched over CDP."""
