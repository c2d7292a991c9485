/*
 * Lets each allocation of every call fail, one after the other, as SQLite's tests do.
 *
 *     allocations [-s STEP] [-v] WEIGHTS.safetensors
 *
 * For each call below and each n, the n-th allocation of the call fails; in a second run all later ones fail too. The
 * call must return GPTZ_ERROR_MEMORY with its out-parameters NULL or 0, or succeed with the same result as without the
 * failure. The same call on the same handle must then succeed. Nothing may be written to descriptor 2, and the process
 * must not abort. With STEP > 1, only the first 8 n and then every STEP-th n are tested.
 *
 * Needs glibc, where the library uses the malloc that the program defines.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <gptz.h>
#include <sys/syscall.h>
#include <sys/mman.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

/* The next allocation to fail, counted down to 0; negative while nothing fails. */
static long to_failure = -1;
static int all_after, failed;

static int fails(void)
{
    if (to_failure < 0)
        return 0;
    if (to_failure > 0 && --to_failure > 0)
        return 0;
    if (to_failure == 0 && failed && !all_after)
        return 0;
    failed = 1;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t n) { return fails() ? NULL : __libc_malloc(n); }
void *calloc(size_t n, size_t m) { return fails() ? NULL : __libc_calloc(n, m); }
void *realloc(void *p, size_t n) { return fails() ? NULL : __libc_realloc(p, n); }

/* Large tables and blocks are mapped. */
static void *refused(void)
{
    errno = ENOMEM;
    return MAP_FAILED;
}

void *mmap(void *at, size_t n, int protection, int flags, int file, off_t offset)
{
    return fails() ? refused() : (void *)syscall(SYS_mmap, at, n, protection, flags, file, offset);
}

void *mmap64(void *at, size_t n, int protection, int flags, int file, off_t offset)
{
    return mmap(at, n, protection, flags, file, offset);
}
void *memalign(size_t a, size_t n) { return fails() ? NULL : __libc_memalign(a, n); }
void *aligned_alloc(size_t a, size_t n) { return memalign(a, n); }
void free(void *p) { __libc_free(p); }

int posix_memalign(void **out, size_t a, size_t n)
{
    void *p = memalign(a, n);
    if (p == NULL)
        return ENOMEM;
    *out = p;
    return 0;
}

#define LEN 9000
#define ROOM (2 * LEN)

static const char *weights_path;
static unsigned char text[LEN], *weights;
static size_t weights_len;

/* A call and its arguments. */
struct run {
    const char *method;
    gptz *handle;
    gptz_snapshot *snapshot;
    gptz_model *model;
    gptz_tensor_reader *reader;
    gptz_tensor_writer *writer;
    size_t added;
    unsigned char frame[ROOM], out[ROOM];
    size_t frame_len, out_len;
    float numbers[LEN];
    double number;
};

static int on_progress(void *userdata, uint64_t done, uint64_t total)
{
    (void)userdata, (void)done, (void)total;
    return 0;
}

static void must(gptz_status status, const char *what)
{
    if (status != GPTZ_OK) {
        printf("%s: %s: %s\n", what, gptz_status_name(status), gptz_last_error());
        exit(1);
    }
}

static void with_handle(struct run *r)
{
    must(gptz_create(r->method, &r->handle), "gptz_create");
    must(gptz_set(r->handle, GPTZ_PARAM_BLOCK_LOG, 12), "gptz_set");
}

static void with_frame(struct run *r)
{
    with_handle(r);
    must(gptz_compress(r->handle, text, LEN, r->frame, ROOM, &r->frame_len), "gptz_compress");
}

static void with_fresh_frame(struct run *r)
{
    with_frame(r);
    gptz_free(r->handle);
    with_handle(r);
}

static void with_frame_alone(struct run *r)
{
    with_frame(r);
    gptz_free(r->handle);
    r->handle = NULL;
}

/* The portable form of a snapshot. */
static unsigned char saved[1 << 22];
static size_t saved_len;

