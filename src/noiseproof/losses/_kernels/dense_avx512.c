#include "worker_body.h"

#ifdef HAS_VECTOR_SETS
AVX512 DENSE_WORKER(dense_avx512)
#endif
