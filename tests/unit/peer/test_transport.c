/* SPDX-License-Identifier: Apache-2.0 */
/* Transports that talk to each other: streams, restarts, refusals, snapshots. */
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/net/http1client.h"
#include "engine/peer/codec.h"
#include "engine/proto/raftpb.h"
#include "lib_nodes.h"

struct pair {
    struct world world;
    struct node *a, *b;
};

static struct pair *pair_new(void)
{
    struct pair *pair = mem_zalloc(sizeof(*pair));
    world_init(&pair->world);
    pair->a = mem_zalloc(sizeof(*pair->a));
    pair->b = mem_zalloc(sizeof(*pair->b));
    return pair;
}

static void pair_start(struct pair *pair)
{
    node_start(&pair->world, pair->a, 1);
    node_start(&pair->world, pair->b, 2);
    node_knows(pair->a, pair->b);
    node_knows(pair->b, pair->a);
}

static void pair_free(struct pair *pair)
{
    node_free(pair->a);
    node_free(pair->b);
    world_free(&pair->world);
    mem_free(pair);
}

static bool both_active(void *ctx)
{
    struct pair *pair = ctx;
    return peer_active_since_ms(pair->a->transport, 2) != 0 &&
           peer_active_since_ms(pair->b->transport, 1) != 0;
}

static bool b_got_one(void *ctx)
{
    return ((struct pair *)ctx)->b->message_count >= 1;
}

static bool b_got_100(void *ctx)
{
    return ((struct pair *)ctx)->b->message_count >= 100;
}

static void members_exchange_messages_over_streams(void **state)
{
    (void)state;
    struct pair *pair = pair_new();
    pair_start(pair);
    world_until(&pair->world, both_active, pair);
    for (uint64_t i = 1; i <= 100; i++) {
        node_send_append(pair->a, 2, i, 100);
    }
    world_until(&pair->world, b_got_100, pair);
    for (uint64_t i = 0; i < 100; i++) {
        const struct raft_message *got = &pair->b->messages[i];
        assert_int_equal(got->from, 1);
        assert_int_equal(got->to, 2);
        assert_int_equal(got->index, i);
        assert_int_equal(got->entry_count, 1);
        assert_int_equal(got->entries[0].index, i + 1);
        assert_int_equal(raft_entry_bytes(&got->entries[0]).size, 100);
    }
    pair_free(pair);
}

static void those_that_stay_keep_their_links(void **state)
{
    (void)state;
    struct pair *pair = pair_new();
    const char *urls[] = {"http://127.0.0.1:1"};
    const uint64_t stay[] = {1, 2};
    pair_start(pair);
    peer_add(pair->a->transport, 9, urls, 1);
    world_until(&pair->world, both_active, pair);
    uint64_t since = peer_active_since_ms(pair->a->transport, 2);
    size_t before = pair->a->unreachable_count;
    peer_keep_only(pair->a->transport, stay, 2);
    node_knows(pair->a, pair->b);
    world_pass(&pair->world, 50);
    assert_int_equal(peer_active_since_ms(pair->a->transport, 2), since);
    node_send_append(pair->a, 9, 1, 1); /* dropped: nobody is asked any more */
    world_pass(&pair->world, 50);
    assert_int_equal(pair->a->unreachable_count, before);
    pair_free(pair);
}

static void a_message_goes_through_the_pipeline_before_streams_are_there(void **state)
{
    (void)state;
    struct pair *pair = pair_new();
    node_start(&pair->world, pair->a, 1);
    node_start(&pair->world, pair->b, 2);
    node_knows(pair->a, pair->b); /* b does not know a: it opens no streams to it */
    node_send_append(pair->a, 2, 5, 10);
    world_until(&pair->world, b_got_one, pair);
    assert_int_equal(pair->b->messages[0].entries[0].index, 5);
    pair_free(pair);
}

/* Appends that nobody takes must not hold the heartbeats up. */
static bool b_got_heartbeat(void *ctx)
{
    struct pair *pair = ctx;
    for (size_t i = 0; i < pair->b->message_count; i++) {
        if (pair->b->messages[i].type == RAFT_MSG_HEARTBEAT) {
            return true;
        }
    }
    return false;
}

