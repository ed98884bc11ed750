/* A program made ready to run for every class: what is the same for many classes is computed once.
 *
 * A register changes with every class, once a row (of pairs: once an entry, the same for either label), or never within
 * a call. Of floats, a divisor that is used twice or changes seldom is inverted once, and the factors of a product that
 * change seldom are multiplied first.
 */
#ifndef NOISEPROOF_STEPS_H
#define NOISEPROOF_STEPS_H

#include "program.h"

#define ALL_REGISTERS (4 * REGISTERS) /* the program's, and what is computed once */
#define OPERATIONS (4 * REGISTERS)

enum { PER_CLASS, PER_ROW, PER_CALL };
enum { RECIPROCAL = AT_LEAST + 1 };

typedef struct {
    short operation, left, right, out;
    double constant;
} Operation;

typedef struct {
    int count, next; /* the next free register */
    Operation list[OPERATIONS];
    unsigned char level[ALL_REGISTERS]; /* how often a register changes */
    unsigned char read[ALL_REGISTERS];  /* whether anybody reads it */
    short same[REGISTERS];              /* the register that holds a register's numbers: itself, or an earlier one */
    short results[RESULTS];
} Steps;

static int operands(int operation) {
    if (operation == CONSTANT) return 0;
    return operation == RECIPROCAL || (operation >= POWER && operation <= LOG1P) ? 1 : 2;
}

static void append(Steps *steps, int operation, int left, int right, int out, double constant) {
    const int a = operands(operation) > 0 ? steps->level[left] : PER_CALL;
    const int b = operands(operation) > 1 ? steps->level[right] : PER_CALL;
    steps->level[out] = (unsigned char)(a < b ? a : b);
    steps->list[steps->count++] = (Operation){(short)operation, (short)left, (short)right, (short)out, constant};
}

/* Root of a divisor that is a square, else the divisor itself. */
static int root_of(const Program *program, int divisor) {
    const Step *made = divisor < STATISTICS ? NULL : program->steps + (divisor - STATISTICS);
    return made && made->operation == MULTIPLY && made->left == made->right ? made->left : divisor;
}

static int uses_of(const Steps *steps, int out) {
    int uses = 0;
    for (int s = 0; s < steps->count; s++) {
        const Operation *step = steps->list + s;
        uses += operands(step->operation) > 0 && step->left == out;
        uses += operands(step->operation) > 1 && step->right == out;
    }
    for (int i = 0; i < RESULTS; i++) uses += steps->results[i] == out;
    return uses;
}

/* Multiplies a factor of the product `out` that changes seldom by `factor`; false where there is none. */
static int absorb(Steps *steps, int out, int factor) {
    Operation *product = NULL;
    for (int s = 0; s < steps->count; s++)
        if (steps->list[s].out == out && steps->list[s].operation == MULTIPLY) product = steps->list + s;
    if (!product || steps->next == ALL_REGISTERS || steps->count == OPERATIONS || uses_of(steps, out) != 1) return 0;
    short *seldom = steps->level[product->left] != PER_CLASS ? &product->left : &product->right;
    if (steps->level[*seldom] == PER_CLASS) return absorb(steps, product->left, factor) || absorb(steps, product->right, factor);
    append(steps, MULTIPLY, *seldom, factor, steps->next, 0);
    *seldom = (short)steps->next++;
    return 1;
}

/* Moves factors that change seldom into each other: 5 (a b) with 5 and b the same for all classes becomes a (5 b). */
static void join_factors(Steps *steps) {
    const int count = steps->count;
    for (int s = 0; s < count; s++) {
        const Operation step = steps->list[s];
        if (step.operation != MULTIPLY || steps->level[step.out] != PER_CLASS) continue;
        const int left = steps->level[step.left] != PER_CLASS, factor = left ? step.left : step.right;
        const int product = left ? step.right : step.left;
        if (steps->level[factor] == PER_CLASS || !absorb(steps, product, factor)) continue;
        steps->list[s].operation = CONSTANT; /* nobody reads it any more */
        for (int other = 0; other < steps->count; other++) { /* who reads this step reads the product */
            Operation *reader = steps->list + other;
            if (reader->left == step.out) reader->left = (short)product;
            if (reader->right == step.out) reader->right = (short)product;
        }
        for (int i = 0; i < RESULTS; i++)
            if (steps->results[i] == step.out) steps->results[i] = (short)product;
    }
}

