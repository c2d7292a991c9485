/*
 * gptz for C++17: the calls of gptz.h as classes that own their handles, throw exceptions and return containers. The
 * wrapper consists of this header only; link with gptz.
 *
 *     gptz_cpp::compressor z;                                        // the default method
 *     std::vector<std::byte> frame = z.compress(text);               // a std::string, a vector, a span, ...
 *     std::vector<std::byte> back = gptz_cpp::compressor::for_frame(frame).decompress(frame);
 *
 * gptz.h is the manual. The comments here describe what C++ adds to it. The namespace is gptz_cpp because gptz is the
 * name of the C handle's type.
 *
 * Conventions:
 * - Errors. A call that fails throws gptz_cpp::error, which has the status and the library's message for that call. The
 *   object does not change then. Allocating a result or a callback can throw std::bad_alloc.
 * - Ownership. A compressor, a model, a snapshot, a reader, a tensor_reader and a tensor_writer each own their C object and free it in their destructor. They may
 *   be destroyed in any order. They can be moved but not copied. After a move, the source may be destroyed or assigned
 *   to, and its handle() returns nullptr. Every other call on it throws GPTZ_ERROR_ARGUMENT.
 * - Threads. A compressor may move between threads and serves one call at a time. A second call throws GPTZ_ERROR_BUSY;
 *   this check finds mistakes and is not a lock. Do not move, assign to or destroy a compressor while it is in a call,
 *   neither from another thread nor from its own callback. Any number of threads may use a const model or snapshot at
 *   the same time.
 * - Exceptions of a callback do not pass through the C library: see compressor::set_progress.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#ifndef GPTZ_HPP
#define GPTZ_HPP

#if !(__cplusplus >= 201703L || (defined(_MSVC_LANG) && _MSVC_LANG >= 201703L))
#error "gptz.hpp needs C++17 or later; gptz.h serves every C++"
#else

#include <gptz.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <istream>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <streambuf>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace gptz_cpp {

/**
 * The exception that a failing call throws. what() is the name of the status and a message: "GPTZ_ERROR_FORMAT: ...".
 */
class error : public std::runtime_error {
public:
    error(gptz_status status, const std::string &text, std::size_t needed = 0)
        : std::runtime_error(std::string(gptz_status_name(status)) + ": " + text), status_(status), needed_(needed)
    {
    }

    /** One of GPTZ_ERROR_... . Programs should test this; the text is for people. */
    gptz_status status() const noexcept { return status_; }

    /**
     * The size in bytes that is needed, after GPTZ_ERROR_BUFFER_TOO_SMALL, or if the content is longer than the limit
     * of decompress(). 0 if the size is not known, and after all other errors.
     */
    std::size_t needed() const noexcept { return needed_; }

private:
    gptz_status status_;
    std::size_t needed_;
};

/** Private to this header. It may change with every version. */
namespace detail {

template <class T>
struct is_byte : std::false_type {};
template <>
struct is_byte<std::byte> : std::true_type {};
template <>
struct is_byte<char> : std::true_type {};
template <>
struct is_byte<signed char> : std::true_type {};
template <>
struct is_byte<unsigned char> : std::true_type {};
#ifdef __cpp_char8_t
template <>
struct is_byte<char8_t> : std::true_type {};
#endif

template <class T>
using data_of = decltype(std::declval<const T &>().data());
template <class T>
using size_of = decltype(static_cast<std::size_t>(std::declval<const T &>().size()));

template <class T, class = void>
struct is_byte_range : std::false_type {};
template <class T>
struct is_byte_range<T, std::void_t<data_of<T>, size_of<T>>>
    : std::conjunction<std::is_pointer<data_of<T>>, is_byte<std::remove_const_t<std::remove_pointer_t<data_of<T>>>>> {};

/** Throws an error with the message of this thread's last call that failed. */
[[noreturn]] inline void raise(gptz_status status, std::size_t needed = 0)
{
    throw error(status, gptz_last_error(), needed);
}

inline void check(gptz_status status)
{
    if (status != GPTZ_OK)
        raise(status);
}

/** Throws an error with the message of the last call on the handle that failed. A handle does not keep GPTZ_ERROR_BUSY. */
[[noreturn]] inline void raise_for(const gptz *handle, gptz_status status, std::size_t needed = 0)
{
    const char *text = status == GPTZ_ERROR_BUSY ? "" : gptz_handle_error(handle);
    throw error(status, *text != '\0' ? text : gptz_last_error(), needed);
}

/** The text as a C string. A zero byte in it is an error, because it would end the C string. */
inline const char *c_string(const std::string &text, const char *what)
{
    if (text.find('\0') != std::string::npos)
        throw error(GPTZ_ERROR_ARGUMENT, std::string(what) + " has a zero byte in it");
    return text.c_str();
}

struct free_handle {
    void operator()(gptz *p) const noexcept { gptz_free(p); }
};
struct free_model {
    void operator()(gptz_model *p) const noexcept { gptz_model_free(p); }
};
struct free_generator {
    void operator()(gptz_generator *p) const noexcept { gptz_generator_free(p); }
};
struct free_snapshot {
    void operator()(gptz_snapshot *p) const noexcept { gptz_snapshot_free(p); }
};
struct free_reader {
    void operator()(gptz_reader *p) const noexcept { gptz_reader_free(p); }
};
struct free_tensor_reader {
    void operator()(gptz_tensor_reader *p) const noexcept { gptz_tensor_reader_free(p); }
};
struct free_tensor_writer {
    void operator()(gptz_tensor_writer *p) const noexcept { gptz_tensor_writer_free(p); }
};

/** A source's function. It is on the heap, so that the library's pointer to it stays valid after its reader is moved. */
struct source {
    std::function<std::size_t(std::uint64_t, void *, std::size_t)> read_at;
    std::exception_ptr thrown;

    static std::int64_t call(void *opaque, std::uint64_t offset, void *dst, std::size_t len) noexcept
    {
        source &self = *static_cast<source *>(opaque);
        try {
            return static_cast<std::int64_t>(self.read_at(offset, dst, len));
        } catch (...) {
            self.thrown = std::current_exception();
            return -1;
        }
    }

