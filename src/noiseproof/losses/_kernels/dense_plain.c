#include "worker_body.h"

DENSE_WORKER(, dense_plain)
