"""The arguments of qdrant-client's calls that only make sense for a server or a cluster.

There is one shard, in this process, and a write returns when it is done. So `wait`, `ordering`, `consistency`
and `timeout` have nothing to decide and are accepted; a shard key would change the result, and is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hydrant.errors import UnknownArgument, UnsupportedByEdge

if TYPE_CHECKING:
    from collections.abc import Mapping

HARMLESS = frozenset(("wait", "ordering", "consistency", "timeout"))
REFUSED = frozenset(("shard_key_selector", "shard_key"))


def check_options(call: str, options: Mapping[str, Any], also: frozenset[str] = frozenset()) -> None:
    """Refuse what would change a call's result if it were ignored.

    Args:
        call: The method's name, for the message.
        options: The keyword arguments that the method does not use itself.
        also: Names that are harmless for this call besides the common ones.

    Raises:
        UnsupportedByEdge: A shard key.
        UnknownArgument: A name that nobody knows.
    """
    for name, value in options.items():
        if name in HARMLESS or name in also:
            continue
        if name not in REFUSED:
            known = sorted(HARMLESS | REFUSED | also)
            message = f"{call}() has no argument {name!r}; besides its own it takes {known}"
            raise UnknownArgument(message)
        if value is not None:
            message = (
                f"{call}({name}={value!r}): an embedded collection has one shard; leave the argument out"
            )
            raise UnsupportedByEdge(message)
