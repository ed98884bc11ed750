/* Rows whose every class counts, in one real type: included by dense.h with REAL float and double.
 *
 * With c_k the share of class k in the target times its weight, the loss of a row is sum c_k L_k. Each L_k is a function
 * of its own log p_k and of sums over the *other* classes, so the program runs once for every class, a vector of
 * classes at a time. With a_k = dL_k / dlog p_k and, for each sum T, b_k = dL_k / dT and psi_j = dt_j / dlog p_j,
 *
 *     G_j = d loss / d log p_j = c_j a_j + sum over T of psi_j (B - c_j b_j)         B = sum c_k b_k
 *     d loss / d z_j = G_j - p_j sum G_k
 *
 * The class with the largest score stays out of every sum, so that nothing cancels: its others are the sum itself.
 */

#define LANES (REAL_IS_FLOAT ? 128 : 64)

typedef struct {
    REAL *l, *p, *g, *w, *d, *d_psi, *e, *e_psi; /* of each class: log p, p, G, (1-p)^focus, focal terms and psi */
    Steps steps;
    REAL stat[REGISTERS][LANES];
} NAME(Room);

/* Of one row. The sums are over all classes but `top`. */
typedef struct {
    int top, whole; /* the first of the largest; no class is at -infinity */
    REAL rest;      /* 1 - p of the top */
    double S, Q, U, D, E;
} NAME(Totals);

INLINE REAL NAME(number)(const void *numbers, long i, const int dtype) {
#if REAL_IS_FLOAT
    return number(numbers, i, dtype);
#else
    return dtype == FLOAT64 ? ((const double *)numbers)[i] : (double)number(numbers, i, dtype);
#endif
}

INLINE void NAME(read)(REAL *x, const void *scores, int k, const int dtype) {
#pragma omp simd
    for (int j = 0; j < k; j++) x[j] = NAME(number)(scores, j, dtype);
}

/* From scores in `l` to log p and p. False where the row must be gone through in double. */
INLINE int NAME(softmax)(NAME(Room) * room, int k, NAME(Totals) * totals) {
    REAL *l = room->l, *p = room->p, high = -(REAL)INFINITY, low = (REAL)INFINITY;
#pragma omp simd reduction(max : high) reduction(min : low)
    for (int j = 0; j < k; j++) {
        high = l[j] > high ? l[j] : high;
        low = l[j] < low ? l[j] : low;
    }
    int top = k;
#pragma omp simd reduction(min : top)
    for (int j = 0; j < k; j++) top = l[j] == high && j < top ? j : top;
    if (top == k) top = 0; /* NaN all over */
    totals->top = top, totals->whole = low > -(REAL)INFINITY;
    const REAL shift = high == (REAL)INFINITY ? (REAL)NAN : high; /* no softmax there, as in torch */
    double sum = 0;
    for (int from = 0; from < k; from += CHUNK) {
        const int to = from + CHUNK < k ? from + CHUNK : k;
        REAL part = 0;
#pragma omp simd reduction(+ : part)
        for (int j = from; j < to; j++) {
            l[j] -= shift;
            p[j] = NAME(exp_any)(l[j]);
            part += j == top ? 0 : p[j];
        }
        sum += (double)part;
    }
    const double log_z = wide_log1p(sum), inverse = 1 / (1 + sum);
    totals->rest = (REAL)(sum * inverse);
    const REAL less = (REAL)log_z, factor = (REAL)inverse;
#pragma omp simd
    for (int j = 0; j < k; j++) l[j] -= less, p[j] *= factor;
    return totals->whole;
}

#define FINITE(l) ((l) > -(REAL)MASKED ? (l) : -(REAL)MASKED)

