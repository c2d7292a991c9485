/*
 * stream.c: what streams cost beside one call, and the memory that they take beside the estimate.
 *
 *     cc -O2 -o stream benches/stream.c build/libgptz.so.0
 *     ./stream FILE MEGABYTES METHOD...
 *
 * The content is FILE again and again, each time with all bytes changed by xor, so that later rounds are not repeats of
 * earlier ones to the models. For each method, in processes of their own: a stream through buffers of 64 KiB to a
 * temporary file, the stream back, compared with the content, and, up to 64 MB, one call in each direction. Times are those
 * of the CPU. Memory is the peak of the process over what it had before it created the handle.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#define _GNU_SOURCE
#include <gptz.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (64 << 10)

static unsigned char *file;
static size_t file_len;
static uint64_t total;
static const char *method;
/* Shared with the processes. */
static struct { double seconds, estimate, peak, bytes; } *found;

static void must(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "stream: %s: %s\n", what, gptz_last_error());
        _exit(1);
    }
}

static double cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* A line of /proc/self/status, in KiB. */
static double status_of(const char *name)
{
    char line[256];
    double value = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            value = atof(line + strlen(name) + 1);
    if (f != NULL)
        fclose(f);
    return value;
}

static void content(uint64_t at, unsigned char *to, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++, at++)
        to[i] = file[at % file_len] ^ (unsigned char)(at / file_len);
}

static double before;
static gptz *begin(void)
{
    gptz *z = NULL;
    uint64_t estimate = 0;
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (f != NULL) {
        fputs("5", f);
        fclose(f);
    }
    before = status_of("VmRSS");
    must(gptz_create(method, &z) == GPTZ_OK, method);
    must(gptz_memory_estimate(z, &estimate) == GPTZ_OK, "estimate");
    found->estimate = (double)estimate / (1 << 20);
    found->seconds = cpu();
    return z;
}

static void end(gptz *z)
{
    found->seconds = cpu() - found->seconds;
    found->peak = (status_of("VmHWM") - before) / 1024;
    gptz_free(z);
}

static void compress(FILE *out)
{
    static unsigned char from[BUFFER], to[BUFFER];
    gptz *z = begin();
    uint64_t at = 0;
    size_t remaining = 1;
    found->bytes = 0;
    while (remaining > 0) {
        gptz_in in = { from, total - at < BUFFER ? (size_t)(total - at) : BUFFER, 0 };
        int op = in.size < BUFFER ? GPTZ_END : GPTZ_CONTINUE;
        content(at, from, in.size);
        do {
            gptz_out room = { to, BUFFER, 0 };
            must(gptz_stream_compress(z, &room, &in, op, &remaining) == GPTZ_OK, "compress");
            must(fwrite(to, 1, room.pos, out) == room.pos, "write");
            found->bytes += (double)room.pos;
        } while (in.pos < in.size || (op == GPTZ_END && remaining > 0));
        at += in.size;
        if (op == GPTZ_CONTINUE)
            remaining = 1;
    }
    must(fflush(out) == 0, "write");
    end(z);
}

static void decompress(FILE *in_file)
{
    static unsigned char from[BUFFER], to[BUFFER], expected[BUFFER];
    gptz *z = begin();
    uint64_t at = 0;
    size_t hint = 1;
    gptz_in in = { from, 0, 0 };
    rewind(in_file);
    do {
        gptz_out room = { to, BUFFER, 0 };
        if (in.pos == in.size) {
            in.size = fread(from, 1, BUFFER, in_file);
            in.pos = 0;
        }
        must(gptz_stream_decompress(z, &room, &in, &hint) == GPTZ_OK, "decompress");
        content(at, expected, room.pos);
        must(memcmp(expected, to, room.pos) == 0, "compare");
        at += room.pos;
    } while (hint > 0 && (in.size > 0 || at < total));
    must(at == total && hint == 0, "the length");
    end(z);
}

static void one_call(FILE *out)
{
    unsigned char *from = malloc(total), *to = malloc(gptz_compress_bound(total));
    size_t len = 0, back;
    double seconds;
    gptz *z;
    (void)out;
    must(from != NULL && to != NULL, "memory");
    content(0, from, total);
    z = begin();
    must(gptz_compress(z, from, total, to, gptz_compress_bound(total), &len) == GPTZ_OK, "compress");
    end(z);
    found->bytes = (double)len;
    seconds = found->seconds;
    z = begin();
    must(gptz_decompress(z, to, len, from, total, &back) == GPTZ_OK, "decompress");
    end(z);
    found->peak = found->seconds;
    found->seconds = seconds;
}

static void run(void (*what)(FILE *), FILE *f)
{
    int status = 1;
    pid_t child = fork();
    if (child == 0) {
        what(f);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0)
        exit(1);
}

int main(int argc, char **argv)
{
    FILE *f;
    int i;
    if (argc < 4 || (f = fopen(argv[1], "rb")) == NULL) {
        fprintf(stderr, "usage: stream FILE MEGABYTES METHOD...\n");
        return 2;
    }
    fseek(f, 0, SEEK_END);
    file_len = (size_t)ftell(f);
    rewind(f);
    file = malloc(file_len);
    total = (uint64_t)(atof(argv[2]) * (1 << 20));
    found = mmap(NULL, sizeof *found, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(file != NULL && found != MAP_FAILED && fread(file, 1, file_len, f) == file_len && file_len > 0, "FILE");
    printf("%-12s %12s %9s %12s %12s %12s %12s %9s\n", "method", "bytes", "KB/s", "estimate MB", "peak MB", "back KB/s",
           "back peak MB", "of a call");
    for (i = 3; i < argc; i++) {
        double bytes, seconds, estimate, peak, back, back_peak;
        f = tmpfile();
        must(f != NULL, "a temporary file");
        method = argv[i];
        run(compress, f);
        bytes = found->bytes, seconds = found->seconds, estimate = found->estimate, peak = found->peak;
        run(decompress, f);
        back = found->seconds, back_peak = found->peak;
        fclose(f);
        printf("%-12s %12.0f %9.0f %12.1f %12.1f %12.0f %12.1f", method, bytes, (double)total / seconds / 1e3, estimate, peak,
               (double)total / back / 1e3, back_peak);
        if (total <= 64 << 20) {
            run(one_call, NULL);
            printf(" %.3f %.3f", found->seconds / seconds, found->peak / back);
        }
        printf("\n");
        fflush(stdout);
    }
    return 0;
}