static void a_heartbeat_does_not_wait_behind_big_appends(void **state)
{
    (void)state;
    struct pair *pair = pair_new();
    pair_start(pair);
    world_until(&pair->world, both_active, pair);
    for (uint64_t i = 1; i <= 32; i++) {
        node_send_append(pair->a, 2, i, 1024 * 1024);
    }
    node_send_heartbeat(pair->a, 2, 0);
    world_until(&pair->world, b_got_heartbeat, pair);
    assert_true(pair->b->message_count < 33);
    pair_free(pair);
}

static bool b_is_gone(void *ctx)
{
    return ((struct pair *)ctx)->a->gone_count > 0;
}

static void a_process_that_ended_is_told_once_each_time(void **state)
{
    (void)state;
    struct pair *pair = pair_new();
    pair_start(pair);
    for (int i = 0; i < 2; i++) {
        world_until(&pair->world, both_active, pair);
        pair->a->gone_count = 0;
        node_stop(pair->b);
        world_until(&pair->world, b_is_gone, pair);
        world_pass(&pair->world, 400);
        assert_int_equal(pair->a->gone_count, 1);
        node_start(&pair->world, pair->b, 2);
        node_knows(pair->b, pair->a);
    }
    pair_free(pair);
}

static void one_who_was_never_there_is_not_gone(void **state)
{
    (void)state;
    struct pair *pair = pair_new();
    const char *urls[] = {"http://127.0.0.1:1"};
    pair_start(pair);
    peer_add(pair->a->transport, 9, urls, 1);
    world_pass(&pair->world, 400);
    assert_int_equal(pair->a->gone_count, 0);
    pair_free(pair);
}

static void a_restarted_member_is_found_again_and_runs_start_anew(void **state)
{
    (void)state;
    struct pair *pair = pair_new();
    pair_start(pair);
    world_until(&pair->world, both_active, pair);
    node_send_append(pair->a, 2, 1, 10);
    node_send_append(pair->a, 2, 2, 10);
    world_until(&pair->world, b_got_one, pair);
    node_stop(pair->b);
    world_pass(&pair->world, 50);
    assert_int_equal(peer_active_since_ms(pair->a->transport, 2), 0);
    assert_true(pair->a->unreachable_count > 0);
    for (size_t i = 0; i < pair->b->message_count; i++) {
        raft_message_clear(&pair->b->messages[i]);
    }
    pair->b->message_count = 0;
    node_start(&pair->world, pair->b, 2);
    node_knows(pair->b, pair->a);
    world_until(&pair->world, both_active, pair);
    node_send_append(pair->a, 2, 3, 10); /* would be a run on the old stream */
    world_until(&pair->world, b_got_one, pair);
    assert_int_equal(pair->b->messages[0].term, 7);
    assert_int_equal(pair->b->messages[0].entries[0].index, 3);
    pair_free(pair);
}

/* ---- raw callers ---- */

struct caller {
    struct http1_client *client;
    int status;
    char body[128];
    bool done;
    int code;
};

static void caller_answer(void *ctx, const struct http1_client_answer *answer)
{
    ((struct caller *)ctx)->status = answer->status;
}

static void caller_body(void *ctx, struct bytes part)
{
    struct caller *caller = ctx;
    snprintf(caller->body, sizeof(caller->body), "%.*s", (int)part.size, (const char *)part.data);
}

static void caller_done(void *ctx, int code, const char *text)
{
    struct caller *caller = ctx;
    (void)text;
    caller->done = true;
    caller->code = code;
}

static bool caller_is_done(void *ctx)
{
    return ((struct caller *)ctx)->done;
}

static bool caller_is_answered(void *ctx)
{
    return ((struct caller *)ctx)->status != 0;
}

