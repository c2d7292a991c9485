/*
 * small_messages.c: compress small messages with a base that has learned from samples.
 *
 *     small_messages
 *
 * Generates log records of about 100 bytes. Feeds some of them as samples to a writer and a reader. Compresses each of
 * the other records on its own, without and with the base, as a version 2 frame, as a version 3 frame and as a record
 * without a frame. Prints the mean sizes. Fails if a message differs after decompression, if a reader with another base
 * accepts a frame, or if the base does not help.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#include <gptz.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 28, MESSAGES = 14, RECORDS = SAMPLES + MESSAGES, ROOM = 200 };

static char records[RECORDS][ROOM];

static void die(const char *what)
{
    fprintf(stderr, "small_messages: %s\n", what);
    exit(1);
}

static void check(gptz_status status, const char *what)
{
    if (status != GPTZ_OK) {
        fprintf(stderr, "small_messages: %s: %s: %s\n", what, gptz_status_name(status), gptz_last_error());
        exit(1);
    }
}

/* A pseudo-random number below `n`. The sequence is the same on every machine. */
static unsigned draw(unsigned n)
{
    static uint32_t state = 2463534242u;
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % n;
}

static void make_records(void)
{
    static const char *const methods[] = {"GET", "GET", "GET", "POST", "PUT"};
    static const char *const paths[] = {"/v1/items", "/v1/users", "/v1/orders", "/health"};
    static const int statuses[] = {200, 200, 200, 201, 404, 500};
    unsigned second = 0;
    int i;
    for (i = 0; i < RECORDS; i++) {
        second += 1 + draw(20);
        snprintf(records[i], ROOM,
                 "{\"time\":\"2024-05-17T08:%02u:%02uZ\",\"host\":\"web-%u\",\"method\":\"%s\",\"path\":\"%s/%u\","
                 "\"status\":%d,\"ms\":%u}\n",
                 second / 60 % 60, second % 60, 1 + draw(3), methods[draw(5)], paths[draw(4)], draw(10000),
                 statuses[draw(6)], 1 + draw(90));
    }
}

/* Feeds the first `samples` records to a handle and makes the state after them its base. */
static void prime(gptz *handle, int samples)
{
    gptz_snapshot *snapshot = NULL;
    int i;
    for (i = 0; i < samples; i++)
        check(gptz_feed(handle, records[i], strlen(records[i])), "feeding a sample");
    check(gptz_snapshot_take(handle, &snapshot), "taking a snapshot");
    check(gptz_set_base(handle, snapshot), "setting the base");
    gptz_snapshot_free(snapshot);
}

static gptz *make(int samples)
{
    gptz *handle = NULL;
    /* The default method: a version 3 frame names it in one byte. A method that is not a level takes some 130 bytes. */
    check(gptz_create(NULL, &handle), "creating a handle");
    if (samples > 0)
        prime(handle, samples);
    return handle;
}

/* Returns the mean size of the messages' frames. `reader` must decompress each frame. `stranger`, which has another base,
   must return `refusal`. */
static double mean_size(gptz *writer, gptz *reader, gptz *stranger, int format, gptz_status refusal)
{
    /* Other programs should use gptz_compress_bound. This one fails if a frame is longer than 2 * ROOM. */
    unsigned char frame[2 * ROOM];
    char back[ROOM];
    size_t frame_len, len, total = 0;
    int i;
    check(gptz_set(writer, GPTZ_PARAM_FORMAT, format), "setting the format");
    for (i = SAMPLES; i < RECORDS; i++) {
        gptz_status status;
        check(gptz_compress(writer, records[i], strlen(records[i]), frame, sizeof frame, &frame_len), "compressing");
        check(gptz_decompress(reader, frame, frame_len, back, sizeof back, &len), "decompressing");
        if (len != strlen(records[i]) || memcmp(back, records[i], len) != 0)
            die("a record differs after decompression");
        total += frame_len;

        status = gptz_decompress(stranger, frame, frame_len, back, sizeof back, &len);
        if (status != refusal) {
            fprintf(stderr, "small_messages: a reader with another base returned %s\n", gptz_status_name(status));
            exit(1);
        }
        if (i == SAMPLES && refusal != GPTZ_OK)
            fprintf(stderr, "version %d, another base: %s\n", format, gptz_last_error());
    }
    return (double)total / MESSAGES;
}

/* Returns the mean size of the messages as records. One call compresses all of them. Each is then decompressed by a call
   of its own, the last one first. */
static double mean_record(gptz *writer, gptz *reader)
{
    const void *src[MESSAGES];
    unsigned char all[MESSAGES * ROOM];
    size_t src_len[MESSAGES], len[MESSAGES], total = 0, at, back_len;
    char back[ROOM];
    int i;
    for (i = 0; i < MESSAGES; i++) {
        src[i] = records[SAMPLES + i];
        src_len[i] = strlen(records[SAMPLES + i]);
    }
    check(gptz_records_compress(writer, src, src_len, MESSAGES, all, sizeof all, len), "compressing records");
    for (i = 0; i < MESSAGES; i++)
        total += len[i];
    at = total;
    for (i = MESSAGES - 1; i >= 0; i--) {
        const void *one = all + (at -= len[i]);
        check(gptz_records_decompress(reader, &one, &len[i], 1, back, sizeof back, &back_len), "decompressing a record");
        if (back_len != src_len[i] || memcmp(back, src[i], back_len) != 0)
            die("a record differs after decompression");
    }
    return (double)total / MESSAGES;
}

int main(void)
{
    gptz *bare, *writer, *reader, *other;
    double raw = 0, without, with;
    int i, format;

    make_records();
    for (i = SAMPLES; i < RECORDS; i++)
        raw += (double)strlen(records[i]) / MESSAGES;

    bare = make(0);
    writer = make(SAMPLES);
    reader = make(SAMPLES); /* The same samples as the writer's give the same base, also on another machine. */
    other = make(SAMPLES - 1);

    printf("%d samples, %d messages; mean size in bytes\n", SAMPLES, MESSAGES);
    printf("%-10s %8s %14s %12s\n", "frames", "raw", "without base", "with base");
    for (format = 2; format <= 3; format++) {
        /* A version 3 frame names its base. If it needs none and its method is registered, every handle decodes it. A
           version 2 frame names nothing: another base decodes it to other bytes, and the CRC-32 shows that. */
        without = mean_size(bare, bare, writer, format, format == 3 ? GPTZ_OK : GPTZ_ERROR_CORRUPT);
        with = mean_size(writer, reader, other, format, format == 3 ? GPTZ_ERROR_MISMATCH : GPTZ_ERROR_CORRUPT);
        printf("version %d  %8.1f %14.1f %12.1f\n", format, raw, without, with);
        if (with >= without || with >= raw)
            die("the base does not help");
    }
    without = mean_record(bare, bare);
    with = mean_record(writer, reader);
    printf("records    %8.1f %14.1f %12.1f\n", raw, without, with);
    if (with >= without)
        die("the base does not help");

    gptz_free(bare);
    gptz_free(writer);
    gptz_free(reader);
    gptz_free(other);
    return 0;
}
