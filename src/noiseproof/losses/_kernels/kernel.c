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
 * other classes, never 1 minus something, for the label and for the class with the largest score (the runner_up).
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

#include "call.h"
#include "worker.h"

enum { NONE, MEAN, SUM };

/* The same code for each instruction set that setup.py names; the best one is picked when the module is loaded. */

#ifdef HAS_VECTOR_SETS
#define HAS(feature) __builtin_cpu_supports(feature)
static inline int has_avx2(void) { return HAS("avx2") && HAS("fma"); }
static inline int has_avx512(void) {
    return HAS("avx512f") && HAS("avx512dq") && HAS("avx512bw") && HAS("avx512vl") && HAS("fma");
}
#endif
static inline int has_plain(void) { return 1; }

typedef struct {
    const char *name;
    Worker *work;
    DenseWorker *work_dense;
    int (*is_supported)(void);
} InstructionSet;

static const InstructionSet SETS[] = {
#if defined(HAS_VECTOR_SETS) && defined(WITH_AVX512)
    {"avx512", work_avx512, dense_avx512, has_avx512},
#endif
#if defined(HAS_VECTOR_SETS) && defined(WITH_AVX2)
    {"avx2", work_avx2, dense_avx2, has_avx2},
#endif
#ifdef WITH_PLAIN
    {"plain", work_plain, dense_plain, has_plain},
#endif
};

static const InstructionSet *const END = SETS + sizeof SETS / sizeof *SETS, *used;

/* Threads: each takes a share of the rows; they live for one call, which is only worth it for large work. */

#define MOST_THREADS 64
#define LEAST_SHARE (1L << 17) /* scores a thread must have to be started */

/* Whether more than the given label counts in a row, or more digits than a float has. */
static int is_dense(const Job *job) { return job->soft || job->smoothing != 0 || job->dtype == FLOAT64; }

static void *work_share(void *argument) {
    Share *share = argument;
    if (share->pairs) {
        Pairs *pairs = NULL;
        share->failed = posix_memalign((void **)&pairs, 64, sizeof(Pairs)) != 0;
        if (!share->failed) used->work(share, NULL, 0, NULL, pairs);
        free(pairs);
        return NULL;
    }
    const Job *job = share->job;
    const size_t row = (size_t)padded_to_vector(job->k), arrays = (size_t)arrays_needed(job->program);
    size_t size = 16384 / row; /* 64 KiB of scores; or four rows, if that is up to 128 KiB */
    size = size < 4 && row <= 8192 ? 4 : size < 1 ? 1 : size > BLOCK ? BLOCK : size;
    float *room = NULL;
    Block *block = NULL;
    Dense *dense = NULL;
    if (is_dense(job)) {
        share->failed = posix_memalign((void **)&dense, 64, dense_size((int)job->k)) != 0;
        if (!share->failed) used->work_dense(share, dense);
        free(dense);
        return NULL;
    }
    share->failed = posix_memalign((void **)&room, 64, 2 * row * arrays * size * sizeof(float)) != 0 ||
                    posix_memalign((void **)&block, 64, sizeof(Block)) != 0;
    if (!share->failed) used->work(share, room, (int)size, block, NULL);
    free(room), free(block);
    return NULL;
}

/* What `whole` says, by as many threads as are worth it; its results are those of all shares. */
static void work_all(Share *whole, long rows, double scores, long threads) {
    if (threads > (long)(scores / LEAST_SHARE)) threads = (long)(scores / LEAST_SHARE);
    threads = threads < 1 ? 1 : threads > MOST_THREADS ? MOST_THREADS : threads;
    Share shares[MOST_THREADS];
    pthread_t handles[MOST_THREADS];
    int started[MOST_THREADS] = {0};
    for (long t = 0; t < threads; t++) {
        shares[t] = *whole;
        shares[t].first = rows * t / threads, shares[t].last = rows * (t + 1) / threads;
    }
    for (long t = 1; t < threads; t++) started[t] = !pthread_create(handles + t, NULL, work_share, shares + t);
    for (long t = 0; t < threads; t++)
        if (!started[t]) work_share(shares + t); /* the first share, and those no thread could be had for */
    whole->is_finite = 1;
    for (long t = 0; t < threads; t++) {
        if (started[t]) pthread_join(handles[t], NULL);
        whole->failed |= shares[t].failed;
        whole->is_finite &= shares[t].is_finite;
        whole->total += shares[t].total;
    }
}

