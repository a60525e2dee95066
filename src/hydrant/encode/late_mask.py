"""Which tokens of a document get a vector. Imports torch: it is itself imported only where a model is loaded."""

from __future__ import annotations

from typing import Any

from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask


class SparingMask(MultiVectorMask):
    """Leaves tokens out as the library's mask does, but never all of a text's: such a text could not be found."""

    def forward(self, features: dict[str, Any], task: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """Narrow the mask of every text down to the tokens that count."""
        together = "cu_seq_lens_q" in features
        before = features["attention_mask"].bool()
        features = super().forward(features, task=task)
        if not together:
            mask = features["attention_mask"].bool()
            features["attention_mask"] = mask | (before & ~mask.any(dim=1, keepdim=True))
        return features


def sparing(mask: MultiVectorMask, words: list[str] | None) -> SparingMask:
    """That kind of mask with the settings of another, and other words to leave out where some are given."""
    return SparingMask(
        mask.skiplist_words if words is None else words,
        skiplist_tasks=mask.skiplist_tasks,
        keep_only_token_ids=mask.keep_only_token_ids,
    )
