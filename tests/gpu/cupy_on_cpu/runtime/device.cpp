// The device and what is known about it: versions, properties, errors, the log.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

namespace on_cpu {

// Never destroyed: CuPy frees memory while the process ends, after the destructors of statics have run.
std::recursive_mutex& mutex = *new std::recursive_mutex;

static thread_local cudaError_t last_error = cudaSuccess;

cudaError_t returned(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

static size_t bytes_from_environment() {
  const char* text = getenv("CUPY_ON_CPU_BYTES");
  return text ? strtoull(text, nullptr, 10) : 4ull << 30;
}

static size_t device_bytes = bytes_from_environment();

size_t memory_size() { return device_bytes; }

static void write_line(FILE* file, const char* format, va_list values) {
  if (!file) return;
  va_list copy;
  va_copy(copy, values);
  vfprintf(file, format, copy);
  va_end(copy);
  fputc('\n', file);
  fflush(file);
}

static FILE* log_file() {
  static const char* path = getenv("CUPY_ON_CPU_LOG");
  static FILE* file = path ? fopen(path, "a") : nullptr;
  return file;
}

void log_line(const char* format, ...) {
  va_list values;
  va_start(values, format);
  write_line(log_file(), format, values);
  va_end(values);
}

void complain(const char* format, ...) {
  const std::string line = std::string("cupy_on_cpu: ") + format;
  va_list values;
  va_start(values, format);
  write_line(log_file(), line.c_str(), values);
  write_line(stderr, line.c_str(), values);
  va_end(values);
}

}  // namespace on_cpu

extern "C" void cupy_on_cpu_set_bytes(size_t bytes) { on_cpu::device_bytes = bytes; }

using on_cpu::returned;

// A device of compute capability 9.0 with the usual limits; CuPy asks for them before it chooses a launch.
static const int MAJOR = 9;
static const int MINOR = 0;
static const int WARP = 32;
static const int PROCESSORS = 132;
static const int THREADS_PER_BLOCK = 1024;
static const int THREADS_PER_PROCESSOR = 2048;
static const int BLOCKS_X = 2147483647;
static const int BLOCKS_YZ = 65535;
static const int SHARED_BYTES = 49152;
static const int REGISTERS = 65536;

extern "C" {

cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDA_VERSION;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDA_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) { return returned(device == 0 ? cudaSuccess : cudaErrorInvalidDevice); }

cudaError_t cudaDeviceSynchronize() {
  on_cpu::Lock lock(on_cpu::mutex);
  const auto captures = on_cpu::all_captures();
  if (!captures.empty()) return on_cpu::refuse(captures, cudaErrorStreamCaptureUnsupported, "cudaDeviceSynchronize");
  on_cpu::drain_all();
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *value = MAJOR; break;
    case cudaDevAttrComputeCapabilityMinor: *value = MINOR; break;
    case cudaDevAttrWarpSize: *value = WARP; break;
    case cudaDevAttrMultiProcessorCount: *value = PROCESSORS; break;
    case cudaDevAttrMaxThreadsPerBlock: *value = THREADS_PER_BLOCK; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = THREADS_PER_PROCESSOR; break;
    case cudaDevAttrMaxBlockDimX: *value = THREADS_PER_BLOCK; break;
    case cudaDevAttrMaxBlockDimY: *value = THREADS_PER_BLOCK; break;
    case cudaDevAttrMaxBlockDimZ: *value = 64; break;
    case cudaDevAttrMaxGridDimX: *value = BLOCKS_X; break;
    case cudaDevAttrMaxGridDimY: *value = BLOCKS_YZ; break;
    case cudaDevAttrMaxGridDimZ: *value = BLOCKS_YZ; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = SHARED_BYTES; break;
    case cudaDevAttrMaxRegistersPerBlock: *value = REGISTERS; break;
    case cudaDevAttrUnifiedAddressing: *value = 1; break;
    default: *value = 0;
  }
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties_v2(cudaDeviceProp* properties, int device) {
  if (device != 0) return returned(cudaErrorInvalidDevice);
  memset(properties, 0, sizeof *properties);
  strcpy(properties->name, "CuPy on a CPU");
  properties->totalGlobalMem = on_cpu::memory_size();
  properties->major = MAJOR;
  properties->minor = MINOR;
  properties->warpSize = WARP;
  properties->multiProcessorCount = PROCESSORS;
  properties->maxThreadsPerBlock = THREADS_PER_BLOCK;
  properties->maxThreadsPerMultiProcessor = THREADS_PER_PROCESSOR;
  properties->sharedMemPerBlock = SHARED_BYTES;
  properties->regsPerBlock = REGISTERS;
  properties->maxThreadsDim[0] = THREADS_PER_BLOCK;
  properties->maxThreadsDim[1] = THREADS_PER_BLOCK;
  properties->maxThreadsDim[2] = 64;
  properties->maxGridSize[0] = BLOCKS_X;
  properties->maxGridSize[1] = BLOCKS_YZ;
  properties->maxGridSize[2] = BLOCKS_YZ;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int) {
  snprintf(text, length, "0000:01:00.0");
  return cudaSuccess;
}

cudaError_t cudaDeviceGetByPCIBusId(int* device, const char*) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaProfilerStart() { return cudaSuccess; }

cudaError_t cudaProfilerStop() { return cudaSuccess; }

cudaError_t cudaGetLastError() {
  const cudaError_t error = on_cpu::last_error;
  on_cpu::last_error = cudaSuccess;
  return error;
}

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle: return "cudaErrorInvalidResourceHandle";
    case cudaErrorIllegalState: return "cudaErrorIllegalState";
    case cudaErrorSymbolNotFound: return "cudaErrorSymbolNotFound";
    case cudaErrorNotSupported: return "cudaErrorNotSupported";
    case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated: return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorStreamCaptureMerge: return "cudaErrorStreamCaptureMerge";
    case cudaErrorStreamCaptureIsolation: return "cudaErrorStreamCaptureIsolation";
    case cudaErrorStreamCaptureImplicit: return "cudaErrorStreamCaptureImplicit";
    case cudaErrorCapturedEvent: return "cudaErrorCapturedEvent";
    default: return "cudaErrorUnknown";
  }
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorStreamCaptureUnsupported: return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated: return "operation failed due to a previous error during capture";
    case cudaErrorStreamCaptureImplicit:
      return "operation would make the legacy stream depend on a capturing blocking stream";
    default: return cudaGetErrorName(error);
  }
}

}  // extern "C"
