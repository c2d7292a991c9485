/*
 * gptz: neural lossless compression.
 *
 *     gptz *z;
 *     if (gptz_create(NULL, &z) != GPTZ_OK) { fprintf(stderr, "%s\n", gptz_last_error()); exit(1); }
 *     size_t cap = gptz_compress_bound(len), n;
 *     void *frame = malloc(cap);
 *     if (gptz_compress(z, data, len, frame, cap, &n) != GPTZ_OK) { ... }
 *     gptz_free(z);
 *
 * A predictor gives a probability to every next byte, an entropy coder writes only the surprise. What is written on one
 * machine is read on every other, bit for bit.
 *
 * Conventions, which later versions keep:
 * - Every call that can fail returns a gptz_status; gptz_last_error() tells more. Failing calls change nothing but their
 *   out-parameters, which come last and are then NULL or 0 (gptz_compress and gptz_decompress say what they add to that).
 * - What a call hands out is freed by the call named beside it; strings are never freed. NULL may always be freed.
 * - NULL, freed and mistaken handles are answered with GPTZ_ERROR_ARGUMENT as far as memory tells (a freed one may
 *   not be recognised). Buffers must be as long as is said, and must not overlap.
 * - Sizes in memory are size_t, sizes in files uint64_t. Options and levels are ints, so that new ones change no ABI.
 * - The library prints nothing, starts no threads, installs no signal handlers, and may be used after fork.
 * - On x86 and AArch64 it works in its own floating-point environment and gives the caller's back. On other architectures
 *   the caller's rounding must be to nearest, without flushing to zero, or frames come out that no one else can read.
 * - A NULL pointer is allowed for a buffer of length 0.
 *
 * This file is made from the library's sources; do not edit it.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#ifndef GPTZ_H
#define GPTZ_H

#include <stddef.h>
#include <stdint.h>

/** The version of this header. */
#define GPTZ_VERSION_MAJOR 0
#define GPTZ_VERSION_MINOR 1
#define GPTZ_VERSION_PATCH 0
#define GPTZ_VERSION_STRING "0.1.0"
/** Compare with gptz_version_number(), which tells of the library that is running. */
#define GPTZ_VERSION_NUMBER (GPTZ_VERSION_MAJOR * 10000 + GPTZ_VERSION_MINOR * 100 + GPTZ_VERSION_PATCH)


/**
 * Level: the best that the CPU has.
 */
#define GPTZ_CPU_AUTO 0

/**
 * Level: what every CPU of the architecture has.
 */
#define GPTZ_CPU_PORTABLE 1

/**
 * Level, x86-64: AVX2.
 */
#define GPTZ_CPU_AVX2 2

/**
 * Level, x86-64: AVX-512 (F, BW, DQ, VL) with VNNI.
 */
#define GPTZ_CPU_AVX512 3

/**
 * Level, AArch64: NEON, with the dot product instructions where the CPU has them.
 */
#define GPTZ_CPU_NEON 4

/**
 * Option: how symbols are coded, GPTZ_CODER_AC (default) or GPTZ_CODER_RANS.
 */
#define GPTZ_PARAM_CODER 1

/**
 * Option: version of the frames written, 3 (default, self-describing, damage is located) or 2 (smaller by 12 bytes and
 * more, names no method, stores nothing: content that the method predicts worse than chance grows; with the range coder
 * it has no end of its own, so that nothing can follow it). Both are always read.
 */
#define GPTZ_PARAM_FORMAT 2

/**
 * Option: 1 (default) puts CRC-32s of blocks and content into version 3 frames, 0 leaves them out.
 */
#define GPTZ_PARAM_CHECKSUM 3

/**
 * Option: the most threads that a call may use, 0 for as many as there are cores. It never changes a result. This
 * version uses one, whatever is set.
 */
#define GPTZ_PARAM_THREADS 4

/**
 * Option: lanes that share a pass over the weights. This version allows 1.
 */
#define GPTZ_PARAM_LANES 5

/**
 * Option: binary logarithm of the block size, 12 to 24, 17 (128 KiB) by default. Damage is told by the block.
 */