static const struct http1_header GOOD[] = {
    {"X-Server-From", "9"},
    {"X-Server-Version", "3.6.14"},
    {"X-Min-Cluster-Version", "3.0.0"},
    {"X-Etcd-Cluster-ID", "abcdef"},
    {"X-PeerURLs", "http://127.0.0.1:1"},
    {"X-Raft-To", "1"},
};

#define GOOD_COUNT 6u

static void caller_start(struct caller *caller, struct node *node, const char *method,
                         const char *path, const struct http1_header *headers, size_t count,
                         struct bytes body)
{
    struct http1_client_config config = {.loop = node->world->loop};
    assert_int_equal(url_parse(node->url, &config.url, NULL), 0);
    *caller = (struct caller){.client = http1_client_new(&config)};
    const struct http1_client_exchange exchange = {.method = method,
                                                   .path = path,
                                                   .headers = headers,
                                                   .header_count = count,
                                                   .body = body,
                                                   .ctx = caller,
                                                   .on_answer = caller_answer,
                                                   .on_body = caller_body,
                                                   .on_done = caller_done};
    assert_int_equal(http1_client_start(caller->client, &exchange), 0);
}

static int ask(struct node *node, const char *method, const char *path,
               const struct http1_header *headers, struct bytes body, const char *text)
{
    struct caller caller;
    caller_start(&caller, node, method, path, headers, GOOD_COUNT, body);
    world_until(node->world, caller_is_done, &caller);
    if (text != NULL) {
        assert_non_null(strstr(caller.body, text));
    }
    http1_client_free(caller.client);
    return caller.status;
}

static void good_but(struct http1_header out[GOOD_COUNT], size_t at, const char *value)
{
    memcpy(out, GOOD, sizeof(GOOD));
    out[at].value = value;
}

static void streams_are_refused_in_etcds_order_and_words(void **state)
{
    (void)state;
    struct world world;
    struct node *node = mem_zalloc(sizeof(*node));
    struct http1_header headers[GOOD_COUNT];
    struct bytes none = {NULL, 0};
    world_init(&world);
    node_start(&world, node, 1);
    node->removed_id = 0x77;
    const char *path = "/raft/stream/message/9";
    assert_int_equal(ask(node, "POST", path, GOOD, none, "Method Not Allowed"), 405);
    good_but(headers, 1, "2.3.0");
    assert_int_equal(ask(node, "GET", path, headers, none, "incompatible version"), 412);
    good_but(headers, 2, "3.7.0");
    assert_int_equal(ask(node, "GET", path, headers, none, "incompatible version"), 412);
    good_but(headers, 1, "99999999999999999999.99999999999");
    /* Numbers past all limits are no overflow. */
    (void)ask(node, "GET", "/raft/stream/message/8", headers, none, NULL);
    good_but(headers, 3, "abcdee");
    assert_int_equal(ask(node, "GET", path, headers, none, "cluster ID mismatch"), 412);
    assert_int_equal(ask(node, "GET", "/raft/stream/other/9", GOOD, none, NULL), 404);
    assert_int_equal(ask(node, "GET", "/raft/stream/message/77", GOOD, none, "removed member"),
                     410);
    assert_int_equal(peer_active_since_ms(node->transport, 9), 0);
    assert_int_equal(ask(node, "GET", path, GOOD, none, "error sender not found"), 404);
    good_but(headers, 5, "2"); /* known since the last call */
    assert_int_equal(ask(node, "GET", path, headers, none, "to field mismatch"), 412);
    node_free(node);
    world_free(&world);
}

