/*
 * cross.c: the same frames, written and read by two builds of the library.
 *
 *     cross write DATA DIR    writes every case's frames and predictions into DIR
 *     cross read DATA DIR     reads the frames in DIR and compares them with the content
 *
 * DATA is tests/data. Every case is written plain, and again with a snapshot as base that was taken after some samples.
 * What two builds have written is compared from outside, byte for byte. C99 and stdio alone, for any target.
 */
#include <gptz.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(what) \
    do { \
        if (!(what)) { \
            fprintf(stderr, "%s:%d: %s: %s (%s)\n", __FILE__, __LINE__, name, #what, gptz_last_error()); \
            exit(1); \
        } \
    } while (0)

#define SMALL "cfg:hidden=32,layers=2,intermediate=40,head_size=32,decay_rank=4,a_rank=4,v_rank=4,g_rank=4,seed=11,"
#define WIDE "cfg:hidden=64,layers=2,intermediate=72,head_size=64,decay_rank=5,a_rank=3,v_rank=7,g_rank=9,seed=12,"

/* A method, or tests/data's weights with what follows their base in a method string; options as pairs. */
struct test {
    const char *name, *method, *policy;
    int text, noise, options[7];
};

static const struct test tests[] = {
    {"default", NULL, NULL, 1000, 0, {0}},
    {"level1-stored", "level:1", NULL, 1500, 5000, {GPTZ_PARAM_BLOCK_LOG, 12, 0}},
    {"mix-neural", "mix:neural=(" SMALL "train=adam,lr=0.004),mem=1M", NULL, 1000, 0, {0}},
    {"gru", "gru:embed=16,hidden=16,bptt=4,lr=0.02", NULL, 1000, 0, {0}},
    {"mix-gru", "mix:neural=(gru:embed=16,hidden=16,layers=2,bptt=8,stride=4,replay=2,train=adam,lr=0.005),mem=1M", NULL,
     1000, 0, {0}},
    {"network", "cfg:hidden=128,layers=1,intermediate=256,decay_rank=8,a_rank=8,v_rank=8,g_rank=16,head_size=32,train=adam",
     NULL, 1000, 0, {0}},
    {"default-rans", NULL, NULL, 700, 0, {GPTZ_PARAM_CODER, GPTZ_CODER_RANS, 0}},
    {"adam-stored", SMALL "train=adam,lr=0.004", NULL, 1500, 5000, {GPTZ_PARAM_BLOCK_LOG, 12, 0}},
    {"adam-v2", SMALL "train=adam,lr=0.01,stride=2", NULL, 1500, 0, {GPTZ_PARAM_FORMAT, 2, 0}},
    {"sgd", SMALL "train=sgd,lr=0.01", NULL, 1500, 300, {GPTZ_PARAM_CHECKSUM, 0, 0}},
    {"sgd-v2-rans", SMALL "train=sgd,lr=0.02,stride=3;weights=f32", NULL, 1500, 0,
     {GPTZ_PARAM_FORMAT, 2, GPTZ_PARAM_CODER, GPTZ_CODER_RANS, 0}},
    {"frozen", WIDE "train=none", NULL, 1000, 500, {0}},
    {"frozen-f32", WIDE "train=none;weights=f32", NULL, 1000, 0, {GPTZ_PARAM_CODER, GPTZ_CODER_RANS, 0}},
    {"weights", NULL, "weights=i8", 800, 0, {0}},
    {"weights-f32", NULL, "weights=f32", 800, 0, {0}},
    {"lanes", "mix:neural=(" SMALL "train=none;head:train=sgd,lr=0.02)"
              "+(gru:embed=16,hidden=16,layers=2,bptt=8,stride=4,replay=2,train=adam,lr=0.005),mem=1M", NULL,
     5001, 0, {GPTZ_PARAM_LANES, 4, GPTZ_PARAM_CODER, GPTZ_CODER_RANS, 0}},
    {"lanes-mix", "level:1", NULL, 9000, 0, {GPTZ_PARAM_LANES, 8, GPTZ_PARAM_BLOCK_LOG, 12, 0}},
    {"subnormal", NULL, "weights=f32", 500, 0, {GPTZ_PARAM_FORMAT, 2, 0}},
};

static unsigned char *text, *weights;
static size_t text_len, weights_len;
static const char *name = "cross";

static unsigned char *read_file(const char *folder, const char *file, const char *ending, size_t *len)
{
    char path[4096];
    unsigned char *data;
    FILE *f;
    long size = -1;

    snprintf(path, sizeof path, "%s/%s%s", folder, file, ending);
    f = fopen(path, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) != 0) {
        perror(path);
        exit(1);
    }
    data = malloc((size_t)size + 1);
    CHECK(data != NULL);
    *len = fread(data, 1, (size_t)size, f);
    CHECK(*len == (size_t)size);
    fclose(f);
    return data;
}