    /** Throws what the function threw, or the error of a call that failed. */
    void check(gptz_status status)
    {
        if (status != GPTZ_OK && thrown)
            std::rethrow_exception(std::exchange(thrown, nullptr));
        detail::check(status);
    }
};

/** A callback. It is on the heap, so that the library's pointer to it stays valid after its compressor is moved. */
struct progress {
    std::function<bool(std::uint64_t, std::uint64_t)> callback;
    std::exception_ptr thrown;

    static int call(void *userdata, std::uint64_t done, std::uint64_t total) noexcept
    {
        progress &self = *static_cast<progress *>(userdata);
        try {
            return self.callback(done, total) ? 0 : 1;
        } catch (...) {
            self.thrown = std::current_exception();
            return 1;
        }
    }
};

} // namespace detail

/**
 * A view of bytes: a pointer and a length. It does not own the bytes. As the argument of a call it may refer to a
 * temporary, because the temporary lives until the call returns.
 *
 * It converts from every type that has data() and size() and elements of one byte (std::byte, char, signed char,
 * unsigned char, char8_t), such as std::string, std::string_view, std::vector, std::array and std::span, and from
 * arrays of such elements. It does not convert from string literals and other arrays of const char, because their final
 * zero may or may not be content: write std::string_view("text") or bytes_view(array, sizeof array).
 */
class bytes_view {
public:
    constexpr bytes_view() noexcept = default;

    /** `size` bytes at `data`. nullptr is allowed for a size of 0. */
    constexpr bytes_view(const void *data, std::size_t size) noexcept : data_(data), size_(size) {}

    template <class Range, std::enable_if_t<detail::is_byte_range<Range>::value, int> = 0>
    constexpr bytes_view(const Range &range) : data_(range.data()), size_(static_cast<std::size_t>(range.size()))
    {
    }

    /** The whole array. */
    template <class T, std::size_t N, std::enable_if_t<detail::is_byte<std::remove_const_t<T>>::value, int> = 0>
    constexpr bytes_view(T (&array)[N]) noexcept : data_(array), size_(N)
    {
    }

    template <std::size_t N>
    bytes_view(const char (&)[N]) = delete;

    constexpr const void *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }

private:
    const void *data_ = nullptr;
    std::size_t size_ = 0;
};

/**
 * The weights of a network. A model is immutable, and any number of compressors and threads may share it. A compressor
 * keeps the weights that it uses in memory, so the model may be destroyed first.
 */
class model {
public:
    /** Opens a weights file: gptz_model_open. */
    [[nodiscard]] static model open(const std::string &path)
    {
        gptz_model *p = nullptr;
        detail::check(gptz_model_open(detail::c_string(path, "the path"), &p));
        return model(p);
    }

    /** Opens the newest model that the library carries. gptz_model_builtin. */
    [[nodiscard]] static model builtin()
    {
        gptz_model *p = gptz_model_builtin();
        if (p == nullptr) {
            // The call returns no status. Creating a handle fails for the same reason; if it does not fail, an allocation
            // had failed before.
            const std::string text = gptz_last_error();
            gptz *handle = nullptr;
            const gptz_status status = gptz_create("builtin:1", &handle);
            gptz_free(handle);
            throw error(status != GPTZ_OK ? status : GPTZ_ERROR_MEMORY, text);
        }
        return model(p);
    }

    /** Whether the library carries models. If not, builtin() throws GPTZ_ERROR_METHOD. Allocates nothing. */
    [[nodiscard]] static bool carried() noexcept
    {
        for (int level = 1; const char *method = gptz_level_method(level); level++)
            if (std::strstr(method, "builtin:") != nullptr)
                return true;
        return false;
    }

    /** Opens a weights file that is in memory; the bytes are copied. gptz_model_from_memory. */
    [[nodiscard]] static model from_memory(bytes_view file)
    {
        gptz_model *p = nullptr;
        detail::check(gptz_model_from_memory(file.data(), file.size(), &p));
        return model(p);
    }

    /** Returns the fingerprint of the weights. gptz_model_fingerprint. */
    [[nodiscard]] std::array<std::uint8_t, 32> fingerprint() const
    {
        std::array<std::uint8_t, 32> print{};
        detail::check(gptz_model_fingerprint(handle(), print.data()));
        return print;
    }

    /** Reads a property, one of GPTZ_MODEL_... . gptz_model_info. */
    [[nodiscard]] std::int64_t info(int what) const
    {
        std::int64_t value = 0;
        detail::check(gptz_model_info(handle(), what, &value));
        return value;
    }

    /** Cuts a text into tokens of the model's vocabulary. gptz_tokenize. */
    [[nodiscard]] std::vector<std::uint32_t> tokenize(bytes_view text) const
    {
        std::size_t n = 0;
        std::vector<std::uint32_t> tokens(text.size() + 1);
        detail::check(gptz_tokenize(handle(), text.data(), text.size(), tokens.data(), tokens.size(), &n));
        tokens.resize(n);
        return tokens;
    }

    /** Returns the bytes of the tokens of a text. gptz_detokenize. */
    [[nodiscard]] std::vector<std::byte> detokenize(const std::vector<std::uint32_t> &tokens) const
    {
        std::size_t n = 0;
        gptz_status status = gptz_detokenize(handle(), tokens.data(), tokens.size(), nullptr, 0, &n);
        if (status != GPTZ_ERROR_BUFFER_TOO_SMALL)
            detail::check(status);
        std::vector<std::byte> text(n);
        if (n > 0)
            detail::check(gptz_detokenize(handle(), tokens.data(), tokens.size(), text.data(), n, &n));
        return text;
    }

    /** The C object, for calls of gptz.h. Do not free it. */
    const gptz_model *handle() const noexcept { return handle_.get(); }

private:
    explicit model(gptz_model *p) noexcept : handle_(p) {}

    std::unique_ptr<gptz_model, detail::free_model> handle_;
};

/**
 * A copy of a live state, made by compressor::snapshot(). It is immutable and independent of its compressor, and any
 * number of threads may share it. It fits compressors of the same method and weights; others throw GPTZ_ERROR_MISMATCH.
 */
