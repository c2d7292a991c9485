/*
 * gptz for C++17: the calls of gptz.h with owners, exceptions and containers. A header alone; link with gptz.
 *
 *     gptz_cpp::compressor z;                                        // the default method
 *     std::vector<std::byte> frame = z.compress(text);               // a std::string, a vector, a span, ...
 *     std::vector<std::byte> back = gptz_cpp::compressor::for_frame(frame).decompress(frame);
 *
 * gptz.h is the manual; here stands what C++ adds. The namespace is not called gptz, for that is the C handle's type.
 *
 * Conventions:
 * - A call that fails throws gptz_cpp::error, with the status and a text, as a rule gptz_last_error()'s; it changes
 *   nothing, as in C. std::bad_alloc comes from what is allocated on this side: results and callbacks.
 * - compressor, model and snapshot own what they stand for and free it when they go, in any order: none needs another
 *   to outlive it. They move and do not copy. What was moved from may be destroyed, assigned to and asked for handle(),
 *   which is then nullptr; everything else throws GPTZ_ERROR_ARGUMENT.
 * - A compressor may move between threads and serves one call at a time. That a second one gets GPTZ_ERROR_BUSY finds
 *   mistakes, it is no lock. It must not be moved, assigned to or destroyed while it is in a call, be it from another
 *   thread or from its own callback. A const model or snapshot may be used by many threads at once.
 * - No exception passes through the C library: see compressor::set_progress.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#ifndef GPTZ_HPP
#define GPTZ_HPP

#if !(__cplusplus >= 201703L || (defined(_MSVC_LANG) && _MSVC_LANG >= 201703L))
#error "gptz.hpp needs C++17 or later; gptz.h serves every C++"
#else

#include <gptz.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace gptz_cpp {

/**
 * What a failing call throws. what() is the status's name and the library's text, such as "GPTZ_ERROR_FORMAT: ...".
 */
class error : public std::runtime_error {
public:
    error(gptz_status status, const std::string &text, std::size_t needed = 0)
        : std::runtime_error(std::string(gptz_status_name(status)) + ": " + text), status_(status), needed_(needed)
    {
    }

    /** One of GPTZ_ERROR_...; programs go by this, the text is for people. */
    gptz_status status() const noexcept { return status_; }

    /**
     * With GPTZ_ERROR_BUFFER_TOO_SMALL, and when the limit of decompress() is passed: the size that is needed, where it
     * is known. 0 otherwise.
     */
    std::size_t needed() const noexcept { return needed_; }

private:
    gptz_status status_;
    std::size_t needed_;
};

/** Not for use: may change with every version. */
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

/** Throws what this thread's last call that failed had to say. */
[[noreturn]] inline void raise(gptz_status status, std::size_t needed = 0)
{
    throw error(status, gptz_last_error(), needed);
}

inline void check(gptz_status status)
{
    if (status != GPTZ_OK)
        raise(status);
}

/** As a C string, which could not hold a zero byte. */
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
struct free_snapshot {
    void operator()(gptz_snapshot *p) const noexcept { gptz_snapshot_free(p); }
};

/** A callback, where the library's pointer to it stays right when its compressor is moved. */
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
 * Bytes of someone else's, to be read: a pointer and a length. It owns nothing; as the argument of a call it may be
 * made from a temporary, for the call is over before that goes.
 *
 * It is made from whatever has data() and size() and holds elements of one byte (std::byte, char, signed char, unsigned
 * char, char8_t): std::string, std::string_view, std::vector, std::array, in C++20 std::span, and their like; and from
 * arrays. Not from string literals and other arrays of const char, of which nobody can tell whether the zero at the end
 * belongs to the content: say std::string_view("text"), or bytes_view(array, sizeof array).
 */
class bytes_view {
public:
    constexpr bytes_view() noexcept = default;

    /** `size` bytes at `data`, which may be nullptr if there are none. */
    constexpr bytes_view(const void *data, std::size_t size) noexcept : data_(data), size_(size) {}

    template <class Range, std::enable_if_t<detail::is_byte_range<Range>::value, int> = 0>
    constexpr bytes_view(const Range &range) : data_(range.data()), size_(static_cast<std::size_t>(range.size()))
    {
    }

    /** All of an array. */
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
 * Weights: immutable, shared by as many compressors and threads as there are. Compressors keep what they need of it.
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

    /** The newest model that the library carries; GPTZ_ERROR_METHOD where it has none. gptz_model_builtin. */
    [[nodiscard]] static model builtin()
    {
        gptz_model *p = gptz_model_builtin();
        if (p == nullptr)
            detail::raise(GPTZ_ERROR_METHOD);
        return model(p);
    }

