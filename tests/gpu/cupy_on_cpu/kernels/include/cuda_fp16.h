// The type half, which CuPy's float16 is made of, by the conversions that the processor has (F16C).
#pragma once

#include <immintrin.h>

#include <type_traits>

struct __half_raw {
  unsigned short x;
};

class half {
 public:
  half() {}
  half(float value) : bits_(_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT)) {}
  explicit half(const __half_raw& raw) : bits_(raw.x) {}
  template <class T, class = std::enable_if_t<std::is_arithmetic_v<T> && !std::is_same_v<T, float>>>
  explicit half(T value) : half(static_cast<float>(value)) {}

  operator float() const { return _cvtsh_ss(bits_); }
  operator __half_raw() const { return {bits_}; }

 private:
  unsigned short bits_;
};

inline unsigned short __half_as_ushort(half value) { return static_cast<__half_raw>(value).x; }
inline half __ushort_as_half(unsigned short bits) { return half(__half_raw{bits}); }
