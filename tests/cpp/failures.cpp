/*
 * Tests how gptz.hpp handles failures that are hard to cause. This program defines gptz_model_builtin and gptz_create,
 * and the linker uses these definitions instead of the library's. It also tests a C++ exception that leaves a C
 * progress callback. Prints "ok", or the check that failed.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#include <gptz.hpp>

#include <cstdio>
#include <cstdlib>

#define CHECK(what) \
    do { \
        if (!(what)) { \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what); \
            std::exit(1); \
        } \
    } while (0)

static gptz_status create_status;

extern "C" gptz_model *gptz_model_builtin(void)
{
    // Leaves a message, as the library's own call does.
    gptz_set_cpu_level(77);
    return nullptr;
}

extern "C" gptz_status gptz_create(const char *, gptz **out)
{
    *out = nullptr;
    return create_status;
}

static gptz_status status_of_builtin()
{
    try {
        (void)gptz_cpp::model::builtin();
    } catch (const gptz_cpp::error &e) {
        CHECK(std::strstr(e.what(), "77") != nullptr);
        return e.status();
    }
    return GPTZ_OK;
}

#if defined(__GLIBC__) && (defined(__x86_64__) || defined(__aarch64__))
struct stop {
    int code;
};

struct outer {
    gptz *inner;
    unsigned char *frame;
};

static int throwing(void *, uint64_t done, uint64_t)
{
    if (done >= 300)
        throw stop{17};
    return 0;
}

// A call within a callback, whose own callback throws.
static int calling(void *userdata, uint64_t done, uint64_t)
{
    auto *self = static_cast<outer *>(userdata);
    std::size_t len = 0;
    if (done >= 300)
        (void)gptz_compress(self->inner, "text", 4, self->frame, 1000, &len);
    return 0;
}

static int throwing_at_once(void *, uint64_t, uint64_t)
{
    throw stop{18};
}

static int code_of_compress(gptz *z, const std::string &text, unsigned char *frame)
{
    try {
        std::size_t len = 0;
        (void)gptz_compress(z, text.data(), text.size(), frame, 1000, &len);
    } catch (const stop &s) {
        CHECK(std::uncaught_exceptions() == 0);
        return s.code;
    }
    return 0;
}

static void exceptions()
{
    // gptz_create is the function of this program here.
    static const char policy[] = "mix:mem=64K";
    gptz_model *weights = nullptr;
    gptz *z = nullptr, *inner = nullptr;
    unsigned char frame[1000], other[1000];
    const std::string text(800, 'a');
    std::size_t before = 0, after = 0;
    CHECK(gptz_model_open("tests/data/rwkv7-tiny.safetensors", &weights) == GPTZ_OK);
    CHECK(gptz_create_from_model(weights, nullptr, &z) == GPTZ_OK);
    CHECK(gptz_create_from_model(weights, policy, &inner) == GPTZ_OK);
    CHECK(gptz_compress(z, text.data(), text.size(), frame, sizeof frame, &before) == GPTZ_OK);
    CHECK(gptz_set_progress(z, throwing, nullptr) == GPTZ_OK);
    for (int i = 0; i < 3; i++)
        CHECK(code_of_compress(z, text, other) == 17);
    outer both = {inner, other};
    CHECK(gptz_set_progress(inner, throwing_at_once, nullptr) == GPTZ_OK);
    CHECK(gptz_set_progress(z, calling, &both) == GPTZ_OK);
    CHECK(code_of_compress(z, text, frame) == 18);
    CHECK(gptz_set_progress(z, nullptr, nullptr) == GPTZ_OK && gptz_set_progress(inner, nullptr, nullptr) == GPTZ_OK);
    CHECK(gptz_compress(inner, "text", 4, other, sizeof other, &after) == GPTZ_OK);
    CHECK(gptz_compress(z, text.data(), text.size(), other, sizeof other, &after) == GPTZ_OK && after == before);
    gptz_free(inner);
    gptz_free(z);
    gptz_model_free(weights);
}
#else
static void exceptions() {}
#endif

int main()
{
    for (gptz_status status : {GPTZ_ERROR_METHOD, GPTZ_ERROR_MEMORY, GPTZ_ERROR_INTERNAL}) {
        create_status = status;
        CHECK(status_of_builtin() == status);
    }
    // The first allocation failed, and a later one succeeds.
    create_status = GPTZ_OK;
    CHECK(status_of_builtin() == GPTZ_ERROR_MEMORY);
    exceptions();
    std::puts("ok");
    return 0;
}
