/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One member without its threads: the test runs each loop a turn at a time, so that what happens
 * between two threads' work can be looked at.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/log.h"
#include "engine/proto/raftpb.h"
#include "engine/server/bootstrap.h"
#include "engine/server/datadir.h"
#include "engine/server/rpc.h"
#include "engine/store/bolt.h"

#define OTHER  0x99u /* a leader that this member never sees */
#define STREAM 77u

struct rig {
    char *dir;
    struct server_config config;
    struct server *server;
};

static void rig_start(struct rig *rig)
{
    struct err err = {{0}};
    struct server *server = rig->server = server_new(&rig->config);
    server->io_closed = true; /* there are no ports: what is said to the outside is dropped */
    assert_int_equal(worker_init(&server->io, "io", &err), 0);
    assert_int_equal(worker_init(&server->state, "state", &err), 0);
    assert_int_equal(worker_init(&server->wal_worker, "wal", &err), 0);
    assert_int_equal(worker_init(&server->store_worker, "store", &err), 0);
    if (bootstrap(server, &err) != 0) {
        fail_msg("%s", err.text);
    }
    const struct watch_config watch = {.cluster_id = server->cluster_id,
                                       .member_id = server->member_id,
                                       .fragment_bytes = 1024 * 1024,
                                       .seed = 1};
    server->watch_hub = watch_hub_new(&watch, server->mvcc);
    loop_set_turn_end(server->wal_worker.loop, wal_flush_turn, server);
    state_start(server);
    cluster_sync_peers(server);
    effects_run(server); /* the first entries say that it is a voter */
    raft_campaign(server->raft);
}

static struct rig *rig_new_with(const char *flag)
{
    struct rig *rig = mem_zalloc(sizeof(*rig));
    struct err err;
    int exit_code;
    char name[] = "/tmp/quorate-inside-XXXXXX";
    assert_non_null(mkdtemp(name));
    rig->dir = str_dup(name);
    char program[] = "quorate";
    char *data_dir = str_printf("--data-dir=%s/m1", name);
    char *more = str_dup(flag);
    char *argv[] = {program, data_dir, more};
    assert_int_equal(config_read(3, argv, &rig->config, &exit_code, &err), CONFIG_RUN);
    log_set_level(LOG_LEVEL_PANIC);
    mem_free(data_dir);
    mem_free(more);
    rig_start(rig);
    return rig;
}

static struct rig *rig_new(void)
{
    return rig_new_with("--pre-vote");
}

static void stop_now(void *ctx)
{
    loop_stop(ctx);
}

static void turn(struct worker *worker)
{
    loop_post(worker->loop, stop_now, worker->loop);
    loop_run(worker->loop);
}

static void rig_run(struct rig *rig, int turns)
{
    for (int i = 0; i < turns; i++) {
        turn(&rig->server->state);
        turn(&rig->server->wal_worker);
        turn(&rig->server->store_worker);
        turn(&rig->server->io);
    }
}

static void rig_stop(struct rig *rig)
{
    struct server *server = rig->server;
    while (server->streams.count > 0) { /* as the ports' end would */
        size_t cursor = 0;
        struct bytes key;
        void *value;
        assert_true(map_next(&server->streams, &cursor, &key, &value));
        stream_canceled(server, get_be64(key.data));
    }
    state_end(server);
    rig_run(rig, 3);
    server_free(server);
    rig->server = NULL;
}

static void rig_free(struct rig *rig)
{
    if (rig->server != NULL) {
        rig_stop(rig);
    }
    config_free(&rig->config);
    char *command = str_printf("rm -rf '%s'", rig->dir);
    assert_int_equal(system(command), 0);
    mem_free(command);
    mem_free(rig->dir);
    mem_free(rig);
}

/* ---- requests of the test ---- */

struct outcome {
    int done_count, ok_count;
    enum etcd_error last;
};

static void on_done(struct server *server, struct request *request, enum etcd_error error)
{
    struct outcome *outcome = request->user;
    (void)server;
    outcome->done_count++;
    outcome->ok_count += error == ETCD_OK ? 1 : 0;
    outcome->last = error;
}

