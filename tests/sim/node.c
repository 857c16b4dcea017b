/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members: each slot has a disk, clocks and a life after another. A life begins with server_run on
 * a fiber and ends when that returns, when the code ends the process, or when somebody kills it; at
 * its end all that it held goes at once, except its disk.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "engine/server/server.h"
#include "tests/sim/sim_internal.h"

#define LEAKS_TOLD_MAX 12u
#define WRITE_NS       20000u /* of a disk until sim_disk_set_faults says else */
#define SYNC_NS        300000u

struct node {
    struct sim_life *life; /* NULL: it does not run */
    uint64_t lives;
    enum sim_node_state state;
    char why[512], last_words[512];
    struct server_config *config; /* of the life that runs or ran last */
    struct server *server;
    struct grpc_server *grpc; /* behind the open client port */
    int signal_number;
    bool failed_to_start;
    struct sim_disk *disk;
    struct disk_seam seam;
    struct rng disk_rng;
    uint64_t disk_calls_left, allocations_left; /* 0: nothing happens */
    char peer_url[40], client_url[40];
};

static struct node nodes[SIM_NODES_MAX];

static struct {
    sim_call_tap tap;
    void *ctx;
} calls;

static struct node *node_at(int number)
{
    ASSERT(number >= 0 && number < SIM_NODES_MAX);
    return &nodes[number];
}

/* ---- configurations ---- */

static char *copy_text(const char *text)
{
    return str_dup(text == NULL ? "" : text);
}

static void copy_urls(struct config_urls *to, const struct config_urls *from)
{
    for (uint32_t i = 0; i < from->count; i++) {
        to->urls[i] = str_dup(from->urls[i]);
    }
}

static struct server_config *config_copy(const struct server_config *from)
{
    struct server_config *copy = mem_dup(from, sizeof(*from));
    copy->name = copy_text(from->name);
    copy->data_dir = copy_text(from->data_dir);
    copy->wal_dir = copy_text(from->wal_dir);
    copy->initial_cluster = copy_text(from->initial_cluster);
    copy->initial_cluster_token = copy_text(from->initial_cluster_token);
    copy_urls(&copy->listen_client_urls, &from->listen_client_urls);
    copy_urls(&copy->listen_peer_urls, &from->listen_peer_urls);
    copy_urls(&copy->listen_metrics_urls, &from->listen_metrics_urls);
    copy_urls(&copy->advertise_client_urls, &from->advertise_client_urls);
    copy_urls(&copy->initial_advertise_peer_urls, &from->initial_advertise_peer_urls);
    return copy;
}

static void free_urls(struct config_urls *urls)
{
    for (uint32_t i = 0; i < urls->count; i++) {
        mem_free(urls->urls[i]);
    }
}

static void copy_free(struct server_config *copy)
{
    if (copy == NULL) {
        return;
    }
    const char *texts[] = {copy->name, copy->data_dir, copy->wal_dir, copy->initial_cluster,
                           copy->initial_cluster_token};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        mem_free((void *)(uintptr_t)texts[i]);
    }
    free_urls(&copy->listen_client_urls);
    free_urls(&copy->listen_peer_urls);
    free_urls(&copy->listen_metrics_urls);
    free_urls(&copy->advertise_client_urls);
    free_urls(&copy->initial_advertise_peer_urls);
    mem_free(copy);
}

/* ---- the disk as a node sees it ---- */

static void on_disk_spend(void *ctx, uint64_t ns)
{
    (void)ctx;
    sim_spend_ns(ns);
}

static void on_disk_call(void *ctx, const char *what, const char *path)
{
    struct node *node = ctx;
    if (node->life == NULL || node->life != sim_life_now() || node->disk_calls_left == 0 ||
        --node->disk_calls_left > 0) {
        return;
    }
    char why[256];
    snprintf(why, sizeof(why), "killed at a disk call: %s %s", what, path);
    sim_die(false, why);
}

int node_call_fails(enum sim_call_kind kind)
{
    return calls.tap == NULL || sim_node() == SIM_NOBODY ? 0
                                                         : calls.tap(calls.ctx, sim_node(), kind);
}

