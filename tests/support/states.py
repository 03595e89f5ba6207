"""Networks whose state is laid out, set, or fused, in an expression."""

from collections.abc import Mapping
from typing import Any, TypeVar

from xpnet import Network
from xpnet.networks.plan import Plan

Kind = TypeVar("Kind", bound=Network)


def flattened(network: Kind) -> Kind:
    network.state.flatten()
    return network


def with_weights(network: Kind, values: Mapping[str, Any]) -> Kind:
    network.state.set_weights(values)
    return network


def fused_plan(network: Network, *, kernels: bool = True) -> Plan:
    return Plan.fused(list(network.layers.values()), network.last_layer, kernels=kernels)