/* A copy of message as a client would have sent it. */
static struct request *request_of(struct outcome *outcome, const ProtobufCMessage *message)
{
    struct request *request = request_internal(on_done);
    struct buf packed;
    arena_free(&request->arena);
    arena_init(&request->arena, BUF_NO_LIMIT);
    buf_init(&packed, BUF_NO_LIMIT);
    assert_int_equal(proto_pack_append(message, &packed), 0);
    request->wire = arena_copy(&request->arena, buf_bytes(&packed));
    assert_int_equal(
        proto_unpack(message->descriptor, request->wire, &request->arena, &request->message), 0);
    buf_free(&packed);
    request->user = outcome;
    return request;
}

static struct request *put_of(struct outcome *outcome, const char *key, size_t value_bytes)
{
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    uint8_t *value = mem_zalloc(value_bytes + 1);
    put.key = proto_binary(bytes_of_str(key));
    put.value = proto_binary(bytes_of(value, value_bytes));
    struct request *request = request_of(outcome, &put.base);
    mem_free(value);
    return request;
}

static uint64_t count_live(struct rig *rig)
{
    struct key_span all = key_span_of(bytes_of("", 1), bytes_of("", 1));
    return mvcc_count(rig->server->mvcc, &all, 0);
}

/* Another member says that it leads, in a term of its own. */
static void another_leads(struct rig *rig)
{
    struct raft_status status;
    raft_status(rig->server->raft, &status);
    struct raft_message beat = {.type = RAFT_MSG_HEARTBEAT,
                                .from = OTHER,
                                .to = rig->server->member_id,
                                .term = status.term + 5};
    raft_step(rig->server->raft, &beat);
}

/* ---- tests ---- */

static void a_write_is_answered_once_it_is_applied(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct outcome outcome = {0};
    rig_run(rig, 5);
    rpc_put(rig->server, put_of(&outcome, "k", 10));
    turn(&rig->server->state); /* proposed; not on the disk yet */
    turn(&rig->server->state);
    assert_int_equal(outcome.done_count, 0);
    assert_int_equal(count_live(rig), 0);
    turn(&rig->server->wal_worker);
    turn(&rig->server->state);
    assert_int_equal(outcome.ok_count, 1);
    assert_int_equal(count_live(rig), 1);
    rig_free(rig);
}

static void applying_waits_for_the_store_when_the_tail_is_full(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct outcome outcome = {0};
    struct raft_status before;
    struct raft_status after;
    rig_run(rig, 5);
    rig->server->tail_bytes_max = 10000;
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key-%d", i);
        rpc_put(rig->server, put_of(&outcome, key, 1000));
    }
    for (int i = 0; i < 20; i++) { /* the store does nothing */
        turn(&rig->server->state);
        turn(&rig->server->wal_worker);
    }
    raft_status(rig->server->raft, &before);
    assert_in_range(outcome.ok_count, 1, 30);
    assert_true(mvcc_tail_bytes(rig->server->mvcc) < 40000);
    assert_true(rig->server->backlog_count > 0);
    assert_true(before.commit_index >= rig->server->applied_index + 70); /* the log goes on */
    rig_run(rig, 200);
    raft_status(rig->server->raft, &after);
    assert_int_equal(outcome.ok_count, 100);
    assert_int_equal(count_live(rig), 100);
    assert_int_equal(rig->server->backlog_count, 0);
    assert_int_equal(after.applied_index, after.commit_index);
    rig_free(rig);
}

static void a_member_that_stops_with_a_backlog_has_it_again(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct outcome outcome = {0};
    rig_run(rig, 5);
    rig->server->tail_bytes_max = 3000;
    for (int i = 0; i < 20; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key-%d", i);
        rpc_put(rig->server, put_of(&outcome, key, 1000));
    }
    for (int i = 0; i < 5; i++) {
        turn(&rig->server->state);
        turn(&rig->server->wal_worker);
    }
    assert_true(rig->server->backlog_count > 0);
    rig_stop(rig);
    rig_start(rig);
    rig_run(rig, 10);
    assert_int_equal(count_live(rig), 20); /* committed is committed */
    rig_free(rig);
}