static int on_disk_fails(void *ctx, enum sim_call_kind kind)
{
    (void)ctx;
    return node_call_fails(kind);
}

static int on_send(void *ctx)
{
    (void)ctx;
    return node_call_fails(SIM_CALL_SEND);
}

void sim_set_call_tap(sim_call_tap tap, void *ctx)
{
    calls.tap = tap;
    calls.ctx = ctx;
    sim_net_set_send_tap(tap == NULL ? NULL : on_send, NULL);
}

static const struct disk_seam *inner(const struct node *node)
{
    return sim_disk_seam(node->disk);
}

static const struct disk_seam *inner_now(void)
{
    return inner(node_at(sim_node()));
}

/* Time passes behind each call of what has a stack of its own, so that starts and the world mix. */
static int settled(int rc)
{
    fiber_settle();
    return rc;
}

static int seam_open(void *ctx, const char *path, enum disk_open_mode mode,
                     struct disk_file **out_file)
{
    const struct disk_seam *disk = inner(ctx);
    return settled(disk->open(disk->ctx, path, mode, out_file));
}

static void seam_close(struct disk_file *file)
{
    inner_now()->close(file);
}

static int seam_read_at(struct disk_file *file, uint64_t offset, void *data, size_t size,
                        size_t *out_read)
{
    return settled(inner_now()->read_at(file, offset, data, size, out_read));
}

static int seam_write_at(struct disk_file *file, uint64_t offset, const void *data, size_t size)
{
    return settled(inner_now()->write_at(file, offset, data, size));
}

static int seam_sync(struct disk_file *file)
{
    return settled(inner_now()->sync(file));
}

static int seam_truncate(struct disk_file *file, uint64_t size)
{
    return settled(inner_now()->truncate(file, size));
}

static int seam_size(struct disk_file *file, uint64_t *out_size)
{
    return inner_now()->size(file, out_size);
}

static int seam_lock(struct disk_file *file)
{
    return inner_now()->lock(file);
}

static int seam_rename(void *ctx, const char *from, const char *to)
{
    const struct disk_seam *disk = inner(ctx);
    return settled(disk->rename(disk->ctx, from, to));
}

static int seam_remove(void *ctx, const char *path)
{
    const struct disk_seam *disk = inner(ctx);
    return settled(disk->remove(disk->ctx, path));
}

static int seam_make_dir(void *ctx, const char *path)
{
    const struct disk_seam *disk = inner(ctx);
    return settled(disk->make_dir(disk->ctx, path));
}

static int seam_list_dir(void *ctx, const char *path, disk_list_fn each, void *each_ctx)
{
    const struct disk_seam *disk = inner(ctx);
    return disk->list_dir(disk->ctx, path, each, each_ctx);
}

static int seam_sync_dir(void *ctx, const char *path)
{
    const struct disk_seam *disk = inner(ctx);
    return settled(disk->sync_dir(disk->ctx, path));
}

static int seam_free_bytes(void *ctx, const char *path, uint64_t *out_bytes)
{
    const struct disk_seam *disk = inner(ctx);
    return disk->free_bytes(disk->ctx, path, out_bytes);
}

const struct disk_seam *disk_posix(void)
{
    return &node_at(sim_node())->seam;
}

struct sim_disk *sim_disk_of_current(void)
{
    return node_at(sim_node())->disk;
}

static void disk_new(struct node *node)
{
    const struct sim_disk_hooks hooks = {node, on_disk_spend, on_disk_call};
    rng_seed(&node->disk_rng, rng_next(sim_rng(SIM_RNG_DISK)));
    node->disk = sim_disk_new(&node->disk_rng, &hooks);
    struct sim_disk_faults faults = *sim_disk_faults(node->disk);
    faults.write_ns = WRITE_NS;
    faults.sync_ns = SYNC_NS;
    sim_disk_set_faults(node->disk, &faults);
    sim_disk_set_fails(node->disk, on_disk_fails, NULL);
    node->seam = (struct disk_seam){
        .ctx = node,
        .open = seam_open,
        .close = seam_close,
        .read_at = seam_read_at,
        .write_at = seam_write_at,
        .sync = seam_sync,
        .truncate = seam_truncate,
        .size = seam_size,
        .lock = seam_lock,
        .rename = seam_rename,
        .remove = seam_remove,
        .make_dir = seam_make_dir,
        .list_dir = seam_list_dir,
        .sync_dir = seam_sync_dir,
        .free_bytes = seam_free_bytes,
    };
}

