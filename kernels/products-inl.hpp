// What 32 columns of weights and some rows of activations add to the outputs, for each way of scaling
// weights.
#if defined(TROUPE_KERNELS_PRODUCTS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TROUPE_KERNELS_PRODUCTS_INL
#undef TROUPE_KERNELS_PRODUCTS_INL
#else
#define TROUPE_KERNELS_PRODUCTS_INL
#endif

#include "kernels/unpack-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

// ---- Products: what 32 columns of `lanes` rows and N activation rows add to the outputs. The weights are
// scale * (code - Dot::zero) - min. Dot is UnsignedDot or SignedDot.
//   scales                               vectors of floats that go with a sub-block
//   pieces                               1, or 2 where each half of a sub-block has its own sum
//   add<N>(dot, scale, x, terms, sums)   sums[t] += the product with activation block t < N; dot is a Dot,
//                                        or in its place a ReadyDot or UnpackedDot. One with several groups
//                                        of weights has scale[group][scales] and sums[group][N].

template <class Dot, std::size_t N>
HWY_INLINE void start_dots(const ActivationTerms* terms, IntVector* dots) {
  unroll<Dot::groups * N>([&](auto i) TROUPE_LAMBDA {
    if constexpr (Dot::zero == 0) {
      dots[i] = hn::Zero(IntTag());
    } else {
      constexpr int times = Dot::zero / 8;  // offset is -8 times the sum of x
      static_assert(Dot::zero % 8 == 0 && (times & (times - 1)) == 0);
      dots[i] = hn::ShiftLeft<__builtin_ctz(times)>(hn::Set(IntTag(), terms[i % N].offset));
    }
  });
}

/// One scale: sum += dot * (scale * x scale).
template <class Dot_>
struct ScaleProduct {
  using Dot = Dot_;
  static constexpr std::size_t scales = 1, pieces = 1, rows_max = 16;

  template <std::size_t N, std::size_t scale_step = scales, class AnyDot>
  static HWY_INLINE void add(const AnyDot& dot, const FloatVector* scale, const std::int8_t* x,
                             const ActivationTerms* terms, FloatVector* sums) {
    const FloatTag d;
    IntVector dots[AnyDot::groups * N];
    start_dots<AnyDot, N>(terms, dots);
    dot.template add<N, 0, 8>(x, dots);
    unroll<AnyDot::groups * N>([&](auto i) TROUPE_LAMBDA {
      const FloatVector both = hn::Mul(scale[i / N * scale_step], hn::Set(d, terms[i % N].scale));
      sums[i] = hn::MulAdd(hn::ConvertTo(d, dots[i]), both, sums[i]);
    });
  }
};

/// A scale and a minimum: sum += dot * (scale * x scale), sum -= min * (x scale * sum of x).
template <class Dot_>
struct ScaleMinProduct {
  using Dot = Dot_;
  static constexpr std::size_t scales = 2, pieces = 1, rows_max = 16;

  template <std::size_t N, class AnyDot>
  static HWY_INLINE void add(const AnyDot& dot, const FloatVector* scale, const std::int8_t* x,
                             const ActivationTerms* terms, FloatVector* sums) {
    const FloatTag d;
    ScaleProduct<Dot>::template add<N, scales>(dot, scale, x, terms, sums);
    unroll<AnyDot::groups * N>([&](auto i) TROUPE_LAMBDA {
      const FloatVector sum = hn::Set(d, terms[i % N].scaled_sum);
      sums[i] = hn::NegMulAdd(scale[i / N * scales + 1], sum, sums[i]);
    });
  }
};

/// A scale for each half: sum += (second dot * its scale + first dot * its scale) * x scale. Dot::zero
/// divides 32.
template <class Dot_>
struct HalfScalesProduct {
  using Dot = Dot_;
  static constexpr std::size_t scales = 2, pieces = 2, rows_max = 12;

  template <std::size_t N, class AnyDot>
  static HWY_INLINE void add(const AnyDot& dot, const FloatVector* scale, const std::int8_t* x,
                             const ActivationTerms* terms, FloatVector* sums) {
    const FloatTag d;
    FloatVector products[AnyDot::groups * N];
    add_halves<N, scales>(dot, scale, x, terms, products);
    unroll<AnyDot::groups * N>([&](auto i) TROUPE_LAMBDA {
      sums[i] = hn::MulAdd(products[i], hn::Set(d, terms[i % N].scale), sums[i]);
    });
  }

  /// products[i] = second dot * its scale + first dot * its scale.
  template <std::size_t N, std::size_t scale_step, class AnyDot>
  static HWY_INLINE void add_halves(const AnyDot& dot, const FloatVector* scale, const std::int8_t* x,
                                    const ActivationTerms* terms, FloatVector* products) {
    const FloatTag d;
    unroll<2>([&](auto half) TROUPE_LAMBDA {
      IntVector dots[AnyDot::groups * N];
      unroll<AnyDot::groups * N>([&](auto i) TROUPE_LAMBDA {
        if constexpr (AnyDot::zero == 0) {
          dots[i] = hn::Zero(IntTag());
        } else {
          const IntVector offset = hn::Set(IntTag(), terms[i % N].half_offsets[half]);
          dots[i] = shift_words<__builtin_ctz(32 / AnyDot::zero)>(offset);
        }
      });
      dot.template add<N, 4 * half, 4>(x, dots);
      unroll<AnyDot::groups * N>([&](auto i) TROUPE_LAMBDA {
        const FloatVector value = hn::ConvertTo(d, dots[i]), factor = scale[i / N * scale_step + half];
        products[i] = half == 0 ? hn::Mul(value, factor) : hn::MulAdd(value, factor, products[i]);
      });
    });
  }
};

/// ... and a minimum for each half; scale[2] and [3] are the minima / 32, since half_offsets are -32 times
/// the sums of x.
template <class Dot_>
struct HalfScalesMinsProduct {
  using Dot = Dot_;
  static_assert(Dot::zero == 0);
  static constexpr std::size_t scales = 4, pieces = 2, rows_max = 8;

  template <std::size_t N, class AnyDot>
  static HWY_INLINE void add(const AnyDot& dot, const FloatVector* scale, const std::int8_t* x,
                             const ActivationTerms* terms, FloatVector* sums) {
    const FloatTag d;
    FloatVector products[AnyDot::groups * N];
    HalfScalesProduct<Dot>::template add_halves<N, scales>(dot, scale, x, terms, products);
    unroll<AnyDot::groups * N>([&](auto i) TROUPE_LAMBDA {
      const ActivationTerms& of = terms[i % N];
      unroll<2>([&](auto half) TROUPE_LAMBDA {
        const FloatVector offset = hn::ConvertTo(d, hn::Set(IntTag(), of.half_offsets[half]));
        products[i] = hn::MulAdd(offset, scale[i / N * scales + 2 + half], products[i]);
      });
      sums[i] = hn::MulAdd(products[i], hn::Set(d, of.scale), sums[i]);
    });
  }
};

/// add<T> in steps.
template <class Product, std::size_t T, class AnyDot>
HWY_INLINE void add_rows(const AnyDot& dot, const FloatVector* scale, const std::int8_t* x,
                         const ActivationTerms* terms, FloatVector* sums) {
  constexpr std::size_t step = T < dot_rows_step ? T : dot_rows_step;
  static_assert(T % step == 0);
  unroll<T / step>([&](auto s) TROUPE_LAMBDA {
    constexpr std::size_t t = s * step;
    Product::template add<step>(dot, scale, x + 32 * t, terms + t, sums + t);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
