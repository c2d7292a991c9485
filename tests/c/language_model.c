/*
 * Uses a language model from C: language_model FILE opens FILE and makes every call on it. Prints "ok", or the check that
 * failed. It also runs under valgrind.
 *
 * language_model -w FILE writes FILE first (tiny_model.h). That is for another process, because the Rust standard library
 * keeps some bytes for the main thread once a file was given a random name.
 */
#include "tiny_model.h"

#include <stdlib.h>

#define CHECK(what) \
    do { \
        if (!(what)) { \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #what, gptz_last_error()); \
            exit(1); \
        } \
    } while (0)

static const char prompt[] = "the path";
enum { PROMPT = 6 }; /* "th" is one token */

struct text {
    char bytes[256];
    size_t len, calls, stop_at;
};

static int take(void *userdata, uint32_t token, const char *bytes, size_t len)
{
    struct text *text = userdata;
    CHECK(token < TINY_VOCABULARY && len == (token == 95 ? 2u : 1u) && text->len + len < sizeof text->bytes);
    memcpy(text->bytes + text->len, bytes, len);
    text->len += len;
    return ++text->calls == text->stop_at;
}

struct seen {
    uint64_t calls, last, total, cancel_at;
};

static int progress(void *userdata, uint64_t done, uint64_t total)
{
    struct seen *seen = userdata;
    CHECK(done <= total && (seen->calls == 0 || done > seen->last));
    seen->calls++;
    seen->last = done;
    seen->total = total;
    return done >= seen->cancel_at;
}

static gptz_generator *create(const gptz_model *model, const char *options)
{
    gptz_generator *generator = NULL;
    CHECK(gptz_generator_create(model, options, &generator) == GPTZ_OK && generator != NULL);
    return generator;
}

static void properties(const gptz_model *model)
{
    static const int64_t parameters = 96 * 32 + 5 * 32 + 32 * 32 + 2 * 16 * 32 + 32 * 32 + 3 * 48 * 32 - 2 * 32;
    uint32_t tokens[16];
    char back[16];
    int64_t value = 9;
    size_t n = 9;
    gptz *z = NULL;
    CHECK(gptz_model_info(model, GPTZ_MODEL_VOCABULARY, &value) == GPTZ_OK && value == TINY_VOCABULARY);
    CHECK(gptz_model_info(model, GPTZ_MODEL_CONTEXT, &value) == GPTZ_OK && value == TINY_CONTEXT);
    CHECK(gptz_model_info(model, GPTZ_MODEL_PARAMETERS, &value) == GPTZ_OK && value == parameters);
    CHECK(gptz_model_info(model, GPTZ_MODEL_BYTES, &value) == GPTZ_OK && value > parameters - 200);
    CHECK(gptz_model_info(model, GPTZ_MODEL_BOS, &value) == GPTZ_OK && value == -1);
    CHECK(gptz_model_info(model, GPTZ_MODEL_EOS, &value) == GPTZ_OK && value == -1);
    CHECK(gptz_tokenize(model, prompt, strlen(prompt), tokens, 16, &n) == GPTZ_OK && n == PROMPT && tokens[0] == 95);
    CHECK(gptz_detokenize(model, tokens, n, back, sizeof back, &n) == GPTZ_OK && n == strlen(prompt));
    CHECK(memcmp(back, prompt, n) == 0);
    CHECK(gptz_tokenize(model, "\n", 1, tokens, 16, &n) == GPTZ_ERROR_ARGUMENT && n == 0);
    CHECK(strstr(gptz_last_error(), "0x0a") != NULL);
    CHECK(gptz_create_from_model(model, NULL, &z) == GPTZ_ERROR_METHOD && z == NULL);
}

/* A generator that is not created, with a part of the message. */
static void refused(const gptz_model *model, const char *options, const char *part)
{
    gptz_generator *generator = (gptz_generator *)(void *)&generator;
    CHECK(gptz_generator_create(model, options, &generator) == GPTZ_ERROR_ARGUMENT && generator == NULL);
    CHECK(strstr(gptz_last_error(), part) != NULL);
}

