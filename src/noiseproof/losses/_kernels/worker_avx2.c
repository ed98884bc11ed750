#include "worker_body.h"

#ifdef HAS_VECTOR_SETS
AVX2 WORKER(work_avx2)
#endif