static void a_stream_takes_the_place_of_the_one_before(void **state)
{
    (void)state;
    struct world world;
    struct node *node = mem_zalloc(sizeof(*node));
    struct caller first;
    struct caller second;
    const char *urls[] = {"http://127.0.0.1:1"};
    world_init(&world);
    node_start(&world, node, 1);
    peer_add(node->transport, 9, urls, 1);
    caller_start(&first, node, "GET", "/raft/stream/msgapp/9", GOOD, GOOD_COUNT,
                 (struct bytes){NULL, 0});
    world_until(&world, caller_is_answered, &first);
    assert_int_equal(first.status, 200);
    node_send_append(node, 9, 1, 1); /* the encoder of the first stream now runs */
    caller_start(&second, node, "GET", "/raft/stream/msgapp/9", GOOD, GOOD_COUNT,
                 (struct bytes){NULL, 0});
    world_until(&world, caller_is_done, &first);
    world_until(&world, caller_is_answered, &second);
    assert_int_equal(second.status, 200);
    second.body[0] = 'x';
    node_send_append(node, 9, 2, 1);
    while (second.body[0] == 'x') {
        world_pass(&world, 5);
    }
    assert_int_equal(second.body[0], CODEC_MSGAPP_MESSAGE); /* no run from the old stream */
    http1_client_free(first.client);
    http1_client_free(second.client);
    node_free(node);
    world_free(&world);
}

static void strangers_are_few_and_leave_room_for_members(void **state)
{
    (void)state;
    struct world world;
    struct node *node = mem_zalloc(sizeof(*node));
    struct bytes none = {NULL, 0};
    size_t known = 0;
    world_init(&world);
    node_start(&world, node, 1);
    for (int i = 0x100; i < 0x120; i++) {
        char path[64];
        struct http1_header headers[GOOD_COUNT];
        good_but(headers, 4, i % 2 == 0 ? "https://127.0.0.1:1" : "no url,,");
        snprintf(path, sizeof(path), "/raft/stream/message/%x", i);
        assert_int_equal(ask(node, "GET", path, headers, none, NULL), 404);
        /* Asked again: a known one is told that the addressee is another, an unknown one is not. */
        good_but(headers, 5, "2");
        known += ask(node, "GET", path, headers, none, NULL) == 412 ? 1 : 0;
    }
    assert_true(known > 0 && known < 16);
    const char *urls[] = {"http://127.0.0.1:1"};
    peer_add(node->transport, 0x9, urls, 1);
    struct http1_header headers[GOOD_COUNT];
    good_but(headers, 5, "2");
    assert_int_equal(ask(node, "GET", "/raft/stream/message/9", headers, none, NULL), 412);
    node_free(node);
    world_free(&world);
}

static bool a_is_removed(void *ctx)
{
    return ((struct pair *)ctx)->a->removed_count > 0;
}

static void a_removed_member_is_told_so_by_those_it_dials(void **state)
{
    (void)state;
    struct pair *pair = pair_new();
    node_start(&pair->world, pair->a, 1);
    node_start(&pair->world, pair->b, 2);
    pair->b->removed_id = 1;
    node_knows(pair->a, pair->b);
    world_until(&pair->world, a_is_removed, pair);
    pair_free(pair);
}

static void the_word_of_a_stranger_removes_nobody(void **state)
{
    (void)state;
    struct pair *pair = pair_new();
    node_start(&pair->world, pair->a, 1);
    node_start(&pair->world, pair->b, 9);
    pair->b->removed_id = 1; /* says 410 to whoever is member 1 */
    struct http1_header headers[GOOD_COUNT];
    good_but(headers, 4, pair->b->url);
    assert_int_equal(ask(pair->a, "GET", "/raft/stream/message/9", headers, (struct bytes){NULL, 0},
                         "error sender not found"),
                     404);
    world_pass(&pair->world, 500); /* it is dialled and says that we are out */
    assert_int_equal(pair->a->removed_count, 0);
    pair_free(pair);
}

static void another_clusters_members_do_not_meet(void **state)
{
    (void)state;
    struct pair *pair = pair_new();
    pair->b->cluster_id = 0x1234;
    pair_start(pair);
    world_pass(&pair->world, 300);
    assert_false(both_active(pair));
    node_send_append(pair->a, 2, 1, 1);
    world_pass(&pair->world, 300);
    assert_int_equal(pair->b->message_count, 0);
    assert_int_equal(pair->a->removed_count, 0);
    assert_true(pair->a->unreachable_count > 0);
    pair_free(pair);
}

static struct buf encoded(const struct raft_message *message)
{
    struct buf body;
    buf_init(&body, BUF_NO_LIMIT);
    raftpb_message_encode(message, &body);
    return body;
}