class snapshot {
public:
    /** Makes a snapshot from the portable form that save() returned. gptz_snapshot_load. */
    [[nodiscard]] static snapshot load(bytes_view portable)
    {
        gptz_snapshot *p = nullptr;
        detail::check(gptz_snapshot_load(portable.data(), portable.size(), &p));
        return snapshot(p);
    }

    /** Returns the portable form, which other processes and machines can load. gptz_snapshot_save. */
    [[nodiscard]] std::vector<std::byte> save() const
    {
        std::size_t size = 0;
        const gptz_status status = gptz_snapshot_save(handle(), nullptr, 0, &size);
        if (status != GPTZ_ERROR_BUFFER_TOO_SMALL)
            detail::check(status);
        std::vector<std::byte> portable(size);
        detail::check(gptz_snapshot_save(handle(), portable.data(), portable.size(), &size));
        return portable;
    }

    /** Returns the identifier by which frames name their base. gptz_snapshot_id. */
    [[nodiscard]] std::array<std::uint8_t, 8> id() const
    {
        std::array<std::uint8_t, 8> found{};
        detail::check(gptz_snapshot_id(handle(), found.data()));
        return found;
    }

    /** The C object, for calls of gptz.h. Do not free it. */
    const gptz_snapshot *handle() const noexcept { return handle_.get(); }

private:
    friend class compressor;
    explicit snapshot(gptz_snapshot *p) noexcept : handle_(p) {}

    std::unique_ptr<gptz_snapshot, detail::free_snapshot> handle_;
};

/** Returns a value of the first frame of `frames`, one of GPTZ_FRAME_... . gptz_frame_info. */
[[nodiscard]] inline std::int64_t frame_info(bytes_view frames, int what)
{
    std::int64_t value = 0;
    detail::check(gptz_frame_info(frames.data(), frames.size(), what, &value));
    return value;
}

/** Returns the canonical method string of the first frame of `frames`. gptz_frame_method. */
[[nodiscard]] inline std::string frame_method(bytes_view frames)
{
    std::size_t len = 0;
    const gptz_status status = gptz_frame_method(frames.data(), frames.size(), nullptr, 0, &len);
    if (status != GPTZ_ERROR_BUFFER_TOO_SMALL)
        detail::check(status);
    std::string method(len, '\0');
    detail::check(gptz_frame_method(frames.data(), frames.size(), &method[0], len, &len));
    method.resize(len);
    return method;
}

/**
 * A compressor, which is also a decompressor. It has a method, a base, a live state and options; gptz.h describes them
 * at the type gptz.
 */
class compressor {
public:
    /** The default limit of decompress() and decompress_records(), in bytes: 1 GiB. */
    static constexpr std::size_t default_limit = std::size_t{1} << 30;

    /** Creates a compressor of the default method. gptz_create. */
    compressor() : compressor(create(nullptr)) {}

    /** Creates a compressor of this method. gptz_create. */
    explicit compressor(const std::string &method) : compressor(create(detail::c_string(method, "the method"))) {}

    /** NULL means the default method in C. In C++ that is compressor(). */
    explicit compressor(std::nullptr_t) = delete;

    /** Creates a compressor for the method that the first frame of `frames` names. gptz_create_for_frame. */
    [[nodiscard]] static compressor for_frame(bytes_view frames)
    {
        gptz *p = nullptr;
        detail::check(gptz_create_for_frame(frames.data(), frames.size(), &p));
        return compressor(adopted(p));
    }

    /** Creates a compressor with the weights of a model. `policy` may be empty. gptz_create_from_model. */
    [[nodiscard]] static compressor from_model(const model &weights, const std::string &policy = {})
    {
        gptz *p = nullptr;
        const char *c_policy = detail::c_string(policy, "the policy");
        detail::check(gptz_create_from_model(weights.handle(), policy.empty() ? nullptr : c_policy, &p));
        return compressor(adopted(p));
    }

    /** Returns the canonical method string of a level, or nullptr if there is no such level. gptz_level_method. */
    [[nodiscard]] static const char *level_method(int level) noexcept { return gptz_level_method(level); }

    /** Sets an option, one of GPTZ_PARAM_... , for all later calls. gptz_set. */
    void set(int param, std::int64_t value) { check(gptz_set(handle(), param, value)); }

    /** Returns the value of an option. gptz_get. */
    [[nodiscard]] std::int64_t get(int param) const
    {
        std::int64_t value = 0;
        check(gptz_get(handle(), param, &value));
        return value;
    }

    /** Returns the canonical method string. gptz_method. */
    [[nodiscard]] std::string method() const
    {
        const char *text = gptz_method(handle());
        if (text == nullptr)
            detail::raise(GPTZ_ERROR_ARGUMENT);
        return text;
    }

    /** Returns the most bytes of memory that the compressor can take with its present options. gptz_memory_estimate. */
    [[nodiscard]] std::uint64_t memory_estimate() const
    {
        std::uint64_t bytes = 0;
        check(gptz_memory_estimate(handle(), &bytes));
        return bytes;
    }

    /** Returns the message of the last call on this compressor that failed, on any thread. gptz_handle_error. */
    [[nodiscard]] std::string last_error() const { return gptz_handle_error(handle()); }

    /**
     * Sets the progress callback of later calls: `callback(done, total)`, in bytes of content. It returns true to
     * continue and false to cancel the call, which then throws GPTZ_ERROR_CANCELLED. (A C callback returns 0 to
     * continue.) An empty function removes the callback.
     *
     * An exception in the callback also cancels the call. It does not pass through the C library: it is stored, and the
     * call throws it instead of GPTZ_ERROR_CANCELLED after the library has returned. In both cases the compressor does
     * not change.
     *
     * The callback runs on the thread of the call, as often as gptz_progress_fn in gptz.h states. It must not use this
     * compressor (GPTZ_ERROR_BUSY), nor move it, assign to it or destroy it. A move of the compressor keeps the
     * callback. The callback is destroyed by the next set_progress or with the compressor.
     */
    void set_progress(std::function<bool(std::uint64_t done, std::uint64_t total)> callback)
    {
        std::unique_ptr<detail::progress> next;
        if (callback)
            next.reset(new detail::progress{std::move(callback), nullptr});
        check(gptz_set_progress(handle(), next ? detail::progress::call : nullptr, next.get()));
        progress_ = std::move(next);
    }

