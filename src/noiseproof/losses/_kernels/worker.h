/* A thread's share of a call, and who works on it: the same code for each instruction set, see worker_body.h. */
#ifndef NOISEPROOF_WORKER_H
#define NOISEPROOF_WORKER_H

#include "dense.h"
#include "pairs.h"

/* A share of a call's rows, of one thread. */
typedef struct {
    const Job *job;        /* labels or shares of classes, or */
    const PairCall *pairs; /* the sigmoid form */
    const Program *program;
    long first, last;
    double total;         /* of the values of pairs */
    int failed, is_finite; /* no memory; no score of the pairs is infinite or NaN */
} Share;

typedef void Worker(Share *, float *, int, Block *, Pairs *);
typedef void DenseWorker(Share *, Dense *);

#if defined(__GNUC__)
#define HIDDEN __attribute__((visibility("hidden")))
#else
#define HIDDEN
#endif
HIDDEN Worker work_plain;
HIDDEN DenseWorker dense_plain;
#if defined(__x86_64__) && defined(__GNUC__)
#define HAS_VECTOR_SETS 1
HIDDEN Worker work_avx2, work_avx512;
HIDDEN DenseWorker dense_avx2, dense_avx512;
#endif

#endif
