/* Numbers: half precision, exp and powers in plain C that a compiler turns into vectors.
 *
 * No table, no branch, no call: every function here may stand in a `#pragma omp simd` loop. Infinities and NaN keep
 * their meaning, so nothing may be compiled with -ffast-math.
 */
#ifndef NOISEPROOF_NUMBERS_H
#define NOISEPROOF_NUMBERS_H

#include <math.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

typedef union {
    float f;
    uint32_t u;
} bits;

/* bfloat16 and IEEE half: stored as 16 bits, computed as float, rounded to nearest even. */

INLINE float from_bf16(uint16_t h) { return (bits){.u = (uint32_t)h << 16}.f; }

INLINE uint16_t to_bf16(float f) {
    bits b = {.f = f};
    uint16_t rounded = (uint16_t)((b.u + 0x7fffu + ((b.u >> 16) & 1u)) >> 16);
    return f == f ? rounded : (uint16_t)0x7fc0;
}

INLINE float from_half(uint16_t h) {
    bits b = {.u = (uint32_t)(h & 0x7fff) << 13};
    b.f *= 0x1p112f; /* moves the exponent's bias from 15 to 127, subnormals included */
    b.u |= (h & 0x7c00) == 0x7c00 ? 0x7f800000u : 0u;
    b.u |= (uint32_t)(h & 0x8000) << 16;
    return b.f;
}

INLINE uint16_t to_half(float f) {
    bits b = {.f = f};
    uint32_t sign = (b.u >> 16) & 0x8000u;
    b.u &= 0x7fffffffu;
    bits subnormal = {.f = b.f + 0.5f}; /* float addition rounds at 2^-24, half's smallest step */
    uint32_t normal = (b.u + 0xfffu + ((b.u >> 13) & 1u) - (112u << 23)) >> 13;
    uint32_t finite = b.u < (113u << 23) ? subnormal.u - 0x3f000000u : normal;
    uint32_t special = b.u > 0x7f800000u ? 0x7e00u : 0x7c00u;
    return (uint16_t)(sign | (b.u >= 0x477ff000u ? special : finite)); /* 65520 and above is infinity */
}

/* e^x as scale * (1 + part) with scale a power of two; `exponent` is the bits of 1, or of another power to scale by. */
INLINE float exp_parts(float x, uint32_t exponent, float *scale) {
    float shifted = x * 1.44269504f + 12582912.0f; /* 1.5 * 2^23: the sum's last bits are round(x / ln 2) */
    float n = shifted - 12582912.0f;
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f; /* ln 2 in two parts; the first difference is exact */
    bits power = {.f = shifted};
    power.u = (power.u << 23) + exponent;
    *scale = power.f;
    /* (e^r - 1 - r) / r^2 on |r| <= ln(2)/2, Chebyshev fit, error 7e-8 */
    float poly = (((1.39262508e-3f * r + 8.36323288e-3f) * r + 4.16665542e-2f) * r + 1.66665767e-1f) * r + 0.5f;
    return r + r * r * poly;
}

#define EXPONENT(n) ((uint32_t)(127 + (n)) << 23) /* the bits of 2^n */

/* A row's exponentials are kept as 2^(LIFT - base) e^x with 2^base near its largest: normal floats down to e^-101 of
 * that. Scores up to NEAR lose nothing on the way. A row with larger ones is first moved to where its largest is 0: the
 * difference is exact where e^x counts, within a factor of two of the largest. */
#define LIFT 20
#define LIFTED 0x1p20
#define NEAR 256.0f

INLINE float base_of(float high) { return floorf(high * 1.44269504f); }

/* What no x may be below, to be 0 from there on: scale is 0 then. */
INLINE float lowest(float base) { return (base - (127 + LIFT)) * 0.693147181f; }

INLINE float exp_above(float x, float lowest, uint32_t exponent) {
    float scale, part = exp_parts(lowest > x ? lowest : x, exponent, &scale); /* NaN stays */
    return scale + scale * part;
}