static void with_snapshot(struct run *r)
{
    with_handle(r);
    must(gptz_feed(r->handle, text, 500), "gptz_feed");
    must(gptz_snapshot_take(r->handle, &r->snapshot), "gptz_snapshot_take");
    gptz_free(r->handle);
    with_handle(r);
}

static void with_records(struct run *r)
{
    const void *src[3] = { text, text + 100, text + 300 };
    const size_t lens[3] = { 100, 200, 50 };
    size_t out[3];
    with_handle(r);
    must(gptz_records_compress(r->handle, src, lens, 3, r->frame, ROOM, out), "gptz_records_compress");
    r->frame_len = out[0];
    gptz_free(r->handle);
    with_handle(r);
}

static int64_t read_frame(void *opaque, uint64_t offset, void *dst, size_t len)
{
    memcpy(dst, ((struct run *)opaque)->frame + offset, len);
    return (int64_t)len;
}

static gptz_source frame_of(struct run *r)
{
    gptz_source source;
    source.opaque = r;
    source.read_at = read_frame;
    source.size = r->frame_len;
    return source;
}

static void with_nothing(struct run *r) { (void)r; }

/* What out-parameters point to before a call: it must not be there afterwards. */
static void *const poison = text;

static gptz_status run_create(struct run *r)
{
    gptz_status status;
    r->handle = poison;
    status = gptz_create(r->method, &r->handle);
    return status == GPTZ_OK && r->handle == NULL ? GPTZ_ERROR_INTERNAL : status;
}

static gptz_status run_create_for_frame(struct run *r)
{
    r->handle = poison;
    return gptz_create_for_frame(r->frame, r->frame_len, &r->handle);
}

static gptz_status run_compress(struct run *r)
{
    r->out_len = 7;
    return gptz_compress(r->handle, text, LEN, r->out, ROOM, &r->out_len);
}

static gptz_status run_decompress(struct run *r)
{
    r->out_len = 7;
    return gptz_decompress(r->handle, r->frame, r->frame_len, r->out, ROOM, &r->out_len);
}

static gptz_status run_stream(struct run *r)
{
    gptz_in in = { text, LEN, 0 };
    gptz_out out = { r->out, ROOM, 0 };
    size_t remaining;
    gptz_status status = gptz_stream_reset(r->handle);
    r->out_len = 0;
    if (status == GPTZ_OK)
        status = gptz_stream_compress(r->handle, &out, &in, GPTZ_CONTINUE, &remaining);
    if (status == GPTZ_OK)
        status = gptz_stream_compress(r->handle, &out, &in, GPTZ_END, &remaining);
    if (status != GPTZ_OK)
        return status;
    r->out_len = out.pos;
    return remaining == 0 ? GPTZ_OK : GPTZ_ERROR_INTERNAL;
}

/* The whole content through a reader, which reads memory or a source. */
static gptz_status read_all(struct run *r, const gptz_source *source)
{
    gptz_reader *reader = poison;
    gptz_status status = source != NULL ? gptz_reader_open(r->handle, source, &reader)
                                        : gptz_reader_open_memory(r->handle, r->frame, r->frame_len, &reader);
    r->out_len = 0;
    if (status != GPTZ_OK)
        return reader == NULL ? status : GPTZ_ERROR_INTERNAL;
    r->out_len = 7;
    status = gptz_reader_read(reader, 0, r->out, ROOM, &r->out_len);
    gptz_reader_free(reader);
    return status;
}

static gptz_status run_reader(struct run *r) { return read_all(r, NULL); }

static gptz_status run_reader_of_source(struct run *r)
{
    gptz_source source = frame_of(r);
    return read_all(r, &source);
}

static int take(void *userdata, uint64_t offset, const void *data, size_t len)
{
    struct run *r = userdata;
    memcpy(r->out + offset, data, len);
    r->out_len = (size_t)offset + len;
    return 0;
}

