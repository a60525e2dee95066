"""Retrieval: the one request to Qdrant, and the fusion of its sources."""
