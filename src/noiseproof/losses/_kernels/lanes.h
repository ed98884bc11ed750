/* Elementary functions on many numbers at once, in the real type of the file that includes this one (REAL, WIDE).
 *
 * Included twice by dense.h: with float (REAL_IS_FLOAT) and with double. No -ffast-math: infinities and NaN keep their
 * meaning. NAME(x) is x with the type's suffix.
 */

/* e^x for any x, as scale (1 + part) */
INLINE REAL NAME(exp_part)(REAL x, REAL *scale) {
#if REAL_IS_FLOAT
    return exp_parts(x, EXPONENT(0), scale);
#else
    const double shifted = x * 1.4426950408889634 + 6755399441055744.0, n = shifted - 6755399441055744.0;
    const double r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
    wide_bits power = {.d = shifted};
    power.u = (power.u << 52) + (UINT64_C(1023) << 52);
    *scale = power.d;
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
    return r + r * r * poly;
#endif
}

#if REAL_IS_FLOAT
#define LEAST_EXPONENT -87.0f
#define MOST_EXPONENT 88.0f
#else
#define LEAST_EXPONENT -708.0
#define MOST_EXPONENT 709.0
#endif

INLINE REAL NAME(within)(REAL x) {
    const REAL above = x < LEAST_EXPONENT ? LEAST_EXPONENT : x; /* NaN stays */
    return above > MOST_EXPONENT ? MOST_EXPONENT : above;
}

INLINE REAL NAME(exp_any)(REAL x) {
    REAL scale;
    const REAL part = NAME(exp_part)(NAME(within)(x), &scale);
    return x < LEAST_EXPONENT ? (REAL)0 : scale + scale * part;
}

INLINE REAL NAME(expm1_any)(REAL x) {
    REAL scale;
    const REAL part = NAME(exp_part)(NAME(within)(x), &scale);
    return scale * part + (scale - 1);
}

/* ln(u + lost) for u >= 0, where `lost` is what u lacks */
INLINE REAL NAME(log_of)(REAL u, REAL lost) {
#if REAL_IS_FLOAT
    const bits b = {.f = u};
    const int32_t above = (int32_t)b.u - 0x3f3504f3; /* sqrt(1/2): u = 2^n m with m from there to sqrt(2) */
    const bits m = {.u = (uint32_t)((above & 0x007fffff) + 0x3f3504f3)};
    const float power = (float)(above >> 23);
    const float s = (m.f - 1.0f) / (m.f + 1.0f), s2 = s * s;
    float artanh = 1.0f / 9;
    artanh = artanh * s2 + 1.0f / 7;
    artanh = artanh * s2 + 1.0f / 5;
    artanh = artanh * s2 + 1.0f / 3;
#else
    const wide_bits b = {.d = u};
    const uint64_t above = b.u - UINT64_C(0x3fe6a09e667f3bcd) + (UINT64_C(1024) << 52); /* as above, moved from 0 on */
    const wide_bits m = {.u = (above & UINT64_C(0x000fffffffffffff)) + UINT64_C(0x3fe6a09e667f3bcd)};
    const wide_bits n = {.u = (above >> 52) + UINT64_C(0x4330000000000000)};
    const double power = n.d - 4503599627370496.0 - 1024.0;
    const double s = (m.d - 1.0) / (m.d + 1.0), s2 = s * s;
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
#endif
    const REAL log_m = 2 * s + 2 * s * s2 * artanh;
    const REAL value = power * (REAL)0.69314718055994531 + (log_m + lost / u);
    return u > 0 ? value : u == 0 ? -(REAL)INFINITY : (REAL)NAN;
}

/* ln(1 + x) for x >= -1, of full relative precision near 0 */
INLINE REAL NAME(log1p_any)(REAL x) {
    const REAL u = 1 + x;
    return NAME(log_of)(u, x - (u - 1));
}

/* The same for x from 0 to 1 */
INLINE REAL NAME(log1p_unit)(REAL x) {
#if REAL_IS_FLOAT
    float poly = -3.256378479e-3f; /* ln(1 + x) / x, Chebyshev fit, error 5e-9 */
    poly = poly * x + 1.990716095e-2f;
    poly = poly * x - 5.70642008e-2f;
    poly = poly * x + 1.061426469e-1f;
    poly = poly * x - 1.53118631e-1f;
    poly = poly * x + 1.967811726e-1f;
    poly = poly * x - 2.495455887e-1f;
    poly = poly * x + 3.333000404e-1f;
    poly = poly * x - 4.999990399e-1f;
    return x * (poly * x + 1.0f);
#else
    return double_log1p_any(x);
#endif
}

/* x^c for x >= 0, c > 0 */
INLINE REAL NAME(power_any)(REAL x, REAL c) { return NAME(exp_any)(c * NAME(log_of)(x, 0)); }

#undef LEAST_EXPONENT
#undef MOST_EXPONENT
