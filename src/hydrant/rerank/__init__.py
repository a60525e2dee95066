"""Rerankers: the second look at what was found."""