#define GPTZ_PARAM_BLOCK_LOG 6

/**
 * Option: binary logarithm of the segment size. This version allows 0, one segment.
 */
#define GPTZ_PARAM_SEGMENT_LOG 7

/**
 * Option: how many bytes the network and all states of a handle may take, 1 GiB by default. Calls that would need
 * more answer GPTZ_ERROR_MEMORY. Weights that the caller opened are not counted. gptz_create itself builds no network of
 * more than 1 GiB, so there is use in lowering it only.
 */
#define GPTZ_PARAM_MEMORY_LIMIT 8

/**
 * Option: the length in bytes of the check of each record (gptz_records_compress): 0 (default), 1, 2 or 4. It must be the
 * same on both sides. A check covers the content and the method, weights and base, so that damage and a wrong base are
 * detected, but for one in 256, 65536 or 4294967296 of them. Without checks a wrong base may give wrong content without an
 * error.
 */
#define GPTZ_PARAM_RECORD_CHECK 10

/**
 * Option: the most multiplications that the method of frames and records may take for one byte, training included.
 * gptz_decompress and gptz_records_decompress answer GPTZ_ERROR_METHOD if the handle's method takes more. The default is
 * 2^27 (134217728, some ten milliseconds), or what the handle's method takes if that is more. gptz_create_for_frame
 * always uses 2^27.
 */
#define GPTZ_PARAM_WORK_LIMIT 11

/**
 * Range coder: the smallest.
 */
#define GPTZ_CODER_AC 0

/**
 * rANS: some 6 bytes more a block.
 */
#define GPTZ_CODER_RANS 1

/**
 * A compressor, which is also a decompressor: a method, its base, its live state and its options.
 *
 * Calls that compress, decompress or measure start from the base and leave it as it is: the same input gives the same
 * output, however often and in whatever order. gptz_feed, gptz_predict, gptz_reset and the snapshot calls act on the
 * live state, which starts as the base.
 *
 * A handle may move between threads and serves one call at a time: a second one meanwhile, from another thread or from
 * the progress callback, gets GPTZ_ERROR_BUSY. Threads that work at the same time use a handle each; a model or a
 * snapshot may be shared by all of them.
 */
typedef struct gptz gptz;

/**
 * Weights: immutable, checked when they are opened, shared by as many handles and threads as there are. What a handle
 * needs of them it keeps alive by itself: models and handles are freed in any order.
 */
typedef struct gptz_model gptz_model;

/**
 * A copy of a live state: immutable, may be shared by threads, stands on its own. It fits handles of the same method
 * and weights; others answer GPTZ_ERROR_MISMATCH.
 */
typedef struct gptz_snapshot gptz_snapshot;

/**
 * What a call answers: GPTZ_OK, or one of the errors below. The numbers are never changed and never used again for
 * another meaning; later versions may add some, so treat an unknown number as an error.
 */
typedef int gptz_status;

/**
 * Told how far a call is: `done` of `total` bytes of content. Anything but 0 asks the call to stop: it then answers
 * GPTZ_ERROR_CANCELLED and the handle is as it was before.
 *
 * It is called on the thread of the call: at its start, at least every 256 bytes, at least about every 2^26
 * multiplications of the method (some ten milliseconds) or every byte if a byte takes more, and at its end. It may do anything
 * but use the same handle (GPTZ_ERROR_BUSY), throw a C++ exception through the library, or leave by longjmp. It runs in
 * C's default floating-point environment; changes to that end with it.
 */
typedef int (*gptz_progress_fn)(void *userdata, uint64_t done, uint64_t total);

/**
 * The call did what it says.
 */
#define GPTZ_OK 0

/**
 * An argument is not allowed: NULL, freed, of another type, out of range, overlapping, an unknown parameter.
 */
#define GPTZ_ERROR_ARGUMENT 1

/**
 * A method string is malformed, or the frame names no method.
 */
#define GPTZ_ERROR_METHOD 2

/**
 * Weights are malformed or do not fit the model, or are needed and were not given.
 */
