// The threads of a block as fibers: each has a stack of its own and runs until it waits, then the next one runs.
//
// So a block of 1,024 threads needs one thread of the processor, and a barrier costs a switch of stacks. The code of a
// kernel reads the indices below as threadIdx, blockIdx, blockDim and gridDim.
#pragma once

#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include <functional>

struct dim3 {
  unsigned x, y, z;
};
using uint3 = dim3;

namespace on_cpu {

static uint3 thread_index, block_index, block_size, grid_size;

const unsigned WARP = 32;
const unsigned MAX_THREADS = 1024;
const size_t STACK_BYTES = 64 * 1024;

// Threads that wait for each other: `arrived` of those that take part, in the `round`-th use.
struct Barrier {
  unsigned arrived;
  volatile unsigned round;

  void open() {
    arrived = 0;
    round = round + 1;
  }
};

struct Fiber {
  void* stack;  // where its stack ends while it does not run
  uint3 index;
  unsigned lane, warp;
  bool done;
};

struct Warp {
  unsigned alive;  // its threads that have not returned
  Barrier barrier;
  unsigned char lanes[WARP][16];  // what its threads show each other
};

static Fiber fibers[MAX_THREADS];
static Warp warps[MAX_THREADS / WARP];
static Fiber* running;
static void* scheduler_stack;
static unsigned alive;  // threads of the block that have not returned
static Barrier block_barrier;
static const std::function<void()>* thread_body;

// Keeps the registers that a function must not change on the stack, and goes on where another stack was left.
extern "C" void cupy_on_cpu_switch(void** from, void* to);
asm(R"(
.text
.hidden cupy_on_cpu_switch
.globl cupy_on_cpu_switch
.type cupy_on_cpu_switch,@function
cupy_on_cpu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
const int SAVED_REGISTERS = 6;

inline void let_others_run() { cupy_on_cpu_switch(&running->stack, scheduler_stack); }

// CUDA lets go of a barrier when all threads that have not returned have come to it.
inline void wait_at(Barrier& barrier, unsigned participants) {
  const unsigned round = barrier.round;
  if (++barrier.arrived >= participants) {
    barrier.open();
  } else {
    while (barrier.round == round) let_others_run();
  }
}

inline void open_if_complete(Barrier& barrier, unsigned participants) {
  if (barrier.arrived && barrier.arrived >= participants) barrier.open();
}

static void run_thread() {
  Fiber* const fiber = running;
  (*thread_body)();
  fiber->done = true;
  Warp& warp = warps[fiber->warp];
  open_if_complete(block_barrier, --alive);
  open_if_complete(warp.barrier, --warp.alive);
  for (;;) let_others_run();  // what lies below on this stack is nobody's
}

// A stack on which the first switch returns into run_thread, with zeros as registers.
inline void* new_stack(char* end) {
  const size_t below_end = 64;
  void** top = reinterpret_cast<void**>(end - below_end);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(run_thread);
  for (int i = 0; i < SAVED_REGISTERS; i++) *--top = nullptr;
  return top;
}

static char* stacks() {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  static void* const memory = mmap(nullptr, STACK_BYTES * MAX_THREADS, PROT_READ | PROT_WRITE, flags, -1, 0);
  return static_cast<char*>(memory);
}

// Run the threads of one block, in turn, until all have returned.
static void run_block_together(const std::function<void()>& body) {
  thread_body = &body;
  const unsigned threads = block_size.x * block_size.y * block_size.z;
  alive = threads;
  block_barrier.arrived = 0;
  for (Warp& warp : warps) warp.alive = warp.barrier.arrived = 0;
  for (unsigned i = 0; i < threads; i++) {
    const uint3 index = {i % block_size.x, i / block_size.x % block_size.y, i / block_size.x / block_size.y};
    fibers[i] = {new_stack(stacks() + (i + 1) * STACK_BYTES), index, i % WARP, i / WARP, false};
    warps[i / WARP].alive++;
  }
  while (alive) {
    for (unsigned i = 0; i < threads; i++) {
      if (fibers[i].done) continue;
      running = &fibers[i];
      thread_index = running->index;
      cupy_on_cpu_switch(&scheduler_stack, running->stack);
    }
  }
}

// How many threads of a mask are still there; those that returned are not waited for.
inline unsigned participants_of(unsigned mask) {
  const unsigned named = __builtin_popcount(mask);
  const unsigned there = warps[running->warp].alive;
  return named < there ? named : there;
}

inline void wait_for_warp(unsigned mask) { wait_at(warps[running->warp].barrier, participants_of(mask)); }

// What another thread of the warp has for `value`: all show theirs, wait, look, and wait until all have looked.
template <class T>
T shuffled(unsigned mask, T value, unsigned lane) {
  static_assert(sizeof(T) <= sizeof warps->lanes[0], "a larger value than a warp can show");
  Warp& warp = warps[running->warp];
  memcpy(warp.lanes[running->lane], &value, sizeof value);
  wait_for_warp(mask);
  T other;
  memcpy(&other, warp.lanes[lane % WARP], sizeof other);
  wait_for_warp(mask);
  return other;
}

}  // namespace on_cpu

#define threadIdx on_cpu::thread_index
#define blockIdx on_cpu::block_index
#define blockDim on_cpu::block_size
#define gridDim on_cpu::grid_size

inline void __syncthreads() { on_cpu::wait_at(on_cpu::block_barrier, on_cpu::alive); }

inline void __syncwarp(unsigned mask = ~0u) { on_cpu::wait_for_warp(mask); }

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  const unsigned lane = on_cpu::running->lane;
  return on_cpu::shuffled(mask, value, lane / width * width + source % width);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int distance, int = 32) {
  return on_cpu::shuffled(mask, value, on_cpu::running->lane ^ distance);
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32) {
  const unsigned lane = on_cpu::running->lane;
  const bool inside = lane % width + distance < static_cast<unsigned>(width);
  return on_cpu::shuffled(mask, value, inside ? lane + distance : lane);
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32) {
  const unsigned lane = on_cpu::running->lane;
  return on_cpu::shuffled(mask, value, lane % width >= distance ? lane - distance : lane);
}
