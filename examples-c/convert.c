/*
 * convert.c: convert a tensor file (safetensors, GGUF or APR) to another format.
 *
 *     convert INPUT OUTPUT apr|safetensors|gguf [TYPE]
 *
 * The metadata are kept. Without TYPE, tensors are copied byte for byte if the format has their type, and otherwise
 * become F32. With TYPE (such as F16, Q4_K or I8), matrices become that type; vectors, scalars, and matrices whose rows are
 * not a whole number of blocks stay as they would be without it. A matrix of the type I8 gets a second tensor with the
 * scales of its rows. Tensors that inference does not need are left out.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#include <gptz.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int number;
    /* The number of values of a row must be a multiple of it. */
    unsigned block;
    int in_apr, in_safetensors, in_gguf;
} types[] = {
    { "F32", GPTZ_DTYPE_F32, 1, 1, 1, 1 },       { "F16", GPTZ_DTYPE_F16, 1, 1, 1, 1 },
    { "BF16", GPTZ_DTYPE_BF16, 1, 1, 1, 1 },     { "Q8", GPTZ_DTYPE_Q8, 1, 1, 0, 0 },
    { "Q4", GPTZ_DTYPE_Q4, 1, 1, 0, 0 },         { "Q4_K", GPTZ_DTYPE_Q4_K, 256, 1, 0, 1 },
    { "Q8_0", GPTZ_DTYPE_Q8_0, 32, 0, 0, 1 },    { "Q4_0", GPTZ_DTYPE_Q4_0, 32, 0, 0, 1 },
    { "Q4_1", GPTZ_DTYPE_Q4_1, 32, 0, 0, 1 },    { "Q5_0", GPTZ_DTYPE_Q5_0, 32, 0, 0, 1 },
    { "Q5_1", GPTZ_DTYPE_Q5_1, 32, 0, 0, 1 },    { "Q5_K", GPTZ_DTYPE_Q5_K, 256, 0, 0, 1 },
    { "Q6_K", GPTZ_DTYPE_Q6_K, 256, 1, 0, 1 },   { "I8", GPTZ_DTYPE_I8, 1, 1, 1, 1 },
};
#define TYPES (sizeof types / sizeof *types)

static void check(gptz_status status, const char *what)
{
    if (status != GPTZ_OK) {
        fprintf(stderr, "convert: %s: %s: %s\n", what, gptz_status_name(status), gptz_last_error());
        exit(1);
    }
}

static void *allocate(size_t n)
{
    void *p = malloc(n > 0 ? n : 1);
    if (p == NULL) {
        fprintf(stderr, "convert: no memory\n");
        exit(1);
    }
    return p;
}

static int usage(void)
{
    fprintf(stderr, "usage: convert INPUT OUTPUT apr|safetensors|gguf [TYPE]\n");
    return 2;
}

static int has(int format, int type)
{
    return format == GPTZ_TENSORS_APR           ? types[type].in_apr
           : format == GPTZ_TENSORS_SAFETENSORS ? types[type].in_safetensors
                                                : types[type].in_gguf;
}

/* The type that a tensor becomes. `wanted` is an index of `types`, or -1. */
static int target(int format, int wanted, int dtype, size_t dims, const uint64_t *shape)
{
    if (wanted >= 0 && dims > 1 && shape[dims - 1] % types[wanted].block == 0)
        return types[wanted].number;
    return has(format, dtype) ? dtype : GPTZ_DTYPE_F32;
}

/* Whether `name` is the scales of an I8 tensor that becomes another type, and then needs none. */
static int is_needless(gptz_tensor_reader *in, uint64_t n, const char *name, int format, int wanted)
{
    size_t len = strlen(name), stem = len > 6 ? len - 6 : 0, dims;
    uint64_t i;
    if (stem == 0 || strcmp(name + stem, ".scale") != 0)
        return 0;
    for (i = 0; i < n; i++) {
        const char *other;
        const uint64_t *shape;
        int dtype;
        check(gptz_tensor_reader_info(in, i, &other, &dtype, &shape, &dims, NULL), name);
        if (dtype == GPTZ_DTYPE_I8 && strlen(other) == stem && strncmp(other, name, stem) == 0)
            return target(format, wanted, dtype, dims, shape) != dtype;
    }
    return 0;
}

int main(int argc, char **argv)
{
    int format, wanted = -1, i;
    gptz_tensor_reader *in;
    gptz_tensor_writer *out;
    char *metadata;
    size_t len;
    uint64_t n, index, bytes;

    if (argc < 4 || argc > 5)
        return usage();
    format = strcmp(argv[3], "apr") == 0           ? GPTZ_TENSORS_APR
             : strcmp(argv[3], "safetensors") == 0 ? GPTZ_TENSORS_SAFETENSORS
             : strcmp(argv[3], "gguf") == 0        ? GPTZ_TENSORS_GGUF
                                                   : 0;
    for (i = 0; argc > 4 && i < (int)TYPES; i++)
        if (strcmp(argv[4], types[i].name) == 0)
            wanted = i;
    if (format == 0 || (argc > 4 && wanted < 0))
        return usage();
    if (wanted >= 0 && !has(format, wanted)) {
        fprintf(stderr, "convert: %s files have no type %s\n", argv[3], argv[4]);
        return 1;
    }

    check(gptz_tensor_reader_open(argv[1], &in), "opening the input");
    if (gptz_tensor_reader_metadata(in, NULL, 0, &len) != GPTZ_ERROR_BUFFER_TOO_SMALL)
        check(gptz_tensor_reader_metadata(in, NULL, 0, &len), "reading the metadata");
    metadata = allocate(len);
    check(gptz_tensor_reader_metadata(in, metadata, len, &len), "reading the metadata");
    check(gptz_tensor_writer_open(argv[2], format, metadata, &out), "opening the output");
    free(metadata);

    check(gptz_tensor_reader_count(in, &n), "counting the tensors");
    for (index = 0; index < n; index++) {
        const char *name;
        const uint64_t *shape;
        size_t dims, d, values = 1;
        int dtype, to;
        void *data;
        check(gptz_tensor_reader_info(in, index, &name, &dtype, &shape, &dims, &bytes), "reading a description");
        for (d = 0; d < dims; d++)
            values *= (size_t)shape[d];
        to = target(format, wanted, dtype, dims, shape);
        if (is_needless(in, n, name, format, wanted))
            continue;
        if (to == dtype) {
            data = allocate((size_t)bytes);
            check(gptz_tensor_reader_read(in, index, data, (size_t)bytes), name);
            check(gptz_tensor_writer_add(out, name, dtype, shape, dims, data, (size_t)bytes), name);
        } else {
            if (values > SIZE_MAX / sizeof(float)) {
                fprintf(stderr, "convert: %s does not fit in memory\n", name);
                return 1;
            }
            data = allocate(values * sizeof(float));
            check(gptz_tensor_reader_read_f32(in, index, data, values), name);
            check(gptz_tensor_writer_add_f32(out, name, to, shape, dims, data, values), name);
        }
        free(data);
    }
    check(gptz_tensor_writer_counts(out, &n, &bytes), "counting");
    check(gptz_tensor_writer_finish(out), argv[2]);
    printf("%s: %lu tensors, %.1f MB\n", argv[2], (unsigned long)n, (double)bytes / 1e6);
    gptz_tensor_writer_free(out);
    gptz_tensor_reader_free(in);
    return 0;
}
