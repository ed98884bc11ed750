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
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "passes.h"
#include "program.h"

typedef struct {
    const Program *program;
    const char *scores; /* rows of k numbers of `dtype`, `score_stride` apart */
    int dtype;
    long score_stride, n, k;
    const int64_t *target;
    const float *weight; /* of each class, or NULL */
    int64_t ignored;
    double *values; /* of each row */
    char *grad;     /* rows `grad_stride` apart, or NULL; may be the scores themselves */
    long grad_stride;
    const float *upstream; /* the gradient that arrives at the values, `upstream_stride` apart; NULL: 1 */
    long upstream_stride;
    double scale; /* of every gradient: 1 / denominator of the mean */
} Job;

typedef struct {
    int64_t y;
    float own, high, low; /* scores: of y, largest, smallest */
    int top;              /* y is the first of the largest */
    double masked;        /* how many other scores are -infinity */
    int rival, clamped;   /* a class singled out (find_rival), or -1; whether some p_k < p_min */
    double z, log_z;
    double psi_u, psi_d, psi_e;                /* sums over the classes that are neither y nor the rival */
    double p_rival, r_rival, u_rival, d_rival, e_rival; /* p, 1 - p and psi of the rival */
    double squares;                            /* sum of p^2, again without both */
} Row;

typedef struct {
    float *x, *e, *d_psi, *e_psi;
} Scratch;

static const size_t SIZES[] = {[FLOAT32] = 4, [BFLOAT16] = 2, [FLOAT16] = 2};

INLINE int padded_to_vector(long k) { return (int)((k + VECTOR - 1) & ~(long)(VECTOR - 1)); }

typedef struct {
    double d, d_slope, e, e_slope;
} FocalOne;

#define HUGE 1e30 /* the cross-entropy of a masked class in a sum, as in exact.py */

INLINE double count_masked(const float *x, long k) {
    long count = 0;
    for (long j = 0; j < k; j++) count += x[j] == -INFINITY;
    return (double)count;
}

/* The focal terms of one class, in double; `rest` is 1 - p. */
INLINE FocalOne focal_one(const Program *program, double p, double rest, double log_p) {
    double w = program->focus == 0.5 ? sqrt(rest) : pow(rest, program->focus), floor = program->log_floor;
    double missing = p < 0.5 ? -expm1(program->focus * log1p(-p)) : 1 - w;
    double above = log_p - floor;
    int kept = above >= 0;
    double pull = program->attached ? program->focus * p * w : 0;
    double chord = rest > 0 ? log_p / rest : -1; /* tends to -1 where p tends to 1 */
    return (FocalOne){
        .d = log_p > -INFINITY ? w * log_p : -HUGE,
        .d_slope = log_p > -INFINITY ? w - (pull > 0 ? pull * chord : 0) : 0,
        .e = w * (kept ? above : 0) - floor * missing,
        .e_slope = (kept ? w : 0) - (pull > 0 ? pull * (kept ? chord : floor / rest) : 0),
    };
}

/* The steps below run over a block of rows each, so that no row is read back while its stores are under way. */

/* Row i into scratch. */
INLINE void load(const Job *job, long i, Row *row, Scratch scratch) {
    row->y = job->target[i];
    if (row->y != job->ignored)
        read_row(scratch.x, job->scores + (size_t)i * job->score_stride * SIZES[job->dtype], job->dtype, (int)job->k,
                 padded_to_vector(job->k));
}

/* Its largest and smallest score; buries the label and the padding. */
INLINE void survey(const Job *job, Row *row, float *x) {
    const int k = (int)job->k, n = padded_to_vector(k), needs = job->program->needs;
    row->own = x[row->y];
    row->high = largest(x, n);
    row->low = needs & (NEEDS_S | NEEDS_U | NEEDS_FOCAL) ? smallest(x, n) : 0;
    row->top = needs & NEEDS_TOP && row->own == row->high && first_equal(x, row->high, k) == row->y;
    row->masked = row->low == -INFINITY ? count_masked(x, k) - (row->own == -INFINITY) : 0;
    x[row->y] = -INFINITY;
    for (int j = k; j < n; j++) x[j] = -INFINITY;
}

