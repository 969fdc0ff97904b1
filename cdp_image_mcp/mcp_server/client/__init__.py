"""The client at the other end: the line to it, what is known of it, what it is told and asked meanwhile."""
