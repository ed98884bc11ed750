/* Every loss of the registry as one row kernel: value and gradient of N rows of K scores.
 *
 * With log p = z - logsumexp(z), a loss here is a function of the label's l = log p_y and of sums over the other classes,
 *
 *     S = sum log p_k    Q = sum p_k^2    U = sum max(log p_k - ln p_min, 0)    D, E = sums of focal terms
 *
 * each with a known gradient on the scores (psi_k is the derivative of the summed term by log p_k):
 *
 *     l: [j=y] - p_j        a sum: [j!=y] psi_j - p_j sum psi_k
 *
 * So the gradient of every loss is alpha + beta p_j + kappa p_j^2, plus multiples of psi_j for U, D and E, and its own
 * number at j = y. A row is read once, lies in scratch while the loss's program (program.h) turns its statistics into
 * these few numbers, and is written once. What would cancel is computed from its complement: 1 - p is a sum over the
 * other classes, never 1 minus something, for the label and for the class with the largest score (the rival).
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

#include "block.h"

/* The same code for the instruction sets there are; the best one is picked when the module is loaded. */

typedef void (*Worker)(const Job *, long, long, float *, int, Block *);

#define WORKER(name)                                                                                      \
    static void name(const Job *job, long first, long last, float *room, int size, Block *block) {        \
        work(job, first, last, room, size, block);                                                        \
    }

WORKER(work_anywhere)
#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx2,fma"))) WORKER(work_avx2)
#ifdef __clang__
__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma"))) WORKER(work_avx512)
#else
__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma,prefer-vector-width=512"))) WORKER(work_avx512)
#endif
#define HAS(feature) __builtin_cpu_supports(feature)
static int has_avx2(void) { return HAS("avx2") && HAS("fma"); }
static int has_avx512(void) {
    return HAS("avx512f") && HAS("avx512dq") && HAS("avx512bw") && HAS("avx512vl") && HAS("fma");
}
#endif
static int has_anything(void) { return 1; }

static const struct {
    const char *name;
    Worker worker;
    int (*is_supported)(void);
} WORKERS[] = {
#if defined(__x86_64__) && defined(__GNUC__)
    {"avx512", work_avx512, has_avx512},
    {"avx2", work_avx2, has_avx2},
#endif
    {"plain", work_anywhere, has_anything},
};

static Worker worker = work_anywhere;

/* Threads: each takes a share of the rows; they live for one call, which is only worth it for large work. */

#define MOST_THREADS 64
#define LEAST_SHARE (1L << 17) /* scores a thread must have to be started */

typedef struct {
    const Job *job;
    long first, last;
    int failed;
} Share;

static void *work_share(void *argument) {
    Share *share = argument;
    const Job *job = share->job;
    const size_t row = (size_t)padded_to_vector(job->k), arrays = (size_t)arrays_needed(job->program);
    size_t size = 16384 / row; /* 64 KiB of scores; or four rows, if that is up to 128 KiB */
    size = size < 4 && row <= 8192 ? 4 : size < 1 ? 1 : size > BLOCK ? BLOCK : size;
    float *room = NULL;
    Block *block = NULL;
    share->failed = posix_memalign((void **)&room, 64, 2 * row * arrays * size * sizeof(float)) != 0 ||
                    posix_memalign((void **)&block, 64, sizeof(Block)) != 0;
    if (!share->failed) worker(job, share->first, share->last, room, (int)size, block);
    free(room), free(block);
    return NULL;
}

static int work_all(const Job *job, long threads) {
    const double scores = (double)job->n * (double)job->k;
    if (threads > (long)(scores / LEAST_SHARE)) threads = (long)(scores / LEAST_SHARE);
    threads = threads < 1 ? 1 : threads > MOST_THREADS ? MOST_THREADS : threads;
    Share shares[MOST_THREADS];
    pthread_t handles[MOST_THREADS];
    int started[MOST_THREADS] = {0}, failed = 0;
    for (long t = 0; t < threads; t++)
        shares[t] = (Share){job, job->n * t / threads, job->n * (t + 1) / threads, 0};
    for (long t = 1; t < threads; t++) started[t] = !pthread_create(handles + t, NULL, work_share, shares + t);
    for (long t = 0; t < threads; t++)
        if (!started[t]) work_share(shares + t); /* the first share, and those no thread could be had for */
    for (long t = 0; t < threads; t++) {
        if (started[t]) pthread_join(handles[t], NULL);
        failed |= shares[t].failed;
    }
    return failed;
}

