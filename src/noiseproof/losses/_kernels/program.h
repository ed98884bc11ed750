/* A loss as a program: from a row's statistics to its value and slopes, in double.
 *
 * `forms.py` writes the formulas and traces them into this form: the statistics are the first registers, every step
 * appends one more. A program runs on a block of rows at once, so a step costs one pass over a few doubles.
 */
#ifndef NOISEPROOF_PROGRAM_H
#define NOISEPROOF_PROGRAM_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define BLOCK 32     /* rows at once */
#define REGISTERS 256

/* In the order of forms.STATISTICS. */
enum { K, L, P, R, CHORD, TOP, S_Y, S_SLOPE, S, Q, U_Y, U_SLOPE, U, D_Y, D_SLOPE, D, E_Y, E_SLOPE, E, STATISTICS };

/* In the order of forms.RESULTS: the value, then its derivatives by log p_y and by each sum over the other classes. */
enum { VALUE, BY_L, BY_S, BY_Q, BY_U, BY_D, BY_E, RESULTS };

/* In the order of forms.OPERATIONS. */
enum { CONSTANT, ADD, SUBTRACT, MULTIPLY, DIVIDE, POWER, NEGATE, EXP, EXPM1, LOG1P, LARGER, AT_LEAST };

/* Which sums over classes the program reads; the bits of forms.Program. */
enum { NEEDS_S = 1, NEEDS_Q = 2, NEEDS_U = 4, NEEDS_FOCAL = 8 };

typedef struct {
    int32_t operation, left, right, unused;
    double constant;
} Step;

typedef struct {
    int32_t needs, attached; /* attached: the focal weight is differentiated, not held constant */
    double focus, log_floor; /* (1-p)^focus; ln p_min */
    int32_t results[RESULTS]; /* registers; -1 where a derivative is 0 */
    int32_t count;
    Step steps[];
} Program;

static inline int program_is_sound(const Program *program, size_t size) {
    if (size < sizeof(Program) || program->count < 0 || program->count > REGISTERS - STATISTICS ||
        size != sizeof(Program) + (size_t)program->count * sizeof(Step))
        return 0;
    for (int i = 0; i < program->count; i++) {
        const Step *step = program->steps + i;
        if (step->operation < CONSTANT || step->operation > AT_LEAST || step->left < 0 || step->right < 0 ||
            step->left >= STATISTICS + i || step->right >= STATISTICS + i)
            return 0;
    }
    for (int i = 0; i < RESULTS; i++)
        if (program->results[i] < (i == VALUE ? 0 : -1) || program->results[i] >= STATISTICS + program->count)
            return 0;
    return 1;
}

#define FOR_ROWS(expression)        \
    for (int i = 0; i < rows; i++)  \
        out[i] = expression;        \
    break

static inline __attribute__((always_inline)) void program_run(const Program *program, double (*registers)[BLOCK],
                                                              int rows) {
    for (int s = 0; s < program->count; s++) {
        const Step *step = program->steps + s;
        const double *a = registers[step->left], *b = registers[step->right];
        double *out = registers[STATISTICS + s], c = step->constant;
        switch (step->operation) {
        case CONSTANT: FOR_ROWS(c);
        case ADD: FOR_ROWS(a[i] + b[i]);
        case SUBTRACT: FOR_ROWS(a[i] - b[i]);
        case MULTIPLY: FOR_ROWS(a[i] * b[i]);
        case DIVIDE: FOR_ROWS(a[i] / b[i]);
        case POWER: FOR_ROWS(pow(a[i], c));
        case NEGATE: FOR_ROWS(-a[i]);
        case EXP: FOR_ROWS(exp(a[i]));
        case EXPM1: FOR_ROWS(expm1(a[i]));
        case LOG1P: FOR_ROWS(log1p(a[i]));
        case LARGER: FOR_ROWS(a[i] < b[i] ? b[i] : a[i]); /* NaN stays: a comes from the scores */
        case AT_LEAST: FOR_ROWS(a[i] >= b[i] ? 1.0 : 0.0);
        }
    }
}

#endif