/* The doors: `run_call` for C++ (as a capsule), `run` for Python. */

/* Labels are read once: another thread may write them while the kernel runs. */
static int64_t read_labels(const Call *call, int64_t *labels, double *kept) {
    *kept = call->soft ? (double)call->rows : 0;
    if (call->soft) return DONE;
    for (int64_t i = 0; i < call->rows; i++) {
        const int64_t y = labels[i] = ((volatile const int64_t *)call->target)[i];
        if (y == call->ignored) continue;
        if (y < 0 || y >= call->classes) return i;
        *kept += !call->weight             ? 1
                 : call->dtype == FLOAT64 ? ((const double *)call->weight)[y]
                                          : (double)((const float *)call->weight)[y];
    }
    return DONE;
}

static void hand_out(const Call *call, const double *values, double kept) {
    const int wide = call->dtype == FLOAT64;
    float *out = call->out;
    double sum = 0, *wide_out = call->out;
    for (int64_t i = 0; i < call->rows; i++) sum += values[i];
    if (call->reduction == MEAN) sum /= kept;
    const int64_t count = call->reduction == NONE ? call->rows : 1;
    for (int64_t i = 0; i < count; i++) {
        const double value = call->reduction == NONE ? values[i] : sum;
        if (wide)
            wide_out[i] = value;
        else
            out[i] = (float)value;
    }
}

#define FEW 128 /* rows whose labels and values lie on the stack */

static int64_t run_call(const void *program, size_t size, const Call *call) {
    if (!program_is_sound(program, size) || call->dtype < FLOAT32 || call->dtype > FLOAT64 || call->classes < 1 ||
        call->classes > INT32_MAX - VECTOR)
        return NO_PROGRAM;
    if (!call->scores || !(call->target || call->soft) || !call->out) return NO_DATA;
    int64_t few_labels[FEW], *labels = few_labels;
    double few_values[FEW], *values = few_values;
    if (call->rows > FEW) {
        labels = malloc((size_t)call->rows * sizeof(int64_t));
        values = malloc((size_t)call->rows * sizeof(double));
    }
    double kept = 0;
    int64_t result = labels && values ? read_labels(call, labels, &kept) : NO_MEMORY;
    if (result == DONE) {
        const Job job = {
            .program = program,
            .scores = call->scores,
            .dtype = call->dtype,
            .score_stride = call->score_stride,
            .n = call->rows,
            .k = call->classes,
            .target = labels,
            .soft = call->soft,
            .soft_stride = call->soft_stride,
            .smoothing = call->smoothing,
            .weight = call->weight,
            .ignored = call->ignored,
            .values = values,
            .grad = call->grad,
            .grad_stride = call->grad_stride,
            .upstream = call->upstream,
            .upstream_stride = call->upstream_stride,
            .scale = call->reduction == MEAN ? 1 / kept : 1,
        };
        Share whole = {.job = &job};
        work_all(&whole, call->rows, (double)call->rows * (double)call->classes, call->threads);
        if (whole.failed)
            result = NO_MEMORY;
        else
            hand_out(call, values, kept);
    }
    if (labels != few_labels) free(labels);
    if (values != few_values) free(values);
    return result;
}