static int lose(void *userdata, uint64_t offset, uint64_t len, const char *why)
{
    (void)userdata, (void)offset, (void)len, (void)why;
    return 0;
}

static gptz_status run_salvage(struct run *r)
{
    gptz_source source = frame_of(r);
    gptz_status status = gptz_salvage(r->handle, &source, take, lose, r);
    /* What was given before a failure is sound; the checks below want none. */
    if (status != GPTZ_OK)
        r->out_len = 0;
    return status;
}

static gptz_status run_stream_back(struct run *r)
{
    gptz_in in = { r->frame, 0, 0 };
    gptz_out out = { r->out, ROOM, 0 };
    size_t hint;
    gptz_status status = gptz_stream_reset(r->handle);
    r->out_len = 0;
    for (in.size = r->frame_len / 2; status == GPTZ_OK && in.pos < r->frame_len; in.size = r->frame_len)
        status = gptz_stream_decompress(r->handle, &out, &in, &hint);
    if (status == GPTZ_OK)
        r->out_len = out.pos;
    return status;
}

static gptz_status run_feed(struct run *r) { return gptz_feed(r->handle, text, 700); }

static gptz_status run_feed_with_progress(struct run *r)
{
    gptz_status status;
    gptz_set_progress(r->handle, on_progress, NULL);
    status = gptz_feed(r->handle, text, 700);
    gptz_set_progress(r->handle, NULL, NULL);
    return status;
}

static gptz_status run_predict(struct run *r) { return gptz_predict(r->handle, r->numbers, 256); }
static gptz_status run_reset(struct run *r) { return gptz_reset(r->handle); }

static gptz_status run_take(struct run *r)
{
    r->snapshot = poison;
    return gptz_snapshot_take(r->handle, &r->snapshot);
}

static gptz_status run_restore(struct run *r) { return gptz_snapshot_restore(r->handle, r->snapshot); }

static gptz_status run_save(struct run *r)
{
    return gptz_snapshot_save(r->snapshot, saved, sizeof saved, &saved_len);
}

static void with_saved(struct run *r)
{
    with_snapshot(r);
    must(run_save(r), "gptz_snapshot_save");
    gptz_snapshot_free(r->snapshot);
    r->snapshot = NULL;
}

static gptz_status run_load(struct run *r)
{
    gptz_status status;
    r->snapshot = poison;
    status = gptz_snapshot_load(saved, saved_len, &r->snapshot);
    return status == GPTZ_OK ? gptz_snapshot_restore(r->handle, r->snapshot) : status;
}

static gptz_status run_base(struct run *r)
{
    gptz_status status = gptz_set_base(r->handle, r->snapshot);
    return status == GPTZ_OK ? run_compress(r) : status;
}


static gptz_status run_cross_entropy(struct run *r)
{
    r->number = 7;
    return gptz_cross_entropy(r->handle, text, 700, &r->number);
}

static gptz_status run_byte_costs(struct run *r) { return gptz_byte_costs(r->handle, text, 700, r->numbers); }

static gptz_status run_records(struct run *r)
{
    const void *src[3] = { text, text + 100, text + 300 };
    const size_t lens[3] = { 100, 200, 50 };
    size_t out[3] = { 7, 7, 7 };
    gptz_status status = gptz_records_compress(r->handle, src, lens, 3, r->out, ROOM, out);
    r->out_len = out[0] + out[1] + out[2];
    return status;
}

static gptz_status run_records_back(struct run *r)
{
    const void *src[1] = { r->frame };
    r->out_len = 7;
    return gptz_records_decompress(r->handle, src, &r->frame_len, 1, r->out, ROOM, &r->out_len);
}

static gptz_status run_parts(struct run *r)
{
    const void *parts[2] = { text, text + 300 };
    const size_t lens[2] = { 300, 400 };
    r->out_len = 7;
    return gptz_compress_parts(r->handle, parts, lens, 2, r->out, ROOM, &r->out_len);
}

