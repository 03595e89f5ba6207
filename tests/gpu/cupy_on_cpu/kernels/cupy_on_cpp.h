// What CuPy's own kernels include, above the words of CUDA C++. Compiled once, ahead: it takes a second each time.
#pragma once

#include "cuda_on_cpp.h"

#include <cupy/complex.cuh>

#include <cupy/carray.cuh>

#include <cupy/atomics.cuh>

#include <cupy/math_constants.h>