    /**
     * Compresses `src` into one frame. gptz_compress.
     *
     * If a version 2 frame (GPTZ_PARAM_FORMAT) is longer than gptz_compress_bound, the call compresses a second time,
     * into a larger buffer. A progress callback then sees both runs.
     */
    [[nodiscard]] std::vector<std::byte> compress(bytes_view src)
    {
        std::size_t len = gptz_compress_bound(src.size());
        if (len == 0)
            throw error(GPTZ_ERROR_MEMORY, "no memory can hold the frame of " + std::to_string(src.size()) + " bytes");
        std::vector<std::byte> frame(len);
        gptz_status status = gptz_compress(handle(), src.data(), src.size(), frame.data(), frame.size(), &len);
        if (status == GPTZ_ERROR_BUFFER_TOO_SMALL && len > frame.size()) {
            frame = std::vector<std::byte>(len);
            status = gptz_compress(handle(), src.data(), src.size(), frame.data(), frame.size(), &len);
        }
        finish(status, len);
        frame.resize(len);
        frame.shrink_to_fit();
        return frame;
    }

    /**
     * Compresses `src` into one frame at `dst`, which has room for `capacity` bytes and must not overlap `src`. Returns
     * the length of the frame. After GPTZ_ERROR_BUFFER_TOO_SMALL, error::needed() is the length of the frame.
     * gptz_compress.
     */
    std::size_t compress(bytes_view src, void *dst, std::size_t capacity)
    {
        std::size_t len = 0;
        const gptz_status status = gptz_compress(handle(), src.data(), src.size(), dst, capacity, &len);
        finish(status, len);
        return len;
    }

    /** Compresses the bytes of all parts, one after the other, into one frame. gptz_compress_parts. */
    [[nodiscard]] std::vector<std::byte> compress_parts(const std::vector<bytes_view> &parts)
    {
        std::vector<const void *> pointers;
        std::vector<std::size_t> sizes;
        split(parts, pointers, sizes);
        std::size_t total = 0;
        for (std::size_t size : sizes)
            total = size > static_cast<std::size_t>(-1) - total ? static_cast<std::size_t>(-1) : total + size;
        std::size_t len = gptz_compress_bound(total);
        if (len == 0)
            throw error(GPTZ_ERROR_MEMORY, "no memory can hold the frame of " + std::to_string(total) + " bytes");
        std::vector<std::byte> frame(len);
        const auto run = [&] {
            return gptz_compress_parts(handle(), pointers.data(), sizes.data(), sizes.size(), frame.data(), frame.size(),
                                       &len);
        };
        gptz_status status = run();
        if (status == GPTZ_ERROR_BUFFER_TOO_SMALL && len > frame.size()) {
            frame = std::vector<std::byte>(len);
            status = run();
        }
        finish(status, len);
        frame.resize(len);
        frame.shrink_to_fit();
        return frame;
    }

    /** Returns the length of the frame that compress(src) returns. It takes as long. gptz_compressed_size. */
    [[nodiscard]] std::size_t compressed_size(bytes_view src)
    {
        std::size_t len = 0;
        finish(gptz_compressed_size(handle(), src.data(), src.size(), &len));
        return len;
    }

    /** Returns what the last call that succeeded took and gave. gptz_stats_get. */
    [[nodiscard]] gptz_stats stats() const
    {
        gptz_stats found{};
        found.size = sizeof found;
        check(gptz_stats_get(handle(), &found));
        return found;
    }

    /**
     * Decompresses all frames of `src`, one after the other. gptz_decompress.
     *
     * The input states how long the content is, and the input may be hostile. If that is more than `limit` bytes, the
     * call throws GPTZ_ERROR_MEMORY, and error::needed() is the length. The limit, the structure of the frames and
     * their method, weights and base are checked before any memory is allocated for the content.
     */
    [[nodiscard]] std::vector<std::byte> decompress(bytes_view src, std::size_t limit = default_limit)
    {
        // With a capacity of 0 the library checks everything but the content and then returns its length.
        std::size_t len = 0;
        gptz_status status = gptz_decompress(handle(), src.data(), src.size(), nullptr, 0, &len);
        if (status != GPTZ_ERROR_BUFFER_TOO_SMALL) {
            finish(status, len);
            return {};
        }
        if (len == 0)
            throw error(GPTZ_ERROR_MEMORY, "no memory can hold the content");
        if (len > limit)
            throw error(GPTZ_ERROR_MEMORY,
                        "the content is " + std::to_string(len) + " bytes long, the limit is " + std::to_string(limit),
                        len);
        std::vector<std::byte> content(len);
        status = gptz_decompress(handle(), src.data(), src.size(), content.data(), content.size(), &len);
        finish(status, len);
        content.resize(len);
        return content;
    }

    /**
     * Decompresses all frames of `src` to `dst`, which has room for `capacity` bytes and must not overlap `src`.
     * Returns the length of the content. After GPTZ_ERROR_BUFFER_TOO_SMALL, error::needed() is the length of the
     * content. gptz_decompress.
     */
    std::size_t decompress(bytes_view src, void *dst, std::size_t capacity)
    {
        std::size_t len = 0;
        const gptz_status status = gptz_decompress(handle(), src.data(), src.size(), dst, capacity, &len);
        finish(status, len);
        return len;
    }

    /** Records, compressed or not: all bytes one after the other without gaps, and the length of each record. */
    struct records {
        std::vector<std::byte> bytes;
        std::vector<std::size_t> lengths;

        /** A view of each record. The views point into `bytes`, so this cannot be called on a temporary. */
        std::vector<bytes_view> views() const && = delete;
        [[nodiscard]] std::vector<bytes_view> views() const &
        {
            std::vector<bytes_view> all;
            const std::byte *at = bytes.data();
            for (std::size_t length : lengths) {
                all.emplace_back(at, length);
                at += length;
            }
            return all;
        }
    };

