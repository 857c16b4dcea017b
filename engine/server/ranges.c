/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges of any size in bounded memory. A small one is answered at once. A large one becomes a job:
 * it is read twice at its revision, in slices between other work, first to learn its size (a gRPC
 * message tells it in front), then to be sent, only as fast as its client takes it. Connections
 * have their turns one after another, so that many large ranges of one delay no other.
 *
 * What a job reads is held against compaction by a pin; a client that takes nothing for too long
 * loses the call, so that nobody holds compaction up for good.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "engine/server/authz.h"
#include "engine/server/metrics.h"
#include "engine/server/rpc.h"

/* Answered at once whatever else waits: so few keys cost less than waiting. */
#define RANGE_KEYS_AT_ONCE 128u
/* Answers up to it are built whole, with one reading. */
#define RANGE_BYTES_WHOLE (1024u * 1024u)
/* One slice, and what may be read in one turn of the state thread: a millisecond or two. */
#define RANGE_KEYS_PER_SLICE  512u
#define RANGE_BYTES_PER_SLICE (128u * 1024u)
#define RANGE_KEYS_PER_TURN   2048u
/* Of one call, on its way to its client. */
#define RANGE_BYTES_UNSENT_MAX (512u * 1024u)
/* Of one connection, begun and not ended. */
#define RANGE_ACTIVE_PER_CLIENT 16u
/* Calls that wait for their answers; more are refused. */
#define RANGE_JOBS_MAX 20000u
/* Sorted or filtered ones, which note every key (24 bytes), at a time. */
#define RANGE_SORTING_MAX 4u
/* How long a client may take nothing of what waits for it, and take in all. */
#define RANGE_STALLED_MS 30000u
#define RANGE_TOTAL_MS   600000u
/* When nobody tells that there is room: look again. */
#define RANGE_RETRY_MS         10u
#define RANGE_UNBLOCK_PER_TURN 64u
/* gRPC's own limit (2 GiB - 1), and what grpc-go says beyond it. */
#define MESSAGE_BYTES_MAX INT32_MAX

enum range_phase {
    RANGE_HELD,    /* not begun: request->run is called when there is room */
    RANGE_BUILD,   /* into one buffer, as long as that is small */
    RANGE_MEASURE, /* the size alone */
    RANGE_SEND
};

/* The jobs of one connection; lives as long as it has any. */
struct range_group {
    struct list turn_link; /* in ranges.turns, when jobs is not empty */
    struct held *held;
    struct list jobs;    /* struct range_job that were begun, in turn */
    struct list waiting; /* and that will be, one after another */
    size_t active_count;
    size_t job_count; /* blocked ones included */
};

/* Owned by ranges.jobs (by its call's handle); owns its request. */
struct range_job {
    struct list link; /* in its group's jobs, or in ranges.blocked */
    struct range_group *group;
    struct request *request;
    enum range_phase phase;
    struct kv_range_job kv;
    bool has_kv;
    bool is_active;      /* counted in its group's active_count */
    bool is_sorting;     /* counted in ranges.sorting */
    bool told_size;      /* the first part has gone */
    uint64_t generation; /* of the store that it began in */
    uint64_t size;       /* measured, then: still to be sent */
    struct buf whole;    /* BUILD: the answer; SEND: what ends it */
    size_t held_bytes;   /* of whole, counted for its connection */
    size_t unsent_bytes;
    uint64_t began_ms, progress_ms;
    uint64_t busy_ns;
};

void ranges_init(struct server *server)
{
    map_init(&server->ranges.jobs);
    list_init(&server->ranges.turns);
    map_init(&server->ranges.groups);
    list_init(&server->ranges.blocked);
    server->ranges.keys_left = RANGE_KEYS_PER_TURN;
}

bool answers_have_room(const struct server *server, const struct held *held)
{
    return held == NULL || held_sum_bytes(&server->shared.held, HELD_ANSWERS) < ANSWERS_BYTES_MAX ||
           held_bytes(held, HELD_ANSWERS) < ANSWERS_BYTES_SHARE;
}