static void wrong_calls(const gptz_model *model)
{
    static float logits[TINY_VOCABULARY];
    uint32_t tokens[TINY_CONTEXT + 1] = { 1, 2, 3 }, token = 7;
    gptz_generator *g = create(model, "context=8");
    size_t n = 7;
    refused(model, "context=0", "context=0");
    refused(model, "context=65", "64");
    refused(model, "context=-1", "context=-1");
    refused(model, "weights=i4", "weights=i4");
    refused(model, "full=slide,context=4", "5");
    CHECK(gptz_generator_step(g, &token) == GPTZ_ERROR_STATE && token == 0);
    CHECK(strstr(gptz_generator_error(g), "prefill") != NULL);
    CHECK(gptz_generator_decode(g, 1, NULL, 0) == GPTZ_ERROR_STATE);
    CHECK(gptz_generator_generate(g, 1, NULL, NULL, &n) == GPTZ_ERROR_STATE && n == 0);
    CHECK(gptz_generator_prefill(g, tokens, 0, NULL, 0) == GPTZ_ERROR_ARGUMENT);
    CHECK(gptz_generator_prefill(g, NULL, 0, NULL, 0) == GPTZ_ERROR_ARGUMENT);
    CHECK(gptz_generator_prefill(g, NULL, 3, NULL, 0) == GPTZ_ERROR_ARGUMENT);
    CHECK(gptz_generator_prefill(g, tokens, SIZE_MAX / 2, NULL, 0) == GPTZ_ERROR_ARGUMENT);
    CHECK(gptz_generator_prefill(g, tokens, 3, logits, TINY_VOCABULARY - 1) == GPTZ_ERROR_ARGUMENT);
    CHECK(gptz_generator_prefill(g, tokens, 9, NULL, 0) == GPTZ_ERROR_STATE);
    CHECK(gptz_generator_prefill(g, tokens, 3, logits, TINY_VOCABULARY) == GPTZ_OK && logits[0] != 0);
    CHECK(gptz_generator_decode(g, TINY_VOCABULARY, NULL, 0) == GPTZ_ERROR_ARGUMENT);
    CHECK(strstr(gptz_generator_error(g), "96") != NULL);
    tokens[1] = 0xffffffffu;
    CHECK(gptz_generator_prefill(g, tokens, 3, NULL, 0) == GPTZ_ERROR_ARGUMENT);
    CHECK(gptz_generator_set_sampler(g, "temperature=nan") == GPTZ_ERROR_ARGUMENT);
    CHECK(gptz_generator_tokens(g, tokens, 2, &n) == GPTZ_ERROR_BUFFER_TOO_SMALL && n == 3);
    CHECK(gptz_generator_tokens(g, tokens, 3, &n) == GPTZ_OK && n == 3 && tokens[1] == 2);
    CHECK(gptz_generator_generate(g, 9, NULL, NULL, &n) == GPTZ_ERROR_STATE && n == 0);
    CHECK(gptz_generator_tokens(g, NULL, 0, &n) == GPTZ_ERROR_BUFFER_TOO_SMALL && n == 8);
    gptz_generator_free(g);
    /* The keys and values of 16 tokens take 640 bytes. */
    g = create(model, "memory=639");
    CHECK(gptz_generator_prefill(g, tokens, 3, NULL, 0) == GPTZ_ERROR_MEMORY);
    CHECK(strstr(gptz_generator_error(g), "639") != NULL);
    gptz_generator_free(g);
    g = create(model, "memory=640");
    CHECK(gptz_generator_prefill(g, tokens, 3, NULL, 0) == GPTZ_OK);
    CHECK(gptz_generator_generate(g, 14, NULL, NULL, &n) == GPTZ_ERROR_MEMORY);
    CHECK(gptz_generator_tokens(g, NULL, 0, &n) == GPTZ_ERROR_BUFFER_TOO_SMALL && n == 16);
    gptz_generator_free(g);
}