static void posted_messages_are_checked_by_what_they_say(void **state)
{
    (void)state;
    struct world world;
    struct node *node = mem_zalloc(sizeof(*node));
    world_init(&world);
    node_start(&world, node, 1);
    node->removed_id = 0x77;
    struct raft_message message = {.type = RAFT_MSG_HEARTBEAT, .from = 9, .to = 1, .term = 1};
    struct buf body = encoded(&message);
    assert_int_equal(ask(node, "POST", "/raft", GOOD, buf_bytes(&body), NULL), 204);
    assert_int_equal(node->message_count, 1);
    buf_free(&body);
    message.from = 0x77;
    body = encoded(&message);
    assert_int_equal(ask(node, "POST", "/raft", GOOD, buf_bytes(&body), "removed member"), 403);
    buf_free(&body);
    message.from = 9;
    message.to = 2;
    body = encoded(&message);
    assert_int_equal(ask(node, "POST", "/raft", GOOD, buf_bytes(&body), "mismatch"), 412);
    buf_free(&body);
    assert_int_equal(ask(node, "POST", "/raft", GOOD, bytes_of_str("\xff\xff"), NULL), 400);
    assert_int_equal(ask(node, "GET", "/raft", GOOD, (struct bytes){NULL, 0}, NULL), 405);
    assert_int_equal(node->message_count, 1);
    node_free(node);
    world_free(&world);
}

/* The state machine behind on_message has no database to install. */
static void a_snapshot_without_its_database_is_refused(void **state)
{
    (void)state;
    struct world world;
    struct node *node = mem_zalloc(sizeof(*node));
    struct raft_snapshot_mark mark = {.index = 5, .term = 1};
    struct raft_message message = {
        .type = RAFT_MSG_SNAP, .from = 9, .to = 1, .term = 1, .snapshot = &mark};
    world_init(&world);
    node_start(&world, node, 1);
    mark.conf_state.voters[0] = 1;
    mark.conf_state.voter_count = 1;
    struct buf body = encoded(&message);
    assert_int_equal(ask(node, "POST", "/raft", GOOD, buf_bytes(&body), NULL), 400);
    assert_int_equal(node->message_count, 0);
    buf_free(&body);
    node_free(node);
    world_free(&world);
}

/* ---- a peer that takes nothing ---- */

static void a_stuck_peer_costs_bounded_memory(void **state)
{
    (void)state;
    struct world world;
    struct node *node = mem_zalloc(sizeof(*node));
    struct caller caller;
    const char *urls[] = {"http://127.0.0.1:1"};
    world_init(&world);
    node_start(&world, node, 1);
    peer_add(node->transport, 9, urls, 1);
    caller_start(&caller, node, "GET", "/raft/stream/msgapp/9", GOOD, GOOD_COUNT,
                 (struct bytes){NULL, 0});
    world_until(&world, caller_is_answered, &caller);
    http1_client_pause(caller.client);
    size_t before = node->unreachable_count;
    for (uint64_t i = 1; i <= 200; i++) {
        node_send_append(node, 9, i, 1024 * 1024);
    }
    /* 64 MiB wait at most, the others are dropped and told. */
    assert_true(node->unreachable_count - before > 100);
    http1_client_free(caller.client);
    world_pass(&world, 50);

    before = node->unreachable_count; /* the same without a stream: through the pipeline */
    for (uint64_t i = 1; i <= 200; i++) {
        node_send_append(node, 9, i, 1024 * 1024);
    }
    assert_true(node->unreachable_count - before > 100);
    node_free(node);
    world_free(&world);
}

/* ---- snapshots ---- */

static struct raft_message snapshot_message(uint64_t index)
{
    struct raft_message message = {.type = RAFT_MSG_SNAP, .from = 1, .to = 2, .term = 7};
    message.snapshot = mem_zalloc(sizeof(*message.snapshot));
    message.snapshot->index = index;
    message.snapshot->term = 7;
    message.snapshot->conf_state.voters[0] = 1;
    message.snapshot->conf_state.voters[1] = 2;
    message.snapshot->conf_state.voter_count = 2;
    message.snapshot_data = raft_payload_new(bytes_of_str("{\"membership\":true}"));
    return message;
}

