#include "worker_body.h"

#ifdef HAS_VECTOR_SETS
WORKER(AVX2, work_avx2)
#endif