static void generates(const gptz_model *model)
{
    static float after_prefill[TINY_VOCABULARY], after_decode[TINY_VOCABULARY];
    struct text a = { "", 0, 0, 0 }, b = { "", 0, 0, 0 }, stopped = { "", 0, 0, 3 };
    struct seen seen = { 0, 0, 0, UINT64_MAX };
    uint32_t tokens[TINY_CONTEXT];
    gptz_generator *g = create(model, NULL), *other = create(model, "context=40,full=slide,cache=f16");
    size_t n, made, i;
    CHECK(gptz_tokenize(model, prompt, strlen(prompt), tokens, 16, &n) == GPTZ_OK);
    CHECK(gptz_generator_prefill(g, tokens, n, NULL, 0) == GPTZ_OK);
    CHECK(gptz_generator_generate(g, 20, take, &a, &made) == GPTZ_OK && made == 20 && a.calls == 20);
    CHECK(gptz_generator_prefill(g, tokens, n, NULL, 0) == GPTZ_OK);
    CHECK(gptz_generator_generate(g, 20, take, &b, &made) == GPTZ_OK && a.len == b.len);
    CHECK(memcmp(a.bytes, b.bytes, a.len) == 0);
    CHECK(gptz_generator_prefill(g, tokens, n, NULL, 0) == GPTZ_OK);
    CHECK(gptz_generator_generate(g, 20, take, &stopped, &made) == GPTZ_OK && made == 3 && stopped.calls == 3);
    /* Token by token, and at once. */
    CHECK(gptz_generator_prefill(g, tokens, 1, NULL, 0) == GPTZ_OK);
    for (i = 1; i < n; i++)
        CHECK(gptz_generator_decode(g, tokens[i], after_decode, TINY_VOCABULARY) == GPTZ_OK);
    CHECK(gptz_generator_prefill(other, tokens, n, NULL, 0) == GPTZ_OK);
    gptz_generator_free(other);
    other = create(model, "context=40,full=slide");
    CHECK(gptz_generator_set_progress(other, progress, &seen) == GPTZ_OK);
    CHECK(gptz_generator_prefill(other, tokens, n, after_prefill, TINY_VOCABULARY) == GPTZ_OK);
    CHECK(memcmp(after_prefill, after_decode, sizeof after_decode) == 0);
    CHECK(seen.total == n && seen.last == n && seen.calls >= 2);
    /* A context that slides has no end; a prefill that is cancelled keeps what it has computed. */
    CHECK(gptz_generator_generate(other, 100, NULL, NULL, &made) == GPTZ_OK && made == 100);
    for (i = 0; i < TINY_CONTEXT; i++)
        tokens[i] = (uint32_t)(i * 7 % TINY_VOCABULARY);
    memset(&seen, 0, sizeof seen);
    CHECK(gptz_generator_prefill(other, tokens, TINY_CONTEXT, NULL, 0) == GPTZ_ERROR_CANCELLED && seen.calls == 1);
    seen.calls = 0;
    seen.cancel_at = 50;
    CHECK(gptz_generator_prefill(other, tokens, TINY_CONTEXT, NULL, 0) == GPTZ_ERROR_CANCELLED);
    CHECK(gptz_generator_tokens(other, NULL, 0, &n) == GPTZ_ERROR_BUFFER_TOO_SMALL && n >= 40 && n <= 50);
    CHECK(gptz_generator_step(other, tokens) == GPTZ_ERROR_STATE);
    gptz_generator_free(other);
    gptz_generator_free(g);
}

/* Bytes from the live state of a handle. */
static void from_a_handle(void)
{
    static const char line[] = "the cat sat on the mat. the cat sat on the mat. the cat sat on";
    gptz *z = NULL;
    gptz_generator *g = NULL;
    uint32_t token = 0;
    float probs[256];
    CHECK(gptz_create("mix:mem=64K", &z) == GPTZ_OK && gptz_feed(z, line, strlen(line)) == GPTZ_OK);
    CHECK(gptz_generator_create_from_handle(z, "context=8", &g) == GPTZ_ERROR_ARGUMENT && g == NULL);
    CHECK(gptz_generator_create_from_handle(z, NULL, &g) == GPTZ_OK);
    CHECK(gptz_generator_step(g, &token) == GPTZ_OK && token == ' ');
    CHECK(gptz_generator_decode(g, 256, NULL, 0) == GPTZ_ERROR_ARGUMENT);
    CHECK(gptz_predict(z, probs, 256) == GPTZ_OK && probs[' '] > 0.5f);
    gptz_free(z);
    CHECK(gptz_generator_step(g, &token) == GPTZ_OK && token == 't');
    gptz_generator_free(g);
}

int main(int argc, char **argv)
{
    gptz_model *model = NULL;
    CHECK(argc == 2 || (argc == 3 && strcmp(argv[1], "-w") == 0));
    if (argc == 3)
        CHECK(write_tiny_model(argv[2]) == GPTZ_OK);
    CHECK(gptz_model_open(argv[argc - 1], &model) == GPTZ_OK);
    properties(model);
    wrong_calls(model);
    generates(model);
    gptz_model_free(model);
    from_a_handle();
    puts("ok");
    return 0;
}
