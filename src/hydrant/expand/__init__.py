"""Queries expanded before they are searched with: HyDE and its family, the gate, the cache."""
