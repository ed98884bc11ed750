/* A block of rows, from scores to values and gradients, in steps that each run over all its rows.
 *
 * So no row is read back while its stores are under way, and what is computed in double for each row becomes vectors.
 */
#ifndef NOISEPROOF_BLOCK_H
#define NOISEPROOF_BLOCK_H

#include "passes.h"
#include "program.h"

typedef struct {
    const Program *program;
    const char *scores; /* rows of k numbers of `dtype`, `score_stride` apart */
    int dtype;
    long score_stride, n, k;
    const int64_t *target;
    const void *soft;    /* shares of the classes, `soft_stride` apart, instead of a target */
    long soft_stride;
    double smoothing;
    const float *weight; /* of each class, or NULL; doubles for FLOAT64 scores */
    int64_t ignored;
    double *values; /* of each row */
    char *grad;     /* rows `grad_stride` apart, or NULL; may be the scores themselves */
    long grad_stride;
    const float *upstream; /* the gradient that arrives at the values, `upstream_stride` apart; NULL: 1 */
    long upstream_stride;
    double scale; /* of every gradient: 1 / denominator of the mean */
} Job;

typedef struct {
    float *x, *e, *d_psi, *e_psi; /* scores; e^x, see numbers.h, over them if nothing else needs them; focal psi */
} Scratch;

/* Of each row of the block. The runner_up is a class that is singled out, as the label is: its terms are not in the sums. */
typedef struct {
    int count, n; /* rows; scores of a row with their padding */
    int64_t y[BLOCK];
    int kept[BLOCK];                                /* the label is not `ignored` */
    float own[BLOCK], high[BLOCK], low[BLOCK];      /* scores: of y, largest, smallest */
    int first[BLOCK];                               /* of the largest */
    double top[BLOCK], masked[BLOCK];               /* y is the first of the largest; other scores at -infinity */
    int runner_up[BLOCK], clamped[BLOCK];               /* its class, or -1; some p_k may be below p_min */
    double x_runner_up[BLOCK];                          /* its x - high */
    double above[BLOCK];                            /* high - base ln 2 */
    double sum_e[BLOCK], sum_e2[BLOCK], sum_x[BLOCK];
    double log_z[BLOCK], p_of_e[BLOCK];             /* of the sum of all e^(x - high); p = p_of_e * e */
    double l_runner_up[BLOCK], p_runner_up[BLOCK], r_runner_up[BLOCK];
    double u_psi[BLOCK], d_psi[BLOCK], e_psi[BLOCK], squares[BLOCK]; /* sums of psi and of p^2 */
    double u_runner_up[BLOCK], d_runner_up[BLOCK], e_runner_up[BLOCK];           /* psi of the runner_up */
    double c0[BLOCK], c1[BLOCK], c2[BLOCK], at_y[BLOCK], at_runner_up[BLOCK], scale[BLOCK];
    double stat[REGISTERS][BLOCK];
    Scratch scratch[BLOCK];
    Gradient waiting[BLOCK]; /* of the block before, while the next one is computed */
} Block;

static const size_t SIZES[] = {[FLOAT32] = 4, [BFLOAT16] = 2, [FLOAT16] = 2, [FLOAT64] = 8};

#define MASKED 1e30 /* the cross-entropy of a masked class in a sum, HUGE in exact.py */

#define FOR_BLOCK for (int b = 0; b < block->count; b++)
#define FOR_KEPT FOR_BLOCK if (block->kept[b])

INLINE int padded_to_vector(long k) { return (int)((k + VECTOR - 1) & ~(long)(VECTOR - 1)); }

INLINE void mask_out(float *x, int64_t y, long k, int n) {
    x[y] = -INFINITY;
    for (int j = (int)k; j < n; j++) x[j] = -INFINITY;
}

INLINE const char *scores_of(const Job *job, long i) {
    return job->scores + (size_t)i * job->score_stride * SIZES[job->dtype];
}

INLINE char *gradient_of(const Job *job, long i) {
    return job->grad + (size_t)i * job->grad_stride * SIZES[job->dtype];
}

INLINE double upstream_of(const Job *job, long i) {
    const long at = i * job->upstream_stride;
    return job->dtype == FLOAT64 ? ((const double *)job->upstream)[at] : (double)job->upstream[at];
}