    /** Compresses each content on its own from the base, without a frame. gptz_records_compress. */
    [[nodiscard]] records compress_records(const std::vector<bytes_view> &contents)
    {
        // A record is at most 5 bytes and a check of at most 4 bytes longer than its content.
        std::size_t room = 0;
        for (bytes_view content : contents)
            room += content.size() + 9;
        return run_records(gptz_records_compress, contents, room);
    }

    /**
     * Decompresses records that were compressed with this method and base. gptz_records_decompress. If the records
     * state more than `limit` bytes of content in total, the call throws GPTZ_ERROR_MEMORY before it allocates memory
     * for them.
     */
    [[nodiscard]] records decompress_records(const std::vector<bytes_view> &compressed, std::size_t limit = default_limit)
    {
        std::vector<const void *> pointers;
        std::vector<std::size_t> sizes, lengths(compressed.size());
        split(compressed, pointers, sizes);
        const gptz_status status = gptz_records_decompress(handle(), pointers.data(), sizes.data(), compressed.size(),
                                                           nullptr, 0, lengths.data());
        if (status != GPTZ_ERROR_BUFFER_TOO_SMALL)
            finish(status);
        std::size_t room = 0;
        for (std::size_t length : lengths) {
            if (length > limit - room)
                throw error(GPTZ_ERROR_MEMORY, "the records hold more than the limit of " + std::to_string(limit) + " bytes");
            room += length;
        }
        return run_records(gptz_records_decompress, compressed, room);
    }

    /**
     * Takes bytes of `in` and gives bytes of a frame to `out`, whose positions advance. `op` is one of GPTZ_CONTINUE,
     * GPTZ_FLUSH and GPTZ_END. Returns 0 if that is done. gptz_stream_compress. gptz_cpp::ostream is simpler.
     */
    std::size_t stream_compress(gptz_out &out, gptz_in &in, int op)
    {
        std::size_t remaining = 0;
        finish(gptz_stream_compress(handle(), &out, &in, op, &remaining));
        return remaining;
    }

    /**
     * Takes bytes of `in` and gives content to `out`, whose positions advance. Returns 0 at the end of a frame.
     * gptz_stream_decompress. gptz_cpp::istream is simpler.
     */
    std::size_t stream_decompress(gptz_out &out, gptz_in &in)
    {
        std::size_t hint = 0;
        finish(gptz_stream_decompress(handle(), &out, &in, &hint));
        return hint;
    }

    /** Drops the stream that is under way. gptz_stream_reset. */
    void stream_reset() { check(gptz_stream_reset(handle())); }

    /** Returns the probability of each byte value as the next byte of the live state. gptz_predict. */
    [[nodiscard]] std::array<float, 256> predict()
    {
        std::array<float, 256> probs{};
        check(gptz_predict(handle(), probs.data(), probs.size()));
        return probs;
    }

    /** Appends bytes to the live state. gptz_feed. */
    void feed(bytes_view data) { finish(gptz_feed(handle(), data.data(), data.size())); }

    /** Sets the live state to the base. gptz_reset. */
    void reset() { check(gptz_reset(handle())); }

    /** Returns the mean cost of the data from the base, in bits per byte. gptz_cross_entropy. */
    [[nodiscard]] double cross_entropy(bytes_view data)
    {
        double bits_per_byte = 0;
        finish(gptz_cross_entropy(handle(), data.data(), data.size(), &bits_per_byte));
        return bits_per_byte;
    }

    /** Begins a policy's stream over the live state; UINT64_MAX: of unknown length. gptz_live_begin. */
    void live_begin(uint64_t total) { check(gptz_live_begin(handle(), total)); }

    /** Ends a policy's stream over the live state. gptz_live_end. */
    void live_end() { check(gptz_live_end(handle())); }

    /** Feeds the data to the live state and returns their mean cost, in bits per byte. gptz_cross_entropy_live. */
    [[nodiscard]] double cross_entropy_live(bytes_view data)
    {
        double bits_per_byte = 0;
        finish(gptz_cross_entropy_live(handle(), data.data(), data.size(), &bits_per_byte));
        return bits_per_byte;
    }

    /** Returns the mean cost of data after a prefix in parts, from the base, in bits. gptz_cross_entropy_conditional. */
    [[nodiscard]] double cross_entropy_conditional(const std::vector<bytes_view> &prefix, bytes_view data)
    {
        std::vector<const void *> pointers;
        std::vector<std::size_t> sizes;
        split(prefix, pointers, sizes);
        double bits_per_byte = 0;
        finish(gptz_cross_entropy_conditional(handle(), pointers.data(), sizes.data(), sizes.size(), data.data(),
                                              data.size(), &bits_per_byte));
        return bits_per_byte;
    }

    /** Returns the mean cost of pairs of two aligned sequences, in bits per pair. gptz_cross_entropy_joint. */
    [[nodiscard]] double cross_entropy_joint(bytes_view x, bytes_view y)
    {
        double bits_per_pair = 0;
        finish(gptz_cross_entropy_joint(handle(), x.data(), x.size(), y.data(), y.size(), &bits_per_pair));
        return bits_per_pair;
    }

    /** Returns the cost of each byte from the base, in bits. gptz_byte_costs. */
    [[nodiscard]] std::vector<float> byte_costs(bytes_view data)
    {
        std::vector<float> bits(data.size());
        finish(gptz_byte_costs(handle(), data.data(), data.size(), bits.data()));
        return bits;
    }

    /** Copies the live state. gptz_snapshot_take. */
    [[nodiscard]] gptz_cpp::snapshot snapshot() const
    {
        gptz_snapshot *p = nullptr;
        check(gptz_snapshot_take(handle(), &p));
        return gptz_cpp::snapshot(p);
    }

    /** Replaces the live state by the state of a snapshot. gptz_snapshot_restore. */
    void restore(const gptz_cpp::snapshot &state) { check(gptz_snapshot_restore(handle(), state.handle())); }

