"""The calls of `QdrantBase` that make no sense for one shard in one process.

Each raises `UnsupportedByEdge` with its name and the reason. `docs/edge.md` lists them; a test compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from hydrant.edge.base import BackendBase
from hydrant.errors import UnsupportedByEdge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CLUSTER = "an embedded index is no cluster"
_SHARDS = "an embedded collection has one shard"

UNSUPPORTED: Mapping[str, str] = {
    "create_full_snapshot": "snapshots are made of one collection at a time: use create_snapshot",
    "delete_full_snapshot": "snapshots are made of one collection at a time: use delete_snapshot",
    "create_shard_snapshot": "an embedded collection has one shard: use create_snapshot",
    "delete_shard_snapshot": "an embedded collection has one shard: use delete_snapshot",
    "recover_shard_snapshot": "an embedded collection has one shard: use recover_snapshot",
    "create_shard_key": _SHARDS,
    "delete_shard_key": _SHARDS,
    "list_shard_keys": _SHARDS,
    "cluster_collection_update": _CLUSTER,
    "collection_cluster_info": _CLUSTER,
    "cluster_status": _CLUSTER,
    "cluster_telemetry": _CLUSTER,
    "recover_current_peer": _CLUSTER,
    "remove_peer": _CLUSTER,
    "get_optimizations": "the engine does not say what it merges: get_collection gives the status and counts",
}
"""Call to reason."""


class Unsupported(BackendBase):
    """Refuses what the engine cannot do; its methods are made below from the table."""


def _refusal(call: str, reason: str) -> Callable[..., NoReturn]:
    def refuse(_self: Unsupported, *_args: Any, **_kwargs: Any) -> NoReturn:
        message = f"{call}: {reason}. A Qdrant server has this call"
        raise UnsupportedByEdge(message)

    refuse.__name__ = call
    refuse.__doc__ = f"Not available: {reason}."
    return refuse


for _call, _reason in UNSUPPORTED.items():
    setattr(Unsupported, _call, _refusal(_call, _reason))
