// Capturing streams, what is forbidden meanwhile, and the graphs that come of it.
//
// A graph is the list of the work that was captured, in the order of the calls. What CUDA refuses while a stream
// captures is refused here with the same error, and spoils the capture as it does there.
#include <stdio.h>

#include "runtime.h"

namespace on_cpu {

static Captures captures_where(const std::function<bool(const Stream*)>& chosen) {
  Captures captures;
  for (const Stream* stream : streams) {
    if (stream->capture && chosen(stream)) captures.push_back(stream->capture);
  }
  return captures;
}

Captures all_captures() {
  return captures_where([](const Stream*) { return true; });
}

Captures blocking_captures() {
  return captures_where([](const Stream* stream) { return stream->blocking(); });
}

// A capture of the mode "thread local" forbids unsafe calls to its own thread alone; here to every thread.
Captures strict_captures() {
  return captures_where([](const Stream* stream) { return stream->mode != cudaStreamCaptureModeRelaxed; });
}

cudaError_t refuse(const Captures& captures, cudaError_t error, const char* call) {
  log_line("%s: %s", call, cudaGetErrorName(error));
  for (const auto& capture : captures) capture->invalid = true;
  return returned(error);
}

cudaError_t check_unsafe_call(const char* call) {
  const Captures captures = strict_captures();
  return captures.empty() ? cudaSuccess : refuse(captures, cudaErrorStreamCaptureUnsupported, call);
}

cudaError_t check_legacy_call(const char* call) {
  const Captures captures = blocking_captures();
  if (!captures.empty()) return refuse(captures, cudaErrorStreamCaptureImplicit, call);
  return check_unsafe_call(call);
}

}  // namespace on_cpu

using on_cpu::Lock;
using on_cpu::mutex;
using on_cpu::returned;
using on_cpu::Stream;

namespace {

// What cudaGraph_t and cudaGraphExec_t point to. Launches hold the work itself: a graph may go before they are done.
struct Graph {
  std::shared_ptr<const std::vector<on_cpu::Work>> nodes;
};

size_t executables = 0;

Graph* graph_of(cudaGraph_t handle) { return reinterpret_cast<Graph*>(handle); }

Graph* graph_of(cudaGraphExec_t handle) { return reinterpret_cast<Graph*>(handle); }

}  // namespace

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  Lock lock(mutex);
  Stream* const stream = on_cpu::stream_of(handle);
  if (!on_cpu::exists(stream)) return returned(cudaErrorInvalidResourceHandle);
  if (stream == &on_cpu::legacy) return returned(cudaErrorStreamCaptureUnsupported);
  if (stream->capture) return returned(cudaErrorIllegalState);
  stream->capture = std::make_shared<on_cpu::Capture>();
  stream->mode = mode;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  Lock lock(mutex);
  *graph = nullptr;
  Stream* const stream = on_cpu::stream_of(handle);
  if (!on_cpu::exists(stream)) return returned(cudaErrorInvalidResourceHandle);
  const auto capture = stream->capture;
  if (!capture) return returned(cudaErrorIllegalState);
  capture->ended = true;
  for (Stream* other : on_cpu::streams) {
    if (other->capture == capture) other->capture = nullptr;
  }
  if (capture->invalid) return returned(cudaErrorStreamCaptureInvalidated);
  const auto nodes = std::make_shared<const std::vector<on_cpu::Work>>(std::move(capture->nodes));
  *graph = reinterpret_cast<cudaGraph_t>(new Graph{nodes});
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  Lock lock(mutex);
  const Stream* const stream = on_cpu::stream_of(handle);
  if (!on_cpu::exists(stream)) return returned(cudaErrorInvalidResourceHandle);
  // This question is refused, but spoils nothing.
  if (stream == &on_cpu::legacy && !on_cpu::blocking_captures().empty()) {
    return returned(cudaErrorStreamCaptureImplicit);
  }
  *status = cudaStreamCaptureStatusNone;
  if (stream->capture) {
    *status = stream->capture->invalid ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
  }
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  Lock lock(mutex);
  *executable = reinterpret_cast<cudaGraphExec_t>(new Graph(*graph_of(graph)));
  executables++;
  return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t handle) {
  Lock lock(mutex);
  const Stream* const stream = on_cpu::stream_of(handle);
  if (!on_cpu::exists(stream)) return returned(cudaErrorInvalidResourceHandle);
  return returned(stream->capture ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const auto nodes = graph_of(executable)->nodes;
  const auto work = [nodes] {
    for (const auto& node : *nodes) node();
  };
  return on_cpu::submit(stream, work, "cudaGraphLaunch");
}

cudaError_t cudaGraphDebugDotPrint(cudaGraph_t graph, const char* path, unsigned) {
  FILE* const file = fopen(path, "w");
  if (!file) return returned(cudaErrorInvalidValue);
  fprintf(file, "digraph { /* %zu nodes */ }", graph_of(graph)->nodes->size());
  fclose(file);
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph_of(graph);
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  Lock lock(mutex);
  delete graph_of(executable);
  executables--;
  return cudaSuccess;
}

size_t cupy_on_cpu_graphs() { return executables; }

}  // extern "C"
