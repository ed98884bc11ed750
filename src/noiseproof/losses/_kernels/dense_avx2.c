#include "worker_body.h"

#ifdef HAS_VECTOR_SETS
AVX2 DENSE_WORKER(dense_avx2)
#endif
