/*
 * progress.c: show the progress of a call, and cancel it.
 *
 *     progress [-c PERCENT] FILE
 *
 * Compresses FILE and shows the percentage on stderr. With -c the callback cancels the call at PERCENT. A cancelled
 * call does not change the handle, so the program then compresses again, to the end. Finally it decompresses the frame
 * and compares the result with FILE.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#include <gptz.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The userdata of the callback: the line on the terminal, and where to cancel. */
struct meter {
    const char *what;
    int shown;     /* the percentage that the line shows, -1 for none */
    int cancel_at; /* the percentage at which to cancel, -1 for never */
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

/* The library calls this often, so it prints only if the percentage changed. A value other than 0 cancels the call. */
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
        die(path, "cannot be read completely");
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

    /* `meter` must stay valid as long as the callback is set. */
    check(gptz_create(NULL, &handle), "creating a handle");
    check(gptz_set_progress(handle, draw, &meter), "setting the callback");

    begin(&meter, "compressing", (int)cancel_at);
    status = gptz_compress(handle, data, len, frame, cap, &frame_len);
    fputc('\n', stderr);
    if (cancel_at >= 0) {
        if (status != GPTZ_ERROR_CANCELLED)
            die("compressing", "was not cancelled");
        printf("cancelled: %s\n", gptz_last_error());
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
        die(path, "differs after decompression");
    printf("%s: %zu bytes compressed to %zu and decompressed\n", path, len, frame_len);

    gptz_free(handle);
    free(data);
    free(frame);
    free(back);
    return 0;
}
