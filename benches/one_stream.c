/*
 * one_stream.c: what a C program pays for one stream: the time of its first calls, and the memory that they take.
 *
 *     make && cc -O2 -Iinclude -o build/one_stream benches/one_stream.c -Lbuild -lgptz -Wl,-rpath,'$ORIGIN'
 *     build/one_stream [METHOD]
 *
 * Prints milliseconds of gptz_create and of compressing and decompressing a line, and the process's peak memory (the
 * kernel's VmHWM) before and after, code and buffers included. Linux.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#define _POSIX_C_SOURCE 200112L
#include <gptz.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Peak resident memory so far, in KiB. */
static long peak(void)
{
    char line[256];
    long kib = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "VmHWM: %ld", &kib) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return kib;
}

int main(int argc, char **argv)
{
    static const char line[] = "It was the best of times, it was the worst of times.";
    static unsigned char frame[4096];
    char back[sizeof line];
    size_t frame_len = 0, back_len = 0;
    long before = peak();
    double start = now(), created, compressed, decompressed;
    gptz *handle;

    if (gptz_create(argc > 1 ? argv[1] : NULL, &handle) != GPTZ_OK) {
        fprintf(stderr, "%s\n", gptz_last_error());
        return 1;
    }
    created = now();
    if (gptz_compress(handle, line, sizeof line, frame, sizeof frame, &frame_len) != GPTZ_OK) {
        fprintf(stderr, "%s\n", gptz_last_error());
        return 1;
    }
    compressed = now();
    if (gptz_decompress(handle, frame, frame_len, back, sizeof back, &back_len) != GPTZ_OK || back_len != sizeof line
        || memcmp(back, line, sizeof line) != 0) {
        fprintf(stderr, "%s\n", gptz_last_error());
        return 1;
    }
    decompressed = now();
    printf("create %.2f ms, compress %zu bytes %.2f ms, decompress %.2f ms, peak memory %ld KiB, %ld before\n",
           created - start, sizeof line, compressed - created, decompressed - compressed, peak(), before);
    gptz_free(handle);
    return 0;
}