/* The largest other class has p near 1 where the label has p near 0: it is singled out, too. */
INLINE void find_rival(const Job *job, Row *row, float *x) {
    const int n = padded_to_vector(job->k);
    row->rival = row->own < row->high ? first_equal(x, row->high, n) : -1;
    if (row->rival >= 0) x[row->rival] = -INFINITY;
}

/* Where p_y is so near 1 that no float holds the rest, the largest of the others is singled out; its x - high. */
INLINE double find_runner_up(const Job *job, long i, Row *row, Scratch scratch) {
    const int n = padded_to_vector(job->k);
    float *x = scratch.x;
    load(job, i, row, scratch); /* the exponentials may lie over the scores */
    x[row->y] = -INFINITY;
    for (int j = (int)job->k; j < n; j++) x[j] = -INFINITY;
    const float next = largest(x, n);
    if (next > -INFINITY) {
        row->rival = first_equal(x, next, n);
        x[row->rival] = -INFINITY;
    }
    if (scratch.e == x) memset(x, 0, (size_t)n * sizeof(float));
    return (double)next - row->high;
}

/* The statistics of row b of the block; e^(x - high) stays in scratch. */
INLINE void measure(const Job *job, long i, Row *row, Scratch scratch, double (*stat)[BLOCK], int b) {
    const Program *program = job->program;
    const long k = job->k;
    const int n = padded_to_vector(k), needs = program->needs;
    float *x = scratch.x;
    const float high = row->high, own = row->own;
    const double masked = row->masked, others = (double)(k - 1);
    const Sums sums = exponentials(x, scratch.e, n, high, needs & NEEDS_Q, needs & (NEEDS_S | NEEDS_U));
    const double x_rival = sums.e == 0 && row->rival < 0 ? find_runner_up(job, i, row, scratch) : 0;

    const int rival = row->rival >= 0, y_is_top = own == high;
    const double x_y = (double)own - high, e_y = exp(x_y), e_rival = rival ? exp(x_rival) : 0;
    const double rest = sums.e + e_rival, z = rest + e_y, log_z = log1p(sums.e + (y_is_top ? e_rival : e_y));
    const double l = x_y - log_z, p = e_y / z, r = rest / z, l_rival = x_rival - log_z;
    row->z = z, row->log_z = log_z;
    row->squares = sums.e2 / (z * z);
    row->p_rival = e_rival / z, row->r_rival = (sums.e + e_y) / z;
    stat[K][b] = (double)k;
    stat[L][b] = l;
    stat[P][b] = p;
    stat[R][b] = r;
    stat[CHORD][b] = p > 0 ? r > 0 ? l / r : -1 : 0; /* it comes with a factor p */
    stat[TOP][b] = row->top;
    stat[S_Y][b] = own > -INFINITY ? l : -HUGE;
    stat[S_SLOPE][b] = own > -INFINITY;
    stat[S][b] = masked ? -HUGE * masked : sums.x - others * log_z;
    stat[Q][b] = row->squares + row->p_rival * row->p_rival;

    if (needs & NEEDS_U) {
        const double floor = program->log_floor, above = l - floor;
        stat[U_Y][b] = above > 0 ? above : 0;
        stat[U_SLOPE][b] = above >= 0;
        row->clamped = !((double)row->low - high - log_z >= floor);
        row->u_rival = rival && l_rival >= floor;
        if (row->clamped) {
            const Floored kept = floored(x, n, high, (float)(floor + log_z));
            stat[U][b] = kept.u + (row->u_rival ? l_rival - floor : 0);
            row->psi_u = kept.psi;
        } else {
            stat[U][b] = stat[S][b] - others * floor;
            row->psi_u = others - rival;
        }
    }
    if (needs & NEEDS_FOCAL) {
        FocalOne mine = focal_one(program, p, r, l), largest = {0, 0, 0, 0};
        if (rival) largest = focal_one(program, row->p_rival, row->r_rival, l_rival);
        const float inverse_z = (float)(1 / (z * LIFTED)), lz = (float)log_z, t = (float)program->focus;
        const float floor = (float)program->log_floor;
        const Focal terms =
            program->attached
                ? focal(x, scratch.e, scratch.d_psi, scratch.e_psi, n, high, inverse_z, lz, t, floor, 1)
                : focal(x, scratch.e, scratch.d_psi, scratch.e_psi, n, high, inverse_z, lz, t, floor, 0);
        stat[D_Y][b] = mine.d, stat[D_SLOPE][b] = mine.d_slope;
        stat[E_Y][b] = mine.e, stat[E_SLOPE][b] = mine.e_slope;
        stat[D][b] = masked ? -HUGE * masked : terms.d + largest.d;
        stat[E][b] = terms.e + largest.e;
        row->psi_d = terms.d_psi - (double)(n - k + 1 + rival); /* a buried entry has slope w = 1 */
        row->psi_e = terms.e_psi;
        row->d_rival = largest.d_slope, row->e_rival = largest.e_slope;
    }
}

