/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine/server/worker.h and process.h in the simulator: a worker is a loop that takes turns, a job
 * is a fiber, main waits as a fiber waits, and channels are queues in memory.
 */
#include "engine/server/worker.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "engine/server/internal.h"
#include "engine/server/process.h"
#include "tests/sim/sim_internal.h"

#define CHANNEL_BYTES  65536u
#define CHANNELS_MAX   256
#define CHANNEL_FD     1000000 /* no descriptor of the system is so high */
#define ROOM_LOOK_NS   UINT64_C(1000000)
#define COMPLETION_NOT 0
#define COMPLETION_YES 1

int worker_init(struct worker *worker, const char *name, struct err *err)
{
    *worker = (struct worker){0};
    snprintf(worker->name, sizeof(worker->name), "%s", name);
    if (strcmp(name, "quorate-io") == 0) {
        node_set_server(CONTAINER_OF(worker, struct server, io));
    }
    return loop_new(&worker->loop, err);
}

int worker_start(struct worker *worker, struct err *err)
{
    (void)err;
    worker->running = true;
    loop_start(worker->loop, worker->name);
    return 0;
}

static void stop_now(void *ctx)
{
    loop_stop(ctx);
}

void worker_stop(struct worker *worker)
{
    if (worker->running) {
        loop_post(worker->loop, stop_now, worker->loop);
        loop_stop_and_wait(worker->loop);
        worker->running = false;
    }
}

void worker_free(struct worker *worker)
{
    worker_stop(worker);
    if (worker->loop != NULL) {
        loop_free(worker->loop);
        worker->loop = NULL;
    }
}

/* ---- jobs ---- */

int worker_job_start(struct worker_job *job, loop_fn fn, void *ctx)
{
    struct sim_actor *actor = sim_actor_now();
    uint64_t spent = actor == NULL ? 0 : actor->spent_ns;
    uint64_t latency = sim_exponential_ns(sim_rng(SIM_RNG_SCHEDULE), 20000);
    job->fn = fn;
    job->ctx = ctx;
    (void)fiber_start(sim_life_now(), fn, ctx, sim_now_ns() + spent + latency);
    return 0;
}

void worker_job_join(struct worker_job *job)
{
    (void)job; /* its last word came out when it had ended */
}

/* ---- completions ---- */

int completion_init(struct completion *done, struct err *err)
{
    (void)err;
    done->fd = COMPLETION_NOT;
    return 0;
}

static void signal_now(void *ctx)
{
    struct completion *done = ctx;
    done->fd = COMPLETION_YES;
    fiber_wake(sim_life_now()->main, sim_now_ns());
}

/* Behind what was posted before it, as between threads. */
void completion_signal(struct completion *done)
{
    actor_post(NULL, signal_now, done);
}

void completion_wait(struct completion *done)
{
    while (done->fd != COMPLETION_YES) {
        fiber_park();
    }
}

void completion_free(struct completion *done)
{
    done->fd = -1;
}

/* ---- the process ---- */

void process_exit(int code)
{
    char why[48];
    snprintf(why, sizeof(why), "exit code %d", code);
    sim_die(true, why);
}

uint64_t process_random(void)
{
    return rng_next(sim_rng(SIM_RNG_NODE));
}

int process_wait_signal(struct completion *done)
{
    for (;;) {
        int number = node_take_signal();
        if (done->fd == COMPLETION_YES) {
            return 0;
        }
        if (number != 0) {
            return number;
        }
        fiber_park();
    }
}

void process_usage(struct process_usage *out_usage)
{
    *out_usage = (struct process_usage){-1, -1, -1, -1, -1, -1};
}

/* ---- channels ---- */

struct channel {
    struct list link; /* in its life */
    int number;
    uint8_t *bytes; /* a ring */
    size_t start, count;
    bool read_open, write_open;
    struct loop *loop; /* that watches the reading end */
};

static struct channel *channels[CHANNELS_MAX];