static void a_v2_request_without_an_envelope_is_applied(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    Etcdserverpb__Request bare = ETCDSERVERPB__REQUEST__INIT;
    char path[64];
    char method[] = "PUT";
    char value[] = "{\"name\":\"renamed\",\"clientURLs\":[\"http://127.0.0.1:1\"]}";
    struct buf packed;
    rig_run(rig, 5);
    snprintf(path, sizeof(path), "/0/members/%" PRIx64 "/attributes", rig->server->member_id);
    bare.id = 0x1234;
    bare.method = method;
    bare.path = path;
    bare.val = value;
    buf_init(&packed, BUF_NO_LIMIT);
    assert_int_equal(proto_pack_append(&bare.base, &packed), 0);
    struct raft_payload *payload = raft_payload_new(buf_bytes(&packed));
    assert_int_equal(raft_propose(rig->server->raft, &payload, 1), 0);
    turn(&rig->server->state);
    turn(&rig->server->wal_worker);
    turn(&rig->server->state);
    assert_string_equal(membership_find(rig->server->membership, rig->server->member_id)->name,
                        "renamed");
    buf_free(&packed);
    rig_free(rig);
}

static void a_first_start_that_was_cut_before_its_entries_is_finished(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct wal_metadata ids = {rig->server->member_id, rig->server->cluster_id};
    struct outcome outcome = {0};
    struct wal *wal;
    struct err err;
    rig_stop(rig);
    char *command = str_printf("rm -rf '%s/m1'", rig->dir);
    assert_int_equal(system(command), 0);
    mem_free(command);
    char *wal_dir = str_printf("%s/m1/member/wal", rig->dir);
    char *member_dir = str_printf("%s/m1/member", rig->dir);
    assert_int_equal(datadir_make(disk_posix(), member_dir, &err), 0);
    const struct wal_options options = {.disk = disk_posix(), .dir = wal_dir};
    assert_int_equal(wal_create(&options, &ids, &wal, &err), 0);
    wal_close(wal);
    mem_free(wal_dir);
    mem_free(member_dir);
    rig_start(rig);
    rig_run(rig, 5);
    rpc_put(rig->server, put_of(&outcome, "k", 1));
    rig_run(rig, 5);
    assert_int_equal(outcome.ok_count, 1);
    rig_free(rig);
}

static void too_much_that_waits_is_refused(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct outcome outcome = {0};
    rig_run(rig, 5);
    size_t waiting = rig->server->waiting_count;
    rig->server->waiting_count = WAITING_REQUESTS_MAX;
    rpc_put(rig->server, put_of(&outcome, "k", 1));
    assert_int_equal(outcome.last, ETCD_ERR_TOO_MANY_REQUESTS);
    rig->server->waiting_count = READS_WAITING_MAX;
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = proto_binary(bytes_of_str("k"));
    rpc_range(rig->server, request_of(&outcome, &range.base));
    assert_int_equal(outcome.last, ETCD_ERR_TOO_MANY_REQUESTS);
    assert_int_equal(outcome.done_count, 2);
    rig->server->waiting_count = waiting;
    rig_free(rig);
}

static void what_nobody_commits_ends_at_its_deadline(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct outcome outcome = {0};
    rig_run(rig, 5);
    another_leads(rig);
    rig_run(rig, 2);
    assert_false(lessor_is_primary(rig->server->lessor));
    struct request *request = put_of(&outcome, "k", 1);
    request->deadline_ms = server_now_ms(rig->server) + 30;
    rpc_put(rig->server, request);
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = proto_binary(bytes_of_str("k"));
    request = request_of(&outcome, &range.base);
    request->deadline_ms = server_now_ms(rig->server) + 30;
    rpc_range(rig->server, request);
    rig_run(rig, 2);
    assert_int_equal(outcome.done_count, 0);
    usleep(60000);
    deadlines_check(rig->server);
    assert_int_equal(outcome.done_count, 2);
    assert_int_equal(outcome.last, ETCD_ERR_TIMEOUT);
    rig_free(rig);
}

static void a_read_sees_what_was_acknowledged_before_it(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct outcome writes = {0};
    struct outcome reads = {0};
    rig_run(rig, 5);
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = proto_binary(bytes_of_str("k"));
    rig->server->tail_bytes_max = 0; /* nothing is applied for now */
    rpc_put(rig->server, put_of(&writes, "k", 1));
    for (int i = 0; i < 5; i++) {
        turn(&rig->server->state);
        turn(&rig->server->wal_worker);
    }
    rpc_range(rig->server, request_of(&reads, &range.base));
    for (int i = 0; i < 5; i++) {
        turn(&rig->server->state);
    }
    assert_int_equal(reads.done_count, 0); /* confirmed, and waits for what is committed */
    assert_false(list_empty(&rig->server->reads_confirmed));
    rig->server->tail_bytes_max = TAIL_BYTES_MAX;
    backlog_apply(rig->server);
    rig_run(rig, 2);
    assert_int_equal(reads.ok_count, 1);
    assert_int_equal(writes.ok_count, 1);
    rig_free(rig);
}