#define GPTZ_ERROR_MODEL 3

/**
 * The operating system could not read or write a file.
 */
#define GPTZ_ERROR_IO 4

/**
 * Memory could not be had, or would pass the limit.
 */
#define GPTZ_ERROR_MEMORY 5

/**
 * The destination is too small.
 */
#define GPTZ_ERROR_BUFFER_TOO_SMALL 6

/**
 * The input is no gptz frame, or of a version, coder or flag that this library does not know.
 */
#define GPTZ_ERROR_FORMAT 7

/**
 * The input ends before its frame does.
 */
#define GPTZ_ERROR_TRUNCATED 8

/**
 * The input is damaged.
 */
#define GPTZ_ERROR_CORRUPT 9

/**
 * The input was made with another method, other weights or another base.
 */
#define GPTZ_ERROR_MISMATCH 10

/**
 * The input was made with a version of the arithmetic that this library does not have.
 */
#define GPTZ_ERROR_NUMERICS 11

/**
 * The progress callback asked to stop.
 */
#define GPTZ_ERROR_CANCELLED 12

/**
 * The handle is in a call already.
 */
#define GPTZ_ERROR_BUSY 13

/**
 * The call is not possible now.
 */
#define GPTZ_ERROR_STATE 14

/**
 * The size is not stated in the input.
 */
#define GPTZ_ERROR_SIZE_UNKNOWN 15

/**
 * A defect of the library; the handle answers nothing else any more and is to be freed. Please report it.
 */
#define GPTZ_ERROR_INTERNAL 16

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The name of a status as it is spelled in this header, such as "GPTZ_ERROR_CORRUPT"; "unknown status" for any other
 * number. The string is static. Never fails; any thread.
 */
const char *gptz_status_name(gptz_status status);

/**
 * What the last call of this thread that failed had to say: what was found, where, and what was expected. Always a
 * string, empty when no call has failed yet, in UTF-8, at most 511 bytes.
 *
 * It belongs to the library and stands until this thread's next call that fails; calls that succeed leave it alone, so
 * ask only after a failure. Its wording is for people and may change; programs go by the status.
 */
const char *gptz_last_error(void);

/**
 * The version of the library that is running: major * 10000 + minor * 100 + patch. Compare with GPTZ_VERSION_NUMBER, the
 * version of the header that was compiled against.
 */
uint32_t gptz_version_number(void);

/**
 * The same as a static string, such as "0.1.0".
 */
const char *gptz_version_string(void);

/**
 * Caps the instructions that later calls of the whole process may use, at one of GPTZ_CPU_...; GPTZ_CPU_AUTO takes the
 * cap back. For tests and bug reports: every level gives the same bits, they differ in speed alone. The environment
 * variable GPTZ_CPU=portable|avx2|avx512|neon caps as well, from the first call on; the lower cap
 * holds. Other values of the variable count for nothing: gptz_cpu_level tells.
 *
 * A level that the CPU lacks caps nothing. One that its architecture does not have answers GPTZ_ERROR_ARGUMENT.
 */
gptz_status gptz_set_cpu_level(int level);

/**
 * The level that a call would use now: a static string, "portable", "avx2" or "avx512".
 */
const char *gptz_cpu_level(void);

/**
 * Makes a handle.
 *
 * `method` names the predictor: a string such as "level:1" (fast) to "level:9" (small), "mix:mem=64M" (a mix of contexts,
 * repeats and words), "mix:neural=(builtin:1)" (with the network that the library carries among them),
 * "mix:neural=(gru:hidden=64)" (with one that learns from nothing else than the text),
 * "cfg:hidden=64,layers=1,train=adam,lr=0.002" (a network of that shape whose head learns), "file:model.safetensors"
 * (weights, frozen), or NULL for the default method, "level:5", a mix with the network that the library carries; where it
 * was built without, "level:3". README.md describes the strings. Both sides of a frame need the same method.
 *
 * On success `*out` is the handle, to be freed with gptz_free. On failure it is NULL and the status is
 * GPTZ_ERROR_METHOD (also for a built-in model that the library was built without, and for a network that would take more
 * than 2^28 multiplications for each byte that it learns from),
 * GPTZ_ERROR_IO or GPTZ_ERROR_MODEL (a weights file), GPTZ_ERROR_MEMORY (also for a network of more than 1 GiB) or
 * GPTZ_ERROR_ARGUMENT. A path with a semicolon, or one that is not UTF-8, is for gptz_model_open.
 */
