/* What one call of the kernel is given: addresses, sizes and settings, as cpu.py packs them (CALL) and node.cpp fills
 * them in. Strides count numbers, not bytes. */
#ifndef NOISEPROOF_CALL_H
#define NOISEPROOF_CALL_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const void *scores;    /* rows x classes of `dtype` */
    const int64_t *target; /* a label a row, or NULL where `soft` says what each row's classes share */
    const void *soft;      /* rows x classes, of the wide type: double for FLOAT64 scores, else float */
    const void *weight;    /* of each class, of the wide type, or NULL */
    void *grad;            /* rows x classes of `dtype`, or NULL; may be the scores themselves */
    const void *upstream;  /* the gradient that arrives at the values, of the wide type; NULL: 1 */
    void *out;             /* the values: one, or one a row under NONE; of the wide type */
    int64_t rows, classes, score_stride, soft_stride, grad_stride, upstream_stride, ignored;
    double smoothing;
    int32_t dtype, reduction, threads, unused;
} Call;

/* What comes back: the number of the first row with a label out of range, or */
enum { DONE = -1, NO_MEMORY = -2, NO_PROGRAM = -3, NO_DATA = -4 };

typedef int64_t (*RunCall)(const void *program, size_t size, const Call *call);

#endif
