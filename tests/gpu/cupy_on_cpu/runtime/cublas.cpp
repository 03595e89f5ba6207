// The stand-in for cuBLAS: matrix products of float and double, made by the OpenBLAS that NumPy brings.
//
// The rules of cuBLAS are kept: which leading dimensions, types and algorithms are refused, and that a product is work
// of the handle's stream. Its choice of a kernel, and so its order of summation, is not.
#include <library_types.h>

#include <algorithm>

#include "runtime.h"

using Size = long;         // OpenBLAS's integer, in NumPy's build of it
using Stride = long long;  // cuBLAS's
using Status = int;

// OpenBLAS's products, under the names of NumPy's build.
template <class T>
using Gemm = void(const char* transpose_a, const char* transpose_b, const Size* m, const Size* n, const Size* k,
                  const T* alpha, const T* a, const Size* lda, const T* b, const Size* ldb, const T* beta, T* c,
                  const Size* ldc);
extern "C" Gemm<float> scipy_sgemm_64_;
extern "C" Gemm<double> scipy_dgemm_64_;

namespace {

const Status SUCCESS = 0;
const Status NOT_INITIALIZED = 1;
const Status ALLOC_FAILED = 3;
const Status INVALID_VALUE = 7;
const Status INTERNAL_ERROR = 14;
const Status NOT_SUPPORTED = 15;

const int POINTER_MODE_HOST = 0;
const unsigned ALIVE = 0xB1A5;
const size_t WORKSPACE_ALIGNMENT = 256;

struct Handle {
  unsigned alive = ALIVE;
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;
  int math_mode = 0;
  int pointer_mode = 0;
};

bool usable(const Handle* handle) { return handle && handle->alive == ALIVE; }

template <class T>
Gemm<T>* const openblas_gemm = nullptr;
template <>
Gemm<float>* const openblas_gemm<float> = scipy_sgemm_64_;
template <>
Gemm<double>* const openblas_gemm<double> = scipy_dgemm_64_;

// A matrix as cuBLAS is given it: column by column, and how far the next one of a batch is.
template <class T>
struct Matrix {
  T* numbers;
  int leading;
  Stride stride;
};

// The product of one batch, as cuBLAS's functions get it.
template <class T>
struct Product {
  int transpose_a, transpose_b;
  int m, n, k;
  T alpha, beta;
  Matrix<const T> a, b;
  Matrix<T> c;
  int batch;

  bool valid() const {
    const bool sizes = m >= 0 && n >= 0 && k >= 0 && batch >= 0;
    const bool operations = 0 <= transpose_a && transpose_a <= 2 && 0 <= transpose_b && transpose_b <= 2;
    const bool leading = a.leading >= std::max(1, transpose_a ? k : m) &&
                         b.leading >= std::max(1, transpose_b ? n : k) && c.leading >= std::max(1, m);
    return sizes && operations && leading;
  }

  void make() const {
    for (int i = 0; i < batch; i++) {
      make_one(a.numbers + i * a.stride, b.numbers + i * b.stride, c.numbers + i * c.stride);
    }
  }

  void make_one(const T* left, const T* right, T* result) const {
    if (k == 0 && beta == T(0)) return clear(result);
    const char operation_a = transpose_a ? 'T' : 'N';
    const char operation_b = transpose_b ? 'T' : 'N';
    const Size rows = m, columns = n, inner = k, lda = a.leading, ldb = b.leading, ldc = c.leading;
    openblas_gemm<T>(&operation_a, &operation_b, &rows, &columns, &inner, &alpha, left, &lda, right, &ldb, &beta,
                     result, &ldc);
  }

