/*
 * Measures the stack that calls take. README states that every call works within 32 KiB of stack.
 *
 * Each call runs twice, each time in a new thread: on a stack of 256 KiB that was filled with a pattern, to measure the
 * deepest byte that changed, and on a stack of 48 KiB, which also holds the thread's descriptor, its thread-local
 * storage and libc's frames. The stack that an empty thread takes is subtracted from the measurement.
 *
 * Usage: stacks WEIGHTS [METHOD...], with a safetensors file. tests/hostile/stacks builds and runs it. The exit status
 * is 0 if no call takes more than 32 KiB. A call that takes more than 48 KiB ends the program by SIGSEGV.
 */
#define _GNU_SOURCE
#include <gptz.h>

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../c/tiny_model.h"

#define LIMIT (32u << 10)
#define SMALL (48u << 10)
#define PAINTED (256u << 10)
#define GUARD (64u << 10)
#define PAINT 0xa5
#define LEN 6000
#define ROOM 20000

static const char *method, *weights;
static void *file;
static size_t file_len;
static gptz *handle, *other;
static gptz_snapshot *snapshot;
static gptz_model *model;
static unsigned char content[LEN], frame[ROOM], back[LEN], packed[ROOM];
static float probs[256], costs[LEN];
static size_t frame_len, back_len, record_len[3], content_len[3];
static double bits;
static uint64_t size;
static int64_t value;
static char long_method[5000];

static int go_on(void *userdata, uint64_t done, uint64_t total) {
    (void)userdata, (void)done, (void)total;
    return 0;
}

static int stop(void *userdata, uint64_t done, uint64_t total) {
    (void)userdata;
    return done > total / 2;
}