INLINE void load(const Job *job, long i, Block *block, int b) {
    float *x = block->scratch[b].x;
    const Range span = read_row(x, scores_of(job, i), job->dtype, (int)job->k, block->n);
    const int near = fabsf(span.high) <= NEAR;
    if (span.high == INFINITY) /* no softmax: NaN all over, as in torch */
        for (int j = 0; j < block->n; j++) x[j] = NAN;
    else if (!near)
        move(x, span.high, block->n);
    block->low[b] = near ? span.low : span.low - span.high, block->high[b] = near ? span.high : 0;
    block->first[b] = span.first;
}

/* What lies over what: a row's memory is read while it is near, so it takes no more of it than it needs. */
INLINE Scratch lay_out(float *x, int n, int focal, int clamped) {
    return (Scratch){x, focal || clamped ? x + n : x, clamped ? x + 2 * n : x, x + 3 * n};
}

/* The label among the others. Where it has not the largest score, another class has: its p may be near 1, so it is
 * singled out. Label, runner_up and padding are masked out. */
INLINE void find_top(const Job *job, Block *block) {
    const int k = (int)job->k, n = block->n, needs = job->program->needs;
    const double floor = job->program->log_floor, log_k = log((double)k);
    FOR_KEPT {
        float *x = block->scratch[b].x;
        /* log p = x - high - log z, z from 1 to K; where no p can be below p_min, sums with the floor are moved ones */
        block->clamped[b] = floor < 0 && !((double)block->low[b] - block->high[b] - log_k >= floor);
        block->scratch[b] = lay_out(x, n, needs & NEEDS_FOCAL, block->clamped[b]);
        const float own = x[block->y[b]];
        block->own[b] = own;
        block->top[b] = block->y[b] == block->first[b];
        long masked = 0;
        if (block->low[b] == -INFINITY && needs & (NEEDS_S | NEEDS_U | NEEDS_FOCAL))
            for (long j = 0; j < k; j++) masked += x[j] == -INFINITY;
        block->masked[b] = (double)(masked - (masked && own == -INFINITY));
        mask_out(x, block->y[b], k, n);
        block->x_runner_up[b] = 0;
        block->runner_up[b] = own < block->high[b] ? block->first[b] : -1;
        if (block->runner_up[b] >= 0) x[block->runner_up[b]] = -INFINITY;
    }
}

/* Where p_y is so near 1 that no float holds the rest, the largest of the others is singled out, for double. */
INLINE void single_out_runner_up(const Job *job, long i, Block *block, int b) {
    Scratch scratch = block->scratch[b];
    const int n = block->n;
    load(job, i, block, b); /* the exponentials may lie over the scores */
    mask_out(scratch.x, block->y[b], job->k, n);
    const Range others = read_row(scratch.x, scratch.x, FLOAT32, n, n);
    if (others.high > -INFINITY) {
        block->runner_up[b] = others.first;
        block->x_runner_up[b] = (double)others.high - block->high[b];
        scratch.x[block->runner_up[b]] = -INFINITY;
    }
    if (scratch.e == scratch.x) memset(scratch.x, 0, (size_t)n * sizeof(float));
}

INLINE void exponentiate(const Job *job, long first, int size, Block *block) {
    const int needs = job->program->needs;
    FOR_KEPT {
        Scratch scratch = block->scratch[b];
        const int n = block->n;
        const float high = block->high[b], base = base_of(high);
        const long next = first + b + size;
        const char *read = scores_of(job, next < job->n ? next : first + b);
        const Ahead ahead = {.read = read, .write = job->grad ? gradient_of(job, first + b) : read};
        Gradient *waiting = block->waiting + b;
        const size_t number = SIZES[job->dtype];
#define EXPONENTIALS(writes, squares, scores) \
    exponentials(scratch.x, scratch.e, n, high, base, ahead, number, waiting, writes, squares, scores)
#define NEEDED(writes)                                          \
    (needs & NEEDS_Q               ? EXPONENTIALS(writes, 1, 1) \
     : needs & (NEEDS_S | NEEDS_U) ? EXPONENTIALS(writes, 0, 1) \
                                   : EXPONENTIALS(writes, 0, 0))
        const Sums sums = waiting->out ? NEEDED(1) : NEEDED(0);
        if (waiting->out) finish(waiting, n);
#undef NEEDED
#undef EXPONENTIALS
        block->above[b] = high - base * 0.693147180559945309;
        block->sum_e[b] = sums.e, block->sum_e2[b] = sums.e2, block->sum_x[b] = sums.x;
        if (sums.e == 0 && block->runner_up[b] < 0) single_out_runner_up(job, first + b, block, b);
    }
}

