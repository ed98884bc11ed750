/* Passes over one row. A row lies in scratch as floats, padded to whole vectors; entries that must not count in a sum
 * (the label's own, padding) are masked out: set to -infinity. Sums are of floats within a chunk of the row, in the lanes of
 * a vector, and of doubles across chunks.
 */
#ifndef NOISEPROOF_PASSES_H
#define NOISEPROOF_PASSES_H

#include <float.h>
#include <stddef.h>
#include <string.h>

#include "numbers.h"

#define VECTOR 16  /* floats; the widest registers hold as many */
#define CHUNK 256

enum { FLOAT32, BFLOAT16, FLOAT16, FLOAT64 }; /* in the order of cpu.py */

/* `from`, `size` of each chunk of a row, `at` of each vector of a chunk, its lanes `v`. */
#define FOR_CHUNKS(n)                                                                                     \
    for (int from = 0, size; from < (n) && (size = (n) - from < CHUNK ? (n) - from : CHUNK); from += size)
#define FOR_VECTORS for (int at = from; at < from + size; at += VECTOR)
#define FOR_LANES _Pragma("omp simd") for (int v = 0; v < VECTOR; v++)

INLINE int whole_vectors(int k) { return k & ~(VECTOR - 1); }

/* The smallest and the largest score of a row, and the first place of the largest. */
typedef struct {
    float low, high;
    int first;
} Range;

/* The same of each lane of the vectors, while the row is gone through. */
typedef struct {
    float low[VECTOR], high[VECTOR];
    int32_t first[VECTOR];
} Ranges;

INLINE void widen(Ranges *ranges, int at, int v, float own) {
    ranges->low[v] = own < ranges->low[v] ? own : ranges->low[v];
    const int32_t higher = -(own > ranges->high[v]); /* all bits; a choice would be made a branch */
    ranges->first[v] = (at & higher) | (ranges->first[v] & ~higher);
    ranges->high[v] = own > ranges->high[v] ? own : ranges->high[v];
}

/* Of the lanes together, and of the vector `x` at place `at`. */
INLINE Range range(const Ranges *ranges, const float *x, int at) {
    float low = INFINITY, high = -INFINITY;
    int first = INT32_MAX;
#pragma omp simd reduction(min : low) reduction(max : high)
    for (int v = 0; v < VECTOR; v++) {
        const float lower = x[v] < ranges->low[v] ? x[v] : ranges->low[v];
        const float higher = x[v] > ranges->high[v] ? x[v] : ranges->high[v];
        low = lower < low ? lower : low;
        high = higher > high ? higher : high;
    }
#pragma omp simd reduction(min : first)
    for (int v = 0; v < VECTOR; v++) {
        const int own = v + (ranges->high[v] == high ? ranges->first[v] : x[v] == high ? at : INT32_MAX - VECTOR);
        first = own < first ? own : first;
    }
    return (Range){low, high, first};
}

INLINE float number(const void *numbers, long i, const int dtype) {
    if (dtype == FLOAT32) return ((const float *)numbers)[i];
    const uint16_t half = ((const uint16_t *)numbers)[i];
    return dtype == BFLOAT16 ? from_bf16(half) : from_half(half);
}

/* Takes k scores to x, padded with the first one; their range, found on the way. */
INLINE Range read_numbers(float *x, const void *scores, int k, int padded, const int dtype) {
    const int whole = whole_vectors(k);
    Ranges ranges;
    FOR_LANES ranges.low[v] = INFINITY, ranges.high[v] = -INFINITY, ranges.first[v] = 0;
    for (int at = 0; at < whole; at += VECTOR)
        FOR_LANES {
            const float own = number(scores, at + v, dtype);
            x[at + v] = own;
            widen(&ranges, at, v, own);
        }
    if (whole < padded) {
        const float first = number(scores, 0, dtype);
        FOR_LANES x[whole + v] = whole + v < k ? number(scores, whole + v, dtype) : first;
    }
    return range(&ranges, x + padded - VECTOR, padded - VECTOR);
}

INLINE Range read_row(float *x, const void *scores, int dtype, int k, int padded) {
    return dtype == FLOAT32    ? read_numbers(x, scores, k, padded, FLOAT32)
           : dtype == BFLOAT16 ? read_numbers(x, scores, k, padded, BFLOAT16)
                               : read_numbers(x, scores, k, padded, FLOAT16);
}

