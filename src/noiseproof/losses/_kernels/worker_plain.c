#include "worker_body.h"

WORKER(, work_plain)