/* The statistics that need no further look at the row. */
INLINE void row_stats(const Job *job, Block *block) {
    const double classes = (double)job->k;
    double(*stat)[BLOCK] = block->stat;
#pragma omp simd
    FOR_BLOCK {
        const double own = block->own[b], high = block->high[b], x_y = own - high, e_y = wide_exp(x_y);
        const double e_runner_up = block->runner_up[b] < 0 ? 0.0 : wide_exp(block->x_runner_up[b]);
        const double from_base = wide_exp(-block->above[b]), sum_e = block->sum_e[b] * from_base;
        const double not_top = sum_e + (own == high ? e_runner_up : e_y), log_z = wide_log1p(not_top);
        const double rest = sum_e + e_runner_up, inverse_z = 1.0 / (rest + e_y), p_of_e = inverse_z * from_base;
        const double l = x_y - log_z, p = e_y * inverse_z, r = rest * inverse_z;
        const double p_runner_up = e_runner_up * inverse_z, squares = block->sum_e2[b] * p_of_e * p_of_e;
        block->p_of_e[b] = p_of_e / LIFTED;
        block->log_z[b] = log_z;
        block->l_runner_up[b] = block->x_runner_up[b] - log_z;
        block->p_runner_up[b] = p_runner_up;
        block->r_runner_up[b] = (sum_e + e_y) * inverse_z;
        block->squares[b] = squares;
        stat[K][b] = classes;
        stat[L][b] = l;
        stat[P][b] = p;
        stat[R][b] = r;
        const double chord = r > 0.0 ? l / r : -1.0;
        stat[CHORD][b] = p > 0.0 ? chord : 0.0; /* it comes with a factor p */
        stat[TOP][b] = block->top[b];
        stat[S_Y][b] = own > -INFINITY ? l : -MASKED;
        stat[S_SLOPE][b] = own > -INFINITY ? 1.0 : 0.0;
        const double s = block->sum_x[b] - (classes - 1.0) * log_z;
        stat[S][b] = block->masked[b] > 0.0 ? -MASKED * block->masked[b] : s;
        stat[Q][b] = squares + p_runner_up * p_runner_up;
    }
}

INLINE void sum_floored(const Job *job, Block *block) {
    const double floor = job->program->log_floor, others = (double)(job->k - 1);
    double(*stat)[BLOCK] = block->stat;
    FOR_KEPT {
        const double above = stat[L][b] - floor, above_runner_up = block->l_runner_up[b] - floor, log_z = block->log_z[b];
        const int runner_up = block->runner_up[b] >= 0;
        stat[U_Y][b] = above > 0 ? above : 0;
        stat[U_SLOPE][b] = above >= 0;
        block->u_runner_up[b] = runner_up && above_runner_up >= 0;
        if (block->clamped[b]) {
            Floored kept = floored(block->scratch[b].x, block->n, block->high[b], (float)(floor + log_z));
            stat[U][b] = kept.u + (block->u_runner_up[b] > 0 ? above_runner_up : 0);
            block->u_psi[b] = kept.psi;
        } else {
            stat[U][b] = stat[S][b] - others * floor;
            block->u_psi[b] = others - runner_up;
        }
    }
}

typedef struct {
    double d, d_psi, e, e_psi;
} FocalOne;

/* The focal terms of one class, in double; `rest` is 1 - p. */
INLINE FocalOne focal_one(const Program *program, double p, double rest, double log_p) {
    const double w = program->focus == 0.5 ? sqrt(rest) : pow(rest, program->focus), floor = program->log_floor;
    const double missing = p < 0.5 ? -expm1(program->focus * log1p(-p)) : 1 - w, above = log_p - floor;
    const double pull = program->attached ? program->focus * p * w : 0;
    const double chord = rest > 0 ? log_p / rest : -1; /* tends to -1 where p tends to 1 */
    const int kept = above >= 0, finite = log_p > -INFINITY;
    return (FocalOne){
        .d = finite ? w * log_p : -MASKED,
        .d_psi = finite ? w - (pull > 0 ? pull * chord : 0) : 0,
        .e = w * (kept ? above : 0) - floor * missing,
        .e_psi = (kept ? w : 0) - (pull > 0 ? pull * (kept ? chord : floor / rest) : 0),
    };
}

