/*
 * Makes every call of the ABI from C, with the header's own types. Prints "ok", or the check that failed. It also runs
 * under valgrind.
 */
#include <gptz.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(what) \
    do { \
        if (!(what)) { \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #what, gptz_last_error()); \
            exit(1); \
        } \
    } while (0)

static const char method[] = "cfg:hidden=32,layers=1,intermediate=32,head_size=32,decay_rank=4,a_rank=4,v_rank=4,"
                             "g_rank=4,train=adam,lr=0.005";

struct seen {
    int calls, cancel;
    uint64_t last, total;
};

static int progress(void *userdata, uint64_t done, uint64_t total)
{
    struct seen *seen = userdata;
    seen->calls++;
    seen->last = done;
    seen->total = total;
    return seen->cancel;
}

static void levels(void)
{
    int level = 1;
    CHECK(gptz_level_method(0) == NULL && gptz_level_method(-1) == NULL && gptz_level_method(1000000) == NULL);
    for (; gptz_level_method(level) != NULL; level++) {
        char name[32];
        gptz *z = NULL;
        sprintf(name, "level:%d", level);
        CHECK(gptz_create(name, &z) == GPTZ_OK);
        CHECK(strcmp(gptz_method(z), gptz_level_method(level)) == 0);
        gptz_free(z);
    }
    CHECK(level > 3);
}

static void library(void)
{
    CHECK(gptz_version_number() == GPTZ_VERSION_NUMBER);
    CHECK(strcmp(gptz_version_string(), GPTZ_VERSION_STRING) == 0);
    CHECK(strcmp(gptz_status_name(GPTZ_ERROR_CORRUPT), "GPTZ_ERROR_CORRUPT") == 0);
    CHECK(gptz_set_cpu_level(GPTZ_CPU_PORTABLE) == GPTZ_OK);
    CHECK(strcmp(gptz_cpu_level(), "portable") == 0);
    CHECK(gptz_set_cpu_level(GPTZ_CPU_AUTO) == GPTZ_OK);
    CHECK(gptz_set_cpu_level(77) == GPTZ_ERROR_ARGUMENT);
    CHECK(strstr(gptz_last_error(), "77") != NULL);
}

/* What a frame states, and the other calls that make it. */
static void frames(gptz *z, const char *text, size_t len, const unsigned char *frame, size_t n, int format)
{
    unsigned char other[6000];
    char method[500];
    const void *parts[3];
    size_t lens[3], m = 1;
    int64_t value = 1;
    gptz_stats stats;

    CHECK(gptz_frame_info(frame, n, GPTZ_FRAME_CONTENT_LENGTH, &value) == GPTZ_OK && (size_t)value == len);
    CHECK(gptz_frame_info(frame, n, GPTZ_FRAME_CODED_LENGTH, &value) == GPTZ_OK && (size_t)value == n);
    CHECK(gptz_frame_info(frame, n, 0, &value) == GPTZ_ERROR_ARGUMENT && value == 0);
    if (format == 3) {
        CHECK(gptz_frame_method(frame, n, NULL, 0, &m) == GPTZ_ERROR_BUFFER_TOO_SMALL && m < sizeof method);
        CHECK(gptz_frame_method(frame, n, method, sizeof method, &m) == GPTZ_OK && strlen(method) == m);
        CHECK(strcmp(method, gptz_method(z)) == 0);
    } else {
        CHECK(gptz_frame_method(frame, n, method, sizeof method, &m) == GPTZ_ERROR_METHOD && m == 0);
    }
    CHECK(gptz_compressed_size(z, text, len, &m) == GPTZ_OK && m == n);
    parts[0] = text, lens[0] = 5;
    parts[1] = NULL, lens[1] = 0;
    parts[2] = text + 5, lens[2] = len - 5;
    CHECK(gptz_compress_parts(z, parts, lens, 3, other, sizeof other, &m) == GPTZ_OK && m == n);
    CHECK(memcmp(frame, other, n) == 0);
    memset(&stats, 7, sizeof stats);
    stats.size = sizeof stats;
    CHECK(gptz_stats_get(z, &stats) == GPTZ_OK && stats.bytes_in == len && stats.bytes_out == n);
    CHECK(stats.can_learn == 0 || stats.can_learn == 1);
}

