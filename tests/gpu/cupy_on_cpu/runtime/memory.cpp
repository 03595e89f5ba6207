// Memory of the device: blocks of the host's, of which it is known which are the device's, and how large they are.
//
// New memory is 0xFF throughout, which is NaN as a float, so that what nobody wrote is seen. Behind each block lies a
// guard that is looked at when the block is freed.
#include <stdlib.h>
#include <string.h>

#include <map>

#include "runtime.h"

using on_cpu::Lock;
using on_cpu::mutex;
using on_cpu::returned;

namespace {

const size_t ALIGNMENT = 512;
const size_t GUARD = 512;
const unsigned char GUARD_BYTE = 0xAB;
const int UNWRITTEN = 0xFF;

using Blocks = std::map<const char*, size_t>;  // where a block begins, and its length
Blocks& device_blocks = *new Blocks;
Blocks& pinned_blocks = *new Blocks;
size_t used = 0;

// The block that an address lies in; end() if in none.
Blocks::const_iterator block_of(const Blocks& blocks, const void* address) {
  auto next = blocks.upper_bound(static_cast<const char*>(address));
  if (next == blocks.begin()) return blocks.end();
  const auto block = --next;
  return static_cast<const char*>(address) < block->first + block->second ? block : blocks.end();
}

bool on_device(const void* address) { return block_of(device_blocks, address) != device_blocks.end(); }

bool pinned(const void* address) { return block_of(pinned_blocks, address) != pinned_blocks.end(); }

// Does it end where its block ends, or before? Memory of the host is not known, and passes.
bool within_block(const void* address, size_t bytes) {
  const auto block = block_of(device_blocks, address);
  if (block == device_blocks.end()) return true;
  return static_cast<const char*>(address) + bytes <= block->first + block->second;
}

char* new_block(size_t bytes, size_t behind) {
  const size_t rounded = (bytes + behind + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  char* const block = static_cast<char*>(aligned_alloc(ALIGNMENT, rounded ? rounded : ALIGNMENT));
  if (block) memset(block, UNWRITTEN, bytes);
  return block;
}

bool guard_is_whole(const char* guard) {
  for (size_t i = 0; i < GUARD; i++) {
    if (static_cast<unsigned char>(guard[i]) != GUARD_BYTE) return false;
  }
  return true;
}

cudaError_t check_copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (bytes == 0 || kind == cudaMemcpyDefault) return cudaSuccess;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (on_device(to) != to_device || on_device(from) != from_device) {
    on_cpu::complain("a copy of kind %d, but to device: %d, from device: %d", kind, on_device(to), on_device(from));
    return returned(cudaErrorInvalidValue);
  }
  if (!within_block(to, bytes) || !within_block(from, bytes)) {
    on_cpu::complain("a copy of %zu bytes goes beyond its block", bytes);
    return returned(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}

}  // namespace

extern "C" {

cudaError_t cudaMalloc(void** address, size_t bytes) {
  Lock lock(mutex);
  *address = nullptr;
  if (const auto error = on_cpu::check_unsafe_call("cudaMalloc")) return error;
  if (bytes == 0) return cudaSuccess;
  char* const block = used + bytes <= on_cpu::memory_size() ? new_block(bytes, GUARD) : nullptr;
  if (!block) {
    on_cpu::log_line("out of memory: %zu asked, %zu of %zu used", bytes, used, on_cpu::memory_size());
    return returned(cudaErrorMemoryAllocation);
  }
  memset(block + bytes, GUARD_BYTE, GUARD);
  device_blocks[block] = bytes;
  used += bytes;
  *address = block;
  return cudaSuccess;
}

cudaError_t cudaFree(void* address) {
  Lock lock(mutex);
  if (const auto error = on_cpu::check_unsafe_call("cudaFree")) return error;
  on_cpu::drain_all();
  if (!address) return cudaSuccess;
  const auto block = device_blocks.find(static_cast<char*>(address));
  if (block == device_blocks.end()) return returned(cudaErrorInvalidValue);
  const size_t bytes = block->second;
  if (!guard_is_whole(block->first + bytes)) on_cpu::complain("something wrote behind a block of %zu bytes", bytes);
  memset(address, UNWRITTEN, bytes);
  used -= bytes;
  device_blocks.erase(block);
  free(address);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  Lock lock(mutex);
  *total_bytes = on_cpu::memory_size();
  *free_bytes = on_cpu::memory_size() - used;
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void** address, size_t bytes, unsigned) {
  Lock lock(mutex);
  char* const block = new_block(bytes, 0);
  *address = block;
  if (!block) return returned(cudaErrorMemoryAllocation);
  pinned_blocks[block] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* address) {
  Lock lock(mutex);
  on_cpu::drain_all();
  pinned_blocks.erase(static_cast<char*>(address));
  free(address);
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* address) {
  Lock lock(mutex);
  memset(attributes, 0, sizeof *attributes);
  if (on_device(address)) {
    attributes->type = cudaMemoryTypeDevice;
    attributes->devicePointer = const_cast<void*>(address);
  } else {
    attributes->type = cudaMemoryTypeUnregistered;
    attributes->device = -2;
  }
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  Lock lock(mutex);
  if (const auto error = on_cpu::check_legacy_call("cudaMemcpy")) return error;
  if (const auto error = check_copy(to, from, bytes, kind)) return error;
  on_cpu::drain(&on_cpu::legacy);
  memmove(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t handle) {
  Lock lock(mutex);
  if (const auto error = check_copy(to, from, bytes, kind)) return error;
  const char* const call = "cudaMemcpyAsync";
  on_cpu::Stream* const stream = on_cpu::stream_of(handle);
  const bool deferred = on_cpu::lazy() && on_cpu::exists(stream) && !stream->capture;
  // CUDA has read pageable memory of the host when the call returns, so what deferred work copies is kept.
  if (deferred && !on_device(from) && !pinned(from)) {
    const auto begin = static_cast<const char*>(from);
    const auto kept = std::make_shared<std::vector<char>>(begin, begin + bytes);
    return on_cpu::submit(handle, [=] { memcpy(to, kept->data(), bytes); }, call);
  }
  const auto error = on_cpu::submit(handle, [=] { memmove(to, from, bytes); }, call);
  // Nor does a copy to pageable memory return before it is done.
  if (deferred && !on_device(to) && !pinned(to)) on_cpu::drain(on_cpu::queue_of(stream));
  return error;
}

cudaError_t cudaMemset(void* address, int value, size_t bytes) {
  Lock lock(mutex);
  if (const auto error = on_cpu::check_legacy_call("cudaMemset")) return error;
  on_cpu::drain(&on_cpu::legacy);
  memset(address, value, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* address, int value, size_t bytes, cudaStream_t stream) {
  return on_cpu::submit(stream, [=] { memset(address, value, bytes); }, "cudaMemsetAsync");
}

}  // extern "C"
