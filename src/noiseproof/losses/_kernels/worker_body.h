/* The workers of one instruction set: everything is inlined into them. A file each, so that compilers run side by side. */
#include "worker.h"

#define WORKER(name)                                                                                                   \
    void name(Share *share, float *room, int size, Block *block, Pairs *pairs) {                                       \
        if (pairs)                                                                                                     \
            share->is_finite =                                                                                         \
                process_pairs(share->program, share->pairs, share->first, share->last, pairs, &share->total);          \
        else                                                                                                           \
            process_rows(share->job, share->first, share->last, room, size, block);                                    \
    }

#define DENSE_WORKER(name)                                                                                             \
    void name(Share *share, Dense *dense) { process_dense(share->job, share->first, share->last, dense); }

#ifdef __clang__
#define AVX512 __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma")))
#else
#define AVX512 __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma,prefer-vector-width=512")))
#endif
#define AVX2 __attribute__((target("avx2,fma")))