static gptz_status nothing(void) { return GPTZ_OK; }
static gptz_status status_name(void) { return gptz_status_name(GPTZ_OK) ? GPTZ_OK : GPTZ_ERROR_INTERNAL; }
static gptz_status last_error(void) { return gptz_last_error() ? GPTZ_OK : GPTZ_ERROR_INTERNAL; }
static gptz_status version_number(void) { return gptz_version_number() ? GPTZ_OK : GPTZ_ERROR_INTERNAL; }
static gptz_status version_string(void) { return gptz_version_string() ? GPTZ_OK : GPTZ_ERROR_INTERNAL; }
static gptz_status set_cpu_level(void) { return gptz_set_cpu_level(0); }
static gptz_status cpu_level(void) { return gptz_cpu_level() ? GPTZ_OK : GPTZ_ERROR_INTERNAL; }
static gptz_status create(void) { return gptz_create(method, &handle); }
static gptz_status method_of(void) { return gptz_method(handle) ? GPTZ_OK : GPTZ_ERROR_INTERNAL; }
static gptz_status set(void) { return gptz_set(handle, GPTZ_PARAM_BLOCK_LOG, 12); }
static gptz_status set_rans(void) { return gptz_set(handle, GPTZ_PARAM_CODER, GPTZ_CODER_RANS); }
static gptz_status set_check(void) { return gptz_set(handle, GPTZ_PARAM_RECORD_CHECK, 4); }
static gptz_status get(void) { return gptz_get(handle, GPTZ_PARAM_BLOCK_LOG, &value); }
static gptz_status set_progress(void) { return gptz_set_progress(handle, go_on, NULL); }
static gptz_status set_stop(void) { return gptz_set_progress(handle, stop, NULL); }
static gptz_status bound(void) { return gptz_compress_bound(LEN) <= ROOM ? GPTZ_OK : GPTZ_ERROR_INTERNAL; }
static gptz_status compress(void) { return gptz_compress(handle, content, LEN, frame, ROOM, &frame_len); }
static gptz_status decompressed_size(void) { return gptz_decompressed_size(frame, frame_len, &size); }
static gptz_status decompress(void) {
    gptz_status status = gptz_decompress(handle, frame, frame_len, back, LEN, &back_len);
    return status != GPTZ_OK || !memcmp(back, content, LEN) ? status : GPTZ_ERROR_INTERNAL;
}
static gptz_status frame_info(void) { return gptz_frame_info(frame, frame_len, GPTZ_FRAME_MEMORY, &value); }
static gptz_status frame_method(void) {
    static char name[2000];
    size_t len;
    return gptz_frame_method(frame, frame_len, name, sizeof name, &len);
}
static gptz_status compressed_size(void) { size_t len; return gptz_compressed_size(handle, content, 500, &len); }
static gptz_status stats_get(void) {
    gptz_stats stats;
    stats.size = sizeof stats;
    return gptz_stats_get(handle, &stats);
}
static gptz_status create_for_frame(void) { return gptz_create_for_frame(frame, frame_len, &other); }
static gptz_status free_other(void) { gptz_free(other); other = NULL; return GPTZ_OK; }
static gptz_status feed(void) { return gptz_feed(handle, content, 500); }
static gptz_status predict(void) { return gptz_predict(handle, probs, 256); }
static gptz_status take(void) { return gptz_snapshot_take(handle, &snapshot); }
static gptz_status restore(void) { return gptz_snapshot_restore(handle, snapshot); }
static unsigned char portable[1 << 22];
static size_t portable_len;
static gptz_status save(void) { return gptz_snapshot_save(snapshot, portable, sizeof portable, &portable_len); }
static gptz_status load(void) {
    gptz_snapshot_free(snapshot);
    return gptz_snapshot_load(portable, portable_len, &snapshot);
}
static gptz_status set_base(void) { return gptz_set_base(handle, snapshot); }
static gptz_status snapshot_free(void) { gptz_snapshot_free(snapshot); snapshot = NULL; return GPTZ_OK; }
static gptz_status cross_entropy(void) { return gptz_cross_entropy(handle, content, 500, &bits); }
static gptz_status byte_costs(void) { return gptz_byte_costs(handle, content, 500, costs); }
static gptz_status reset(void) { return gptz_reset(handle); }
static const void *records[3] = {content, content + 100, content + LEN - 200};
static const size_t lens[3] = {100, 0, 200};
static gptz_status stream_reset(void) { return gptz_stream_reset(handle); }
static gptz_status stream_compress(void) {
    gptz_in in = { content, LEN, 0 };
    gptz_out out = { packed, ROOM, 0 };
    size_t remaining;
    return gptz_stream_compress(handle, &out, &in, GPTZ_END, &remaining);
}
static gptz_status stream_decompress(void) {
    gptz_in in = { frame, frame_len, 0 };
    gptz_out out = { back, LEN, 0 };
    size_t hint;
    return gptz_stream_decompress(handle, &out, &in, &hint);
}
static int64_t read_frame(void *opaque, uint64_t offset, void *dst, size_t len) {
    memcpy(dst, (const unsigned char *)opaque + offset, len);
    return (int64_t)len;
}
static int on_write(void *userdata, uint64_t offset, const void *data, size_t len) {
    (void)userdata, (void)offset, (void)data, (void)len;
    return 0;
}
static int on_lost(void *userdata, uint64_t offset, uint64_t len, const char *why) {
    (void)userdata, (void)offset, (void)len, (void)why;
    return 0;
}
static gptz_reader *content_reader;
static gptz_status content_reader_open(void) {
    gptz_source source = { frame, read_frame, frame_len };
    return gptz_reader_open(handle, &source, &content_reader);
}
static gptz_status content_reader_read(void) { size_t n; return gptz_reader_read(content_reader, 10, back, LEN - 10, &n); }
static gptz_status content_reader_free(void) { gptz_reader_free(content_reader); return GPTZ_OK; }
static gptz_status salvage(void) {
    gptz_source source = { frame, read_frame, frame_len };
    return gptz_salvage(handle, &source, on_write, on_lost, NULL);
}
static gptz_status compress_parts(void) {
    size_t len;
    return gptz_compress_parts(handle, records, lens, 3, packed, ROOM, &len);
}
static gptz_status records_compress(void) {
    return gptz_records_compress(handle, records, lens, 3, packed, ROOM, record_len);
}
static gptz_status records_decompress(void) {
    const void *src[3] = {packed, packed + record_len[0], packed + record_len[0] + record_len[1]};
    return gptz_records_decompress(handle, src, record_len, 3, back, LEN, content_len);
}
static gptz_status model_builtin(void) { model = gptz_model_builtin(); return GPTZ_OK; }
static gptz_status model_open(void) { return gptz_model_open(weights, &model); }
static gptz_status model_from_memory(void) { return gptz_model_from_memory(file, file_len, &model); }
static gptz_status fingerprint(void) { unsigned char id[32]; return gptz_model_fingerprint(model, id); }
static uint32_t tokens[64];
static gptz_generator *generator;
static gptz_status generator_create(void) { return gptz_generator_create(model, NULL, &generator); }
static gptz_status generator_prefill(void)
{
    tokens[0] = 'a';
    return gptz_generator_prefill(generator, tokens, 1, NULL, 0);
}
static char language_model[] = "language-model-XXXXXX";
static gptz_status language_model_write(void) { return write_tiny_model(language_model); }
static gptz_status language_model_open(void) { return gptz_model_open(language_model, &model); }
static gptz_status language_tokenize(void) { return gptz_tokenize(model, "the other path", 14, tokens, 64, &back_len); }
static gptz_status language_prefill(void)
{
    gptz_status status = gptz_generator_set_sampler(generator, "temperature=1");
    return status ? status : gptz_generator_prefill(generator, tokens, back_len, probs, TINY_VOCABULARY);
}
static gptz_status generator_of_handle(void) { return gptz_generator_create_from_handle(handle, NULL, &generator); }
static gptz_status generator_step(void) { return gptz_generator_step(generator, tokens); }
static gptz_status generator_free(void) { gptz_generator_free(generator); generator = NULL; return GPTZ_OK; }
static gptz_status tokenize(void) { return gptz_tokenize(model, content, 64, tokens, 64, &back_len); }
static gptz_status detokenize(void) { return gptz_detokenize(model, tokens, 64, back, LEN, &back_len); }
static char tensors[] = "stacks-XXXXXX";
static gptz_tensor_reader *reader;
static gptz_tensor_writer *writer;
static int tensor_format;
static float values[1024];
static uint64_t count_of_tensors;
static char json[4096];
static gptz_status writer_open(void) {
    tensor_format = tensor_format % 3 + 1;
    return gptz_tensor_writer_open(tensors, tensor_format, "{\"a\":{\"string\":[\"x\"]},\"b\":{\"json\":[1,[2,{}]]}}", &writer);
}
static gptz_status writer_add(void) { return gptz_tensor_writer_add(writer, "bytes", GPTZ_DTYPE_F32, NULL, 0, values, 4); }
static gptz_status writer_add_f32(void) {
    static const int types[3][9] = {
        {GPTZ_DTYPE_F16, GPTZ_DTYPE_Q8, GPTZ_DTYPE_Q4, GPTZ_DTYPE_Q4_K, GPTZ_DTYPE_Q6_K, GPTZ_DTYPE_I8, -1},
        {GPTZ_DTYPE_F32, GPTZ_DTYPE_BF16, GPTZ_DTYPE_I8, -1},
        {GPTZ_DTYPE_Q8_0, GPTZ_DTYPE_Q4_0, GPTZ_DTYPE_Q4_1, GPTZ_DTYPE_Q5_0, GPTZ_DTYPE_Q5_1, GPTZ_DTYPE_Q5_K, -1},
    };
    const uint64_t shape[2] = {4, 256};
    char name[] = "A";
    gptz_status status = GPTZ_OK;
    for (; types[tensor_format - 1][*name - 'A'] >= 0 && status == GPTZ_OK; ++*name)
        status = gptz_tensor_writer_add_f32(writer, name, types[tensor_format - 1][*name - 'A'], shape, 2, values, 1024);
    return status;
}
static gptz_status writer_counts(void) { return gptz_tensor_writer_counts(writer, &count_of_tensors, &size); }
static gptz_status writer_finish(void) { return gptz_tensor_writer_finish(writer); }
static gptz_status writer_free(void) { gptz_tensor_writer_free(writer); writer = NULL; return GPTZ_OK; }
static gptz_status reader_open(void) { return gptz_tensor_reader_open(tensors, &reader); }
static gptz_status reader_count(void) { return gptz_tensor_reader_count(reader, &count_of_tensors); }
static gptz_status reader_metadata(void) { return gptz_tensor_reader_metadata(reader, json, sizeof json, &back_len); }
static gptz_status reader_info(void) { return gptz_tensor_reader_info(reader, 1, NULL, NULL, NULL, NULL, &size); }
static gptz_status reader_read(void) { return gptz_tensor_reader_read(reader, 0, frame, ROOM); }
static gptz_status reader_read_f32(void) {
    uint64_t i;
    gptz_status status = GPTZ_OK;
    for (i = 0; i < count_of_tensors && status == GPTZ_OK; i++)
        status = gptz_tensor_reader_read_f32(reader, i, values, 1024);
    return status;
}
static gptz_status reader_free(void) { gptz_tensor_reader_free(reader); reader = NULL; return GPTZ_OK; }
static gptz_status create_from_model(void) { return gptz_create_from_model(model, NULL, &other); }
static gptz_status mix_from_model(void) { return gptz_create_from_model(model, "mix:neural=(file:;head:)", &other); }
static gptz_status model_free(void) { gptz_model_free(model); model = NULL; return GPTZ_OK; }
static gptz_status bad_method(void) { return gptz_create("mix:neural=((((", &other) ? GPTZ_OK : GPTZ_ERROR_INTERNAL; }
static gptz_status long_bad_method(void) { return gptz_create(long_method, &other) ? GPTZ_OK : GPTZ_ERROR_INTERNAL; }
static gptz_status no_file(void) { return gptz_model_open("/no/such/file", &model) ? GPTZ_OK : GPTZ_ERROR_INTERNAL; }
static gptz_status damaged(void) {
    frame[frame_len / 2] ^= 1;
    return gptz_decompress(handle, frame, frame_len, back, LEN, &back_len) ? GPTZ_OK : GPTZ_ERROR_INTERNAL;
}
static gptz_status cancelled(void) {
    return gptz_compress(handle, content, LEN, frame, ROOM, &frame_len) == GPTZ_ERROR_CANCELLED ? GPTZ_OK
                                                                                                : GPTZ_ERROR_INTERNAL;
}
static gptz_status free_handle(void) { gptz_free(handle); handle = NULL; return GPTZ_OK; }