static void changes_of_the_membership_wait_for_each_other(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct outcome outcome = {0};
    Etcdserverpb__MemberAddRequest add = ETCDSERVERPB__MEMBER_ADD_REQUEST__INIT;
    char url[] = "http://127.0.0.1:1";
    char *urls[] = {url};
    rig_run(rig, 5);
    add.peerurls = urls;
    add.n_peerurls = 1;
    add.islearner = true;
    rpc_member_add(rig->server, request_of(&outcome, &add.base));
    url[strlen(url) - 1] = '2';
    rpc_member_add(rig->server, request_of(&outcome, &add.base));
    for (int i = 0; i < 100 && outcome.done_count < 2; i++) {
        rig_run(rig, 1);
        usleep(10000);
    }
    /* The second is refused because of the first, at once: it was not lost on the way. */
    assert_int_equal(outcome.done_count, 2);
    assert_int_equal(outcome.ok_count, 1);
    assert_int_equal(outcome.last, ETCD_ERR_TOO_MANY_LEARNERS);
    rig_free(rig);
}

/* ---- streams ---- */

static struct request *stream_request(const ProtobufCMessage *message, int method)
{
    struct request *request = request_of(NULL, message);
    request->origin = REQUEST_RPC;
    request->method = method;
    request->handle = STREAM;
    return request;
}

static void a_message_that_crosses_with_the_end_of_its_stream_leaves_nothing(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    Etcdserverpb__WatchRequest watch = ETCDSERVERPB__WATCH_REQUEST__INIT;
    create.key = proto_binary(bytes_of_str("k"));
    watch.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    watch.create_request = &create;
    rig_run(rig, 5);
    rpc_watch(rig->server, stream_request(&watch.base, RPC_WATCH));
    rig_run(rig, 1);
    assert_int_equal(rig->server->streams.count, 1);
    stream_half_closed(rig->server, STREAM);
    assert_int_equal(rig->server->streams.count, 1); /* it is told on, as etcd does it */
    stream_canceled(rig->server, STREAM);
    assert_int_equal(rig->server->streams.count, 0);
    rpc_watch(rig->server, stream_request(&watch.base, RPC_WATCH)); /* was on its way */
    stream_canceled(rig->server, STREAM); /* what the I/O thread says last of each stream */
    assert_int_equal(rig->server->streams.count, 0);
    rig_run(rig, 1);
    rig_free(rig);
}

static unsigned replies_of(struct rig *rig)
{
    unsigned kinds = 0;
    for (struct reply *reply = rig->server->replies; reply != NULL; reply = reply->next) {
        kinds |= reply->handle == STREAM ? reply->kinds : 0;
    }
    return kinds;
}

static void a_client_that_asks_for_watches_and_reads_nothing_is_held_back(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    Etcdserverpb__WatchRequest watch = ETCDSERVERPB__WATCH_REQUEST__INIT;
    create.key = proto_binary(bytes_of_str("k"));
    watch.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    watch.create_request = &create;
    rig_run(rig, 5);
    for (int i = 0; i < 10000 && (replies_of(rig) & REPLY_PAUSE) == 0; i++) {
        rpc_watch(rig->server, stream_request(&watch.base, RPC_WATCH));
    }
    assert_true((replies_of(rig) & REPLY_PAUSE) != 0);
    assert_int_equal(replies_of(rig) & REPLY_RESUME, 0);
    streams_pull(rig->server);
    assert_true((replies_of(rig) & REPLY_RESUME) != 0);
    rig_free(rig);
}

/* What a range stream has said so far, put together as its client does; its parts are counted. */
struct parts {
    Etcdserverpb__RangeResponse *last;
    struct arena arena;
    uint32_t count;
    uint32_t keys;
    size_t bytes_max; /* of one part */
    bool finished;
    enum grpc_code code;
    int64_t value_revision_max;
    size_t undrained;
};

