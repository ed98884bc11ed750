#include "worker_body.h"

#ifdef HAS_VECTOR_SETS
DENSE_WORKER(AVX512, dense_avx512)
#endif