bool answers_are_many(const struct server *server)
{
    return held_sum_bytes(&server->shared.held, HELD_ANSWERS) >= ANSWERS_BYTES_MAX;
}

static size_t whole_bytes_max(const struct server *server)
{
    return answers_are_many(server) ? ANSWERS_BYTES_SHARE : RANGE_BYTES_WHOLE;
}

static size_t slice_bytes_max(const struct server *server)
{
    return answers_are_many(server) ? ANSWERS_BYTES_SHARE / 2 : RANGE_BYTES_PER_SLICE;
}

static uint64_t now_ns(const struct server *server)
{
    return server->clock->monotonic_ns(server->clock->ctx);
}

static void check_read(struct server *server, int rc)
{
    if (rc < 0) {
        server_fatal(server, "failed to read the key space", err_code_text(rc));
    }
}

/* ---- jobs and their turns ---- */

static struct range_group *group_of(struct server *server, struct held *held)
{
    uint64_t name = (uint64_t)(uintptr_t)held;
    struct range_group *group = map_get_u64(&server->ranges.groups, name);
    if (group == NULL) {
        group = mem_zalloc(sizeof(*group));
        group->held = held_ref(held);
        list_init(&group->jobs);
        list_init(&group->waiting);
        list_init(&group->turn_link);
        (void)map_set_u64(&server->ranges.groups, name, group);
    }
    return group;
}

static void job_queue(struct server *server, struct range_job *job)
{
    list_remove(&job->link);
    if (!job->is_active && job->group->active_count >= RANGE_ACTIVE_PER_CLIENT) {
        list_append(&job->group->waiting, &job->link);
        return;
    }
    job->group->active_count += job->is_active ? 0 : 1;
    job->is_active = true;
    list_append(&job->group->jobs, &job->link);
    if (list_empty(&job->group->turn_link)) {
        list_append(&server->ranges.turns, &job->group->turn_link);
    }
}

static void job_block(struct server *server, struct range_job *job)
{
    list_remove(&job->link);
    list_append(&server->ranges.blocked, &job->link);
    if (list_empty(&job->group->jobs)) {
        list_remove(&job->group->turn_link);
    }
}

static void job_end_reading(struct server *server, struct range_job *job)
{
    struct kv_env env;
    if (job->is_sorting) {
        job->is_sorting = false;
        server->ranges.sorting--;
    }
    if (!job->has_kv) {
        return;
    }
    job->has_kv = false;
    if (job->generation == server->store_generation) {
        kv_env_fill(server, &env);
        kv_range_end(&env, &job->kv);
    } else {
        kv_range_forget(&job->kv); /* a snapshot took the key space's place */
    }
}

/* What is built so far counts as an answer that was not taken. */
static void job_count_whole(struct range_job *job, size_t bytes)
{
    held_sub(job->group->held, HELD_ANSWERS, job->held_bytes);
    held_add(job->group->held, HELD_ANSWERS, bytes);
    job->held_bytes = bytes;
}

/* Frees the job and gives its request back. */
static struct request *job_free(struct server *server, struct range_job *job)
{
    struct request *request = job->request;
    struct range_group *group = job->group;
    job_end_reading(server, job);
    list_remove(&job->link);
    (void)map_remove_u64(&server->ranges.jobs, request->handle);
    server->ranges.count--;
    job_count_whole(job, 0);
    group->active_count -= job->is_active ? 1 : 0;
    if (job->is_active && !list_empty(&group->waiting)) {
        job_queue(server, LIST_ENTRY(group->waiting.next, struct range_job, link));
    }
    if (list_empty(&group->jobs)) {
        list_remove(&group->turn_link);
    }
    if (--group->job_count == 0) {
        (void)map_remove_u64(&server->ranges.groups, (uint64_t)(uintptr_t)group->held);
        held_unref(group->held);
        mem_free(group);
    }
    buf_free(&job->whole);
    mem_free(job);
    return request;
}

