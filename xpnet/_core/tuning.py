"""Tuning constants: what is fast, and never what is computed. Measured on two cores of a 2.5 GHz server with AVX-512.

Read them as ``tuning.NAME``, so that one change reaches every module.
"""

# --- memory: what stays in a processor's caches, or keeps a GPU busy --------------------------------------------------

CACHE_LINE_BYTES = 64

MAX_CPU_BLOCK_BYTES = 2**22
"""Of a convolution's windows that are copied at a time: they stay in the caches of a core."""

MAX_GPU_BLOCK_BYTES = 2**26
"""The same on a GPU, whose work on a piece must take longer than a launch."""

MAX_CPU_GATHERED_NUMBERS = 2**18
"""Of minibatches that are gathered at once: 1 MB of float32 stays in a cache."""

MAX_GPU_GATHERED_NUMBERS = 2**22
"""The same on a GPU: 16 MB."""

# --- layers -----------------------------------------------------------------------------------------------------------

MAX_WIDE_MATMUL_ROWS = 64
"""Of a product of few rows and long columns that is divided into parts; with more rows BLAS is as fast undivided."""

MAX_POOLING_PLACES = 9
"""In a window of a `ConvolutionPooling`; with more its products become small."""

MAX_COPIED_PER_FILTER = 5
"""Numbers in a window of a `ConvolutionPooling`; more take longer to copy than the filters' outputs take to pool."""

# --- capture ----------------------------------------------------------------------------------------------------------

MIN_CAPTURED_STEPS = 32
"""A capture takes as long as five steps, and does not pay for fewer."""

MAX_CAPTURED_STEP_FLOPS = 2**34
"""Of a step on NumPy; in a larger one the time in Python is below 0.1 %."""

MAX_BLOCK_STEPS = 64
"""Replayed on NumPy between two looks at the clock."""

MAX_BLOCK_SECONDS = 0.02
"""For which a block may delay an interrupt, unless a single step takes longer."""

MAX_FIRST_BLOCK_FLOPS = 2**27
"""Of the first block, when it is not known yet how long a step takes."""

MAX_GRAPH_STEPS = 50
"""In a CUDA graph. To capture a step takes as long as to call it, and a graph runs whole; what is left is called."""
