/*
 * small.c: what small calls cost, in milliseconds, and what snapshots weigh; for one or more builds of the library.
 *
 *     cc -O2 -o small benches/small.c -ldl
 *     ./small TEXT METHOD build/libgptz.so.0 [other/libgptz.so.0 ...]
 *
 * TEXT is a file of 200 KB or more. METHOD is a method string, or "" for the default. Each figure is the least of
 * several repetitions, and the libraries take turns. A library that lacks a call has a - there.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../include/gptz.h"

enum { LIBRARIES = 4, FIGURES = 16, REPEATS = 7 };

struct library {
    gptz_status (*create)(const char *, gptz **);
    void (*release)(gptz *);
    gptz_status (*feed)(gptz *, const void *, size_t);
    gptz_status (*predict)(gptz *, float *, size_t);
    gptz_status (*reset)(gptz *);
    gptz_status (*set_progress)(gptz *, gptz_progress_fn, void *);
    gptz_status (*compress)(gptz *, const void *, size_t, void *, size_t, size_t *);
    gptz_status (*take)(const gptz *, gptz_snapshot **);
    gptz_status (*set_base)(gptz *, const gptz_snapshot *);
    void (*snapshot_free)(gptz_snapshot *);
    gptz_status (*save)(const gptz_snapshot *, void *, size_t, size_t *);
    gptz_status (*load)(const void *, size_t, gptz_snapshot **);
    const char *(*error)(void);
};

static const char *names[FIGURES];
static double least[LIBRARIES][FIGURES];
static int figures;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void note(int which, const char *what, double value)
{
    int i = 0;
    while (i < figures && strcmp(names[i], what) != 0)
        i++;
    if (i == figures) {
        int j;
        names[figures++] = what;
        for (j = 0; j < LIBRARIES; j++)
            least[j][i] = -1;
    }
    if (least[which][i] < 0 || value < least[which][i])
        least[which][i] = value;
}

static void must(struct library *l, gptz_status status, const char *what)
{
    if (status != GPTZ_OK) {
        fprintf(stderr, "small: %s: %s\n", what, l->error());
        exit(1);
    }
}

static int go_on(void *userdata, uint64_t done, uint64_t total)
{
    (void)userdata, (void)done, (void)total;
    return 0;
}

static void *symbol(void *lib, const char *name, int needed)
{
    void *found = dlsym(lib, name);
    if (found == NULL && needed) {
        fprintf(stderr, "small: no %s\n", name);
        exit(1);
    }
    return found;
}

/* The resident memory of the process in KiB. */
static double resident(void)
{
    long pages = 0, all = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f == NULL || fscanf(f, "%ld %ld", &all, &pages) != 2)
        pages = 0;
    if (f != NULL)
        fclose(f);
    return pages * (double)sysconf(_SC_PAGESIZE) / 1024;
}

static void measure(int which, struct library *l, const char *method, const char *text, size_t len)
{
    gptz *z = NULL, *other = NULL;
    gptz_snapshot *snapshot = NULL, *loaded = NULL;
    size_t n = 0, cap = len + len / 8 + 4096;
    char *room = malloc(cap);
    float probs[256];
    double t;

    if (room == NULL)
        exit(1);
    must(l, l->create(method, &z), "create");
    t = now();
    must(l, l->create(method, &other), "create");
    l->release(other);
    note(which, "create and free of a further handle", now() - t);

    must(l, l->feed(z, text, 4096), "feed");
    t = now();
    must(l, l->take(z, &snapshot), "snapshot_take");
    note(which, "snapshot_take after 4 KB", now() - t);
    must(l, l->set_progress(z, go_on, NULL), "set_progress");
    must(l, l->feed(z, text, 1), "feed");
    t = now();
    must(l, l->feed(z, text + 1, 1), "feed");
    note(which, "feed of one byte with a callback", now() - t);
    must(l, l->set_progress(z, NULL, NULL), "set_progress");
    t = now();
    must(l, l->feed(z, text + 2, 1), "feed");
    note(which, "feed of one byte without", now() - t);
    t = now();
    must(l, l->reset(z), "reset");
    note(which, "reset", now() - t);
    must(l, l->feed(z, text, 20), "feed");
    must(l, l->predict(z, probs, 256), "predict");
    note(which, "reset, feed of 20, predict", now() - t);

    must(l, l->compress(z, text, 20, room, cap, &n), "compress");
    t = now();
    must(l, l->compress(z, text, 20, room, cap, &n), "compress");
    note(which, "compress of 20 bytes", now() - t);
    must(l, l->compress(z, text, 100000, room, cap, &n), "compress");
    t = now();
    must(l, l->compress(z, text, 20, room, cap, &n), "compress");
    note(which, "compress of 20 bytes after 100 KB", now() - t);
    must(l, l->set_base(z, snapshot), "set_base");
    t = now();
    must(l, l->compress(z, text, 20, room, cap, &n), "compress");
    note(which, "compress of 20 bytes after set_base (4 KB)", now() - t);
    l->snapshot_free(snapshot);

    must(l, l->set_base(z, NULL), "set_base");
    must(l, l->reset(z), "reset");
    must(l, l->feed(z, text, 100000), "feed");
    t = now();
    must(l, l->take(z, &snapshot), "snapshot_take");
    note(which, "snapshot_take after 100 KB", now() - t);
    must(l, l->set_base(z, snapshot), "set_base");
    t = now();
    must(l, l->compress(z, text, 20, room, cap, &n), "compress");
    note(which, "compress of 20 bytes after set_base (100 KB)", now() - t);
    if (l->save != NULL) {
        char *blob;
        l->save(snapshot, NULL, 0, &n);
        if ((blob = malloc(n)) == NULL)
            exit(1);
        t = now();
        must(l, l->save(snapshot, blob, n, &n), "snapshot_save");
        note(which, "snapshot_save of 100 KB", now() - t);
        note(which, "  its length in KB", n / 1000.0);
        t = now();
        must(l, l->load(blob, n, &loaded), "snapshot_load");
        note(which, "snapshot_load of it", now() - t);
        l->snapshot_free(loaded);
        free(blob);
    }
    l->snapshot_free(snapshot);
    l->release(z);
    free(room);
}