    /** Makes a snapshot the base, from which all later calls that compress or measure start. gptz_set_base. */
    void set_base(const gptz_cpp::snapshot &state)
    {
        // To the library, NULL means the state of a new handle.
        if (state.handle() == nullptr)
            throw error(GPTZ_ERROR_ARGUMENT, "the snapshot was moved from");
        check(gptz_set_base(handle(), state.handle()));
    }

    /** Makes the state of a new compressor the base. gptz_set_base with NULL. */
    void clear_base() { check(gptz_set_base(handle(), nullptr)); }

    /** The C handle, for calls of gptz.h. Do not free it, and do not call gptz_set_progress with it. */
    gptz *handle() const noexcept { return handle_.get(); }

private:
    using records_call = gptz_status(gptz *, const void *const *, const std::size_t *, std::size_t, void *, std::size_t,
                                     std::size_t *);

    static void split(const std::vector<bytes_view> &all, std::vector<const void *> &pointers, std::vector<std::size_t> &sizes)
    {
        for (bytes_view one : all) {
            pointers.push_back(one.data());
            sizes.push_back(one.size());
        }
    }

    records run_records(records_call *call, const std::vector<bytes_view> &all, std::size_t room)
    {
        std::vector<const void *> pointers;
        std::vector<std::size_t> sizes;
        split(all, pointers, sizes);
        records out{std::vector<std::byte>(room), std::vector<std::size_t>(all.size())};
        finish(call(handle(), pointers.data(), sizes.data(), all.size(), out.bytes.data(), room, out.lengths.data()));
        std::size_t used = 0;
        for (std::size_t length : out.lengths)
            used += length;
        out.bytes.resize(used);
        return out;
    }

    using adopted = std::unique_ptr<gptz, detail::free_handle>;

    explicit compressor(adopted p) noexcept : handle_(std::move(p)) {}

    void check(gptz_status status) const
    {
        if (status != GPTZ_OK)
            detail::raise_for(handle(), status);
    }

    static adopted create(const char *method)
    {
        gptz *p = nullptr;
        detail::check(gptz_create(method, &p));
        return adopted(p);
    }

    /** Ends a call that may have run the callback: throws if it failed. */
    void finish(gptz_status status, std::size_t needed = 0)
    {
        if (status == GPTZ_OK)
            return;
        if (status == GPTZ_ERROR_CANCELLED && progress_ && progress_->thrown)
            std::rethrow_exception(std::exchange(progress_->thrown, nullptr));
        detail::raise_for(handle(), status, needed);
    }

    // Members are destroyed in reverse order: the handle first, then the callback that it points at.
    std::unique_ptr<detail::progress> progress_;
    adopted handle_;
};

/** Private to this header. It may change with every version. */
namespace detail {

/** Compresses what is written to it. */
class compressing_buffer : public std::streambuf {
public:
    compressing_buffer(compressor &z, std::ostream &to) : z_(z), to_(to), room_(1 << 16), in_(1 << 16)
    {
        setp(in_.data(), in_.data() + in_.size());
    }

    void run(int op)
    {
        gptz_in in{pbase(), static_cast<std::size_t>(pptr() - pbase()), 0};
        std::size_t remaining = 0;
        do {
            gptz_out out{room_.data(), room_.size(), 0};
            remaining = z_.stream_compress(out, in, op);
            if (!to_.write(room_.data(), static_cast<std::streamsize>(out.pos)))
                throw error(GPTZ_ERROR_IO, "the stream behind a gptz_cpp::ostream cannot be written");
        } while (in.pos < in.size || (op != GPTZ_CONTINUE && remaining > 0));
        setp(in_.data(), in_.data() + in_.size());
    }

protected:
    int_type overflow(int_type c) override
    {
        run(GPTZ_CONTINUE);
        if (!traits_type::eq_int_type(c, traits_type::eof()))
            sputc(traits_type::to_char_type(c));
        return traits_type::not_eof(c);
    }

    int sync() override
    {
        run(GPTZ_FLUSH);
        to_.flush();
        return to_ ? 0 : -1;
    }

private:
    compressor &z_;
    std::ostream &to_;
    std::vector<char> room_, in_;
};

/** Gives the content of the frames of a stream. */
class decompressing_buffer : public std::streambuf {
public:
    decompressing_buffer(compressor &z, std::istream &from) : z_(z), from_(from), room_(1 << 16), in_(1 << 16) {}

protected:
    int_type underflow() override
    {
        if (gptr() < egptr())
            return traits_type::to_int_type(*gptr());
        gptz_out out{room_.data(), room_.size(), 0};
        while (out.pos == 0) {
            if (at_ == end_) {
                from_.read(in_.data(), static_cast<std::streamsize>(in_.size()));
                at_ = 0;
                end_ = static_cast<std::size_t>(from_.gcount());
                if (from_.bad())
                    throw error(GPTZ_ERROR_IO, "the stream behind a gptz_cpp::istream cannot be read");
            }
            gptz_in in{in_.data(), end_, at_};
            const std::size_t hint = z_.stream_decompress(out, in);
            const bool over = end_ == 0 && out.pos == 0;
            at_ = in.pos;
            if (over && hint != 0)
                throw error(GPTZ_ERROR_TRUNCATED, "the stream ends within a frame");
            if (over)
                return traits_type::eof();
        }
        setg(room_.data(), room_.data(), room_.data() + out.pos);
        return traits_type::to_int_type(*gptr());
    }

private:
    compressor &z_;
    std::istream &from_;
    std::vector<char> room_, in_;
    std::size_t at_ = 0, end_ = 0;
};

} // namespace detail

/**
 * A std::ostream that compresses what is written to it into one frame on another std::ostream.
 *
 *     std::ofstream file("log.gptz", std::ios::binary);
 *     gptz_cpp::compressor z;
 *     gptz_cpp::ostream out(z, file);
 *     out << "text";
 *     out.finish();
 *
 * Until finish() the compressor and the other stream belong to this stream and must live. An error sets badbit and is
 * lost, as in all of iostream, unless exceptions(std::ios::badbit) was called: then it is thrown. finish() always throws.
 * The destructor drops a frame that is not finished: the compressor can be used again, and what was written is cut.
 * flush() ends the block under way, so that a reader gets everything so far; std::endl flushes too, and each flush costs
 * some bytes.
 */
