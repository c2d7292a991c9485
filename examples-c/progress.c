/*
 * progress.c: how far a call is, and how to stop it.
 *
 *     progress [-c PERCENT] FILE
 *
 * Compresses FILE and draws a percentage on stderr. With -c the callback asks to stop there; the handle is as it was
 * before and compresses again, to the end. Then the frame is decompressed and compared.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#include <gptz.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the callback is handed: a line on the terminal, and where to stop. */
struct meter {
    const char *what;
    int shown;     /* the percentage that is on the line, -1 for none */
    int cancel_at; /* -1 for never */
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "progress: %s: %s\n", what, why);
    exit(1);
}

static void check(gptz_status status, const char *what)
{
    if (status != GPTZ_OK) {
        fprintf(stderr, "progress: %s: %s: %s\n", what, gptz_status_name(status), gptz_last_error());
        exit(1);
    }
}

/* Called every few hundred bytes, so that it draws only what is new. Anything but 0 asks the call to stop. */
static int draw(void *userdata, uint64_t done, uint64_t total)
{
    struct meter *meter = userdata;
    int percent = total > 0 ? (int)(100 * ((double)done / (double)total)) : 100;
    if (percent != meter->shown) {
        fprintf(stderr, "\r%s %3d %%", meter->what, percent);
        meter->shown = percent;
    }
    return meter->cancel_at >= 0 && percent >= meter->cancel_at;
}

static void begin(struct meter *meter, const char *what, int cancel_at)
{
    meter->what = what;
    meter->shown = -1;
    meter->cancel_at = cancel_at;
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
        die(path, "cannot be read whole");
    fclose(f);
    return data;
}

static int usage(void)
{
    fprintf(stderr, "usage: progress [-c PERCENT] FILE\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct meter meter;
    gptz *handle = NULL;
    size_t len, cap, frame_len, back_len;
    void *data, *frame, *back;
    long cancel_at = -1;
    const char *path;
    gptz_status status;

    if (argc == 4 && strcmp(argv[1], "-c") == 0) {
        char *end;
        cancel_at = strtol(argv[2], &end, 10);
        if (end == argv[2] || *end != '\0' || cancel_at < 0 || cancel_at > 100)
            return usage();
    } else if (argc != 2) {
        return usage();
    }
    path = argv[argc - 1];
    data = read_file(path, &len);
    cap = gptz_compress_bound(len);
    frame = allocate(cap);

    /* The pointer is handed to the callback as it is: what it points at must live as long as calls may report to it. */
    check(gptz_create(NULL, &handle), "making a handle");
    check(gptz_set_progress(handle, draw, &meter), "setting the callback");

    begin(&meter, "compressing", (int)cancel_at);
    status = gptz_compress(handle, data, len, frame, cap, &frame_len);
    fputc('\n', stderr);
    if (cancel_at >= 0) {
        if (status != GPTZ_ERROR_CANCELLED)
            die("compressing", "was not cancelled");
        printf("stopped: %s\n", gptz_last_error());
        begin(&meter, "compressing again", -1);
        status = gptz_compress(handle, data, len, frame, cap, &frame_len);
        fputc('\n', stderr);
    }
    check(status, "compressing");

    back = allocate(len);
    begin(&meter, "decompressing", -1);
    status = gptz_decompress(handle, frame, frame_len, back, len, &back_len);
    fputc('\n', stderr);
    check(status, "decompressing");
    if (back_len != len || memcmp(back, data, len) != 0)
        die(path, "came back changed");
    printf("%s: %zu bytes to %zu and back\n", path, len, frame_len);

    gptz_free(handle);
    free(data);
    free(frame);
    free(back);
    return 0;
}
