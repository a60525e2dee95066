"""Text to vectors: what an encoder is, and the encoders that come with Hydrant."""

from hydrant.encode.base import Encode, Encoder, Role
from hydrant.encode.bm25 import Bm25Encoder
from hydrant.encode.dense import DenseEncoder
from hydrant.encode.records import encoder_from_record

__all__ = ["Bm25Encoder", "DenseEncoder", "Encode", "Encoder", "Role", "encoder_from_record"]