gptz_status gptz_create(const char *method,
                        gptz **out);

/**
 * Makes a handle for the method that the first frame of `src` names; only the frame's header needs to be there.
 *
 * For frames that need nothing else: one that needs a weights file answers GPTZ_ERROR_MODEL, one that needs a base
 * GPTZ_ERROR_MISMATCH, a version 2 frame GPTZ_ERROR_METHOD, as do a method with a built-in model in a library that was
 * built without and a network of too much work. No path that an input names is ever opened. A method that
 * takes more than 256 MiB answers GPTZ_ERROR_MEMORY, one that takes more than 2^27 multiplications for a byte (some ten
 * milliseconds, GPTZ_PARAM_WORK_LIMIT's default) GPTZ_ERROR_METHOD: make such a handle with gptz_create. Within that, the
 * maker of the frame chooses how long a byte takes to decode: look at gptz_method, or set a progress callback.
 * Also: GPTZ_ERROR_FORMAT, GPTZ_ERROR_TRUNCATED, GPTZ_ERROR_CORRUPT, GPTZ_ERROR_NUMERICS. `*out` is then NULL.
 */
gptz_status gptz_create_for_frame(const void *src,
                                  size_t src_len,
                                  gptz **out);

/**
 * Makes a handle with weights that are open already. The model may be freed before the handle or after it.
 *
 * `policy` is what may follow a base in a method string, such as "weights=f32", or NULL; or a whole mix, in which the
 * model is "(file:)": "mix:neural=(file:;head:lr=0.01),mem=16M". Handles of one model share
 * its weights. Frames of such a handle are decoded by every handle with the same weights and policy, whether they came
 * by gptz_create, from memory or from a file. On failure `*out` is NULL: GPTZ_ERROR_METHOD, GPTZ_ERROR_MEMORY,
 * GPTZ_ERROR_ARGUMENT.
 */
gptz_status gptz_create_from_model(const gptz_model *model, const char *policy, gptz **out);

/**
 * Frees a handle. NULL is allowed. A handle that is in a call (from its own progress callback, say) is left alone, as
 * is what is no handle; gptz_last_error then tells.
 */
void gptz_free(gptz *handle);

/**
 * The method's canonical string: every key that matters, in a fixed order. Handles of equal strings (and equal weights,
 * for "file:", whose path is left out) read each other's frames.
 *
 * It belongs to the handle and stands until that is freed. NULL for what is no handle. Allowed while the handle is in a
 * call.
 */
const char *gptz_method(const gptz *handle);

/**
 * Sets an option, one of GPTZ_PARAM_..., for all later calls. GPTZ_ERROR_ARGUMENT, and nothing changed, for an option
 * that does not exist or a value that is not allowed.
 */
gptz_status gptz_set(gptz *handle, int param, int64_t value);

/**
 * Tells what an option is. On failure `*value` is 0.
 */
gptz_status gptz_get(const gptz *handle, int param, int64_t *value);

/**
 * Sets the callback that later calls on this handle report to, with a pointer of the caller's that is handed to it
 * unchanged; NULL for none. See gptz_progress_fn.
 */
gptz_status gptz_set_progress(gptz *handle, gptz_progress_fn callback, void *userdata);

/**
 * How large a destination makes sure that gptz_compress does not fail for want of room, for `src_len` bytes, whatever
 * the method and options; 0 if that is more than a size_t counts.
 *
 * For version 2 frames (GPTZ_PARAM_FORMAT), which cannot store what does not compress, it is no promise: if a method
 * predicts some content worse than chance by more than an eighth, gptz_compress answers GPTZ_ERROR_BUFFER_TOO_SMALL.
 */