/* The door from Python. Addresses and sizes come from cpu.py, which has checked them. */

enum { NONE, MEAN, SUM };
#define ARGUMENTS 16

static PyObject *run(PyObject *module, PyObject *const *argument, Py_ssize_t count) {
    (void)module;
    if (count != ARGUMENTS) return PyErr_Format(PyExc_TypeError, "run takes %d arguments, got %zd", ARGUMENTS, count);
    char *text;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(argument[0], &text, &size) < 0) return NULL;
    long long a[ARGUMENTS];
    for (int i = 1; i < ARGUMENTS; i++) a[i] = PyLong_AsLongLong(argument[i]);
    if (PyErr_Occurred()) return NULL;
    Job job = {
        .program = (const Program *)text,
        .scores = (const char *)(intptr_t)a[1],
        .dtype = (int)a[2],
        .score_stride = (long)a[3],
        .n = (long)a[4],
        .k = (long)a[5],
        .target = (const int64_t *)(intptr_t)a[6],
        .weight = (const float *)(intptr_t)a[7],
        .ignored = a[8],
        .grad = (char *)(intptr_t)a[11],
        .grad_stride = (long)a[12],
        .upstream = (const float *)(intptr_t)a[13],
        .upstream_stride = (long)a[14],
        .scale = 1,
    };
    const int reduction = (int)a[9];
    float *out = (float *)(intptr_t)a[10];
    const long threads = (long)a[15];
    if (!program_is_sound(job.program, (size_t)size) || job.dtype < FLOAT32 || job.dtype > FLOAT16 || job.k < 1 ||
        job.k > INT32_MAX - VECTOR)
        return PyErr_Format(PyExc_ValueError, "not a program of noiseproof.losses._kernels.forms");

    double kept = 0;
    for (long i = 0; i < job.n; i++) {
        const int64_t y = job.target[i];
        if (y == job.ignored) continue;
        if (y < 0 || y >= job.k) return PyLong_FromLong(i);
        kept += job.weight ? job.weight[y] : 1;
    }
    if (reduction == MEAN) job.scale = 1 / kept;
    double few[128];
    job.values = job.n <= 128 ? few : malloc((size_t)job.n * sizeof(double));
    if (!job.values) return PyErr_NoMemory();
    int failed;
    Py_BEGIN_ALLOW_THREADS;
    failed = work_all(&job, threads);
    Py_END_ALLOW_THREADS;
    if (!failed && reduction == NONE)
        for (long i = 0; i < job.n; i++) out[i] = (float)job.values[i];
    else if (!failed) {
        double sum = 0;
        for (long i = 0; i < job.n; i++) sum += job.values[i];
        out[0] = (float)(reduction == MEAN ? sum / kept : sum);
    }
    if (job.values != few) free(job.values);
    return failed ? PyErr_NoMemory() : PyLong_FromLong(-1);
}

static PyObject *use(PyObject *module, PyObject *wanted) {
    char *name;
    Py_ssize_t size;
    PyObject *text = PyUnicode_AsUTF8String(wanted);
    if (!text) return NULL;
    int found = 0;
    if (!PyBytes_AsStringAndSize(text, &name, &size))
        for (size_t i = 0; i < sizeof WORKERS / sizeof *WORKERS && !found; i++)
            if (!strcmp(WORKERS[i].name, name) && WORKERS[i].is_supported()) worker = WORKERS[i].worker, found = 1;
    if (found) found = PyObject_SetAttrString(module, "instructions", wanted) == 0;
    Py_DECREF(text);
    return found ? Py_NewRef(Py_True) : PyErr_Occurred() ? NULL : Py_NewRef(Py_False);
}

static PyMethodDef methods[] = {
    {"run", (PyCFunction)(void (*)(void))run, METH_FASTCALL,
     "Value and gradient of a row program; the number of the first row with a label out of range, else -1."},
    {"use", use, METH_O, "Use the instructions of this name (avx512, avx2, plain); False if they are not there."},
    {NULL, NULL, 0, NULL},
};

static int prepare(PyObject *module) {
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
#endif
    size_t i = 0;
    while (!WORKERS[i].is_supported()) i++;
    worker = WORKERS[i].worker;
    return PyModule_AddStringConstant(module, "instructions", WORKERS[i].name);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, prepare}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_kernel",
    .m_doc = "The row kernel of the losses, see block.h.",
    .m_slots = slots,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModuleDef_Init(&definition); }
