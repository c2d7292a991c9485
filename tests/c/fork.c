/*
 * A program forks while its threads are in calls. Each child makes calls of its own, on a new handle and on one from before
 * the fork. Prints "ok", or the check that failed.
 *
 *     fork
 */
#define _POSIX_C_SOURCE 200112L
#include <gptz.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(what) \
    do { \
        if (!(what)) { \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #what, gptz_last_error()); \
            exit(1); \
        } \
    } while (0)

enum { THREADS = 3, CHILDREN = 300, SECONDS = 20 };

static const char method[] = "mix:mem=64K";
static volatile sig_atomic_t stop;

/* Short calls: most of their time is what every call does before and after its work. */
static void *make_calls(void *argument)
{
    gptz *z = argument;
    int64_t value;
    while (!stop)
        CHECK(gptz_get(z, GPTZ_PARAM_BLOCK_LOG, &value) == GPTZ_OK && value == 17);
    return NULL;
}

/* Ends the child: 0 if its calls are correct. SIGALRM ends one that does not return. */
static void child(gptz *inherited)
{
    unsigned char frame[200], back[100];
    size_t frame_len, len;
    gptz *z = NULL;
    alarm(SECONDS);
    if (gptz_create(method, &z) != GPTZ_OK)
        _exit(2);
    if (gptz_compress(z, "in a child", 10, frame, sizeof frame, &frame_len) != GPTZ_OK)
        _exit(3);
    if (gptz_decompress(inherited, frame, frame_len, back, sizeof back, &len) != GPTZ_OK)
        _exit(4);
    gptz_free(z);
    gptz_free(inherited);
    _exit(len == 10 && memcmp(back, "in a child", 10) == 0 ? 0 : 5);
}

int main(void)
{
    pthread_t threads[THREADS];
    gptz *handles[THREADS], *mine = NULL;
    int i, status;
    CHECK(gptz_create(method, &mine) == GPTZ_OK);
    for (i = 0; i < THREADS; i++) {
        CHECK(gptz_create(method, &handles[i]) == GPTZ_OK);
        CHECK(pthread_create(&threads[i], NULL, make_calls, handles[i]) == 0);
    }
    for (i = 0; i < CHILDREN; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            child(mine);
        CHECK(waitpid(pid, &status, 0) == pid);
        if (status != 0) {
            fprintf(stderr, "child %d: %s %d\n", i, WIFSIGNALED(status) ? "signal" : "exit status",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
            return 1;
        }
    }
    stop = 1;
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        gptz_free(handles[i]);
    }
    gptz_free(mine);
    puts("ok");
    return 0;
}