INLINE void move(float *x, float by, int n) {
#pragma omp simd
    for (int i = 0; i < n; i++) x[i] -= by;
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

/* A sum under way: of each lane of the vectors, a float over a chunk and a double over the row. */
typedef struct {
    float part[VECTOR];
    double whole[VECTOR];
} Lanes;

INLINE void carry(Lanes *lanes) {
    FOR_LANES lanes->whole[v] += (double)lanes->part[v], lanes->part[v] = 0;
}

typedef double Doubles2 __attribute__((vector_size(16)));
typedef double Doubles4 __attribute__((vector_size(32)));
typedef double Doubles8 __attribute__((vector_size(64)));

/* By halves, as vectors: left to itself the compiler adds sixteen numbers one after the other. */
INLINE double total(const Lanes *lanes) {
    Doubles8 eight[2];
    memcpy(eight, lanes->whole, sizeof eight);
    eight[0] += eight[1];
    Doubles4 four[2];
    memcpy(four, eight, sizeof four);
    four[0] += four[1];
    Doubles2 two[2];
    memcpy(two, four, sizeof two);
    two[0] += two[1];
    return two[0][0] + two[0][1];
}

/* Rows the second cache is asked for while another is computed: one that will be read, one that will be written. */
typedef struct {
    const char *read, *write;
} Ahead;

typedef struct {
    double e, e2, x; /* sums of 2^-base e^x and, if asked for, of its square and of x - high */
} Sums;

/* A gradient of k floats that waits to be written: c0 + c1 e + c2 e^2, and two classes' own numbers. */
typedef struct {
    float *out; /* NULL: none waits */
    const float *e;
    int k, y, runner_up; /* the classes; runner_up -1: none */
    float c0, c1, c2, at_y, at_runner_up;
} Gradient;

INLINE void write_vector(const Gradient *g, float *out, int at) {
    FOR_LANES out[v] = g->c0 + g->e[at + v] * (g->c1 + g->c2 * g->e[at + v]);
}

/* Writes what is left of it, from `from` on. */
INLINE void finish(Gradient *g, int from) {
    const int whole = whole_vectors(g->k);
    for (int at = from; at < whole; at += VECTOR) write_vector(g, g->out + at, at);
    if (whole < g->k) {
        float tail[VECTOR];
        write_vector(g, tail, whole);
        memcpy(g->out + whole, tail, (size_t)(g->k - whole) * sizeof(float));
    }
    g->out[g->y] = g->at_y;
    if (g->runner_up >= 0) g->out[g->runner_up] = g->at_runner_up;
    g->out = NULL;
}

/* 2^(LIFT - base) e^x of every entry, and the sums (not lifted). `e` may be `x`. If `writes`, the gradient of another
 * row is written on the way: the processor computes while memory takes it. */
INLINE Sums exponentials(const float *x, float *e, int n, float high, float base, Ahead ahead, size_t number,
                         const Gradient *waiting, const int writes, const int squares, const int scores) {
    const Gradient gradient = writes ? *waiting : (Gradient){0};
    const int whole = whole_vectors(gradient.k);
    const float least = lowest(base);
    const uint32_t exponent = EXPONENT(LIFT - (int)base);
    Lanes sum_e = {0}, sum_e2 = {0}, sum_x = {0};
    FOR_CHUNKS(n) {
        FOR_VECTORS {
            if (writes && at < whole) write_vector(&gradient, gradient.out + at, at);
            __builtin_prefetch(ahead.read + at * number, 0, 2);
            __builtin_prefetch(ahead.write + at * number, 0, 2);
            FOR_LANES {
                const float own = x[at + v], value = exp_above(own, least, exponent);
                if (scores) sum_x.part[v] += own == -INFINITY ? 0.0f : own - high;
                e[at + v] = value;
                sum_e.part[v] += value;
                if (squares) sum_e2.part[v] += value * value;
            }
        }
        carry(&sum_e);
        if (squares) carry(&sum_e2);
        if (scores) carry(&sum_x);
    }
    return (Sums){total(&sum_e) / LIFTED, total(&sum_e2) / (LIFTED * LIFTED), total(&sum_x)};
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

/* The focal terms of every entry (p <= 1/2: label and runner_up are masked out); their derivatives stay in `d_psi`, `e_psi`.
 *
 * term D = w log p, term E = w max(log p, ln p_min) - ln p_min, w = (1-p)^focus; psi is the derivative by log p, with
 * w held constant unless `attached`. E only if there is a floor; `root`: focus is 1/2.
 */
INLINE Focal focal(const float *x, const float *e, float *d_psi, float *e_psi, int n, float high, float p_of_e,
                   float log_z, float focus, float floor, const int attached, const int root, const int floors) {
    Lanes d = {0}, d_slopes = {0}, terms = {0}, e_slopes = {0};
    FOR_CHUNKS(n) {
        FOR_VECTORS {
            FOR_LANES {
                const float score = x[at + v], p = e[at + v] * p_of_e, log_p = (score - high) - log_z;
                const float missing = root ? one_minus_root(p) : one_minus_power(p, focus), w = 1.0f - missing;
                const float pull = attached ? focus * p * w / (1.0f - p) : 0.0f;
                const float finite = log_p > -200.0f ? log_p : -200.0f; /* p is 0 there */
                const float by_d = attached ? w - pull * finite : w;
                d.part[v] += score == -INFINITY ? 0.0f : w * log_p;
                d_psi[at + v] = by_d;
                d_slopes.part[v] += by_d;
                if (floors) {
                    const float above = log_p - floor, u = above >= 0.0f ? above : 0.0f;
                    const float inside = above >= 0.0f ? w : 0.0f;
                    const float by_e = attached ? inside - pull * (u + floor) : inside;
                    terms.part[v] += w * u - floor * missing;
                    e_psi[at + v] = by_e;
                    e_slopes.part[v] += by_e;
                }
            }
        }
        carry(&d), carry(&d_slopes);
        if (floors) carry(&terms), carry(&e_slopes);
    }
    return (Focal){total(&d), total(&d_slopes), total(&terms), total(&e_slopes)};
}

#endif
