/*
 * gptz: neural lossless compression.
 *
 * A model predicts the next byte as a probability distribution, and an entropy coder turns each byte into about
 * -log2(probability) bits. The same input gives the same compressed bytes on every machine, and every machine
 * decompresses them.
 *
 *     gptz *z;
 *     size_t cap = gptz_compress_bound(len), n;
 *     void *frame = malloc(cap);
 *     if (gptz_create(NULL, &z) != GPTZ_OK) { fprintf(stderr, "%s\n", gptz_last_error()); exit(1); }
 *     if (gptz_compress(z, data, len, frame, cap, &n) != GPTZ_OK) { ... }
 *     gptz_free(z);
 *
 * Conventions. They hold for every call and in all later versions. The comment at a call states its exceptions.
 *
 * - Results. A call that can fail returns a gptz_status. The few calls that return a pointer return NULL on failure.
 *   gptz_last_error() then describes the failure.
 * - Failure. A call that fails leaves the handle as it was before the call and sets its out-parameters to NULL or 0.
 *   Out-parameters come last. The content of a destination buffer is unspecified after a failure.
 * - Errors. Every call that takes an object or a pointer can return GPTZ_ERROR_ARGUMENT. Every call on a handle can
 *   also return GPTZ_ERROR_BUSY and GPTZ_ERROR_INTERNAL. The comments below do not repeat these three.
 * - Ownership. The comment at a call that creates an object names the call that frees it. Freeing NULL does nothing.
 *   The caller never frees a string that the library returned.
 * - Objects. NULL and an object of another type give GPTZ_ERROR_ARGUMENT. The library recognises many freed objects,
 *   but not all: do not use an object after it was freed.
 * - Buffers. A buffer must have the stated length. An input must not change during a call. An input and an output must
 *   not overlap. NULL is allowed for a buffer of length 0.
 * - Types. Sizes in memory are size_t. Sizes that a file can state are uint64_t. Options and levels are int, so that
 *   new ones do not change the ABI.
 * - Threads. A gptz handle serves one call at a time and may move between threads. Any number of threads may use a
 *   model, a snapshot or a tensor reader at the same time. Calls that take no object may be made from any thread at any time.
 * - Memory. A call whose allocation fails returns GPTZ_ERROR_MEMORY, and the handle stays usable. Without its progress
 *   callback, a call uses at most 32 KiB of stack, so a thread with a stack of 48 KiB may make it.
 * - Process. The library prints nothing, starts no threads and installs no signal handlers. After fork the child may
 *   use the library and its parent's handles, unless another thread of the parent was in a call at that moment.
 * - Thread cancellation. On Linux no call acts on pthread_cancel: every call disables cancellation and restores the
 *   caller's state. A pending request acts at the thread's next cancellation point after the call. To end a long call
 *   early, return a value other than 0 from its progress callback.
 * - Floating point. On x86, AArch64 and 64-bit PowerPC every call saves the caller's floating-point environment (on x86
 *   that of SSE and that of x87), sets the default one and restores the caller's at the end. On other architectures the
 *   caller must use rounding to nearest and must not flush subnormal numbers to zero. Otherwise frames can differ from
 *   those of other machines, and other machines may be unable to decompress them.
 *
 * This file is generated from the library's sources. Do not edit it.
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
/**
 * major * 10000 + minor * 100 + patch. gptz_version_number() returns the same number of the library that is
 * running.
 */
#define GPTZ_VERSION_NUMBER 100


/**
 * CPU level: the best that the CPU has.
 */
#define GPTZ_CPU_AUTO 0

/**
 * CPU level: the instructions that every CPU of the architecture has.
 */
#define GPTZ_CPU_PORTABLE 1

/**
 * CPU level on x86-64: AVX2.
 */
#define GPTZ_CPU_AVX2 2

/**
 * CPU level on x86-64: AVX-512 (F, BW, DQ, VL) with VNNI.
 */
#define GPTZ_CPU_AVX512 3

/**
 * CPU level on AArch64: NEON, and the dot product instructions if the CPU has them.
 */
#define GPTZ_CPU_NEON 4

/**
 * Option: the entropy coder, GPTZ_CODER_AC (default) or GPTZ_CODER_RANS.
 */
#define GPTZ_PARAM_CODER 1

/**
 * Option: the version of the frames that gptz_compress writes, 3 (default) or 2. Every handle reads both.
 *
 * A version 3 frame names its method and base, has checksums and stores content that does not compress. A version 2
 * frame does none of this: content that the method predicts badly becomes larger. With the range coder a version 2 frame
 * does not mark its end, so no frame can follow it.
 */
#define GPTZ_PARAM_FORMAT 2

/**
 * Option: 1 (default) writes CRC-32 checksums of the content, and of the blocks if there are several, into version 3
 * frames; 0 omits them.
 */
#define GPTZ_PARAM_CHECKSUM 3

/**
 * Option: the most threads that a call may use, 0 (as many as there are cores) to 1024; 1 by default. The value never
 * changes a result. This version always uses one thread.
 */
#define GPTZ_PARAM_THREADS 4

/**
 * Option: the number of lanes, the stripes of a block that are coded in turns and share each pass over the weights of
 * networks: 1, 2, 4 ... 64, or 0 (default) to let the library choose, which at present is always 1. More lanes decode faster with
 * large networks, and cost some compression. Frames state it, and every handle decodes all numbers. Methods with a policy,
 * version 2 frames, records and measures have one lane.
 */
#define GPTZ_PARAM_LANES 5

/**
 * Option: the binary logarithm of the block size in bytes, 12 to 24; 17 (128 KiB) by default. A checksum error names
 * the block.
 */
#define GPTZ_PARAM_BLOCK_LOG 6

/**
 * Option: the binary logarithm of the segment size in bytes: 16 to 40, or 0 (default) for one segment. Content that is
 * longer than a segment is cut into segments, each of which starts from the base. So a segment can be decoded without
 * those before it, but it does not learn from them: smaller segments make larger frames.
 */
#define GPTZ_PARAM_SEGMENT_LOG 7

/**
 * Option: the most bytes that the weights and all states of a handle may take; 2^30 (1 GiB) by default. A call on a
 * handle that needs more returns GPTZ_ERROR_MEMORY. Weights from a file or a model are not counted. The calls that
 * create handles refuse a method that needs more than 1 GiB, not counting a network from a file or a model. So a
 * larger value matters only for such networks.
 */
#define GPTZ_PARAM_MEMORY_LIMIT 8

/**
 * Option: the length in bytes of the content of the next frame that gptz_stream_compress writes, or -1 (default) if it is
 * not known. A stated length becomes part of the frame's header, as in frames of gptz_compress; it is a promise: a content
 * of another length is an error. It is -1 again after the frame, and after gptz_stream_reset. Calls on whole buffers do
 * not use it.
 */
#define GPTZ_PARAM_CONTENT_LENGTH 9

/**
 * Option: the length in bytes of the check of each record (gptz_records_compress): 0 (default), 1, 2 or 4. It must be
 * the same on both sides. A check covers the content, the method, the weights and the base. Damage or a wrong base
 * stays undetected in one of 256, 65536 or 4294967296 cases. Without checks a wrong base can give wrong content
 * without an error.
 */
#define GPTZ_PARAM_RECORD_CHECK 10

/**
 * Option: the most multiplications that the method of a frame or record may take for one byte, training included.
 * gptz_decompress and gptz_records_decompress return GPTZ_ERROR_METHOD if the handle's method takes more. The default
 * is 2^27 (134217728, some ten milliseconds), or the number that the handle's method takes if that is larger.
 * gptz_create_for_frame always uses 2^27.
 */
#define GPTZ_PARAM_WORK_LIMIT 11

/**
 * Range coder: the smallest output.
 */
#define GPTZ_CODER_AC 0

/**
 * rANS: about 6 bytes more per block.
 */
#define GPTZ_CODER_RANS 1

/**
 * Frame value: the length of the content in bytes. GPTZ_ERROR_SIZE_UNKNOWN if only the frame's trailer has it, as in
 * streams; gptz_decompressed_size finds it there.
 */
#define GPTZ_FRAME_CONTENT_LENGTH 1

/**
 * Frame value: the bytes of memory that a handle of the frame's method takes to decompress it. With this value as
 * GPTZ_PARAM_MEMORY_LIMIT, a handle that does nothing else can. GPTZ_ERROR_MODEL for a method with a weights file, GPTZ_ERROR_METHOD for a version 2 frame.
 */
#define GPTZ_FRAME_MEMORY 2

/**
 * Frame value: the number of bytes from the start of the input to the end of the frame's header.
 */
#define GPTZ_FRAME_HEADER_LENGTH 3

/**
 * Frame value: the version of the arithmetic; 0 for a version 2 frame, which does not state it.
 */
#define GPTZ_FRAME_NUMERICS 4

/**
 * Frame value: the number of lanes.
 */
#define GPTZ_FRAME_LANES 5

/**
 * Frame value: the binary logarithm of the block size in bytes; 0 for a version 2 frame.
 */
#define GPTZ_FRAME_BLOCK_LOG 6

/**
 * Frame value: the binary logarithm of the segment size in bytes; 0 for one segment.
 */
#define GPTZ_FRAME_SEGMENT_LOG 7

/**
 * Frame value: 1 if the method needs a weights file, otherwise 0.
 */
#define GPTZ_FRAME_NEEDS_MODEL 8

/**
 * Frame value: 1 if the frame needs a base, otherwise 0. Version 2 frames do not state it: 0.
 */
#define GPTZ_FRAME_NEEDS_BASE 9

/**
 * Frame value: 1 if the frame has checksums of its content, otherwise 0.
 */
#define GPTZ_FRAME_CHECKSUM 10

/**
 * Frame value: the number of bytes from the start of the input to the end of the frame. The call checks the structure
 * of the whole frame. GPTZ_ERROR_TRUNCATED if the input has less than that.
 */
#define GPTZ_FRAME_CODED_LENGTH 11

/**
 * Frame value: the identifier of the base, its 8 bytes read as a little-endian number; 0 if the frame needs no base.
 */
#define GPTZ_FRAME_BASE_ID 12

/**
 * Frame value: the first 8 bytes of the weights' fingerprint (gptz_model_fingerprint), read as a little-endian number;
 * 0 if the method has no weights file.
 */
#define GPTZ_FRAME_MODEL_ID 13

/**
 * Operation of gptz_stream_compress: take input, and give output when a block is full.
 */
#define GPTZ_CONTINUE 0

/**
 * Operation of gptz_stream_compress: also end the block under way, so that everything that was given to the stream can be
 * decoded from what it gave. A short block costs some bytes.
 */
#define GPTZ_FLUSH 1

/**
 * Operation of gptz_stream_compress: also end the frame.
 */
#define GPTZ_END 2

/**
 * What gptz_model_info tells: the number of tokens in the vocabulary; 256 for a byte-level network.
 */
