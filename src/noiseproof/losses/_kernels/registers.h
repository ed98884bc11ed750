/* The steps of a program run for a vector of classes, in the real type of the file that includes this one. */

/* What a program works on: the numbers of up to LANES classes in each register. */
typedef struct {
    int prepared; /* 0 until `prepare` */
    Steps steps;
    const REAL *stat[ALL_REGISTERS]; /* where a register's numbers are: in `memory`, or in the row */
    REAL memory[ALL_REGISTERS][LANES];
} NAME(Registers);

/* The program's steps on `lanes` classes. `level`: of the registers that changed since the last run. `rows`: what is
 * PER_ROW is one number. */
INLINE void NAME(program_run)(NAME(Registers) * registers, int lanes, int level, const int rows) {
#define EACH(expression)                                                     \
    _Pragma("omp simd") for (int v = 0; v < count; v++) out[v] = expression; \
    break
    const Steps *steps = &registers->steps;
    for (const Operation *step = steps->list; step < steps->list + steps->count; step++) {
        const int own = steps->level[step->out];
        if (own > level) continue;
        const REAL *a = registers->stat[step->left], *b = registers->stat[step->right];
        REAL *out = registers->memory[step->out], c = (REAL)step->constant;
        const int all = own == PER_CALL || (rows && own == PER_ROW) ? LANES : lanes;
        const int count = (all + VECTOR - 1) / VECTOR * VECTOR; /* whole vectors; what is beyond `all` is not read */
        if (c == 0 && step->constant != 0) c = (REAL)1e-37; /* too small for this type */
        switch (step->operation) {
        case CONSTANT: EACH(c);
        case ADD:
            if (rows && own == PER_ROW) {
                const REAL once = a[0] + b[0]; /* may differ between classes in the last bit */
                EACH(once);
            }
            EACH(a[v] + b[v]);
        case SUBTRACT: EACH(a[v] - b[v]);
        case MULTIPLY: EACH(a[v] * b[v]);
        case DIVIDE: EACH(a[v] / b[v]);
        case RECIPROCAL: EACH(1 / a[v]);
        case POWER:
            if (c == 2) {
                EACH(a[v] * a[v]);
            }
            if (c == 1) {
                EACH(a[v]);
            }
            if (c == 0) {
                EACH(1);
            }
            if (c == (REAL)0.5) {
                EACH(NAME(square_root)(a[v]));
            }
            EACH(NAME(power_any)(a[v], c));
        case NEGATE: EACH(-a[v]);
        case EXP: EACH(NAME(exp_any)(a[v]));
        case EXPM1: EACH(NAME(expm1_any)(a[v]));
        case LOG1P: EACH(NAME(log1p_any)(a[v]));
        case LARGER: EACH(a[v] < b[v] ? b[v] : a[v]);
        case AT_LEAST: EACH((REAL)(a[v] >= b[v]));
        }
    }
#undef EACH
}

INLINE void NAME(prepare)(NAME(Registers) * registers, const Program *program, int slopes, REAL k) {
    registers->prepared = 1;
    read_steps(&registers->steps, program, slopes, REAL_IS_FLOAT);
    for (int r = 0; r < ALL_REGISTERS; r++) registers->stat[r] = registers->memory[r];
    for (int v = 0; v < LANES; v++) registers->memory[K][v] = k, registers->memory[S_SLOPE][v] = 1;
}