class ostream : public std::ostream {
public:
    ostream(compressor &z, std::ostream &to) : std::ostream(nullptr), z_(z), buffer_(z, to) { rdbuf(&buffer_); }
    ~ostream() override
    {
        if (!finished_)
            gptz_stream_reset(z_.handle());
    }

    /** Ends the frame. Nothing may be written afterwards. */
    void finish()
    {
        if (bad())
            throw error(GPTZ_ERROR_STATE, "an earlier operation on a gptz_cpp::ostream failed");
        try {
            buffer_.run(GPTZ_END);
        } catch (...) {
            // What was written is not a frame.
            try {
                setstate(std::ios::badbit);
            } catch (const std::ios::failure &) {
                // The error below says more.
            }
            throw;
        }
        finished_ = true;
    }

private:
    compressor &z_;
    detail::compressing_buffer buffer_;
    bool finished_ = false;
};

/**
 * A std::istream that gives the content of all frames of another std::istream, one after the other. The compressor
 * belongs to this stream as long as it is in a frame; the destructor resets it. An error, also an input that is cut, sets
 * badbit and is lost, unless exceptions(std::ios::badbit) was called: then it is thrown.
 */
class istream : public std::istream {
public:
    istream(compressor &z, std::istream &from) : std::istream(nullptr), z_(z), buffer_(z, from) { rdbuf(&buffer_); }
    ~istream() override { gptz_stream_reset(z_.handle()); }

private:
    compressor &z_;
    detail::decompressing_buffer buffer_;
};

/**
 * The content of frames at any place: gptz_reader. While it exists, other calls on its compressor throw
 * GPTZ_ERROR_STATE. The two may be destroyed in any order. One call at a time.
 */
class reader {
public:
    /**
     * Opens a reader of `size` bytes that `read_at(offset, dst, len)` reads: it returns how many of the `len` bytes it gave,
     * at least 1, and may throw. Its exceptions come out of the call. gptz_reader_open.
     */
    reader(compressor &z, std::function<std::size_t(std::uint64_t, void *, std::size_t)> read_at, std::uint64_t size)
        : source_(std::make_unique<detail::source>())
    {
        source_->read_at = std::move(read_at);
        const gptz_source source = {source_.get(), detail::source::call, size};
        gptz_reader *p = nullptr;
        source_->check(gptz_reader_open(z.handle(), &source, &p));
        handle_.reset(p);
    }

    /** Opens a reader of frames in memory, which must live and stay as they are. gptz_reader_open_memory. */
    reader(compressor &z, bytes_view frames) : source_(std::make_unique<detail::source>())
    {
        gptz_reader *p = nullptr;
        source_->check(gptz_reader_open_memory(z.handle(), frames.data(), frames.size(), &p));
        handle_.reset(p);
    }

    /** The length of the content. gptz_reader_size. */
    [[nodiscard]] std::uint64_t size() const
    {
        std::uint64_t n = 0;
        detail::check(gptz_reader_size(handle(), &n));
        return n;
    }

    /** Reads at most `len` bytes of content from `offset` on. Returns how many, less only at the end. gptz_reader_read. */
    std::size_t read(std::uint64_t offset, void *dst, std::size_t len)
    {
        std::size_t n = 0;
        const gptz_status status = gptz_reader_read(handle_.get(), offset, dst, len, &n);
        if (!source_)
            detail::check(status);
        else
            source_->check(status);
        return n;
    }

    /** As above, as a vector, which is shorter at the end of the content. */
    [[nodiscard]] std::vector<std::byte> read(std::uint64_t offset, std::size_t len)
    {
        const std::uint64_t all = size();
        std::vector<std::byte> found(offset < all ? static_cast<std::size_t>(std::min<std::uint64_t>(len, all - offset)) : 0);
        found.resize(read(offset, found.data(), found.size()));
        return found;
    }

    /** The C object, for calls of gptz.h. Do not free it. */
    const gptz_reader *handle() const noexcept { return handle_.get(); }

private:
    // Members are destroyed in reverse order: the handle first, then the source that it points at.
    std::unique_ptr<detail::source> source_;
    std::unique_ptr<gptz_reader, detail::free_reader> handle_;
};

/**
 * A generator of text. It keeps the weights that it uses, so the model may be destroyed first. As a compressor, it may move
 * between threads and serves one call at a time. A prefill that is cancelled keeps a part of its tokens: see
 * gptz_generator_prefill.
 */
class generator {
public:
    /** A generator of a model: gptz_generator_create. */
    explicit generator(const model &weights, const std::string &options = {})
    {
        gptz_generator *p = nullptr;
        detail::check(gptz_generator_create(weights.handle(), detail::c_string(options, "the options"), &p));
        handle_.reset(p);
    }

    /** A generator of bytes that starts from the live state of a compressor: gptz_generator_create_from_handle. */
    explicit generator(const compressor &from)
    {
        gptz_generator *p = nullptr;
        detail::check(gptz_generator_create_from_handle(from.handle(), nullptr, &p));
        handle_.reset(p);
    }

    /** Sets the sampler; an empty string is greedy. gptz_generator_set_sampler. */
    void set_sampler(const std::string &sampler)
    {
        detail::check(gptz_generator_set_sampler(handle(), detail::c_string(sampler, "the sampler")));
    }

    /** Replaces the history: gptz_generator_prefill without logits. */
    void prefill(const std::vector<std::uint32_t> &tokens)
    {
        detail::check(gptz_generator_prefill(handle(), tokens.data(), tokens.size(), nullptr, 0));
    }

    /** Appends a token: gptz_generator_decode without logits. */
    void decode(std::uint32_t token) { detail::check(gptz_generator_decode(handle(), token, nullptr, 0)); }

    /** Chooses a token, appends it and returns it. gptz_generator_step. */
    [[nodiscard]] std::uint32_t step()
    {
        std::uint32_t token = 0;
        detail::check(gptz_generator_step(handle(), &token));
        return token;
    }