struct call {
    const char *name;
    gptz_status (*run)(void);
};

/* Calls that do not depend on a method. They run once. */
static const struct call alone[] = {
    {"status_name", status_name},
    {"last_error", last_error},
    {"version_number", version_number},
    {"version_string", version_string},
    {"set_cpu_level", set_cpu_level},
    {"cpu_level", cpu_level},
    {"compress_bound", bound},
    {"create, bad method", bad_method},
    {"create, long method", long_bad_method},
    {"model_open, no file", no_file},
    {"model_open", model_open},
    {"model_fingerprint", fingerprint},
    {"tokenize", tokenize},
    {"detokenize", detokenize},
    {"generator_create", generator_create},
    {"generator_prefill", generator_prefill},
    {"generator_step", generator_step},
    {"generator_free", generator_free},
    {"create_from_model", create_from_model},
    {"free", free_other},
    {"create_from_model, mix", mix_from_model},
    {"free", free_other},
    {"model_free", model_free},
    {"tensor_writer", language_model_write},
    {"model_open, language", language_model_open},
    {"tokenize, language", language_tokenize},
    {"create, language", generator_create},
    {"prefill, language", language_prefill},
    {"step, language", generator_step},
    {"generator_free", generator_free},
    {"model_free", model_free},
    {"model_from_memory", model_from_memory},
    {"model_free", model_free},
    {"model_builtin", model_builtin},
    {"model_free", model_free},
#define TENSOR_CALLS \
    {"tensor_writer_open", writer_open}, {"tensor_writer_add", writer_add}, {"tensor_writer_add_f32", writer_add_f32}, \
    {"tensor_writer_counts", writer_counts}, {"tensor_writer_finish", writer_finish}, {"tensor_writer_free", writer_free}, \
    {"tensor_reader_open", reader_open}, {"tensor_reader_count", reader_count}, {"tensor_reader_metadata", reader_metadata}, \
    {"tensor_reader_info", reader_info}, {"tensor_reader_read", reader_read}, {"tensor_reader_read_f32", reader_read_f32}, \
    {"tensor_reader_free", reader_free}
    TENSOR_CALLS, /* APR */
    TENSOR_CALLS, /* safetensors */
    TENSOR_CALLS, /* GGUF */
};

