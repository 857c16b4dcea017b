/* SPDX-License-Identifier: Apache-2.0 */
/* Transports on loopback: see lib_nodes.h. */
#include "lib_nodes.h"

#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"

#define CHECK_MS    5u
#define DEADLINE_MS 30000u

static void on_check(void *ctx)
{
    struct world *world = ctx;
    if (world->is_done != NULL && world->is_done(world->ctx)) {
        loop_stop(world->loop);
        return;
    }
    loop_timer_set(&world->check, CHECK_MS);
}

static void on_deadline(void *ctx)
{
    struct world *world = ctx;
    world->timed_out = true;
    loop_stop(world->loop);
}

void world_init(struct world *world)
{
    struct err err;
    *world = (struct world){.read_timeout_ms = 3000};
    assert_int_equal(loop_new(&world->loop, &err), 0);
    loop_timer_init(world->loop, &world->check, on_check, world);
    loop_timer_init(world->loop, &world->deadline, on_deadline, world);
    char name[] = "/tmp/quorate-peer-XXXXXX";
    assert_non_null(mkdtemp(name));
    world->dir = str_dup(name);
}

void world_free(struct world *world)
{
    world_pass(world, 20); /* what was posted meanwhile runs, so that nothing of it is left */
    loop_free(world->loop);
    rmdir(world->dir);
    mem_free(world->dir);
}

void world_until(struct world *world, bool (*is_done)(void *ctx), void *ctx)
{
    world->is_done = is_done;
    world->ctx = ctx;
    world->timed_out = false;
    loop_timer_set(&world->check, 0);
    loop_timer_set(&world->deadline, DEADLINE_MS);
    loop_run(world->loop);
    loop_timer_cancel(&world->check);
    loop_timer_cancel(&world->deadline);
    assert_false(world->timed_out);
}

void world_pass(struct world *world, uint64_t ms)
{
    world->is_done = NULL;
    loop_timer_set(&world->deadline, ms);
    loop_run(world->loop);
}

/* ---- what a transport tells ---- */

static void on_message(void *ctx, struct raft_message *message)
{
    struct node *node = ctx;
    assert_true(node->message_count < NODE_MESSAGES_MAX);
    node->messages[node->message_count++] = *message;
    *message = (struct raft_message){0};
}

static void on_snapshot(void *ctx, struct raft_message *message, const char *db_path)
{
    struct node *node = ctx;
    mem_free(node->snapshot_path);
    node->snapshot_path = str_dup(db_path);
    raft_message_clear(&node->snapshot);
    node->snapshot = *message;
    *message = (struct raft_message){0};
}

static void on_unreachable(void *ctx, uint64_t id)
{
    struct node *node = ctx;
    (void)id;
    node->unreachable_count++;
}

static void on_gone(void *ctx, uint64_t id)
{
    struct node *node = ctx;
    (void)id;
    node->gone_count++;
}

static void on_snapshot_status(void *ctx, uint64_t id, bool delivered)
{
    struct node *node = ctx;
    (void)id;
    node->delivered_count += delivered ? 1 : 0;
    node->undelivered_count += delivered ? 0 : 1;
}

static void on_removed(void *ctx)
{
    ((struct node *)ctx)->removed_count++;
}

static bool is_removed(void *ctx, uint64_t id)
{
    return ((struct node *)ctx)->removed_id == id && id != RAFT_NO_ID;
}

/* ---- the port ---- */

static void on_head(void *ctx, struct http1_request *request)
{
    (void)peer_handle_head(((struct node *)ctx)->transport, request);
}

static void on_request(void *ctx, struct http1_request *request)
{
    if (!peer_handle_request(((struct node *)ctx)->transport, request)) {
        http1_respond_error(request, 404, "404 page not found");
    }
}

static void on_over(void *ctx, struct http1_request *request, bool completed)
{
    peer_handle_over(((struct node *)ctx)->transport, request, completed);
}

static void on_accept(void *ctx, int fd)
{
    struct node *node = ctx;
    static const struct stream_events none = {0};
    struct stream *stream = stream_adopt(node->world->loop, fd, NULL, &none, NULL);
    http1_server_adopt(node->http, stream, (struct bytes){NULL, 0}, NULL, NULL);
}