/* What stays with the process after 40 handles were used and freed, in MiB. */
static double kept(struct library *l, const char *method, const char *text)
{
    gptz *handles[40] = {NULL};
    char room[4096];
    double before = resident();
    size_t n;
    int i;
    for (i = 0; i < 40; i++) {
        must(l, l->create(method, &handles[i]), "create");
        must(l, l->compress(handles[i], text, 1000, room, sizeof room, &n), "compress");
    }
    for (i = 0; i < 40; i++)
        l->release(handles[i]);
    return resident() > before ? (resident() - before) / 1024 : 0;
}

int main(int argc, char **argv)
{
    struct library libraries[LIBRARIES];
    const char *method = argc > 2 && *argv[2] ? argv[2] : NULL;
    int count = argc - 3, i, j, repeat;
    char *text = malloc(1 << 20);
    FILE *f = argc > 3 ? fopen(argv[1], "rb") : NULL;
    size_t len;

    if (f == NULL || text == NULL || count > LIBRARIES || (len = fread(text, 1, 1 << 20, f)) < 100002) {
        fprintf(stderr, "usage: small TEXT METHOD LIBRARY...   (TEXT of 100 KB or more, up to %d libraries)\n", LIBRARIES);
        return 2;
    }
    fclose(f);
    for (i = 0; i < count; i++) {
        struct library *l = &libraries[i];
        void *lib = dlopen(argv[3 + i], RTLD_NOW | RTLD_LOCAL);
        if (lib == NULL) {
            fprintf(stderr, "small: %s\n", dlerror());
            return 1;
        }
        *(void **)&l->create = symbol(lib, "gptz_create", 1);
        *(void **)&l->release = symbol(lib, "gptz_free", 1);
        *(void **)&l->feed = symbol(lib, "gptz_feed", 1);
        *(void **)&l->predict = symbol(lib, "gptz_predict", 1);
        *(void **)&l->reset = symbol(lib, "gptz_reset", 1);
        *(void **)&l->set_progress = symbol(lib, "gptz_set_progress", 1);
        *(void **)&l->compress = symbol(lib, "gptz_compress", 1);
        *(void **)&l->take = symbol(lib, "gptz_snapshot_take", 1);
        *(void **)&l->set_base = symbol(lib, "gptz_set_base", 1);
        *(void **)&l->snapshot_free = symbol(lib, "gptz_snapshot_free", 1);
        *(void **)&l->save = symbol(lib, "gptz_snapshot_save", 0);
        *(void **)&l->load = symbol(lib, "gptz_snapshot_load", 0);
        *(void **)&l->error = symbol(lib, "gptz_last_error", 1);
    }
    for (repeat = 0; repeat < REPEATS; repeat++)
        for (i = 0; i < count; i++)
            measure(i, &libraries[i], method, text, len);
    for (i = 0; i < count; i++)
        note(i, "MiB that stay after 40 handles", kept(&libraries[i], method, text));
    for (j = 0; j < figures; j++) {
        printf("%-46s", names[j]);
        for (i = 0; i < count; i++)
            if (least[i][j] < 0)
                printf("%10s", "-");
            else
                printf("%10.3f", least[i][j]);
        printf("\n");
    }
    free(text);
    return 0;
}
