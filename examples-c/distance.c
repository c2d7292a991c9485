/*
 * distance.c: which of several texts a text is nearest to.
 *
 *     distance FILE OTHER [OTHER ...]
 *
 * Prints the normalised compression distance of FILE to each of the others, the nearest first: 0 if one text says all
 * about the other, 1 if they have nothing in common.
 *
 *     NCD(x, y) = (C(xy) - min(C(x), C(y))) / max(C(x), C(y)),   C(xy) = C(x) + C(y after x)
 *
 * (Cilibrasi, Vitanyi 2005, "Clustering by Compression"). C is a cost in bits, so nothing is compressed.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#include <gptz.h>

#include <stdio.h>
#include <stdlib.h>

struct text {
    const char *name;
    void *data;
    size_t len;
    double distance;
};

static void check(gptz_status status, const char *what)
{
    if (status != GPTZ_OK) {
        fprintf(stderr, "distance: %s: %s: %s\n", what, gptz_status_name(status), gptz_last_error());
        exit(1);
    }
}

static void fail(const char *name)
{
    perror(name);
    exit(1);
}

static void read_text(struct text *t, const char *name)
{
    FILE *f = fopen(name, "rb");
    long len;

    if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (len = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) != 0)
        fail(name);
    t->name = name;
    t->len = (size_t)len;
    t->data = malloc(t->len + 1);
    if (t->data == NULL || fread(t->data, 1, t->len, f) != t->len)
        fail(name);
    fclose(f);
}

/* The cost of y in bits, after x if it is not NULL. */
static double cost(gptz *z, const struct text *x, const struct text *y)
{
    const void *prefix = x == NULL ? NULL : x->data;
    size_t prefix_len = x == NULL ? 0 : x->len;
    double bits_per_byte;

    check(gptz_cross_entropy_conditional(z, &prefix, &prefix_len, x == NULL ? 0 : 1, y->data, y->len, &bits_per_byte),
          y->name);
    return bits_per_byte * (double)y->len;
}

static int nearer(const void *a, const void *b)
{
    double x = ((const struct text *)a)->distance, y = ((const struct text *)b)->distance;

    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    struct text text, *others;
    size_t i, count = (size_t)argc - 2;
    double own;
    gptz *z = NULL;

    if (argc < 3) {
        fprintf(stderr, "usage: distance FILE OTHER [OTHER ...]\n");
        return 2;
    }
    others = calloc(count, sizeof *others);
    if (others == NULL)
        fail("memory");
    read_text(&text, argv[1]);
    /* A fast method. Every measure starts from the state of a new handle. */
    check(gptz_create("level:3", &z), "creating a handle");
    own = cost(z, NULL, &text);
    for (i = 0; i < count; i++) {
        double other, both, most;

        read_text(&others[i], argv[i + 2]);
        other = cost(z, NULL, &others[i]);
        both = own + cost(z, &text, &others[i]);
        most = own > other ? own : other;
        others[i].distance = most > 0 ? (both - (own < other ? own : other)) / most : 0;
    }
    qsort(others, count, sizeof *others, nearer);
    for (i = 0; i < count; i++) {
        printf("%.3f  %s\n", others[i].distance, others[i].name);
        free(others[i].data);
    }
    free(others);
    free(text.data);
    gptz_free(z);
    return 0;
}