/* NULL: there are too many, and the request was refused. */
static struct range_job *job_new(struct server *server, struct request *request,
                                 enum range_phase phase)
{
    if (server->ranges.count >= RANGE_JOBS_MAX ||
        map_get_u64(&server->ranges.jobs, request->handle) != NULL) {
        if (!server->ranges.refused) {
            server->ranges.refused = true;
            LOG_WARN("refused a range: too many wait for their clients or their turn",
                     LOG_U64("waiting", server->ranges.count));
        }
        request_fail(server, request, ETCD_ERR_TOO_MANY_REQUESTS);
        return NULL;
    }
    struct range_job *job = mem_zalloc(sizeof(*job));
    job->request = request;
    job->phase = phase;
    job->generation = server->store_generation;
    job->began_ms = job->progress_ms = server_now_ms(server);
    buf_init(&job->whole, BUF_NO_LIMIT);
    list_init(&job->link);
    job->group = group_of(server, request->held);
    job->group->job_count++;
    server->ranges.count++;
    (void)map_set_u64(&server->ranges.jobs, request->handle, job);
    job_queue(server, job);
    return job;
}

/* ---- one answer ---- */

/* All of it is in body, which is taken; ends the job. */
static void job_answer(struct server *server, struct range_job *job)
{
    struct buf body = job->whole;
    int64_t revision = job->kv.header_revision;
    buf_init(&job->whole, BUF_NO_LIMIT);
    kv_range_append_tail(&job->kv, &body);
    metrics_observe_range(true, job->busy_ns);
    request_reply(server, job_free(server, job), &body, revision);
}

static void job_fail(struct server *server, struct range_job *job, enum grpc_code code,
                     const char *text)
{
    metrics_observe_range(false, job->busy_ns);
    if (job->told_size) {
        request_abort(server, job->request);
        request_free(job_free(server, job));
    } else {
        request_fail_text(server, job_free(server, job), code, text);
    }
}

/* The size is known: what follows the keys is fixed now, so that it stays true. */
static void job_begin_sending(struct server *server, struct range_job *job)
{
    buf_free(&job->whole);
    kv_range_append_tail(&job->kv, &job->whole);
    job->size += job->whole.size;
    if (!job->request->is_local) {
        size_t before = job->whole.size;
        header_append(server, job->kv.header_revision, &job->whole);
        job->size += job->whole.size - before;
        if (job->size > MESSAGE_BYTES_MAX) {
            char text[112];
            snprintf(text, sizeof(text),
                     "grpc: trying to send message larger than max (%" PRIu64 " vs. %d)", job->size,
                     MESSAGE_BYTES_MAX);
            job_fail(server, job, GRPC_RESOURCE_EXHAUSTED, text);
            return;
        }
    }
    kv_range_restart(&job->kv);
    job->phase = RANGE_SEND;
}

static void job_send(struct server *server, struct range_job *job, struct buf *part)
{
    uint32_t whole = 0;
    if (!job->told_size && job->request->is_local) {
        struct buf header; /* first, as in etcd's JSON */
        buf_init(&header, BUF_NO_LIMIT);
        header_append(server, job->kv.header_revision, &header);
        job->unsent_bytes += header.size;
        request_reply_part(server, job->request, &header, 0);
    } else if (!job->told_size) {
        whole = (uint32_t)job->size;
    }
    job->told_size = true;
    if (job->kv.done) {
        (void)buf_append(part, job->whole.data, job->whole.size);
    }
    ASSERT(part->size <= job->size);
    job->size -= part->size;
    job->unsent_bytes += part->size;
    request_reply_part(server, job->request, part, whole);
}

/* One slice of a job that may go on. The job may be gone afterwards. Gives how many of the keys
 * were not read, because their values are large. */
