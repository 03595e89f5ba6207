// The words, intrinsics and functions of CUDA C++ that kernels use, for a C++ compiler. Included before each kernel.
#pragma once

#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmath>
#include <limits>
#include <type_traits>

#include "launch.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __managed__
#define __shared__ static  // one block runs at a time
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __CUDA_ARCH__ 900
#define __CUDACC_VER_MAJOR__ 12
#define warpSize 32

// Threads never run at once, so each sees at once what another wrote.
inline void __threadfence() {}
inline void __threadfence_block() {}

template <class T>
T __ldg(const T* address) {
  return *address;
}

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }

// The same bits as another type.
template <class To, class From>
To same_bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "of two sizes");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

inline float __int_as_float(int x) { return same_bits<float>(x); }
inline int __float_as_int(float x) { return same_bits<int>(x); }
inline float __uint_as_float(unsigned x) { return same_bits<float>(x); }
inline unsigned __float_as_uint(float x) { return same_bits<unsigned>(x); }
inline double __longlong_as_double(long long x) { return same_bits<double>(x); }
inline long long __double_as_longlong(double x) { return same_bits<long long>(x); }

// Products and sums that nvcc may not contract; here nothing is, the compiler is told -ffp-contract=off.
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float rsqrt(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }

// CUDA's min and max take two types, and of a number and NaN the number.
template <class A, class B>
using CommonNumber = std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>, std::common_type_t<A, B>>;

template <class A, class B>
CommonNumber<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return std::fmax(T(a), T(b));
  return T(a) < T(b) ? T(b) : T(a);
}

template <class A, class B>
CommonNumber<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return std::fmin(T(a), T(b));
  return T(b) < T(a) ? T(b) : T(a);
}

// Atomic, because threads of a kernel never run at once. Each gives what was there before.
template <class T, class U>
T replaced(T* address, U value) {
  const T before = *address;
  *address = static_cast<T>(value);
  return before;
}

template <class T>
using Integer = std::enable_if_t<std::is_integral_v<T>, T>;

template <class T>
T atomicAdd(T* address, T value) {
  return replaced(address, *address + value);
}

template <class T>
T atomicExch(T* address, T value) {
  return replaced(address, value);
}

template <class T>
Integer<T> atomicCAS(T* address, T expected, T value) {
  return replaced(address, *address == expected ? value : *address);
}

template <class T>
Integer<T> atomicMax(T* address, T value) {
  return replaced(address, max(*address, value));
}

template <class T>
Integer<T> atomicMin(T* address, T value) {
  return replaced(address, min(*address, value));
}

template <class T>
Integer<T> atomicAnd(T* address, T value) {
  return replaced(address, *address & value);
}

template <class T>
Integer<T> atomicOr(T* address, T value) {
  return replaced(address, *address | value);
}

template <class T>
Integer<T> atomicXor(T* address, T value) {
  return replaced(address, *address ^ value);
}
