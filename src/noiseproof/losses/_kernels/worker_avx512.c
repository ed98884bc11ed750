#include "worker_body.h"

#ifdef HAS_VECTOR_SETS
AVX512 WORKER(work_avx512)
#endif