static size_t job_slice(struct server *server, struct range_job *job, size_t key_count)
{
    struct kv_env env;
    struct buf part;
    struct buf *out = job->phase == RANGE_BUILD ? &job->whole : &part;
    uint64_t start = now_ns(server);
    buf_init(&part, BUF_NO_LIMIT);
    kv_env_fill(server, &env);
    uint64_t before = job->kv.emitted;
    check_read(server, kv_range_slice(&env, &job->kv, key_count, slice_bytes_max(server), out));
    uint64_t read = job->kv.emitted - before;
    size_t unread = !job->kv.done && read > 0 && read < key_count ? key_count - (size_t)read : 0;
    job->busy_ns += now_ns(server) - start;
    job->progress_ms = server_now_ms(server);
    switch (job->phase) {
    case RANGE_HELD:
    case RANGE_BUILD:
        if (job->kv.done) {
            job_answer(server, job);
        } else if (job->whole.size >= whole_bytes_max(server)) {
            job->size = job->whole.size;
            buf_free(&job->whole);
            job_count_whole(job, 0);
            job->phase = RANGE_MEASURE;
        } else {
            job_count_whole(job, job->whole.size);
        }
        break;
    case RANGE_MEASURE:
        job->size += part.size;
        if (job->kv.done) {
            job_begin_sending(server, job);
        }
        break;
    case RANGE_SEND:
        job_send(server, job, &part);
        if (job->kv.done) {
            ASSERT(job->size == 0);
            metrics_observe_range(true, job->busy_ns);
            request_reply_end(server, job->request);
            request_free(job_free(server, job));
        }
        break;
    }
    buf_free(&part);
    return unread;
}

/* Begins to read; false: the request was answered. */
static bool job_begin(struct server *server, struct range_job *job)
{
    struct kv_env env;
    kv_env_fill(server, &env);
    int rc =
        kv_range_begin(&env, (const Etcdserverpb__RangeRequest *)job->request->message, &job->kv);
    check_read(server, rc);
    if (rc > 0) {
        metrics_observe_range(false, 0);
        request_fail(server, job_free(server, job), (enum etcd_error)rc);
        return false;
    }
    job->has_kv = true;
    job->generation = server->store_generation;
    return true;
}

/* ---- the turns ---- */

static bool job_has_room(const struct server *server, const struct range_job *job)
{
    bool gives = job->phase == RANGE_HELD || job->phase == RANGE_SEND;
    if (job->unsent_bytes >= RANGE_BYTES_UNSENT_MAX) {
        return false;
    }
    if (job->phase == RANGE_BUILD && !job->is_sorting &&
        server->ranges.sorting >= RANGE_SORTING_MAX &&
        kv_range_is_sorted((const Etcdserverpb__RangeRequest *)job->request->message)) {
        return false;
    }
    return !gives || answers_have_room(server, job->group->held);
}

/* The key space was replaced: one that has told its size cannot be completed. */
static bool job_is_current(struct server *server, struct range_job *job)
{
    if (job->generation == server->store_generation || job->phase == RANGE_HELD) {
        return true;
    }
    if (job->told_size) {
        job_fail(server, job, GRPC_UNAVAILABLE, NULL);
        return false;
    }
    job_end_reading(server, job);
    buf_free(&job->whole);
    job_count_whole(job, 0);
    job->phase = RANGE_BUILD;
    job->size = 0;
    return true;
}

static void job_turn(struct server *server, struct range_job *job)
{
    size_t keys = BASE_MIN(RANGE_KEYS_PER_SLICE, server->ranges.keys_left);
    if (!job_is_current(server, job)) {
        return;
    }
    if (!job_has_room(server, job)) {
        job_block(server, job);
        return;
    }
    if (job->phase == RANGE_HELD) {
        struct request *request = job_free(server, job);
        server->ranges.keys_left -= keys;
        request->run(server, request);
        return;
    }
    if (!job->has_kv && !job_begin(server, job)) {
        return;
    }
    if (!job->is_sorting && job->phase == RANGE_BUILD &&
        kv_range_is_sorted((const Etcdserverpb__RangeRequest *)job->request->message)) {
        job->is_sorting = true;
        server->ranges.sorting++;
    }
    server->ranges.keys_left -= keys;
    job_queue(server, job);
    server->ranges.keys_left += job_slice(server, job, keys);
}