/* Calls on a handle, for each method. */
static const struct call by_method[] = {
    {"create", create},
    {"method", method_of},
    {"set", set},
    {"get", get},
    {"set_progress", set_progress},
    {"compress", compress},
    {"decompressed_size", decompressed_size},
    {"frame_info", frame_info},
    {"frame_method", frame_method},
    {"compressed_size", compressed_size},
    {"stream_compress", stream_compress},
    {"stream_decompress", stream_decompress},
    {"stream_reset", stream_reset},
    {"reader_open", content_reader_open},
    {"reader_read", content_reader_read},
    {"reader_free", content_reader_free},
    {"salvage", salvage},
    {"compress_parts", compress_parts},
    {"stats_get", stats_get},
    {"decompress", decompress},
    {"create_for_frame", create_for_frame},
    {"free", free_other},
    {"set", set_rans},
    {"compress, rANS", compress},
    {"decompress, rANS", decompress},
    {"decompress, damaged", damaged},
    {"feed", feed},
    {"predict", predict},
    {"snapshot_take", take},
    {"generator of a handle", generator_of_handle},
    {"generator_step", generator_step},
    {"generator_free", generator_free},
    {"set_base", set_base},
    {"snapshot_save", save},
    {"snapshot_load", load},
    {"snapshot_restore", restore},
    {"cross_entropy", cross_entropy},
    {"byte_costs", byte_costs},
    {"records_compress", records_compress},
    {"records_decompress", records_decompress},
    {"set", set_check},
    {"records_compress", records_compress},
    {"records_decompress", records_decompress},
    {"reset", reset},
    {"snapshot_free", snapshot_free},
    {"set_progress", set_stop},
    {"compress, cancelled", cancelled},
    {"free", free_handle},
};

