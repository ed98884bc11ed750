#include "worker_body.h"

#ifdef HAS_VECTOR_SETS
DENSE_WORKER(AVX2, dense_avx2)
#endif
