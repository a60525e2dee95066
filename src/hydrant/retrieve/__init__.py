"""Retrieval: the request to Qdrant, and the fusion of its sources."""