/* 1 - (1-p)^t for p in [0, 1/2], without cancellation for small p. */
INLINE float one_minus_power(float p, float t) {
    float s = p / (p - 2.0f), s2 = s * s; /* ln(1-p) = 2 artanh(s), |s| <= 1/3 */
    float artanh = 1.0f / 15;
    artanh = artanh * s2 + 1.0f / 13;
    artanh = artanh * s2 + 1.0f / 11;
    artanh = artanh * s2 + 1.0f / 9;
    artanh = artanh * s2 + 1.0f / 7;
    artanh = artanh * s2 + 1.0f / 5;
    artanh = artanh * s2 + 1.0f / 3;
    artanh = artanh * s2 + 1.0f;
    float log_w = 2.0f * t * s * artanh;
    float scale, part = exp_parts(log_w > -87.0f ? log_w : -87.0f, EXPONENT(0), &scale);
    return (1.0f - scale) - scale * part;
}

/* The same for t = 1/2: p times a Chebyshev fit of 1 / (1 + sqrt(1-p)), error 3e-9; quicker than root and quotient. */
INLINE float one_minus_root(float p) {
    float poly = 0.1186083923f;
    poly = poly * p - 0.1307225775f;
    poly = poly * p + 0.1025607909f;
    poly = poly * p - 0.007718772446f;
    poly = poly * p + 0.03256158513f;
    poly = poly * p + 0.0385329505f;
    poly = poly * p + 0.06252649042f;
    poly = poly * p + 0.1249994963f;
    return p * (poly * p + 0.5000000016f);
}

/* In double, for the few numbers each row has. */

typedef union {
    double d;
    uint64_t u;
} wide_bits;

/* e^x for x <= 0; 0 below e^-708. */
INLINE double wide_exp(double x) {
    double kept = x < -708.0 ? -708.0 : x;
    double shifted = kept * 1.4426950408889634 + 6755399441055744.0; /* 1.5 * 2^52, as above */
    double n = shifted - 6755399441055744.0;
    double r = (kept - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
    wide_bits scale = {.d = shifted};
    scale.u = (scale.u << 52) + (UINT64_C(1023) << 52);
    double poly = 1.0 / 6227020800; /* Taylor: r^13 / 13! */
    poly = poly * r + 1.0 / 479001600;
    poly = poly * r + 1.0 / 39916800;
    poly = poly * r + 1.0 / 3628800;
    poly = poly * r + 1.0 / 362880;
    poly = poly * r + 1.0 / 40320;
    poly = poly * r + 1.0 / 5040;
    poly = poly * r + 1.0 / 720;
    poly = poly * r + 1.0 / 120;
    poly = poly * r + 1.0 / 24;
    poly = poly * r + 1.0 / 6;
    poly = poly * r + 0.5;
    double value = scale.d + scale.d * (r + r * r * poly);
    return x < -708.0 ? 0.0 : value;
}

/* ln(1 + x) for x >= 0. */
INLINE double wide_log1p(double x) {
    double u = 1.0 + x, lost = x - (u - 1.0); /* exact up to 2^53; beyond it does not matter */
    wide_bits b = {.d = u};
    uint64_t above = b.u - UINT64_C(0x3fe6a09e667f3bcd); /* sqrt(1/2): u = 2^n m with m from there to sqrt(2) */
    wide_bits m = {.u = (above & UINT64_C(0x000fffffffffffff)) + UINT64_C(0x3fe6a09e667f3bcd)};
    /* n as a double without a conversion, which AVX2 has not for 64-bit integers */
    wide_bits n = {.u = (above >> 52) + UINT64_C(0x4330000000000000)};
    double s = (m.d - 1.0) / (m.d + 1.0), s2 = s * s; /* ln m = 2 artanh(s), |s| <= 0.172 */
    double artanh = 1.0 / 21;
    artanh = artanh * s2 + 1.0 / 19;
    artanh = artanh * s2 + 1.0 / 17;
    artanh = artanh * s2 + 1.0 / 15;
    artanh = artanh * s2 + 1.0 / 13;
    artanh = artanh * s2 + 1.0 / 11;
    artanh = artanh * s2 + 1.0 / 9;
    artanh = artanh * s2 + 1.0 / 7;
    artanh = artanh * s2 + 1.0 / 5;
    artanh = artanh * s2 + 1.0 / 3;
    double log_m = 2.0 * s + 2.0 * s * s2 * artanh;
    double power = (n.d - 4503599627370496.0) * 0.69314718055994531;
    return (power + (log_m + lost / u)) + 0.0 * x; /* NaN stays NaN */
}

#endif