static gptz_status run_compressed_size(struct run *r)
{
    r->out_len = 7;
    return gptz_compressed_size(r->handle, text, 700, &r->out_len);
}

static gptz_status run_model_open(struct run *r)
{
    r->model = poison;
    return gptz_model_open(weights_path, &r->model);
}

static gptz_status run_model_from_memory(struct run *r)
{
    r->model = poison;
    return gptz_model_from_memory(weights, weights_len, &r->model);
}

static void with_model(struct run *r) { must(run_model_open(r), "gptz_model_open"); }

static gptz_status run_create_from_model(struct run *r)
{
    r->handle = poison;
    return gptz_create_from_model(r->model, "mix:neural=(file:;head:),mem=64K", &r->handle);
}

static gptz_status run_refused(struct run *r)
{
    /* Only the text of the error takes memory. */
    gptz_status status = gptz_create("cfg:hidden=64,layers=no", &r->handle);
    return status == GPTZ_ERROR_METHOD ? GPTZ_OK : status;
}

/* The calls that only read, or refuse: what they answer does not depend on the failed allocation, if they do not fail. */
static gptz_status run_queries(struct run *r)
{
    int64_t value = 0;
    uint64_t size = 0;
    char name[1000];
    size_t name_len = 0;
    gptz_stats stats;
    gptz_status status = gptz_set(r->handle, GPTZ_PARAM_BLOCK_LOG, 12);
    stats.size = sizeof stats;
    if (status == GPTZ_OK)
        status = gptz_get(r->handle, GPTZ_PARAM_BLOCK_LOG, &value);
    if (status == GPTZ_OK)
        status = gptz_memory_estimate(r->handle, &size);
    if (status == GPTZ_OK)
        status = gptz_decompressed_size(r->frame, r->frame_len, &size);
    if (status == GPTZ_OK)
        status = gptz_frame_info(r->frame, r->frame_len, GPTZ_FRAME_MEMORY, &value);
    if (status == GPTZ_OK)
        status = gptz_frame_method(r->frame, r->frame_len, name, sizeof name, &name_len);
    if (status == GPTZ_OK)
        status = gptz_stats_get(r->handle, &stats);
    if (status == GPTZ_OK)
        status = gptz_set_cpu_level(GPTZ_CPU_AUTO);
    r->number = status == GPTZ_OK ? (double)value + (double)size : 0;
    if (gptz_method(r->handle) == NULL || gptz_cpu_level() == NULL || gptz_level_method(1) == NULL)
        return GPTZ_ERROR_INTERNAL;
    return status;
}

static gptz_status run_not_a_handle(struct run *r)
{
    gptz_status status = gptz_set(NULL, GPTZ_PARAM_BLOCK_LOG, 12);
    if (gptz_handle_error(NULL)[0] != '\0' || gptz_handle_error((const gptz *)(const void *)r->model)[0] != '\0')
        return GPTZ_ERROR_INTERNAL;
    return status == GPTZ_ERROR_ARGUMENT ? GPTZ_OK : status;
}

static gptz_status run_fingerprint(struct run *r) { return gptz_model_fingerprint(r->model, r->out); }

static gptz_status run_generator(struct run *r)
{
    static const uint32_t prompt[] = { 'a', 'b', 'c' };
    gptz_generator *generator = NULL;
    size_t made;
    gptz_status status = gptz_generator_create(r->model, NULL, &generator);
    if (status == GPTZ_OK)
        status = gptz_generator_prefill(generator, prompt, 3, NULL, 0);
    if (status == GPTZ_OK)
        status = gptz_generator_generate(generator, 3, NULL, NULL, &made);
    gptz_generator_free(generator);
    return status;
}

static gptz_status run_tokenize(struct run *r)
{
    uint32_t tokens[64];
    size_t n;
    gptz_status status = gptz_tokenize(r->model, text, 64, tokens, 64, &n);
    return status != GPTZ_OK ? status : gptz_detokenize(r->model, tokens, n, r->out, ROOM, &r->out_len);
}

