/* The workers of one instruction set: what they use is inlined. A file each, so that compilers run side by side. */
#include "worker.h"

#define WORKER(target, name)                                                                                           \
    target void name(Share *share, float *room, int size, Block *block, Pairs *pairs) {                                \
        if (pairs)                                                                                                     \
            share->is_finite =                                                                                         \
                process_pairs(share->program, share->pairs, share->first, share->last, pairs, &share->total);          \
        else                                                                                                           \
            process_rows(share->job, share->first, share->last, room, size, block);                                    \
    }

#define APART __attribute__((noinline)) static int

/* A function for each real type: in one, gcc takes four times as long for code that is slower. */
#define DENSE_WORKER(target, name)                                                                                     \
    target APART name##_float(const Job *job, long row, float_Room *room, double scale) {                              \
        return float_row(job, row, room, scale);                                                                       \
    }                                                                                                                  \
    target APART name##_double(const Job *job, long row, double_Room *room, double scale) {                            \
        return double_row(job, row, room, scale);                                                                      \
    }                                                                                                                  \
    target void name(Share *share, Dense *dense) {                                                                     \
        process_dense(share->job, share->first, share->last, dense, name##_float, name##_double);                      \
    }

#ifdef __clang__
#define AVX512 __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma")))
#else
#define AVX512 __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma,prefer-vector-width=512")))
#endif
#define AVX2 __attribute__((target("avx2,fma")))