size_t gptz_compress_bound(size_t src_len);

/**
 * Compresses `src_len` bytes of `src` into one frame at the start of `dst`, which has room for `dst_cap` bytes;
 * `*dst_len` is the frame's length. The frame depends on the handle's method, base and options and on the content
 * alone: not on the machine, not on earlier calls.
 *
 * GPTZ_ERROR_BUFFER_TOO_SMALL if there is not enough room: `*dst_len` is then the room that is needed, found at the cost
 * of a whole call (gptz_compress_bound tells a size that is always enough). GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY,
 * GPTZ_ERROR_ARGUMENT if the buffers overlap or are NULL (allowed for a length of 0). On failure `*dst_len` is 0 but
 * where said otherwise, and what `dst` holds is not specified.
 */
gptz_status gptz_compress(gptz *handle,
                          const void *src,
                          size_t src_len,
                          void *dst,
                          size_t dst_cap,
                          size_t *dst_len);

/**
 * How many bytes the frames of `src` hold together. All of `src` must be there: the structure of every frame is checked
 * from end to end, nothing is decoded, no memory is taken for what it promises. No input at all is
 * GPTZ_ERROR_TRUNCATED.
 *
 * The size is what the input promises. It comes from whoever made the input: hold it against what you are ready to take
 * before you allocate it. On failure `*size` is 0: GPTZ_ERROR_FORMAT, GPTZ_ERROR_TRUNCATED, GPTZ_ERROR_CORRUPT,
 * GPTZ_ERROR_ARGUMENT.
 */
gptz_status gptz_decompressed_size(const void *src, size_t src_len, uint64_t *size);

/**
 * Decompresses all frames of `src`, one after the other, to the start of `dst`, which has room for `dst_cap` bytes;
 * `*dst_len` is the length of all content. `src` must end where a frame does; no input at all is GPTZ_ERROR_TRUNCATED.
 * Nothing can follow a version 2 frame with the range coder, which takes all that is there.
 *
 * Before anything is decoded the frames' structure is checked, then that they are of this handle's method, weights and
 * base (GPTZ_ERROR_MISMATCH, naming both; gptz_create_for_frame makes a handle that fits), then the room
 * (GPTZ_ERROR_BUFFER_TOO_SMALL: `*dst_len` is what is needed, 0 if that is more than a size_t counts). A version 2 frame
 * names no method: the wrong one shows as GPTZ_ERROR_CORRUPT.
 *
 * GPTZ_ERROR_FORMAT, GPTZ_ERROR_TRUNCATED, GPTZ_ERROR_CORRUPT (naming frame and block), GPTZ_ERROR_NUMERICS,
 * GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY, GPTZ_ERROR_ARGUMENT. On failure `*dst_len` is 0 but where said otherwise, and
 * what `dst` holds is not specified. Any input is safe; hostile input costs at most the time of decoding as many bytes as
 * `dst` has room for, and of going back to the base for each frame that holds any.
 */
gptz_status gptz_decompress(gptz *handle,
                            const void *src,
                            size_t src_len,
                            void *dst,
                            size_t dst_cap,
                            size_t *dst_len);