INLINE void sum_focal(const Job *job, Block *block) {
    const Program *program = job->program;
    const float focus = (float)program->focus, floor = (float)program->log_floor;
    const double others = (double)(job->k - 1);
    double(*stat)[BLOCK] = block->stat;
    FOR_KEPT {
        const Scratch s = block->scratch[b];
        const int runner_up = block->runner_up[b] >= 0, n = block->n;
        const float p_of_e = (float)block->p_of_e[b], log_z = (float)block->log_z[b];
        const float high = block->high[b];
        const int root = focus == 0.5f, floors = block->clamped[b];
#define TERMS(attached, root, floors) \
    focal(s.x, s.e, s.d_psi, s.e_psi, n, high, p_of_e, log_z, focus, floor, attached, root, floors)
        const Focal rest = program->attached ? (floors ? TERMS(1, 0, 1) : TERMS(1, 0, 0))
                           : root            ? (floors ? TERMS(0, 1, 1) : TERMS(0, 1, 0))
                                             : (floors ? TERMS(0, 0, 1) : TERMS(0, 0, 0));
#undef TERMS
        const FocalOne own = focal_one(program, stat[P][b], stat[R][b], stat[L][b]), none = {0, 0, 0, 0};
        const FocalOne other =
            runner_up ? focal_one(program, block->p_runner_up[b], block->r_runner_up[b], block->l_runner_up[b]) : none;
        stat[D_Y][b] = own.d, stat[D_SLOPE][b] = own.d_psi, stat[E_Y][b] = own.e, stat[E_SLOPE][b] = own.e_psi;
        stat[D][b] = block->masked[b] > 0 ? -MASKED * block->masked[b] : rest.d + other.d;
        stat[E][b] = floors ? rest.e + other.e : stat[D][b] - others * program->log_floor;
        block->d_psi[b] = rest.d_psi - (double)(n - job->k + 1 + runner_up); /* a masked out entry has psi = w = 1 */
        block->e_psi[b] = floors ? rest.e_psi : block->d_psi[b];
        block->d_runner_up[b] = other.d_psi, block->e_runner_up[b] = other.e_psi;
    }
}

/* A factor beyond the floats only meets probabilities that are 0 as floats. */
INLINE double within_floats(double v) {
    double capped = v > FLT_MAX ? FLT_MAX : v;
    return capped < -FLT_MAX ? -FLT_MAX : capped;
}

/* From the program's slopes to the gradient of a row: c0 + c1 e + c2 e^2 and multiples of psi, and two own numbers. */
INLINE void grad_coeffs(const Job *job, long first, Block *block) {
    static const double zero[BLOCK];
    const Program *program = job->program;
    const double *slope[RESULTS];
    for (int s = 0; s < RESULTS; s++) slope[s] = program->results[s] < 0 ? zero : block->stat[program->results[s]];
    FOR_BLOCK {
        const double weight = job->weight && block->kept[b] ? job->weight[block->y[b]] : 1;
        block->scale[b] = job->scale * weight * (job->upstream ? job->upstream[(first + b) * job->upstream_stride] : 1);
    }
    const double others = (double)(job->k - 1);
#pragma omp simd
    FOR_BLOCK {
        const double p = block->stat[P][b], r = block->stat[R][b], scale = block->scale[b];
        const double p_runner_up = block->p_runner_up[b], r_runner_up = block->r_runner_up[b], runner_up = block->runner_up[b] < 0 ? 0.0 : 1.0;
        const double l = slope[BY_L][b], s = slope[BY_S][b], q = slope[BY_Q][b];
        const double u = slope[BY_U][b], d = slope[BY_D][b], e = slope[BY_E][b];
        /* psi, weighted by the slopes: summed over the others without the runner_up, and the runner_up's own */
        const double psi = s * (others - runner_up) + 2.0 * q * block->squares[b] + u * block->u_psi[b] +
                           d * block->d_psi[b] + e * block->e_psi[b];
        const double psi_runner_up = s + u * block->u_runner_up[b] + d * block->d_runner_up[b] + e * block->e_runner_up[b];
        const double all = psi + runner_up * (psi_runner_up + 2.0 * q * p_runner_up * p_runner_up);
        const double c = scale * block->p_of_e[b];
        block->c0[b] = scale * (s + (block->clamped[b] ? 0.0 : u));
        block->c1[b] = within_floats(-c * (l + all));
        block->c2[b] = 2.0 * q * c * block->p_of_e[b];
        block->at_y[b] = scale * (l * r - p * all);
        block->at_runner_up[b] = scale * (psi_runner_up * r_runner_up + p_runner_up * (2.0 * q * p_runner_up * r_runner_up - psi - l));
    }
}

/* Writes the gradients that still wait. */
INLINE void finish_all(Block *block) {
    for (int b = 0; b < BLOCK; b++)
        if (block->waiting[b].out) finish(block->waiting + b, 0);
}