/* Takes the replies that wait. */
static void parts_take(struct rig *rig, struct parts *parts)
{
    for (struct reply *reply = rig->server->replies; reply != NULL; reply = reply->next) {
        ProtobufCMessage *message;
        if (reply->handle != STREAM) {
            continue;
        }
        if ((reply->kinds & REPLY_MESSAGE) != 0) {
            assert_int_equal(proto_unpack(&etcdserverpb__range_stream_response__descriptor,
                                          buf_bytes(&reply->body), &parts->arena, &message),
                             0);
            parts->last = ((Etcdserverpb__RangeStreamResponse *)message)->range_response;
            parts->count++;
            for (size_t i = 0; i < parts->last->n_kvs; i++) {
                Mvccpb__KeyValue *kv = parts->last->kvs[i];
                char want[16];
                snprintf(want, sizeof(want), "key-%05u", parts->keys++);
                assert_memory_equal(kv->key.data, want, kv->key.len);
                parts->value_revision_max = BASE_MAX(parts->value_revision_max, kv->mod_revision);
            }
            parts->bytes_max = BASE_MAX(parts->bytes_max, reply->body.size);
            parts->undrained += reply->want_drain_notice ? reply->body.size : 0;
        }
        if ((reply->kinds & REPLY_FINISH) != 0) {
            parts->finished = true;
            parts->code = reply->code;
        }
    }
    replies_drop(rig->server);
}

/* And says that the client has it all. */
static void parts_drain(struct rig *rig, struct parts *parts)
{
    parts_take(rig, parts);
    stream_drained(rig->server, STREAM, parts->undrained);
    parts->undrained = 0;
}

static void put_keys(struct rig *rig, unsigned count, size_t value_bytes)
{
    struct outcome outcome = {0};
    for (unsigned i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key-%05u", i);
        rpc_put(rig->server, put_of(&outcome, key, value_bytes));
    }
    for (unsigned i = 0; i < 1000 && outcome.ok_count < (int)count; i++) {
        rig_run(rig, 1);
    }
    assert_int_equal(outcome.ok_count, count);
}

static struct request *range_stream_of(int64_t limit, bool serializable)
{
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = proto_binary(bytes_of_str("key-"));
    range.range_end = proto_binary(bytes_of_str("key."));
    range.serializable = serializable;
    range.limit = limit;
    struct request *request = stream_request(&range.base, RPC_RANGE_STREAM);
    request->run = rpc_range_stream;
    return request;
}

static void a_range_comes_in_parts_of_one_revision(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct parts parts = {0};
    rig_run(rig, 5);
    put_keys(rig, 3000, 1000);
    int64_t begun = mvcc_revision(rig->server->mvcc);
    arena_init(&parts.arena, BUF_NO_LIMIT);
    rpc_range_stream(rig->server, range_stream_of(0, true));
    streams_pull(rig->server);
    /* Its client reads nothing: no more than the limit and one part is made. */
    size_t waiting = 0;
    for (struct reply *reply = rig->server->replies; reply != NULL; reply = reply->next) {
        waiting += reply->body.size;
    }
    assert_in_range(waiting, STREAM_UNSENT_BYTES_MAX, STREAM_UNSENT_BYTES_MAX + 300 * 1024);
    parts_take(rig, &parts);
    put_keys(rig, 10, 1); /* goes into a later revision */
    parts_drain(rig, &parts);
    for (int i = 0; i < 100 && !parts.finished; i++) {
        streams_pull(rig->server);
        parts_drain(rig, &parts);
    }
    assert_true(parts.finished);
    assert_int_equal(parts.code, GRPC_OK);
    assert_int_equal(parts.keys, 3000);
    assert_in_range(parts.count, 10, 20);
    assert_true(parts.bytes_max < 300 * 1024);
    assert_true(parts.value_revision_max <= begun);
    assert_int_equal(parts.last->count, 3000);
    assert_int_equal(parts.last->header->revision, begun);
    assert_false(parts.last->more);
    assert_int_equal(rig->server->streams.count, 0);
    arena_free(&parts.arena);
    rig_free(rig);
}

