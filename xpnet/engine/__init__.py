"""What makes training fast. Nothing of it is needed to read a layer, an optimizer or a network.

Read it in this order:

1. `capture`: record a training step, verify it, replay it, or refuse.
2. `state`: find, copy and compare the arrays of a step.
3. `traced_array`: arrays that report what is done with them.
4. `tape`: the operations of a step on NumPy, as data, and `replay`, which makes them again.
5. `cuda_graph`: the same on CuPy, as one launch, and `cublas`, its matrix products.
6. `kernels`: CUDA kernels for neighboring operations.
"""
