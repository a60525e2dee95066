"""Indexing: read, chunk, encode, write."""
