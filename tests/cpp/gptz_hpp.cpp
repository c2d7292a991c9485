/*
 * Makes every call of gptz.hpp. Prints "ok", or the check that failed.
 *
 *     gptz_hpp WEIGHTS.safetensors
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#include <gptz.hpp>
#include <gptz.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>
#include <thread>
#if __has_include(<span>)
#include <span>
#endif

namespace {

using gptz_cpp::bytes_view;
using gptz_cpp::compressor;
using gptz_cpp::error;
using gptz_cpp::model;
using gptz_cpp::snapshot;
using bytes = std::vector<std::byte>;

#define CHECK(what) \
    do { \
        if (!(what)) { \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what); \
            std::exit(1); \
        } \
    } while (0)

/* A small network, for speed. */
const std::string shape = "cfg:hidden=32,layers=1,intermediate=32,head_size=32,decay_rank=4,a_rank=4,v_rank=4,g_rank=4";
const std::string method = shape + ",train=adam,lr=0.005";

std::string make_text(std::size_t len)
{
    std::string text(len, ' ');
    for (std::size_t i = 0; i < len; i++)
        text[i] = "the quick brown fox "[(i + i / 700) % 20];
    return text;
}

std::string make_noise(std::size_t len)
{
    std::string noise(len, ' ');
    std::uint32_t state = 1;
    for (char &c : noise) {
        state = state * 1664525u + 1013904223u;
        c = static_cast<char>(static_cast<unsigned char>(state >> 24));
    }
    return noise;
}

const std::string text = make_text(3000);