/* ---- beginning and end of the world ---- */

void nodes_begin(void)
{
    memset(nodes, 0, sizeof(nodes));
    calls.tap = NULL;
    for (int i = 0; i < SIM_NODES_MAX; i++) {
        struct node *node = &nodes[i];
        snprintf(node->peer_url, sizeof(node->peer_url), "http://10.0.0.%d:2380", i + 1);
        snprintf(node->client_url, sizeof(node->client_url), "http://10.0.0.%d:2379", i + 1);
        disk_new(node);
    }
}

void nodes_end(void)
{
    for (int i = 0; i < SIM_NODES_MAX; i++) {
        if (nodes[i].life != NULL) {
            sim_node_kill(i);
        }
        sim_disk_free(nodes[i].disk);
        copy_free(nodes[i].config);
    }
    memset(nodes, 0, sizeof(nodes));
}

/* ---- lives ---- */

bool sim_node_failed_to_start(int number)
{
    return node_at(number)->failed_to_start;
}

struct sim_life *node_life(int number)
{
    return node_at(number)->life;
}

uint64_t sim_life(int number)
{
    return node_at(number)->lives;
}

bool node_is_paused(int number)
{
    return node_at(number)->state == SIM_NODE_PAUSED;
}

void node_set_server(struct server *server)
{
    node_at(sim_node())->server = server;
}

void node_set_grpc(struct grpc_server *grpc)
{
    node_at(sim_node())->grpc = grpc;
}

struct grpc_server *node_grpc(int number)
{
    return node_at(number)->grpc;
}

void node_remember_why(const char *text)
{
    if (sim_node() != SIM_NOBODY) {
        struct node *node = node_at(sim_node());
        snprintf(node->last_words, sizeof(node->last_words), "%s", text);
    }
}

int node_take_signal(void)
{
    struct node *node = node_at(sim_node());
    int number = node->signal_number;
    node->signal_number = 0;
    return number;
}

void node_allocates(void)
{
    struct node *node = node_at(sim_node());
    if ((node->allocations_left > 0 && --node->allocations_left == 0) ||
        node_call_fails(SIM_CALL_ALLOCATE) != 0) {
        sim_die(true, "out of memory: the process stops");
    }
}

static void main_of_node(void *ctx)
{
    struct node *node = ctx;
    struct err err = {{0}};
    int signal_number = 0;
    int rc = server_run(node->config, &signal_number, &err);
    node->server = NULL;
    node->state = rc == 0 ? SIM_NODE_OFF : SIM_NODE_DEAD;
    node->failed_to_start = rc != 0;
    snprintf(node->why, sizeof(node->why), "%s", rc == 0 ? "" : err.text);
    sim_note(rc == 0 ? "has stopped" : "failed to start: %s", node->why);
}

void sim_node_start(int number, const struct server_config *config)
{
    struct node *node = node_at(number);
    ASSERT(node->life == NULL && sim_node() == SIM_NOBODY);
    copy_free(node->config);
    node->config = config_copy(config);
    struct sim_life *life = mem_zalloc(sizeof(*life));
    life->node = number;
    life->number = ++node->lives;
    life->region = region_new();
    list_init(&life->loops);
    list_init(&life->fibers);
    list_init(&life->channels);
    node->life = life;
    node->state = SIM_NODE_RUNNING;
    node->why[0] = node->last_words[0] = '\0';
    node->server = NULL;
    node->grpc = NULL;
    node->signal_number = 0;
    node->failed_to_start = false;
    sim_note("n%d starts, life %llu", number, (unsigned long long)life->number);
    life->main = fiber_start(life, main_of_node, node, sim_now_ns());
}