static void round_trip(gptz *z, int coder, int format)
{
    char text[3000], back[3000];
    unsigned char frame[6000];
    struct seen seen = {0, 0, 0, 0};
    size_t i, n = 1, m = 1;
    uint64_t size = 1;
    int64_t value = 0;
    gptz *reader = NULL;

    for (i = 0; i < sizeof text; i++)
        text[i] = "the quick brown fox "[(i + i / 700) % 20];
    CHECK(gptz_set(z, GPTZ_PARAM_CODER, coder) == GPTZ_OK);
    CHECK(gptz_set(z, GPTZ_PARAM_FORMAT, format) == GPTZ_OK);
    CHECK(gptz_get(z, GPTZ_PARAM_FORMAT, &value) == GPTZ_OK && value == format);
    CHECK(gptz_memory_estimate(z, &size) == GPTZ_OK && size > 10000 && size < (uint64_t)1 << 30);
    CHECK(gptz_set_progress(z, progress, &seen) == GPTZ_OK);
    CHECK(sizeof frame >= gptz_compress_bound(sizeof text));
    CHECK(gptz_compress(z, text, sizeof text, frame, sizeof frame, &n) == GPTZ_OK);
    CHECK(n > 15 && n < sizeof text / 2 && seen.calls > 2 && seen.last == sizeof text && seen.total == sizeof text);
    CHECK(gptz_decompressed_size(frame, n, &size) == GPTZ_OK && size == sizeof text);
    CHECK(gptz_decompress(z, frame, n, back, sizeof back - 1, &m) == GPTZ_ERROR_BUFFER_TOO_SMALL && m == sizeof back);
    CHECK(strstr(gptz_handle_error(z), "2999") != NULL && strcmp(gptz_handle_error(z), gptz_last_error()) == 0);
    CHECK(gptz_decompress(z, frame, n, back, sizeof back, &m) == GPTZ_OK && m == sizeof back);
    CHECK(memcmp(text, back, sizeof text) == 0);
    frames(z, text, sizeof text, frame, n, format);
    seen.cancel = 1;
    CHECK(gptz_compress(z, text, sizeof text, frame, sizeof frame, &m) == GPTZ_ERROR_CANCELLED && m == 0);
    CHECK(gptz_set_progress(z, NULL, NULL) == GPTZ_OK);
    if (format == 3) {
        CHECK(gptz_create_for_frame(frame, n, &reader) == GPTZ_OK);
        CHECK(strcmp(gptz_method(reader), gptz_method(z)) == 0);
        gptz_free(reader);
    } else {
        CHECK(gptz_create_for_frame(frame, n, &reader) == GPTZ_ERROR_METHOD && reader == NULL);
    }
}

static void learning(gptz *z)
{
    float before[256], after[256];
    double bare, based;
    gptz_snapshot *snapshot = NULL;
    char text[800];
    void *portable;
    uint8_t id[16];
    size_t i, len;

    for (i = 0; i < sizeof text; i++)
        text[i] = i % 2 ? 'b' : 'a';
    CHECK(gptz_cross_entropy(z, text, 50, &bare) == GPTZ_OK);
    CHECK(gptz_predict(z, before, 256) == GPTZ_OK);
    CHECK(gptz_feed(z, text, sizeof text) == GPTZ_OK);
    CHECK(gptz_predict(z, after, 256) == GPTZ_OK);
    CHECK(after['a'] > 0.8f && after['a'] > before['a']);
    CHECK(gptz_snapshot_take(z, &snapshot) == GPTZ_OK);
    CHECK(gptz_reset(z) == GPTZ_OK);
    CHECK(gptz_predict(z, after, 256) == GPTZ_OK && memcmp(before, after, sizeof before) == 0);
    CHECK(gptz_snapshot_restore(z, snapshot) == GPTZ_OK);
    CHECK(gptz_set_base(z, snapshot) == GPTZ_OK);
    CHECK(gptz_snapshot_id(snapshot, id) == GPTZ_OK);
    CHECK(gptz_snapshot_save(snapshot, NULL, 0, &len) == GPTZ_ERROR_BUFFER_TOO_SMALL);
    portable = malloc(len);
    CHECK(portable != NULL && gptz_snapshot_save(snapshot, portable, len, &len) == GPTZ_OK);
    gptz_snapshot_free(snapshot);
    CHECK(gptz_snapshot_load(portable, len, &snapshot) == GPTZ_OK);
    free(portable);
    CHECK(gptz_snapshot_id(snapshot, id + 8) == GPTZ_OK && memcmp(id, id + 8, 8) == 0);
    CHECK(gptz_set_base(z, snapshot) == GPTZ_OK);
    gptz_snapshot_free(snapshot);
    CHECK(gptz_cross_entropy(z, text, 50, &based) == GPTZ_OK && based < bare / 2);
    CHECK(gptz_set_base(z, NULL) == GPTZ_OK);
}