/**
 * Compresses `count` records, each on its own from the handle's base: record i is the `src_len[i]` bytes at `src[i]`. The
 * compressed records lie end to end in `dst`, which has room for `dst_cap` bytes, and `dst_len[i]` is how many bytes record
 * i took. What one record teaches is gone before the next one starts: a record's bytes depend on the method, the base and
 * its content alone, so that records may be kept, sent and decompressed one by one, in any order and any grouping.
 *
 * Records are for messages, rows and log lines, with a base that has seen the like: gptz_feed samples, gptz_snapshot_take,
 * gptz_set_base. A record has no frame: it names neither method nor base. The decompressing side must have
 * the same of both. By default a record has no checksum either: damage and a wrong base are detected mostly, not always.
 * GPTZ_PARAM_RECORD_CHECK adds a check of 1, 2 or 4 bytes. Records always use the range coder; GPTZ_PARAM_CODER, FORMAT and CHECKSUM have no part in them.
 *
 * GPTZ_ERROR_BUFFER_TOO_SMALL if there is not enough room: `dst_len[i]` are then the lengths that are needed, found at the
 * cost of a whole call; a record takes at most 5 bytes, and its check, more than its content. GPTZ_ERROR_CANCELLED (progress counts the
 * bytes of all records), GPTZ_ERROR_MEMORY, GPTZ_ERROR_ARGUMENT if a record has 4 GiB or more, if `dst` or `dst_len` overlap
 * anything else (one array for both lengths will not do), or if a pointer is NULL (allowed for lengths and counts of 0).
 * On failure all `dst_len` are 0 but where said otherwise or where they overlap, and what `dst` holds is not specified.
 * Beside what the method takes, a call takes memory for a list of the records and for one compressed record.
 */
gptz_status gptz_records_compress(gptz *handle,
                                  const void *const *src,
                                  const size_t *src_len,
                                  size_t count,
                                  void *dst,
                                  size_t dst_cap,
                                  size_t *dst_len);

/**
 * Decompresses `count` records that gptz_records_compress made with this method and base: record i is the `src_len[i]`
 * bytes at `src[i]`, exactly. Their contents lie end to end in `dst`, which has room for `dst_cap` bytes, and `dst_len[i]`
 * is the length of content i.
 *
 * All lengths are read before anything is decoded. GPTZ_ERROR_BUFFER_TOO_SMALL if there is not enough room: `dst_len[i]` are
 * then the lengths that the records promise; hold them against what you are ready to take. GPTZ_ERROR_TRUNCATED,
 * GPTZ_ERROR_CORRUPT (naming the record by its index; also for another method or base, which without
 * GPTZ_PARAM_RECORD_CHECK may also give wrong content without an error), GPTZ_ERROR_METHOD (GPTZ_PARAM_WORK_LIMIT), GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY, GPTZ_ERROR_ARGUMENT as above. On failure
 * all `dst_len` are 0 but where said otherwise, and what `dst` holds is not specified. Any input is safe.
 */
gptz_status gptz_records_decompress(gptz *handle,
                                    const void *const *src,
                                    const size_t *src_len,
                                    size_t count,
                                    void *dst,
                                    size_t dst_cap,
                                    size_t *dst_len);

/**
 * The distribution of the next byte in the live state: `probs[b]` is the probability of byte b, as the coder would use
 * it. Every one is above 0; they add up to 1 but for rounding. `n` must be 256.
 *
 * The live state stays as it is. GPTZ_ERROR_ARGUMENT, GPTZ_ERROR_MEMORY; `probs` is then all 0 (if `n` is 256).
 */
gptz_status gptz_predict(gptz *handle, float *probs, size_t n);

/**
 * Shows the live state `len` bytes: later predictions follow from them, and a method that learns learns from them.
 * gptz_feed of a, then of b, is the same as gptz_feed of both at once.
 *
 * On failure, and when the progress callback asks to stop, the live state is as it was: GPTZ_ERROR_CANCELLED,
 * GPTZ_ERROR_MEMORY, GPTZ_ERROR_ARGUMENT.
 */
gptz_status gptz_feed(gptz *handle, const void *data, size_t len);

/**
 * Puts the live state back to the base: as created, or the snapshot that gptz_set_base was given last.
 */
gptz_status gptz_reset(gptz *handle);

/**
 * What the data would cost from the base, in bits a byte: the mean of -log2 of the probability of each byte, which is
 * what gptz_compress spends on it but for headers and rounding. 0 for no data.
 *
 * Where gptz_compress stores noise and skips it, this goes on learning from it; where gptz_compress finds that networks do
 * not help in a block and leaves them out, this has them go on: there the two differ.
 *
 * The live state stays as it is. On failure `*bits_per_byte` is 0: GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY,
 * GPTZ_ERROR_ARGUMENT.
 */
gptz_status gptz_cross_entropy(gptz *handle,
                               const void *data,
                               size_t len,
                               double *bits_per_byte);

