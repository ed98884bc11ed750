/* A batch of training pictures in one pass: a window of each padded picture, mirrored, turned, as float32.
 *
 * The pixels are those of crops_and_flips.py's steps in torch, which read and write them once a step. A turned picture takes
 * each pixel from where an affine map in 1/65536 pixel says, or zero where that lies outside of the window.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>

#if defined(__x86_64__) && defined(__GNUC__) && defined(__ELF__)
#define FOR_EVERY_PROCESSOR __attribute__((target_clones("avx2", "default")))
#else
#define FOR_EVERY_PROCESSOR
#endif
#define INLINE static inline __attribute__((always_inline))
#define WIDEST 4096

typedef struct {
    const uint8_t *images; /* (N, channels, padded_height, padded_width) */
    long channels, padded_height, padded_width, height, width;
    const int64_t *index, *top, *left; /* (count,) each */
    const uint8_t *flip;               /* (count,) */
    const int32_t *turn;               /* (count, 6) or NULL */
    const float *scale, *shift;        /* (channels,) each, or NULL for pixels in [0, 1] */
    float *out;                        /* (count, channels, height, width) */
    long count;
} Job;

/* What torch computes: one rounding for the product and one for the sum (this file is compiled without contraction). */
typedef struct {
    float scale, shift;
    int plain;
} Normal;

INLINE Normal normal_of(const Job *job, long channel) {
    return job->scale ? (Normal){job->scale[channel], job->shift[channel], 0} : (Normal){.plain = 1};
}

INLINE float normal(Normal n, uint8_t pixel) {
    return n.plain ? (float)pixel / 255.0f : (float)pixel * n.scale + n.shift;
}

INLINE void row_upright(const uint8_t *restrict in, float *restrict out, long width, int flip, Normal n) {
    for (long j = 0; j < width; j++) out[j] = normal(n, in[flip ? width - 1 - j : j]);
}

FOR_EVERY_PROCESSOR static void upright(const Job *job, const uint8_t *window, int flip, float *out) {
    for (long c = 0; c < job->channels; c++) {
        const Normal n = normal_of(job, c);
        const uint8_t *in = window + c * job->padded_height * job->padded_width;
        for (long i = 0; i < job->height; i++, in += job->padded_width, out += job->width) {
            if (flip) row_upright(in, out, job->width, 1, n);
            else row_upright(in, out, job->width, 0, n);
        }
    }
}

INLINE void row_turned(const uint8_t *restrict in, const int32_t *restrict place, float *restrict out, long width,
                       Normal n) {
    for (long j = 0; j < width; j++) {
        const int32_t inside = ~(place[j] >> 31); /* all bits, or none */
        out[j] = normal(n, (uint8_t)(in[place[j] & inside] & inside));
    }
}

FOR_EVERY_PROCESSOR static void turned(const Job *job, const uint8_t *window, int flip, const int32_t *turn,
                                       float *out) {
    const int32_t height = (int32_t)job->height, width = (int32_t)job->width, stride = (int32_t)job->padded_width;
    const long plane = job->padded_height * job->padded_width;
    const int32_t last = flip ? width - 1 : 0, step = flip ? -1 : 1;
    const int32_t xx = turn[0], xy = turn[1], x0 = turn[2], yx = turn[3], yy = turn[4], y0 = turn[5];
    int32_t place[WIDEST]; /* of a row's pixels, from the window's first; negative: outside */
    for (int32_t i = 0; i < height; i++) {
        for (int32_t j = 0; j < width; j++) {
            const int32_t x = (xx * j + (xy * i + x0)) >> 16, y = (yx * j + (yy * i + y0)) >> 16;
            const int32_t outside = (x | y | (width - 1 - x) | (height - 1 - y)) >> 31;
            place[j] = (y * stride + last + step * x) | outside;
        }
        for (long c = 0; c < job->channels; c++)
            row_turned(window + c * plane, place, out + (c * height + i) * width, width, normal_of(job, c));
    }
}

static void make(const Job *job) {
    const long plane = job->padded_height * job->padded_width, picture = job->channels * job->height * job->width;
    for (long n = 0; n < job->count; n++) {
        const uint8_t *image = job->images + job->index[n] * job->channels * plane;
        const uint8_t *window = image + job->top[n] * job->padded_width + job->left[n];
        float *out = job->out + n * picture;
        if (job->turn) turned(job, window, job->flip[n], job->turn + 6 * n, out);
        else upright(job, window, job->flip[n], out);
    }
}

/* The door from Python. Addresses and sizes come from crops_and_flips.py, whose own tensors they are. */

#define ARGUMENTS 15

static PyObject *crops(PyObject *module, PyObject *const *argument, Py_ssize_t count) {
    (void)module;
    if (count != ARGUMENTS) return PyErr_Format(PyExc_TypeError, "crops takes %d numbers, got %zd", ARGUMENTS, count);
    long long a[ARGUMENTS];
    for (int i = 0; i < ARGUMENTS; i++) a[i] = PyLong_AsLongLong(argument[i]);
    if (PyErr_Occurred()) return NULL;
#define ADDRESS(i) (void *)(intptr_t)a[i]
    const Job job = {
        .images = ADDRESS(0), .channels = (long)a[1], .padded_height = (long)a[2], .padded_width = (long)a[3],
        .height = (long)a[4], .width = (long)a[5], .count = (long)a[6], .index = ADDRESS(7), .top = ADDRESS(8),
        .left = ADDRESS(9), .flip = ADDRESS(10), .turn = ADDRESS(11), .scale = ADDRESS(12), .shift = ADDRESS(13),
        .out = ADDRESS(14),
    };
    if (job.turn && job.width > WIDEST)
        return PyErr_Format(PyExc_ValueError, "pictures to turn are at most %d wide, got %ld", WIDEST, job.width);
    Py_BEGIN_ALLOW_THREADS;
    make(&job);
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"crops", (PyCFunction)(void (*)(void))crops, METH_FASTCALL, "Fill a batch, see crops_and_flips.py."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_crops", .m_size = 0, .m_methods = methods};

PyMODINIT_FUNC PyInit__crops(void) { return PyModuleDef_Init(&definition); }