/* A pipe whose writer never waits: what does not fit is written when the pipe has room. */
struct source {
    struct loop_fd writable;
    int fd;
    size_t left;
    uint8_t next;
};

static void on_source_room(void *ctx, uint32_t events)
{
    struct source *source = ctx;
    uint8_t chunk[4096];
    (void)events;
    size_t size = BASE_MIN(source->left, sizeof(chunk));
    for (size_t i = 0; i < size; i++) {
        chunk[i] = (uint8_t)(source->next + i);
    }
    ssize_t written = size == 0 ? 0 : write(source->fd, chunk, size);
    if (written > 0) {
        source->next = (uint8_t)(source->next + written);
        source->left -= (size_t)written;
    }
    if (source->left == 0 || written < 0) {
        loop_remove(&source->writable);
        close(source->fd);
        source->fd = -1;
    }
}

/* Gives the reading end. */
static int source_open(struct source *source, struct world *world, size_t bytes)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    *source = (struct source){.fd = fds[1], .left = bytes};
    assert_int_equal(
        loop_add(world->loop, &source->writable, fds[1], LOOP_WRITABLE, on_source_room, source), 0);
    return fds[0];
}

static void source_close(struct source *source)
{
    if (source->fd >= 0) {
        loop_remove(&source->writable);
        close(source->fd);
    }
}

static bool a_heard_of_snapshot(void *ctx)
{
    struct pair *pair = ctx;
    return pair->a->delivered_count + pair->a->undelivered_count > 0;
}

static void a_snapshot_arrives_whole_under_its_name(void **state)
{
    (void)state;
    const size_t size = 3u * 1024 * 1024 + 17;
    struct pair *pair = pair_new();
    struct source source;
    struct raft_message message = snapshot_message(0x1234);
    pair_start(pair);
    int fd = source_open(&source, &pair->world, size);
    peer_send_snapshot(pair->a->transport, &message, fd, size);
    assert_null(message.snapshot); /* taken */
    world_until(&pair->world, a_heard_of_snapshot, pair);
    assert_int_equal(pair->a->delivered_count, 1);
    assert_non_null(pair->b->snapshot_path);
    assert_non_null(strstr(pair->b->snapshot_path, "/0000000000001234.snap.db"));
    assert_int_equal(pair->b->snapshot.snapshot->index, 0x1234);
    assert_int_equal(pair->b->snapshot.snapshot_data->size, strlen("{\"membership\":true}"));
    FILE *file = fopen(pair->b->snapshot_path, "r");
    assert_non_null(file);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(fgetc(file), (uint8_t)i);
    }
    assert_int_equal(fgetc(file), EOF);
    fclose(file);
    assert_int_equal(node_file_count(pair->b), 1); /* nothing temporary is left */
    source_close(&source);
    pair_free(pair);
}

static void a_snapshot_whose_writer_gives_up_leaves_nothing(void **state)
{
    (void)state;
    struct pair *pair = pair_new();
    struct source source;
    struct raft_message message = snapshot_message(9);
    pair_start(pair);
    int fd = source_open(&source, &pair->world, 300000); /* ends early */
    peer_send_snapshot(pair->a->transport, &message, fd, 900000);
    world_until(&pair->world, a_heard_of_snapshot, pair);
    assert_int_equal(pair->a->undelivered_count, 1);
    world_pass(&pair->world, 100);
    assert_null(pair->b->snapshot_path);
    assert_int_equal(node_file_count(pair->b), 0);
    source_close(&source);
    pair_free(pair);
}

static bool b_receives_a_file(void *ctx)
{
    return node_file_count(((struct pair *)ctx)->b) > 0;
}

