/*
 * Threads that end around and inside calls: a cancellation that is pending when a call starts, one that is requested by
 * a callback, and pthread_exit in a callback. No call may act on a cancellation. With glibc on x86-64 and AArch64 a
 * callback may end its thread: the call ends first, so its handle stays usable. Prints "ok", or the check that failed.
 *
 *     thread_end WEIGHTS.safetensors
 */
#define _POSIX_C_SOURCE 200112L
#include <gptz.h>

#include <pthread.h>
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

#if defined(__GLIBC__) && (defined(__x86_64__) || defined(__aarch64__))
enum { CALLBACKS_MAY_END_THREADS = 1 };
#else
enum { CALLBACKS_MAY_END_THREADS = 0 };
#endif

static const char method[] = "cfg:hidden=32,layers=1,intermediate=32,head_size=32,decay_rank=4,a_rank=4,v_rank=4,"
                             "g_rank=4,train=adam,lr=0.005";

/* The calls that run a progress callback. */
enum {
    COMPRESS, COMPRESS_PARTS, COMPRESSED_SIZE, DECOMPRESS, FEED, CROSS_ENTROPY, BYTE_COSTS, RECORDS_COMPRESS,
    RECORDS_DECOMPRESS, CALLS
};

/* The action of the callback at `done` >= 600. */
enum action { NOTHING, EXIT, CANCEL };

static const char *weights;
static unsigned char text[2000], frame[4000], record[4000];
static size_t frame_len, record_len;

struct job {
    gptz *z;
    enum action action;
    int call, cleaned, enable;
    gptz_status status;
};

static char exit_value;

static int progress(void *userdata, uint64_t done, uint64_t total)
{
    struct job *job = userdata;
    int old;
    (void)total;
    if (done < 600)
        return 0;
    if (job->action == EXIT)
        pthread_exit(&exit_value);
    if (job->action == CANCEL) {
        pthread_cancel(pthread_self());
        if (job->enable)
            pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
        pthread_testcancel();
    }
    return 0;
}

static gptz_status make_call(gptz *z, int call)
{
    unsigned char out[8000];
    static float costs[sizeof text];
    const void *raw = text, *packed = record;
    size_t len, size = sizeof text;
    double bits;
    switch (call) {
    case COMPRESS: return gptz_compress(z, text, sizeof text, out, sizeof out, &len);
    case DECOMPRESS: return gptz_decompress(z, frame, frame_len, out, sizeof out, &len);
    case COMPRESS_PARTS: return gptz_compress_parts(z, &raw, &size, 1, out, sizeof out, &len);
    case COMPRESSED_SIZE: return gptz_compressed_size(z, text, sizeof text, &len);
    case FEED: return gptz_feed(z, text, sizeof text);
    case CROSS_ENTROPY: return gptz_cross_entropy(z, text, sizeof text, &bits);
    case BYTE_COSTS: return gptz_byte_costs(z, text, sizeof text, costs);
    case RECORDS_COMPRESS: return gptz_records_compress(z, &raw, &size, 1, out, sizeof out, &len);
    default: return gptz_records_decompress(z, &packed, &record_len, 1, out, sizeof out, &len);
    }
}

static void note_cleanup(void *argument)
{
    ((struct job *)argument)->cleaned = 1;
}

static void *run_job(void *argument)
{
    struct job *job = argument;
    pthread_cleanup_push(note_cleanup, job);
    job->status = make_call(job->z, job->call);
    pthread_testcancel();
    pthread_cleanup_pop(0);
    return NULL;
}

static void *in_thread(void *(*f)(void *), void *argument)
{
    pthread_t thread;
    void *result = NULL;
    CHECK(pthread_create(&thread, NULL, f, argument) == 0);
    CHECK(pthread_join(thread, &result) == 0);
    return result;
}

/* A callback that ends its thread, in every call. Afterwards another thread uses the handle: its state has not changed. */
static void callbacks(enum action action, int enable)
{
    float before[256], after[256];
    struct job job;
    int call;
    for (call = 0; call < CALLS; call++) {
        void *result;
        memset(&job, 0, sizeof job);
        job.action = action;
        job.enable = enable;
        job.call = call;
        job.status = -1;
        CHECK(gptz_create(method, &job.z) == GPTZ_OK);
        CHECK(gptz_predict(job.z, before, 256) == GPTZ_OK);
        CHECK(gptz_set_progress(job.z, progress, &job) == GPTZ_OK);
        result = in_thread(run_job, &job);
        CHECK(job.cleaned);
        if (action == EXIT) {
            CHECK(result == &exit_value && job.status == -1);
        } else {
            /* Cancellation is disabled in a callback, unless the callback enables it. */
            CHECK(result == PTHREAD_CANCELED && job.status == (enable ? -1 : GPTZ_OK));
        }
        CHECK(gptz_set_progress(job.z, NULL, NULL) == GPTZ_OK);
        if (job.status == -1 || call != FEED) {
            CHECK(gptz_predict(job.z, after, 256) == GPTZ_OK && memcmp(before, after, sizeof before) == 0);
        }
        CHECK(make_call(job.z, call) == GPTZ_OK);
        gptz_free(job.z);
    }
}

/* Threads with a pending cancellation create a handle and open a model. */
static gptz *made;
static gptz_model *opened;
static gptz_status made_status, opened_status;
static int state_after;

static void *create_cancelled(void *argument)
{
    int old;
    (void)argument;
    pthread_cancel(pthread_self());
    /* Opening and reading a file are cancellation points. */
    opened_status = gptz_model_open(weights, &opened);
    made_status = gptz_create("level:5", &made);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
    state_after = old;
    pthread_testcancel();
    return NULL;
}

/* If the caller has disabled cancellation, it stays disabled after a call. */
static void *create_disabled(void *argument)
{
    gptz *z = NULL;
    int old;
    (void)argument;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    pthread_cancel(pthread_self());
    CHECK(gptz_create(method, &z) == GPTZ_OK);
    gptz_free(z);
    pthread_testcancel();
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    CHECK(old == PTHREAD_CANCEL_DISABLE);
    return &exit_value;
}

int main(int argc, char **argv)
{
    const void *raw = text;
    size_t size = sizeof text, i;
    gptz *z = NULL;
    CHECK(argc == 2);
    weights = argv[1];
    for (i = 0; i < sizeof text; i++)
        text[i] = (unsigned char)"the quick brown fox "[(i + i / 700) % 20];
    CHECK(gptz_create(method, &z) == GPTZ_OK);
    CHECK(gptz_compress(z, text, sizeof text, frame, sizeof frame, &frame_len) == GPTZ_OK);
    CHECK(gptz_records_compress(z, &raw, &size, 1, record, sizeof record, &record_len) == GPTZ_OK);
    gptz_free(z);

    CHECK(in_thread(create_cancelled, NULL) == PTHREAD_CANCELED);
    CHECK(opened_status == GPTZ_OK && made_status == GPTZ_OK && state_after == PTHREAD_CANCEL_ENABLE);
    gptz_free(made);
    gptz_model_free(opened);
    CHECK(in_thread(create_disabled, NULL) == &exit_value);

    callbacks(CANCEL, 0);
    if (CALLBACKS_MAY_END_THREADS) {
        callbacks(CANCEL, 1);
        callbacks(EXIT, 0);
    }
    puts("ok");
    return 0;
}
