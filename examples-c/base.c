/*
 * base.c: make a base from files and keep it, so that other programs start with what it has learned.
 *
 *     base make BASE FILE...           feeds the files and saves the base
 *     base write BASE FILE RECORDS     compresses each line of FILE as a record
 *     base read BASE RECORDS           decompresses the records and prints the lines
 *
 * A file of records here is, for each record, its length (4 bytes, little-endian) and the record. The three commands
 * run in processes of their own; BASE is all that they share. The method is the default.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#include <gptz.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *what, const char *why)
{
    fprintf(stderr, "base: %s: %s\n", what, why);
    exit(1);
}

static void check(gptz_status status, const char *what)
{
    if (status != GPTZ_OK)
        die(what, gptz_last_error());
}

static unsigned char *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    unsigned char *bytes = NULL;
    size_t room = 0, n;

    if (f == NULL)
        die(path, "cannot be opened");
    *len = 0;
    do {
        room = room ? 2 * room : 1 << 16;
        if ((bytes = realloc(bytes, room)) == NULL)
            die(path, "no memory");
        n = fread(bytes + *len, 1, room - *len, f);
        *len += n;
    } while (*len == room);
    if (ferror(f) || fclose(f) != 0)
        die(path, "cannot be read");
    return bytes;
}

static FILE *create(const char *path)
{
    FILE *f = fopen(path, "wb");
    if (f == NULL)
        die(path, "cannot be created");
    return f;
}

static void put(FILE *f, const void *bytes, size_t len, const char *path)
{
    if (fwrite(bytes, 1, len, f) != len)
        die(path, "cannot be written");
}

/* A handle whose base is the one in a file. The snapshot may be freed as soon as it is the base. */
static gptz *with_base(const char *path)
{
    size_t len;
    unsigned char *bytes = read_file(path, &len);
    gptz_snapshot *snapshot = NULL;
    gptz *z = NULL;

    check(gptz_snapshot_load(bytes, len, &snapshot), path);
    free(bytes);
    check(gptz_create(NULL, &z), "create");
    check(gptz_set_base(z, snapshot), path);
    gptz_snapshot_free(snapshot);
    return z;
}

static void make(const char *base, char **files, int count)
{
    gptz *z = NULL;
    gptz_snapshot *snapshot = NULL;
    unsigned char *bytes;
    size_t len;
    uint8_t id[8];
    FILE *out;
    int i;

    check(gptz_create(NULL, &z), "create");
    for (i = 0; i < count; i++) {
        bytes = read_file(files[i], &len);
        check(gptz_feed(z, bytes, len), files[i]);
        free(bytes);
    }
    check(gptz_snapshot_take(z, &snapshot), "snapshot_take");
    check(gptz_snapshot_id(snapshot, id), "snapshot_id");
    /* The first call asks for the length, which is not an error. */
    if (gptz_snapshot_save(snapshot, NULL, 0, &len) != GPTZ_ERROR_BUFFER_TOO_SMALL)
        die("snapshot_save", gptz_last_error());
    if ((bytes = malloc(len)) == NULL)
        die(base, "no memory");
    check(gptz_snapshot_save(snapshot, bytes, len, &len), "snapshot_save");
    out = create(base);
    put(out, bytes, len, base);
    if (fclose(out) != 0)
        die(base, "cannot be written");
    printf("base %02x%02x%02x%02x%02x%02x%02x%02x: %lu bytes\n", id[0], id[1], id[2], id[3], id[4], id[5], id[6], id[7],
           (unsigned long)len);
    free(bytes);
    gptz_snapshot_free(snapshot);
    gptz_free(z);
}

static void write_records(const char *base, const char *file, const char *records)
{
    gptz *z = with_base(base);
    size_t len, at = 0, raw = 0, coded = 0;
    unsigned char *bytes = read_file(file, &len), *room;
    FILE *out = create(records);

    while (at < len) {
        const unsigned char *end = memchr(bytes + at, '\n', len - at);
        size_t n = end == NULL ? len - at : (size_t)(end - (bytes + at)) + 1, size;
        const void *line = bytes + at;
        unsigned char head[4];

        if ((room = malloc(n + 16)) == NULL)
            die(records, "no memory");
        check(gptz_records_compress(z, &line, &n, 1, room, n + 16, &size), file);
        head[0] = size & 255, head[1] = size >> 8 & 255, head[2] = size >> 16 & 255, head[3] = size >> 24 & 255;
        put(out, head, sizeof head, records);
        put(out, room, size, records);
        free(room);
        at += n, raw += n, coded += size;
    }
    if (fclose(out) != 0)
        die(records, "cannot be written");
    printf("%lu bytes of lines, %lu bytes of records\n", (unsigned long)raw, (unsigned long)coded);
    free(bytes);
    gptz_free(z);
}

static void read_records(const char *base, const char *records)
{
    gptz *z = with_base(base);
    size_t len, at = 0;
    unsigned char *bytes = read_file(records, &len);
    static unsigned char line[1 << 20];

    while (at < len) {
        size_t n, size;
        const void *record = bytes + at + 4;
        if (len - at < 4)
            die(records, "is cut");
        n = bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | (size_t)bytes[at + 3] << 24;
        if (len - at - 4 < n)
            die(records, "is cut");
        check(gptz_records_decompress(z, &record, &n, 1, line, sizeof line, &size), records);
        put(stdout, line, size, "stdout");
        at += 4 + n;
    }
    free(bytes);
    gptz_free(z);
}

int main(int argc, char **argv)
{
    if (argc > 3 && strcmp(argv[1], "make") == 0)
        make(argv[2], argv + 3, argc - 3);
    else if (argc == 5 && strcmp(argv[1], "write") == 0)
        write_records(argv[2], argv[3], argv[4]);
    else if (argc == 4 && strcmp(argv[1], "read") == 0)
        read_records(argv[2], argv[3]);
    else {
        fprintf(stderr, "usage: base make BASE FILE... | write BASE FILE RECORDS | read BASE RECORDS\n");
        return 2;
    }
    return 0;
}