static void a_range_in_parts_keeps_its_limit_and_waits_for_its_read_index(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct parts parts = {0};
    rig_run(rig, 5);
    put_keys(rig, 100, 10);
    arena_init(&parts.arena, BUF_NO_LIMIT);
    rpc_range_stream(rig->server, range_stream_of(25, false));
    streams_pull(rig->server);
    assert_null(rig->server->replies); /* not confirmed yet */
    reads_start_round(rig->server);
    effects_run(rig->server);
    for (int i = 0; i < 10 && !parts.finished; i++) {
        streams_pull(rig->server);
        parts_drain(rig, &parts);
    }
    assert_true(parts.finished);
    assert_int_equal(parts.keys, 25);
    assert_true(parts.last->more);
    assert_int_equal(parts.last->count, 100);
    arena_free(&parts.arena);
    rig_free(rig);
}

static void a_compaction_does_not_wait_for_a_range_in_parts(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct server *server = rig->server;
    struct parts parts = {0};
    rig_run(rig, 5);
    put_keys(rig, 3000, 1000);
    put_keys(rig, 3000, 1);
    arena_init(&parts.arena, BUF_NO_LIMIT);
    struct request *request = range_stream_of(0, true);
    ((Etcdserverpb__RangeRequest *)request->message)->revision = 3001;
    rpc_range_stream(server, request);
    streams_pull(server);
    parts_drain(rig, &parts);
    assert_false(parts.finished);
    int64_t newest = mvcc_revision(server->mvcc);
    assert_int_equal(mvcc_compact(server->mvcc, server->batch, newest), 0);
    assert_true(mvcc_compact_slice(server->mvcc, server->batch, 100000));
    streams_pull(server);
    parts_drain(rig, &parts);
    assert_true(parts.finished);
    assert_int_equal(parts.code, etcd_error_code(ETCD_ERR_COMPACTED));
    assert_int_equal(server->streams.count, 0);
    arena_free(&parts.arena);
    rig_free(rig);
}

static void a_range_in_parts_whose_client_has_gone_is_forgotten(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    rig_run(rig, 5);
    put_keys(rig, 10, 10);
    rpc_range_stream(rig->server, range_stream_of(0, false));
    stream_canceled(rig->server, STREAM);
    reads_start_round(rig->server);
    effects_run(rig->server);
    assert_int_equal(rig->server->streams.count, 0);
    assert_null(rig->server->replies);
    rpc_range_stream(rig->server, range_stream_of(0, true));
    stream_canceled(rig->server, STREAM);
    assert_int_equal(rig->server->streams.count, 0);
    streams_pull(rig->server);
    assert_null(rig->server->replies);
    rig_free(rig);
}

static void a_keep_alive_whose_client_has_gone_opens_no_stream(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    Etcdserverpb__LeaseKeepAliveRequest keep = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    keep.id = 7;
    rig_run(rig, 5);
    lease_forward_later(rig->server, stream_request(&keep.base, RPC_LEASE_KEEP_ALIVE));
    leases_check(rig->server);
    assert_int_equal(rig->server->streams.count, 0);
    assert_true(list_empty(&rig->server->lease_forwards));
    rig_free(rig);
}

static void a_keep_alive_that_waits_for_a_revoke_asks_the_next_leader(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct server *server = rig->server;
    Etcdserverpb__LeaseKeepAliveRequest keep = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    int64_t ttl;
    rig_run(rig, 5);
    assert_int_equal(lessor_grant(server->lessor, 7, 2, (int64_t)server_now_ms(server) - 60000,
                                  server->batch, &ttl),
                     ETCD_OK);
    keep.id = 7;
    struct request *request = stream_request(&keep.base, RPC_LEASE_KEEP_ALIVE);
    request->is_proved = true;
    rpc_lease_keep_alive(server, request);
    assert_true(list_empty(&server->lease_forwards)); /* its lease has ended: no answer yet */
    another_leads(rig);
    effects_run(server);
    assert_false(lessor_is_primary(server->lessor));
    assert_false(list_empty(&server->lease_forwards));
    rig_free(rig);
}

static void a_leader_asks_before_it_renews(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct server *server = rig->server;
    Etcdserverpb__LeaseKeepAliveRequest keep = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    struct lease_times times;
    int64_t ttl;
    rig_run(rig, 5);
    /* Granted a while ago: a renewal shows. */
    assert_int_equal(lessor_grant(server->lessor, 7, 100, (int64_t)server_now_ms(server) - 50000,
                                  server->batch, &ttl),
                     ETCD_OK);
    keep.id = 7;
    rpc_lease_keep_alive(server, stream_request(&keep.base, RPC_LEASE_KEEP_ALIVE));
    assert_false(list_empty(&server->reads));
    assert_int_equal(lessor_times(server->lessor, 7, (int64_t)server_now_ms(server), &times),
                     ETCD_OK);
    assert_in_range(times.remaining_s, 1, 51);
    rig_run(rig, 3);
    assert_int_equal(lessor_times(server->lessor, 7, (int64_t)server_now_ms(server), &times),
                     ETCD_OK);
    assert_in_range(times.remaining_s, 90, 100);
    rig_free(rig);
}