/* Tensor files of the three formats, made at the start, and one that the calls write. */
static char tensor_paths[4][64];

/* All types that files can have, each as values and, after them, one tensor as bytes. */
static const int tensor_types[3][11] = {
    { GPTZ_DTYPE_F32, GPTZ_DTYPE_F16, GPTZ_DTYPE_Q8, GPTZ_DTYPE_Q4, GPTZ_DTYPE_Q4_K, GPTZ_DTYPE_Q6_K, GPTZ_DTYPE_I8, -1 },
    { GPTZ_DTYPE_F32, GPTZ_DTYPE_BF16, GPTZ_DTYPE_I8, -1 },
    { GPTZ_DTYPE_Q8_0, GPTZ_DTYPE_Q4_0, GPTZ_DTYPE_Q4_1, GPTZ_DTYPE_Q5_0, GPTZ_DTYPE_Q5_1, GPTZ_DTYPE_Q5_K, GPTZ_DTYPE_I8,
        -1 },
};

static gptz_status open_writer(struct run *r, int format)
{
    r->writer = poison;
    return gptz_tensor_writer_open(tensor_paths[3], format,
        "{\"general.alignment\":{\"u32\":32},\"a\":{\"string\":[\"x\",\"yz\"]},\"b\":{\"f32\":0.5},\"c\":{\"json\":null}}", &r->writer);
}

/* Adds the tensors that are not there yet. After a failure, the writer must be as it was. */
static gptz_status add_tensors(struct run *r, int format)
{
    static float values[512];
    const uint64_t shape[2] = { 2, 256 };
    const int *types = tensor_types[format - 1];
    uint64_t tensors, bytes;
    gptz_status status = GPTZ_OK;
    size_t i, count = 0;
    while (types[count] >= 0)
        count++;
    for (i = 0; i < 512; i++)
        values[i] = (float)((i * 37) % 101) - 50;
    for (; r->added <= count; r->added++) {
        char name[] = "tensor A";
        name[7] += (char)r->added;
        status = r->added == count
            ? gptz_tensor_writer_add(r->writer, name, GPTZ_DTYPE_F32, shape, 2, values, sizeof values)
            : gptz_tensor_writer_add_f32(r->writer, name, types[r->added], shape, 2, values, 512);
        if (status != GPTZ_OK)
            break;
    }
    if (status == GPTZ_OK)
        status = gptz_tensor_writer_counts(r->writer, &tensors, &bytes);
    r->out_len = 0;
    r->number = status == GPTZ_OK ? (double)tensors + (double)bytes : 0;
    return status;
}

static void with_writer(struct run *r, int format) { must(open_writer(r, format), "gptz_tensor_writer_open"); }
static void with_apr_writer(struct run *r) { with_writer(r, GPTZ_TENSORS_APR); }
static void with_safetensors_writer(struct run *r) { with_writer(r, GPTZ_TENSORS_SAFETENSORS); }
static void with_gguf_writer(struct run *r) { with_writer(r, GPTZ_TENSORS_GGUF); }
static gptz_status run_add_apr(struct run *r) { return add_tensors(r, GPTZ_TENSORS_APR); }
static gptz_status run_add_safetensors(struct run *r) { return add_tensors(r, GPTZ_TENSORS_SAFETENSORS); }
static gptz_status run_add_gguf(struct run *r) { return add_tensors(r, GPTZ_TENSORS_GGUF); }

/* From opening to the file. It is read back without an allocation. */
static gptz_status write_file(struct run *r, int format)
{
    gptz_status status = open_writer(r, format);
    int file;
    r->added = 0;
    if (status != GPTZ_OK)
        return status;
    if ((status = add_tensors(r, format)) == GPTZ_OK)
        status = gptz_tensor_writer_finish(r->writer);
    gptz_tensor_writer_free(r->writer);
    r->writer = NULL;
    r->number = 0;
    if (status != GPTZ_OK)
        return status;
    file = open(tensor_paths[3], O_RDONLY);
    r->out_len = (size_t)read(file, r->out, ROOM);
    close(file);
    return status;
}