    /** From a file that is in memory; it is copied. gptz_model_from_memory. */
    [[nodiscard]] static model from_memory(bytes_view file)
    {
        gptz_model *p = nullptr;
        detail::check(gptz_model_from_memory(file.data(), file.size(), &p));
        return model(p);
    }

    /** What identifies the weights. gptz_model_fingerprint. */
    [[nodiscard]] std::array<std::uint8_t, 32> fingerprint() const
    {
        std::array<std::uint8_t, 32> print{};
        detail::check(gptz_model_fingerprint(handle(), print.data()));
        return print;
    }

    /** For calls of gptz.h. It stays this object's: not to be freed. */
    const gptz_model *handle() const noexcept { return handle_.get(); }

private:
    explicit model(gptz_model *p) noexcept : handle_(p) {}

    std::unique_ptr<gptz_model, detail::free_model> handle_;
};

/**
 * A copy of a live state: immutable, may be shared by threads, stands on its own. It fits compressors of the same
 * method and weights; others throw GPTZ_ERROR_MISMATCH. Made by compressor::snapshot().
 */
class snapshot {
public:
    /** For calls of gptz.h. It stays this object's: not to be freed. */
    const gptz_snapshot *handle() const noexcept { return handle_.get(); }

private:
    friend class compressor;
    explicit snapshot(gptz_snapshot *p) noexcept : handle_(p) {}

    std::unique_ptr<gptz_snapshot, detail::free_snapshot> handle_;
};

/**
 * A compressor, which is also a decompressor: a method, its base, its live state and its options. See gptz in gptz.h
 * for the two states.
 */
class compressor {
public:
    /** The most that decompress() takes unless told otherwise: 1 GiB. */
    static constexpr std::size_t default_limit = std::size_t{1} << 30;

    /** Of the default method. gptz_create. */
    compressor() : compressor(create(nullptr)) {}

    /** Of this method. gptz_create. */
    explicit compressor(const std::string &method) : compressor(create(detail::c_string(method, "the method"))) {}

    /** C's NULL for the default method is compressor(). */
    explicit compressor(std::nullptr_t) = delete;

    /** Of the method that the first frame of `frames` names, with the bounds of gptz_create_for_frame. */
    [[nodiscard]] static compressor for_frame(bytes_view frames)
    {
        gptz *p = nullptr;
        detail::check(gptz_create_for_frame(frames.data(), frames.size(), &p));
        return compressor(adopted(p));
    }

    /** With weights that are open already; `policy` such as "weights=f32", or empty. gptz_create_from_model. */
    [[nodiscard]] static compressor from_model(const model &weights, const std::string &policy = {})
    {
        gptz *p = nullptr;
        const char *c_policy = detail::c_string(policy, "the policy");
        detail::check(gptz_create_from_model(weights.handle(), policy.empty() ? nullptr : c_policy, &p));
        return compressor(adopted(p));
    }

    /** Sets an option, one of GPTZ_PARAM_..., for all later calls. gptz_set. */
    void set(int param, std::int64_t value) { detail::check(gptz_set(handle(), param, value)); }

    /** What an option is. gptz_get. */
    [[nodiscard]] std::int64_t get(int param) const
    {
        std::int64_t value = 0;
        detail::check(gptz_get(handle(), param, &value));
        return value;
    }

    /** The method's canonical string. gptz_method. */
    [[nodiscard]] std::string method() const
    {
        const char *text = gptz_method(handle());
        if (text == nullptr)
            detail::raise(GPTZ_ERROR_ARGUMENT);
        return text;
    }

    /**
     * Sets the callback that later calls report to: `callback(done, total)`, in bytes of content, answers true to go on
     * and false to stop, which throws GPTZ_ERROR_CANCELLED from the call. (In C it is the other way round.) An empty
     * function for none.
     *
     * An exception that leaves the callback stops the call as well; once the library has returned, it is thrown on from
     * the call in place of GPTZ_ERROR_CANCELLED. Either way the compressor is as it was before.
     *
     * The callback runs on the thread of the call. It must not use this compressor (GPTZ_ERROR_BUSY), nor move, assign
     * to or destroy it. It goes along when the compressor is moved, and lives until the next set_progress or the
     * compressor's end.
     */
    void set_progress(std::function<bool(std::uint64_t done, std::uint64_t total)> callback)
    {
        std::unique_ptr<detail::progress> next;
        if (callback)
            next.reset(new detail::progress{std::move(callback), nullptr});
        detail::check(gptz_set_progress(handle(), next ? detail::progress::call : nullptr, next.get()));
        progress_ = std::move(next);
    }