  void clear(T* result) const {
    for (int column = 0; column < n; column++) std::fill_n(result + static_cast<Stride>(column) * c.leading, m, T(0));
  }
};

// The factors are read when cuBLAS is called, as its pointer mode "host" wants it.
template <class T>
Status gemm(const Handle* handle, int transpose_a, int transpose_b, int m, int n, int k, const T* alpha,
            Matrix<const T> a, Matrix<const T> b, const T* beta, Matrix<T> c, int batch) {
  if (!usable(handle)) return NOT_INITIALIZED;
  if (handle->pointer_mode != POINTER_MODE_HOST) return NOT_SUPPORTED;
  const Product<T> product{transpose_a, transpose_b, m, n, k, *alpha, *beta, a, b, c, batch};
  if (!product.valid()) return INVALID_VALUE;
  if (m == 0 || n == 0) return SUCCESS;
  // Without a workspace of the caller's it would allocate one, which cannot be captured.
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  if (cudaStreamIsCapturing(handle->stream, &status) == cudaSuccess && status != cudaStreamCaptureStatusNone &&
      !handle->workspace) {
    return ALLOC_FAILED;
  }
  const auto error = cupy_on_cpu_submit(handle->stream, [=] { product.make(); }, "a product of cuBLAS");
  return error == cudaSuccess ? SUCCESS : INTERNAL_ERROR;
}

// cublasComputeType_t: those that sum floats as floats or in a lower precision, and those that sum doubles.
bool computes_floats(int compute_type) {
  return compute_type == 68 || compute_type == 69 || compute_type == 74 || compute_type == 75 || compute_type == 77;
}

bool computes_doubles(int compute_type) { return compute_type == 70 || compute_type == 71; }

// cublasGemmAlgo_t: the default, the numbered ones, and both again with tensor cores.
bool known_algorithm(int algorithm) {
  return algorithm == -1 || (0 <= algorithm && algorithm <= 23) || (99 <= algorithm && algorithm <= 115);
}

}  // namespace

