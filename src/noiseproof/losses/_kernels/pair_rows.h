/* Entries of the sigmoid form, in one real type: included by pairs.h with REAL float and double.
 *
 * A score z stands for the two scores (0, z). Each class's others are the one other class, so nothing is summed and
 * nothing cancels. With L(1), L(0) the loss of either label an entry's loss is w (v t L(1) + (1 - t) L(0)), and
 *
 *     dL(y)/dz = a dlog p_y/dz + (sum over T of b psi_o) dlog p_o/dz      o the other class, a and b as in dense_rows.h
 *
 * L(0) at z is L(1) at -z, so labels that are all 0 or 1 need L(1) alone.
 */

typedef struct {
    REAL l[2][LANES], p[2][LANES], d[2][LANES], d_psi[2][LANES], e[2][LANES], e_psi[2][LANES]; /* of either class */
    REAL value[2][LANES], slope[2][LANES];
    NAME(Registers) registers;
} NAME(Pairs);

/* log p and p of both classes. False where a score is infinite or NaN. */
INLINE int NAME(pair_softmax)(NAME(Pairs) * pairs, const REAL *z, int lanes) {
    int finite = 1;
#pragma omp simd reduction(& : finite)
    for (int v = 0; v < lanes; v++) {
        const REAL size = z[v] < 0 ? -z[v] : z[v], e = NAME(exp_any)(-size), log_z = NAME(log1p_unit)(e);
        const REAL inverse = 1 / (1 + e), small = e * inverse, l_small = -size - log_z;
        const int one = z[v] > 0;
        pairs->p[1][v] = one ? inverse : small, pairs->p[0][v] = one ? small : inverse;
        pairs->l[1][v] = one ? -log_z : l_small, pairs->l[0][v] = one ? l_small : -log_z;
        finite &= size <= (REAL)FLT_MAX;
    }
    return finite;
}

/* The focal terms of class y and their derivatives by log p, as in dense_rows.h. */
INLINE void NAME(pair_focal)(const Program *program, NAME(Pairs) * pairs, int y, int lanes) {
    const REAL focus = (REAL)program->focus, floor = (REAL)program->log_floor, attached = program->attached;
    const int root = program->focus == 0.5;
    const REAL *l = pairs->l[y], *p = pairs->p[y], *r = pairs->p[!y];
    REAL *w = pairs->value[y]; /* still free */
    if (root)
#pragma omp simd
        for (int v = 0; v < lanes; v++) w[v] = NAME(square_root)(r[v]);
    else
#pragma omp simd
        for (int v = 0; v < lanes; v++) w[v] = NAME(power_any)(r[v], focus);
#pragma omp simd
    for (int v = 0; v < lanes; v++) {
        const REAL pull = attached * focus * p[v] * w[v], chord = r[v] > 0 ? l[v] / r[v] : -1;
        pairs->d[y][v] = w[v] * l[v];
        pairs->d_psi[y][v] = w[v] - pull * chord;
        const int kept = l[v] >= floor;
        const REAL missing = p[v] < (REAL)1e-4 ? focus * p[v] * (1 + (1 - focus) / 2 * p[v] * (1 + (2 - focus) / 3 * p[v])) : 1 - w[v];
        pairs->e[y][v] = w[v] * (kept ? l[v] - floor : 0) - floor * missing;
        pairs->e_psi[y][v] = kept ? w[v] - pull * chord : -pull * floor / (r[v] > 0 ? r[v] : 1);
    }
}