static struct channel *channel_of(int fd)
{
    int number = (fd - CHANNEL_FD) / 2;
    ASSERT(fd >= CHANNEL_FD && number < CHANNELS_MAX && channels[number] != NULL);
    return channels[number];
}

int channel_open(int *out_read_fd, int *out_write_fd)
{
    int number = 0;
    while (number < CHANNELS_MAX && channels[number] != NULL) {
        number++;
    }
    if (number == CHANNELS_MAX) {
        return E_UNAVAILABLE;
    }
    sim_memory_world();
    struct channel *channel = mem_zalloc(sizeof(*channel));
    channel->bytes = mem_alloc(CHANNEL_BYTES);
    sim_memory_back();
    channel->number = number;
    channel->read_open = channel->write_open = true;
    channels[number] = channel;
    list_append(&sim_life_now()->channels, &channel->link);
    *out_read_fd = CHANNEL_FD + number * 2;
    *out_write_fd = CHANNEL_FD + number * 2 + 1;
    return 0;
}

static void channel_free(struct channel *channel)
{
    channels[channel->number] = NULL;
    list_remove(&channel->link);
    mem_free(channel->bytes);
    mem_free(channel);
}

void channels_free_all(struct sim_life *life)
{
    while (!list_empty(&life->channels)) {
        channel_free(LIST_ENTRY(life->channels.next, struct channel, link));
    }
}

bool channel_is_readable(int read_fd)
{
    const struct channel *channel = channel_of(read_fd);
    return channel->count > 0 || !channel->write_open;
}

void channel_watch(int read_fd, struct loop *loop)
{
    channel_of(read_fd)->loop = loop;
}

static void tell_reader(struct channel *channel)
{
    if (channel->loop != NULL) {
        loop_fd_changed(channel->loop);
    }
}

ssize_t channel_write(int write_fd, const void *data, size_t size)
{
    fiber_settle();
    struct channel *channel = channel_of(write_fd);
    const uint8_t *bytes = data;
    if (!channel->read_open) {
        return E_CLOSED;
    }
    size_t part = BASE_MIN(size, CHANNEL_BYTES - channel->count);
    if (part == 0) {
        return size == 0 ? 0 : E_AGAIN;
    }
    size_t at = (channel->start + channel->count) % CHANNEL_BYTES;
    size_t first = BASE_MIN(part, CHANNEL_BYTES - at);
    memcpy(channel->bytes + at, bytes, first);
    memcpy(channel->bytes, bytes + first, part - first);
    channel->count += part;
    tell_reader(channel);
    return (ssize_t)part;
}

ssize_t channel_read(int read_fd, void *data, size_t size)
{
    struct channel *channel = channel_of(read_fd);
    uint8_t *bytes = data;
    if (channel->count == 0) {
        return channel->write_open ? E_AGAIN : 0;
    }
    size_t part = BASE_MIN(size, channel->count);
    size_t first = BASE_MIN(part, CHANNEL_BYTES - channel->start);
    memcpy(bytes, channel->bytes + channel->start, first);
    memcpy(bytes + first, channel->bytes, part - first);
    channel->start = (channel->start + part) % CHANNEL_BYTES;
    channel->count -= part;
    return (ssize_t)part;
}

void channel_wait_room(int write_fd, int timeout_ms)
{
    uint64_t end = sim_now_ns() + (uint64_t)timeout_ms * 1000000u;
    struct channel *channel = channel_of(write_fd);
    while (channel->read_open && channel->count == CHANNEL_BYTES && sim_now_ns() < end) {
        fiber_sleep(BASE_MIN(end, sim_now_ns() + ROOM_LOOK_NS));
    }
}

void channel_close(int fd)
{
    struct channel *channel = channel_of(fd);
    if ((fd - CHANNEL_FD) % 2 == 0) {
        channel->read_open = false;
        channel->loop = NULL;
    } else {
        channel->write_open = false;
        tell_reader(channel);
    }
    if (!channel->read_open && !channel->write_open) {
        channel_free(channel);
    }
}
