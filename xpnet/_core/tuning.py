"""Tuning constants, measured on a machine with two cores. They decide how fast something is, not what it computes.

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

MAX_CPU_OUTPUT_NUMBERS = 2**20
"""Of a layer's outputs for the samples that `predict` takes at a time: 4 MB of float32 stay in a cache."""

MAX_GPU_OUTPUT_NUMBERS = 2**26
"""The same on other devices: a quarter of a gigabyte of float32."""

MAX_PREDICTED_SAMPLES = 1000
"""That `predict` takes at a time."""

# --- threads ----------------------------------------------------------------------------------------------------------

MIN_OPENBLAS_THREADED_FLOPS = 2**18
"""Of a matrix product; OpenBLAS itself uses one thread for smaller ones."""

MIN_THREADED_FLOPS = 2**31
"""Of a matrix product that is given several threads: 25 ms of a core of 90 Gflop/s.

A second thread costs more than it gains when another process needs its core, because OpenBLAS busy-waits. Mean time
with two threads / one thread, on two cores with eight busy processes: 2**22 operations 4.9, 2**25 1.8, 2**28 7.4, 2**31
0.93, 2**33 0.86; a vector times a matrix, 1.6 million operations: 25 ms / 0.06 ms.
"""

# --- copies of the state ----------------------------------------------------------------------------------------------

MIN_SECONDS_BETWEEN_COPIES = 0.1
"""The state is copied so often that an error inside a step costs little: the steps since then are taken again."""

MIN_COPY_RATIO = 100
"""Of the time between two copies to the time that one takes: 20 us for 40,000 parameters, 40 ms for ten million."""

# --- layers -----------------------------------------------------------------------------------------------------------

MAX_WIDE_MATMUL_ROWS = 64
"""Of a product that `wide_matmul` divides: OpenBLAS has a fast kernel for small matrices of few rows."""

MAX_POOLING_PLACES = 9
"""In a window of a `ConvolutionPooling`; with more its products become small."""

MAX_COPIED_PER_FILTER = 5
"""Numbers in a window of a `ConvolutionPooling`; more take longer to copy than the filters' outputs take to pool."""

# --- capture ----------------------------------------------------------------------------------------------------------

MIN_CAPTURED_STEPS = 32
"""A capture takes as long as five steps, and does not pay for fewer."""

MAX_CAPTURED_STEP_FLOPS = 2**34
"""Of a step on NumPy: 0.2 s of a core of 90 Gflop/s, of which the calls in Python are about 0.1 %."""

MAX_BLOCK_STEPS = 64
"""Replayed on NumPy between two looks at the clock."""

MAX_BLOCK_SECONDS = 0.02
"""For which a block may delay an interrupt, unless a single step takes longer."""

MAX_FIRST_BLOCK_FLOPS = 2**27
"""Of the first block, when it is not known yet how long a step takes."""

MAX_GRAPH_STEPS = 50
"""In a CUDA graph. To capture a step takes as long as to call it, and a graph runs whole; what is left is called."""
