/*
 * threads.c: compress in many threads at the same time.
 *
 *     threads FILE [N [WEIGHTS.safetensors]]
 *
 * N threads (4 by default) compress FILE at the same time, each with its own handle, and must write the same
 * frame. All handles share one snapshot as their base, taken after the first bytes of the file. With WEIGHTS they also
 * share one model, so that its weights are in memory once. Link with -lpthread.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#define _POSIX_C_SOURCE 200112L
#include <gptz.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_THREADS = 256, SAMPLE = 1024, MESSAGE = 512 };

/* The input and the results of a thread. */
struct job {
    pthread_t thread;
    const gptz_model *model;       /* shared; NULL for the default method */
    const gptz_snapshot *snapshot; /* shared */
    const void *data;              /* shared */
    size_t len;
    void *frame; /* not shared */
    size_t cap, frame_len;
    gptz_status status;
    char message[MESSAGE]; /* a copy, because gptz_last_error returns only messages of the calling thread */
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "threads: %s: %s\n", what, why);
    exit(1);
}

static void check(gptz_status status, const char *what)
{
    if (status != GPTZ_OK) {
        fprintf(stderr, "threads: %s: %s: %s\n", what, gptz_status_name(status), gptz_last_error());
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

static gptz_status make(const gptz_model *model, gptz **out)
{
    return model != NULL ? gptz_create_from_model(model, NULL, out) : gptz_create(NULL, out);
}

static void *work(void *argument)
{
    struct job *job = argument;
    gptz *handle = NULL;
    job->status = make(job->model, &handle);
    if (job->status == GPTZ_OK)
        job->status = gptz_set_base(handle, job->snapshot);
    if (job->status == GPTZ_OK)
        job->status = gptz_compress(handle, job->data, job->len, job->frame, job->cap, &job->frame_len);
    if (job->status != GPTZ_OK)
        strncpy(job->message, gptz_last_error(), MESSAGE - 1); /* at most 511 bytes; calloc has set the last one to 0 */
    gptz_free(handle);
    return NULL;
}

int main(int argc, char **argv)
{
    gptz_model *model = NULL;
    gptz_snapshot *snapshot = NULL;
    gptz *handle = NULL;
    struct job *jobs;
    size_t len, back_len;
    void *data, *back;
    long n = 4, i;

    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: threads FILE [N [WEIGHTS.safetensors]]\n");
        return 2;
    }
    if (argc > 2) {
        char *end;
        n = strtol(argv[2], &end, 10);
        if (end == argv[2] || *end != '\0' || n < 1 || n > MOST_THREADS)
            die(argv[2], "is not a number of threads from 1 to 256");
    }
    data = read_file(argv[1], &len);
    if (argc > 3)
        check(gptz_model_open(argv[3], &model), "opening the weights");

    check(make(model, &handle), "creating a handle");
    check(gptz_feed(handle, data, len < SAMPLE ? len : SAMPLE), "feeding the sample");
    check(gptz_snapshot_take(handle, &snapshot), "taking a snapshot");

    jobs = calloc((size_t)n, sizeof *jobs);
    if (jobs == NULL)
        die("calloc", "no memory");
    for (i = 0; i < n; i++) {
        jobs[i].model = model;
        jobs[i].snapshot = snapshot;
        jobs[i].data = data;
        jobs[i].len = len;
        jobs[i].cap = gptz_compress_bound(len);
        jobs[i].frame = allocate(jobs[i].cap);
        if (pthread_create(&jobs[i].thread, NULL, work, &jobs[i]) != 0)
            die("pthread_create", "cannot start a thread");
    }
    for (i = 0; i < n; i++)
        if (pthread_join(jobs[i].thread, NULL) != 0)
            die("pthread_join", "cannot wait for a thread");

    for (i = 0; i < n; i++) {
        if (jobs[i].status != GPTZ_OK) {
            fprintf(stderr, "threads: thread %ld: %s: %s\n", i, gptz_status_name(jobs[i].status), jobs[i].message);
            exit(1);
        }
        if (jobs[i].frame_len != jobs[0].frame_len || memcmp(jobs[i].frame, jobs[0].frame, jobs[0].frame_len) != 0)
            die(argv[1], "two threads wrote different frames");
    }

    check(gptz_set_base(handle, snapshot), "setting the base");
    back = allocate(len);
    check(gptz_decompress(handle, jobs[0].frame, jobs[0].frame_len, back, len, &back_len), "decompressing");
    if (back_len != len || memcmp(back, data, len) != 0)
        die(argv[1], "differs after decompression");
    printf("%s: %zu bytes to %zu and decompressed, the same in %ld threads\n", argv[1], len, jobs[0].frame_len, n);

    for (i = 0; i < n; i++)
        free(jobs[i].frame);
    free(jobs);
    gptz_free(handle);
    gptz_snapshot_free(snapshot);
    gptz_model_free(model);
    free(data);
    free(back);
    return 0;
}
