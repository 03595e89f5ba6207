"""Networks whose state is laid out, or set, in an expression."""

from collections.abc import Mapping
from typing import Any, TypeVar

from xpnet import Network

Kind = TypeVar("Kind", bound=Network)


def flattened(network: Kind) -> Kind:
    network.state.flatten()
    return network


def with_weights(network: Kind, values: Mapping[str, Any]) -> Kind:
    network.state.set_weights(values)
    return network