static void *thread(void *call) { return (void *)(intptr_t)((const struct call *)call)->run(); }

/* Runs a call on a stack of `len` bytes above a guard page. Returns the number of bytes it used, from the top. */
static size_t run(const struct call *call, size_t len) {
    unsigned char *all = mmap(NULL, GUARD + len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *stack = all + GUARD;
    pthread_attr_t attr;
    pthread_t id;
    void *status;
    size_t untouched = 0;
    if (all == MAP_FAILED || mprotect(stack, len, PROT_READ | PROT_WRITE)) {
        perror("mmap");
        exit(2);
    }
    memset(stack, PAINT, len);
    if (pthread_attr_init(&attr) || pthread_attr_setstack(&attr, stack, len) ||
        pthread_create(&id, &attr, thread, (void *)call) || pthread_join(id, &status)) {
        fprintf(stderr, "no thread with a stack of %zu bytes\n", len);
        exit(2);
    }
    pthread_attr_destroy(&attr);
    while (untouched < len && stack[untouched] == PAINT) untouched++;
    munmap(all, GUARD + len);
    /* create_for_frame fails for a method with a file. */
    if ((intptr_t)status != GPTZ_OK && call->run != create_for_frame) {
        fprintf(stderr, "%s, %s: status %ld: %s\n", method ? method : "the default", call->name, (long)(intptr_t)status,
                gptz_last_error());
        exit(2);
    }
    return len - untouched;
}

static size_t empty_thread;
static int failed;

/* Runs the calls of a list on the large stack, and then on the small one if none of them needs more. */
static void run_all(const struct call *calls, size_t count, size_t *deepest) {
    size_t i, worst = 0;
    for (i = 0; i < count; i++) {
        size_t depth = run(&calls[i], PAINTED) - empty_thread;
        if (depth > LIMIT) {
            printf("%-24s %6zu bytes, more than %u: %s\n", calls[i].name, depth, LIMIT, method ? method : "the default");
            failed = 1;
        }
        if (depth > worst) worst = depth;
        if (depth > deepest[i]) deepest[i] = depth;
    }
    for (i = 0; i < count && worst + empty_thread < SMALL; i++) run(&calls[i], SMALL);
}

static void print(const struct call *calls, size_t count, const size_t *deepest) {
    size_t i;
    for (i = 0; i < count; i++) printf("%-24s %6zu\n", calls[i].name, deepest[i]);
}

#define COUNT(a) (sizeof(a) / sizeof *(a))

int main(int argc, char **argv) {
    static size_t deepest_alone[COUNT(alone)], deepest[COUNT(by_method)];
    static char by_file[4000];
    const char *methods[] = {
        NULL, "level:1", "level:2", "level:3", "level:4", "level:5", "level:6", "level:7", "level:8", "level:9", "builtin:1",
        "mix:orders=0-8,mem=1M", "gru:hidden=64,bptt=8",
        "gru:embed=32,hidden=64,layers=2,bptt=8,stride=4,replay=3,train=adam,lr=0.003", "cfg:hidden=64,layers=2",
        "cfg:hidden=64,layers=1,train=adam,lr=0.002;weights=f32",
        "mix:neural=(cfg:hidden=64,layers=1;head:)+(gru:hidden=32,bptt=4,replay=2),mem=1M", by_file,
    };
    const char *text = "the cat sat on the mat, and the dog on the log. ";
    const struct call none = {"an empty thread", nothing};
    uint32_t random = 1;
    int descriptor;
    size_t i, count = argc > 2 ? (size_t)argc - 2 : COUNT(methods);
    FILE *f;
    if (argc < 2 || !(f = fopen(weights = argv[1], "rb"))) {
        fprintf(stderr, "usage: stacks WEIGHTS [METHOD...]\n");
        return 2;
    }
    close(mkstemp(language_model));
    file = malloc(1 << 24);
    file_len = fread(file, 1, 1 << 24, f);
    fclose(f);
    snprintf(by_file, sizeof by_file, "file:%s", weights);
    memset(long_method, 'x', sizeof long_method - 1);
    /* Text, then noise, so that one block is coded and another is stored. */
    for (i = 0; i < LEN; i++) {
        random = random * 1664525u + 1013904223u;
        content[i] = (unsigned char)(random >> 24);
        if (i < 4096) content[i] = (unsigned char)text[(i + (random >> 30)) % strlen(text)];
    }
    for (i = 0; i < 1024; i++) values[i] = (float)(i % 37) - 18;
    if ((descriptor = mkstemp(tensors)) < 0) return 2;
    close(descriptor);
    empty_thread = run(&none, PAINTED);
    printf("%-24s %6zu\n", none.name, empty_thread);
    run_all(alone, COUNT(alone), deepest_alone);
    for (i = 0; i < count; i++) {
        method = argc > 2 ? argv[i + 2] : methods[i];
        run_all(by_method, COUNT(by_method), deepest);
    }
    unlink(tensors);
    print(alone, COUNT(alone), deepest_alone);
    print(by_method, COUNT(by_method), deepest);
    unlink(language_model);
    return failed;
}
