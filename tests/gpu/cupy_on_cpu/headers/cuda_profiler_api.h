// What CuPy's runtime module calls of this header of CUDA, which is in no package that has the others.
#pragma once

#include <cuda_runtime_api.h>

extern "C" cudaError_t cudaProfilerStart();
extern "C" cudaError_t cudaProfilerStop();
