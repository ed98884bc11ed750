/* The sigmoid form: binary and multi-label targets. */
#ifndef NOISEPROOF_PAIRS_H
#define NOISEPROOF_PAIRS_H

#include "dense.h"

enum { PAIRS_NONE, PAIRS_SUM };

/* What one call is given, as cpu.py packs it (PAIRS). All numbers are of one real type; strides count numbers. */
typedef struct {
    const void *scores, *target, *weight, *positive; /* rows x columns; the factors or NULL */
    void *grad, *out;                                /* rows x columns, or NULL; the values, or their sum */
    int64_t rows, columns, weight_row, weight_column, positive_row, positive_column;
    double scale; /* of every gradient */
    int32_t dtype, reduction, threads, unused;
} PairCall;

#define REAL float
#define REAL_IS_FLOAT 1
#define NAME(x) float_##x
#include "pair_rows.h"
#undef REAL
#undef REAL_IS_FLOAT
#undef NAME

#define REAL double
#define REAL_IS_FLOAT 0
#define NAME(x) double_##x
#include "pair_rows.h"
#undef REAL
#undef REAL_IS_FLOAT
#undef NAME

typedef union {
    float_Pairs narrow;
    double_Pairs wide;
} Pairs;

INLINE int process_pairs(const Program *program, const PairCall *call, long first, long last, Pairs *pairs, double *total) {
    return call->dtype == FLOAT64 ? double_process_pairs(program, call, first, last, &pairs->wide, total)
                                  : float_process_pairs(program, call, first, last, &pairs->narrow, total);
}

#endif