/* What the next leader would give a lease of 1000 s that was granted 400 s ago. */
static int64_t rest_for_the_next_leader(const char *flag)
{
    struct rig *rig = rig_new_with(flag);
    struct server *server = rig->server;
    struct lease_times times;
    int64_t ttl;
    rig_run(rig, 5);
    int64_t now_ms = (int64_t)server_now_ms(server);
    assert_int_equal(lessor_grant(server->lessor, 7, 1000, now_ms - 400000, server->batch, &ttl),
                     ETCD_OK);
    leases_check(server);
    rig_run(rig, 5);
    lessor_demote(server->lessor);
    lessor_promote(server->lessor, now_ms, 0);
    assert_int_equal(lessor_times(server->lessor, 7, now_ms, &times), ETCD_OK);
    rig_free(rig);
    return times.remaining_s;
}

static void with_its_gate_a_leader_tells_what_is_left_of_long_leases(void **state)
{
    (void)state;
    assert_in_range(rest_for_the_next_leader("--feature-gates=LeaseCheckpoint=true"), 590, 601);
    assert_in_range(rest_for_the_next_leader("--pre-vote"), 999, 1000);
}

/* ---- installation of a snapshot ---- */

static int file_sink(void *ctx, const void *data, size_t size)
{
    return fwrite(data, 1, size, ctx) == size ? 0 : E_IO;
}