#define GPTZ_MODEL_VOCABULARY 1

/**
 * The longest context that the model was trained for, in tokens; 0 for a byte-level network, which has no limit.
 */
#define GPTZ_MODEL_CONTEXT 2

/**
 * The number of weights.
 */
#define GPTZ_MODEL_PARAMETERS 3

/**
 * The bytes of memory that the weights take: of a transformer as int8, of a byte-level network as its file has them.
 */
#define GPTZ_MODEL_BYTES 4

/**
 * The token that the model expects at the start of a text, or -1 if it expects none. gptz_tokenize does not add it.
 */
#define GPTZ_MODEL_BOS 5

/**
 * The token at the end of a text, or -1 if the model has none.
 */
#define GPTZ_MODEL_EOS 6

/**
 * Tensor type: IEEE binary32.
 */
#define GPTZ_DTYPE_F32 0

/**
 * Tensor type: IEEE binary16.
 */
#define GPTZ_DTYPE_F16 1

/**
 * Tensor type: bfloat16, the upper half of a binary32.
 */
#define GPTZ_DTYPE_BF16 2

/**
 * Tensor type of APR files: a float scale, then one signed byte for each value.
 */
#define GPTZ_DTYPE_Q8 3

/**
 * Tensor type of APR files: blocks of 32 values of the whole tensor, an f16 scale and 16 bytes of 4-bit numbers.
 */
#define GPTZ_DTYPE_Q4 4

/**
 * Tensor type of GGML and APR: Q4_K, blocks of 256 values in 144 bytes.
 */
#define GPTZ_DTYPE_Q4_K 5

/**
 * Tensor type of GGML: Q8_0, blocks of 32 values in 34 bytes.
 */
#define GPTZ_DTYPE_Q8_0 6

/**
 * Tensor type of GGML: Q4_0, blocks of 32 values in 18 bytes.
 */
#define GPTZ_DTYPE_Q4_0 7

/**
 * Tensor type of GGML: Q4_1, blocks of 32 values in 20 bytes.
 */
#define GPTZ_DTYPE_Q4_1 8

/**
 * Tensor type of GGML: Q5_0, blocks of 32 values in 22 bytes.
 */
#define GPTZ_DTYPE_Q5_0 9

/**
 * Tensor type of GGML: Q5_1, blocks of 32 values in 24 bytes.
 */
#define GPTZ_DTYPE_Q5_1 10

/**
 * Tensor type of GGML: Q5_K, blocks of 256 values in 176 bytes.
 */
#define GPTZ_DTYPE_Q5_K 11

/**
 * Tensor type of GGML and APR: Q6_K, blocks of 256 values in 210 bytes.
 */
#define GPTZ_DTYPE_Q6_K 12

/**
 * Tensor type: signed bytes. The F32 tensor NAME.scale has one factor for each row, where the first dimension counts
 * rows.
 */
#define GPTZ_DTYPE_I8 13

/**
 * Tensor file format: APR version 2.
 */
#define GPTZ_TENSORS_APR 1

/**
 * Tensor file format: safetensors.
 */
#define GPTZ_TENSORS_SAFETENSORS 2

/**
 * Tensor file format: GGUF version 3.
 */
#define GPTZ_TENSORS_GGUF 3

/**
 * A compressor, which is also a decompressor. It has a method, a base, a live state and options.
 *
 * The base is a state of the predictor. Calls that compress, decompress or measure start from the base and never
 * change it, so the same input gives the same output, whatever calls came before. The live state is a second state. It
 * starts as a copy of the base. gptz_feed, gptz_predict, gptz_reset, gptz_snapshot_take and gptz_snapshot_restore use
 * it.
 *
 * Threads: a handle may move between threads and serves one call at a time. A second call, made by another thread or
 * by the progress callback, returns GPTZ_ERROR_BUSY and does nothing. This check finds mistakes; it is not a lock.
 * Threads that work at the same time need one handle each.
 */
typedef struct gptz gptz;

/**
 * A generator of text: a model, a history of tokens, and what the model has computed for them.
 *
 * Threads: a generator may move between threads and serves one call at a time. A second call returns GPTZ_ERROR_BUSY and
 * does nothing. Generators of one model share its weights, and may work at the same time.
 */
typedef struct gptz_generator gptz_generator;

/**
 * The weights of a network. A model is immutable. It is checked when it is opened, and any number of handles and
 * threads may share it. A handle keeps the weights that it uses in memory, so models and handles may be freed in any
 * order.
 */
typedef struct gptz_model gptz_model;

/**
 * A reader of the content of a source at any place.
 *
 * A reader holds its handle: while it is open, calls on the handle other than gptz_get, gptz_method, gptz_handle_error and
 * gptz_free return GPTZ_ERROR_STATE. So a handle has at most one reader. The reader uses the options and the progress
 * callback that the handle had when it was opened. Handle and reader may be freed in any order. A handle that is freed
 * first lives on until its reader is freed, but its pointer must not be used.
 *
 * Threads: a reader may move between threads and serves one call at a time; a second one returns GPTZ_ERROR_BUSY.
 */
typedef struct gptz_reader gptz_reader;

/**
 * A copy of a live state. A snapshot is immutable, and any number of handles and threads may share it. It does not
 * depend on the handle that it was taken from. Every handle with the same method and weights accepts it; other handles
 * return GPTZ_ERROR_MISMATCH.
 */
typedef struct gptz_snapshot gptz_snapshot;

/**
 * An open tensor file: safetensors, GGUF (versions 2 and 3) or APR (version 2, not compressed, encrypted or sharded).
 * Any number of threads may use a reader at the same time.
 */
typedef struct gptz_tensor_reader gptz_tensor_reader;

/**
 * A tensor file under way. A writer serves one call at a time and may move between threads.
 */
typedef struct gptz_tensor_writer gptz_tensor_writer;

/**
 * The result of a call: GPTZ_OK or one of the errors below. A number keeps its meaning in all later versions and is
 * never reused. Later versions may add errors, so treat an unknown number as an error.
 */
typedef int gptz_status;

/**
 * A progress callback. `done` of `total` bytes of content are finished. `userdata` is the pointer that was given to
 * gptz_set_progress. The callback returns 0 to continue. Any other value cancels the call, which then returns
 * GPTZ_ERROR_CANCELLED and leaves the handle as it was before the call.
 *
 * The callback runs on the thread of the call. It is called at the start of the call, then at least once in 256 bytes,
 * and at the end of a call that succeeds. With a slow method it is called more often: once in 2^24 multiplications on
 * average (some 2 to 10 milliseconds), or after every byte if a byte takes more. A single interval can be longer,
 * because calls that compress, feed or measure compute up to 2^26 multiplications as one batch, and because a GRU
 * trains after some of the bytes.
 *
 * `done` never decreases. It may stay the same over many calls of the callback and then grow by a whole block at once,
 * because gptz_compress can code a block in several ways before it chooses one.
 *
 * The callback may do anything except the following:
 *
 * - It must not use the handle of the call; such a call returns GPTZ_ERROR_BUSY. gptz_method and gptz_handle_error are
 *   allowed.
 * - It must not leave by longjmp.
 * - It may end its thread with pthread_exit, or throw a C++ exception, only with the GNU C library on x86-64 and
 *   AArch64. On these systems the call first ends as if it were cancelled, so the handle stays usable. Then the thread
 *   ends, or the exception continues in the caller of the call. On every other system the callback must do neither,
 *   because the process may be aborted, or the handle may stay in the call forever.
 *
 * The callback runs in C's default floating-point environment and with thread cancellation disabled. When it returns,
 * the library undoes the changes that it made to either.
 */
typedef int (*gptz_progress_fn)(void *userdata, uint64_t done, uint64_t total);

/**
 * Room for the output of a stream call: the bytes from `pos` to `size` of the buffer at `dst` are free. A call advances
 * `pos` by what it gave. `dst` may be NULL if `size` is 0. The struct will never change.
 */
typedef struct {
    /**
     * The buffer.
     */
    void *dst;
    /**
     * Its length in bytes.
     */
    size_t size;
    /**
     * How many of its bytes were filled.
     */
    size_t pos;
} gptz_out;

/**
 * Input of a stream call: the bytes from `pos` to `size` of the buffer at `src` have not been taken yet. A call advances
 * `pos` by what it took, also if it fails. `src` may be NULL if `size` is 0. The struct will never change.
 */
typedef struct {
    /**
     * The buffer.
     */
    const void *src;
    /**
     * Its length in bytes.
     */
    size_t size;
    /**
     * How many of its bytes were taken.
     */
    size_t pos;
} gptz_in;

/**
 * An input that is read at any place: a file, a part of one, a remote object. The struct will never change. A call copies
 * it; what `opaque` points at must stay valid as long as the object that was made from it.
 *
 * `read_at` reads at most `len` bytes from position `offset` on to `dst`. `len` is at least 1, and `offset` + `len` at
 * most `size`. It returns how many bytes it read, which may be fewer than `len`; 0, as at an end; or a negative number for
 * an error. What the call then returns:
 *
 * - a negative number: GPTZ_ERROR_IO. The message has the number.
 * - more than `len`: GPTZ_ERROR_IO.
 * - 0 before `size`: GPTZ_ERROR_TRUNCATED.
 *
 * The same place must always give the same bytes. If it does not, calls return wrong content or errors, and do nothing
 * worse.
 *
 * `read_at` runs on the thread of the call. What a progress callback may do and must not do (gptz_progress_fn) holds for
 * it too: it must not use the handle or the reader of the call, must not leave by longjmp, and may throw a C++ exception or
 * end its thread only where a progress callback may. The call then ends as if it were cancelled.
 *
 * Most reads are of 4 KiB; payloads of blocks are read whole, in pieces of at least 64 KiB.
 */
typedef struct {
    /**
     * Passed to `read_at`.
     */
    void *opaque;
    /**
     * Reads a part of the source.
     */
    int64_t (*read_at)(void *opaque, uint64_t offset, void *dst, size_t len);
    /**
     * The size of the source in bytes.
     */
    uint64_t size;
} gptz_source;

/**
 * Receives content from gptz_salvage: `len` bytes at `data`, which are the content from `offset` on. Offsets ascend, and no
 * byte is given twice. A result other than 0 ends the call with GPTZ_ERROR_CANCELLED. The rules of gptz_progress_fn hold.
 */
typedef int (*gptz_write_fn)(void *userdata, uint64_t offset, const void *data, size_t len);

/**
 * Is told by gptz_salvage that `len` bytes of content from `offset` on are lost, and why: UTF-8, valid during the callback.
 * `len` is UINT64_MAX if nothing sound states how many; and 0 if nothing is known to be lost, but the checksum of a whole
 * frame, which was given, differs. A result other than 0 ends the call with GPTZ_ERROR_CANCELLED. The rules of
 * gptz_progress_fn hold.
 */
