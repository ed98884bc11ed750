/* Passes over one row. A row lies in scratch as floats, padded to whole vectors; entries that must not count in a sum
 * (the label's own, padding) are buried: set to -infinity. A pass maps a chunk of the row into arrays and then adds
 * these up: floats within a chunk, doubles across chunks.
 */
#ifndef NOISEPROOF_PASSES_H
#define NOISEPROOF_PASSES_H

#include <float.h>
#include <stddef.h>
#include <string.h>

#include "numbers.h"

#define VECTOR 16  /* floats; the widest registers hold as many */
#define CHUNK 512

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

INLINE float largest(const float *x, int n) {
    float high = -INFINITY;
#pragma omp simd reduction(max : high)
    for (int i = 0; i < n; i++) high = x[i] > high ? x[i] : high;
    return high;
}

INLINE float smallest(const float *x, int n) {
    float low = INFINITY;
#pragma omp simd reduction(min : low)
    for (int i = 0; i < n; i++) low = x[i] < low ? x[i] : low;
    return low;
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

/* Sums of a chunk, in lanes that are added as a tree. */

typedef float lanes __attribute__((vector_size(VECTOR * sizeof(float)), may_alias));
typedef float half_lanes __attribute__((vector_size(VECTOR / 2 * sizeof(float))));
typedef float quarter_lanes __attribute__((vector_size(VECTOR / 4 * sizeof(float))));

INLINE double add_lanes(lanes sum) {
    union {
        lanes whole;
        half_lanes half[2];
    } eight = {.whole = sum};
    union {
        half_lanes whole;
        quarter_lanes half[2];
    } four = {.whole = eight.half[0] + eight.half[1]};
    quarter_lanes s = four.half[0] + four.half[1];
    return (double)(s[0] + s[1]) + (double)(s[2] + s[3]);
}

INLINE double total(const float *a, int n) {
    lanes even = {0}, odd = {0};
    int i = 0;
    for (; i + VECTOR < n; i += 2 * VECTOR) even += *(const lanes *)(a + i), odd += *(const lanes *)(a + i + VECTOR);
    if (i < n) even += *(const lanes *)(a + i);
    return add_lanes(even + odd);
}

INLINE double total_of_squares(const float *a, int n) {
    lanes even = {0}, odd = {0};
    int i = 0;
    for (; i + VECTOR < n; i += 2 * VECTOR) {
        lanes one = *(const lanes *)(a + i), other = *(const lanes *)(a + i + VECTOR);
        even += one * one, odd += other * other;
    }
    if (i < n) even += *(const lanes *)(a + i) * *(const lanes *)(a + i);
    return add_lanes(even + odd);
}

#define BUFFER(name) float name[CHUNK] __attribute__((aligned(VECTOR * sizeof(float))))

typedef struct {
    double e, e2, x; /* sums of e^(x - high) and, if asked for, of its square and of x - high */
} Sums;

/* LIFTED * e^(x - high) of every entry, and the sums (not lifted). `e` may be `x`. */
INLINE Sums exponentials(const float *x, float *e, int n, float high, int squares, int scores) {
    Sums sums = {0, 0, 0};
    FOR_CHUNKS(n) {
        const float *score = x + from;
        float *to = e + from;
        if (scores) {
            BUFFER(below);
#pragma omp simd
            for (int i = 0; i < size; i++) below[i] = score[i] == -INFINITY ? 0.0f : score[i] - high;
            sums.x += total(below, size);
        }
#pragma omp simd
        for (int i = 0; i < size; i++) to[i] = exp_difference(score[i], high);
        sums.e += total(to, size);
        if (squares) sums.e2 += total_of_squares(to, size);
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
        BUFFER(u);
        BUFFER(kept);
        const float *score = x + from;
#pragma omp simd
        for (int i = 0; i < size; i++) {
            float above = (score[i] - high) - floor;
            u[i] = above >= 0.0f ? above : 0.0f;
            kept[i] = above >= 0.0f ? 1.0f : 0.0f;
        }
        sums.u += total(u, size), sums.psi += total(kept, size);
    }
    return sums;
}

typedef struct {
    double d, d_psi, e, e_psi; /* sums of the focal terms, without and with the floor, and of their derivatives */
} Focal;

/* The focal terms of every entry (p <= 1/2: label and rival are buried); their derivatives stay in `d_psi`, `e_psi`.
 *
 * term D = w log p, term E = w max(log p, ln p_min) - ln p_min, w = (1-p)^focus; psi is the derivative by log p, with
 * w held constant unless `attached`.
 */
INLINE Focal focal(const float *x, const float *e, float *d_psi, float *e_psi, int n, float high, float inverse_z,
                   float log_z, float focus, float floor, int attached) {
    Focal sums = {0, 0, 0, 0};
    FOR_CHUNKS(n) {
        BUFFER(d_term);
        BUFFER(e_term);
        const float *score = x + from, *exponential = e + from;
        float *d_slope = d_psi + from, *e_slope = e_psi + from;
#pragma omp simd
        for (int i = 0; i < size; i++) {
            float p = exponential[i] * inverse_z, log_p = (score[i] - high) - log_z;
            float missing = one_minus_power(p, focus), w = 1.0f - missing;
            float above = log_p - floor, u = above >= 0.0f ? above : 0.0f;
            float kept = above >= 0.0f ? w : 0.0f;
            float pull = attached ? focus * p * w / (1.0f - p) : 0.0f;
            float finite = log_p > -200.0f ? log_p : -200.0f; /* p is 0 there */
            d_term[i] = score[i] == -INFINITY ? 0.0f : w * log_p;
            e_term[i] = w * u - floor * missing;
            d_slope[i] = w - pull * finite;
            e_slope[i] = kept - pull * (u + floor);
        }
        sums.d += total(d_term, size), sums.d_psi += total(d_slope, size);
        sums.e += total(e_term, size), sums.e_psi += total(e_slope, size);
    }
    return sums;
}

#endif
