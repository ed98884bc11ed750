/* Passes over one row. A row lies in scratch as floats, padded to whole vectors; entries that must not count in a sum
 * (the label's own, padding) are buried: set to -infinity. Sums are of floats within a chunk of the row, in the lanes of
 * a vector, and of doubles across chunks.
 */
#ifndef NOISEPROOF_PASSES_H
#define NOISEPROOF_PASSES_H

#include <float.h>
#include <stddef.h>
#include <string.h>

#include "numbers.h"

#define VECTOR 16  /* floats; the widest registers hold as many */
#define CHUNK 128

enum { FLOAT32, BFLOAT16, FLOAT16 };

/* `from`, `size` of each chunk. Loops index from a chunk's own start: some compilers gather x[from + i] one by one. */
#define FOR_CHUNKS(n)                                                                                     \
    for (int from = 0, size; from < (n) && (size = (n) - from < CHUNK ? (n) - from : CHUNK); from += size)

INLINE void read_row(float *x, const void *scores, int dtype, int k, int padded) {
    if (dtype == FLOAT32)
        memcpy(x, scores, (size_t)k * sizeof(float));
    else if (dtype == BFLOAT16)
        for (int i = 0; i < k; i++) x[i] = from_bf16(((const uint16_t *)scores)[i]);
    else
        for (int i = 0; i < k; i++) x[i] = from_half(((const uint16_t *)scores)[i]);
    for (int i = k; i < padded; i++) x[i] = x[0];
}

INLINE void write_row(void *grad, const float *g, int dtype, int k) {
    if (dtype == FLOAT32)
        memcpy(grad, g, (size_t)k * sizeof(float));
    else if (dtype == BFLOAT16)
        for (int i = 0; i < k; i++) ((uint16_t *)grad)[i] = to_bf16(g[i]);
    else
        for (int i = 0; i < k; i++) ((uint16_t *)grad)[i] = to_half(g[i]);
}

INLINE void write_one(void *grad, long i, float g, int dtype) {
    if (dtype == FLOAT32)
        ((float *)grad)[i] = g;
    else
        ((uint16_t *)grad)[i] = dtype == BFLOAT16 ? to_bf16(g) : to_half(g);
}

typedef struct {
    float low, high;
} Range;

INLINE Range range(const float *x, int n) {
    float low = INFINITY, high = -INFINITY;
#pragma omp simd reduction(min : low) reduction(max : high)
    for (int i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    return (Range){low, high};
}

/* The first i with x[i] == value; n where there is none. */
INLINE int first_equal(const float *x, float value, int n) {
    FOR_CHUNKS(n) {
        const float *part = x + from;
        int found = CHUNK;
#pragma omp simd reduction(min : found)
        for (int i = 0; i < size; i++) {
            int here = part[i] == value ? i : CHUNK;
            found = here < found ? here : found;
        }
        if (found < CHUNK) return from + found;
    }
    return n;
}

typedef struct {
    double e, e2, x; /* sums of e^(x - high) and, if asked for, of its square and of x - high */
} Sums;

/* LIFTED * e^(x - high) of every entry, and the sums (not lifted). `e` may be `x`. */
INLINE Sums exponentials(const float *x, float *e, int n, float high, const int squares, const int scores) {
    Sums sums = {0, 0, 0};
    FOR_CHUNKS(n) {
        const float *score = x + from;
        float *to = e + from, sum_e = 0, sum_e2 = 0, sum_x = 0;
#pragma omp simd reduction(+ : sum_e, sum_e2, sum_x)
        for (int i = 0; i < size; i++) {
            const float own = score[i], value = exp_difference(own, high);
            if (scores) sum_x += own == -INFINITY ? 0.0f : own - high;
            to[i] = value;
            sum_e += value;
            if (squares) sum_e2 += value * value;
        }
        sums.e += sum_e, sums.e2 += sum_e2, sums.x += sum_x;
    }
    sums.e /= LIFTED, sums.e2 /= LIFTED * LIFTED;
    return sums;
}

typedef struct {
    double u, psi; /* sums of max(log p - ln p_min, 0) and of [p >= p_min] */
} Floored;

INLINE Floored floored(const float *x, int n, float high, float floor) {
    Floored sums = {0, 0};
    FOR_CHUNKS(n) {
        const float *score = x + from;
        float u = 0, psi = 0;
#pragma omp simd reduction(+ : u, psi)
        for (int i = 0; i < size; i++) {
            const float above = (score[i] - high) - floor;
            u += above >= 0.0f ? above : 0.0f;
            psi += above >= 0.0f ? 1.0f : 0.0f;
        }
        sums.u += u, sums.psi += psi;
    }
    return sums;
}

typedef struct {
    double d, d_psi, e, e_psi; /* sums of the focal terms, without and with the floor, and of their derivatives */
} Focal;

/* The focal terms of every entry (p <= 1/2: label and rival are buried); their derivatives stay in `d_psi`, `e_psi`.
 *
 * term D = w log p, term E = w max(log p, ln p_min) - ln p_min, w = (1-p)^focus; psi is the derivative by log p, with
 * w held constant unless `attached`. E only if there is a floor; `root`: focus is 1/2.
 */
INLINE Focal focal(const float *x, const float *e, float *d_psi, float *e_psi, int n, float high, float inverse_z,
                   float log_z, float focus, float floor, const int attached, const int root, const int floors) {
    Focal sums = {0, 0, 0, 0};
    FOR_CHUNKS(n) {
        const float *score = x + from, *exponential = e + from;
        float *d_slope = d_psi + from, *e_slope = e_psi + from, d = 0, d_sum = 0, term = 0, e_sum = 0;
#pragma omp simd reduction(+ : d, d_sum, term, e_sum)
        for (int i = 0; i < size; i++) {
            const float p = exponential[i] * inverse_z, log_p = (score[i] - high) - log_z;
            const float missing = root ? one_minus_root(p) : one_minus_power(p, focus), w = 1.0f - missing;
            const float pull = attached ? focus * p * w / (1.0f - p) : 0.0f;
            const float finite = log_p > -200.0f ? log_p : -200.0f; /* p is 0 there */
            const float by_d = w - pull * finite;
            d += score[i] == -INFINITY ? 0.0f : w * log_p;
            d_sum += d_slope[i] = by_d;
            if (floors) {
                const float above = log_p - floor, u = above >= 0.0f ? above : 0.0f;
                const float by_e = (above >= 0.0f ? w : 0.0f) - pull * (u + floor);
                term += w * u - floor * missing;
                e_sum += e_slope[i] = by_e;
            }
        }
        sums.d += d, sums.d_psi += d_sum, sums.e += term, sums.e_psi += e_sum;
    }
    return sums;
}

#endif