/* The Rust tests check the results of these calls. Here they need only compile and link as C. */
static void models(void)
{
    gptz_model *model = NULL;
    gptz *z = NULL;
    unsigned char print[32];
    uint32_t tokens[2];
    char back[2];
    size_t n = 9;
    CHECK(gptz_model_open("/nonexistent/model.safetensors", &model) == GPTZ_ERROR_IO && model == NULL);
    CHECK(gptz_model_from_memory("nonsense", 8, &model) == GPTZ_ERROR_MODEL && model == NULL);
    CHECK(gptz_model_fingerprint(NULL, print) == GPTZ_ERROR_ARGUMENT);
    CHECK(gptz_tokenize(NULL, "ab", 2, tokens, 2, &n) == GPTZ_ERROR_ARGUMENT && n == 0);
    CHECK(gptz_create_from_model(NULL, NULL, &z) == GPTZ_ERROR_ARGUMENT && z == NULL);
    gptz_model_free(NULL);

    /* The model that the library carries. valgrind shows that its memory is freed with its last user. */
    model = gptz_model_builtin();
    CHECK(model != NULL && gptz_model_fingerprint(model, print) == GPTZ_OK);
    CHECK(gptz_tokenize(model, "ab", 2, NULL, 0, &n) == GPTZ_ERROR_BUFFER_TOO_SMALL && n == 2);
    CHECK(gptz_tokenize(model, "ab", 2, tokens, 2, &n) == GPTZ_OK && n == 2 && tokens[1] == 'b');
    int64_t info = 9;
    CHECK(gptz_model_info(model, GPTZ_MODEL_VOCABULARY, &info) == GPTZ_OK && info == 256);
    CHECK(gptz_model_info(model, 99, &info) == GPTZ_ERROR_ARGUMENT && info == 0);
    gptz_generator *generator = NULL;
    float logits[256];
    CHECK(gptz_generator_create(model, NULL, &generator) == GPTZ_OK);
    CHECK(gptz_generator_step(generator, tokens) == GPTZ_ERROR_STATE);
    CHECK(strstr(gptz_generator_error(generator), "prefill") != NULL);
    tokens[0] = 'a';
    tokens[1] = 'b';
    CHECK(gptz_generator_prefill(generator, tokens, 2, logits, 255) == GPTZ_ERROR_ARGUMENT);
    CHECK(gptz_generator_prefill(generator, tokens, 2, logits, 256) == GPTZ_OK && logits[0] < 0);
    CHECK(gptz_generator_generate(generator, 3, NULL, NULL, &n) == GPTZ_OK && n == 3);
    CHECK(gptz_generator_tokens(generator, NULL, 0, &n) == GPTZ_ERROR_BUFFER_TOO_SMALL && n == 5);
    gptz_generator_free(generator);
    CHECK(gptz_detokenize(model, tokens, 2, back, 2, &n) == GPTZ_OK && n == 2 && back[0] == 'a');
    CHECK(gptz_create_from_model(model, "mix:neural=(file:;head:),mem=64K", &z) == GPTZ_OK);
    gptz_model_free(model);
    gptz_free(z);
    z = NULL;
    CHECK(gptz_create("level:5", &z) == GPTZ_OK && strcmp(gptz_method(z), "level:5") != 0);
    gptz_free(z);
}

int main(void)
{
    gptz *z = NULL;
    library();
    levels();
    models();
    CHECK(gptz_create("cfg:hidden=33", &z) == GPTZ_ERROR_METHOD && z == NULL);
    CHECK(gptz_create(method, &z) == GPTZ_OK);
    round_trip(z, GPTZ_CODER_AC, 3);
    round_trip(z, GPTZ_CODER_RANS, 3);
    round_trip(z, GPTZ_CODER_AC, 2);
    round_trip(z, GPTZ_CODER_RANS, 2);
    learning(z);
    gptz_free(z);
    gptz_free(NULL);
    gptz_snapshot_free(NULL);
    puts("ok");
    return 0;
}
