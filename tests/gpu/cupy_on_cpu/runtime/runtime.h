// What the parts of the stand-in for CUDA's runtime and driver share: streams, captures, the one lock, the log.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace on_cpu {

using Work = std::function<void()>;

// One lock for everything: work runs while it is held, so no two kernels ever run at once.
extern std::recursive_mutex& mutex;
using Lock = std::lock_guard<std::recursive_mutex>;

// The work that streams were given while they captured.
struct Capture {
  std::vector<Work> nodes;
  bool invalid = false;
  bool ended = false;
};

struct Stream {
  unsigned flags = 0;
  int priority = 0;
  std::shared_ptr<Capture> capture;  // null while the stream does not capture
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  // Used where work is deferred: what waits, and how much was given and done since the beginning.
  std::deque<Work> waiting;
  unsigned long long given = 0;
  unsigned long long done = 0;

  bool blocking() const { return !(flags & cudaStreamNonBlocking); }
};

// The default stream, which all blocking streams wait for, and the others.
extern Stream& legacy;
extern std::set<Stream*>& streams;

Stream* stream_of(cudaStream_t handle);
bool exists(const Stream* stream);

// The stream whose queue holds the work of `stream`: blocking streams run in the order of the calls, in one queue.
Stream* queue_of(Stream* stream);

// Do what waits in a queue, up to its `until`-th piece of work.
void drain(Stream* queue, unsigned long long until = ~0ull);
void drain_all();

// Put work into the queue of a stream.
void defer(Stream* stream, const Work& work);

// Is work deferred until somebody waits for it? CUPY_ON_CPU_LAZY=1, or `cupy_on_cpu_set_lazy`.
bool lazy();

// The captures under way: all, those of blocking streams, those that forbid unsafe calls.
using Captures = std::vector<std::shared_ptr<Capture>>;
Captures all_captures();
Captures blocking_captures();
Captures strict_captures();

// Give work to a stream: it is captured, deferred, or done now.
cudaError_t submit(cudaStream_t stream, const Work& work, const char* call);

// What CUDA refuses while a stream captures: a call that may wait for the device, and one on the default stream.
cudaError_t check_unsafe_call(const char* call);
cudaError_t check_legacy_call(const char* call);

// An error that spoils captures, with a line in the log.
cudaError_t refuse(const Captures& captures, cudaError_t error, const char* call);

// Any error: kept for cudaGetLastError, then given back.
cudaError_t returned(cudaError_t error);

// How much memory the device has: CUPY_ON_CPU_BYTES, or 4 GiB; or what `cupy_on_cpu_set_bytes` was told.
size_t memory_size();

// A line in the file that CUPY_ON_CPU_LOG names; `complain` writes to stderr too.
void log_line(const char* format, ...);
void complain(const char* format, ...);

}  // namespace on_cpu

// The way in for the stand-in of cuBLAS, which is a library of its own.
extern "C" cudaError_t cupy_on_cpu_submit(cudaStream_t stream, const on_cpu::Work& work, const char* call);

// What tests set and look at, by ctypes (`tests/support/cuda_device.py`): what CUDA itself does not tell.
extern "C" {
void cupy_on_cpu_set_lazy(int lazy);
void cupy_on_cpu_set_bytes(size_t bytes);
size_t cupy_on_cpu_streams();  // how many there are, but for the default stream
size_t cupy_on_cpu_graphs();   // how many executable graphs there are
size_t cupy_on_cpu_waiting();  // how much work waits in all streams
}