static void a_removed_addressee_ends_its_snapshot_and_says_so(void **state)
{
    (void)state;
    struct pair *pair = pair_new();
    struct source source;
    struct raft_message message = snapshot_message(9);
    pair_start(pair);
    int fd = source_open(&source, &pair->world, 100000);
    peer_send_snapshot(pair->a->transport, &message, fd, 50000000);
    message = snapshot_message(9);
    int second[2];
    assert_int_equal(pipe2(second, O_CLOEXEC | O_NONBLOCK), 0);
    peer_send_snapshot(pair->a->transport, &message, second[0], 100); /* one at a time */
    assert_int_equal(pair->a->undelivered_count, 1);
    close(second[1]);
    peer_remove(pair->a->transport, 2);
    assert_int_equal(pair->a->undelivered_count, 2);
    world_pass(&pair->world, 100);
    assert_int_equal(node_file_count(pair->b), 0);
    source_close(&source);
    pair_free(pair);
}

static void a_receiver_that_stops_meanwhile_cleans_up(void **state)
{
    (void)state;
    struct pair *pair = pair_new();
    int fds[2];
    struct raft_message message = snapshot_message(9);
    pair_start(pair);
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(write(fds[1], "beginning", 9), 9);
    peer_send_snapshot(pair->a->transport, &message, fds[0], 1000);
    world_until(&pair->world, b_receives_a_file, pair);
    node_stop(pair->b);
    assert_int_equal(node_file_count(pair->b), 0);
    world_until(&pair->world, a_heard_of_snapshot, pair);
    assert_int_equal(pair->a->undelivered_count, 1);
    close(fds[1]);
    pair_free(pair);
}

/* Two leaders may be sending at the same time: neither file may get bytes of the other. */
static void two_snapshots_of_one_index_do_not_mix(void **state)
{
    (void)state;
    struct pair *pair = pair_new();
    struct node *c = mem_zalloc(sizeof(*c));
    struct source sources[2];
    pair_start(pair);
    node_start(&pair->world, c, 3);
    node_knows(c, pair->b);
    struct raft_message message = snapshot_message(9);
    peer_send_snapshot(pair->a->transport, &message,
                       source_open(&sources[0], &pair->world, 2000000), 2000000);
    message = snapshot_message(9);
    message.from = 3;
    peer_send_snapshot(c->transport, &message, source_open(&sources[1], &pair->world, 1500000),
                       1500000);
    world_until(&pair->world, a_heard_of_snapshot, pair);
    while (c->delivered_count + c->undelivered_count == 0) {
        world_pass(&pair->world, 10);
    }
    assert_int_equal(pair->a->delivered_count, 1);
    assert_int_equal(c->delivered_count, 1);
    FILE *file = fopen(pair->b->snapshot_path, "r");
    assert_non_null(file);
    size_t size = 0;
    for (int byte = fgetc(file); byte != EOF; byte = fgetc(file)) {
        assert_int_equal(byte, (uint8_t)size);
        size++;
    }
    fclose(file);
    assert_true(size == 2000000 || size == 1500000);
    assert_int_equal(node_file_count(pair->b), 1);
    source_close(&sources[0]);
    source_close(&sources[1]);
    node_free(c);
    pair_free(pair);
}

static void an_envelope_that_is_none_is_refused(void **state)
{
    (void)state;
    struct world world;
    struct node *node = mem_zalloc(sizeof(*node));
    world_init(&world);
    node_start(&world, node, 2);
    static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t garbage[] = {0, 0, 0, 0, 0, 0, 0, 2, 0xff, 0xff};
    static const uint8_t half[] = {0, 0, 0, 0, 0, 0, 0, 200, 1, 2, 3};
    assert_int_equal(ask(node, "POST", "/raft/snapshot", GOOD, bytes_of(huge, sizeof(huge)), NULL),
                     400);
    assert_int_equal(
        ask(node, "POST", "/raft/snapshot", GOOD, bytes_of(garbage, sizeof(garbage)), NULL), 400);
    assert_int_equal(ask(node, "POST", "/raft/snapshot", GOOD, bytes_of(half, sizeof(half)), NULL),
                     400);
    assert_int_equal(ask(node, "GET", "/raft/snapshot", GOOD, (struct bytes){NULL, 0}, NULL), 405);
    assert_int_equal(node_file_count(node), 0);
    node_free(node);
    world_free(&world);
}

