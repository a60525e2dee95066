"""Between `qdrant_client.models` and the engine's own classes, in both directions."""
