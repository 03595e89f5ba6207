"""All that makes a training step fast: recording, replaying, CUDA graphs, fused kernels. Layers know nothing of it."""