static PyObject *run(PyObject *module, PyObject *const *argument, Py_ssize_t count) {
    (void)module;
    char *program, *packed;
    Py_ssize_t size, call_size;
    if (count != 2) return PyErr_Format(PyExc_TypeError, "run takes a program and a call, got %zd arguments", count);
    if (PyBytes_AsStringAndSize(argument[0], &program, &size) < 0 ||
        PyBytes_AsStringAndSize(argument[1], &packed, &call_size) < 0)
        return NULL;
    if (call_size != sizeof(Call))
        return PyErr_Format(PyExc_ValueError, "not a call of noiseproof.losses._kernels.cpu");
    Call call;
    memcpy(&call, packed, sizeof call);
    int64_t result;
    Py_BEGIN_ALLOW_THREADS;
    result = run_call(program, (size_t)size, &call);
    Py_END_ALLOW_THREADS;
    switch (result) {
    case NO_MEMORY: return PyErr_NoMemory();
    case NO_PROGRAM: return PyErr_Format(PyExc_ValueError, "not a program of noiseproof.losses._kernels.forms");
    case NO_DATA: return PyErr_Format(PyExc_RuntimeError, "the tensor's data is not allocated (its storage is empty)");
    }
    return PyLong_FromLongLong(result);
}

static PyObject *run_pairs(PyObject *module, PyObject *const *argument, Py_ssize_t count) {
    (void)module;
    char *program, *packed;
    Py_ssize_t size, call_size;
    if (count != 2) return PyErr_Format(PyExc_TypeError, "run_pairs takes a program and a call, got %zd arguments", count);
    if (PyBytes_AsStringAndSize(argument[0], &program, &size) < 0 ||
        PyBytes_AsStringAndSize(argument[1], &packed, &call_size) < 0)
        return NULL;
    PairCall call;
    if (call_size != sizeof call || !program_is_sound((const Program *)program, (size_t)size))
        return PyErr_Format(PyExc_ValueError, "not a program and a call of noiseproof.losses._kernels");
    memcpy(&call, packed, sizeof call);
    if (!call.scores || !call.target || !call.out)
        return PyErr_Format(PyExc_RuntimeError, "the tensor's data is not allocated (its storage is empty)");
    Share whole = {.pairs = &call, .program = (const Program *)program};
    Py_BEGIN_ALLOW_THREADS;
    work_all(&whole, call.rows, (double)call.rows * (double)call.columns, call.threads);
    Py_END_ALLOW_THREADS;
    if (whole.failed) return PyErr_NoMemory();
    if (call.reduction == PAIRS_SUM) {
        if (call.dtype == FLOAT64)
            *(double *)call.out = whole.total * call.scale;
        else
            *(float *)call.out = (float)(whole.total * call.scale);
    }
    return Py_NewRef(whole.is_finite ? Py_True : Py_False);
}

static PyObject *use(PyObject *module, PyObject *wanted) {
    char *name;
    Py_ssize_t size;
    PyObject *text = PyUnicode_AsUTF8String(wanted);
    if (!text) return NULL;
    int found = 0;
    if (!PyBytes_AsStringAndSize(text, &name, &size))
        for (const InstructionSet *set = SETS; set < END && !found; set++)
            if (!strcmp(set->name, name) && set->is_supported()) used = set, found = 1;
    if (found) found = PyObject_SetAttrString(module, "instructions", wanted) == 0;
    Py_DECREF(text);
    return found ? Py_NewRef(Py_True) : PyErr_Occurred() ? NULL : Py_NewRef(Py_False);
}

static PyMethodDef methods[] = {
    {"run", (PyCFunction)(void (*)(void))run, METH_FASTCALL,
     "Value and gradient of a row program; the number of the first row with a label out of range, else -1."},
    {"run_pairs", (PyCFunction)(void (*)(void))run_pairs, METH_FASTCALL,
     "Value and gradient of the sigmoid form; False where a score is infinite or NaN."},
    {"use", use, METH_O, "Use the instructions of this name (avx512, avx2, plain); False if they are not there."},
    {NULL, NULL, 0, NULL},
};

static int prepare(PyObject *module) {
#ifdef HAS_VECTOR_SETS
    __builtin_cpu_init();
#endif
    used = SETS;
    while (used < END && !used->is_supported()) used++;
    if (used == END) {
        PyErr_SetString(PyExc_ImportError, "compiled for another processor");
        return -1;
    }
    static RunCall door = run_call;
    PyObject *capsule = PyCapsule_New((void *)&door, "noiseproof.run_call", NULL);
    if (!capsule || PyModule_AddObjectRef(module, "run_call", capsule) < 0) return -1;
    Py_DECREF(capsule);
    return PyModule_AddStringConstant(module, "instructions", used->name);
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