/* What changes seldom first; without what nobody reads. */
static void put_in_order(Steps *steps) {
    Operation ordered[OPERATIONS];
    int count = 0, kept = 0;
    for (int seldom = 1; seldom >= 0; seldom--)
        for (int s = 0; s < steps->count; s++)
            if ((steps->level[steps->list[s].out] != PER_CLASS) == seldom) ordered[count++] = steps->list[s];
    for (int i = 0; i < RESULTS; i++)
        if (steps->results[i] >= 0) steps->read[steps->results[i]] = 1;
    for (int s = count - 1; s >= 0; s--) {
        const Operation *step = ordered + s;
        if (!steps->read[step->out]) continue;
        if (operands(step->operation) > 0) steps->read[step->left] = 1;
        if (operands(step->operation) > 1) steps->read[step->right] = 1;
    }
    for (int s = 0; s < count; s++)
        if (steps->read[ordered[s].out]) steps->list[kept++] = ordered[s];
    steps->count = kept;
}

/* `slopes`: s_slope is 1 for every class. `invert`: a quotient may be a product with an inverse. */
static void read_steps(Steps *steps, const Program *program, int slopes, int invert) {
    static const int own[] = {S_Y, U_Y, D_Y, E_Y}, others[] = {S, U, D, E};
    memset(steps, 0, sizeof *steps);
    steps->level[K] = PER_CALL;
    if (slopes) steps->level[S_SLOPE] = PER_CALL;
    for (int r = 0; r < REGISTERS; r++) steps->same[r] = (short)r;
    int uses[REGISTERS] = {0}, inverse[REGISTERS] = {0}, minus = 0;
    steps->next = REGISTERS;
    for (int s = 0; s < program->count; s++)
        if (program->steps[s].operation == DIVIDE) uses[root_of(program, program->steps[s].right)]++;
    for (int s = 0; s < program->count; s++) {
        const Step *step = program->steps + s;
        const int out = STATISTICS + s, a = steps->same[step->left], b = steps->same[step->right];
        const int root = root_of(program, step->right);
        if (slopes && step->operation == MULTIPLY && (a == S_SLOPE || b == S_SLOPE)) {
            steps->same[out] = (short)(a == S_SLOPE ? b : a);
        } else if (invert && step->operation == DIVIDE && (uses[root] > 1 || steps->level[b] != PER_CLASS)) {
            if (!inverse[root]) append(steps, RECIPROCAL, steps->same[root], 0, inverse[root] = steps->next++, 0);
            const int once = root == step->right ? out : steps->next++;
            append(steps, MULTIPLY, a, inverse[root], once, 0);
            if (root != step->right) append(steps, MULTIPLY, once, inverse[root], out, 0);
        } else if (invert && step->operation == NEGATE) {
            if (!minus) append(steps, CONSTANT, 0, 0, minus = steps->next++, -1);
            append(steps, MULTIPLY, a, minus, out, 0);
        } else {
            append(steps, step->operation, a, b, out, step->constant);
            /* a term and the same of the others: one sum for all classes */
            for (int t = 0; t < 4; t++)
                if (step->operation == ADD && a == own[t] && b == others[t]) steps->level[out] = PER_ROW;
        }
    }
    for (int i = 0; i < RESULTS; i++)
        steps->results[i] = program->results[i] < 0 ? (short)-1 : steps->same[program->results[i]];
    if (invert) join_factors(steps);
    put_in_order(steps);
}

#endif
