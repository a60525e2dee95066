"""Hydrant's search as a tool of LlamaIndex's agents."""

from llama_index.tools.hydrant.base import HydrantToolSpec

__all__ = ["HydrantToolSpec"]