/* Focal terms and psi of every class (see focal_one in block.h): D where there is no floor, else both. */
INLINE void NAME(focal_terms)(const Program *program, NAME(Room) * room, int k, const NAME(Totals) * totals) {
    const REAL focus = (REAL)program->focus, floor = (REAL)program->log_floor;
    const int top = totals->top;
    const REAL *l = room->l, *p = room->p;
    REAL *w = room->w;
    if (program->focus == 0.5)
#pragma omp simd
        for (int j = 0; j < k; j++) w[j] = NAME(square_root)(1 - p[j]);
    else
#pragma omp simd
        for (int j = 0; j < k; j++) w[j] = NAME(power_any)(1 - p[j], focus);
    w[top] = (REAL)(program->focus == 0.5 ? sqrt((double)totals->rest) : pow((double)totals->rest, program->focus));
#pragma omp simd
    for (int j = 0; j < k; j++) {
        const int finite = l[j] > -(REAL)INFINITY;
        room->d[j] = finite ? w[j] * l[j] : -(REAL)MASKED;
        room->d_psi[j] = finite ? w[j] : 0;
    }
    if (program->attached) {
        const REAL rest = totals->rest, chord = rest > 0 ? FINITE(l[top]) / rest : -1;
        const REAL of_top = room->d_psi[top] - focus * p[top] * w[top] * chord;
#pragma omp simd
        for (int j = 0; j < k; j++) {
            const REAL pull = focus * p[j] * w[j] / (1 - p[j]);
            room->d_psi[j] -= pull > 0 ? pull * l[j] : 0;
        }
        room->d_psi[top] = of_top;
    }
    if (floor == 0) return;
#pragma omp simd
    for (int j = 0; j < k; j++) {
        const int kept = l[j] >= floor;
        /* w max(log p, floor) - floor; 1 - w without cancellation where p is small */
        const REAL missing = p[j] < (REAL)1e-4 ? focus * p[j] * (1 + (1 - focus) / 2 * p[j] * (1 + (2 - focus) / 3 * p[j])) : 1 - w[j];
        room->e[j] = w[j] * (kept ? l[j] - floor : 0) - floor * missing;
        room->e_psi[j] = kept ? w[j] : 0;
    }
    if (program->attached) {
        const REAL rest = totals->rest, chord = rest > 0 ? l[top] / rest : -1;
        const REAL of_top = room->e_psi[top] - focus * p[top] * w[top] * chord; /* the top is above the floor */
#pragma omp simd
        for (int j = 0; j < k; j++) {
            const REAL pull = focus * p[j] * w[j] / (1 - p[j]);
            room->e_psi[j] -= pull > 0 ? pull * (l[j] >= floor ? l[j] : floor) : 0;
        }
        room->e_psi[top] = of_top;
    }
}

INLINE void NAME(sums)(const Program *program, const NAME(Room) * room, int k, NAME(Totals) * totals) {
    const int needs = program->needs, top = totals->top;
    const REAL floor = (REAL)program->log_floor, *l = room->l, *p = room->p;
    totals->S = totals->Q = totals->U = totals->D = totals->E = 0;
    for (int from = 0; from < k; from += CHUNK) {
        const int to = from + CHUNK < k ? from + CHUNK : k;
        REAL s = 0, q = 0, u = 0, d = 0, e = 0;
#define ADD(to_sum, term) \
    PRAGMA(omp simd reduction(+ : to_sum)) for (int j = from; j < to; j++) to_sum += j == top ? 0 : (term)
        if (needs & NEEDS_S) ADD(s, FINITE(l[j]));
        if (needs & NEEDS_Q) ADD(q, p[j] * p[j]);
        if (needs & NEEDS_U) ADD(u, l[j] >= floor ? l[j] - floor : 0);
        if (needs & NEEDS_FOCAL) {
            ADD(d, room->d[j]);
            if (floor != 0) ADD(e, room->e[j]);
        }
#undef ADD
        totals->S += (double)s, totals->Q += (double)q, totals->U += (double)u;
        totals->D += (double)d, totals->E += (double)e;
    }
}

