#include "worker_body.h"

#ifdef HAS_VECTOR_SETS
WORKER(AVX512, work_avx512)
#endif