static gptz_status run_write_apr(struct run *r) { return write_file(r, GPTZ_TENSORS_APR); }
static gptz_status run_write_safetensors(struct run *r) { return write_file(r, GPTZ_TENSORS_SAFETENSORS); }
static gptz_status run_write_gguf(struct run *r) { return write_file(r, GPTZ_TENSORS_GGUF); }

static gptz_status open_reader(struct run *r, int format)
{
    r->reader = poison;
    return gptz_tensor_reader_open(tensor_paths[format - 1], &r->reader);
}

static gptz_status run_open_apr(struct run *r) { return open_reader(r, GPTZ_TENSORS_APR); }
static gptz_status run_open_safetensors(struct run *r) { return open_reader(r, GPTZ_TENSORS_SAFETENSORS); }
static gptz_status run_open_gguf(struct run *r) { return open_reader(r, GPTZ_TENSORS_GGUF); }
static void with_apr_reader(struct run *r) { must(run_open_apr(r), "gptz_tensor_reader_open"); }
static void with_safetensors_reader(struct run *r) { must(run_open_safetensors(r), "gptz_tensor_reader_open"); }
static void with_gguf_reader(struct run *r) { must(run_open_gguf(r), "gptz_tensor_reader_open"); }

static gptz_status run_read_tensors(struct run *r)
{
    uint64_t n, i, bytes;
    const char *name;
    gptz_status status = gptz_tensor_reader_count(r->reader, &n);
    r->out_len = 0;
    for (i = 0; status == GPTZ_OK && i < n; i++) {
        status = gptz_tensor_reader_info(r->reader, i, &name, NULL, NULL, NULL, &bytes);
        if (status == GPTZ_OK)
            status = gptz_tensor_reader_read(r->reader, i, r->out, ROOM);
        if (status == GPTZ_OK)
            status = gptz_tensor_reader_read_f32(r->reader, i, r->numbers + 512 * i, 512);
    }
    return status == GPTZ_OK ? gptz_tensor_reader_metadata(r->reader, (char *)r->out, ROOM, &r->out_len) : status;
}

/* Makes the files that the calls read. */
static void make_tensor_files(void)
{
    static struct run r;
    int i;
    for (i = 0; i < 4; i++) {
        strcpy(tensor_paths[i], "allocations-XXXXXX");
        close(mkstemp(tensor_paths[i]));
    }
    for (i = 0; i < 3; i++) {
        must(write_file(&r, i + 1), "a tensor file");
        if (rename(tensor_paths[3], tensor_paths[i]) != 0)
            exit(2);
    }
}

static gptz_status run_builtin(struct run *r)
{
    r->model = gptz_model_builtin();
    return r->model != NULL ? GPTZ_OK : GPTZ_ERROR_MEMORY;
}

static const struct scenario {
    const char *name;
    void (*prepare)(struct run *);
    gptz_status (*run)(struct run *);
} scenarios[] = {
    { "create", with_nothing, run_create },
    { "create_for_frame", with_frame_alone, run_create_for_frame },
    { "create, refused", with_nothing, run_refused },
    { "compress", with_handle, run_compress },
    { "decompress", with_fresh_frame, run_decompress },
    { "stream_compress", with_handle, run_stream },
    { "stream_decompress", with_fresh_frame, run_stream_back },
    { "reader_open_memory and read", with_fresh_frame, run_reader },
    { "reader_open and read", with_fresh_frame, run_reader_of_source },
    { "salvage", with_fresh_frame, run_salvage },
    { "compress_parts", with_handle, run_parts },
    { "compressed_size", with_handle, run_compressed_size },
    { "feed", with_handle, run_feed },
    { "feed with progress", with_handle, run_feed_with_progress },
    { "predict", with_handle, run_predict },
    { "reset", with_handle, run_reset },
    { "snapshot_take", with_handle, run_take },
    { "snapshot_restore", with_snapshot, run_restore },
    { "snapshot_save", with_snapshot, run_save },
    { "snapshot_load and restore", with_saved, run_load },
    { "set_base and compress", with_snapshot, run_base },
    { "cross_entropy", with_handle, run_cross_entropy },
    { "byte_costs", with_handle, run_byte_costs },
    { "records_compress", with_handle, run_records },
    { "records_decompress", with_records, run_records_back },
    { "queries", with_frame, run_queries },
};

