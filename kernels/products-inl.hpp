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
//   scales                                      vectors of floats that go with a sub-block
//   pieces                                      1, or 2 where each half of a sub-block has its own sum
//   add<N>(dot, scale, x, terms, sums)          sums[t] += the product with activation block t < N; dot is a
//   Dot, or
//                                               a ReadyDot in its place

template <class Dot, std::size_t N>
HWY_INLINE void start_dots(const ActivationTerms* terms, IntVector* dots) {
  unroll<N>([&](auto t) TROUPE_LAMBDA {
    if constexpr (Dot::zero == 0) {
      dots[t] = hn::Zero(IntTag());
    } else {
      constexpr int times = Dot::zero / 8;  // offset is -8 times the sum of x
      static_assert(Dot::zero % 8 == 0 && (times & (times - 1)) == 0);
      dots[t] = hn::ShiftLeft<__builtin_ctz(times)>(hn::Set(IntTag(), terms[t].offset));
    }
  });
}

/// One scale: sum += dot * (scale * x scale).
template <class Dot_>
struct ScaleProduct {
  using Dot = Dot_;
  static constexpr std::size_t scales = 1, pieces = 1, rows_max = 16;

  template <std::size_t N, class AnyDot>
  static HWY_INLINE void add(const AnyDot& dot, const FloatVector* scale, const std::int8_t* x,
                             const ActivationTerms* terms, FloatVector* sums) {
    const FloatTag d;
    IntVector dots[N];
    start_dots<AnyDot, N>(terms, dots);
    dot.template add<N, 0, 8>(x, dots);
    unroll<N>([&](auto t) TROUPE_LAMBDA {
      sums[t] = hn::MulAdd(hn::ConvertTo(d, dots[t]), hn::Mul(scale[0], hn::Set(d, terms[t].scale)), sums[t]);
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
    ScaleProduct<Dot>::template add<N>(dot, scale, x, terms, sums);
    unroll<N>([&](auto t) TROUPE_LAMBDA {
      sums[t] = hn::NegMulAdd(scale[1], hn::Set(d, terms[t].scaled_sum), sums[t]);
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
    FloatVector products[N];
    add_halves<N>(dot, scale, x, terms, products);
    unroll<N>([&](auto t)
                  TROUPE_LAMBDA { sums[t] = hn::MulAdd(products[t], hn::Set(d, terms[t].scale), sums[t]); });
  }

  /// products[t] = second dot * its scale + first dot * its scale.
  template <std::size_t N, class AnyDot>
  static HWY_INLINE void add_halves(const AnyDot& dot, const FloatVector* scale, const std::int8_t* x,
                                    const ActivationTerms* terms, FloatVector* products) {
    const FloatTag d;
    unroll<2>([&](auto half) TROUPE_LAMBDA {
      IntVector dots[N];
      unroll<N>([&](auto t) TROUPE_LAMBDA {
        if constexpr (AnyDot::zero == 0)
          dots[t] = hn::Zero(IntTag());
        else
          dots[t] =
              shift_words<__builtin_ctz(32 / AnyDot::zero)>(hn::Set(IntTag(), terms[t].half_offsets[half]));
      });
      dot.template add<N, 4 * half, 4>(x, dots);
      unroll<N>([&](auto t) TROUPE_LAMBDA {
        const FloatVector value = hn::ConvertTo(d, dots[t]);
        if constexpr (half == 0)
          products[t] = hn::Mul(value, scale[0]);
        else
          products[t] = hn::MulAdd(value, scale[1], products[t]);
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
    FloatVector products[N];
    HalfScalesProduct<Dot>::template add_halves<N>(dot, scale, x, terms, products);
    unroll<N>([&](auto t) TROUPE_LAMBDA {
      unroll<2>([&](auto half) TROUPE_LAMBDA {
        const FloatVector offset = hn::ConvertTo(d, hn::Set(IntTag(), terms[t].half_offsets[half]));
        products[t] = hn::MulAdd(offset, scale[2 + half], products[t]);
      });
      sums[t] = hn::MulAdd(products[t], hn::Set(d, terms[t].scale), sums[t]);
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