bool same(bytes_view a, bytes_view b)
{
    return a.size() == b.size() && (a.size() == 0 || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

/* Checks that `f` throws an error with this status, whose text names the status and contains `part`. Returns needed(). */
template <class F>
std::size_t fails(gptz_status status, const char *part, F f)
{
    try {
        f();
    } catch (const error &e) {
        const std::string what = e.what();
        if (e.status() != status || what.find(gptz_status_name(status)) != 0 || what.find(part) == std::string::npos) {
            std::fprintf(stderr, "%s and \"%s\" expected: %s\n", gptz_status_name(status), part, e.what());
            std::exit(1);
        }
        return e.needed();
    }
    std::fprintf(stderr, "%s expected, nothing was thrown\n", gptz_status_name(status));
    std::exit(1);
}

// Which code compiles.
static_assert(!std::is_copy_constructible_v<compressor> && !std::is_copy_assignable_v<compressor>);
static_assert(std::is_nothrow_move_constructible_v<compressor> && std::is_nothrow_move_assignable_v<compressor>);
static_assert(!std::is_copy_constructible_v<model> && std::is_nothrow_move_constructible_v<model>);
static_assert(!std::is_copy_constructible_v<snapshot> && std::is_nothrow_move_constructible_v<snapshot>);
static_assert(!std::is_constructible_v<compressor, std::nullptr_t>);
static_assert(!std::is_convertible_v<std::string, compressor>);
static_assert(std::is_base_of_v<std::runtime_error, error> && std::is_nothrow_copy_constructible_v<error>);
static_assert(std::is_convertible_v<std::string, bytes_view> && std::is_convertible_v<std::string_view, bytes_view>);
static_assert(std::is_convertible_v<std::vector<std::byte>, bytes_view>);
static_assert(std::is_convertible_v<std::vector<unsigned char>, bytes_view>);
static_assert(std::is_convertible_v<std::vector<signed char>, bytes_view>);
static_assert(std::is_convertible_v<std::vector<char>, bytes_view>);
static_assert(std::is_convertible_v<std::array<std::byte, 3>, bytes_view>);
static_assert(std::is_convertible_v<unsigned char (&)[3], bytes_view>);
static_assert(std::is_convertible_v<const std::byte (&)[3], bytes_view>);
static_assert(std::is_convertible_v<char (&)[3], bytes_view>);
static_assert(!std::is_constructible_v<bytes_view, const char (&)[3]>, "in a literal, the final zero is not content");
static_assert(!std::is_constructible_v<bytes_view, std::vector<int>>);
static_assert(!std::is_constructible_v<bytes_view, std::vector<bool>>);
static_assert(!std::is_constructible_v<bytes_view, std::wstring>);
static_assert(!std::is_constructible_v<bytes_view, int (&)[3]>);
static_assert(!std::is_convertible_v<const char *, bytes_view>);
static_assert(bytes_view(std::string_view("abc")).size() == 3);

void views()
{
    const std::string string = "abc";
    const std::vector<std::byte> vector = {std::byte{'a'}, std::byte{'b'}, std::byte{'c'}};
    const std::vector<unsigned char> unsigned_vector = {'a', 'b', 'c'};
    const std::vector<char> char_vector = {'a', 'b', 'c'};
    const std::array<unsigned char, 3> array = {'a', 'b', 'c'};
    const unsigned char c_array[3] = {'a', 'b', 'c'};
    char char_array[3] = {'a', 'b', 'c'};
    std::byte byte_array[3] = {std::byte{'a'}, std::byte{'b'}, std::byte{'c'}};
    const bytes_view all[] = {
        string,     std::string_view("abc"), vector,       unsigned_vector, char_vector, array, c_array,
        char_array, byte_array,              {"abc", 3},
#ifdef __cpp_lib_span
        std::span(vector), std::as_bytes(std::span(char_vector)), std::span<char>(char_array),
        std::span<const unsigned char, 3>(c_array),
#endif
#ifdef __cpp_char8_t
        std::u8string_view(u8"abc"),
#endif
    };
    for (const bytes_view &view : all)
        CHECK(view.size() == 3 && std::memcmp(view.data(), "abc", 3) == 0);
    CHECK(bytes_view(string).data() == string.data() && bytes_view(c_array).data() == c_array);
    CHECK(bytes_view().size() == 0 && bytes_view().data() == nullptr);
    CHECK(bytes_view(std::string()).size() == 0 && bytes_view(bytes()).size() == 0);
}

void streams()
{
    compressor z(method);
    std::stringstream file;
    {
        gptz_cpp::ostream out(z, file);
        out.exceptions(std::ios::badbit);
        for (char c : text)
            out << c;
        out.flush();
        gptz_cpp::compressor other(method);
        std::stringstream so_far(file.str());
        gptz_cpp::istream in(other, so_far);
        std::string found(text.size(), ' ');
        in.read(&found[0], std::streamsize(found.size()));
        CHECK(in && found == text);
        fails(GPTZ_ERROR_STATE, "stream", [&] { (void)z.compress(text); });
        out << text << 17;
        out.finish();
    }
    {
        // Another frame behind it, of several blocks.
        gptz_cpp::ostream out(z, file);
        for (int i = 0; i < 60; i++)
            out << text;
        out.finish();
    }
    const std::string all = file.str();
    gptz_cpp::istream in(z, file);
    in.exceptions(std::ios::badbit);
    const std::string found((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    std::string expected = text + text + "17";
    for (int i = 0; i < 60; i++)
        expected += text;
    CHECK(found == expected);
    // A cut stream; one that is not finished; a stream that cannot be written.
    std::stringstream cut(all.substr(0, all.size() - 9));
    {
        gptz_cpp::istream damaged(z, cut);
        damaged.exceptions(std::ios::badbit);
        fails(GPTZ_ERROR_TRUNCATED, "within a frame", [&] {
            std::string(std::istreambuf_iterator<char>(damaged), std::istreambuf_iterator<char>());
        });
    }
    {
        gptz_cpp::ostream dropped(z, file);
        dropped << text;
    }
    CHECK(same(z.decompress(z.compress(text)), text));
    std::ofstream closed;
    gptz_cpp::ostream lost(z, closed);
    lost << text;
    fails(GPTZ_ERROR_IO, "cannot be written", [&] { lost.finish(); });
    CHECK(lost.bad());
    fails(GPTZ_ERROR_STATE, "earlier", [&] { lost.finish(); });
    z.stream_reset();
    gptz_in none{nullptr, 0, 0};
    bytes room(1000);
    gptz_out out{room.data(), room.size(), 0};
    CHECK(z.stream_compress(out, none, GPTZ_END) == 0 && out.pos == z.compress({}).size());
    gptz_in frame{room.data(), out.pos, 0};
    gptz_out nothing{nullptr, 0, 0};
    CHECK(z.stream_decompress(nothing, frame) == 0 && frame.pos == frame.size);
}

void round_trips()
{
    compressor z(method);
    for (int coder : {GPTZ_CODER_AC, GPTZ_CODER_RANS})
        for (int format : {2, 3}) {
            z.set(GPTZ_PARAM_CODER, coder);
            z.set(GPTZ_PARAM_FORMAT, format);
            CHECK(z.get(GPTZ_PARAM_CODER) == coder && z.get(GPTZ_PARAM_FORMAT) == format);
            const bytes frame = z.compress(text);
            CHECK(z.stats().bytes_in == text.size() && z.stats().bytes_out == frame.size() && z.stats().ratio > 1);
            CHECK(z.compressed_size(text) == frame.size());
            const std::string_view all = text;
            CHECK(same(z.compress_parts({all.substr(0, 9), {}, all.substr(9)}), frame));
            CHECK(gptz_cpp::frame_info(frame, GPTZ_FRAME_CONTENT_LENGTH) == std::int64_t(text.size()));
            if (format == 3)
                CHECK(gptz_cpp::frame_method(frame) == z.method());
            else
                fails(GPTZ_ERROR_METHOD, "version 2", [&] { (void)gptz_cpp::frame_method(frame); });
            fails(GPTZ_ERROR_ARGUMENT, "77", [&] { (void)gptz_cpp::frame_info(frame, 77); });
            fails(GPTZ_ERROR_FORMAT, "not a gptz frame", [&] { (void)gptz_cpp::frame_method(text); });
            CHECK(frame.size() < text.size() / 2);
            CHECK(same(z.decompress(frame), text));
            CHECK(z.compress(text) == frame);
            CHECK(same(z.decompress(z.compress({})), bytes_view()));

            // To a buffer of the caller, and to one that is too small.
            bytes room(gptz_compress_bound(text.size()));
            CHECK(z.compress(text, room.data(), room.size()) == frame.size());
            CHECK(std::equal(frame.begin(), frame.end(), room.begin()));
            CHECK(fails(GPTZ_ERROR_BUFFER_TOO_SMALL, "", [&] { z.compress(text, room.data(), 40); }) == frame.size());
            bytes back(text.size());
            CHECK(z.decompress(frame, back.data(), back.size()) == text.size() && same(back, text));
            CHECK(fails(GPTZ_ERROR_BUFFER_TOO_SMALL, "", [&] { z.decompress(frame, back.data(), 2999); }) == 3000);
        }

    // The default method, a compressor made from a frame, and two frames one after the other.
    compressor standard;
    CHECK(standard.method().find("mix:") == 0);
    bytes frame = standard.compress(std::string_view("as it was, as it is"));
    CHECK(same(standard.decompress(frame), std::string_view("as it was, as it is")));
    z.set(GPTZ_PARAM_CODER, GPTZ_CODER_AC);
    frame = z.compress(text);
    compressor reader = compressor::for_frame(frame);
    CHECK(reader.method() == z.method());
    bytes twice = frame;
    twice.insert(twice.end(), frame.begin(), frame.end());
    CHECK(same(reader.decompress(twice), text + text));

    // The memory limit of the library, and the estimate that it is compared with.
    const std::uint64_t most = z.memory_estimate();
    z.set(GPTZ_PARAM_MEMORY_LIMIT, static_cast<std::int64_t>(most));
    CHECK(z.compress(text) == frame);
    z.set(GPTZ_PARAM_MEMORY_LIMIT, static_cast<std::int64_t>(most) - 1);
    fails(GPTZ_ERROR_MEMORY, std::to_string(most).c_str(), [&] { (void)z.compress(text); });
    z.set(GPTZ_PARAM_MEMORY_LIMIT, std::int64_t{1} << 30);

    // The limit applies to the content of all frames together.
    CHECK(same(reader.decompress(twice, 6000), text + text));
    CHECK(fails(GPTZ_ERROR_MEMORY, "the limit is 5999", [&] { (void)reader.decompress(twice, 5999); }) == 6000);
    CHECK(fails(GPTZ_ERROR_MEMORY, "the limit is 0", [&] { (void)reader.decompress(frame, 0); }) == 3000);
    CHECK(reader.decompress(z.compress({}), 0).empty());

    // Version 2 has no stored blocks: with a head that learns too fast, a frame of noise is longer than the bound.
    compressor wild(shape + ",train=adam,lr=0.5");
    wild.set(GPTZ_PARAM_FORMAT, 2);
    const std::string noise = make_noise(2000);
    frame = wild.compress(noise);
    CHECK(frame.size() > gptz_compress_bound(noise.size()));
    CHECK(same(wild.decompress(frame), noise));
}

void errors()
{
    fails(GPTZ_ERROR_METHOD, "hidden=33", [] { compressor z("cfg:hidden=33"); });
    CHECK(compressor("level:2").method() == compressor::level_method(2) && compressor::level_method(0) == nullptr);
    fails(GPTZ_ERROR_ARGUMENT, "zero byte", [] { compressor z(std::string("cfg:\0hidden=64", 14)); });
    fails(GPTZ_ERROR_ARGUMENT, "zero byte", [] { (void)model::open(std::string("a\0b", 3)); });
    fails(GPTZ_ERROR_IO, "nonexistent", [] { (void)model::open("/nonexistent/model.safetensors"); });
    fails(GPTZ_ERROR_MODEL, "", [] { (void)model::from_memory(std::string_view("nonsense")); });
    fails(GPTZ_ERROR_FORMAT, "", [] { (void)compressor::for_frame(std::string_view("no frame, and long enough")); });
    fails(GPTZ_ERROR_TRUNCATED, "", [] { (void)compressor::for_frame({}); });

    compressor z(method), standard;
    fails(GPTZ_ERROR_ARGUMENT, "99", [&] { z.set(99, 0); });
    fails(GPTZ_ERROR_ARGUMENT, "99", [&] { (void)z.get(99); });
    fails(GPTZ_ERROR_ARGUMENT, "", [&] { z.set(GPTZ_PARAM_FORMAT, 1); });
    bytes frame = z.compress(text);
    // The method is checked before the limit.
    fails(GPTZ_ERROR_MISMATCH, "hidden=32", [&] { (void)standard.decompress(frame, 1); });
    fails(GPTZ_ERROR_TRUNCATED, "", [&] { (void)z.decompress(bytes_view(frame.data(), frame.size() - 1)); });
    fails(GPTZ_ERROR_TRUNCATED, "", [&] { (void)z.decompress({}); });
    frame[frame.size() / 2] ^= std::byte{1};
    fails(GPTZ_ERROR_CORRUPT, "", [&] { (void)z.decompress(frame); });
    fails(GPTZ_ERROR_ARGUMENT, "overlap", [&] { z.compress(frame, frame.data(), frame.size()); });

    // The compressor keeps its last message, which other threads can read. A call that succeeds does not clear it.
    CHECK(standard.last_error().find("hidden=32") != std::string::npos);
    std::thread([&] { fails(GPTZ_ERROR_ARGUMENT, "98", [&] { z.set(98, 0); }); }).join();
    CHECK(z.last_error().find("98") != std::string::npos && z.last_error() != gptz_last_error());
    (void)z.predict();
    CHECK(z.last_error().find("98") != std::string::npos && compressor(method).last_error().empty());

    // An error is a std::exception and can be copied.
    try {
        z.set(99, 0);
        CHECK(!"thrown");
    } catch (const std::exception &e) {
        CHECK(std::strstr(e.what(), "GPTZ_ERROR_ARGUMENT: ") == e.what());
    }
    const error first(GPTZ_ERROR_IO, "text", 7), second = first;
    CHECK(second.status() == GPTZ_ERROR_IO && second.needed() == 7);
    CHECK(std::strcmp(second.what(), "GPTZ_ERROR_IO: text") == 0);
}

struct stop {
    int code;
};

void callbacks()
{
    compressor z(method);
    const bytes frame = z.compress(text);
    bytes room(gptz_compress_bound(text.size()));
    const auto before = z.predict();
    std::uint64_t calls = 0, last = 0, total = 0;
    z.set_progress([&](std::uint64_t done, std::uint64_t of) {
        calls++;
        last = done;
        total = of;
        return true;
    });
    CHECK(z.compress(text) == frame && calls > 2 && last == text.size() && total == text.size());
    CHECK(same(z.decompress(frame), text) && z.cross_entropy(text) > 0);
    CHECK(z.byte_costs(text).size() == text.size());

    // Every call that has progress: the callback cancels it, or throws an exception, which the call throws unchanged.
    bool throws = false;
    std::uint64_t stopped_at = 0;
    z.set_progress([&](std::uint64_t done, std::uint64_t) {
        if (done < 1000)
            return true;
        stopped_at = done;
        if (throws)
            throw stop{17};
        return false;
    });
    const std::function<void()> all[] = {
        [&] { (void)z.compress(text); },
        [&] { z.compress(text, room.data(), room.size()); },
        [&] { (void)z.decompress(frame); },
        [&] { z.decompress(frame, room.data(), room.size()); },
        [&] { z.feed(text); },
        [&] { (void)z.cross_entropy(text); },
    };
    for (const auto &call : all) {
        throws = false;
        fails(GPTZ_ERROR_CANCELLED, "of 3000 bytes", call);
        // The callback is invoked at least once in 256 bytes, and nothing happens after it has cancelled.
        CHECK(stopped_at < 1256);
        CHECK(std::strstr(gptz_last_error(), ("after " + std::to_string(stopped_at) + " of").c_str()) != nullptr);
        throws = true;
        int code = 0;
        try {
            call();
        } catch (const stop &s) {
            code = s.code;
        }
        CHECK(code == 17);
        throws = false;
        fails(GPTZ_ERROR_CANCELLED, "of 3000 bytes", call); // and not the earlier exception again
    }
    CHECK(z.predict() == before);

    // A call on the same compressor from its callback throws. The exception passes on unless the callback catches it.
    int busy = 0;
    z.set_progress([&](std::uint64_t, std::uint64_t) {
        busy += fails(GPTZ_ERROR_BUSY, "", [&] { (void)z.predict(); }) == 0;
        fails(GPTZ_ERROR_BUSY, "", [&] { z.set_progress({}); });
        fails(GPTZ_ERROR_BUSY, "", [&] { (void)z.compress(text); });
        return true;
    });
    CHECK(z.compress(text) == frame && busy > 2);
    z.set_progress([&](std::uint64_t, std::uint64_t) { return z.predict()[0] >= 0; });
    fails(GPTZ_ERROR_BUSY, "", [&] { (void)z.compress(text); });

    // The callback may use another compressor.
    compressor other(method);
    z.set_progress([&](std::uint64_t, std::uint64_t) { return same(other.decompress(frame), text); });
    CHECK(z.compress(bytes_view(text.data(), 300)).size() > 0);

    // Removing the callback destroys it.
    const auto held = std::make_shared<int>(0);
    z.set_progress([held](std::uint64_t, std::uint64_t) { return false; });
    CHECK(held.use_count() == 2);
    fails(GPTZ_ERROR_CANCELLED, "", [&] { (void)z.compress({}); });
    fails(GPTZ_ERROR_CANCELLED, "", [&] { (void)z.decompress(other.compress({})); });
    z.set_progress(nullptr);
    CHECK(held.use_count() == 1 && z.compress(text) == frame);
}

void moves()
{
    const auto held = std::make_shared<int>(0);
    {
        compressor a(method);
        a.set_progress([held](std::uint64_t done, std::uint64_t) {
            *held += 1;
            return done < 2000;
        });
        a.feed(bytes_view(text.data(), 500));
        const auto learned = a.predict();
        compressor b = std::move(a);
        CHECK(b.predict() == learned);
        *held = 0;
        fails(GPTZ_ERROR_CANCELLED, "", [&] { (void)b.compress(text); });
        CHECK(*held > 2);

        // Calls on the source of a move throw.
        CHECK(a.handle() == nullptr && b.handle() != nullptr);
        fails(GPTZ_ERROR_ARGUMENT, "NULL", [&] { (void)a.compress(text); });
        fails(GPTZ_ERROR_ARGUMENT, "NULL", [&] { (void)a.decompress(text); });
        fails(GPTZ_ERROR_ARGUMENT, "NULL", [&] { (void)a.method(); });
        fails(GPTZ_ERROR_ARGUMENT, "NULL", [&] { (void)a.snapshot(); });
        fails(GPTZ_ERROR_ARGUMENT, "NULL", [&] { (void)a.memory_estimate(); });
        CHECK(a.last_error().empty());
        fails(GPTZ_ERROR_ARGUMENT, "NULL", [&] { a.set_progress([](std::uint64_t, std::uint64_t) { return true; }); });

        // Moves by assignment onto a compressor that has a callback, and by a vector that grows.
        const auto other = std::make_shared<int>(0);
        compressor c;
        c.set_progress([other](std::uint64_t, std::uint64_t) { return true; });
        c = std::move(b);
        CHECK(other.use_count() == 1 && c.predict() == learned);
        std::vector<compressor> many;
        many.push_back(std::move(c));
        for (int i = 0; i < 4; i++)
            many.emplace_back(method);
        *held = 0;
        fails(GPTZ_ERROR_CANCELLED, "", [&] { (void)many[0].compress(text); });
        CHECK(*held > 2 && held.use_count() == 2);
        std::swap(many[0], many[1]);
        CHECK(!many[0].compress(text).empty());
        fails(GPTZ_ERROR_CANCELLED, "", [&] { (void)many[1].compress(text); });
        a = compressor(method);
        CHECK(same(a.decompress(many[0].compress(text)), text));
    }
    CHECK(held.use_count() == 1);
}

void states()
{
    compressor z(method);
    const auto before = z.predict();
    float sum = 0;
    for (float p : before) {
        CHECK(p > 0);
        sum += p;
    }
    CHECK(std::fabs(sum - 1) < 1e-3f);

    z.feed(text);
    const auto after = z.predict();
    CHECK(after != before);
    snapshot learned = z.snapshot();
    z.reset();
    CHECK(z.predict() == before);
    z.restore(learned);
    CHECK(z.predict() == after);

    // The portable form.
    const bytes portable = learned.save();
    const snapshot loaded = snapshot::load(portable);
    CHECK(loaded.id() == learned.id() && loaded.save() == portable);
    z.reset();
    z.restore(loaded);
    CHECK(z.predict() == after);
    fails(GPTZ_ERROR_TRUNCATED, "ends within", [&] { (void)snapshot::load({portable.data(), portable.size() - 1}); });
    fails(GPTZ_ERROR_FORMAT, "no snapshot", [&] { (void)snapshot::load(bytes_view(text.data(), 50)); });

    // Records, with the snapshot as their base.
    compressor primed(method), bare_reader(method);
    primed.set_base(learned);
    const std::vector<bytes_view> contents = {bytes_view(text.data(), 60), bytes_view(), bytes_view(text.data() + 60, 40)};
    const compressor::records made = primed.compress_records(contents);
    CHECK(made.lengths.size() == 3 && made.lengths[0] < 60 && made.lengths[1] == 1);
    const compressor::records read = primed.decompress_records(made.views());
    CHECK(read.lengths == (std::vector<std::size_t>{60, 0, 40}) && same(read.bytes, bytes_view(text.data(), 100)));
    fails(GPTZ_ERROR_MEMORY, "99", [&] { (void)primed.decompress_records(made.views(), 99); });
    fails(GPTZ_ERROR_TRUNCATED, "record 0", [&] { (void)primed.decompress_records({bytes_view()}); });
    CHECK(primed.compress_records({}).bytes.empty());
    // A record with a check that does not compress is as long as a record can be.
    compressor checked(method);
    checked.set(GPTZ_PARAM_RECORD_CHECK, 4);
    const std::string record_noise = make_noise(200);
    CHECK(checked.compress_records({bytes_view(record_noise)}).bytes.size() == 2 + 4 + record_noise.size());

    // A snapshot as the base. It may be destroyed afterwards.
    const bytes_view message(text.data(), 100);
    const bytes bare_frame = z.compress(message);
    const double bare = z.cross_entropy(message);
    z.set_base(learned);
    const bytes frame = z.compress(message);
    CHECK(frame.size() < bare_frame.size() && z.cross_entropy(message) < bare / 2);
    compressor reader(method);
    fails(GPTZ_ERROR_MISMATCH, "base", [&] { (void)reader.decompress(frame); });
    fails(GPTZ_ERROR_MISMATCH, "base", [&] { (void)compressor::for_frame(frame); });
    {
        const snapshot moved = std::move(learned);
        reader.set_base(moved);
    }
    CHECK(same(reader.decompress(frame), message));
    reader.reset();
    CHECK(reader.predict() == after);
    reader.clear_base();
    CHECK(reader.compress(message) == bare_frame);

    // The source of a move is refused as a base. It does not mean the state of a new compressor, as NULL does in C.
    fails(GPTZ_ERROR_ARGUMENT, "moved from", [&] { reader.set_base(learned); });
    fails(GPTZ_ERROR_ARGUMENT, "NULL", [&] { reader.restore(learned); });

    // A snapshot of another method.
    const snapshot foreign = compressor().snapshot();
    CHECK(foreign.handle() != nullptr);
    fails(GPTZ_ERROR_MISMATCH, "", [&] { z.set_base(foreign); });
    fails(GPTZ_ERROR_MISMATCH, "", [&] { z.restore(foreign); });
    CHECK(z.compress(message) == frame);
}

void models(const char *path)
{
    std::ifstream in(path, std::ios::binary);
    const std::string file((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    CHECK(in.good() && !file.empty());
    const bytes_view message(text.data(), 300);
    bytes frame;
    CHECK(model::carried());
    compressor carried = compressor::from_model(model::builtin(), "mix:mem=1M");
    CHECK(same(carried.decompress(carried.compress(message)), message));
    compressor outlives = [&] {
        model weights = model::from_memory(file);
        CHECK(weights.fingerprint() == model::open(path).fingerprint());
        CHECK(weights.fingerprint() != (std::array<std::uint8_t, 32>{}));
        CHECK(weights.info(GPTZ_MODEL_VOCABULARY) == 256 && weights.info(GPTZ_MODEL_EOS) == -1);
        gptz_cpp::generator text(weights);
        text.prefill({65, 66});
        const auto next = text.step();
        CHECK(text.tokens() == (std::vector<std::uint32_t>{65, 66, next}));
        fails(GPTZ_ERROR_ARGUMENT, "256", [&] { text.decode(256); });
        const auto tokens = weights.tokenize(message);
        CHECK(tokens.size() == message.size() && same(weights.detokenize(tokens), message));
        CHECK(weights.tokenize(bytes_view()).empty() && weights.detokenize({}).empty());
        fails(GPTZ_ERROR_ARGUMENT, "256", [&] { (void)weights.detokenize({65, 256}); });
        compressor z = compressor::from_model(weights);
        CHECK(z.method().find("file:") == 0);
        frame = z.compress(message);
        compressor f32 = compressor::from_model(weights, "weights=f32");
        CHECK(f32.method() != z.method());
        fails(GPTZ_ERROR_MISMATCH, "weights=f32", [&] { (void)f32.decompress(frame); });
        fails(GPTZ_ERROR_METHOD, "", [&] { (void)compressor::from_model(weights, "weights=f31"); });
        fails(GPTZ_ERROR_ARGUMENT, "zero byte", [&] { (void)compressor::from_model(weights, std::string("\0", 1)); });
        fails(GPTZ_ERROR_MODEL, "", [&] { (void)compressor::for_frame(frame); });
        const model moved = std::move(weights);
        CHECK(moved.handle() != nullptr && weights.handle() == nullptr);
        fails(GPTZ_ERROR_ARGUMENT, "NULL", [&] { (void)weights.fingerprint(); });
        fails(GPTZ_ERROR_ARGUMENT, "NULL", [&] { (void)compressor::from_model(weights); });
        return z;
    }();
    CHECK(same(outlives.decompress(frame), message));
    CHECK(same(compressor(std::string("file:") + path).decompress(frame), message));
}

/* Threads share a snapshot and have a compressor each. A compressor moves to another thread. */
void threads()
{
    compressor z(method);
    z.feed(text);
    const snapshot base = z.snapshot();
    std::array<bytes, 3> frames;
    std::vector<std::thread> running;
    for (bytes &frame : frames)
        running.emplace_back([&frame, &base] {
            compressor own(method);
            own.set_base(base);
            frame = own.compress(text);
        });
    for (std::thread &thread : running)
        thread.join();
    CHECK(frames[0] == frames[1] && frames[0] == frames[2]);
    z.set_base(base);
    bytes back;
    std::thread([&back, &frames, mine = std::move(z)]() mutable { back = mine.decompress(frames[0]); }).join();
    CHECK(same(back, text));
}

void readers()
{
    compressor z(method);
    z.set(GPTZ_PARAM_BLOCK_LOG, 12);
    const bytes frames = [&] {
        bytes all = z.compress(text);
        const bytes more = z.compress(text);
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }();
    {
        gptz_cpp::reader r(z, frames);
        CHECK(r.size() == 2 * text.size());
        CHECK(same(r.read(0, text.size()), text) && same(r.read(text.size(), 1 << 20), text));
        CHECK(same(r.read(text.size() - 3, 6), text.substr(text.size() - 3) + text.substr(0, 3)));
        CHECK(r.read(~std::uint64_t{0}, 5).empty());
        fails(GPTZ_ERROR_STATE, "reader", [&] { (void)z.compress(text); });
        gptz_cpp::reader moved = std::move(r);
        CHECK(same(moved.read(10, 20), text.substr(10, 20)));
        fails(GPTZ_ERROR_ARGUMENT, "NULL", [&] { char c; (void)r.read(0, &c, 1); });
    }
    // A source that throws, and goes on.
    bool broken = false;
    const auto read_at = [&](std::uint64_t offset, void *dst, std::size_t len) {
        if (broken)
            throw 42;
        std::memcpy(dst, frames.data() + offset, len);
        return len;
    };
    broken = true;
    try {
        gptz_cpp::reader none(z, read_at, frames.size());
        CHECK(!"reached");
    } catch (int thrown) {
        CHECK(thrown == 42);
    }
    broken = false;
    gptz_cpp::reader r(z, read_at, frames.size());
    CHECK(same(r.read(0, 100), text.substr(0, 100)));
    // The compressor may go first.
    { compressor gone = std::move(z); }
    CHECK(same(r.read(5, 100), text.substr(5, 100)));
    compressor other(method);
    fails(GPTZ_ERROR_FORMAT, "not a gptz frame", [&] { gptz_cpp::reader none(other, std::string_view("garbage")); });
}

/** Writes a tensor file beside the program, reads it and removes it. */
void tensors(const std::string &folder)
{
    const std::string path = folder + ".tensors";
    const std::vector<float> values = {1, -2.5f, 3, 0, 7, -8};
    {
        gptz_cpp::tensor_writer writer(path, GPTZ_TENSORS_GGUF, "{\"a\":{\"u32\":7}}");
        writer.add_f32("w", GPTZ_DTYPE_F16, {2, 3}, values);
        writer.add("b", GPTZ_DTYPE_I8, {}, std::string_view("x"));
        CHECK(writer.counts().first == 2 && writer.counts().second == 64);
        fails(GPTZ_ERROR_ARGUMENT, "before", [&] { writer.add("b", GPTZ_DTYPE_I8, {}, std::string_view("x")); });
        writer.finish();
        fails(GPTZ_ERROR_STATE, "finished", [&] { writer.finish(); });
    }
    const gptz_cpp::tensor_reader reader(path);
    CHECK(reader.count() == 2 && reader.metadata() == "{\"a\":{\"u32\":7}}");
    CHECK(reader.info(0).name == "w" && reader.info(0).dtype == GPTZ_DTYPE_F16 && reader.info(0).bytes == 12);
    CHECK((reader.info(0).shape == std::vector<std::uint64_t>{2, 3}) && reader.info(0).values() == 6);
    CHECK(reader.read_f32(0) == values && reader.read(1) == bytes{std::byte{'x'}});
    fails(GPTZ_ERROR_ARGUMENT, "tensor 2", [&] { (void)reader.info(2); });
    std::remove(path.c_str());
    fails(GPTZ_ERROR_IO, "opening", [&] { gptz_cpp::tensor_reader none(path); });
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 2) {
        std::fprintf(stderr, "usage: gptz_hpp WEIGHTS.safetensors\n");
        return 2;
    }
    try {
        views();
        round_trips();
        streams();
        errors();
        callbacks();
        moves();
        states();
        models(argv[1]);
        threads();
        readers();
        tensors(argv[0]);
    } catch (const std::exception &e) {
        std::fprintf(stderr, "unexpected exception: %s\n", e.what());
        return 1;
    }
    std::puts("ok");
    return 0;
}
