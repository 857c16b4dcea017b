/* SPDX-License-Identifier: Apache-2.0 */
/* See faultcontrol.h. One connection at a time, one request per connection. */
#include "tests/chaos/faultcontrol.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"

#define LINE_BYTES_MAX 1024
#define WORDS_MAX      5

void faultctl_init(struct faultctl *ctl, const char *socket_path, uint64_t fsync_us)
{
    pthread_condattr_t attributes;
    *ctl = (struct faultctl){.socket_path = socket_path, .fsync_us = fsync_us, .socket = -1};
    pthread_mutex_init(&ctl->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&ctl->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    faultdisk_init(&ctl->disk);
}

/* True when this one is to fail; counts down. */
static bool take_failure(const struct faultctl *ctl, int64_t *left, const struct faultnode *node)
{
    if (*left == 0 || (ctl->fail_suffix[0] != '\0' &&
                       (node->name == NULL || !str_ends_with(node->name, ctl->fail_suffix)))) {
        return false;
    }
    *left -= *left > 0 ? 1 : 0;
    return true;
}

int faultctl_before_write(struct faultctl *ctl, const struct faultnode *file)
{
    ctl->writes++;
    if (take_failure(ctl, &ctl->fail_writes, file)) {
        ctl->writes_failed++;
        return -EIO;
    }
    return 0;
}

/* Waits, without the lock, as long as syncs take now. */
static void sync_wait(struct faultctl *ctl)
{
    struct timespec end;
    uint64_t turn = ctl->turn;
    uint64_t wait_ns = ctl->fsync_us * 1000 + ctl->delay_ms * 1000000;
    if (wait_ns == 0) {
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    uint64_t end_ns = (uint64_t)end.tv_sec * 1000000000u + (uint64_t)end.tv_nsec + wait_ns;
    end = (struct timespec){.tv_sec = (time_t)(end_ns / 1000000000u),
                            .tv_nsec = (long)(end_ns % 1000000000u)};
    while (turn == ctl->turn && pthread_cond_timedwait(&ctl->changed, &ctl->lock, &end) == 0) {
    }
}

int faultctl_sync(struct faultctl *ctl, struct faultnode *node, uint64_t at, uint64_t size)
{
    sync_wait(ctl);
    ctl->syncs++;
    if (take_failure(ctl, &ctl->fail_syncs, node)) {
        ctl->syncs_failed++;
        faultdisk_sync_fails(node);
        return -EIO;
    }
    if (size == 0) {
        faultdisk_sync(&ctl->disk, node);
    } else {
        faultdisk_sync_range(node, at, size);
    }
    return 0;
}

/* ---- requests ---- */

struct request {
    char *words[WORDS_MAX];
    int count;
    char answer[256];
    bool changed_bytes; /* of files that the kernel may have pages of */
};

static bool number_of(const struct request *request, int word, int64_t least, int64_t *out)
{
    char *end;
    if (word >= request->count) {
        return false;
    }
    errno = 0;
    *out = strtoll(request->words[word], &end, 10);
    return errno == 0 && *end == '\0' && end != request->words[word] && *out >= least;
}

/* cut SEED KEEP_PERCENT */
static bool do_cut(struct faultctl *ctl, struct request *request)
{
    int64_t seed;
    int64_t keep;
    struct rng luck;
    if (!number_of(request, 1, 0, &seed) || !number_of(request, 2, 0, &keep) || keep > 100) {
        return false;
    }
    rng_seed(&luck, (uint64_t)seed);
    struct faultloss loss = faultdisk_power_cut(&ctl->disk, &luck, (unsigned)keep);
    ctl->fail_syncs = ctl->fail_writes = 0;
    ctl->delay_ms = 0;
    ctl->turn++;
    request->changed_bytes = true;
    snprintf(request->answer, sizeof(request->answer),
             "ok lost=%" PRIu64 " kept=%" PRIu64 " names=%" PRIu64, loss.sectors_lost,
             loss.sectors_kept, loss.names_lost);
    return true;
}

/* rot PATH OFFSET SIZE */
static bool do_rot(struct faultctl *ctl, struct request *request)
{
    int64_t at;
    int64_t size;
    if (!number_of(request, 2, 0, &at) || !number_of(request, 3, 1, &size)) {
        return false;
    }
    struct faultnode *file = faultdisk_walk(&ctl->disk, request->words[1]);
    size_t turned = file == NULL ? 0 : faultdisk_rot(file, (uint64_t)at, (size_t)size);
    request->changed_bytes = true;
    snprintf(request->answer, sizeof(request->answer), "%s bytes=%zu",
             turned == 0 ? "error nothing there," : "ok", turned);
    return true;
}

static void do_clear(struct faultctl *ctl)
{
    ctl->fail_syncs = ctl->fail_writes = 0;
    ctl->delay_ms = 0;
    ctl->disk.is_full = false;
    ctl->turn++;
}

static void do_stat(struct faultctl *ctl, struct request *request)
{
    snprintf(request->answer, sizeof(request->answer),
             "ok syncs=%" PRIu64 " syncs_failed=%" PRIu64 " writes=%" PRIu64
             " writes_failed=%" PRIu64 " unsynced=%" PRIu64 " pages=%" PRIu64,
             ctl->syncs, ctl->syncs_failed, ctl->writes, ctl->writes_failed,
             faultdisk_unsynced_bytes(&ctl->disk), ctl->disk.used_pages);
}

/* Does it; false: it was not understood. */
static bool run(struct faultctl *ctl, struct request *request)
{
    const char *what = request->count > 0 ? request->words[0] : "";
    int64_t number = 0;
    snprintf(request->answer, sizeof(request->answer), "ok");
    if (strcmp(what, "cut") == 0) {
        return do_cut(ctl, request);
    }
    if (strcmp(what, "rot") == 0) {
        return do_rot(ctl, request);
    }
    if (strcmp(what, "clear") == 0) {
        do_clear(ctl);
    } else if (strcmp(what, "stat") == 0) {
        do_stat(ctl, request);
    } else if (strcmp(what, "full") == 0) {
        ctl->disk.is_full = true;
    } else if (!number_of(request, 1, -1, &number)) {
        return false;
    } else if (strcmp(what, "fail-fsync") == 0 || strcmp(what, "fail-write") == 0) {
        *(what[5] == 'f' ? &ctl->fail_syncs : &ctl->fail_writes) = number;
        snprintf(ctl->fail_suffix, sizeof(ctl->fail_suffix), "%s",
                 request->count > 2 ? request->words[2] : "");
    } else if (strcmp(what, "delay-fsync") == 0 && number >= 0) {
        ctl->delay_ms = (uint64_t)number;
        ctl->turn += number == 0 ? 1 : 0;
    } else {
        return false;
    }
    return true;
}

/* The kernel must not keep pages of bytes that are no longer there. */
static void forget_all(struct faultctl *ctl)
{
    size_t count = 0;
    size_t at = 0;
    pthread_mutex_lock(&ctl->lock);
    LIST_EACH(it, &ctl->disk.nodes)
    {
        count++;
    }
    struct faultnode **nodes = mem_array(count, sizeof(struct faultnode *));
    LIST_EACH(it, &ctl->disk.nodes)
    {
        nodes[at] = LIST_ENTRY(it, struct faultnode, all);
        faultnode_ref(nodes[at++]);
    }
    pthread_mutex_unlock(&ctl->lock);
    for (size_t i = 0; i < count; i++) {
        ctl->forget(ctl->forget_ctx, ctl, nodes[i]);
    }
    pthread_mutex_lock(&ctl->lock);
    for (size_t i = 0; i < count; i++) {
        faultnode_unref(&ctl->disk, nodes[i], 1);
    }
    pthread_mutex_unlock(&ctl->lock);
    mem_free(nodes);
}

static void serve_one(struct faultctl *ctl, int fd)
{
    char line[LINE_BYTES_MAX];
    size_t size = 0;
    ssize_t got;
    struct request request = {0};
    char *rest = NULL;
    while (size < sizeof(line) - 1 && (got = read(fd, line + size, sizeof(line) - 1 - size)) > 0) {
        size += (size_t)got;
        if (line[size - 1] == '\n') {
            break;
        }
    }
    line[size] = '\0';
    for (char *word = strtok_r(line, " \n", &rest); word != NULL && request.count < WORDS_MAX;
         word = strtok_r(NULL, " \n", &rest)) {
        request.words[request.count++] = word;
    }
    pthread_mutex_lock(&ctl->lock);
    if (!run(ctl, &request)) {
        snprintf(request.answer, sizeof(request.answer), "error not understood");
    }
    pthread_cond_broadcast(&ctl->changed);
    pthread_mutex_unlock(&ctl->lock);
    if (request.changed_bytes) {
        forget_all(ctl);
    }
    dprintf(fd, "%s\n", request.answer);
}

static void *listen_thread(void *ctx)
{
    struct faultctl *ctl = ctx;
    for (;;) {
        int fd = accept(ctl->socket, NULL, NULL);
        if (fd < 0 && errno != EINTR && errno != ECONNABORTED) {
            return NULL;
        }
        if (fd >= 0) {
            serve_one(ctl, fd);
            close(fd);
        }
    }
}

int faultctl_listen(struct faultctl *ctl, faultctl_forget_fn forget, void *ctx)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    sigset_t all;
    sigset_t before;
    pthread_t thread;
    if (strlen(ctl->socket_path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, ctl->socket_path, strlen(ctl->socket_path) + 1);
    ctl->forget = forget;
    ctl->forget_ctx = ctx;
    ctl->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (ctl->socket < 0 ||
        bind(ctl->socket, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(ctl->socket, 8) != 0) {
        return -1;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&thread, NULL, listen_thread, ctl);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        errno = rc;
        return -1;
    }
    pthread_detach(thread);
    return 0;
}
