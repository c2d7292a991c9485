/*
 * simple.c: compress a file, decompress it, and compare.
 *
 *     simple INPUT FRAME OUTPUT [METHOD]
 *
 * Compresses INPUT to FRAME, decompresses FRAME to OUTPUT, compares OUTPUT with INPUT, and prints sizes and speeds.
 * Without METHOD, the default method is used, and the decompressor is created from the frame alone, as in a program
 * that did not write the frame. With METHOD, which may need a weights file, both sides use METHOD.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#define _POSIX_C_SOURCE 200112L
#include <gptz.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what, const char *why)
{
    fprintf(stderr, "simple: %s: %s\n", what, why);
    exit(1);
}

static void check(gptz_status status, const char *what)
{
    if (status != GPTZ_OK) {
        fprintf(stderr, "simple: %s: %s: %s\n", what, gptz_status_name(status), gptz_last_error());
        exit(1);
    }
}

static void *allocate(size_t n)
{
    void *p = malloc(n > 0 ? n : 1);
    if (p == NULL)
        die("malloc", "no memory");
    return p;
}

static void *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    long size;
    void *data;
    if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) != 0) {
        perror(path);
        exit(1);
    }
    data = allocate((size_t)size);
    *len = fread(data, 1, (size_t)size, f);
    if (*len != (size_t)size)
        die(path, "cannot be read completely");
    fclose(f);
    return data;
}

/* Writes to a temporary file, syncs it and renames it, so that `path` is always either the old file or the new one. */
static void write_file(const char *path, const void *data, size_t len)
{
    char *temporary = allocate(strlen(path) + 5);
    FILE *f;
    strcat(strcpy(temporary, path), ".tmp");
    f = fopen(temporary, "wb");
    if (f == NULL || fwrite(data, 1, len, f) != len || fflush(f) != 0 || fsync(fileno(f)) != 0 || fclose(f) != 0
        || rename(temporary, path) != 0) {
        perror(path);
        remove(temporary);
        exit(1);
    }
    free(temporary);
}

static double rate(size_t bytes, clock_t since)
{
    double seconds = (double)(clock() - since) / CLOCKS_PER_SEC;
    return seconds > 0 ? (double)bytes / 1000 / seconds : 0;
}

int main(int argc, char **argv)
{
    const char *method = argc > 4 ? argv[4] : NULL;
    gptz *writer = NULL, *reader = NULL;
    size_t len, cap, frame_len, out_len;
    uint64_t size;
    void *data, *frame, *out;
    clock_t start;

    if (argc < 4 || argc > 5) {
        fprintf(stderr, "usage: simple INPUT FRAME OUTPUT [METHOD]\n");
        return 2;
    }
    data = read_file(argv[1], &len);

    check(gptz_create(method, &writer), "creating the compressor");
    cap = gptz_compress_bound(len);
    frame = allocate(cap);
    start = clock();
    check(gptz_compress(writer, data, len, frame, cap, &frame_len), "compressing");
    printf("%s: %zu bytes to %zu, %.3f bits per byte, %.1f KB/s, CPU level %s\n", argv[1], len, frame_len,
           len > 0 ? 8.0 * (double)frame_len / (double)len : 0.0, rate(len, start), gptz_cpu_level());
    write_file(argv[2], frame, frame_len);
    free(frame);

    frame = read_file(argv[2], &frame_len);
    if (method != NULL)
        check(gptz_create(method, &reader), "creating the decompressor");
    else
        check(gptz_create_for_frame(frame, frame_len, &reader), "creating a decompressor for the frame");
    check(gptz_decompressed_size(frame, frame_len, &size), "reading the size");
    if (size > SIZE_MAX)
        die(argv[2], "has more content than fits in memory");
    out = allocate((size_t)size);
    start = clock();
    check(gptz_decompress(reader, frame, frame_len, out, (size_t)size, &out_len), "decompressing");
    if (out_len != len || memcmp(out, data, len) != 0)
        die(argv[3], "differs from the input");
    printf("%s: %zu bytes decompressed, equal to the input, %.1f KB/s\n", argv[2], out_len, rate(out_len, start));
    printf("method: %s\n", gptz_method(reader));
    write_file(argv[3], out, out_len);

    gptz_free(writer);
    gptz_free(reader);
    free(data);
    free(frame);
    free(out);
    return 0;
}
