/* The worker of one instruction set: everything is inlined into it. A file each, so that compilers run side by side. */
#include "worker.h"

#define WORKER(name)                                                                                                   \
    void name(Share *share, float *room, int size, Block *block, Dense *dense, Pairs *pairs) {                         \
        if (pairs)                                                                                                     \
            share->is_finite =                                                                                         \
                process_pairs(share->program, share->pairs, share->first, share->last, pairs, &share->total);          \
        else if (dense)                                                                                                \
            process_dense(share->job, share->first, share->last, dense);                                               \
        else                                                                                                           \
            process_rows(share->job, share->first, share->last, room, size, block);                                    \
    }