/* The program's steps on `lanes` classes; those that are the same for every class only if `anew`. */
INLINE void NAME(program_run)(const Program *program, Steps *steps, REAL (*stat)[LANES], int lanes, int anew) {
#define FOR_CLASSES(expression)                                              \
    _Pragma("omp simd") for (int v = 0; v < count; v++) out[v] = expression; \
    break
    if (anew) *steps = read_steps(program);
    REAL inverse[LANES];
    for (int s = 0; s < program->count; s++) {
        if (steps->uniform[STATISTICS + s] && !anew) continue;
        const Step *step = program->steps + s;
        const REAL *a = stat[step->left], *b = stat[step->right];
        REAL *out = stat[STATISTICS + s], c = (REAL)step->constant;
        const int count = steps->uniform[STATISTICS + s] ? LANES : lanes;
        if (c == 0 && step->constant != 0) c = (REAL)1e-37; /* too small for this type */
        switch (step->operation) {
        case CONSTANT: FOR_CLASSES(c);
        case ADD: FOR_CLASSES(a[v] + b[v]);
        case SUBTRACT: FOR_CLASSES(a[v] - b[v]);
        case MULTIPLY: FOR_CLASSES(a[v] * b[v]);
        case DIVIDE:
            if (REAL_IS_FLOAT && steps->uniform[step->right]) {
                const REAL once = 1 / b[0];
                FOR_CLASSES(a[v] * once);
            }
            if (REAL_IS_FLOAT && steps->quotient[s] == FIRST_OF_TWO)
                _Pragma("omp simd") for (int v = 0; v < count; v++) inverse[v] = 1 / b[v];
            if (REAL_IS_FLOAT && steps->quotient[s] != ALONE) {
                FOR_CLASSES(a[v] * inverse[v]);
            }
            FOR_CLASSES(a[v] / b[v]);
        case POWER:
            if (c == 2) {
                FOR_CLASSES(a[v] * a[v]);
            }
            if (c == 1) {
                FOR_CLASSES(a[v]);
            }
            if (c == 0) {
                FOR_CLASSES(1);
            }
            if (c == (REAL)0.5) {
                FOR_CLASSES(NAME(square_root)(a[v]));
            }
            FOR_CLASSES(NAME(power_any)(a[v], c));
        case NEGATE: FOR_CLASSES(-a[v]);
        case EXP: FOR_CLASSES(NAME(exp_any)(a[v]));
        case EXPM1: FOR_CLASSES(NAME(expm1_any)(a[v]));
        case LOG1P: FOR_CLASSES(NAME(log1p_any)(a[v]));
        case LARGER: FOR_CLASSES(a[v] < b[v] ? b[v] : a[v]);
        case AT_LEAST: FOR_CLASSES((REAL)(a[v] >= b[v]));
        }
    }
#undef FOR_CLASSES
}

/* The statistics of `lanes` classes from `from` on: of each as if it were the label. */
INLINE void NAME(fill)(const Program *program, NAME(Room) * room, int from, int lanes, const NAME(Totals) * totals) {
    const int needs = program->needs, top = totals->top - from, here = top >= 0 && top < lanes;
    const REAL *l = room->l + from, *p = room->p + from, floor = (REAL)program->log_floor;
    REAL(*stat)[LANES] = room->stat;
    memcpy(stat[L], l, (size_t)lanes * sizeof(REAL));
    memcpy(stat[P], p, (size_t)lanes * sizeof(REAL));
#pragma omp simd
    for (int v = 0; v < lanes; v++) stat[R][v] = 1 - p[v];
    if (here) stat[R][top] = totals->rest;
    if (program_reads(program, CHORD)) {
#pragma omp simd
        for (int v = 0; v < lanes; v++) {
            const REAL chord = stat[R][v] > 0 ? l[v] / stat[R][v] : -1;
            stat[CHORD][v] = p[v] > 0 ? chord : 0;
        }
    }
    if (program_reads(program, TOP))
        for (int v = 0; v < lanes; v++) stat[TOP][v] = v == top;
    /* the others: the sum without the top, less the own term, with the top; of the top the sum itself */
#define OTHERS(others, own, total, term_of_top)                                                                   \
    {                                                                                                             \
        const REAL sum = (REAL)(total), most = term_of_top;                                                       \
        _Pragma("omp simd") for (int v = 0; v < lanes; v++) stat[others][v] = (sum - stat[own][v]) + most;        \
        if (here) stat[others][top] = sum;                                                                        \
    }
    if (needs & NEEDS_S) {
#pragma omp simd
        for (int v = 0; v < lanes; v++) stat[S_Y][v] = FINITE(l[v]), stat[S_SLOPE][v] = l[v] > -(REAL)INFINITY;
        OTHERS(S, S_Y, totals->S, FINITE(room->l[totals->top]))
    }
    if (needs & NEEDS_Q) {
        const REAL sum = (REAL)totals->Q, most = room->p[totals->top] * room->p[totals->top];
#pragma omp simd
        for (int v = 0; v < lanes; v++) stat[Q][v] = (sum - p[v] * p[v]) + most;
        if (here) stat[Q][top] = sum;
    }
    if (needs & NEEDS_U) {
        const REAL above = room->l[totals->top] - floor;
#pragma omp simd
        for (int v = 0; v < lanes; v++)
            stat[U_Y][v] = l[v] >= floor ? l[v] - floor : 0, stat[U_SLOPE][v] = l[v] >= floor;
        OTHERS(U, U_Y, totals->U, above > 0 ? above : 0)
    }
    if (needs & NEEDS_FOCAL) {
        memcpy(stat[D_Y], room->d + from, (size_t)lanes * sizeof(REAL));
        memcpy(stat[D_SLOPE], room->d_psi + from, (size_t)lanes * sizeof(REAL));
        OTHERS(D, D_Y, totals->D, room->d[totals->top])
        if (floor != 0) {
            memcpy(stat[E_Y], room->e + from, (size_t)lanes * sizeof(REAL));
            memcpy(stat[E_SLOPE], room->e_psi + from, (size_t)lanes * sizeof(REAL));
            OTHERS(E, E_Y, totals->E, room->e[totals->top])
        }
    }
#undef OTHERS
}

