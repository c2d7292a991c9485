/*
 * predict.c: predict the next byte.
 *
 *     predict FILE [PROMPT [METHOD]]
 *
 * Feeds FILE and then PROMPT to a predictor and prints the ten most probable next bytes. The default method includes a
 * network trained on text, and learns from FILE. METHOD "file:model.safetensors" predicts with your own network.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#include <gptz.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(gptz_status status, const char *what)
{
    if (status != GPTZ_OK) {
        fprintf(stderr, "predict: %s: %s: %s\n", what, gptz_status_name(status), gptz_last_error());
        exit(1);
    }
}

static void print_byte(int byte)
{
    if (byte == '\n')
        printf("\\n  ");
    else if (byte > ' ' && byte < 127)
        printf("'%c' ", byte);
    else if (byte == ' ')
        printf("' ' ");
    else
        printf("0x%02x", (unsigned)byte);
}

int main(int argc, char **argv)
{
    gptz *handle = NULL;
    float probs[256];
    char part[4096];
    size_t n, total = 0;
    FILE *f;
    int rank;

    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: predict FILE [PROMPT [METHOD]]\n");
        return 2;
    }
    f = fopen(argv[1], "rb");
    if (f == NULL) {
        perror(argv[1]);
        return 1;
    }
    check(gptz_create(argc > 3 ? argv[3] : NULL, &handle), "creating a predictor");

    /* The size of the parts does not matter: feeding a and then b gives the same state as feeding both at once. */
    while ((n = fread(part, 1, sizeof part, f)) > 0) {
        check(gptz_feed(handle, part, n), "feeding");
        total += n;
    }
    if (ferror(f)) {
        perror(argv[1]);
        return 1;
    }
    fclose(f);
    if (argc > 2)
        check(gptz_feed(handle, argv[2], strlen(argv[2])), "feeding the prompt");

    check(gptz_predict(handle, probs, 256), "predicting");
    printf("the next byte after %zu bytes and \"%s\":\n", total, argc > 2 ? argv[2] : "");
    for (rank = 0; rank < 10; rank++) {
        int best = 0, byte;
        for (byte = 1; byte < 256; byte++)
            if (probs[byte] > probs[best])
                best = byte;
        printf("  ");
        print_byte(best);
        printf("  %8.4f %%\n", 100 * (double)probs[best]);
        probs[best] = -1;
    }
    gptz_free(handle);
    return 0;
}
