#pragma once
// Which instruction sets the kernels are compiled for. First include of every file that uses Highway, so
// that all of them agree.

// Ice Lake and later (VNNI): opt-in up to Highway 1.0.
#define HWY_WANT_AVX3_DL

// Not compiled: SSSE3 (CPUs before 2008 take the scalar kernels); AVX3_SPR (bit 4, has nothing that AVX3_DL
// lacks for us); SVE and RVV, whose vectors cannot be elements of the arrays that hold register tiles (Arm
// takes NEON).
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV | (1LL << 4))