/* What class j counts: its share in the target times its weight. */
INLINE void NAME(shares)(const Job *job, long row, int from, int lanes, REAL *c) {
    const REAL even = (REAL)(job->smoothing / (double)job->k), kept = (REAL)(1 - job->smoothing);
    if (job->soft) {
        const size_t start = (size_t)row * (size_t)job->soft_stride + (size_t)from;
        if (job->dtype == FLOAT64)
            for (int v = 0; v < lanes; v++) c[v] = (REAL)((const double *)job->soft)[start + v] * kept + even;
        else
            for (int v = 0; v < lanes; v++) c[v] = (REAL)((const float *)job->soft)[start + v] * kept + even;
    } else {
        for (int v = 0; v < lanes; v++) c[v] = even;
        const int64_t y = job->target[row] - from;
        if (y >= 0 && y < lanes) c[y] += kept;
    }
    if (!job->weight) return;
    if (job->dtype == FLOAT64)
        for (int v = 0; v < lanes; v++) c[v] *= (REAL)((const double *)job->weight)[from + v];
    else
        for (int v = 0; v < lanes; v++) c[v] *= (REAL)job->weight[from + v];
}

INLINE void NAME(write)(const Job *job, long row, const REAL *g) {
    const int k = (int)job->k;
#if REAL_IS_FLOAT
    write_row(gradient_of(job, row), g, job->dtype, k);
#else
    if (job->dtype == FLOAT64)
        memcpy(gradient_of(job, row), g, (size_t)k * sizeof(double));
    else
        for (int j = 0; j < k; j++) write_one(gradient_of(job, row), j, (float)g[j], job->dtype);
#endif
}

