/* Targets that give every class a share (label smoothing, probabilities), and scores in double.
 *
 * Rows of float scores are computed in float, as their formula is; those with a masked class in double, where 1e30
 * stands for infinity in products as well.
 */
#ifndef NOISEPROOF_DENSE_H
#define NOISEPROOF_DENSE_H

#include "block.h"
#include "steps.h"

#define PRAGMA(text) _Pragma(#text)

#define LANES (REAL_IS_FLOAT ? 128 : 64) /* classes that the program runs for at once */

#define REAL float
#define REAL_IS_FLOAT 1
#define NAME(x) float_##x
INLINE float float_square_root(float x) { return sqrtf(x); }
#include "lanes.h"
#include "registers.h"
#include "dense_rows.h"
#undef REAL
#undef REAL_IS_FLOAT
#undef NAME

#define REAL double
#define REAL_IS_FLOAT 0
#define NAME(x) double_##x
INLINE double double_square_root(double x) { return sqrt(x); }
#include "lanes.h"
#include "registers.h"
#include "dense_rows.h"
#undef REAL
#undef REAL_IS_FLOAT
#undef NAME

typedef struct {
    float_Room narrow;
    double_Room wide;
    double memory[]; /* first the float arrays, then the double ones */
} Dense;

INLINE size_t dense_size(int k) {
    const size_t narrow = float_lay_out(NULL, NULL, k) * sizeof(float);
    return sizeof(Dense) + narrow + double_lay_out(NULL, NULL, k) * sizeof(double);
}

typedef int FloatRow(const Job *, long, float_Room *, double);
typedef int DoubleRow(const Job *, long, double_Room *, double);

INLINE void process_dense(
    const Job *job, long first, long last, Dense *dense, FloatRow *in_float, DoubleRow *in_double
) {
    const int k = (int)job->k;
    float *memory = (float *)dense->memory;
    double_lay_out(&dense->wide, (double *)(memory + float_lay_out(&dense->narrow, memory, k)), k);
    dense->narrow.registers.prepared = dense->wide.registers.prepared = 0;
    for (long row = first; row < last; row++) {
        if (!job->soft && job->target[row] == job->ignored) {
            job->values[row] = 0;
            if (job->grad) memset(gradient_of(job, row), 0, (size_t)k * SIZES[job->dtype]);
            continue;
        }
        double scale = job->scale;
        if (job->upstream) scale *= upstream_of(job, row);
        if (job->dtype != FLOAT64 && k >= 8) { /* with few classes one may be nearly all of a sum */
            if (in_float(job, row, &dense->narrow, scale)) continue;
        }
        in_double(job, row, &dense->wide, scale);
    }
}

#endif