extern "C" {

Status cublasCreate_v2(Handle** handle) {
  *handle = new Handle;
  return SUCCESS;
}

Status cublasDestroy_v2(Handle* handle) {
  if (!usable(handle)) return NOT_INITIALIZED;
  handle->alive = 0;
  delete handle;
  return SUCCESS;
}

Status cublasGetVersion_v2(Handle*, int* version) {
  *version = 120901;
  return SUCCESS;
}

Status cublasSetStream_v2(Handle* handle, cudaStream_t stream) {
  if (!usable(handle)) return NOT_INITIALIZED;
  handle->stream = stream;
  handle->workspace = nullptr;  // a new stream takes the workspace away
  return SUCCESS;
}

Status cublasGetStream_v2(Handle* handle, cudaStream_t* stream) {
  if (!usable(handle)) return NOT_INITIALIZED;
  *stream = handle->stream;
  return SUCCESS;
}

Status cublasSetWorkspace_v2(Handle* handle, void* workspace, size_t) {
  if (!usable(handle)) return NOT_INITIALIZED;
  if (reinterpret_cast<size_t>(workspace) % WORKSPACE_ALIGNMENT != 0) return INVALID_VALUE;
  handle->workspace = workspace;
  return SUCCESS;
}

Status cublasSetMathMode(Handle* handle, int mode) {
  if (!usable(handle)) return NOT_INITIALIZED;
  handle->math_mode = mode;
  return SUCCESS;
}

Status cublasGetMathMode(Handle* handle, int* mode) {
  if (!usable(handle)) return NOT_INITIALIZED;
  *mode = handle->math_mode;
  return SUCCESS;
}

Status cublasSetPointerMode_v2(Handle* handle, int mode) {
  if (!usable(handle)) return NOT_INITIALIZED;
  handle->pointer_mode = mode;
  return SUCCESS;
}

Status cublasGetPointerMode_v2(Handle* handle, int* mode) {
  if (!usable(handle)) return NOT_INITIALIZED;
  *mode = handle->pointer_mode;
  return SUCCESS;
}

const char* cublasGetStatusName(Status status) {
  switch (status) {
    case SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case ALLOC_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
    case INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case INTERNAL_ERROR: return "CUBLAS_STATUS_INTERNAL_ERROR";
    case NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
    default: return "a status of cuBLAS that the stand-in does not give";
  }
}

const char* cublasGetStatusString(Status status) { return cublasGetStatusName(status); }

Status cublasSgemm_v2(Handle* handle, int transpose_a, int transpose_b, int m, int n, int k, const float* alpha,
                      const float* a, int lda, const float* b, int ldb, const float* beta, float* c, int ldc) {
  return gemm<float>(handle, transpose_a, transpose_b, m, n, k, alpha, {a, lda, 0}, {b, ldb, 0}, beta, {c, ldc, 0}, 1);
}

Status cublasDgemm_v2(Handle* handle, int transpose_a, int transpose_b, int m, int n, int k, const double* alpha,
                      const double* a, int lda, const double* b, int ldb, const double* beta, double* c, int ldc) {
  return gemm<double>(handle, transpose_a, transpose_b, m, n, k, alpha, {a, lda, 0}, {b, ldb, 0}, beta, {c, ldc, 0}, 1);
}

Status cublasSgemmStridedBatched(Handle* handle, int transpose_a, int transpose_b, int m, int n, int k,
                                 const float* alpha, const float* a, int lda, Stride stride_a, const float* b, int ldb,
                                 Stride stride_b, const float* beta, float* c, int ldc, Stride stride_c, int batch) {
  return gemm<float>(handle, transpose_a, transpose_b, m, n, k, alpha, {a, lda, stride_a}, {b, ldb, stride_b}, beta,
                     {c, ldc, stride_c}, batch);
}

Status cublasDgemmStridedBatched(Handle* handle, int transpose_a, int transpose_b, int m, int n, int k,
                                 const double* alpha, const double* a, int lda, Stride stride_a, const double* b,
                                 int ldb, Stride stride_b, const double* beta, double* c, int ldc, Stride stride_c,
                                 int batch) {
  return gemm<double>(handle, transpose_a, transpose_b, m, n, k, alpha, {a, lda, stride_a}, {b, ldb, stride_b}, beta,
                      {c, ldc, stride_c}, batch);
}

Status cublasGemmStridedBatchedEx(Handle* handle, int transpose_a, int transpose_b, int m, int n, int k,
                                  const void* alpha, const void* a, cudaDataType type_a, int lda, Stride stride_a,
                                  const void* b, cudaDataType type_b, int ldb, Stride stride_b, const void* beta,
                                  void* c, cudaDataType type_c, int ldc, Stride stride_c, int batch, int compute_type,
                                  int algorithm) {
  if (!usable(handle)) return NOT_INITIALIZED;
  if (!known_algorithm(algorithm)) return INVALID_VALUE;
  if (type_a != type_b || type_a != type_c) return NOT_SUPPORTED;
  if (type_a == CUDA_R_32F && computes_floats(compute_type)) {
    using F = float;
    return cublasSgemmStridedBatched(handle, transpose_a, transpose_b, m, n, k, (const F*)alpha, (const F*)a, lda,
                                     stride_a, (const F*)b, ldb, stride_b, (const F*)beta, (F*)c, ldc, stride_c, batch);
  }
  if (type_a == CUDA_R_64F && computes_doubles(compute_type)) {
    using D = double;
    return cublasDgemmStridedBatched(handle, transpose_a, transpose_b, m, n, k, (const D*)alpha, (const D*)a, lda,
                                     stride_a, (const D*)b, ldb, stride_b, (const D*)beta, (D*)c, ldc, stride_c, batch);
  }
  return NOT_SUPPORTED;
}

Status cublasGemmEx(Handle* handle, int transpose_a, int transpose_b, int m, int n, int k, const void* alpha,
                    const void* a, cudaDataType type_a, int lda, const void* b, cudaDataType type_b, int ldb,
                    const void* beta, void* c, cudaDataType type_c, int ldc, int compute_type, int algorithm) {
  return cublasGemmStridedBatchedEx(handle, transpose_a, transpose_b, m, n, k, alpha, a, type_a, lda, 0, b, type_b, ldb,
                                    0, beta, c, type_c, ldc, 0, 1, compute_type, algorithm);
}

}  // extern "C"