typedef int (*gptz_lost_fn)(void *userdata, uint64_t offset, uint64_t len, const char *why);

/**
 * Receives a generated token and its `len` bytes, which are valid during the call and not NUL-terminated; `bytes` may be
 * NULL if `len` is 0. `userdata` is the pointer that was given to gptz_generator_generate. The callback returns 0 to
 * continue. Any other value ends the call after this token, which is no error. The rules of gptz_progress_fn hold.
 */
typedef int (*gptz_token_fn)(void *userdata, uint32_t token, const char *bytes, size_t len);

/**
 * What the last call of a handle took and gave: see gptz_stats_get.
 */
typedef struct {
    /**
     * The size of the struct in bytes. The caller sets it to sizeof(gptz_stats).
     */
    size_t size;
    /**
     * The bytes that the call read.
     */
    uint64_t bytes_in;
    /**
     * The bytes that the call wrote.
     */
    uint64_t bytes_out;
    /**
     * The tokens of the content. All methods of this version predict bytes, so it is the length of the content.
     */
    uint64_t tokens_seen;
    /**
     * The compressed size in bits, or the measured cost, for each byte of content. 0 if there is no content or the call
     * coded and measured nothing.
     */
    double bits_per_byte;
    /**
     * The length of the content divided by the compressed size. 0 if the call coded nothing.
     */
    double ratio;
    /**
     * The time that the call took, the progress callback included.
     */
    double seconds;
    /**
     * The bytes of content in a second. 0 if the time was too short to be measured.
     */
    double bytes_per_second;
    /**
     * 1 if the method learns: bytes change more than the context of later predictions. Otherwise 0.
     */
    int can_learn;
} gptz_stats;

/**
 * Success.
 */
#define GPTZ_OK 0

/**
 * An argument is invalid: a pointer that is NULL, freed or of another type, a value out of range, an unknown option,
 * or buffers that overlap.
 */
#define GPTZ_ERROR_ARGUMENT 1

/**
 * A method string is malformed or names something that this library does not have. Or the method needs more
 * multiplications per byte than a limit allows. Or a frame is of version 2, which names no method.
 */
#define GPTZ_ERROR_METHOD 2

/**
 * A weights file or tensor file is malformed or of a kind that is not supported. Or a frame needs weights from a file.
 */
#define GPTZ_ERROR_MODEL 3

/**
 * The operating system could not open, read or write a file, or the path is not that of a regular file.
 */
#define GPTZ_ERROR_IO 4

/**
 * An allocation failed, or the call needs more memory than a limit allows.
 */
#define GPTZ_ERROR_MEMORY 5

/**
 * The destination is too small.
 */
#define GPTZ_ERROR_BUFFER_TOO_SMALL 6

/**
 * The input is not a gptz frame, or its version, coder, flags or registered method are unknown to this library.
 */
#define GPTZ_ERROR_FORMAT 7

/**
 * The input ends before its frame ends.
 */
#define GPTZ_ERROR_TRUNCATED 8

/**
 * The input is damaged: its structure is inconsistent, or a checksum does not match.
 */
#define GPTZ_ERROR_CORRUPT 9

/**
 * A frame or a snapshot was made with another method, other weights or another base than those of the handle.
 */
#define GPTZ_ERROR_MISMATCH 10

/**
 * A frame was made with a version of the arithmetic that this library does not have.
 */
#define GPTZ_ERROR_NUMERICS 11

/**
 * The progress callback cancelled the call.
 */
#define GPTZ_ERROR_CANCELLED 12

/**
 * The handle is already in a call on another thread, or in the call whose progress callback made this call.
 */
#define GPTZ_ERROR_BUSY 13

/**
 * The object is in a state that does not allow the call.
 */
#define GPTZ_ERROR_STATE 14

/**
 * The header of a frame does not state the length of its content.
 */
#define GPTZ_ERROR_SIZE_UNKNOWN 15

/**
 * The library has a defect; please report it. Every later call on the handle returns the same status; free the handle.
 */
#define GPTZ_ERROR_INTERNAL 16