/* This member's own store as a file, as a leader would send it. */
static char *snapshot_file(struct rig *rig)
{
    struct store_view *view;
    struct bolt_writer *writer;
    struct err err;
    uint64_t size;
    char *path = str_printf("%s/0000000000000100.snap.db", rig->server->snap_dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(rig->server->store.view_begin(rig->server->store.ctx, &view), 0);
    assert_int_equal(bolt_writer_new(&rig->server->store, view, &writer, &size, &err), 0);
    assert_int_equal(bolt_writer_write(writer, file_sink, file, &err), 0);
    bolt_writer_free(writer);
    rig->server->store.view_end(view);
    fclose(file);
    return path;
}

static void snapshot_arrives(struct rig *rig, const char *path)
{
    struct raft_status status;
    raft_status(rig->server->raft, &status);
    struct raft_message message = {.type = RAFT_MSG_SNAP,
                                   .from = OTHER,
                                   .to = rig->server->member_id,
                                   .term = status.term + 5};
    message.snapshot = mem_zalloc(sizeof(*message.snapshot));
    message.snapshot->index = 0x100;
    message.snapshot->term = status.term + 4;
    message.snapshot->conf_state.voter_count = 2;
    bool first = rig->server->member_id < OTHER;
    message.snapshot->conf_state.voters[first ? 0 : 1] = rig->server->member_id;
    message.snapshot->conf_state.voters[first ? 1 : 0] = OTHER;
    io_snapshot_arrived(rig->server, &message, path);
    assert_null(message.snapshot);
}

static void put_one_and_commit(struct rig *rig)
{
    struct outcome outcome = {0};
    rig_run(rig, 5);
    rpc_put(rig->server, put_of(&outcome, "k", 10));
    /* As long as a busy machine may take for a flush. */
    for (int i = 0; i < 4000 && (outcome.ok_count == 0 ||
                                 rig->server->store_index < rig->server->applied_index);
         i++) {
        rig_run(rig, 1);
        usleep(5000);
    }
    rig_run(rig, 2);
    assert_int_equal(outcome.ok_count, 1);
    assert_int_equal(count_live(rig), 1);
}

static void expect_installed(struct rig *rig)
{
    assert_int_equal(rig->server->applied_index, 0x100);
    assert_int_equal(rig->server->conf_state.voter_count, 2);
    assert_int_equal(count_live(rig), 1);
}

static void a_snapshot_takes_the_place_of_the_store_and_stays(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    put_one_and_commit(rig);
    char *path = snapshot_file(rig);
    snapshot_arrives(rig, path);
    rig_run(rig, 10);
    assert_false(rig->server->installing);
    expect_installed(rig);
    assert_int_not_equal(access(path, F_OK), 0);
    mem_free(path);
    rig_stop(rig);
    rig_start(rig);
    expect_installed(rig);
    rig_free(rig);
}

static void heartbeats_are_answered_while_a_snapshot_is_installed(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct raft_status status;
    put_one_and_commit(rig);
    char *path = snapshot_file(rig);
    snapshot_arrives(rig, path);
    turn(&rig->server->state);
    assert_true(rig->server->installing);
    another_leads(rig); /* a newer term, which is to be kept on the disk */
    turn(&rig->server->state);
    struct raft_effects effects;
    assert_false(raft_take_effects(rig->server->raft, &effects)); /* the answer has gone */
    assert_non_null(rig->server->persist_later);                  /* and the term waits */
    raft_status(rig->server->raft, &status);
    rig_run(rig, 10);
    assert_false(rig->server->installing);
    expect_installed(rig);
    rig_stop(rig);
    rig_start(rig);
    struct raft_status again;
    raft_status(rig->server->raft, &again);
    assert_true(again.term >= status.term);
    expect_installed(rig);
    mem_free(path);
    rig_free(rig);
}

/* How far the installation came when the member stopped: after so many turns of all threads. */
static void an_installation_that_is_cut_ends_old_or_new(void **state)
{
    (void)state;
    size_t installed = 0;
    size_t old = 0;
    for (int turns = 0; turns < 6; turns++) {
        struct rig *rig = rig_new();
        put_one_and_commit(rig);
        uint64_t before = rig->server->applied_index;
        char *path = snapshot_file(rig);
        snapshot_arrives(rig, path);
        snapshot_arrives(rig, path); /* sent again meanwhile: the file must not go */
        rig_run(rig, turns);
        rig_stop(rig);
        rig_start(rig);
        if (rig->server->applied_index == 0x100) {
            expect_installed(rig);
            installed++;
        } else {
            assert_true(rig->server->applied_index >= before);
            assert_int_equal(count_live(rig), 1);
            old++;
        }
        assert_int_not_equal(access(path, F_OK), 0);
        mem_free(path);
        rig_free(rig);
    }
    assert_true(installed > 0 && old > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_is_answered_once_it_is_applied),
        cmocka_unit_test(applying_waits_for_the_store_when_the_tail_is_full),
        cmocka_unit_test(a_member_that_stops_with_a_backlog_has_it_again),
        cmocka_unit_test(a_v2_request_without_an_envelope_is_applied),
        cmocka_unit_test(a_first_start_that_was_cut_before_its_entries_is_finished),
        cmocka_unit_test(too_much_that_waits_is_refused),
        cmocka_unit_test(what_nobody_commits_ends_at_its_deadline),
        cmocka_unit_test(a_read_sees_what_was_acknowledged_before_it),
        cmocka_unit_test(changes_of_the_membership_wait_for_each_other),
        cmocka_unit_test(a_message_that_crosses_with_the_end_of_its_stream_leaves_nothing),
        cmocka_unit_test(a_client_that_asks_for_watches_and_reads_nothing_is_held_back),
        cmocka_unit_test(a_range_comes_in_parts_of_one_revision),
        cmocka_unit_test(a_range_in_parts_keeps_its_limit_and_waits_for_its_read_index),
        cmocka_unit_test(a_compaction_does_not_wait_for_a_range_in_parts),
        cmocka_unit_test(a_range_in_parts_whose_client_has_gone_is_forgotten),
        cmocka_unit_test(a_keep_alive_whose_client_has_gone_opens_no_stream),
        cmocka_unit_test(a_keep_alive_that_waits_for_a_revoke_asks_the_next_leader),
        cmocka_unit_test(a_leader_asks_before_it_renews),
        cmocka_unit_test(with_its_gate_a_leader_tells_what_is_left_of_long_leases),
        cmocka_unit_test(a_snapshot_takes_the_place_of_the_store_and_stays),
        cmocka_unit_test(heartbeats_are_answered_while_a_snapshot_is_installed),
        cmocka_unit_test(an_installation_that_is_cut_ends_old_or_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
