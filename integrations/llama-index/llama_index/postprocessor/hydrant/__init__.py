"""Hydrant's rerankers and its packer as postprocessors of LlamaIndex."""

from llama_index.postprocessor.hydrant.base import HydrantRerank
from llama_index.postprocessor.hydrant.packing import HydrantContextPacker

__all__ = ["HydrantContextPacker", "HydrantRerank"]
