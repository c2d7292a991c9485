/*
 * plugin.c: load the library at run time.
 *
 *     plugin LIBRARY        (for example ./libgptz.so.0)
 *
 * Opens the library with dlopen, checks that its version is compatible with the header that this program was compiled
 * with, compresses and decompresses a text, and prints the message of an error. The program is not linked with gptz.
 * Link it with -ldl if dlopen is not in libc.
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

/* The comparison inside sizeof makes the compiler check each pointer's type against the header. It is not evaluated, so
   the program needs no symbol of the library. */
#define CALL(name) {"gptz_" #name, &api.name, sizeof(api.name == gptz_##name)}

static const struct {
    const char *symbol;
    void *pointer; /* the address of the pointer in `api` */
    size_t checked;
} calls[] = {
    CALL(version_number), /* must be first: it is called before the other symbols are looked up */
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

/* Looks up and stores the address of a call. ISO C has no cast from void * to a function pointer, but POSIX guarantees
   that both have the same representation. */
static void resolve(void *library, size_t i)
{
    void *address = dlsym(library, calls[i].symbol);
    if (address == NULL)
        die(calls[i].symbol, "is not in the library");
    memcpy(calls[i].pointer, &address, sizeof address);
}

/* The major versions must be equal. While they are 0, the minor versions must be equal too. */
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
    check(api.create(NULL, &handle), "creating a handle");
    cap = api.compress_bound(sizeof text);
    frame = malloc(cap);
    if (frame == NULL)
        die("malloc", "no memory");
    check(api.compress(handle, text, sizeof text, frame, cap, &frame_len), "compressing");
    check(api.decompress(handle, frame, frame_len, back, sizeof back, &len), "decompressing");
    if (len != sizeof text || memcmp(back, text, len) != 0)
        die("the text", "differs after decompression");
    printf("%zu bytes compressed to %zu and decompressed\n", sizeof text, frame_len);
    api.free(handle);
    free(frame);

    if (api.create("cfg:hidden=33", &handle) == GPTZ_OK)
        die("a method that does not exist", "was accepted");
    printf("a wrong method fails, as expected: %s\n", api.last_error());

    /* The library stays in memory until the process ends: it is linked with -z nodelete. */
    dlclose(library);
    return 0;
}
