// Streams: in which order work is done, and when.
//
// Without CUPY_ON_CPU_LAZY work is done when it is given. With it, work waits until somebody waits for it, so that
// a program that reads too early, or forgets an event between two streams, reads what was there before.
#include <stdlib.h>

#include "runtime.h"

namespace on_cpu {

Stream& legacy = *new Stream;
std::set<Stream*>& streams = *new std::set<Stream*>;

static bool lazy_from_environment() {
  const char* text = getenv("CUPY_ON_CPU_LAZY");
  return text && atoi(text);
}

static bool is_lazy = lazy_from_environment();

bool lazy() { return is_lazy; }

Stream* stream_of(cudaStream_t handle) {
  // The handles 0, 1 and 2: null, cudaStreamLegacy, and cudaStreamPerThread, which is not told apart.
  return reinterpret_cast<size_t>(handle) <= 2 ? &legacy : reinterpret_cast<Stream*>(handle);
}

bool exists(const Stream* stream) { return stream == &legacy || streams.count(const_cast<Stream*>(stream)); }

Stream* queue_of(Stream* stream) { return stream->blocking() ? &legacy : stream; }

void drain(Stream* queue, unsigned long long until) {
  while (!queue->waiting.empty() && queue->done < until) {
    const Work work = std::move(queue->waiting.front());
    queue->waiting.pop_front();
    work();
    queue->done++;
  }
}

void drain_all() {
  drain(&legacy);
  for (Stream* stream : streams) drain(stream);
}

void defer(Stream* stream, const Work& work) {
  Stream* const queue = queue_of(stream);
  queue->waiting.push_back(work);
  queue->given++;
}

cudaError_t submit(cudaStream_t handle, const Work& work, const char* call) {
  Lock lock(mutex);
  Stream* const stream = stream_of(handle);
  if (!exists(stream)) {
    log_line("%s: there is no stream %p", call, static_cast<void*>(handle));
    return returned(cudaErrorInvalidResourceHandle);
  }
  if (stream->capture) {
    if (stream->capture->invalid) return returned(cudaErrorStreamCaptureInvalidated);
    stream->capture->nodes.push_back(work);
    return cudaSuccess;
  }
  if (stream == &legacy && !blocking_captures().empty()) {
    return refuse(blocking_captures(), cudaErrorStreamCaptureImplicit, call);
  }
  if (lazy()) {
    defer(stream, work);
  } else {
    work();
  }
  return cudaSuccess;
}

}  // namespace on_cpu

cudaError_t cupy_on_cpu_submit(cudaStream_t stream, const on_cpu::Work& work, const char* call) {
  return on_cpu::submit(stream, work, call);
}

extern "C" void cupy_on_cpu_set_lazy(int lazy) {
  on_cpu::Lock lock(on_cpu::mutex);
  on_cpu::drain_all();
  on_cpu::is_lazy = lazy;
}

extern "C" size_t cupy_on_cpu_streams() { return on_cpu::streams.size(); }

extern "C" size_t cupy_on_cpu_waiting() {
  size_t waiting = on_cpu::legacy.waiting.size();
  for (const on_cpu::Stream* stream : on_cpu::streams) waiting += stream->waiting.size();
  return waiting;
}

using on_cpu::Lock;
using on_cpu::mutex;
using on_cpu::refuse;
using on_cpu::returned;
using on_cpu::Stream;

namespace {

// What waiting for a stream meets: an error while it captures.
cudaError_t wait_for(cudaStream_t handle, const char* call) {
  Lock lock(mutex);
  Stream* const stream = on_cpu::stream_of(handle);
  if (!on_cpu::exists(stream)) return returned(cudaErrorInvalidResourceHandle);
  if (stream->capture) return refuse({stream->capture}, cudaErrorStreamCaptureUnsupported, call);
  const auto captures = on_cpu::blocking_captures();
  if (stream == &on_cpu::legacy && !captures.empty()) return refuse(captures, cudaErrorStreamCaptureImplicit, call);
  on_cpu::drain(on_cpu::queue_of(stream));
  return cudaSuccess;
}

}  // namespace

extern "C" {

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* handle, unsigned flags, int priority) {
  Lock lock(mutex);
  Stream* const stream = new Stream;
  stream->flags = flags;
  stream->priority = priority;
  on_cpu::streams.insert(stream);
  *handle = reinterpret_cast<cudaStream_t>(stream);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* handle, unsigned flags) {
  return cudaStreamCreateWithPriority(handle, flags, 0);
}

cudaError_t cudaStreamCreate(cudaStream_t* handle) {
  return cudaStreamCreateWithPriority(handle, cudaStreamDefault, 0);
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  Lock lock(mutex);
  Stream* const stream = on_cpu::stream_of(handle);
  if (stream == &on_cpu::legacy || !on_cpu::exists(stream)) return returned(cudaErrorInvalidResourceHandle);
  on_cpu::drain(on_cpu::queue_of(stream));
  on_cpu::streams.erase(stream);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned* flags) {
  Lock lock(mutex);
  const Stream* const stream = on_cpu::stream_of(handle);
  if (!on_cpu::exists(stream)) return returned(cudaErrorInvalidResourceHandle);
  *flags = stream->flags;
  return cudaSuccess;
}

cudaError_t cudaStreamGetPriority(cudaStream_t handle, int* priority) {
  Lock lock(mutex);
  const Stream* const stream = on_cpu::stream_of(handle);
  if (!on_cpu::exists(stream)) return returned(cudaErrorInvalidResourceHandle);
  *priority = stream->priority;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return wait_for(stream, "cudaStreamSynchronize"); }

// The work is done first, so the answer is always yes.
cudaError_t cudaStreamQuery(cudaStream_t stream) { return wait_for(stream, "cudaStreamQuery"); }

cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t callback, void* data, unsigned) {
  if (const auto error = wait_for(stream, "cudaStreamAddCallback")) return error;
  callback(stream, cudaSuccess, data);
  return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  return on_cpu::submit(stream, [=] { function(data); }, "cudaLaunchHostFunc");
}

}  // extern "C"