static void write_file(const char *folder, const char *file, const char *ending, const void *data, size_t len)
{
    char path[4096];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s%s", folder, file, ending);
    f = fopen(path, "wb");
    if (f == NULL || fwrite(data, 1, len, f) != len || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

/*
 * Multiplies one tensor by a power of two. With keys of 2^-64 and values of 2^124 all that a layer's second half computes
 * in between is subnormal, and what comes out is not: a build that flushes subnormals to zero predicts otherwise.
 */
static void scale(unsigned char *file, const char *tensor, int power)
{
    uint64_t header = 0;
    unsigned long from = 0, to = 0;
    const char *at, *offsets;
    int i;

    for (i = 7; i >= 0; i--)
        header = header << 8 | file[i];
    at = strstr((const char *)file + 8, tensor);
    offsets = at == NULL ? NULL : strstr(at, "\"data_offsets\":[");
    CHECK(offsets != NULL && strncmp(at + strlen(tensor), "\":{\"dtype\":\"BF16\"", 17) == 0);
    CHECK(sscanf(offsets, "\"data_offsets\":[%lu,%lu]", &from, &to) == 2 && to > from);
    for (; from < to; from += 2) {
        unsigned char *number = file + 8 + header + from;
        int exponent = (number[1] & 0x7f) << 1 | number[0] >> 7;
        if (exponent == 0)
            continue;
        exponent += power;
        exponent = exponent < 1 ? 1 : exponent > 254 ? 254 : exponent;
        number[1] = (unsigned char)((number[1] & 0x80) | exponent >> 1);
        number[0] = (unsigned char)((number[0] & 0x7f) | (exponent & 1) << 7);
    }
}

static gptz *make(const struct test *test)
{
    gptz *z = NULL;
    const int *option;

    if (test->policy != NULL) {
        gptz_model *model = NULL;
        CHECK(gptz_model_from_memory(weights, weights_len, &model) == GPTZ_OK);
        CHECK(gptz_create_from_model(model, test->policy, &z) == GPTZ_OK);
        gptz_model_free(model);
    } else {
        CHECK(gptz_create(test->method, &z) == GPTZ_OK);
    }
    for (option = test->options; option[0] != 0; option += 2)
        CHECK(gptz_set(z, option[0], option[1]) == GPTZ_OK);
    return z;
}

/* Bytes that no method predicts. */
static void noise(unsigned char *to, int n)
{
    uint32_t state = 2463534242u;
    while (n-- > 0) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        *to++ = (unsigned char)(state >> 11);
    }
}

/* The bits of numbers, least significant byte first. */
static void put(unsigned char **at, uint64_t bits, int bytes)
{
    for (; bytes > 0; bytes--, bits >>= 8)
        *(*at)++ = (unsigned char)bits;
}

static void frame(gptz *z, const char *ending, const unsigned char *content, size_t len, const char *folder, int writing)
{
    size_t cap = gptz_compress_bound(len) + len, frame_len = 0, out_len = 0;
    unsigned char *bytes = malloc(cap);
    CHECK(bytes != NULL);
    if (writing) {
        CHECK(gptz_compress(z, content, len, bytes, cap, &frame_len) == GPTZ_OK);
        write_file(folder, name, ending, bytes, frame_len);
    } else {
        unsigned char *there = read_file(folder, name, ending, &frame_len);
        uint64_t size = 0;
        CHECK(gptz_decompressed_size(there, frame_len, &size) == GPTZ_OK && size == len);
        CHECK(gptz_decompress(z, there, frame_len, bytes, cap, &out_len) == GPTZ_OK);
        CHECK(out_len == len && memcmp(bytes, content, len) == 0);
        free(there);
    }
    free(bytes);
}

int main(int argc, char **argv)
{
    int writing = argc == 4 && strcmp(argv[1], "write") == 0;
    size_t i, b;

    if (argc != 4 || (!writing && strcmp(argv[1], "read") != 0)) {
        fprintf(stderr, "usage: cross write|read DATA DIR\n");
        return 2;
    }
    text = read_file(argv[2], "alice29", ".txt", &text_len);
    weights = read_file(argv[2], "rwkv7-tiny", ".safetensors", &weights_len);
    for (i = 0; i < sizeof tests / sizeof *tests; i++) {
        const struct test *test = &tests[i];
        size_t part = (size_t)test->text, len = part + (size_t)test->noise + part / 2;
        unsigned char *content = malloc(len);
        gptz_snapshot *snapshot = NULL;
        gptz *z;

        name = test->name;
        if (strcmp(name, "subnormal") == 0) {
            scale(weights, "model.layers.0.ffn.key.weight", -64);
            scale(weights, "model.layers.0.ffn.value.weight", 124);
            scale(weights, "model.layers.1.ffn.key.weight", -64);
            scale(weights, "model.layers.1.ffn.value.weight", 124);
        }
        CHECK(content != NULL && text_len > 60000 + part);
        memcpy(content, text + 40000, part);
        noise(content + part, test->noise);
        memcpy(content + part + test->noise, text + 60000, part / 2);
        z = make(test);
        frame(z, ".gptz", content, len, argv[3], writing);

        CHECK(gptz_feed(z, text + 20000, 700) == GPTZ_OK);
        CHECK(gptz_snapshot_take(z, &snapshot) == GPTZ_OK);
        if (writing) {
            unsigned char *portable;
            size_t size;
            CHECK(gptz_snapshot_save(snapshot, NULL, 0, &size) == GPTZ_ERROR_BUFFER_TOO_SMALL);
            CHECK((portable = malloc(size)) != NULL);
            CHECK(gptz_snapshot_save(snapshot, portable, size, &size) == GPTZ_OK);
            write_file(argv[3], name, ".snapshot", portable, size);
            free(portable);
        } else {
            /* The other build's snapshot: as a live state it goes on with the same bits, and it is the base below. */
            size_t size;
            unsigned char *portable = read_file(argv[3], name, ".snapshot", &size);
            float here[256], loaded[256];
            CHECK(gptz_feed(z, text + 30000, 100) == GPTZ_OK && gptz_predict(z, here, 256) == GPTZ_OK);
            gptz_snapshot_free(snapshot);
            CHECK(gptz_snapshot_load(portable, size, &snapshot) == GPTZ_OK);
            CHECK(gptz_snapshot_restore(z, snapshot) == GPTZ_OK);
            CHECK(gptz_feed(z, text + 30000, 100) == GPTZ_OK && gptz_predict(z, loaded, 256) == GPTZ_OK);
            CHECK(memcmp(here, loaded, sizeof here) == 0);
            free(portable);
        }
        CHECK(gptz_set_base(z, snapshot) == GPTZ_OK);
        gptz_snapshot_free(snapshot);
        frame(z, "-base.gptz", content, part / 2, argv[3], writing);

        if (writing) {
            float probs[256];
            double bits_per_byte = 0;
            unsigned char out[256 * 4 + 8], *at = out;
            uint32_t single;
            uint64_t both;
            CHECK(gptz_predict(z, probs, 256) == GPTZ_OK);
            CHECK(gptz_cross_entropy(z, content, 100, &bits_per_byte) == GPTZ_OK);
            for (b = 0; b < 256; b++) {
                memcpy(&single, &probs[b], sizeof single);
                put(&at, single, 4);
            }
            memcpy(&both, &bits_per_byte, sizeof both);
            put(&at, both, 8);
            write_file(argv[3], name, ".numbers", out, sizeof out);
        }
        gptz_free(z);
        free(content);
    }
    printf("%s %u cases, level %s\n", writing ? "wrote" : "read", (unsigned)i, gptz_cpu_level());
    free(text);
    free(weights);
    return 0;
}