    /** Returns the history. gptz_generator_tokens. */
    [[nodiscard]] std::vector<std::uint32_t> tokens() const
    {
        std::size_t n = 0;
        gptz_status status = gptz_generator_tokens(handle(), nullptr, 0, &n);
        if (status != GPTZ_ERROR_BUFFER_TOO_SMALL)
            detail::check(status);
        std::vector<std::uint32_t> history(n);
        if (n > 0)
            detail::check(gptz_generator_tokens(handle(), history.data(), n, &n));
        return history;
    }

    /** The C object, for calls of gptz.h. Do not free it. */
    [[nodiscard]] gptz_generator *handle() const noexcept { return handle_.get(); }

private:
    std::unique_ptr<gptz_generator, detail::free_generator> handle_;
};

/** A tensor of a file. */
struct tensor_info {
    std::string name;
    /** One of GPTZ_DTYPE_... . */
    int dtype = 0;
    /** The outermost dimension first. */
    std::vector<std::uint64_t> shape;
    /** The number of bytes in the file. */
    std::uint64_t bytes = 0;

    /** The number of values. */
    std::uint64_t values() const noexcept
    {
        std::uint64_t n = 1;
        for (std::uint64_t dimension : shape)
            n *= dimension;
        return n;
    }
};

/** An open tensor file. Any number of threads may use a const reader at the same time. */
class tensor_reader {
public:
    /** Opens a file of any of the three formats. gptz_tensor_reader_open. */
    explicit tensor_reader(const std::string &path)
    {
        gptz_tensor_reader *p = nullptr;
        detail::check(gptz_tensor_reader_open(detail::c_string(path, "the path"), &p));
        handle_.reset(p);
    }

    /** The number of tensors. gptz_tensor_reader_count. */
    [[nodiscard]] std::uint64_t count() const
    {
        std::uint64_t n = 0;
        detail::check(gptz_tensor_reader_count(handle(), &n));
        return n;
    }

    /** The typed metadata as JSON. gptz_tensor_reader_metadata. */
    [[nodiscard]] std::string metadata() const
    {
        std::size_t n = 0;
        gptz_status status = gptz_tensor_reader_metadata(handle(), nullptr, 0, &n);
        if (status != GPTZ_ERROR_BUFFER_TOO_SMALL)
            detail::raise(status);
        std::string json(n, '\0');
        detail::check(gptz_tensor_reader_metadata(handle(), &json[0], n, &n));
        json.resize(n);
        return json;
    }

    /** The description of a tensor. gptz_tensor_reader_info. */
    [[nodiscard]] tensor_info info(std::uint64_t index) const
    {
        tensor_info found;
        const char *name = nullptr;
        const std::uint64_t *shape = nullptr;
        std::size_t dims = 0;
        detail::check(gptz_tensor_reader_info(handle(), index, &name, &found.dtype, &shape, &dims, &found.bytes));
        found.name = name;
        found.shape.assign(shape, shape + dims);
        return found;
    }

    /** The bytes of a tensor as they are in the file. gptz_tensor_reader_read. */
    [[nodiscard]] std::vector<std::byte> read(std::uint64_t index) const
    {
        std::vector<std::byte> bytes(static_cast<std::size_t>(info(index).bytes));
        detail::check(gptz_tensor_reader_read(handle(), index, bytes.data(), bytes.size()));
        return bytes;
    }

    /** The values of a tensor. gptz_tensor_reader_read_f32. */
    [[nodiscard]] std::vector<float> read_f32(std::uint64_t index) const
    {
        std::vector<float> values(static_cast<std::size_t>(info(index).values()));
        detail::check(gptz_tensor_reader_read_f32(handle(), index, values.data(), values.size()));
        return values;
    }

    /** The C object, for calls of gptz.h. Do not free it. */
    const gptz_tensor_reader *handle() const noexcept { return handle_.get(); }

private:
    std::unique_ptr<gptz_tensor_reader, detail::free_tensor_reader> handle_;
};

/**
 * A tensor file under way. It serves one call at a time. Without finish(), the destructor drops the file, and nothing is
 * left behind.
 */
class tensor_writer {
public:
    /** Starts a file in a format, one of GPTZ_TENSORS_... . gptz_tensor_writer_open. */
    tensor_writer(const std::string &path, int format, const std::string &metadata_json = "{}")
    {
        gptz_tensor_writer *p = nullptr;
        detail::check(gptz_tensor_writer_open(detail::c_string(path, "the path"), format,
                                              detail::c_string(metadata_json, "the metadata"), &p));
        handle_.reset(p);
    }

    /** Adds a tensor by its bytes. gptz_tensor_writer_add. */
    void add(const std::string &name, int dtype, const std::vector<std::uint64_t> &shape, bytes_view data)
    {
        detail::check(gptz_tensor_writer_add(handle_.get(), detail::c_string(name, "the name"), dtype, shape.data(),
                                             shape.size(), data.data(), data.size()));
    }

    /** Adds a tensor by its values. gptz_tensor_writer_add_f32. */
    void add_f32(const std::string &name, int dtype, const std::vector<std::uint64_t> &shape,
                 const std::vector<float> &values)
    {
        detail::check(gptz_tensor_writer_add_f32(handle_.get(), detail::c_string(name, "the name"), dtype, shape.data(),
                                                 shape.size(), values.data(), values.size()));
    }

    /** The number of tensors that were added, and of their bytes with padding. gptz_tensor_writer_counts. */
    [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> counts() const
    {
        std::pair<std::uint64_t, std::uint64_t> found;
        detail::check(gptz_tensor_writer_counts(handle_.get(), &found.first, &found.second));
        return found;
    }

    /** Finishes the file. gptz_tensor_writer_finish. */
    void finish() { detail::check(gptz_tensor_writer_finish(handle_.get())); }

    /** The C object, for calls of gptz.h. Do not free it. */
    gptz_tensor_writer *handle() const noexcept { return handle_.get(); }

private:
    std::unique_ptr<gptz_tensor_writer, detail::free_tensor_writer> handle_;
};

} // namespace gptz_cpp

#endif // C++17
#endif // GPTZ_HPP