#ifdef __cplusplus
extern "C" {
#endif /* __cplusplus */

/**
 * Returns the name of a status as this header spells it, such as "GPTZ_ERROR_CORRUPT", or "unknown status" for any
 * other number. The string is static. Never fails.
 */
const char *gptz_status_name(gptz_status status);

/**
 * Returns the message of the last call of this thread that failed. It says what was found, where, and what was
 * expected. It is UTF-8, never NULL, and empty if no call of this thread has failed. It is at most 511 bytes long; the
 * middle of a longer message is left out.
 *
 * The string belongs to the library. It is valid until the thread ends, and unchanged until the next call of this
 * thread that fails. Calls that succeed do not clear it, so read it only after a failure. The wording is for people
 * and may change between versions; programs should test the status.
 */
const char *gptz_last_error(void);

/**
 * Returns the version of the library that is running: major * 10000 + minor * 100 + patch. GPTZ_VERSION_NUMBER is the
 * version of the header that the program was compiled with. Never fails.
 */
uint32_t gptz_version_number(void);

/**
 * Returns the version of the library that is running as a static string, such as "0.1.0". Never fails.
 */
const char *gptz_version_string(void);

/**
 * Limits the instructions that later calls of the whole process may use to `level`, one of GPTZ_CPU_... .
 * GPTZ_CPU_AUTO removes the limit. The limit is for tests and bug reports: all levels give the same bits and differ
 * only in speed.
 *
 * The environment variable GPTZ_CPU=portable|avx2|avx512|neon sets a second limit. It is read once, by the first call
 * that needs it; other values are ignored. The lower of the two limits applies. If the CPU does not support `level`,
 * the best lower level is used. Calls that are running keep their level.
 *
 * Errors: GPTZ_ERROR_ARGUMENT for a level that this architecture does not have. The limit then does not change.
 */
gptz_status gptz_set_cpu_level(int level);

/**
 * Returns the level that a call would use now, as a static string: "portable", "avx2", "avx512" or "neon". Never
 * fails.
 */
const char *gptz_cpu_level(void);

/**
 * Creates a handle for a method. Both sides of a frame need the same method.
 *
 * `method` is a NUL-terminated UTF-8 string. README.md describes the grammar. Examples:
 *
 *   "level:1" (fast) to "level:9" (small)
 *   "mix:mem=64M"                                   a mix of contexts, repeats and words
 *   "mix:neural=(builtin:1)"                        a mix that includes the network that the library carries
 *   "mix:neural=(gru:hidden=64)"                    a mix that includes a network that learns only from the input
 *   "cfg:hidden=64,layers=1,train=adam,lr=0.002"    a random network of this shape, whose output head learns
 *   "file:model.safetensors"                        a network with weights from a file, frozen
 *
 * NULL is the default method: "level:5", a mix that includes the network that the library carries. In a library that
 * was built without that network, it is "level:3".
 *
 * On success `*out` is the handle; free it with gptz_free. On failure `*out` is NULL.
 *
 * Errors: GPTZ_ERROR_METHOD, also for a network that the library was built without, and for a GRU that needs more than
 * 2^28 multiplications a byte on average. GPTZ_ERROR_IO or GPTZ_ERROR_MODEL for a weights file. GPTZ_ERROR_MEMORY,
 * also for a method that needs more than 1 GiB, not counting a network from a file. A method string cannot
 * contain a path that has a semicolon or is not UTF-8: open such a file with gptz_model_open and use
 * gptz_create_from_model.
 */
gptz_status gptz_create(const char *method, gptz **out);

/**
 * Creates a handle for the method that the first frame of `src` names. `src_len` may be less than the frame's length,
 * as long as the frame's header is complete. The library never opens a path that an input names.
 *
 * On success `*out` is the handle; free it with gptz_free. On failure `*out` is NULL.
 *
 * Errors: GPTZ_ERROR_MODEL if the frame needs a weights file. GPTZ_ERROR_MISMATCH if it needs a base.
 * GPTZ_ERROR_METHOD if it is of version 2, if it needs a network that the library was built without, or if its method
 * takes more than 2^27 multiplications for a byte (some ten milliseconds; see GPTZ_PARAM_WORK_LIMIT).
 * GPTZ_ERROR_MEMORY if its method needs more than 256 MiB; use gptz_create for such a method. GPTZ_ERROR_FORMAT,
 * GPTZ_ERROR_TRUNCATED, GPTZ_ERROR_CORRUPT, GPTZ_ERROR_NUMERICS.
 *
 * Security: within these limits, the author of the frame decides how long each byte takes to decompress. To bound the
 * time, set a lower GPTZ_PARAM_WORK_LIMIT on the handle, check gptz_method, or set a progress callback.
 */
gptz_status gptz_create_for_frame(const void *src, size_t src_len, gptz **out);

/**
 * Creates a handle that uses the weights of an open model. Handles of one model share its weights in memory. The model
 * may be freed before the handle.
 *
 * `policy` is NULL, or the part of a method string that may follow "file:PATH;", such as "weights=f32". It may also be
 * a whole mix, in which "(file:)" means the model: "mix:neural=(file:;head:lr=0.01),mem=16M".
 *
 * Every handle with the same weights and the same policy decompresses the frames of this handle, whether it was
 * created from a path, from memory or from a model.
 *
 * On success `*out` is the handle; free it with gptz_free. On failure `*out` is NULL.
 *
 * Errors: GPTZ_ERROR_METHOD, also for a transformer; GPTZ_ERROR_MEMORY.
 */
gptz_status gptz_create_from_model(const gptz_model *model, const char *policy, gptz **out);

/**
 * Frees a handle. NULL is allowed and does nothing. If the handle is in a call, or `handle` points to another object,
 * the call frees nothing, and gptz_last_error returns the reason.
 */
void gptz_free(gptz *handle);

/**
 * Returns the canonical method string of a handle: every key that matters, in a fixed order. Two handles with equal
 * strings and equal bases read each other's frames. If the method has a weights file, the string does not contain its
 * path, and the weights must be equal too.
 *
 * The string belongs to the handle and is valid until the handle is freed. The call is allowed while the handle is in
 * a call. Returns NULL if `handle` is not a handle.
 */
const char *gptz_method(const gptz *handle);

/**
 * Returns the message of the last call on this handle that failed, whichever thread made that call. It is UTF-8, at
 * most 511 bytes long, never NULL, and empty if no call on the handle has failed or `handle` is not a handle. Never
 * fails.
 *
 * gptz_last_error returns only messages of the calling thread. This call is for programs that run the calls of a
 * handle on worker threads and read the message on another thread. A call that creates a handle has no handle yet: use
 * gptz_last_error on its thread.
 *
 * The string belongs to the handle and is valid until the handle is freed. It does not change before two more calls on
 * the handle have failed, so one thread may read it while a call on another thread fails. Calls that succeed, and
 * calls that return GPTZ_ERROR_BUSY, do not change the message. The call is allowed while the handle is in a call.
 */
const char *gptz_handle_error(const gptz *handle);

/**
 * Returns the canonical method string of a level, which is also what gptz_method returns for a handle of "level:N".
 * Level 1 is the fastest; higher levels are slower and aim at smaller output. Returns NULL for a level that this
 * library does not have. The levels of a library are consecutive from 1, so a program finds all of them by counting
 * until NULL. A library that was built without models has only the levels whose method does not contain "builtin:".
 * The string is static. The call opens no model, allocates nothing and never fails.
 */
const char *gptz_level_method(int level);

/**
 * Sets the option `param`, one of GPTZ_PARAM_... , for all later calls on this handle.
 *
 * Errors: GPTZ_ERROR_ARGUMENT if the option does not exist or does not allow the value; the option keeps its value.
 */
gptz_status gptz_set(gptz *handle, int param, int64_t value);

/**
 * Reads the option `param`, one of GPTZ_PARAM_... , into `*value`. On failure `*value` is 0.
 *
 * Errors: GPTZ_ERROR_ARGUMENT if the option does not exist.
 */
gptz_status gptz_get(const gptz *handle, int param, int64_t *value);

/**
 * Computes how much memory the handle takes while it compresses a long content, with the options, the base and the live
 * state that it has now: tables, networks, states, and what undoing a block needs. Weights from a file or a model are
 * not included. Decompression takes less: it undoes nothing. A live state, which the first feed or predict makes, takes
 * as much again as the tables.
 *
 * Memory is taken when a call first needs it, and large tables page by page. A call that would take more than
 * GPTZ_PARAM_MEMORY_LIMIT returns GPTZ_ERROR_MEMORY before it takes it. On failure `*bytes` is 0.
 */
gptz_status gptz_memory_estimate(const gptz *handle, uint64_t *bytes);

/**
 * Sets the progress callback of later calls on this handle; see gptz_progress_fn. `userdata` is passed to the callback
 * unchanged and must stay valid as long as the callback is set. NULL for `callback` removes it.
 */
gptz_status gptz_set_progress(gptz *handle, gptz_progress_fn callback, void *userdata);

/**
 * Returns a destination size, in bytes, that is always large enough for gptz_compress to write `src_len` bytes of
 * content as a version 3 frame, whatever the method and options. Returns 0 if that size does not fit a size_t. Never
 * fails.
 *
 * The size is not always enough for a version 2 frame (GPTZ_PARAM_FORMAT). If the method predicts the content so badly
 * that the frame grows by more than an eighth, gptz_compress returns GPTZ_ERROR_BUFFER_TOO_SMALL.
 */
size_t gptz_compress_bound(size_t src_len);

/**
 * Compresses `src_len` bytes at `src` into one frame at the start of `dst`, which has room for `dst_cap` bytes. On
 * success `*dst_len` is the length of the frame in bytes.
 *
 * The frame depends only on the content and on the handle's method, base and options. It does not depend on the
 * machine or on earlier calls. The live state does not change.
 *
 * Errors: GPTZ_ERROR_BUFFER_TOO_SMALL if the frame is longer than `dst_cap`; `*dst_len` is then the length of the
 * frame. Such a call takes as long as one that succeeds; gptz_compress_bound returns a size that is always enough.
 * GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY. On every other failure `*dst_len` is 0.
 */
gptz_status gptz_compress(gptz *handle, const void *src, size_t src_len, void *dst, size_t dst_cap, size_t *dst_len);

/**
 * Compresses the bytes of `count` parts, one after the other, into one frame, as gptz_compress does with the same bytes
 * in one buffer. Part i is the `lens[i]` bytes at `parts[i]`. The frame does not depend on where the content is cut
 * into parts. In addition to the memory of gptz_compress the call allocates a list of the parts, and room for one block
 * if a block is in several parts.
 *
 * Errors: as gptz_compress; GPTZ_ERROR_ARGUMENT also if a part overlaps `dst`.
 */
gptz_status gptz_compress_parts(gptz *handle,
                                const void *const *parts,
                                const size_t *lens,
                                size_t count,
                                void *dst,
                                size_t dst_cap,
                                size_t *dst_len);

/**
 * Computes the length in bytes of the frame that gptz_compress writes for the same content, without a destination. On
 * failure `*len` is 0. The call takes as long as gptz_compress. The live state does not change.
 *
 * Errors: GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY.
 */
gptz_status gptz_compressed_size(gptz *handle, const void *src, size_t src_len, size_t *len);

/**
 * Computes the total length in bytes of the content of all frames in `src`. The frames must be complete. The call
 * checks the structure of every frame from start to end; it decodes nothing, and its memory does not depend on the
 * input. On failure `*size` is 0.
 *
 * Security: the input states the size, and the input may be hostile. Compare the size with the most that you accept
 * before you allocate a buffer.
 *
 * Errors: GPTZ_ERROR_FORMAT, GPTZ_ERROR_TRUNCATED (also for an empty input), GPTZ_ERROR_CORRUPT.
 */
gptz_status gptz_decompressed_size(const void *src, size_t src_len, uint64_t *size);

/**
 * Decompresses all frames in `src`, one after the other, to the start of `dst`, which has room for `dst_cap` bytes. On
 * success `*dst_len` is the total length of the content in bytes. `src` must end where its last frame ends. A version
 * 2 frame that uses the range coder extends to the end of `src`. The live state does not change.
 *
 * The frames may have different methods. A frame of a registered method (gptz_level_method returns some of them) that
 * needs no base is decoded whatever the method and the base of the handle are. All other frames must have the method,
 * the weights and the base of the handle. For frames of other methods the call creates what a handle of that method
 * has, and frees it at its end.
 *
 * Before it decodes anything, the call checks, in this order:
 *
 * - the structure of all frames;
 * - that the library has the frames' version of the arithmetic (otherwise GPTZ_ERROR_NUMERICS), and that it can decode
 *   them with this handle (otherwise GPTZ_ERROR_MISMATCH, and the message names both sides; gptz_create_for_frame
 *   creates a handle for a frame);
 * - GPTZ_PARAM_WORK_LIMIT (otherwise GPTZ_ERROR_METHOD), and for frames of other methods GPTZ_PARAM_MEMORY_LIMIT,
 *   which holds for the handle and one other method together (otherwise GPTZ_ERROR_MEMORY);
 * - the room in `dst`.
 *
 * Errors: GPTZ_ERROR_BUFFER_TOO_SMALL if the content is longer than `dst_cap`; `*dst_len` is then the length of the
 * content, or 0 if that does not fit a size_t. GPTZ_ERROR_FORMAT, GPTZ_ERROR_TRUNCATED (also for an empty input),
 * GPTZ_ERROR_CORRUPT (the message names the frame and the block), GPTZ_ERROR_NUMERICS, GPTZ_ERROR_MISMATCH,
 * GPTZ_ERROR_METHOD, GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY. On every failure but the first `*dst_len` is 0. A
 * version 2 frame names no method, so a handle of another method returns GPTZ_ERROR_CORRUPT.
 *
 * Security: any input is safe. A hostile input costs at most the time to decode as many bytes as `dst` has room for,
 * and, once for each frame or segment that has content, the time to restore the base or to create another method. Other
 * methods are created more than once only if the memory limit has no room for all of them.
 */
gptz_status gptz_decompress(gptz *handle, const void *src, size_t src_len, void *dst, size_t dst_cap, size_t *dst_len);

/**
 * Reads a value of the first frame of `src`, one of GPTZ_FRAME_... , into `*value`. Skippable frames before it are
 * skipped. `src` must contain the frame's header; only GPTZ_FRAME_CODED_LENGTH needs the whole frame. On failure
 * `*value` is 0.
 *
 * Security: the input states the values, and the input may be hostile.
 *
 * Errors: GPTZ_ERROR_ARGUMENT if the value does not exist. GPTZ_ERROR_FORMAT, GPTZ_ERROR_TRUNCATED (also for an empty
 * input), GPTZ_ERROR_CORRUPT, and those that the values name.
 */
gptz_status gptz_frame_info(const void *src, size_t src_len, int what, int64_t *value);

/**
 * Copies the canonical method string of the first frame of `src` to `dst`, which has room for `cap` bytes, with a NUL
 * after it. Skippable frames before it are skipped. `src` must contain the frame's header. On success `*len` is the
 * length of the string without the NUL.
 *
 * If `cap` is less than what is needed, the call returns GPTZ_ERROR_BUFFER_TOO_SMALL, and `*len` is what is needed, with
 * the NUL. A call with NULL and 0 asks for it: it returns the same status and does not change the message of
 * gptz_last_error. On every other failure `*len` is 0.
 *
 * Security: the string comes from the input. It is UTF-8 and at most 4,096 bytes long, and it may contain any
 * characters.
 *
 * Errors: GPTZ_ERROR_METHOD for a version 2 frame, which names no method. GPTZ_ERROR_FORMAT (also for a registered
 * method that this library does not have), GPTZ_ERROR_TRUNCATED (also for an empty input), GPTZ_ERROR_CORRUPT (also for
 * a string that contains a NUL).
 */
gptz_status gptz_frame_method(const void *src,
                              size_t src_len,
                              char *dst,
                              size_t cap,
                              size_t *len);

/**
 * Compresses a stream into one frame. The call takes bytes of `in`, gives bytes of the frame to `out`, and stops when all
 * input was taken and what `op` asks for was given, or when `out` is full. Buffers may have any size.
 *
 *   GPTZ_CONTINUE   takes input
 *   GPTZ_FLUSH      and ends the block under way: the output decodes to all of the input
 *   GPTZ_END        and ends the frame
 *
 * On success `*remaining` is 0 if the operation is done. Otherwise it is a number of bytes that the call could not give
 * or take, and the program makes room in `out` and calls again with the same operation and the rest of the input. After
 * GPTZ_END, input is refused with GPTZ_ERROR_STATE until `*remaining` was 0.
 *
 * The frame is the one that gptz_compress writes for the same content and options, if there was no flush, and if the
 * length was stated (GPTZ_PARAM_CONTENT_LENGTH) or is at most one block. Without a stated length, the length of a longer
 * content stands at the frame's end, so that its first bytes do not tell it. How the content was divided among calls never
 * changes the frame. An empty stream is a frame of an empty content. After the end, input begins the next frame; it is
 * independent of those before. A second GPTZ_END without input is GPTZ_ERROR_STATE; after gptz_stream_reset it writes an
 * empty frame.
 *
 * From the first input to the end of the frame the handle belongs to the stream: other calls but gptz_get,
 * gptz_stream_reset, gptz_handle_error, gptz_method and gptz_free return GPTZ_ERROR_STATE. The live state does not change.
 *
 * Memory: gptz_memory_estimate counts a stream. A block is coded when it is full, so calls take very different times. The
 * callback's `total` is UINT64_MAX if the length is not known.
 *
 * Errors: GPTZ_ERROR_STATE for version 2 frames, and if the policy of the method has positions in percent and the length
 * was not stated: both before any output. GPTZ_ERROR_ARGUMENT, also for a content of another length than was stated.
 * GPTZ_ERROR_MEMORY, GPTZ_ERROR_CANCELLED. On failure `*remaining` is 0. An error in the middle of a frame ends it: the
 * bytes given so far are the start of a frame that cannot be completed, and further calls return GPTZ_ERROR_STATE until
 * gptz_stream_reset. Arguments that are wrong in themselves (NULL, overlap, an unknown operation) change nothing.
 */
gptz_status gptz_stream_compress(gptz *handle,
                                 gptz_out *out,
                                 gptz_in *in,
                                 int op,
                                 size_t *remaining);

/**
 * Decompresses a stream of frames. The call takes bytes of `in`, gives content to `out`, and stops when all input was
 * taken, when `out` is full, or at the end of a frame. Buffers may have any size.
 *
 * On success `*hint` is 0 behind the end of a frame all of whose content was given; a program may stop there, or go on
 * with the next frame. Otherwise it is a number of input bytes that are useful next, at least 1; any other number is allowed. If the
 * input ends while `*hint` is not 0, the stream is cut. Skippable frames give no content.
 *
 * Content of a block is given when all of the block is there and its checksum holds, so no content of a damaged block is
 * given. Frames of other methods are decoded as by gptz_decompress. A version 2 frame cannot be streamed:
 * GPTZ_ERROR_STATE.
 *
 * From the first byte of a frame to its end the handle belongs to the stream, as in gptz_stream_compress. The live state
 * does not change. Memory: a handle of the frame's method (GPTZ_FRAME_MEMORY) and two blocks, which is checked against
 * GPTZ_PARAM_MEMORY_LIMIT before content is decoded.
 *
 * Errors: as gptz_decompress, but never GPTZ_ERROR_BUFFER_TOO_SMALL and GPTZ_ERROR_TRUNCATED. Messages name the frame, the
 * segment and the block by their byte offsets in the stream. On failure `*hint` is 0. After an error further calls return
 * GPTZ_ERROR_STATE until gptz_stream_reset; content that was given before is sound.
 */
gptz_status gptz_stream_decompress(gptz *handle,
                                   gptz_out *out,
                                   gptz_in *in,
                                   size_t *hint);

/**
 * Drops the stream that is under way, or that failed, so that the handle can be used again. Options keep their values, but
 * GPTZ_PARAM_CONTENT_LENGTH becomes -1. Without a stream it does that and nothing else.
 *
 * Errors: GPTZ_ERROR_STATE if a reader is open.
 */
gptz_status gptz_stream_reset(gptz *handle);

/**
 * Opens a reader of the content of all frames in `source`, as if it were the content of one file. The frames may have
 * different methods, as in gptz_decompress, and skippable frames between them.
 *
 * The call finds the frames and decodes nothing. From the end of the source on it uses the indexes behind frames with
 * segments (GPTZ_PARAM_SEGMENT_LOG): such a frame costs a few reads. An index is a hint and is compared with its frame; if
 * anything about it is odd, it is ignored. The headers of all blocks of other frames are read, some bytes for each block.
 *
 * What a read costs: content is decoded from the start of a segment on. A read that starts in the middle of a segment
 * decodes half of one on average, and never more than one segment and the rest of its last block before its first byte. So
 * smaller segments make reads at random places faster, and frames larger: README.md has figures. A frame without segments
 * is one segment. A read that goes on where the last one ended decodes only what it gives. Memory: a handle of the frame's
 * method, two blocks, and the content of the last segment if it is at most 16 MiB and GPTZ_PARAM_MEMORY_LIMIT has room for
 * it, so that reads in it decode nothing again.
 *
 * On success `*out` is the reader; free it with gptz_reader_free. On failure `*out` is NULL.
 *
 * Errors: GPTZ_ERROR_MISMATCH, GPTZ_ERROR_METHOD, GPTZ_ERROR_NUMERICS and GPTZ_ERROR_MEMORY for a frame that this handle
 * cannot decode, as in gptz_decompress. GPTZ_ERROR_STATE for a version 2 frame, and if the handle is in a stream or has a
 * reader. GPTZ_ERROR_FORMAT for bytes that are no frame, GPTZ_ERROR_TRUNCATED (also for an empty source),
 * GPTZ_ERROR_CORRUPT if the headers of the frames cannot be followed to the end; gptz_salvage reads such a source.
 * GPTZ_ERROR_IO, GPTZ_ERROR_CANCELLED.
 *
 * Security: any source is safe. The list of frames and segments takes at most GPTZ_PARAM_MEMORY_LIMIT bytes. An index may
 * state a size that the source does not have; then a read of what is missing is an error.
 */
gptz_status gptz_reader_open(gptz *handle,
                             const gptz_source *source,
                             gptz_reader **out);

/**
 * As gptz_reader_open, for the `len` bytes at `src`. They are not copied: they must stay valid and unchanged as long as the
 * reader.
 */
gptz_status gptz_reader_open_memory(gptz *handle,
                                    const void *src,
                                    size_t len,
                                    gptz_reader **out);

/**
 * Gives the length of the content in bytes. On failure `*size` is 0. The call is allowed while the reader is in a call.
 */
gptz_status gptz_reader_size(const gptz_reader *reader, uint64_t *size);

/**
 * Reads `len` bytes of content from `offset` on to `dst`. On success `*done` is the number of bytes: `len`, or less if the
 * content ends before, or 0 at its end and past it. gptz_reader_open says what a read costs. The progress callback's
 * `total` is UINT64_MAX.
 *
 * Only content whose checksum holds is given. In frames without checksums (GPTZ_PARAM_CHECKSUM) damage can go unnoticed.
 *
 * Errors: GPTZ_ERROR_CORRUPT, GPTZ_ERROR_TRUNCATED or GPTZ_ERROR_FORMAT for damage on the way to the last byte asked for;
 * the message names the frame, the segment and the block by their byte offsets. GPTZ_ERROR_IO, GPTZ_ERROR_MEMORY,
 * GPTZ_ERROR_CANCELLED. On failure `*done` is 0. The reader stays usable: other segments can still be read, and the blocks
 * before damage by shorter reads.
 */
gptz_status gptz_reader_read(gptz_reader *reader,
                             uint64_t offset,
                             void *dst,
                             size_t len,
                             size_t *done);

/**
 * Frees a reader. Its handle can be used again. NULL is allowed and does nothing. If the reader is in a call, or `reader`
 * points to another object, the call frees nothing, and gptz_last_error returns the reason.
 */
void gptz_reader_free(gptz_reader *reader);

/**
 * Gives everything that can be trusted of a damaged source to `write`, and tells what is lost to `lost`. The offsets are
 * those of the content that gptz_decompress would give for all frames of the sound source. Both callbacks are called in the
 * order of the offsets, and together they cover the content.
 *
 * - All whole blocks before the first damage in a segment (GPTZ_PARAM_SEGMENT_LOG) are given, and every other segment and
 *   frame: they are found again by their headers or by the index. A frame without segments is one segment. Segments that
 *   are swapped or come twice lose nothing.
 * - Behind the damage in a segment, blocks are found only if the lengths of its blocks add up to the start of the next
 *   segment or to the frame's end. Then stored blocks whose checksums hold are given. A damaged block that was stored
 *   without being learned costs only itself. Coded blocks behind any other bad block are lost.
 * - In frames without checksums (GPTZ_PARAM_CHECKSUM) nothing behind an error in a segment is given, and damage that causes
 *   no error is not noticed.
 * - A frame whose header is destroyed is lost as a whole with all its segments, and version 2 frames are. Nothing states
 *   their length: `len` is UINT64_MAX, and the frames behind are given as if the content went on at that `offset`. The
 *   same holds for the rest of a frame whose length stood in a trailer that is lost, if it has no index.
 * - Behind a destroyed header, a complete frame in stored content (a .gptz file in an archive, say) can be taken for a frame
 *   of the source.
 * - The checksum of a stored block does not cover its place. If stored blocks were exchanged inside a segment, which is no
 *   accident, they are given where they stand; the checksum of the frame then differs, and `lost` is told.
 * - A segment header that would leave a gap larger than what the lost bytes could hold is not believed.
 *
 * The call reads the headers of the whole source first. A sound frame header that names another method, other weights or
 * another base is an error before anything is given, never a loss. Returns GPTZ_OK if everything lost was told.
 *
 * Errors: GPTZ_ERROR_MISMATCH, GPTZ_ERROR_METHOD, GPTZ_ERROR_NUMERICS, GPTZ_ERROR_FORMAT (lanes, or a registered method
 * that this library does not have) and GPTZ_ERROR_MEMORY for a sound frame that this handle cannot decode.
 * GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY. GPTZ_ERROR_IO and GPTZ_ERROR_TRUNCATED for the source itself (gptz_source): a
 * cut file is a source of its own size.
 *
 * Memory: as gptz_decompress of one frame, two blocks, and 48 bytes for each segment of a frame. The time is that of
 * decompression and some passes over the source; it grows with the source's size, however it is damaged. The live state
 * does not change.
 */
gptz_status gptz_salvage(gptz *handle,
                         const gptz_source *source,
                         gptz_write_fn write,
                         gptz_lost_fn lost,
                         void *userdata);

/**
 * Compresses `count` records, each on its own from the handle's base. Record i is the `src_len[i]` bytes at `src[i]`.
 * The compressed records are written to `dst` one after the other without gaps. `dst` has room for `dst_cap` bytes. On
 * success `dst_len[i]` is the compressed length of record i in bytes.
 *
 * Records are for messages, table rows and log lines. They are small if the base has learned from similar content:
 * call gptz_feed with samples, then gptz_snapshot_take and gptz_set_base. The compressed bytes of a record depend only
 * on the method, the base, the length of the check and the record's content. So records may be stored, sent and
 * decompressed one by one, in any order and in any grouping. The live state does not change.
 *
 * A compressed record has no header that names the method or the base: the reader must have the same method and the
 * same base. By default it has no checksum either: damage and a wrong base usually give an error, but not always. With
 * GPTZ_PARAM_RECORD_CHECK each record has a check of 1, 2 or 4 bytes. Records always use the range coder.
 * GPTZ_PARAM_CODER, GPTZ_PARAM_FORMAT and GPTZ_PARAM_CHECKSUM do not apply.
 *
 * Without its check, a compressed record is at most 5 bytes longer than its content. In addition to the memory of the
 * method, a call allocates a list of the records and room for one compressed record.
 *
 * Errors: GPTZ_ERROR_BUFFER_TOO_SMALL if all records together are longer than `dst_cap`; `dst_len` then has the
 * compressed lengths. Such a call takes as long as one that succeeds. GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY.
 * GPTZ_ERROR_ARGUMENT also for a record of 4 GiB or more, and if `dst` or `dst_len` overlaps another array or buffer
 * of the call; `src_len` and `dst_len` must be different arrays. On every other failure all `dst_len` are 0. If
 * `dst_len` is NULL or overlaps another array or buffer, it is not written.
 *
 * `done` and `total` of the progress callback count the bytes of all records.
 */
gptz_status gptz_records_compress(gptz *handle,
                                  const void *const *src,
                                  const size_t *src_len,
                                  size_t count,
                                  void *dst,
                                  size_t dst_cap,
                                  size_t *dst_len);

/**
 * Decompresses `count` records that gptz_records_compress made with the same method and base. Record i is exactly the
 * `src_len[i]` bytes at `src[i]`. The contents are written to `dst` one after the other without gaps. `dst`
 * has room for `dst_cap` bytes. On success `dst_len[i]` is the length of content i in bytes. The live state does not
 * change.
 *
 * The call reads the lengths of all contents before it decodes any.
 *
 * Errors: GPTZ_ERROR_BUFFER_TOO_SMALL if all contents together are longer than `dst_cap`; `dst_len` then has the
 * lengths that the records state. Compare them with the most that you accept before you allocate a buffer.
 * GPTZ_ERROR_TRUNCATED, GPTZ_ERROR_CORRUPT (the message names the record by its index), GPTZ_ERROR_CANCELLED,
 * GPTZ_ERROR_MEMORY, and GPTZ_ERROR_ARGUMENT as for gptz_records_compress. GPTZ_ERROR_METHOD if the method takes more
 * multiplications for a byte than GPTZ_PARAM_WORK_LIMIT allows. On every other failure `dst_len` is as after a failure
 * of gptz_records_compress.
 *
 * A handle of another method or base usually returns GPTZ_ERROR_CORRUPT. Without GPTZ_PARAM_RECORD_CHECK it can also
 * return wrong content without an error. Any input is safe.
 */
gptz_status gptz_records_decompress(gptz *handle,
                                    const void *const *src,
                                    const size_t *src_len,
                                    size_t count,
                                    void *dst,
                                    size_t dst_cap,
                                    size_t *dst_len);

/**
 * Predicts the byte that follows the live state. `probs` has room for `n` floats, and `n` must be 256. On success
 * `probs[b]` is the probability of byte b that the coder would use. Every probability is greater than 0, and their sum
 * is 1 up to rounding. The live state does not change.
 *
 * Errors: GPTZ_ERROR_ARGUMENT also if `n` is not 256; `probs` is then not written. GPTZ_ERROR_MEMORY. On every other
 * failure `probs` is all 0.
 */
gptz_status gptz_predict(gptz *handle, float *probs, size_t n);

/**
 * Appends `len` bytes to the live state, as context of later predictions. A method that learns also learns from them.
 * Feeding a and then b gives the same state as feeding both in one call.
 *
 * Errors: GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY; GPTZ_ERROR_STATE if the method's policy has positions in percent and
 * gptz_live_begin did not state the stream's length. The live state then does not change.
 */
gptz_status gptz_feed(gptz *handle, const void *data, size_t len);

/**
 * Sets the live state to the base, which is the snapshot of the last gptz_set_base, or the state of a new handle if no
 * base was set. The base and the options do not change.
 */
gptz_status gptz_reset(gptz *handle);

/**
 * Measures how well the method, starting from the base, predicts `len` bytes of data. On success `*bits_per_byte` is
 * the mean of -log2 of the probability of each byte; it is 0 if `len` is 0. On failure it is 0. The live state does
 * not change.
 *
 * The result is close to the size of the frame that gptz_compress writes, without headers. It differs for two reasons:
 * gptz_compress stores blocks that do not compress, and it may not learn from them; and it bypasses networks in blocks
 * that they do not make smaller. This call uses and learns from every byte, with all networks.
 *
 * Errors: GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY.
 */
gptz_status gptz_cross_entropy(gptz *handle, const void *data, size_t len, double *bits_per_byte);

/**
 * Measures the cost of each byte of data, in bits, starting from the base. On success `bits[i]` is -log2 of the
 * probability of byte i, given all bytes before it. The costs show which parts of a file are hard to predict. `bits`
 * has room for `len` floats, must be aligned for float, and must not overlap `data`.
 *
 * The sum of `bits` is `len` times the result of gptz_cross_entropy, up to rounding. The live state does not change.
 *
 * Errors: GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY. The content of `bits` is then unspecified.
 */
gptz_status gptz_byte_costs(gptz *handle, const void *data, size_t len, float *bits);

/**
 * Begins a stream over the live state for a method with a policy. Networks first train on the bytes that they were fed
 * and have not trained on. Then the policy starts at position 0 of a stream of `total` bytes. A `total` of UINT64_MAX is
 * a length that is not known; then the policy must have no positions in percent. Call it before gptz_feed if the policy
 * has such positions, and to start the policy again. A method without a policy does nothing here.
 *
 * gptz_compress, records and measures begin a stream of their own length themselves.
 *
 * Errors: GPTZ_ERROR_STATE if the policy has positions in percent and `total` is UINT64_MAX; GPTZ_ERROR_MEMORY.
 */
gptz_status gptz_live_begin(gptz *handle,
                            uint64_t total);

/**
 * Ends a stream over the live state for a method with a policy: networks train on the bytes that they were fed and have
 * not trained on, which are fewer than a segment. gptz_feed does not do this at its end, so that feeding a and then b is
 * the same as feeding both in one call.
 *
 * Errors: GPTZ_ERROR_MEMORY.
 */
gptz_status gptz_live_end(gptz *handle);

/**
 * Feeds `len` bytes to the live state, as gptz_feed does, and measures how well it predicted them. On success
 * `*bits_per_byte` is the mean of -log2 of the probability of each byte; it is 0 if `len` is 0. On failure it is 0.
 *
 * Errors: GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY, and GPTZ_ERROR_STATE as in gptz_feed. The live state then does not
 * change.
 */
gptz_status gptz_cross_entropy_live(gptz *handle, const void *data, size_t len, double *bits_per_byte);

/**
 * Measures how well the method, starting from the base, predicts `len` bytes of data after a prefix of `parts` parts:
 * part i has `prefix_lens[i]` bytes at `prefix[i]`. On success `*bits_per_byte` is the mean of -log2 of the probability
 * of each byte of the data; it is 0 if `len` is 0. On failure it is 0. The live state does not change. Without parts it
 * is gptz_cross_entropy.
 *
 * Errors: GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY.
 */
gptz_status gptz_cross_entropy_conditional(gptz *handle,
                                           const void *const *prefix,
                                           const size_t *prefix_lens,
                                           size_t parts,
                                           const void *data,
                                           size_t len,
                                           double *bits_per_byte);

/**
 * Measures how well the method, starting from the base, predicts two aligned sequences together. The bytes of the two
 * alternate, x first or y first; the order with the lower cost counts. On success `*bits_per_pair` is the mean cost of a
 * pair; it is 0 if a sequence is empty. The longer sequence is cut to the length of the other. On failure
 * `*bits_per_pair` is 0. The live state does not change.
 *
 * Errors: GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY.
 */
gptz_status gptz_cross_entropy_joint(gptz *handle,
                                     const void *x,
                                     size_t x_len,
                                     const void *y,
                                     size_t y_len,
                                     double *bits_per_pair);

/**
 * Opens a weights file. `path` is a NUL-terminated string; on Unix it may be any bytes, elsewhere it must be UTF-8. The
 * file is one of two kinds:
 *
 * - A byte-level RWKV-7 network (a vocabulary of 256): a safetensors file with the tensor names of
 *   flash-linear-attention. Tensors are F32, F16, BF16, or I8 with an F32 tensor NAME.scale that has one factor for each
 *   row. The whole file is read into memory. It may be changed or deleted after the call.
 * - A transformer: Gemma 1, 2 or 3 (text), or one of the LLaMA family. Either a GGUF file, whose metadata describe the
 *   model and its vocabulary. Or a safetensors file with the names of HuggingFace, and the file config.json in the same
 *   folder. Files without a vocabulary have it in tokenizer.json in the same folder; without that file the model has
 *   no text, only tokens. Tensors may have any type that gptz_tensor_reader_read_f32 reads. The matrices are kept as
 *   int8, so that the model takes a little more than a byte for each weight, whatever the file has. The file is read
 *   again only by a generator with "weights=f32". Transformers generate text (gptz_generator_create).
 *   gptz_create_from_model refuses them with GPTZ_ERROR_METHOD.
 *
 * On success `*out` is the model; free it with gptz_model_free. On failure `*out` is NULL.
 *
 * Errors: GPTZ_ERROR_IO, GPTZ_ERROR_MODEL (the message names the tensor or the key, what was found and what was
 * expected), GPTZ_ERROR_MEMORY.
 */
gptz_status gptz_model_open(const char *path,
                            gptz_model **out);

/**
 * Opens the weights file of a byte-level network whose `len` bytes are in memory at `data`. The bytes are copied. In all other respects the call
 * does what gptz_model_open does; GPTZ_ERROR_IO cannot occur.
 */
gptz_status gptz_model_from_memory(const void *data,
                                   size_t len,
                                   gptz_model **out);

/**
 * Opens the newest model that the library carries, which the default method uses. Free it with gptz_model_free.
 * Callers that have it open at the same time share its memory.
 *
 * Most programs do not need this call, because a method string can name the model ("builtin:1"), and a reader of the
 * frames then needs no other file. The call is for reading the model's fingerprint, and for creating handles with
 * gptz_create_from_model. The frames of such a handle contain the fingerprint, like those of any other model, so their
 * reader must have the model open.
 *
 * Returns NULL on failure, and gptz_last_error describes it: either the library was built without models, or an
 * allocation failed. gptz_create with the method "builtin:1" returns the status that fits, GPTZ_ERROR_METHOD or
 * GPTZ_ERROR_MEMORY. To find out without opening a model whether the library carries models, look for "builtin:" in
 * the last level's method; see gptz_level_method.
 */
gptz_model *gptz_model_builtin(void);

/**
 * Writes the fingerprint of the weights to `out`, which has room for 32 bytes. The fingerprint is a SHA-256 of the
 * names and values of all tensors. It does not depend on the type and layout in which the file holds the values.
 * Models with equal fingerprints make equal predictions. A frame that needs weights from a file contains the first 8
 * bytes of their fingerprint.
 *
 * On failure `out`, unless it is NULL, is all 0.
 */
gptz_status gptz_model_fingerprint(const gptz_model *model, uint8_t *out);

/**
 * Reads a property of a model, `what`, one of GPTZ_MODEL_... , into `*value`. On failure `*value` is 0.
 *
 * Errors: GPTZ_ERROR_ARGUMENT if there is no such property.
 */
gptz_status gptz_model_info(const gptz_model *model, int what, int64_t *value);

/**
 * Frees a model. NULL is allowed and does nothing. If `model` points to another object, the call frees nothing, and
 * gptz_last_error returns the reason.
 */
void gptz_model_free(gptz_model *model);

/**
 * Cuts `len` bytes of text into tokens of the model's vocabulary. `tokens` has room for `cap` of them. On success `*n`
 * is their number. It is at most `len` + 1 if the text is not normalised. The tokens of a byte-level model are the bytes.
 *
 * The text may be any bytes, and gptz_detokenize gives them back. (A model with a character map of SentencePiece, such as
 * T5, is an exception: its text is first normalised by that map, and gptz_detokenize gives the normalised text.) No token
 * is added at the start or the end. Text that looks like a control token, such as "<|endoftext|>", becomes ordinary tokens:
 * this call never gives a control token.
 *
 * Errors: GPTZ_ERROR_BUFFER_TOO_SMALL if `cap` is less than the number of tokens; `*n` is then that number. To ask for
 * it, pass NULL and 0; the last message then does not change. GPTZ_ERROR_ARGUMENT also if a byte has no token in the
 * vocabulary; the message has the byte and its offset. GPTZ_ERROR_MEMORY. On every other failure `*n` is 0.
 */
gptz_status gptz_tokenize(const gptz_model *model,
                          const void *text,
                          size_t len,
                          uint32_t *tokens,
                          size_t cap,
                          size_t *n);

/**
 * Writes the bytes of `n` tokens to `dst`, which has room for `cap` bytes. On success `*len` is their number. Control
 * tokens have no bytes. A token may be a part of a character.
 *
 * The tokens are those of a whole text: if the model puts a space in front of each text, as LLaMA 2 does, gptz_tokenize
 * puts it there, and this call removes it.
 *
 * Errors: GPTZ_ERROR_BUFFER_TOO_SMALL if `cap` is less than the number of bytes; `*len` is then that number. To ask for
 * it, pass NULL and 0; the last message then does not change. GPTZ_ERROR_ARGUMENT also for a number that is not a token
 * of the vocabulary; the message has its index. GPTZ_ERROR_MEMORY. On every other failure `*len` is 0.
 */
gptz_status gptz_detokenize(const gptz_model *model,
                            const uint32_t *tokens,
                            size_t n,
                            void *dst,
                            size_t cap,
                            size_t *len);

/**
 * Creates a generator of a model, without a history. The model may be freed before the generator.
 *
 * `options` is NULL for the defaults, or a string of pairs, such as "context=2048,full=slide", for a transformer:
 *
 *   context=N        the most tokens; 4096, or the model's context if that is less
 *   full=error       a full context is GPTZ_ERROR_STATE (default)
 *   full=slide       a full context loses its oldest token after the first four
 *   weights=i8|f32   the type of the matrices, i8 by default; f32 is slow and for checking
 *   cache=i8|f16|f32 the type of the keys and values; i8 by default, f32 with weights=f32
 *   memory=BYTES     the most bytes of keys and values; 2^30 by default
 *
 * A byte-level network has no options. Its tokens are bytes, and its context has no end.
 *
 * On success `*out` is the generator; free it with gptz_generator_free. On failure `*out` is NULL.
 *
 * Errors: GPTZ_ERROR_ARGUMENT, GPTZ_ERROR_MEMORY; with weights=f32 also GPTZ_ERROR_IO, and GPTZ_ERROR_MODEL if the file
 * has changed.
 */
gptz_status gptz_generator_create(const gptz_model *model, const char *options, gptz_generator **out);

/**
 * Creates a generator of bytes from the live state of a handle, which may have any method: a mix, a GRU, the network that
 * the library carries. The generator has a copy of the state, so later calls on either do not affect the other.
 *
 * What the handle was fed is the context of the generator, but not part of its history: gptz_generator_step may follow at
 * once, and gptz_generator_prefill starts from the copied state. A method that learns also learns from the tokens.
 * `options` is NULL or empty.
 *
 * On success `*out` is the generator; free it with gptz_generator_free. On failure `*out` is NULL.
 *
 * Errors: GPTZ_ERROR_ARGUMENT, GPTZ_ERROR_MEMORY.
 */
gptz_status gptz_generator_create_from_handle(const gptz *handle,
                                              const char *options,
                                              gptz_generator **out);

/**
 * Frees a generator. NULL is allowed and does nothing. If the generator is in a call, or `generator` points to another
 * object, the call frees nothing, and gptz_last_error returns the reason.
 */
void gptz_generator_free(gptz_generator *generator);

/**
 * Returns the message of the last call on this generator that failed, as gptz_handle_error does for a handle.
 */
const char *gptz_generator_error(const gptz_generator *generator);

/**
 * Sets the progress callback of gptz_generator_prefill; see gptz_progress_fn. `done` and `total` count tokens. NULL for
 * `callback` removes it.
 */
gptz_status gptz_generator_set_progress(gptz_generator *generator, gptz_progress_fn callback, void *userdata);

/**
 * Sets how gptz_generator_step chooses. `sampler` is NULL for greedy: the token with the largest logit, of equal ones the
 * smallest. Or it is a string of pairs: "temperature=0.8,seed=1". A temperature from 0.001 to 1000 draws a token at random
 * with the probabilities of softmax(logits / temperature); 0 is greedy. Equal seeds and histories draw equal tokens, on
 * every machine. Other keys are not supported yet.
 *
 * Errors: GPTZ_ERROR_ARGUMENT; the sampler does not change.
 */
gptz_status gptz_generator_set_sampler(gptz_generator *generator,
                                       const char *sampler);

/**
 * Replaces the history by `n` tokens, at least one. The longest prefix that the old history has too is not computed again
 * where it can be kept: a transformer keeps it unless its context has slid, a byte-level model keeps the old history as a
 * whole or not at all.
 *
 * `logits` is NULL and `logits_len` 0, or `logits` has room for a float for each token of the vocabulary, and
 * `logits_len` is their number: the logits of the token that comes next. Those of a byte-level model are the natural
 * logarithms of the probabilities.
 *
 * Errors: GPTZ_ERROR_ARGUMENT for no tokens, a token that the vocabulary does not have, or another `logits_len`.
 * GPTZ_ERROR_STATE if the tokens do not fit the context. The history does not change then. GPTZ_ERROR_CANCELLED,
 * GPTZ_ERROR_MEMORY: the history is then the part of the tokens that was computed, and decode and step must wait for
 * another prefill. The same call goes on from there.
 */
gptz_status gptz_generator_prefill(gptz_generator *generator,
                                   const uint32_t *tokens,
                                   size_t n,
                                   float *logits,
                                   size_t logits_len);

/**
 * Appends a token to the history. `logits` and `logits_len` are as in gptz_generator_prefill.
 *
 * Errors: GPTZ_ERROR_ARGUMENT for a token that the vocabulary does not have, or another `logits_len`. GPTZ_ERROR_STATE
 * before the first prefill, or if the context is full. GPTZ_ERROR_MEMORY. The history does not change.
 */
gptz_status gptz_generator_decode(gptz_generator *generator, uint32_t token, float *logits, size_t logits_len);

/**
 * Chooses a token (gptz_generator_set_sampler), appends it to the history and writes it to `*token`. On failure `*token`
 * is 0.
 *
 * Errors: GPTZ_ERROR_STATE before the first prefill, or if the context is full. GPTZ_ERROR_MEMORY. The history does not
 * change.
 */
gptz_status gptz_generator_step(gptz_generator *generator,
                                uint32_t *token);

/**
 * Makes up to `n` steps (gptz_generator_step) and passes each token to `callback`, which may stop the call. NULL for
 * `callback` is allowed. On success `*made` is the number of steps. It is 0 on failure; the tokens before the failure are
 * in the history.
 *
 * Errors: as gptz_generator_step.
 */
gptz_status gptz_generator_generate(gptz_generator *generator,
                                    size_t n,
                                    gptz_token_fn callback,
                                    void *userdata,
                                    size_t *made);

/**
 * Copies the history to `tokens`, which has room for `cap` tokens. On success `*n` is their number.
 *
 * Errors: GPTZ_ERROR_BUFFER_TOO_SMALL if `cap` is less than the number of tokens; `*n` is then that number. To ask for
 * it, pass NULL and 0. On every other failure `*n` is 0.
 */
gptz_status gptz_generator_tokens(const gptz_generator *generator, uint32_t *tokens, size_t cap, size_t *n);

/**
 * Copies the live state into a new snapshot. On success `*out` is the snapshot; free it with gptz_snapshot_free. On
 * failure `*out` is NULL. The live state does not change.
 *
 * Errors: GPTZ_ERROR_MEMORY.
 */
gptz_status gptz_snapshot_take(const gptz *handle, gptz_snapshot **out);

/**
 * Replaces the live state by the state of a snapshot. The base and the snapshot do not change. The snapshot may be
 * freed after the call.
 *
 * Errors: GPTZ_ERROR_MISMATCH, GPTZ_ERROR_MEMORY. The live state then does not change.
 */
gptz_status gptz_snapshot_restore(gptz *handle, const gptz_snapshot *snapshot);

/**
 * Makes a snapshot the base of the handle. All later calls that compress, decompress or measure start from it, and
 * gptz_reset sets the live state to it. NULL makes the state of a new handle the base. The live state does not change.
 * The snapshot may be freed after the call.
 *
 * A base makes small messages small: feed samples to a handle, take a snapshot, and make it the base of the handles on
 * both sides. A version 3 frame contains 8 bytes that identify its base. A handle with another base returns
 * GPTZ_ERROR_MISMATCH for it.
 *
 * Errors: GPTZ_ERROR_MISMATCH. The base then does not change.
 */
gptz_status gptz_set_base(gptz *handle, const gptz_snapshot *snapshot);

/**
 * Writes a snapshot in a portable form. On success `*len` is its length. Every later process, on any CPU, can load it
 * with gptz_snapshot_load and continue with the same bits, if its library has the same numerics version.
 *
 * The form contains what the fed bytes have changed, not all of the state: see README for sizes. `dst` NULL and `cap`
 * 0 is a query: the call returns GPTZ_ERROR_BUFFER_TOO_SMALL and the length. It takes as much time as a save, because
 * the length is known only then.
 *
 * The form is not encrypted and contains fed text. docs/FORMAT.md specifies it.
 *
 * Errors: GPTZ_ERROR_BUFFER_TOO_SMALL (`*len` is then the length that is needed), GPTZ_ERROR_MEMORY.
 */
gptz_status gptz_snapshot_save(const gptz_snapshot *snapshot, void *dst, size_t cap, size_t *len);

/**
 * Makes a snapshot from the portable form that gptz_snapshot_save wrote. On success `*out` is the snapshot; free it
 * with gptz_snapshot_free. On failure `*out` is NULL. `src` may be freed after the call.
 *
 * The snapshot has the identifier of the one that was saved. It may be used as a base and as a live state. A handle of
 * another method or other weights returns GPTZ_ERROR_MISMATCH when it is given the snapshot; the message names both.
 *
 * `src` need not be trusted: damage is told, and no more memory is taken than the method's state can have. But who
 * wrote it chose what a base predicts.
 *
 * Errors: GPTZ_ERROR_FORMAT (no snapshot, or of an unknown version), GPTZ_ERROR_TRUNCATED, GPTZ_ERROR_CORRUPT,
 * GPTZ_ERROR_NUMERICS (written by a library with another numerics version), GPTZ_ERROR_MEMORY.
 */
gptz_status gptz_snapshot_load(const void *src, size_t src_len, gptz_snapshot **out);

/**
 * Writes the identifier of a snapshot, which version 3 frames contain if it is their base, to `id`. It is a hash of
 * the method, the weights and all bytes that the state has observed: two snapshots have the same identifier if and
 * only if they have the same method, weights and history. On failure `id`, unless it is NULL, is all 0.
 */
gptz_status gptz_snapshot_id(const gptz_snapshot *snapshot, uint8_t *id);

/**
 * Frees a snapshot. A handle may still have it as its base. NULL is allowed and does nothing. If `snapshot` points to
 * another object, the call frees nothing, and gptz_last_error returns the reason.
 */
void gptz_snapshot_free(gptz_snapshot *snapshot);

/**
 * Reads what the last call on this handle took, of the calls that compress, decompress, feed or measure and that
 * succeeded. Before the first such call all values but `can_learn` are 0. The caller sets `stats->size` to
 * sizeof(gptz_stats). On failure all other values are 0.
 *
 * Errors: GPTZ_ERROR_ARGUMENT if `stats->size` is smaller than the struct of this version; the struct is then not
 * written. A larger size is allowed: a program that was compiled with a later header may use this library. What this
 * library does not know is not written.
 */
gptz_status gptz_stats_get(const gptz *handle, gptz_stats *stats);

/**
 * Opens a tensor file, of whatever of the three formats. `path` is as in gptz_model_open.
 *
 * The call reads and checks the metadata and the list of tensors. The tensors' bytes are read by the later calls; the
 * file is never mapped into memory. Tensors that inference does not need (those that predict several tokens ahead, and
 * tables that are computed) and tensors of types without a GPTZ_DTYPE_... are left out; the metadata list them.
 *
 * On success `*out` is the reader; free it with gptz_tensor_reader_free. On failure `*out` is NULL.
 *
 * Errors: GPTZ_ERROR_IO, GPTZ_ERROR_MODEL (the message says what was found and what was expected), GPTZ_ERROR_MEMORY.
 */
gptz_status gptz_tensor_reader_open(const char *path, gptz_tensor_reader **out);

/**
 * Gets the number of tensors. On failure `*n` is 0.
 */
gptz_status gptz_tensor_reader_count(const gptz_tensor_reader *reader, uint64_t *n);

/**
 * Gets the metadata of the file as JSON in UTF-8 with a final NUL. `json` has room for `cap` bytes. On success `*len` is
 * their number without the NUL.
 *
 * Each value has its type: {"general.alignment":{"u32":32},"tokenizer.ggml.tokens":{"string":["a","b"]}}. The types are
 * u8, i8, u16, i16, u32, i32, u64, i64, f32, f64, bool, string, and json for values of APR files that no other type
 * holds. An array is a list. Numbers that are not finite are the strings "nan", "inf" and "-inf". If tensors are left
 * out, the key gptz.skipped has an array of their names. gptz_tensor_writer_open takes this JSON as it is.
 *
 * Errors: GPTZ_ERROR_BUFFER_TOO_SMALL if `cap` is less than what is needed; `*len` is then what is needed, with the NUL. To
 * ask for it, pass NULL and 0; the last message then does not change. GPTZ_ERROR_MEMORY. On every other failure `*len` is 0.
 */
gptz_status gptz_tensor_reader_metadata(const gptz_tensor_reader *reader,
                                        char *json,
                                        size_t cap,
                                        size_t *len);

/**
 * Gets the description of the tensor `index`, counted from 0 in the order of the file: its name in UTF-8, its type (one
 * of GPTZ_DTYPE_...), its `*dims` dimensions (at most 8) with the outermost first, and the number of its bytes. The
 * values of the last dimension are neighbours. The name and the shape stand until the reader is freed. An out-parameter
 * that is NULL is left out.
 *
 * Errors: GPTZ_ERROR_ARGUMENT also if `index` is too large. On failure the out-parameters are NULL or 0.
 */
gptz_status gptz_tensor_reader_info(const gptz_tensor_reader *reader,
                                    uint64_t index,
                                    const char **name,
                                    int *dtype,
                                    const uint64_t **shape,
                                    size_t *dims,
                                    uint64_t *bytes);

/**
 * Reads the bytes of the tensor `index` as they are in the file to `dst`, which has room for `cap` bytes.
 *
 * Errors: GPTZ_ERROR_BUFFER_TOO_SMALL if `cap` is less than the number of its bytes. GPTZ_ERROR_ARGUMENT also if `index`
 * is too large. GPTZ_ERROR_IO, also if the file has become shorter since it was opened.
 */
gptz_status gptz_tensor_reader_read(const gptz_tensor_reader *reader,
                                    uint64_t index,
                                    void *dst,
                                    size_t cap);

/**
 * Reads the values of the tensor `index` to `dst`, which has room for `n` floats. Quantised values are converted by the
 * arithmetic of the formats' own libraries; the result is the same on every machine. The call takes 256 KiB of memory.
 *
 * Errors: GPTZ_ERROR_BUFFER_TOO_SMALL if `n` is less than the number of values. GPTZ_ERROR_ARGUMENT also if `index` is
 * too large or `dst` is not aligned. GPTZ_ERROR_MODEL for a scale that is not finite, and for an I8 tensor without
 * scales. GPTZ_ERROR_IO, GPTZ_ERROR_MEMORY.
 */
gptz_status gptz_tensor_reader_read_f32(const gptz_tensor_reader *reader, uint64_t index, float *dst, size_t n);

/**
 * Frees a reader. NULL is allowed and does nothing. If `reader` points to another object, the call frees nothing, and
 * gptz_last_error returns the reason.
 */
void gptz_tensor_reader_free(gptz_tensor_reader *reader);

/**
 * Starts a tensor file in `format`, one of GPTZ_TENSORS_... . `path` is as in gptz_model_open. `metadata_json` is JSON
 * as gptz_tensor_reader_metadata gives it, or NULL for none; its key gptz.skipped is ignored.
 *
 * Tensors go to an unnamed temporary file in the folder of `path`. gptz_tensor_writer_finish makes the file. Until then
 * nothing is at `path`, or what was there before.
 *
 * All types of metadata come back from all three formats, with one exception: values of the type json become strings
 * in GGUF files. Where a format does not show a type, the file has the key gptz.types.
 *
 * On success `*out` is the writer; free it with gptz_tensor_writer_free. On failure `*out` is NULL.
 *
 * Errors: GPTZ_ERROR_ARGUMENT also for a format that does not exist, and for metadata that are malformed or do not fit
 * the format (the message has the key). GPTZ_ERROR_IO if the folder cannot be written to. GPTZ_ERROR_MEMORY.
 */
gptz_status gptz_tensor_writer_open(const char *path, int format, const char *metadata_json, gptz_tensor_writer **out);

/**
 * Adds a tensor by its bytes, as the type `dtype` (one of GPTZ_DTYPE_...) stores them. `name` is a string in UTF-8.
 * `shape` has `dims` dimensions, at most 8, the outermost first.
 *
 * APR files have the types F32, F16, BF16, I8, Q8, Q4, Q4_K and Q6_K, and names of at most 256 bytes; safetensors files
 * F32, F16, BF16 and I8; GGUF files all but Q8 and Q4.
 *
 * Errors: GPTZ_ERROR_ARGUMENT also for a type that the format does not have, a shape that overflows or is not a whole
 * number of blocks, a `len` that does not fit the shape, and a name that was added before; the writer is then as it was.
 * GPTZ_ERROR_IO if the bytes cannot be written, for example to a full disk; the writer can then only be freed, and other
 * calls return GPTZ_ERROR_STATE, as they do after gptz_tensor_writer_finish. GPTZ_ERROR_BUSY, GPTZ_ERROR_MEMORY.
 */
gptz_status gptz_tensor_writer_add(gptz_tensor_writer *writer,
                                   const char *name,
                                   int dtype,
                                   const uint64_t *shape,
                                   size_t dims,
                                   const void *data,
                                   size_t len);

/**
 * Adds a tensor by its `n` values, which are converted to `dtype`. In all other respects the call does what
 * gptz_tensor_writer_add does.
 *
 * F16 and BF16 round to the nearest number, halves to even. Q8 and Q4 are converted as the library aprender converts
 * them; Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1 as the Python package gguf does; Q4_K, Q5_K and Q6_K as llama.cpp does without an
 * importance matrix. I8 adds two tensors: the values of each row, where the first dimension counts rows, divided by the
 * row's scale and rounded; and the F32 tensor NAME.scale with the scales, the largest magnitude of each row / 127.
 *
 * Errors: GPTZ_ERROR_ARGUMENT also for a value that is too large for the type or, except for F32, is not finite; for I8,
 * if NAME.scale was added before or rows have no values; and if `data` is not aligned.
 */
gptz_status gptz_tensor_writer_add_f32(gptz_tensor_writer *writer,
                                       const char *name,
                                       int dtype,
                                       const uint64_t *shape,
                                       size_t dims,
                                       const float *data,
                                       size_t n);

/**
 * Gets the number of tensors that were added, and of the bytes that they take with the padding between them. `tensors`
 * or `bytes` may be NULL. On failure both are 0.
 */
gptz_status gptz_tensor_writer_counts(const gptz_tensor_writer *writer, uint64_t *tensors, uint64_t *bytes);

/**
 * Finishes the file: writes it under a temporary name in its folder, syncs it and renames it to its path. The writer
 * can then only be freed, also after a failure, which leaves nothing behind.
 *
 * Errors: GPTZ_ERROR_IO, GPTZ_ERROR_STATE if an earlier write failed or the writer is finished, GPTZ_ERROR_BUSY,
 * GPTZ_ERROR_MEMORY.
 */
gptz_status gptz_tensor_writer_finish(gptz_tensor_writer *writer);

/**
 * Frees a writer. A file that was not finished is dropped, and nothing of it is left behind. NULL is allowed and does
 * nothing. If `writer` points to another object, the call frees nothing, and gptz_last_error returns the reason.
 */
void gptz_tensor_writer_free(gptz_tensor_writer *writer);

#ifdef __cplusplus
}  /* extern "C" */
#endif  /* __cplusplus */

#endif  /* GPTZ_H */
