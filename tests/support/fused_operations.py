"""Every fused operation under the name of its kernel, the optimizers' as they make them; and the kernels."""

import dataclasses
from typing import Any

from xpnet import SGD, Adam
from xpnet.engine import kernels
from xpnet.engine.kernels import elementwise, rows
from xpnet.engine.kernels.operation import ElementKernel, FusedOperation, RowKernel
from xpnet.layers.fused import bias_relu, mean, relu_gradient, softmax_cross_entropy
from xpnet.training.step import gather

__all__ = [
    "ELEMENT_KERNELS",
    "KERNELS",
    "ROW_KERNELS",
    "adam_update",
    "bias_relu",
    "gather",
    "launch",
    "mean",
    "planted",
    "relu_gradient",
    "sgd_update",
    "softmax_cross_entropy",
]

sgd_update = FusedOperation(SGD().update_one, kernels.sgd_update)
adam_update = FusedOperation(Adam(beta1=0.9, beta2=0.99).update_one, kernels.adam_update, beta1=0.9, beta2=0.99)


def launch(operation, *args):
    """The kernel alone, whatever the arguments are."""
    return operation.cuda(*args, **operation.constants)


ELEMENT_KERNELS = {value.name: value for value in vars(elementwise).values() if isinstance(value, ElementKernel)}
ROW_KERNELS = {value.name: value for value in vars(rows).values() if isinstance(value, RowKernel)}
KERNELS: dict[str, Any] = {**ELEMENT_KERNELS, **ROW_KERNELS}


def planted(kernel: Any, right: str, wrong: str) -> Any:
    """The kernel with a fault."""
    field = "operation" if isinstance(kernel, ElementKernel) else "source"
    source = getattr(kernel, field)
    assert right in source
    return dataclasses.replace(kernel, **{field: source.replace(right, wrong)})
