"""Requests and answers as they travel."""