static const struct scenario of_models[] = {
    { "model_open", with_nothing, run_model_open },
    { "model_from_memory", with_nothing, run_model_from_memory },
    { "model_builtin", with_nothing, run_builtin },
    { "model_fingerprint", with_model, run_fingerprint },
    { "tokenize and detokenize", with_model, run_tokenize },
    { "generator", with_model, run_generator },
    { "not a handle", with_model, run_not_a_handle },
    { "create_from_model", with_model, run_create_from_model },
    { "tensor_reader_open, APR", with_nothing, run_open_apr },
    { "tensor_reader_open, safetensors", with_nothing, run_open_safetensors },
    { "tensor_reader_open, GGUF", with_nothing, run_open_gguf },
    { "tensor_reader, APR", with_apr_reader, run_read_tensors },
    { "tensor_reader, safetensors", with_safetensors_reader, run_read_tensors },
    { "tensor_reader, GGUF", with_gguf_reader, run_read_tensors },
    { "tensor_writer_add, APR", with_apr_writer, run_add_apr },
    { "tensor_writer_add, safetensors", with_safetensors_writer, run_add_safetensors },
    { "tensor_writer_add, GGUF", with_gguf_writer, run_add_gguf },
    { "tensor_writer, APR", with_nothing, run_write_apr },
    { "tensor_writer, safetensors", with_nothing, run_write_safetensors },
    { "tensor_writer, GGUF", with_nothing, run_write_gguf },
};

static struct run *fresh(const char *method)
{
    struct run *r = __libc_calloc(1, sizeof *r);
    if (r == NULL)
        exit(2);
    r->method = method;
    return r;
}

static void drop(struct run *r)
{
    gptz_free(r->handle);
    gptz_snapshot_free(r->snapshot);
    gptz_model_free(r->model);
    gptz_tensor_reader_free(r->reader);
    gptz_tensor_writer_free(r->writer);
    __libc_free(r);
}

/* Whether two runs have the same results. Handles are not compared. */
static int same(const struct run *a, const struct run *b)
{
    return a->out_len == b->out_len && memcmp(a->out, b->out, a->out_len) == 0 && a->number == b->number
        && memcmp(a->numbers, b->numbers, sizeof a->numbers) == 0;
}

/* The live state after a call that works on it, as predictions. */
static void show_state(const struct scenario *s, struct run *r)
{
    if (s->run == run_feed || s->run == run_feed_with_progress || s->run == run_restore || s->run == run_reset)
        must(run_predict(r), "gptz_predict");
}

static int verbose, status_of_program;
static long step = 1;

static void fault(const struct scenario *s, const char *method, long n, const char *what, gptz_status status)
{
    printf("%s (%s), allocation %ld%s: %s (%s: %s)\n", s->name, method, n, all_after ? " and all after" : "", what,
        gptz_status_name(status), gptz_last_error());
    status_of_program = 1;
}

