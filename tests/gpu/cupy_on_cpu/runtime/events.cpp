// Events: marks in the work of a stream, which other streams and the host wait for.
#include <chrono>

#include "runtime.h"

using on_cpu::Lock;
using on_cpu::mutex;
using on_cpu::refuse;
using on_cpu::returned;
using on_cpu::Stream;

namespace {

struct Event {
  unsigned flags = 0;
  bool recorded = false;
  double milliseconds = 0;
  std::shared_ptr<on_cpu::Capture> capture;  // the capture that it was recorded in
  Stream* queue = nullptr;                   // where it was recorded,
  unsigned long long position = 0;           // and behind how much work
};

Event* event_of(cudaEvent_t handle) { return reinterpret_cast<Event*>(handle); }

// The capture that an event belongs to, if that is still under way.
std::shared_ptr<on_cpu::Capture> capture_of(const Event* event) {
  return event->capture && !event->capture->ended ? event->capture : nullptr;
}

void drain_up_to(Stream* queue, unsigned long long position) {
  if (on_cpu::exists(queue)) on_cpu::drain(queue, position);
}

double now() {
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::milli>(time).count();
}

}  // namespace

extern "C" {

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned) {
  Lock lock(mutex);
  const char* const call = "cudaStreamWaitEvent";
  Stream* const stream = on_cpu::stream_of(handle);
  const Event* const event = event_of(event_handle);
  if (!on_cpu::exists(stream)) return returned(cudaErrorInvalidResourceHandle);
  if (const auto capture = capture_of(event)) {
    if (stream == &on_cpu::legacy) return refuse({capture}, cudaErrorStreamCaptureImplicit, call);
    if (stream->capture && stream->capture != capture) {
      return refuse({capture, stream->capture}, cudaErrorStreamCaptureMerge, call);
    }
    // A stream that waits for captured work is captured with it.
    if (!stream->capture) stream->mode = cudaStreamCaptureModeRelaxed;
    stream->capture = capture;
    return cudaSuccess;
  }
  if (!event->recorded) return cudaSuccess;
  if (stream->capture) return refuse({stream->capture}, cudaErrorStreamCaptureIsolation, call);
  Stream* const queue = event->queue;
  const auto position = event->position;
  if (on_cpu::lazy() && queue != on_cpu::queue_of(stream)) {
    on_cpu::defer(stream, [=] { drain_up_to(queue, position); });
  }
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* handle, unsigned flags) {
  Event* const event = new Event;
  event->flags = flags;
  *handle = reinterpret_cast<cudaEvent_t>(event);
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* handle) { return cudaEventCreateWithFlags(handle, cudaEventDefault); }

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  delete event_of(handle);
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event_handle, cudaStream_t handle) {
  Lock lock(mutex);
  Stream* const stream = on_cpu::stream_of(handle);
  if (!on_cpu::exists(stream)) return returned(cudaErrorInvalidResourceHandle);
  if (stream->capture && stream->capture->invalid) return returned(cudaErrorStreamCaptureInvalidated);
  const auto captures = on_cpu::blocking_captures();
  if (stream == &on_cpu::legacy && !captures.empty()) {
    return refuse(captures, cudaErrorStreamCaptureImplicit, "cudaEventRecord");
  }
  Event* const event = event_of(event_handle);
  event->capture = stream->capture;
  event->recorded = true;
  event->queue = on_cpu::queue_of(stream);
  event->position = event->queue->given;
  event->milliseconds = now();
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  Lock lock(mutex);
  const Event* const event = event_of(handle);
  if (const auto capture = capture_of(event)) return refuse({capture}, cudaErrorCapturedEvent, "cudaEventSynchronize");
  if (event->recorded) drain_up_to(event->queue, event->position);
  return cudaSuccess;
}

// As with a stream: the work is done first.
cudaError_t cudaEventQuery(cudaEvent_t event) { return cudaEventSynchronize(event); }

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from_handle, cudaEvent_t to_handle) {
  const Event* const from = event_of(from_handle);
  const Event* const to = event_of(to_handle);
  const bool timed = !((from->flags | to->flags) & cudaEventDisableTiming);
  if (!timed || !from->recorded || !to->recorded) return returned(cudaErrorInvalidResourceHandle);
  *milliseconds = static_cast<float>(to->milliseconds - from->milliseconds);
  return cudaSuccess;
}

}  // extern "C"