/* Writes a row's gradient, or lets it wait for the next block. */
INLINE void write_gradient(const Job *job, long i, Block *block, int b) {
    const Program *program = job->program;
    const int dtype = job->dtype, k = (int)job->k, n = block->n, focal = program->needs & NEEDS_FOCAL;
    char *grad = gradient_of(job, i);
    if (!block->kept[b]) {
        memset(grad, 0, (size_t)k * SIZES[dtype]);
        return;
    }
    const float c0 = (float)block->c0[b], c1 = (float)block->c1[b], c2 = (float)block->c2[b];
    const Scratch scratch = block->scratch[b];
    float *g = scratch.e;
    if (dtype == FLOAT32 && !focal && !block->clamped[b]) {
        const float at_y = (float)block->at_y[b], at_runner_up = (float)block->at_runner_up[b];
        const int y = (int)block->y[b], runner_up = block->runner_up[b];
        block->waiting[b] = (Gradient){(float *)grad, g, k, y, runner_up, c0, c1, c2, at_y, at_runner_up};
        return;
    }
    const int by_d = program->results[BY_D], by_e = program->results[BY_E], by_u = program->results[BY_U];
    const float d = by_d < 0 ? 0 : (float)(block->scale[b] * block->stat[by_d][b]);
    const float e = by_e < 0 ? 0 : (float)(block->scale[b] * block->stat[by_e][b]);
    if (focal && !block->clamped[b]) { /* both terms have the same psi */
#pragma omp simd
        for (int j = 0; j < n; j++) g[j] = c0 + g[j] * (c1 + c2 * g[j]) + (d + e) * scratch.d_psi[j];
    } else if (focal) {
#pragma omp simd
        for (int j = 0; j < n; j++)
            g[j] = c0 + g[j] * (c1 + c2 * g[j]) + d * scratch.d_psi[j] + e * scratch.e_psi[j];
    } else {
#pragma omp simd
        for (int j = 0; j < n; j++) g[j] = c0 + g[j] * (c1 + c2 * g[j]);
    }
    if (block->clamped[b] && by_u >= 0) {
        const float *x = scratch.x, high = block->high[b], floor = (float)(program->log_floor + block->log_z[b]);
        const float u = (float)(block->scale[b] * block->stat[by_u][b]);
#pragma omp simd
        for (int j = 0; j < n; j++) g[j] += (x[j] - high) - floor >= 0.0f ? u : 0.0f;
    }
    write_row(grad, g, dtype, k);
    write_one(grad, block->y[b], (float)block->at_y[b], dtype);
    if (block->runner_up[b] >= 0) write_one(grad, block->runner_up[b], (float)block->at_runner_up[b], dtype);
}

/* How many arrays of a row's size a program needs as scratch. */
INLINE int arrays_needed(const Program *program) {
    if (program->needs & NEEDS_FOCAL) return program->log_floor == 0 ? 2 : 4;
    return program->needs & NEEDS_U ? 2 : 1;
}

/* Rows first..last. `room` holds twice `size` rows with their arrays: of this block, and of the one before, whose
 * gradients may wait. */
INLINE void process_rows(const Job *job, long first, long last, float *room, int size, Block *block) {
    const int n = padded_to_vector(job->k), arrays = arrays_needed(job->program), needs = job->program->needs;
    memset(block, 0, offsetof(Block, stat)); /* what a program does not need stays 0 */
    block->n = n;
    for (int b = 0; b < BLOCK; b++) block->waiting[b].out = NULL;
    for (long from = first, turn = 0; from < last; from += size, turn = !turn) {
        for (int b = 0; b < size; b++) block->scratch[b].x = room + (size_t)(b + turn * size) * arrays * n;
        block->count = (int)(last - from < size ? last - from : size);
        FOR_BLOCK {
            block->y[b] = job->target[from + b];
            block->kept[b] = block->y[b] != job->ignored;
            if (block->kept[b]) load(job, from + b, block, b);
        }
        find_top(job, block);
        exponentiate(job, from, size, block);
        finish_all(block);
        row_stats(job, block);
        if (needs & NEEDS_U) sum_floored(job, block);
        if (needs & NEEDS_FOCAL) sum_focal(job, block);
        program_run(job->program, block->stat, block->count);
        const double *value = block->stat[job->program->results[VALUE]];
        FOR_BLOCK job->values[from + b] =
            block->kept[b] ? value[b] * (job->weight ? job->weight[block->y[b]] : 1) : 0;
        if (!job->grad) continue;
        grad_coeffs(job, from, block);
        FOR_BLOCK write_gradient(job, from + b, block, b);
    }
    finish_all(block);
}

#endif
