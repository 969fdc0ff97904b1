"""What the site's network says of a turn."""