/**
 * What each byte of the data costs from the base, in bits: -log2 of its probability after the bytes before it. `bits` has
 * room for `len` floats, aligned as floats are, and shares no byte with the data. Their sum is what gptz_cross_entropy
 * tells, times `len`, but for rounding: what is surprising in a file, and what a format wastes, byte by byte.
 *
 * The live state stays as it is. On failure what `bits` holds is not specified: GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY,
 * GPTZ_ERROR_ARGUMENT.
 */
gptz_status gptz_byte_costs(gptz *handle,
                            const void *data,
                            size_t len,
                            float *bits);

/**
 * Opens a weights file: RWKV-7 over bytes (a vocabulary of 256) in the safetensors format, under the tensor names of
 * flash-linear-attention; F32, F16, BF16, or I8 matrices with an F32 tensor NAME.scale that has a factor for each row.
 * The file is read whole and may change or go afterwards.
 *
 * On success `*out` is the model, to be freed with gptz_model_free. On failure it is NULL: GPTZ_ERROR_IO,
 * GPTZ_ERROR_MODEL (the message names the tensor, what was found and what is needed), GPTZ_ERROR_MEMORY,
 * GPTZ_ERROR_ARGUMENT.
 */
gptz_status gptz_model_open(const char *path, gptz_model **out);

/**
 * As gptz_model_open, from the `len` bytes of a file that is in memory. They are copied.
 */
gptz_status gptz_model_from_memory(const void *data, size_t len, gptz_model **out);

/**
 * The newest of the models that the library carries, which the default method predicts with: to look at its fingerprint, or
 * to make handles of it with gptz_create_from_model. Frames of such a handle name the weights by their fingerprint, as
 * those of any model; a method that says "builtin:" names them itself, and its frames need nothing else.
 *
 * To be freed with gptz_model_free; whoever asks while another has it shares its memory. NULL, and gptz_last_error
 * tells, where memory is short, or where the library was built without models. Any thread.
 */
gptz_model *gptz_model_builtin(void);

/**
 * What identifies the weights: 32 bytes, a SHA-256 over all tensors' names and values (not over the file: dtype and
 * layout do not count where the values are equal). Equal fingerprints, equal predictions. Frames carry the first 8
 * bytes. `out` has room for 32 bytes; on failure it, unless NULL, is all 0.
 */
gptz_status gptz_model_fingerprint(const gptz_model *model, uint8_t *out);

/**
 * Frees a model. NULL is allowed; what is no model is left alone.
 */
void gptz_model_free(gptz_model *model);

/**
 * Copies the live state. On success `*out` is the snapshot, to be freed with gptz_snapshot_free; on failure it is NULL:
 * GPTZ_ERROR_MEMORY, GPTZ_ERROR_ARGUMENT.
 */
gptz_status gptz_snapshot_take(const gptz *handle, gptz_snapshot **out);

/**
 * Makes the live state what it was when the snapshot was taken. The base stays as it is. On failure nothing changes:
 * GPTZ_ERROR_MISMATCH, GPTZ_ERROR_MEMORY, GPTZ_ERROR_ARGUMENT.
 */
gptz_status gptz_snapshot_restore(gptz *handle, const gptz_snapshot *snapshot);

/**
 * Makes a snapshot the base: where every later gptz_compress, gptz_decompress and gptz_cross_entropy starts, and what
 * gptz_reset goes back to. NULL: as created. The live state stays as it is. The snapshot may be freed afterwards.
 *
 * What was learned so is carried into small messages: feed samples, take a snapshot, make it the base on both sides. A
 * frame names its base by 8 bytes; a handle with another one answers GPTZ_ERROR_MISMATCH.
 */
gptz_status gptz_set_base(gptz *handle, const gptz_snapshot *snapshot);

/**
 * Frees a snapshot, also one that is a handle's base. NULL is allowed; what is no snapshot is left alone.
 */
void gptz_snapshot_free(gptz_snapshot *snapshot);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* GPTZ_H */
