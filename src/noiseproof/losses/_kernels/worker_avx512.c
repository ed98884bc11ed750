#include "worker_body.h"

#ifdef HAS_VECTOR_SETS
#ifdef __clang__
__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma"))) WORKER(work_avx512)
#else
__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma,prefer-vector-width=512"))) WORKER(work_avx512)
#endif
#endif
