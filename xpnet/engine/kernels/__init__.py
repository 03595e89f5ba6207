"""CUDA kernels, each a source and the function that launches it on CuPy. This is the only arithmetic written for CuPy.

The plain formula of each belongs to a layer or an optimizer, which puts the two together in a `FusedOperation`. A
kernel rounds where its formula does: it is compiled with ``--fmad=false``, so no product and sum become one operation.
What remains different are CUDA's own exp and log (within 2 units in the last place), the order in which a row is
summed (32 threads, then pairs of them), and denormal numbers, which CuPy's kernels take as 0.

Every kernel may be captured in a CUDA graph once a first call has compiled it: it waits for nothing, copies nothing
from the host, and allocates only from the memory pool. A Python number among the arguments is then part of the
graph; what varies from step to step is a 0-d array.
"""

from xpnet.engine.kernels.elementwise import adam_update, bias_relu, gather, relu_gradient, sgd_update
from xpnet.engine.kernels.rows import mean, softmax_cross_entropy

__all__ = ["adam_update", "bias_relu", "gather", "mean", "relu_gradient", "sgd_update", "softmax_cross_entropy"]