/* One row; false where it must be gone through in double. */
INLINE int NAME(row)(const Job *job, long row, NAME(Room) * room, double scale, int anew) {
    const Program *program = job->program;
    const int k = (int)job->k, needs = program->needs;
    const REAL floor = (REAL)program->log_floor;
    NAME(Totals) totals;
    NAME(read)(room->l, scores_of(job, row), k, job->dtype);
    if (!NAME(softmax)(room, k, &totals) && REAL_IS_FLOAT) return 0;
    if (totals.rest != totals.rest) { /* a score is NaN, or infinite */
        job->values[row] = NAN;
        for (int j = 0; j < k; j++) room->g[j] = (REAL)NAN;
        if (job->grad) NAME(write)(job, row, room->g);
        return 1;
    }
    if (needs & NEEDS_FOCAL) NAME(focal_terms)(program, room, k, &totals);
    NAME(sums)(program, room, k, &totals);
    const int only = !job->soft && job->smoothing == 0; /* one class counts */
    const int first = only ? (int)job->target[row] : 0, last = only ? first + 1 : k;
    static const int own[] = {BY_S, BY_Q, BY_U, BY_D, BY_E};
    double value = 0, by[5] = {0, 0, 0, 0, 0};
    REAL alone = 0; /* G of the one class that counts: B - c b is 0 there, and its rounding may be more than c a */
    if (only) memset(room->g, 0, (size_t)k * sizeof(REAL));
    if (anew)
        for (int v = 0; v < LANES; v++) room->stat[K][v] = (REAL)k;
    for (int from = first; from < last; from += LANES) {
        const int lanes = last - from < LANES ? last - from : LANES;
        REAL c[LANES], sum = 0, *g = room->g + from;
        NAME(fill)(program, room, from, lanes, &totals);
        NAME(program_run)(program, &room->steps, room->stat, lanes, anew && from == first);
        NAME(shares)(job, row, from, lanes, c);
        const REAL *L_k = room->stat[program->results[VALUE]];
#pragma omp simd reduction(+ : sum)
        for (int v = 0; v < lanes; v++) sum += c[v] == 0 && L_k[v] == (REAL)INFINITY ? 0 : c[v] * L_k[v];
        value += (double)sum;
        if (!job->grad) continue;
        const int by_l = program->results[BY_L];
        if (by_l < 0)
            for (int v = 0; v < lanes; v++) g[v] = 0;
        else
            for (int v = 0; v < lanes; v++) g[v] = c[v] == 0 ? 0 : c[v] * room->stat[by_l][v];
        if (only) alone = g[0];
        for (int t = 0; t < 5; t++) {
            if (program->results[own[t]] < 0) continue;
            const REAL *slope = room->stat[program->results[own[t]]], *l = room->l + from, *p = room->p + from;
            REAL part = 0;
#define LESS(psi)                                                       \
    _Pragma("omp simd reduction(+ : part)") for (int v = 0; v < lanes; v++) { \
        const REAL share = c[v] == 0 ? 0 : c[v] * slope[v];             \
        part += share, g[v] -= (psi) * share;                           \
    }                                                                   \
    break
            switch (own[t]) {
            case BY_S: LESS(l[v] > -(REAL)INFINITY ? 1 : 0);
            case BY_Q: LESS(2 * p[v] * p[v]);
            case BY_U: LESS(l[v] >= floor ? 1 : 0);
            case BY_D: LESS(room->d_psi[from + v]);
            case BY_E: LESS(room->e_psi[from + v]);
            }
#undef LESS
            by[t] += (double)part;
        }
    }
    job->values[row] = value;
    if (!job->grad) return 1;
    const REAL s = (REAL)by[0], q = (REAL)(2 * by[1]), u = (REAL)by[2], d = (REAL)by[3], e = (REAL)by[4];
    REAL *g = room->g, *l = room->l, *p = room->p;
    double all = 0;
    for (int from = 0; from < k; from += CHUNK) {
        const int to = from + CHUNK < k ? from + CHUNK : k;
        REAL part = 0;
        if (d != 0)
#pragma omp simd
            for (int j = from; j < to; j++) g[j] += d * room->d_psi[j];
        if (e != 0)
#pragma omp simd
            for (int j = from; j < to; j++) g[j] += e * room->e_psi[j];
        if (u != 0)
#pragma omp simd
            for (int j = from; j < to; j++) g[j] += l[j] >= floor ? u : 0;
#pragma omp simd
        for (int j = from; j < to; j++) g[j] += (l[j] > -(REAL)INFINITY ? s : 0) + q * p[j] * p[j];
        if (only && first >= from && first < to) g[first] = alone;
#pragma omp simd reduction(+ : part)
        for (int j = from; j < to; j++) part += j == totals.top ? 0 : g[j];
        all += (double)part;
    }
    const double of_top = g[totals.top], p_top = p[totals.top];
    const REAL sum = (REAL)(all + of_top), factor = (REAL)scale;
#pragma omp simd
    for (int j = 0; j < k; j++) g[j] = factor * (g[j] - p[j] * sum);
    g[totals.top] = (REAL)(scale * (of_top * (double)totals.rest - p_top * all));
    NAME(write)(job, row, g);
    return 1;
}

/* Lays a room out in `memory`; the number of reals that takes. */
INLINE size_t NAME(lay_out)(NAME(Room) * room, REAL *memory, int k) {
    const size_t n = (size_t)padded_to_vector(k);
    if (room) {
        REAL **arrays[] = {&room->l, &room->p, &room->g, &room->w, &room->d, &room->d_psi, &room->e, &room->e_psi};
        for (int i = 0; i < 8; i++) *arrays[i] = memory + (size_t)i * n;
    }
    return 8 * n;
}

#undef FINITE
#undef LANES
