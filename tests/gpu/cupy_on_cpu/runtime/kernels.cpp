// The driver's part: modules, their kernels, and launches.
//
// A module is a shared library that the stand-in for NVRTC compiled (../compiler.py). For each kernel it has a function
// "launch_NAME", which reads the arguments of a launch and gives the work that they make (../kernels/launch.h).
#include <dlfcn.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <filesystem>

#include "runtime.h"

using on_cpu::Lock;
using on_cpu::mutex;

namespace {

using Prepare = on_cpu::Work*(void** arguments, const unsigned* grid, const unsigned* block);

struct Kernel {
  std::string name;
  Prepare* prepare;
};

const unsigned MAX_THREADS = 1024;
const unsigned MAX_BLOCKS_YZ = 65535;

// There is one context, and nobody looks into it.
const CUcontext CONTEXT = reinterpret_cast<CUcontext>(16);

// How long a shared library is: a linker writes the table of its sections last.
size_t length_of(const void* image) {
  const auto header = static_cast<const Elf64_Ehdr*>(image);
  return header->e_shoff + static_cast<size_t>(header->e_shnum) * header->e_shentsize;
}

// dlopen opens files only. The file has a name that no other had: under the same name dlopen gives what it has.
void* opened(const void* image) {
  std::string path = std::filesystem::temp_directory_path() / "cupy_on_cpu_XXXXXX";
  const int file = mkstemp(path.data());
  if (file < 0) return nullptr;
  const size_t length = length_of(image);
  const bool written = write(file, image, length) == static_cast<ssize_t>(length);
  close(file);
  void* const library = written ? dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
  if (!library) on_cpu::complain("a module cannot be loaded: %s", written ? dlerror() : path.c_str());
  unlink(path.c_str());
  return library;
}

// The limits of the device; memory that a block shares has to be declared in the kernel, not asked for by the launch.
bool launchable(const unsigned* grid, const unsigned* block, unsigned shared_bytes) {
  for (int axis = 0; axis < 3; axis++) {
    if (grid[axis] == 0 || block[axis] == 0) return false;
  }
  const bool blocks_fit = grid[1] <= MAX_BLOCKS_YZ && grid[2] <= MAX_BLOCKS_YZ;
  const bool threads_fit = static_cast<size_t>(block[0]) * block[1] * block[2] <= MAX_THREADS;
  return blocks_fit && threads_fit && shared_bytes == 0;
}

}  // namespace

extern "C" {

CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  Lock lock(mutex);
  if (memcmp(image, ELFMAG, SELFMAG) != 0) return CUDA_ERROR_INVALID_IMAGE;
  if (const auto error = on_cpu::check_unsafe_call("cuModuleLoadData")) return static_cast<CUresult>(error);
  void* const library = opened(image);
  if (!library) return CUDA_ERROR_INVALID_IMAGE;
  *module = reinterpret_cast<CUmodule>(library);
  return CUDA_SUCCESS;
}

// A module stays loaded: deferred and captured work may still call its kernels.
CUresult cuModuleUnload(CUmodule) { return CUDA_SUCCESS; }

CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  Lock lock(mutex);
  const std::string symbol = std::string("launch_") + name;
  void* const prepare = dlsym(module, symbol.c_str());
  if (!prepare) return CUDA_ERROR_NOT_FOUND;
  *function = reinterpret_cast<CUfunction>(new Kernel{name, reinterpret_cast<Prepare*>(prepare)});
  return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                        unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream, void** arguments,
                        void**) {
  Lock lock(mutex);
  const auto kernel = reinterpret_cast<const Kernel*>(function);
  const unsigned grid[3] = {grid_x, grid_y, grid_z};
  const unsigned block[3] = {block_x, block_y, block_z};
  if (!launchable(grid, block, shared_bytes)) {
    on_cpu::complain("%s cannot be launched on (%u, %u, %u) blocks of (%u, %u, %u) threads with %u shared bytes",
                     kernel->name.c_str(), grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes);
    return CUDA_ERROR_INVALID_VALUE;
  }
  const std::unique_ptr<on_cpu::Work> work(kernel->prepare(arguments, grid, block));
  return static_cast<CUresult>(on_cpu::submit(stream, *work, kernel->name.c_str()));
}

CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction) {
  *value = attribute == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK ? MAX_THREADS : 0;
  return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext* context) {
  *context = CONTEXT;
  return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext) { return CUDA_SUCCESS; }

CUresult cuCtxGetDevice(CUdevice* device) {
  *device = 0;
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice) { return CUDA_SUCCESS; }

CUresult cuGetErrorName(CUresult error, const char** name) {
  switch (error) {
    case CUDA_ERROR_NOT_FOUND: *name = "CUDA_ERROR_NOT_FOUND"; break;
    case CUDA_ERROR_INVALID_VALUE: *name = "CUDA_ERROR_INVALID_VALUE"; break;
    case CUDA_ERROR_INVALID_IMAGE: *name = "CUDA_ERROR_INVALID_IMAGE"; break;
    default: *name = cudaGetErrorName(static_cast<cudaError_t>(error));
  }
  return CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult error, const char** text) {
  *text = cudaGetErrorString(static_cast<cudaError_t>(error));
  return CUDA_SUCCESS;
}

}  // extern "C"