/* Some of them each time, in turn. */
static void unblock(struct server *server)
{
    struct list *blocked = &server->ranges.blocked;
    for (uint32_t i = 0; i < RANGE_UNBLOCK_PER_TURN && !list_empty(blocked); i++) {
        struct range_job *job = LIST_ENTRY(blocked->next, struct range_job, link);
        if (job_has_room(server, job)) {
            job_queue(server, job);
        } else {
            job_block(server, job);
        }
    }
}

static void on_timer(void *ctx)
{
    (void)ctx; /* the turn's end does what is to be done */
}

void ranges_run(struct server *server)
{
    struct ranges *ranges = &server->ranges;
    if (ranges->timer.loop == NULL) {
        loop_timer_init(server->state.loop, &ranges->timer, on_timer, server);
    }
    if (server->installing) {
        return;
    }
    unblock(server);
    while (ranges->keys_left > 0 && !list_empty(&ranges->turns)) {
        struct range_group *group = LIST_ENTRY(ranges->turns.next, struct range_group, turn_link);
        struct range_job *job = LIST_ENTRY(group->jobs.next, struct range_job, link);
        list_remove(&group->turn_link);
        list_remove(&job->link);
        if (!list_empty(&group->jobs)) {
            list_append(&ranges->turns, &group->turn_link);
        }
        job_turn(server, job);
    }
    mvcc_release(server->mvcc);
    ranges->keys_left = RANGE_KEYS_PER_TURN;
    ranges->refused = ranges->refused && ranges->count >= RANGE_JOBS_MAX / 2;
    if (!list_empty(&ranges->turns)) {
        loop_timer_set(&ranges->timer, 0);
    } else if ((!list_empty(&ranges->blocked) || !list_empty(&server->pulls_held)) &&
               !loop_timer_is_set(&ranges->timer)) {
        loop_timer_set(&ranges->timer, RANGE_RETRY_MS);
    }
}

void ranges_check(struct server *server)
{
    uint64_t now = server_now_ms(server);
    LIST_EACH_SAFE(it, &server->ranges.blocked)
    {
        struct range_job *job = LIST_ENTRY(it, struct range_job, link);
        if (job->unsent_bytes == 0 && job->phase == RANGE_BUILD) {
            job->progress_ms = now; /* it waits for others, not for its client */
        }
        if (now - job->progress_ms >= RANGE_STALLED_MS || now - job->began_ms >= RANGE_TOTAL_MS) {
            LOG_WARN("gave up on a range whose client does not take it",
                     LOG_U64("unsent-bytes", job->unsent_bytes),
                     LOG_I64("revision", job->has_kv ? job->kv.revision : 0));
            job_fail(server, job, GRPC_RESOURCE_EXHAUSTED, ANSWERS_NOT_TAKEN);
        }
    }
}

void ranges_canceled(struct server *server, uint64_t handle)
{
    struct range_job *job = map_get_u64(&server->ranges.jobs, handle);
    if (job != NULL) {
        request_free(job_free(server, job));
    }
}

void ranges_drained(struct server *server, uint64_t handle, size_t bytes)
{
    struct range_job *job = map_get_u64(&server->ranges.jobs, handle);
    if (job != NULL) {
        ASSERT(bytes <= job->unsent_bytes);
        job->unsent_bytes -= bytes;
        job->progress_ms = server_now_ms(server);
        if (job_has_room(server, job)) {
            job_queue(server, job);
        }
    }
}

void ranges_drop(struct server *server)
{
    size_t cursor = 0;
    void *value;
    while (map_next(&server->ranges.jobs, &cursor, NULL, &value)) {
        job_fail(server, value, etcd_error_code(ETCD_ERR_STOPPED),
                 etcd_error_text(ETCD_ERR_STOPPED));
        cursor = 0;
    }
    map_free(&server->ranges.jobs);
    map_free(&server->ranges.groups);
}

/* ---- the way in ---- */

void ranges_hold(struct server *server, struct request *request)
{
    struct range_job *job = job_new(server, request, RANGE_HELD);
    if (job != NULL) {
        job_block(server, job);
    }
}

