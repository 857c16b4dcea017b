/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The epoll loop. One turn: wait, descriptors, posts, timers, the turn-end callback, tasks. A post
 * from another thread costs a lock and a list entry; the eventfd is written only when the loop
 * sleeps.
 */
#include "base/net/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"

#define LOOP_EVENTS_PER_TURN 128
#define LOOP_SCRATCH_BYTES   (64u * 1024u)
#define LOOP_SLEEP_MS_MAX    3600000u

struct loop_post {
    struct loop_post *next;
    loop_fn fn;
    void *ctx;
};

struct loop {
    int epoll_fd;
    int wake_fd;
    uint64_t now_ms;
    struct heap timers;
    struct list tasks;
    loop_fn turn_end;
    void *turn_end_ctx;
    struct epoll_event events[LOOP_EVENTS_PER_TURN];
    int event_count; /* of this turn */
    int event_next;  /* first one not delivered yet */
    uint8_t *scratch;
    atomic_bool stopped;

    pthread_mutex_t lock; /* guards all below */
    struct loop_post *post_first;
    struct loop_post **post_tail;
    bool sleeping;
};

uint64_t loop_clock_ns(void)
{
    struct timespec now;
    int rc = clock_gettime(CLOCK_MONOTONIC, &now);
    ASSERT(rc == 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int loop_new(struct loop **out_loop, struct err *err)
{
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) {
        return err_set(err, err_from_errno(errno), "epoll_create1: %s", strerrordesc_np(errno));
    }
    int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd < 0) {
        int errnum = errno;
        close(epoll_fd);
        return err_set(err, err_from_errno(errnum), "eventfd: %s", strerrordesc_np(errnum));
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &event) != 0) {
        int errnum = errno;
        close(wake_fd);
        close(epoll_fd);
        return err_set(err, err_from_errno(errnum), "epoll_ctl: %s", strerrordesc_np(errnum));
    }
    struct loop *loop = mem_zalloc(sizeof(*loop));
    loop->epoll_fd = epoll_fd;
    loop->wake_fd = wake_fd;
    loop->now_ms = loop_clock_ns() / 1000000u;
    heap_init(&loop->timers);
    list_init(&loop->tasks);
    loop->scratch = mem_alloc(LOOP_SCRATCH_BYTES);
    pthread_mutex_init(&loop->lock, NULL);
    loop->post_tail = &loop->post_first;
    *out_loop = loop;
    return 0;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    while (loop->post_first != NULL) {
        struct loop_post *post = loop->post_first;
        loop->post_first = post->next;
        mem_free(post);
    }
    close(loop->wake_fd);
    close(loop->epoll_fd);
    heap_free(&loop->timers);
    pthread_mutex_destroy(&loop->lock);
    mem_free(loop->scratch);
    mem_free(loop);
}

uint8_t *loop_scratch(struct loop *loop, size_t *out_size)
{
    *out_size = LOOP_SCRATCH_BYTES;
    return loop->scratch;
}

uint64_t loop_now_ms(const struct loop *loop)
{
    return loop->now_ms;
}

static void loop_wake(struct loop *loop)
{
    uint64_t one = 1;
    ssize_t written = write(loop->wake_fd, &one, sizeof(one));
    (void)written; /* EAGAIN: the counter is set already, which is all that is needed */
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->stopped, true);
    loop_wake(loop);
}

void loop_post(struct loop *loop, loop_fn fn, void *ctx)
{
    struct loop_post *post = mem_alloc(sizeof(*post));
    *post = (struct loop_post){NULL, fn, ctx};
    pthread_mutex_lock(&loop->lock);
    *loop->post_tail = post;
    loop->post_tail = &post->next;
    bool wake = loop->sleeping;
    loop->sleeping = false; /* one write is enough for all posts of this sleep */
    pthread_mutex_unlock(&loop->lock);
    if (wake) {
        loop_wake(loop);
    }
}

void loop_set_turn_end(struct loop *loop, loop_fn fn, void *ctx)
{
    loop->turn_end = fn;
    loop->turn_end_ctx = ctx;
}

static uint32_t epoll_events_of(uint32_t events)
{
    uint32_t result = 0;
    if ((events & LOOP_READABLE) != 0) {
        result |= EPOLLIN;
    }
    if ((events & LOOP_WRITABLE) != 0) {
        result |= EPOLLOUT;
    }
    return result;
}

int loop_add(struct loop *loop, struct loop_fd *watched, int fd, uint32_t events, loop_fd_fn fn,
             void *ctx)
{
    *watched = (struct loop_fd){loop, fd, events, fn, ctx};
    struct epoll_event event = {.events = epoll_events_of(events), .data.ptr = watched};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        watched->loop = NULL;
        return err_from_errno(errno);
    }
    return 0;
}

void loop_set_events(struct loop_fd *watched, uint32_t events)
{
    if (watched->events == events) {
        return;
    }
    struct epoll_event event = {.events = epoll_events_of(events), .data.ptr = watched};
    int rc = epoll_ctl(watched->loop->epoll_fd, EPOLL_CTL_MOD, watched->fd, &event);
    ASSERT(rc == 0);
    watched->events = events;
}

