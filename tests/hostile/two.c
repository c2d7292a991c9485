/* Uses gptz and another Rust library in one program. Each must work, catch its own panic and work again, in both orders. */
#include <gptz.h>
#include <stdio.h>
#include <string.h>

int second(int n); /* returns n; if n is above 5, panics, catches the panic and returns -1 */
#ifndef GPTZ_TESTING_PANIC
#define GPTZ_TESTING_PANIC 1
#endif
#if GPTZ_TESTING_PANIC
gptz_status gptz_testing_panic(void); /* only the build of this test has it */
#endif

static int failed;

static void check(int right, const char *what)
{
    if (!right) {
        fprintf(stderr, "two: %s; gptz_last_error: %s\n", what, gptz_last_error());
        failed = 1;
    }
}

static void of_gptz(void)
{
    gptz *z = NULL;
    unsigned char frame[300], back[20];
    size_t n = 0, m = 0;
    check(gptz_create("level:3", &z) == GPTZ_OK, "create");
    check(gptz_compress(z, "abcabcabc", 9, frame, sizeof frame, &n) == GPTZ_OK, "compress");
    check(gptz_decompress(z, frame, n, back, sizeof back, &m) == GPTZ_OK, "decompress");
    check(m == 9 && memcmp(back, "abcabcabc", 9) == 0, "the decompressed content");
    gptz_free(z);
    check(gptz_create("none such", &z) == GPTZ_ERROR_METHOD, "an unknown method");
#if GPTZ_TESTING_PANIC
    check(gptz_testing_panic() == GPTZ_ERROR_INTERNAL, "a panic inside gptz");
    check(strstr(gptz_last_error(), "a panic for a test") != NULL, "the panic's text");
#endif
}

static void of_second(void)
{
    check(second(3) == 3, "the other library");
    check(second(9) == -1, "a panic inside the other library");
}

int main(int argc, char **argv)
{
    int i;
    int second_first = argc > 1 && strcmp(argv[1], "second") == 0;
    for (i = 0; i < 2; i++) {
        if (second_first) of_second();
        of_gptz();
        of_second();
    }
    if (!failed) puts("ok");
    return failed;
}