/* A factor beyond the floats only meets probabilities that are 0 as floats. */
INLINE float to_finite(double v) { return (float)(v > FLT_MAX ? FLT_MAX : v < -FLT_MAX ? -FLT_MAX : v); }

/* Writes the gradient of row i from the program's slopes. */
INLINE void descend(const Job *job, long i, const Row *row, Scratch scratch, double (*stat)[BLOCK], int b) {
    const Program *program = job->program;
    const int dtype = job->dtype, k = (int)job->k, n = padded_to_vector(k);
    char *grad = job->grad + (size_t)i * job->grad_stride * SIZES[dtype];
    double slope[RESULTS];
    for (int s = 0; s < RESULTS; s++) slope[s] = program->results[s] < 0 ? 0 : stat[program->results[s]][b];
    const double weight = job->weight ? job->weight[row->y] : 1;
    const double scale = job->scale * weight * (job->upstream ? job->upstream[i * job->upstream_stride] : 1);

    const double p = stat[P][b], r = stat[R][b], p_rival = row->p_rival, r_rival = row->r_rival;
    const double l = slope[BY_L], s = slope[BY_S], q = slope[BY_Q], u = slope[BY_U], d = slope[BY_D], e = slope[BY_E];
    const int rival = row->rival >= 0;
    /* sums of psi over the others: without the rival, and with it */
    double psi = s * (double)(k - 1 - rival) + 2 * q * row->squares;
    double psi_rival = s;
    if (program->needs & NEEDS_U) psi += u * row->psi_u, psi_rival += u * row->u_rival;
    if (program->needs & NEEDS_FOCAL)
        psi += d * row->psi_d + e * row->psi_e, psi_rival += d * row->d_rival + e * row->e_rival;
    const double at_rival = psi_rival * r_rival + p_rival * (2 * q * p_rival * r_rival - psi - l);
    if (rival) psi += psi_rival + 2 * q * p_rival * p_rival;
    const double at_y = l * r - p * psi;
    const double alpha = s + (row->clamped ? 0 : u), beta = -(l + psi), kappa = 2 * q;

    const double lifted_z = row->z * LIFTED;
    const float c0 = (float)(scale * alpha), c1 = to_finite(scale * beta / lifted_z);
    const float c2 = (float)(scale * kappa / (lifted_z * lifted_z));
    const int simple = !row->clamped && !(program->needs & NEEDS_FOCAL);
    float *g = scratch.e;
    if (simple && dtype == FLOAT32) {
        float *out = (float *)grad;
        const int whole = k & ~(VECTOR - 1);
#pragma omp simd
        for (int j = 0; j < whole; j++) out[j] = c0 + g[j] * (c1 + c2 * g[j]);
        float tail[VECTOR];
        for (int j = 0; j < VECTOR && whole < n; j++) tail[j] = c0 + g[whole + j] * (c1 + c2 * g[whole + j]);
        memcpy(out + whole, tail, (size_t)(k - whole) * sizeof(float));
    } else {
#pragma omp simd
        for (int j = 0; j < n; j++) g[j] = c0 + g[j] * (c1 + c2 * g[j]);
        if (row->clamped) {
            /* where an entry is kept, its own p_k >= p_min; x lies beside */
            const float *x = scratch.x, cu = (float)(scale * u), floor = (float)(program->log_floor + row->log_z);
            const float high = row->high;
#pragma omp simd
            for (int j = 0; j < n; j++) g[j] += (x[j] - high) - floor >= 0.0f ? cu : 0.0f;
        }
        if (program->needs & NEEDS_FOCAL) {
            const float *d_psi = scratch.d_psi, *e_psi = scratch.e_psi, cd = (float)(scale * d), ce = (float)(scale * e);
#pragma omp simd
            for (int j = 0; j < n; j++) g[j] += cd * d_psi[j] + ce * e_psi[j];
        }
        write_row(grad, g, dtype, k);
    }
    write_one(grad, row->y, (float)(scale * at_y), dtype);
    if (rival) write_one(grad, row->rival, (float)(scale * at_rival), dtype);
}