    /**
     * Compresses `src` into one frame. gptz_compress.
     *
     * Where a version 2 frame (GPTZ_PARAM_FORMAT) grows past gptz_compress_bound, it is made a second time, with room
     * enough; a progress callback then sees both runs.
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
     * The same to the caller's memory: `capacity` bytes at `dst`, which must not overlap `src`. Returns the frame's
     * length. GPTZ_ERROR_BUFFER_TOO_SMALL tells by error::needed() what is needed.
     */
    std::size_t compress(bytes_view src, void *dst, std::size_t capacity)
    {
        std::size_t len = 0;
        const gptz_status status = gptz_compress(handle(), src.data(), src.size(), dst, capacity, &len);
        finish(status, len);
        return len;
    }

    /**
     * Decompresses all frames of `src`, one after the other. gptz_decompress.
     *
     * How long the content is the input says, whoever made it: more than `limit` bytes throws GPTZ_ERROR_MEMORY, with
     * error::needed(). Before memory is taken the frames' structure is checked too, and their method, weights and base.
     */
    [[nodiscard]] std::vector<std::byte> decompress(bytes_view src, std::size_t limit = default_limit)
    {
        // Without room the library checks everything but the content and then says how much there is.
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
     * The same to the caller's memory: `capacity` bytes at `dst`, which must not overlap `src`. Returns the content's
     * length. GPTZ_ERROR_BUFFER_TOO_SMALL tells by error::needed() what is needed.
     */
    std::size_t decompress(bytes_view src, void *dst, std::size_t capacity)
    {
        std::size_t len = 0;
        const gptz_status status = gptz_decompress(handle(), src.data(), src.size(), dst, capacity, &len);
        finish(status, len);
        return len;
    }

    /** Many short contents, or what became of them: end to end in `bytes`, one after the other as long as told. */
    struct records {
        std::vector<std::byte> bytes;
        std::vector<std::size_t> lengths;

        /** Each on its own. They are views into `bytes`: not of what is about to end. */
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
        std::size_t room = 0;
        for (bytes_view content : contents)
            room += content.size() + 5;
        return run_records(gptz_records_compress, contents, room);
    }

    /**
     * Decompresses records that were made from this base. gptz_records_decompress. How long they are the input says: more
     * than `limit` bytes together throws GPTZ_ERROR_MEMORY, before memory is taken.
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

    /** The distribution of the next byte in the live state. gptz_predict. */
    [[nodiscard]] std::array<float, 256> predict()
    {
        std::array<float, 256> probs{};
        detail::check(gptz_predict(handle(), probs.data(), probs.size()));
        return probs;
    }

    /** Shows the live state some bytes. gptz_feed. */
    void feed(bytes_view data) { finish(gptz_feed(handle(), data.data(), data.size())); }

    /** Puts the live state back to the base. gptz_reset. */
    void reset() { detail::check(gptz_reset(handle())); }

    /** What the data would cost from the base, in bits a byte. gptz_cross_entropy. */
    [[nodiscard]] double cross_entropy(bytes_view data)
    {
        double bits_per_byte = 0;
        finish(gptz_cross_entropy(handle(), data.data(), data.size(), &bits_per_byte));
        return bits_per_byte;
    }

    /** What each byte costs from the base, in bits. gptz_byte_costs. */
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
        detail::check(gptz_snapshot_take(handle(), &p));
        return gptz_cpp::snapshot(p);
    }

    /** Makes the live state what it was when the snapshot was taken. gptz_snapshot_restore. */
    void restore(const gptz_cpp::snapshot &state) { detail::check(gptz_snapshot_restore(handle(), state.handle())); }

    /** Makes a snapshot the base, where every later compress, decompress and cross_entropy starts. gptz_set_base. */
    void set_base(const gptz_cpp::snapshot &state)
    {
        // To the library this would mean: as created.
        if (state.handle() == nullptr)
            throw error(GPTZ_ERROR_ARGUMENT, "the snapshot was moved from");
        detail::check(gptz_set_base(handle(), state.handle()));
    }

    /** Puts the base back to what it was when the compressor was made. gptz_set_base with NULL. */
    void clear_base() { detail::check(gptz_set_base(handle(), nullptr)); }

    /** For calls of gptz.h. It stays this object's: not to be freed, nor given to gptz_set_progress. */
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

    static adopted create(const char *method)
    {
        gptz *p = nullptr;
        detail::check(gptz_create(method, &p));
        return adopted(p);
    }

    /** After a call that may have reported to the callback. */
    void finish(gptz_status status, std::size_t needed = 0)
    {
        if (status == GPTZ_OK)
            return;
        if (status == GPTZ_ERROR_CANCELLED && progress_ && progress_->thrown)
            std::rethrow_exception(std::exchange(progress_->thrown, nullptr));
        detail::raise(status, needed);
    }

    // The handle goes first, then what it points at.
    std::unique_ptr<detail::progress> progress_;
    adopted handle_;
};

} // namespace gptz_cpp

#endif // C++17
#endif // GPTZ_HPP
