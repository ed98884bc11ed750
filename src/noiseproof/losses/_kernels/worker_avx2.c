#include "worker_body.h"

#ifdef HAS_VECTOR_SETS
__attribute__((target("avx2,fma"))) WORKER(work_avx2)
#endif
