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

typedef struct {
    REAL *l, *p, *g, *w, *d, *d_psi, *e, *e_psi; /* of each class: log p, p, G, (1-p)^focus, focal terms and psi */
    NAME(Registers) registers;
} NAME(Room);

/* Of one row. The sums are over all classes but `top`. */
typedef struct {
    int top;   /* the first of the largest */
    REAL rest; /* 1 - p of the top */
    double S, Q, U, D, E;
} NAME(Totals);

/* What the lanes of a sum come to. */
INLINE double NAME(total)(const REAL *lanes) {
    double part[VECTOR], total = 0;
    FOR_LANES part[v] = (double)lanes[v];
    for (int from = VECTOR; from < LANES; from += VECTOR) FOR_LANES part[v] += (double)lanes[from + v];
    for (int half = VECTOR / 2; half > 1; half /= 2)
        for (int v = 0; v < half; v++) part[v] += part[v + half];
    total = part[0] + part[1];
    return total;
}

/* `from`, `lanes` of each group of classes of a row */
#define FOR_GROUPS(k) for (int from = 0, lanes; from < (k) && (lanes = (k) - from < LANES ? (k) - from : LANES); from += lanes)
#define FOR_CLASSES _Pragma("omp simd") for (int v = 0; v < lanes; v++)

/* Scores to `l`, as wide as REAL is; their range. */
INLINE Range NAME(read)(REAL *l, const void *scores, int k, const int dtype) {
#if REAL_IS_FLOAT
    return read_row(l, scores, dtype, k, padded_to_vector(k));
#else
    Range range = {INFINITY, -INFINITY, 0};
    double high = -(double)INFINITY;
    for (int j = 0; j < k; j++) {
        l[j] = dtype == FLOAT64 ? ((const double *)scores)[j] : (double)number(scores, j, dtype);
        if (l[j] > high) high = l[j], range.first = j;
    }
    return range;
#endif
}

/* From scores in `l` to log p and p. */
INLINE void NAME(softmax)(NAME(Room) * room, int k, NAME(Totals) * totals) {
    REAL *l = room->l, *p = room->p, sums[LANES] = {0};
    const int top = totals->top;
    const REAL high = l[top], shift = high == (REAL)INFINITY ? (REAL)NAN : high; /* no softmax there, as in torch */
    FOR_GROUPS(k)
        FOR_CLASSES {
            const int j = from + v;
            l[j] -= shift;
            p[j] = NAME(exp_any)(l[j]);
            sums[v] += j == top ? 0 : p[j];
        }
    const double sum = NAME(total)(sums), log_z = wide_log1p(sum), inverse = 1 / (1 + sum);
    totals->rest = (REAL)(sum * inverse);
    const REAL less = (REAL)log_z, factor = (REAL)inverse;
#pragma omp simd
    for (int j = 0; j < k; j++) l[j] -= less, p[j] *= factor;
}

#define FINITE(l) ((l) > -(REAL)MASKED ? (l) : -(REAL)MASKED)

