// How a compiled kernel is called: its arguments are copied at the launch, its threads run when the stream comes to it.
#pragma once

#include <immintrin.h>
#include <stdlib.h>

#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "fibers.h"

namespace on_cpu {

// How the threads of a kernel run. The stand-in for NVRTC chooses by what the source uses.
enum class Threads {
  one,       // it uses no index but in CuPy's grid-stride loop: one thread does the whole loop
  in_turn,   // no thread waits for another: one after the other, on one stack
  together,  // they wait for each other: fibers
};

// Subnormal numbers are 0 while this lives, where the kernel was compiled with -ftz=true.
class FlushToZero {
 public:
  explicit FlushToZero(bool flush) : before_(_mm_getcsr()) {
    if (flush) _mm_setcsr(before_ | _MM_FLUSH_ZERO_ON | DENORMALS_ARE_ZERO);
  }
  ~FlushToZero() { _mm_setcsr(before_); }

 private:
  static const unsigned DENORMALS_ARE_ZERO = 0x0040;
  const unsigned before_;
};

// A loop that strides over the grid gives the same in any order. CUPY_ON_CPU_ORDER=1 runs it as seven threads, the
// last one first, which finds kernels where it does not.
inline void run_loop(const std::function<void()>& body) {
  static const char* const text = getenv("CUPY_ON_CPU_ORDER");
  const unsigned threads = text && atoi(text) ? 7 : 1;
  grid_size = {threads, 1, 1};
  block_size = {1, 1, 1};
  thread_index = {0, 0, 0};
  for (unsigned i = threads; i-- > 0;) {
    block_index = {i, 0, 0};
    body();
  }
}

inline void run_block_in_turn(const std::function<void()>& body) {
  for (unsigned z = 0; z < block_size.z; z++) {
    for (unsigned y = 0; y < block_size.y; y++) {
      for (unsigned x = 0; x < block_size.x; x++) {
        thread_index = {x, y, z};
        body();
      }
    }
  }
}

inline void run_grid(const std::function<void()>& body, uint3 grid, uint3 block, Threads threads) {
  if (threads == Threads::one) return run_loop(body);
  grid_size = grid;
  block_size = block;
  for (unsigned z = 0; z < grid.z; z++) {
    for (unsigned y = 0; y < grid.y; y++) {
      for (unsigned x = 0; x < grid.x; x++) {
        block_index = {x, y, z};
        if (threads == Threads::together) {
          run_block_together(body);
        } else {
          run_block_in_turn(body);
        }
      }
    }
  }
}

template <class... Parameters, size_t... Positions>
auto copied(void** arguments, std::index_sequence<Positions...>) {
  return std::tuple<std::remove_cv_t<Parameters>...>(
      *static_cast<std::remove_cv_t<Parameters>*>(arguments[Positions])...);
}

// The work that a launch makes.
template <class... Parameters>
std::function<void()>* prepared(void (*kernel)(Parameters...), void** arguments, const unsigned* grid,
                                const unsigned* block, Threads threads, bool flush) {
  const auto values = copied<Parameters...>(arguments, std::index_sequence_for<Parameters...>());
  const uint3 blocks = {grid[0], grid[1], grid[2]};
  const uint3 block_threads = {block[0], block[1], block[2]};
  return new std::function<void()>([=] {
    const FlushToZero mode(flush);
    run_grid([&] { std::apply(kernel, values); }, blocks, block_threads, threads);
  });
}

}  // namespace on_cpu

// The function that the stand-in for the driver looks for (../runtime/kernels.cpp).
#define CUPY_ON_CPU_KERNEL(NAME, KERNEL, THREADS, FLUSH)                                                           \
  extern "C" std::function<void()>* launch_##NAME(void** arguments, const unsigned* grid, const unsigned* block) { \
    return on_cpu::prepared(&KERNEL, arguments, grid, block, on_cpu::Threads::THREADS, FLUSH);                     \
  }
