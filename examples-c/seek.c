/*
 * seek.c: read from the middle of a compressed file, and save what is left of a damaged one.
 *
 *     seek FRAMES OFFSET LENGTH        prints LENGTH bytes of content from OFFSET on
 *     seek -s FRAMES OUTPUT            writes everything that is sound to OUTPUT, and tells what is lost
 *     seek -c INPUT FRAMES             compresses INPUT in segments of 1 MiB, so that seek need not decode all of it
 *
 * The file may consist of several frames, of any method that needs no weights file and no base.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#define _POSIX_C_SOURCE 200112L
#define _FILE_OFFSET_BITS 64
#include <gptz.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *what, const char *why)
{
    fprintf(stderr, "seek: %s: %s\n", what, why);
    exit(1);
}

static void check(gptz_status status, const char *what)
{
    if (status != GPTZ_OK) {
        fprintf(stderr, "seek: %s: %s: %s\n", what, gptz_status_name(status), gptz_last_error());
        exit(1);
    }
}

static FILE *open_file(const char *path, const char *mode)
{
    FILE *f = fopen(path, mode);
    if (f == NULL) {
        perror(path);
        exit(1);
    }
    return f;
}

/* The callback of a source: fewer bytes than asked for are allowed, a negative number is an error. */
static int64_t read_at(void *opaque, uint64_t offset, void *dst, size_t len)
{
    FILE *f = opaque;
    size_t n;
    if (fseeko(f, (off_t)offset, SEEK_SET) != 0)
        return -1;
    n = fread(dst, 1, len, f);
    return n == 0 && ferror(f) ? -1 : (int64_t)n;
}

static gptz_source source_of(FILE *f, const char *path)
{
    gptz_source source;
    off_t size;
    if (fseeko(f, 0, SEEK_END) != 0 || (size = ftello(f)) < 0) {
        perror(path);
        exit(1);
    }
    source.opaque = f;
    source.read_at = read_at;
    source.size = (uint64_t)size;
    return source;
}

/* A handle for the first frame. It also decodes the frames of other registered methods behind it. */
static gptz *handle_for(const gptz_source *source)
{
    char start[8192];
    int64_t n = source->read_at(source->opaque, 0, start, source->size < sizeof start ? (size_t)source->size : sizeof start);
    gptz *z;
    /* A damaged start says nothing: any handle finds what is behind it. */
    if (gptz_create_for_frame(start, n > 0 ? (size_t)n : 0, &z) != GPTZ_OK)
        check(gptz_create(NULL, &z), "creating a handle");
    return z;
}

static void print_part(const char *path, uint64_t offset, uint64_t len)
{
    FILE *f = open_file(path, "rb");
    gptz_source source = source_of(f, path);
    gptz *z = handle_for(&source);
    gptz_reader *reader;
    static char part[65536];

    check(gptz_reader_open(z, &source, &reader), path);
    while (len > 0) {
        size_t n;
        check(gptz_reader_read(reader, offset, part, len < sizeof part ? (size_t)len : sizeof part, &n), path);
        if (n == 0)
            break; /* the end of the content */
        if (fwrite(part, 1, n, stdout) != n)
            die("stdout", "cannot be written");
        offset += n;
        len -= n;
    }
    gptz_reader_free(reader);
    gptz_free(z);
    fclose(f);
}

struct rescue {
    FILE *out;
    uint64_t written, lost;
};

static int on_write(void *userdata, uint64_t offset, const void *data, size_t len)
{
    struct rescue *rescue = userdata;
    rescue->written += len;
    /* Lost parts become holes of zeros. */
    return fseeko(rescue->out, (off_t)offset, SEEK_SET) != 0 || fwrite(data, 1, len, rescue->out) != len;
}

static int on_lost(void *userdata, uint64_t offset, uint64_t len, const char *why)
{
    struct rescue *rescue = userdata;
    if (len == UINT64_MAX)
        printf("from %llu on: lost, nobody knows how much: %s\n", (unsigned long long)offset, why);
    else if (len == 0)
        printf("up to %llu: suspect: %s\n", (unsigned long long)offset, why);
    else
        printf("%llu to %llu: lost: %s\n", (unsigned long long)offset, (unsigned long long)(offset + len), why);
    rescue->lost++;
    return 0;
}

static int salvage(const char *path, const char *output)
{
    FILE *f = open_file(path, "rb");
    gptz_source source = source_of(f, path);
    gptz *z = handle_for(&source);
    struct rescue rescue = { NULL, 0, 0 };

    rescue.out = open_file(output, "wb");
    check(gptz_salvage(z, &source, on_write, on_lost, &rescue), path);
    if (fclose(rescue.out) != 0)
        die(output, "cannot be written");
    printf("%llu bytes written, %llu losses\n", (unsigned long long)rescue.written, (unsigned long long)rescue.lost);
    gptz_free(z);
    fclose(f);
    return rescue.lost > 0 ? 3 : 0;
}

static void compress(const char *input, const char *path)
{
    FILE *in = open_file(input, "rb"), *f = open_file(path, "wb");
    gptz_source source = source_of(in, input);
    size_t len = (size_t)source.size, cap = gptz_compress_bound(len), n;
    char *data = malloc(len + 1), *frame = malloc(cap);
    gptz *z;

    rewind(in);
    if (data == NULL || frame == NULL || fread(data, 1, len, in) != len)
        die(input, "cannot be read");
    check(gptz_create("level:1", &z), "creating a handle");
    check(gptz_set(z, GPTZ_PARAM_SEGMENT_LOG, 20), "segments of 1 MiB");
    check(gptz_compress(z, data, len, frame, cap, &n), input);
    if (fwrite(frame, 1, n, f) != n || fclose(f) != 0)
        die(path, "cannot be written");
    fclose(in);
    free(data);
    free(frame);
    gptz_free(z);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "-s") == 0)
        return salvage(argv[2], argv[3]);
    if (argc == 4 && strcmp(argv[1], "-c") == 0) {
        compress(argv[2], argv[3]);
        return 0;
    }
    if (argc != 4) {
        fprintf(stderr, "usage: seek FRAMES OFFSET LENGTH\n       seek -s FRAMES OUTPUT\n       seek -c INPUT FRAMES\n");
        return 2;
    }
    print_part(argv[1], strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
    return 0;
}