/* Focal terms and psi of every class (see focal_one in block.h): D where there is no floor, else both. */
INLINE void NAME(focal_terms)(const Program *program, NAME(Room) * room, int k, const NAME(Totals) * totals) {
    const REAL focus = (REAL)program->focus, floor = (REAL)program->log_floor;
    const int top = totals->top;
    const REAL *l = room->l, *p = room->p;
    REAL *w = room->w, *d = room->d, *d_psi = room->d_psi;
    if (program->focus == 0.5)
#pragma omp simd
        for (int j = 0; j < k; j++) w[j] = NAME(square_root)(1 - p[j]);
    else
#pragma omp simd
        for (int j = 0; j < k; j++) w[j] = NAME(power_any)(1 - p[j], focus);
    w[top] = (REAL)(program->focus == 0.5 ? sqrt((double)totals->rest) : pow((double)totals->rest, program->focus));
#pragma omp simd
    for (int j = 0; j < k; j++) {
        const int finite = REAL_IS_FLOAT || l[j] > -(REAL)INFINITY;
        d[j] = finite ? w[j] * l[j] : -(REAL)MASKED;
        d_psi[j] = finite ? w[j] : 0;
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
    const REAL floor = (REAL)program->log_floor, *l = room->l, *p = room->p, *d = room->d, *e = room->e;
#define ADD_UP(sum, term)                                                    \
    {                                                                        \
        REAL sums[LANES] = {0};                                              \
        FOR_GROUPS(k) FOR_CLASSES {                                          \
            const int j = from + v;                                          \
            sums[v] += j == top ? 0 : (term);                                \
        }                                                                    \
        totals->sum = NAME(total)(sums);                                     \
    }
    if (needs & NEEDS_S) ADD_UP(S, REAL_IS_FLOAT ? l[j] : FINITE(l[j]))
    if (needs & NEEDS_Q) ADD_UP(Q, p[j] * p[j])
    if (needs & NEEDS_U) ADD_UP(U, l[j] >= floor ? l[j] - floor : 0)
    if (needs & NEEDS_FOCAL) {
        ADD_UP(D, d[j])
        if (floor != 0) ADD_UP(E, e[j])
    }
#undef ADD_UP
}

/* The statistics of `lanes` classes from `from` on: of each as if it were the label. */
INLINE void NAME(fill)(const Program *program, NAME(Room) * room, int from, int lanes, const NAME(Totals) * totals) {
    const int needs = program->needs, top = totals->top - from, here = top >= 0 && top < lanes;
    const unsigned char *read = room->registers.steps.read;
    const REAL *l = room->l + from, *p = room->p + from, floor = (REAL)program->log_floor;
    const REAL **at = room->registers.stat;
    REAL(*stat)[LANES] = room->registers.memory;
    at[L] = l, at[P] = p;
    if (read[R] || read[CHORD]) {
        FOR_CLASSES stat[R][v] = 1 - p[v];
        if (here) stat[R][top] = totals->rest;
    }
    if (read[CHORD])
        FOR_CLASSES {
            const REAL chord = stat[R][v] > 0 ? l[v] / stat[R][v] : -1;
            stat[CHORD][v] = p[v] > 0 ? chord : 0;
        }
    if (read[TOP])
        for (int v = 0; v < lanes; v++) stat[TOP][v] = v == top;
    /* the others: the sum without the top, less the own term, with the top; of the top the sum itself */
#define OTHERS(others, own, total, term_of_top)                       \
    {                                                                 \
        const REAL sum = (REAL)(total), most = term_of_top, *one = own; \
        FOR_CLASSES stat[others][v] = (sum - one[v]) + most;          \
        if (here) stat[others][top] = sum;                            \
    }
    if (needs & NEEDS_S) {
#if REAL_IS_FLOAT
        at[S_Y] = l; /* all are above -MASKED */
#else
        for (int v = 0; v < lanes; v++) stat[S_Y][v] = FINITE(l[v]), stat[S_SLOPE][v] = l[v] > -(REAL)INFINITY;
#endif
        OTHERS(S, at[S_Y], totals->S, FINITE(room->l[totals->top]))
    }
    if (needs & NEEDS_Q) {
        const REAL sum = (REAL)totals->Q, most = room->p[totals->top] * room->p[totals->top];
        FOR_CLASSES stat[Q][v] = (sum - p[v] * p[v]) + most;
        if (here) stat[Q][top] = sum;
    }
    if (needs & NEEDS_U) {
        const REAL above = room->l[totals->top] - floor;
        FOR_CLASSES stat[U_Y][v] = l[v] >= floor ? l[v] - floor : 0, stat[U_SLOPE][v] = l[v] >= floor;
        OTHERS(U, stat[U_Y], totals->U, above > 0 ? above : 0)
    }
    if (needs & NEEDS_FOCAL) {
        at[D_Y] = room->d + from, at[D_SLOPE] = room->d_psi + from;
        OTHERS(D, at[D_Y], totals->D, room->d[totals->top])
        if (floor != 0) {
            at[E_Y] = room->e + from, at[E_SLOPE] = room->e_psi + from;
            OTHERS(E, at[E_Y], totals->E, room->e[totals->top])
        }
    }
#undef OTHERS
}

/* What each class counts: its share in the target times its weight; in `c`, or where it lies. */
INLINE const REAL *NAME(shares)(const Job *job, long row, int from, int lanes, REAL *c) {
    const REAL even = (REAL)(job->smoothing / (double)job->k), kept = (REAL)(1 - job->smoothing);
    if (job->soft) {
        const size_t start = (size_t)row * (size_t)job->soft_stride + (size_t)from;
        const double *wide = (const double *)job->soft + start;
        const float *narrow = (const float *)job->soft + start;
        if (REAL_IS_FLOAT && job->dtype != FLOAT64 && job->smoothing == 0 && !job->weight) return (const REAL *)(const void *)narrow;
        if (job->dtype == FLOAT64)
            FOR_CLASSES c[v] = (REAL)wide[v] * kept + even;
        else
            FOR_CLASSES c[v] = (REAL)narrow[v] * kept + even;
    } else {
        FOR_CLASSES c[v] = even;
        const int64_t y = job->target[row] - from;
        if (y >= 0 && y < lanes) c[y] += kept;
    }
    if (!job->weight) return c;
    if (job->dtype == FLOAT64)
        FOR_CLASSES c[v] *= (REAL)((const double *)job->weight)[from + v];
    else
        FOR_CLASSES c[v] *= (REAL)job->weight[from + v];
    return c;
}

INLINE void NAME(write)(const Job *job, long row, const REAL *g) {
    const int k = (int)job->k;
    if (job->dtype == (REAL_IS_FLOAT ? FLOAT32 : FLOAT64)) return; /* it is there: see `room_for` */
#if REAL_IS_FLOAT
    write_row(gradient_of(job, row), g, job->dtype, k);
#else
    for (int j = 0; j < k; j++) write_one(gradient_of(job, row), j, (float)g[j], job->dtype);
#endif
}

/* One row; false where it must be gone through in double. */
INLINE int NAME(row)(const Job *job, long row, NAME(Room) * room, double scale) {
    const Program *program = job->program;
    const int k = (int)job->k, needs = program->needs;
    const REAL floor = (REAL)program->log_floor;
    NAME(Totals) totals = {0};
    const Range range = NAME(read)(room->l, scores_of(job, row), k, job->dtype);
    if (REAL_IS_FLOAT && !(range.high - range.low < (float)MASKED / 2)) return 0; /* masked, infinite or NaN all over */
    totals.top = range.first;
    NAME(softmax)(room, k, &totals);
    REAL *const out = job->dtype == (REAL_IS_FLOAT ? FLOAT32 : FLOAT64) && job->grad ? (REAL *)gradient_of(job, row) : room->g;
    if (totals.rest != totals.rest) { /* a score is NaN, or infinite */
        job->values[row] = NAN;
        for (int j = 0; j < k; j++) out[j] = (REAL)NAN;
        if (job->grad) NAME(write)(job, row, out);
        return 1;
    }
    if (needs & NEEDS_FOCAL) NAME(focal_terms)(program, room, k, &totals);
    NAME(sums)(program, room, k, &totals);
    const int only = !job->soft && job->smoothing == 0; /* one class counts */
    const int first = only ? (int)job->target[row] : 0, last = only ? first + 1 : k;
    static const int own[] = {BY_S, BY_Q, BY_U, BY_D, BY_E};
    NAME(Registers) *registers = &room->registers;
    const int anew = !registers->prepared;
    if (anew) NAME(prepare)(registers, program, REAL_IS_FLOAT, (REAL)k);
    const REAL **stat = registers->stat;
    const short *results = registers->steps.results;
    REAL values[LANES] = {0}, shares[5][LANES] = {{0}};
    REAL alone = 0; /* G of the one class that counts: B - c b is 0 there, and its rounding may be more than c a */
    if (only) memset(room->g, 0, (size_t)k * sizeof(REAL));
    for (int from = first; from < last; from += LANES) {
        const int lanes = last - from < LANES ? last - from : LANES;
        REAL room_for_c[LANES], *g = room->g + from;
        NAME(fill)(program, room, from, lanes, &totals);
        NAME(program_run)(registers, lanes, from != first ? PER_CLASS : anew ? PER_CALL : PER_ROW, 1);
        const REAL *c = NAME(shares)(job, row, from, lanes, room_for_c), *L_k = stat[results[VALUE]];
        FOR_CLASSES values[v] += c[v] == 0 && L_k[v] == (REAL)INFINITY ? 0 : c[v] * L_k[v];
        if (!job->grad) continue;
        const int by_l = results[BY_L];
        if (by_l < 0)
            memset(g, 0, (size_t)lanes * sizeof(REAL));
        else {
            const REAL *a = stat[by_l];
            FOR_CLASSES g[v] = c[v] == 0 ? 0 : c[v] * a[v];
        }
        if (only) alone = g[0];
        for (int t = 0; t < 5; t++) {
            if (results[own[t]] < 0) continue;
            const REAL *slope = stat[results[own[t]]], *l = room->l + from, *p = room->p + from;
            REAL *sums = shares[t];
#define LESS(psi)                                           \
    FOR_CLASSES {                                           \
        const REAL share = c[v] == 0 ? 0 : c[v] * slope[v]; \
        sums[v] += share, g[v] -= (psi) * share;            \
    }                                                       \
    break
            switch (own[t]) {
            case BY_S: LESS(REAL_IS_FLOAT || l[v] > -(REAL)INFINITY ? 1 : 0);
            case BY_Q: LESS(2 * p[v] * p[v]);
            case BY_U: LESS(l[v] >= floor ? 1 : 0);
            case BY_D: LESS(room->d_psi[from + v]);
            case BY_E: LESS(room->e_psi[from + v]);
            }
#undef LESS
        }
    }
    job->values[row] = NAME(total)(values);
    if (!job->grad) return 1;
    double by[5];
    for (int t = 0; t < 5; t++) by[t] = results[own[t]] < 0 ? 0 : NAME(total)(shares[t]);
    const REAL s = (REAL)by[0], q = (REAL)(2 * by[1]), u = (REAL)by[2], d = (REAL)by[3], e = (REAL)by[4];
    REAL *g = room->g, *l = room->l, *p = room->p, sums[LANES] = {0};
    if (d != 0)
#pragma omp simd
        for (int j = 0; j < k; j++) g[j] += d * room->d_psi[j];
    if (e != 0)
#pragma omp simd
        for (int j = 0; j < k; j++) g[j] += e * room->e_psi[j];
    if (u != 0)
#pragma omp simd
        for (int j = 0; j < k; j++) g[j] += l[j] >= floor ? u : 0;
#pragma omp simd
    for (int j = 0; j < k; j++) g[j] += (REAL_IS_FLOAT || l[j] > -(REAL)INFINITY ? s : 0) + q * p[j] * p[j];
    if (only) g[first] = alone;
    FOR_GROUPS(k) FOR_CLASSES sums[v] += from + v == totals.top ? 0 : g[from + v];
    const double all = NAME(total)(sums), of_top = g[totals.top], p_top = p[totals.top];
    const REAL sum = (REAL)(all + of_top), factor = (REAL)scale;
#pragma omp simd
    for (int j = 0; j < k; j++) out[j] = factor * (g[j] - p[j] * sum);
    out[totals.top] = (REAL)(scale * (of_top * (double)totals.rest - p_top * all));
    NAME(write)(job, row, out);
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
#undef FOR_GROUPS
#undef FOR_CLASSES