/* For the server's own questions, which are small. */
static void answer_whole(struct server *server, struct request *request)
{
    struct kv_env env;
    struct buf body;
    int64_t revision = 0;
    buf_init(&body, BUF_NO_LIMIT);
    kv_env_fill(server, &env);
    uint64_t start = now_ns(server);
    int rc = kv_range(&env, (const Etcdserverpb__RangeRequest *)request->message, &body, &revision);
    check_read(server, rc);
    metrics_observe_range(rc == 0, now_ns(server) - start);
    if (rc > 0) {
        buf_free(&body);
        request_fail(server, request, (enum etcd_error)rc);
    } else {
        request_reply(server, request, &body, revision);
    }
    mvcc_release(server->mvcc);
}

/* Few keys, and their count comes without a walk. */
static bool is_small(struct server *server, const Etcdserverpb__RangeRequest *range)
{
    struct key_span span = key_span_of(proto_bytes(range->key), proto_bytes(range->range_end));
    uint64_t count;
    if (span.kind == SPAN_ONE) {
        return true;
    }
    if (mvcc_check_revision(server->mvcc, range->revision) != 0) {
        return true; /* it is told so at once */
    }
    return !kv_range_is_sorted(range) &&
           (range->revision <= 0 || range->revision >= mvcc_revision(server->mvcc)) &&
           mvcc_count_fast(server->mvcc, &span, range->revision, &count) &&
           (range->count_only || count <= RANGE_KEYS_AT_ONCE ||
            (range->limit > 0 && range->limit <= (int64_t)RANGE_KEYS_AT_ONCE));
}

/* Becomes a job when its values are large. */
static void answer_small(struct server *server, struct request *request)
{
    struct kv_env env;
    struct kv_range_job kv;
    struct buf body;
    uint64_t start = now_ns(server);
    kv_env_fill(server, &env);
    int rc = kv_range_begin(&env, (const Etcdserverpb__RangeRequest *)request->message, &kv);
    check_read(server, rc);
    if (rc > 0) {
        metrics_observe_range(false, now_ns(server) - start);
        request_fail(server, request, (enum etcd_error)rc);
        return;
    }
    buf_init(&body, BUF_NO_LIMIT);
    check_read(server,
               kv_range_slice(&env, &kv, RANGE_KEYS_AT_ONCE, slice_bytes_max(server), &body));
    if (kv.done) {
        int64_t revision = kv.header_revision;
        kv_range_append_tail(&kv, &body);
        kv_range_end(&env, &kv);
        metrics_observe_range(true, now_ns(server) - start);
        request_reply(server, request, &body, revision);
    } else {
        struct range_job *job = job_new(server, request, RANGE_BUILD);
        if (job == NULL) {
            kv_range_end(&env, &kv);
            buf_free(&body);
        } else {
            job->kv = kv;
            job->has_kv = true;
            job->whole = body;
            job_count_whole(job, body.size);
            job->busy_ns = now_ns(server) - start;
        }
    }
    mvcc_release(server->mvcc);
}

void ranges_answer(struct server *server, struct request *request)
{
    const Etcdserverpb__RangeRequest *range = (const Etcdserverpb__RangeRequest *)request->message;
    if (request->origin != REQUEST_RPC) {
        if (authz_answer(server, request)) {
            metric_add(&METRIC_RANGE_TOTAL, 1);
            answer_whole(server, request);
        }
        return;
    }
    if (!answers_have_room(server, request->held)) {
        ranges_hold(server, request);
        return;
    }
    if (!authz_answer(server, request)) {
        return;
    }
    metric_add(&METRIC_RANGE_TOTAL, 1);
    if (proto_bytes(range->range_end).size == 0) {
        answer_whole(server, request);
        return;
    }
    if (is_small(server, range)) {
        answer_small(server, request);
        return;
    }
    bool others = !list_empty(&server->ranges.turns);
    struct range_job *job = job_new(server, request, RANGE_BUILD);
    if (job != NULL && job->is_active && !others && server->ranges.keys_left > 0) {
        job_turn(server, job);
        mvcc_release(server->mvcc);
    }
}