static void check_leaks(int number, const struct sim_life *life)
{
    uint64_t live = region_live(life->region);
    if (live > 0) {
        sim_violation("leaks", "n%d left %llu allocations when it had stopped", number,
                      (unsigned long long)live);
        region_tell(life->region, LEAKS_TOLD_MAX);
    }
}

void node_ended(int number, bool is_fatal, const char *why)
{
    struct node *node = node_at(number);
    struct sim_life *life = node->life;
    bool was_paused = node->state == SIM_NODE_PAUSED;
    life->ended = true;
    node->server = NULL;
    node->grpc = NULL;
    node->disk_calls_left = node->allocations_left = 0;
    if (why != NULL) {
        bool has_words = is_fatal && node->last_words[0] != '\0';
        node->state = SIM_NODE_DEAD;
        snprintf(node->why, sizeof(node->why), "%s", has_words ? node->last_words : why);
        sim_note("n%d %s: %s", number, is_fatal ? "ended itself" : "died", node->why);
    }
    node->life = NULL;
    clients_node_died(number);
    sim_net_node_died(number);
    sim_disk_process_died(node->disk);
    if (why == NULL) {
        check_leaks(number, life);
    }
    fiber_free_all(life);
    loops_free_all(life);
    channels_free_all(life);
    region_free(life->region);
    mem_free(life);
    if (was_paused) {
        events_pause(number, false); /* to be dropped */
    }
}

/* ---- what others do to it ---- */

void sim_node_kill(int number)
{
    ASSERT(sim_node() == SIM_NOBODY);
    if (node_at(number)->life != NULL) {
        node_ended(number, false, "killed");
    }
}

void sim_node_power_cut(int number)
{
    struct node *node = node_at(number);
    ASSERT(sim_node() == SIM_NOBODY);
    if (node->life != NULL) {
        node_ended(number, false, "power cut");
    }
    sim_disk_power_cut(node->disk, SIM_CUT_SUBSET);
}

void sim_node_pause(int number, bool on)
{
    struct node *node = node_at(number);
    enum sim_node_state from = on ? SIM_NODE_RUNNING : SIM_NODE_PAUSED;
    if (node->state == from) {
        node->state = on ? SIM_NODE_PAUSED : SIM_NODE_RUNNING;
        sim_note("n%d %s", number, on ? "is paused" : "goes on");
        events_pause(number, on);
    }
}

static void wake_main(void *ctx)
{
    (void)ctx;
    fiber_wake(sim_life_now()->main, sim_now_ns());
}

void sim_node_stop(int number)
{
    struct node *node = node_at(number);
    if (node->life != NULL) {
        sim_note("n%d is asked to stop", number);
        node->signal_number = SIGTERM;
        sim_at_life(sim_now_ns(), number, wake_main, NULL, NULL);
    }
}

void sim_node_kill_at_disk_call(int number, uint64_t k)
{
    node_at(number)->disk_calls_left = k;
}

void sim_node_fail_at_allocation(int number, uint64_t k)
{
    node_at(number)->allocations_left = k;
}

enum sim_node_state sim_node_state(int number)
{
    return node_at(number)->state;
}

const char *sim_node_why(int number)
{
    return node_at(number)->why;
}

void sim_node_forget(int number)
{
    struct node *node = node_at(number);
    ASSERT(node->life == NULL);
    struct sim_disk_faults kept = *sim_disk_faults(node->disk);
    sim_disk_free(node->disk);
    disk_new(node);
    sim_disk_set_faults(node->disk, &kept);
    node->state = SIM_NODE_OFF;
    node->why[0] = '\0';
}

const char *sim_node_url(int number, bool peer)
{
    return peer ? node_at(number)->peer_url : node_at(number)->client_url;
}

int sim_node_of_url(const char *url)
{
    for (int i = 0; i < SIM_NODES_MAX; i++) {
        if (strcmp(url, nodes[i].peer_url) == 0 || strcmp(url, nodes[i].client_url) == 0) {
            return i;
        }
    }
    return SIM_NOBODY;
}

struct server *sim_node_server(int number)
{
    const struct node *node = node_at(number);
    return node->life == NULL ? NULL : node->server;
}

struct sim_disk *sim_node_disk(int number)
{
    return node_at(number)->disk;
}
