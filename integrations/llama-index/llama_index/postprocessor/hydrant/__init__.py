"""Hydrant's rerankers as postprocessors of LlamaIndex."""

from llama_index.postprocessor.hydrant.base import HydrantRerank

__all__ = ["HydrantRerank"]