void node_start(struct world *world, struct node *node, uint64_t id)
{
    struct url url;
    struct err err;
    node->world = world;
    node->id = id;
    node->cluster_id = node->cluster_id != 0 ? node->cluster_id : WORLD_CLUSTER;
    if (node->snap_dir == NULL) {
        node->snap_dir = str_printf("%s/%" PRIx64, world->dir, id);
        assert_int_equal(mkdir(node->snap_dir, 0700), 0);
    }
    assert_int_equal(url_parse(node->url[0] == '\0' ? "http://127.0.0.1:0" : node->url, &url, &err),
                     0);
    const struct http1_server_config http = {.loop = world->loop,
                                             .ctx = node,
                                             .body_bytes_max = 64u * 1024 * 1024,
                                             .on_head = on_head,
                                             .on_request = on_request,
                                             .on_over = on_over};
    node->http = http1_server_new(&http);
    const struct listener_config listen = {
        .loop = world->loop, .url = &url, .accept = on_accept, .ctx = node};
    assert_int_equal(listener_open(&listen, &node->listener, &err), 0);
    snprintf(node->url, sizeof(node->url), "http://127.0.0.1:%u", listener_port(node->listener));
    const struct peer_transport_config config = {
        .loop = world->loop,
        .disk = disk_posix(),
        .self_id = id,
        .cluster_id = node->cluster_id,
        .server_version = "3.6.14",
        .min_cluster_version = "3.0.0",
        .self_peer_urls = node->url,
        .snap_dir = node->snap_dir,
        .read_timeout_ms = world->read_timeout_ms,
        .ctx = node,
        .on_message = on_message,
        .on_snapshot = on_snapshot,
        .on_unreachable = on_unreachable,
        .on_gone = on_gone,
        .on_snapshot_status = on_snapshot_status,
        .on_removed = on_removed,
        .is_removed = is_removed,
    };
    node->transport = peer_transport_new(&config);
}

void node_stop(struct node *node)
{
    listener_free(node->listener);
    node->listener = NULL;
    http1_server_free(node->http);
    node->http = NULL;
    peer_transport_free(node->transport);
    node->transport = NULL;
}

static void remove_files(const char *dir)
{
    DIR *listing = opendir(dir);
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        char *path = str_printf("%s/%s", dir, entry->d_name);
        (void)unlink(path);
        mem_free(path);
    }
    closedir(listing);
    rmdir(dir);
}

void node_free(struct node *node)
{
    if (node->transport != NULL) {
        node_stop(node);
    }
    for (size_t i = 0; i < node->message_count; i++) {
        raft_message_clear(&node->messages[i]);
    }
    raft_message_clear(&node->snapshot);
    remove_files(node->snap_dir);
    mem_free(node->snap_dir);
    mem_free(node->snapshot_path);
    mem_free(node);
}

void node_knows(struct node *node, const struct node *other)
{
    const char *urls[] = {other->url};
    peer_add(node->transport, other->id, urls, 1);
}

void node_send_append(struct node *node, uint64_t to, uint64_t index, size_t bytes)
{
    uint8_t *data = mem_zalloc(bytes + 1);
    struct raft_message message = {.type = RAFT_MSG_APP,
                                   .from = node->id,
                                   .to = to,
                                   .term = 7,
                                   .log_term = 7,
                                   .index = index - 1,
                                   .commit = index - 1,
                                   .entry_count = 1};
    message.entries = mem_zalloc(sizeof(*message.entries));
    message.entries[0] = (struct raft_entry){
        .index = index, .term = 7, .payload = raft_payload_new(bytes_of(data, bytes))};
    mem_free(data);
    peer_send(node->transport, &message, 1);
    assert_null(message.entries); /* taken, whatever becomes of it */
}

void node_send_heartbeat(struct node *node, uint64_t to, uint64_t commit)
{
    struct raft_message message = {
        .type = RAFT_MSG_HEARTBEAT, .from = node->id, .to = to, .term = 7, .commit = commit};
    peer_send(node->transport, &message, 1);
}

size_t node_file_count(const struct node *node)
{
    size_t count = 0;
    DIR *listing = opendir(node->snap_dir);
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        count += entry->d_name[0] != '.' ? 1 : 0;
    }
    closedir(listing);
    return count;
}
