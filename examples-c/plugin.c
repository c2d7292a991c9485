/*
 * plugin.c: the library found at run time.
 *
 *     plugin LIBRARY        (./libgptz.so.0, say)
 *
 * Opens the library with dlopen, checks that its version goes with the header that this was compiled with, takes a text
 * to a frame and back, and prints an error's text. Not linked with gptz; -ldl where dlopen is not in libc.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#define _POSIX_C_SOURCE 200112L
#include <gptz.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The calls that this program makes. */
static struct {
    uint32_t (*version_number)(void);
    const char *(*status_name)(gptz_status status);
    const char *(*last_error)(void);
    gptz_status (*create)(const char *method, gptz **out);
    void (*free)(gptz *handle);
    size_t (*compress_bound)(size_t src_len);
    gptz_status (*compress)(gptz *handle, const void *src, size_t src_len, void *dst, size_t dst_cap, size_t *dst_len);
    gptz_status (*decompress)(gptz *handle, const void *src, size_t src_len, void *dst, size_t dst_cap,
                              size_t *dst_len);
} api;

/* Comparing inside sizeof makes the compiler hold each pointer's type to the header, and links nothing. */
#define CALL(name) {"gptz_" #name, &api.name, sizeof(api.name == gptz_##name)}

static const struct {
    const char *symbol;
    void *pointer; /* at the pointer in `api` */
    size_t checked;
} calls[] = {
    CALL(version_number), /* the first one: what the others are depends on it */
    CALL(status_name),
    CALL(last_error),
    CALL(create),
    CALL(free),
    CALL(compress_bound),
    CALL(compress),
    CALL(decompress),
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "plugin: %s: %s\n", what, why);
    exit(1);
}

static void check(gptz_status status, const char *what)
{
    if (status != GPTZ_OK) {
        fprintf(stderr, "plugin: %s: %s: %s\n", what, api.status_name(status), api.last_error());
        exit(1);
    }
}

/* Stores the call's address. ISO C has no cast from void * to a function pointer; POSIX has them look the same. */
static void resolve(void *library, size_t i)
{
    void *address = dlsym(library, calls[i].symbol);
    if (address == NULL)
        die(calls[i].symbol, "is not in the library");
    memcpy(calls[i].pointer, &address, sizeof address);
}

/* The same major version, and as long as that is 0 the same minor one. */
static void check_version(uint32_t library)
{
    unsigned long major = library / 10000, minor = library / 100 % 100;
    if (major != GPTZ_VERSION_MAJOR || (major == 0 && minor != GPTZ_VERSION_MINOR)) {
        fprintf(stderr, "plugin: the library is version %lu.%lu.%lu, the header is %s\n", major, minor,
                (unsigned long)(library % 100), GPTZ_VERSION_STRING);
        exit(1);
    }
    printf("version %lu.%lu.%lu%s\n", major, minor, (unsigned long)(library % 100),
           library == GPTZ_VERSION_NUMBER ? "" : ", the header's is " GPTZ_VERSION_STRING);
}

int main(int argc, char **argv)
{
    static const char line[] = "What I tell you three times is true. ";
    char text[3000], back[sizeof text];
    size_t i, cap, frame_len, len;
    gptz *handle = NULL;
    void *library, *frame;

    if (argc != 2) {
        fprintf(stderr, "usage: plugin LIBRARY\n");
        return 2;
    }
    library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        die("dlopen", dlerror());
    resolve(library, 0);
    check_version(api.version_number());
    for (i = 1; i < sizeof calls / sizeof calls[0]; i++)
        resolve(library, i);

    for (i = 0; i < sizeof text; i++)
        text[i] = line[i % (sizeof line - 1)];
    check(api.create(NULL, &handle), "making a handle");
    cap = api.compress_bound(sizeof text);
    frame = malloc(cap);
    if (frame == NULL)
        die("malloc", "no memory");
    check(api.compress(handle, text, sizeof text, frame, cap, &frame_len), "compressing");
    check(api.decompress(handle, frame, frame_len, back, sizeof back, &len), "decompressing");
    if (len != sizeof text || memcmp(back, text, len) != 0)
        die("the text", "came back changed");
    printf("%zu bytes to %zu and back\n", sizeof text, frame_len);
    api.free(handle);
    free(frame);

    if (api.create("cfg:hidden=33", &handle) == GPTZ_OK)
        die("a method that does not exist", "was accepted");
    printf("as it should, a wrong method fails: %s\n", api.last_error());

    /* The library stays in memory: it is linked so that dlclose does not take it away from under its threads. */
    dlclose(library);
    return 0;
}