/* ---- short requests ---- */

struct fetched {
    int code, status;
    bool done;
    char text[160];
};

static void on_fetched(void *ctx, const struct peer_fetch_answer *answer)
{
    struct fetched *fetched = ctx;
    fetched->done = true;
    fetched->code = answer->code;
    fetched->status = answer->status;
    snprintf(fetched->text, sizeof(fetched->text), "%s", answer->text == NULL ? "" : answer->text);
}

static bool is_fetched(void *ctx)
{
    return ((struct fetched *)ctx)->done;
}

static void fetch(struct world *world, const char *url, const char *path, struct fetched *out)
{
    const struct peer_fetch request = {.loop = world->loop,
                                       .url = url,
                                       .method = "GET",
                                       .path = path,
                                       .timeout_ms = 5000,
                                       .on_done = on_fetched,
                                       .ctx = out};
    *out = (struct fetched){0};
    peer_fetch_start(&request);
    world_until(world, is_fetched, out);
}

static void a_short_request_is_answered_or_says_why_not(void **state)
{
    (void)state;
    struct world world;
    struct node *node = mem_zalloc(sizeof(*node));
    struct fetched fetched;
    world_init(&world);
    node_start(&world, node, 1);
    fetch(&world, node->url, "/raft/probing", &fetched);
    assert_int_equal(fetched.code, 0);
    assert_int_equal(fetched.status, 200);
    fetch(&world, "http://127.0.0.1:1", "/", &fetched);
    assert_int_equal(fetched.code, E_REFUSED);
    fetch(&world, "no url", "/", &fetched);
    assert_int_equal(fetched.code, E_INVALID);
    fetch(&world, "https://127.0.0.1:1", "/", &fetched);
    assert_int_equal(fetched.code, E_UNSUPPORTED);
    assert_non_null(strstr(fetched.text, "TLS"));
    node_free(node);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_exchange_messages_over_streams),
        cmocka_unit_test(those_that_stay_keep_their_links),
        cmocka_unit_test(a_message_goes_through_the_pipeline_before_streams_are_there),
        cmocka_unit_test(a_heartbeat_does_not_wait_behind_big_appends),
        cmocka_unit_test(a_process_that_ended_is_told_once_each_time),
        cmocka_unit_test(one_who_was_never_there_is_not_gone),
        cmocka_unit_test(a_restarted_member_is_found_again_and_runs_start_anew),
        cmocka_unit_test(streams_are_refused_in_etcds_order_and_words),
        cmocka_unit_test(a_stream_takes_the_place_of_the_one_before),
        cmocka_unit_test(strangers_are_few_and_leave_room_for_members),
        cmocka_unit_test(a_removed_member_is_told_so_by_those_it_dials),
        cmocka_unit_test(the_word_of_a_stranger_removes_nobody),
        cmocka_unit_test(another_clusters_members_do_not_meet),
        cmocka_unit_test(posted_messages_are_checked_by_what_they_say),
        cmocka_unit_test(a_snapshot_without_its_database_is_refused),
        cmocka_unit_test(a_stuck_peer_costs_bounded_memory),
        cmocka_unit_test(a_snapshot_arrives_whole_under_its_name),
        cmocka_unit_test(a_snapshot_whose_writer_gives_up_leaves_nothing),
        cmocka_unit_test(a_removed_addressee_ends_its_snapshot_and_says_so),
        cmocka_unit_test(a_receiver_that_stops_meanwhile_cleans_up),
        cmocka_unit_test(two_snapshots_of_one_index_do_not_mix),
        cmocka_unit_test(an_envelope_that_is_none_is_refused),
        cmocka_unit_test(a_short_request_is_answered_or_says_why_not),
    };
    (void)signal(SIGPIPE, SIG_IGN); /* as the server does: pipes end here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