/* L(y) and dL(y)/dz of `lanes` entries. */
INLINE void NAME(pair_label)(const Program *program, NAME(Pairs) * pairs, const REAL *z, int y, int lanes, int with_slope,
                             int level) {
    const int needs = program->needs, o = !y;
    const REAL floor = (REAL)program->log_floor, *l = pairs->l[y], *p = pairs->p[y], *l_o = pairs->l[o], *p_o = pairs->p[o];
    const unsigned char *read = pairs->registers.steps.read;
    const short *results = pairs->registers.steps.results;
    const REAL **at = pairs->registers.stat;
    REAL(*stat)[LANES] = pairs->registers.memory;
    at[L] = at[S_Y] = l, at[P] = p, at[R] = p_o, at[S] = l_o;
    if (read[CHORD])
#pragma omp simd
        for (int v = 0; v < lanes; v++) stat[CHORD][v] = p[v] > 0 ? (p_o[v] > 0 ? l[v] / p_o[v] : -1) : 0;
    if (read[TOP])
        for (int v = 0; v < lanes; v++) stat[TOP][v] = (z[v] > 0) == y;
    if (needs & NEEDS_Q)
#pragma omp simd
        for (int v = 0; v < lanes; v++) stat[Q][v] = p_o[v] * p_o[v];
    if (needs & NEEDS_U)
#pragma omp simd
        for (int v = 0; v < lanes; v++) {
            stat[U_Y][v] = l[v] >= floor ? l[v] - floor : 0, stat[U_SLOPE][v] = l[v] >= floor;
            stat[U][v] = l_o[v] >= floor ? l_o[v] - floor : 0;
        }
    if (needs & NEEDS_FOCAL) {
        at[D_Y] = pairs->d[y], at[D_SLOPE] = pairs->d_psi[y], at[D] = pairs->d[o];
        at[E_Y] = pairs->e[y], at[E_SLOPE] = pairs->e_psi[y], at[E] = pairs->e[o];
    }
    NAME(program_run)(&pairs->registers, lanes, level, 0);
    memcpy(pairs->value[y], at[results[VALUE]], (size_t)lanes * sizeof(REAL));
    if (!with_slope) return;

    const REAL sign = y ? 1 : -1; /* dlog p_y/dz = sign p_o */
    REAL *slope = pairs->slope[y];
    const int by_l = results[BY_L];
    if (by_l < 0)
        memset(slope, 0, (size_t)lanes * sizeof(REAL));
    else {
        const REAL *a = at[by_l];
#pragma omp simd
        for (int v = 0; v < lanes; v++) slope[v] = sign * p_o[v] * a[v];
    }
#define OTHER(by, psi)                                                                                          \
    if (results[by] >= 0) {                                                                            \
        const REAL *b = at[results[by]];                                                             \
        _Pragma("omp simd") for (int v = 0; v < lanes; v++) slope[v] -= sign * p[v] * b[v] * (psi);             \
    }
    OTHER(BY_S, 1)
    OTHER(BY_Q, 2 * p_o[v] * p_o[v])
    OTHER(BY_U, (l_o[v] >= floor))
    OTHER(BY_D, pairs->d_psi[o][v])
    OTHER(BY_E, pairs->e_psi[o][v])
#undef OTHER
}

/* Rows first..last; false where a score is infinite or NaN, which the formula must answer. */
INLINE int NAME(process_pairs)(const Program *program, const PairCall *call, long first, long last, NAME(Pairs) * pairs,
                               double *total) {
    int anew = 1;
    NAME(prepare)(&pairs->registers, program, 1, 2);
    for (long row = first; row < last; row++)
        for (long from = 0; from < call->columns; from += LANES) {
            const int lanes = call->columns - from < LANES ? (int)(call->columns - from) : LANES;
            const size_t at = (size_t)row * (size_t)call->columns + (size_t)from;
            const REAL *z = (const REAL *)call->scores + at, *t = (const REAL *)call->target + at;
            int hard = 1;
#pragma omp simd reduction(& : hard)
            for (int v = 0; v < lanes; v++) hard &= t[v] == 0 || t[v] == 1;
            REAL of_label[LANES];
            if (hard)
#pragma omp simd
                for (int v = 0; v < lanes; v++) of_label[v] = t[v] != 0 ? z[v] : -z[v];
            if (!NAME(pair_softmax)(pairs, hard ? of_label : z, lanes)) return 0;
            if (program->needs & NEEDS_FOCAL)
                for (int y = 0; y < 2; y++) NAME(pair_focal)(program, pairs, y, lanes);
            for (int y = hard; y < 2; y++, anew = 0) {
                const int level = anew ? PER_CALL : y == hard ? PER_ROW : PER_CLASS;
                NAME(pair_label)(program, pairs, hard ? of_label : z, y, lanes, call->grad != NULL, level);
            }
            REAL w[LANES], v_t[LANES], sum = 0;
            const REAL *weight = call->weight, *positive = call->positive;
            for (int v = 0; v < lanes; v++) {
                w[v] = weight ? weight[row * call->weight_row + (from + v) * call->weight_column] : 1;
                v_t[v] = positive ? t[v] * positive[row * call->positive_row + (from + v) * call->positive_column] : t[v];
            }
            REAL *out = call->reduction == PAIRS_NONE ? (REAL *)call->out + at : w; /* in place of w, used up by then */
            const REAL *slope = pairs->slope[1], *value = pairs->value[1];
            if (call->grad) {
                REAL *grad = (REAL *)call->grad + at;
                const REAL scale = (REAL)call->scale, *slope_0 = hard ? slope : pairs->slope[0], sign = hard ? -1 : 1;
#pragma omp simd
                for (int v = 0; v < lanes; v++)
                    grad[v] = scale * w[v] * (v_t[v] * slope[v] + sign * (1 - t[v]) * slope_0[v]);
            }
            const REAL *value_0 = hard ? value : pairs->value[0];
#pragma omp simd reduction(+ : sum)
            for (int v = 0; v < lanes; v++) {
                const REAL own = w[v] * (v_t[v] * value[v] + (1 - t[v]) * value_0[v]);
                sum += own, out[v] = own;
            }
            *total += (double)sum;
        }
    return 1;
}