/* Rows first..last, a block at a time so that one run of the program serves many rows. */
INLINE void work(const Job *job, long first, long last, float *room, int block) {
    const int needs = job->program->needs, n = padded_to_vector(job->k);
    const int arrays = needs & NEEDS_FOCAL ? 4 : needs & NEEDS_U ? 2 : 1;
    double registers[REGISTERS][BLOCK];
    Row rows[BLOCK];
    for (long from = first; from < last; from += block) {
        const int count = (int)(last - from < block ? last - from : block);
        Scratch scratch[BLOCK];
        for (int b = 0; b < count; b++) {
            float *x = room + (size_t)b * arrays * n;
            scratch[b] = (Scratch){x, arrays > 1 ? x + n : x, x + 2 * n, x + 3 * n};
        }
#define FOR_KEPT                        \
    for (int b = 0; b < count; b++)     \
        if (rows[b].y != job->ignored)
        for (int b = 0; b < count; b++) load(job, from + b, rows + b, scratch[b]);
        FOR_KEPT survey(job, rows + b, scratch[b].x);
        FOR_KEPT find_rival(job, rows + b, scratch[b].x);
        FOR_KEPT measure(job, from + b, rows + b, scratch[b], registers, b);
        program_run(job->program, registers, count);
        for (int b = 0; b < count; b++) {
            const long i = from + b;
            const int64_t y = rows[b].y;
            const int kept = y != job->ignored;
            job->values[i] = kept ? registers[job->program->results[VALUE]][b] * (job->weight ? job->weight[y] : 1) : 0;
            if (job->grad && kept)
                descend(job, i, rows + b, scratch[b], registers, b);
            else if (job->grad)
                memset(job->grad + (size_t)i * job->grad_stride * SIZES[job->dtype], 0,
                       (size_t)job->k * SIZES[job->dtype]);
        }
    }
}

/* The same code for the instruction sets there are; the best one is picked when the module is loaded. */

typedef void (*Worker)(const Job *, long, long, float *, int);

static void work_anywhere(const Job *job, long first, long last, float *room, int block) {
    work(job, first, last, room, block);
}
static Worker worker = work_anywhere;
static const char *instructions = "plain";

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx2,fma"))) static void work_avx2(const Job *job, long first, long last, float *room, int block) {
    work(job, first, last, room, block);
}
#ifdef __clang__
__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma")))
#else
__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma,prefer-vector-width=512")))
#endif
static void work_avx512(const Job *job, long first, long last, float *room, int block) {
    work(job, first, last, room, block);
}
static void pick_worker(void) {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        worker = work_avx512, instructions = "avx512";
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        worker = work_avx2, instructions = "avx2";
}
#else
static void pick_worker(void) {}
#endif

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
    const int needs = job->program->needs, arrays = needs & NEEDS_FOCAL ? 4 : needs & NEEDS_U ? 2 : 1;
    const size_t row = (size_t)padded_to_vector(job->k) * arrays;
    long block = 8192 / (long)row; /* 32 KiB of scratch, or one row */
    block = block < 1 ? 1 : block > BLOCK ? BLOCK : block;
    float *room = NULL;
    if (posix_memalign((void **)&room, 64, row * (size_t)block * sizeof(float))) {
        share->failed = 1;
        return NULL;
    }
    worker(job, share->first, share->last, room, (int)block);
    free(room);
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
        return PyErr_Format(PyExc_ValueError, "not a program of noiseproof.losses.rows.forms");

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

static PyMethodDef methods[] = {
    {"run", (PyCFunction)(void (*)(void))run, METH_FASTCALL,
     "Value and gradient of a row program; the number of the first row with a label out of range, else -1."},
    {NULL, NULL, 0, NULL},
};

static int prepare(PyObject *module) {
    pick_worker();
    return PyModule_AddStringConstant(module, "instructions", instructions);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, prepare}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_kernel", .m_doc = "The row kernel of the losses, see kernel.c.", .m_slots = slots,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModuleDef_Init(&definition); }
