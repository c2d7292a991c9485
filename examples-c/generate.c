/*
 * generate.c: continue a text.
 *
 *     generate MODEL PROMPT [TOKENS [SAMPLER]]
 *
 * MODEL is a weights file of a transformer, with its config.json and tokenizer.json beside it, or "builtin" for the network
 * over bytes that the library carries. SAMPLER is, for example, "temperature=0.8,seed=1"; without it, the most likely token
 * is taken each time.
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
        fprintf(stderr, "generate: %s: %s: %s\n", what, gptz_status_name(status), gptz_last_error());
        exit(1);
    }
}

static int print_token(void *userdata, uint32_t token, const char *bytes, size_t len)
{
    int64_t end = *(const int64_t *)userdata;

    if ((int64_t)token == end)
        return 1;
    fwrite(bytes, 1, len, stdout);
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    gptz_model *model = NULL;
    gptz_generator *generator = NULL;
    uint32_t *tokens;
    size_t n, made;
    int64_t start, end;

    if (argc < 3 || argc > 5) {
        fprintf(stderr, "usage: generate MODEL PROMPT [TOKENS [SAMPLER]]\n");
        return 2;
    }
    if (strcmp(argv[1], "builtin") == 0) {
        model = gptz_model_builtin();
        if (model == NULL) {
            fprintf(stderr, "generate: %s\n", gptz_last_error());
            return 1;
        }
    } else {
        check(gptz_model_open(argv[1], &model), "opening the model");
    }
    check(gptz_model_info(model, GPTZ_MODEL_BOS, &start), "the model");
    check(gptz_model_info(model, GPTZ_MODEL_EOS, &end), "the model");

    /* A text has at most one token more than it has bytes; the first place is for the start token, if the model has one. */
    tokens = malloc((strlen(argv[2]) + 2) * sizeof *tokens);
    if (tokens == NULL)
        return 1;
    tokens[0] = (uint32_t)start;
    check(gptz_tokenize(model, argv[2], strlen(argv[2]), tokens + 1, strlen(argv[2]) + 1, &n), "the prompt");

    check(gptz_generator_create(model, NULL, &generator), "creating a generator");
    gptz_model_free(model);
    if (argc > 4)
        check(gptz_generator_set_sampler(generator, argv[4]), "the sampler");
    if (start >= 0)
        check(gptz_generator_prefill(generator, tokens, n + 1, NULL, 0), "the prompt");
    else
        check(gptz_generator_prefill(generator, tokens + 1, n, NULL, 0), "the prompt");

    fputs(argv[2], stdout);
    check(gptz_generator_generate(generator, argc > 3 ? strtoul(argv[3], NULL, 10) : 100, print_token, &end, &made),
          "generating");
    putchar('\n');
    gptz_generator_free(generator);
    free(tokens);
    return 0;
}
