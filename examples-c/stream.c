/*
 * stream.c: compress or decompress a file of any size through buffers of 64 KiB.
 *
 *     stream -c IN OUT [METHOD]     compresses IN to OUT; the method is the default, or METHOD
 *     stream -d IN OUT              decompresses; the method is read from the first frame
 *
 * "-" is the standard input or output. OUT is written under another name first and renamed at the end, so that a failure
 * leaves no half of it.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#include <gptz.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER (64 * 1024)

static char *temporary;
static unsigned char from[BUFFER], to[BUFFER];

static void die(const char *what, const char *why)
{
    fprintf(stderr, "stream: %s: %s\n", what, why);
    if (temporary != NULL)
        remove(temporary);
    exit(1);
}

static void check(gptz_status status)
{
    if (status != GPTZ_OK)
        die(gptz_status_name(status), gptz_last_error());
}

/* Reads until the buffer is full or the input ends. */
static size_t fill(FILE *in)
{
    size_t n = fread(from, 1, BUFFER, in);
    if (ferror(in))
        die("the input", "cannot be read");
    return n;
}

static void put(FILE *out, size_t n)
{
    if (fwrite(to, 1, n, out) != n)
        die("the output", "cannot be written");
}

static void compress(gptz *z, FILE *in, FILE *out)
{
    int op;
    do {
        gptz_in source = { from, 0, 0 };
        size_t remaining;
        source.size = fill(in);
        /* A full buffer may be followed by more. */
        op = source.size < BUFFER ? GPTZ_END : GPTZ_CONTINUE;
        do {
            gptz_out room = { to, BUFFER, 0 };
            check(gptz_stream_compress(z, &room, &source, op, &remaining));
            put(out, room.pos);
        } while (source.pos < source.size || (op == GPTZ_END && remaining > 0));
    } while (op != GPTZ_END);
}

static void decompress(FILE *in, FILE *out)
{
    gptz *z = NULL;
    gptz_in source = { from, 0, 0 };
    size_t hint = 1;

    source.size = fill(in);
    check(gptz_create_for_frame(from, source.size, &z));
    while (source.size > 0) {
        gptz_out room = { to, BUFFER, 0 };
        check(gptz_stream_decompress(z, &room, &source, &hint));
        put(out, room.pos);
        /* Less than a full buffer: there is nothing more to give until more is read. */
        if (source.pos == source.size && room.pos < room.size) {
            source.size = fill(in);
            source.pos = 0;
        }
    }
    if (hint != 0)
        die("the input", "ends within a frame");
    gptz_free(z);
}

int main(int argc, char **argv)
{
    int decompresses = argc > 1 && strcmp(argv[1], "-d") == 0;
    FILE *in, *out = stdout;
    gptz *z = NULL;

    if (argc < 4 || argc > 5 - decompresses || (!decompresses && strcmp(argv[1], "-c") != 0)) {
        fprintf(stderr, "usage: stream -c IN OUT [METHOD] | stream -d IN OUT\n");
        return 2;
    }
    in = strcmp(argv[2], "-") == 0 ? stdin : fopen(argv[2], "rb");
    if (in == NULL)
        die(argv[2], "cannot be opened");
    if (strcmp(argv[3], "-") != 0) {
        char *name = malloc(strlen(argv[3]) + 6);
        if (name == NULL)
            die(argv[3], "no memory");
        strcpy(name, argv[3]);
        strcat(name, ".part");
        if ((out = fopen(name, "wb")) == NULL)
            die(name, "cannot be created");
        temporary = name;
    }
    if (decompresses) {
        decompress(in, out);
    } else {
        check(gptz_create(argc == 5 ? argv[4] : NULL, &z));
        compress(z, in, out);
        gptz_free(z);
    }
    if (fflush(out) != 0 || (out != stdout && fclose(out) != 0))
        die("the output", "cannot be written");
    if (temporary != NULL && rename(temporary, argv[3]) != 0)
        die(argv[3], "cannot be created");
    free(temporary);
    if (in != stdin)
        fclose(in);
    return 0;
}