static void sweep(const struct scenario *s, const char *method)
{
    struct run *want = fresh(method);
    long n, refused = 0, without = 0;

    s->prepare(want);
    must(s->run(want), s->name);
    show_state(s, want);
    for (n = 1;; n += n < 8 ? 1 : step) {
        struct run *r = fresh(method);
        gptz_status status;

        s->prepare(r);
        failed = 0;
        to_failure = n;
        status = s->run(r);
        to_failure = -1;
        if (!failed) {
            drop(r);
            break;
        }
        if (status == GPTZ_OK) {
            without++;
            show_state(s, r);
            if (!same(r, want))
                fault(s, method, n, "went well with another result", status);
        } else if (status == GPTZ_ERROR_MEMORY) {
            refused++;
            if (r->model == poison || r->handle == poison || r->snapshot == poison || r->reader == poison
                || r->writer == poison
                || (s->prepare == with_nothing
                    && (r->handle != NULL || r->model != NULL || r->reader != NULL || r->writer != NULL)))
                fault(s, method, n, "an out-parameter is not NULL", status);
            if (r->out_len != 0 || r->number != 0)
                fault(s, method, n, "an out-parameter is not 0", status);
            memset(r->out, 0, sizeof r->out);
            memset(r->numbers, 0, sizeof r->numbers);
            status = s->run(r);
            if (status == GPTZ_OK)
                show_state(s, r);
            if (status != GPTZ_OK || !same(r, want))
                fault(s, method, n, "the call does not go well afterwards", status);
        } else {
            fault(s, method, n, "another status than GPTZ_ERROR_MEMORY", status);
        }
        drop(r);
    }
    if (verbose)
        printf("%-22s %-50s %s: %ld refused, %ld done without\n", s->name, method, all_after ? "from n on" : "the n-th",
            refused, without);
    if (refused == 0 && s->run != run_reset && s->run != run_refused) {
        printf("%s (%s): no allocation failed: this test tests nothing\n", s->name, method);
        status_of_program = 1;
    }
    drop(want);
}

int main(int argc, char **argv)
{
    static const char *const methods[] = {
        "mix:mem=64K",
        "cfg:hidden=64,layers=2,intermediate=64,train=adam",
        "gru:embed=16,hidden=16,bptt=4,stride=2,replay=1,train=adam",
        "mix:mem=64K,neural=(builtin:1;head:)",
    };
    static char out[BUFSIZ];
    size_t i, m;
    int option;
    FILE *file;
    char errors[] = "allocations-XXXXXX";
    int saved = dup(2), captured = mkstemp(errors);

    unlink(errors);
    while ((option = getopt(argc, argv, "s:v")) != -1) {
        if (option == 's')
            step = atol(optarg);
        else
            verbose = 1;
    }
    if (optind + 1 != argc || step < 1 || saved < 0 || captured < 0)
        return 2;
    weights_path = argv[optind];
    file = fopen(weights_path, "rb");
    weights = __libc_malloc(1 << 24);
    if (file == NULL || weights == NULL)
        return 2;
    weights_len = fread(weights, 1, 1 << 24, file);
    fclose(file);
    for (i = 0; i < LEN; i++)
        text[i] = (unsigned char)("the cat sat on the mat and "[i % 27] + (i % 97 == 0));
    /* Line-buffered, so that an abort loses no output; with a static buffer, so that output allocates nothing. */
    setvbuf(stdout, out, _IOLBF, sizeof out);
    printf("failing allocations, every %ld\n", step);
    make_tensor_files();
    fflush(stdout);
    dup2(captured, 2);
    for (all_after = 0; all_after < 2; all_after++) {
        for (i = 0; i < sizeof of_models / sizeof *of_models; i++)
            sweep(&of_models[i], "a file");
        for (m = 0; m < sizeof methods / sizeof *methods; m++)
            for (i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
                sweep(&scenarios[i], methods[m]);
    }
    dup2(saved, 2);
    for (i = 0; i < 4; i++)
        unlink(tensor_paths[i]);
    if (lseek(captured, 0, SEEK_END) != 0) {
        printf("something was written to descriptor 2\n");
        status_of_program = 1;
    }
    if (status_of_program == 0)
        printf("every failed allocation was reported\n");
    return status_of_program;
}