void loop_remove(struct loop_fd *watched)
{
    struct loop *loop = watched->loop;
    if (loop == NULL) {
        return;
    }
    watched->loop = NULL;
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watched->fd, NULL);
    for (int i = loop->event_next; i < loop->event_count; i++) {
        if (loop->events[i].data.ptr == watched) {
            loop->events[i].data.ptr = NULL;
        }
    }
}

void loop_timer_init(struct loop *loop, struct loop_timer *timer, loop_fn fn, void *ctx)
{
    heap_node_init(&timer->node);
    timer->loop = loop;
    timer->fn = fn;
    timer->ctx = ctx;
}

void loop_timer_set(struct loop_timer *timer, uint64_t delay_ms)
{
    uint64_t now_ms = timer->loop->now_ms;
    uint64_t due_ms = delay_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + delay_ms;
    heap_set(&timer->loop->timers, &timer->node, due_ms);
}

void loop_timer_cancel(struct loop_timer *timer)
{
    heap_remove(&timer->loop->timers, &timer->node);
}

void loop_task_init(struct loop *loop, struct loop_task *task, loop_fn fn, void *ctx)
{
    list_init(&task->node);
    task->loop = loop;
    task->fn = fn;
    task->ctx = ctx;
}

void loop_task_schedule(struct loop_task *task)
{
    if (list_empty(&task->node)) {
        list_append(&task->loop->tasks, &task->node);
    }
}

void loop_task_cancel(struct loop_task *task)
{
    list_remove(&task->node);
}

/* Milliseconds that the loop may sleep: 0 when something waits, -1 for ever. Marks it as sleeping.
 */
static int loop_sleep_ms(struct loop *loop)
{
    int sleep_ms = -1;
    struct heap_node *top = heap_top(&loop->timers);
    if (top != NULL) {
        uint64_t now_ms = loop_clock_ns() / 1000000u;
        uint64_t left_ms = top->key > now_ms ? top->key - now_ms : 0;
        sleep_ms = (int)BASE_MIN(left_ms, LOOP_SLEEP_MS_MAX);
    }
    pthread_mutex_lock(&loop->lock);
    if (loop->post_first != NULL || !list_empty(&loop->tasks)) {
        sleep_ms = 0;
    }
    loop->sleeping = sleep_ms != 0;
    pthread_mutex_unlock(&loop->lock);
    return sleep_ms;
}

static void loop_wait(struct loop *loop)
{
    int sleep_ms = loop_sleep_ms(loop);
    int count = epoll_wait(loop->epoll_fd, loop->events, LOOP_EVENTS_PER_TURN, sleep_ms);
    ASSERT(count >= 0 || errno == EINTR);
    loop->event_count = BASE_MAX(count, 0);
    loop->event_next = 0;
    loop->now_ms = loop_clock_ns() / 1000000u;
}

static void loop_run_fds(struct loop *loop)
{
    while (loop->event_next < loop->event_count) {
        int index = loop->event_next++;
        struct epoll_event event = loop->events[index];
        struct loop_fd *watched = event.data.ptr;
        if (watched == NULL) {
            continue; /* the eventfd (emptied with the posts), or removed in this turn */
        }
        uint32_t events = 0;
        if ((event.events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) {
            events |= LOOP_READABLE;
        }
        if ((event.events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
            events |= LOOP_WRITABLE;
        }
        watched->fn(watched->ctx, events);
    }
    loop->event_count = 0;
    loop->event_next = 0;
}

static void loop_run_posts(struct loop *loop, bool woken)
{
    if (woken) {
        uint64_t counter;
        ssize_t got = read(loop->wake_fd, &counter, sizeof(counter));
        (void)got; /* EAGAIN: nobody wrote */
    }
    pthread_mutex_lock(&loop->lock);
    struct loop_post *post = loop->post_first;
    loop->post_first = NULL;
    loop->post_tail = &loop->post_first;
    loop->sleeping = false;
    pthread_mutex_unlock(&loop->lock);
    while (post != NULL) {
        struct loop_post *next = post->next;
        loop_fn fn = post->fn;
        void *ctx = post->ctx;
        mem_free(post);
        fn(ctx);
        post = next;
    }
}

static void loop_run_timers(struct loop *loop)
{
    /* At most what was there at the start: a timer that sets itself to 0 must not hold the turn. */
    for (size_t left = loop->timers.count; left > 0; left--) {
        struct heap_node *top = heap_top(&loop->timers);
        if (top == NULL || top->key > loop->now_ms) {
            return;
        }
        struct loop_timer *timer = CONTAINER_OF(top, struct loop_timer, node);
        heap_remove(&loop->timers, top);
        timer->fn(timer->ctx);
    }
}

static void loop_run_tasks(struct loop *loop)
{
    while (!list_empty(&loop->tasks)) {
        struct loop_task *task = LIST_ENTRY(loop->tasks.next, struct loop_task, node);
        list_remove(&task->node);
        task->fn(task->ctx);
    }
}

void loop_run(struct loop *loop)
{
    while (!atomic_load(&loop->stopped)) {
        loop_wait(loop);
        bool woken = false;
        for (int i = 0; i < loop->event_count; i++) {
            woken = woken || loop->events[i].data.ptr == NULL;
        }
        loop_run_fds(loop);
        loop_run_posts(loop, woken);
        loop_run_timers(loop);
        if (loop->turn_end != NULL) {
            loop->turn_end(loop->turn_end_ctx);
        }
        loop_run_tasks(loop);
    }
    atomic_store(&loop->stopped, false);
}
