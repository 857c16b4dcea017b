/* SPDX-License-Identifier: Apache-2.0 */
/* See lib_world.h. */
#include "lib_world.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "engine/server/worker.h"
#include "tests/sim/net_internal.h"

#define EVENTS_MAX 200000u

struct event {
    uint64_t at_ns, sequence;
    sim_fn fn, drop;
    void *ctx;
    int node; /* SIM_NOBODY: outside */
    uint64_t life;
};

struct test_node nodes[SIM_NODES_MAX];

static struct {
    struct event *events;
    size_t count;
    uint64_t now_ns, sequence, hash, drops;
    struct rng rngs[SIM_RNG_COUNT];
    int node;
    int memory_depth;
    struct list *memory_kept;
    jmp_buf death;
} world;

/* ---- events: a binary heap ---- */

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->sequence < b->sequence;
}

static void swap(size_t i, size_t j)
{
    struct event kept = world.events[i];
    world.events[i] = world.events[j];
    world.events[j] = kept;
}

static void event_add(struct event event)
{
    assert_true(world.count < EVENTS_MAX);
    event.at_ns = BASE_MAX(event.at_ns, world.now_ns);
    event.sequence = world.sequence++;
    size_t at = world.count++;
    world.events[at] = event;
    while (at > 0 && is_before(&world.events[at], &world.events[(at - 1) / 2])) {
        swap(at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static struct event event_take(void)
{
    struct event first = world.events[0];
    world.events[0] = world.events[--world.count];
    for (size_t at = 0;;) {
        size_t best = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2; child++) {
            if (child < world.count && is_before(&world.events[child], &world.events[best])) {
                best = child;
            }
        }
        if (best == at) {
            return first;
        }
        swap(at, best);
        at = best;
    }
}

uint64_t sim_now_ns(void)
{
    return world.now_ns;
}

void sim_at(uint64_t at_ns, sim_fn fn, void *ctx)
{
    event_add((struct event){.at_ns = at_ns, .fn = fn, .ctx = ctx, .node = SIM_NOBODY});
}

void sim_at_life(uint64_t at_ns, int node, sim_fn fn, void *ctx, sim_fn drop)
{
    event_add((struct event){.at_ns = at_ns,
                             .fn = fn,
                             .drop = drop,
                             .ctx = ctx,
                             .node = node,
                             .life = nodes[node].life});
}

/* ---- whose code runs ---- */

int sim_node(void)
{
    return world.node;
}

uint64_t sim_life(int node)
{
    return nodes[node].life;
}

struct rng *sim_rng(enum sim_rng_use use)
{
    return &world.rngs[use];
}

void sim_memory_world(void)
{
    if (world.memory_depth++ == 0) {
        world.memory_kept = memory_now();
        memory_use(NULL);
    }
}

void sim_memory_back(void)
{
    assert_true(world.memory_depth > 0);
    if (--world.memory_depth == 0) {
        memory_use(world.memory_kept);
    }
}

void sim_trace(uint64_t word)
{
    world.hash = (world.hash ^ word ^ world.now_ns) * UINT64_C(0x9e3779b97f4a7c15);
    world.hash ^= world.hash >> 29;
}

void sim_note(const char *format, ...)
{
    (void)format;
}

uint64_t world_hash(void)
{
    return world.hash;
}

uint64_t world_drops(void)
{
    return world.drops;
}

int sim_node_of_url(const char *url)
{
    int host;
    int port;
    return sscanf(url, "http://10.0.0.%d:%d", &host, &port) == 2 && host >= 1 &&
                   host <= SIM_NODES_MAX
               ? host - 1
               : SIM_NOBODY;
}

static void node_die(int node);

void world_in(int node, void (*fn)(void *ctx), void *ctx)
{
    assert_int_equal(world.node, SIM_NOBODY);
    world.node = node;
    memory_use(&nodes[node].region);
    bool died = setjmp(world.death) != 0;
    if (!died) {
        fn(ctx);
        assert_int_equal(world.memory_depth, 0); /* no node's code runs inside of the brackets */
    }
    int was = world.node;
    world.node = SIM_NOBODY;
    world.memory_depth = 0;
    memory_use(NULL);
    if (died) {
        node_die(was);
    }
}

void sim_die(bool is_fatal, const char *why)
{
    (void)is_fatal;
    (void)why;
    longjmp(world.death, 1);
}

static void run(const struct event *event)
{
    if (event->node == SIM_NOBODY) {
        event->fn(event->ctx);
        assert_int_equal(world.memory_depth, 0);
    } else if (event->life != nodes[event->node].life || !nodes[event->node].is_running) {
        world.drops++;
        if (event->drop != NULL) {
            event->drop(event->ctx);
        }
    } else if (nodes[event->node].is_paused) {
        struct event later = *event;
        later.at_ns = world.now_ns + MS;
        event_add(later);
    } else {
        world_in(event->node, event->fn, event->ctx);
    }
}

void world_run_ms(uint64_t ms)
{
    uint64_t until = world.now_ns + ms * MS;
    while (world.count > 0 && world.events[0].at_ns <= until) {
        struct event event = event_take();
        world.now_ns = event.at_ns;
        run(&event);
    }
    world.now_ns = until;
}

/* ---- loops ---- */

struct loop {
    int node;
    struct heap timers;
};

struct job {
    loop_fn fn;
    void *ctx;
};

static void run_posted(void *ctx)
{
    struct job posted = *(struct job *)ctx;
    mem_free(ctx);
    posted.fn(posted.ctx);
}

void loop_post(struct loop *loop, loop_fn fn, void *ctx)
{
    struct job *posted = mem_alloc(sizeof(*posted));
    *posted = (struct job){fn, ctx};
    assert_int_equal(loop->node, world.node);
    sim_at_life(world.now_ns + 1000, loop->node, run_posted, posted, NULL);
}

uint64_t loop_clock_ns(void)
{
    return world.now_ns;
}

uint64_t loop_now_ms(const struct loop *loop)
{
    (void)loop;
    return world.now_ns / MS;
}

void loop_timer_init(struct loop *loop, struct loop_timer *timer, loop_fn fn, void *ctx)
{
    *timer = (struct loop_timer){.loop = loop, .fn = fn, .ctx = ctx};
    heap_node_init(&timer->node);
}

static void run_timers(void *ctx)
{
    struct loop *loop = ctx;
    for (struct heap_node *top = heap_top(&loop->timers);
         top != NULL && top->key <= world.now_ns / MS; top = heap_top(&loop->timers)) {
        struct loop_timer *timer = CONTAINER_OF(top, struct loop_timer, node);
        heap_remove(&loop->timers, top);
        timer->fn(timer->ctx);
    }
}

void loop_timer_set(struct loop_timer *timer, uint64_t delay_ms)
{
    uint64_t due = world.now_ns / MS + delay_ms;
    loop_timer_cancel(timer);
    heap_set(&timer->loop->timers, &timer->node, due);
    sim_at_life(due * MS, timer->loop->node, run_timers, timer->loop, NULL);
}

void loop_timer_cancel(struct loop_timer *timer)
{
    if (timer->loop != NULL && heap_contains(&timer->node)) {
        heap_remove(&timer->loop->timers, &timer->node);
    }
}

/* ---- channels: all bytes are there from the beginning ---- */

struct channel {
    struct buf data;
    bool is_open;
};

static struct channel channels[64];
static size_t channel_count;

int channel_of(const void *data, size_t size)
{
    sim_memory_world();
    struct channel *channel = &channels[channel_count++];
    buf_init(&channel->data, BUF_NO_LIMIT);
    buf_append(&channel->data, data, size);
    channel->is_open = true;
    sim_memory_back();
    return 1000 + (int)channel_count - 1;
}

ssize_t channel_read(int fd, void *data, size_t size)
{
    struct channel *channel = &channels[fd - 1000];
    assert_true(channel->is_open);
    size = BASE_MIN(size, channel->data.size);
    memcpy(data, channel->data.data, size);
    buf_consume(&channel->data, size);
    return (ssize_t)size;
}

void channel_close(int fd)
{
    struct channel *channel = &channels[fd - 1000];
    assert_true(channel->is_open);
    channel->is_open = false;
    buf_free(&channel->data);
}

/* The one who watches here is the sender of a snapshot; its memory may be gone when it stops. */
static struct loop_fd *watchers[64];
static size_t watcher_count;

static void pump(void *ctx)
{
    struct loop *loop = ctx;
    bool again = false;
    for (size_t i = 0; i < watcher_count; i++) {
        if (watchers[i] != NULL && watchers[i]->loop == loop &&
            (watchers[i]->events & LOOP_READABLE) != 0) {
            watchers[i]->fn(watchers[i]->ctx, LOOP_READABLE);
            again = true;
        }
    }
    if (again) {
        loop_post(loop, pump, loop);
    }
}

static void later_turn(struct loop_fd *watched)
{
    loop_post(watched->loop, pump, watched->loop);
}

int loop_add(struct loop *loop, struct loop_fd *watched, int fd, uint32_t events, loop_fd_fn fn,
             void *ctx)
{
    *watched = (struct loop_fd){.loop = loop, .fd = fd, .events = events, .fn = fn, .ctx = ctx};
    assert_true(watcher_count < ARRAY_COUNT(watchers));
    watchers[watcher_count++] = watched;
    later_turn(watched);
    return 0;
}

void loop_set_events(struct loop_fd *watched, uint32_t events)
{
    bool starts = watched->events == 0 && events != 0;
    watched->events = events;
    if (starts) {
        later_turn(watched);
    }
}

void loop_remove(struct loop_fd *watched)
{
    for (size_t i = 0; i < watcher_count; i++) {
        watchers[i] = watchers[i] == watched ? NULL : watchers[i];
    }
    watched->loop = NULL;
}

/* ---- a disk that notes: o open, w write, s sync, r rename, d sync_dir, c close, x remove ---- */

struct disk_file {
    int node;
};

static void note_call(int node, char letter)
{
    sim_memory_world();
    buf_append_byte(&nodes[node].disk_calls, (uint8_t)letter);
    sim_memory_back();
    if (nodes[node].die_at_disk_call > 0 && --nodes[node].die_at_disk_call == 0) {
        sim_die(false, "killed at a call of the disk");
    }
}

static int disk_open(void *ctx, const char *path, enum disk_open_mode mode,
                     struct disk_file **out_file)
{
    assert_non_null(strstr(path, "/recv-"));
    assert_int_equal(mode, DISK_CREATE);
    *out_file = mem_zalloc(sizeof(**out_file));
    (*out_file)->node = (int)(intptr_t)ctx;
    buf_clear(&nodes[(*out_file)->node].snapshot_bytes);
    note_call((*out_file)->node, 'o');
    return 0;
}

static void disk_close(struct disk_file *file)
{
    int node = file->node;
    mem_free(file);
    note_call(node, 'c');
}

static int disk_write(struct disk_file *file, uint64_t offset, const void *data, size_t size)
{
    struct buf *bytes = &nodes[file->node].snapshot_bytes;
    assert_int_equal(offset, bytes->size);
    sim_memory_world();
    buf_append(bytes, data, size);
    sim_memory_back();
    note_call(file->node, 'w');
    return 0;
}

static int disk_sync(struct disk_file *file)
{
    note_call(file->node, 's');
    return 0;
}

static int disk_rename(void *ctx, const char *from, const char *to)
{
    assert_non_null(strstr(from, ".tmp"));
    assert_non_null(strstr(to, ".snap.db"));
    note_call((int)(intptr_t)ctx, 'r');
    return 0;
}

static int disk_remove(void *ctx, const char *path)
{
    assert_non_null(strstr(path, ".tmp"));
    note_call((int)(intptr_t)ctx, 'x');
    return 0;
}

static int disk_sync_dir(void *ctx, const char *path)
{
    assert_non_null(path);
    note_call((int)(intptr_t)ctx, 'd');
    return 0;
}

static struct disk_seam seams[SIM_NODES_MAX];

/* ---- nodes ---- */

static int slot_of(const void *ctx)
{
    return (int)((const struct test_node *)ctx - nodes);
}

static void on_message(void *ctx, struct raft_message *message)
{
    struct test_node *node = ctx;
    assert_int_equal(world.node, slot_of(ctx));
    assert_true(node->message_count < MESSAGES_MAX);
    node->messages[node->message_count++] = (struct told){
        .from = -1,
        .to = slot_of(ctx),
        .from_id = message->from,
        .to_id = message->to,
        .index = message->index,
        .at_ns = world.now_ns,
        .life = node->life,
        .type = message->type,
        .entry_bytes = message->entry_count > 0 ? raft_entry_bytes(&message->entries[0]).size : 0};
    raft_message_clear(message);
}

static void on_snapshot(void *ctx, struct raft_message *message, const char *path)
{
    struct test_node *node = ctx;
    snprintf(node->snapshot_path, sizeof(node->snapshot_path), "%s", path);
    node->snapshot_index = message->snapshot->index;
    raft_message_clear(message);
}

static void on_unreachable(void *ctx, uint64_t id)
{
    (void)id;
    ((struct test_node *)ctx)->unreachable++;
}

static void on_snapshot_status(void *ctx, uint64_t id, bool delivered)
{
    struct test_node *node = ctx;
    (void)id;
    node->delivered += delivered ? 1 : 0;
    node->undelivered += delivered ? 0 : 1;
}

static void on_removed(void *ctx)
{
    ((struct test_node *)ctx)->removed++;
}

static bool is_removed(void *ctx, uint64_t id)
{
    return id != RAFT_NO_ID && ((struct test_node *)ctx)->removed_id == id;
}

static void on_head(void *ctx, struct http1_request *request)
{
    (void)peer_handle_head(((struct test_node *)ctx)->transport, request);
}

static void on_request(void *ctx, struct http1_request *request)
{
    struct test_node *node = ctx;
    const char *path = http1_path(request);
    char value[32];
    if (peer_handle_request(node->transport, request)) {
        return;
    }
    node->http_requests++;
    http1_set_header(request, "X-Etcd-Cluster-ID", "abcdef");
    if (strcmp(path, "/members") == 0) {
        http1_respond(request, 200, "application/json", bytes_of_str("[]"));
    } else if (strcmp(path, "/echo a") == 0) {
        assert_true(http1_query_value(request, "q", value, sizeof(value)));
        assert_string_equal(value, "1 2/3");
        assert_string_equal(http1_header(request, "content-type"), "application/protobuf");
        assert_string_equal(http1_method(request), "POST");
        http1_respond(request, 200, NULL, http1_body(request));
    } else if (strcmp(path, "/slow") == 0) {
        node->mute_handle = http1_request_handle(request);
    } else {
        http1_respond_error(request, 404, "404 page not found");
    }
}

static void on_over(void *ctx, struct http1_request *request, bool completed)
{
    struct test_node *node = ctx;
    node->http_over++;
    node->http_incomplete += completed ? 0 : 1;
    if (node->mute_handle == http1_request_handle(request)) {
        node->mute_handle = 0;
    }
    peer_handle_over(node->transport, request, completed);
}

static void start_now(void *ctx)
{
    struct test_node *node = ctx;
    int slot = slot_of(ctx);
    char url[64];
    node->loop = mem_zalloc(sizeof(*node->loop));
    node->loop->node = slot;
    heap_init(&node->loop->timers);
    const struct http1_server_config http = {.loop = node->loop,
                                             .ctx = node,
                                             .on_head = on_head,
                                             .on_request = on_request,
                                             .on_over = on_over};
    node->http = http1_server_new(&http);
    sim_net_listen(node->http, 2380);
    snprintf(url, sizeof(url), "http://10.0.0.%d:2380", slot + 1);
    seams[slot] = (struct disk_seam){.ctx = (void *)(intptr_t)slot,
                                     .open = disk_open,
                                     .close = disk_close,
                                     .write_at = disk_write,
                                     .sync = disk_sync,
                                     .rename = disk_rename,
                                     .remove = disk_remove,
                                     .sync_dir = disk_sync_dir};
    const struct peer_transport_config config = {
        .loop = node->loop,
        .disk = &seams[slot],
        .self_id = node->id,
        .cluster_id = node->cluster_id,
        .server_version = "3.6.14",
        .min_cluster_version = "3.0.0",
        .self_peer_urls = url,
        .snap_dir = "snap",
        .ctx = node,
        .on_message = on_message,
        .on_snapshot = on_snapshot,
        .on_unreachable = on_unreachable,
        .on_snapshot_status = on_snapshot_status,
        .on_removed = on_removed,
        .is_removed = is_removed,
    };
    node->transport = peer_transport_new(&config);
}

void node_start(int slot, uint64_t id)
{
    struct test_node *node = &nodes[slot];
    assert_false(node->is_running);
    node->id = id;
    node->cluster_id = node->cluster_id == 0 ? CLUSTER : node->cluster_id;
    node->life++;
    node->is_running = true;
    node->is_paused = false;
    sim_net_node_died(slot); /* a life begins */
    world_in(slot, start_now, node);
}

static void node_die(int slot)
{
    struct test_node *node = &nodes[slot];
    node->is_running = false;
    for (size_t i = 0; i < watcher_count; i++) {
        if (watchers[i] != NULL && watchers[i]->loop == node->loop) {
            watchers[i] = NULL;
        }
    }
    sim_net_node_died(slot);
    memory_drop(&node->region);
    node->loop = NULL;
    node->transport = NULL;
    node->http = NULL;
}

void node_kill(int slot)
{
    assert_true(nodes[slot].is_running);
    node_die(slot);
}

void node_pause(int slot, bool on)
{
    nodes[slot].is_paused = on;
}

struct knowing {
    int slot, other;
    uint64_t id;
};

static void know_now(void *ctx)
{
    const struct knowing *knowing = ctx;
    char url[64];
    snprintf(url, sizeof(url), "http://10.0.0.%d:2380", knowing->other + 1);
    const char *urls[] = {url};
    peer_add(nodes[knowing->slot].transport, knowing->id, urls, 1);
}

void node_knows(int slot, int other, uint64_t other_id)
{
    struct knowing knowing = {slot, other, other_id};
    world_in(slot, know_now, &knowing);
}

static void forget_now(void *ctx)
{
    const struct knowing *knowing = ctx;
    peer_remove(nodes[knowing->slot].transport, knowing->id);
}

void node_forgets(int slot, uint64_t other_id)
{
    struct knowing knowing = {slot, SIM_NOBODY, other_id};
    world_in(slot, forget_now, &knowing);
}

void nodes_start(int count)
{
    for (int i = 0; i < count; i++) {
        node_start(i, 101 + (uint64_t)i);
    }
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < count; j++) {
            if (i != j) {
                node_knows(i, j, 101 + (uint64_t)j);
            }
        }
    }
    world_run_ms(1000);
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < count; j++) {
            assert_true(i == j || peer_active_since_ms(nodes[i].transport, 101 + (uint64_t)j) > 0);
        }
    }
}

struct sending {
    int slot;
    uint64_t to, index;
    enum raft_message_type type;
    size_t bytes;
};

static void send_now(void *ctx)
{
    const struct sending *sending = ctx;
    struct raft_message message = {.type = sending->type,
                                   .from = nodes[sending->slot].id,
                                   .to = sending->to,
                                   .term = 7,
                                   .log_term = 7,
                                   .index = sending->index,
                                   .commit = 1};
    if (sending->bytes > 0) {
        uint8_t *data = mem_zalloc(sending->bytes);
        message.entries = mem_array(1, sizeof(*message.entries));
        message.entry_count = 1;
        message.entries[0] =
            (struct raft_entry){.index = sending->index + 1,
                                .term = 7,
                                .payload = raft_payload_new(bytes_of(data, sending->bytes))};
        mem_free(data);
    }
    peer_send(nodes[sending->slot].transport, &message, 1);
}

void node_send(int slot, uint64_t to, enum raft_message_type type, uint64_t index, size_t bytes)
{
    struct sending sending = {slot, to, index, type, bytes};
    world_in(slot, send_now, &sending);
}

static void send_snapshot_now(void *ctx)
{
    const struct sending *sending = ctx;
    uint8_t *data = mem_zalloc(sending->bytes);
    for (size_t i = 0; i < sending->bytes; i++) {
        data[i] = (uint8_t)(i * 7 + i / 251);
    }
    struct raft_message message = {
        .type = RAFT_MSG_SNAP, .from = nodes[sending->slot].id, .to = sending->to, .term = 7};
    message.snapshot = mem_zalloc(sizeof(*message.snapshot));
    message.snapshot->index = sending->index;
    message.snapshot->term = 7;
    message.snapshot->conf_state.voters[0] = 101;
    message.snapshot->conf_state.voter_count = 1;
    int fd = channel_of(data, sending->bytes);
    mem_free(data);
    peer_send_snapshot(nodes[sending->slot].transport, &message, fd, sending->bytes);
}

void node_send_snapshot(int slot, uint64_t to, uint64_t index, size_t bytes)
{
    struct sending sending = {slot, to, index, RAFT_MSG_SNAP, bytes};
    world_in(slot, send_snapshot_now, &sending);
}

/* ---- begin and end ---- */

void world_begin(uint64_t seed)
{
    memset(&world, 0, sizeof(world));
    memset(nodes, 0, sizeof(nodes));
    memset(channels, 0, sizeof(channels));
    channel_count = 0;
    watcher_count = 0;
    world.node = SIM_NOBODY;
    world.now_ns = 1000 * MS; /* a link that works since 0 would be one that does not */
    world.events = malloc(EVENTS_MAX * sizeof(*world.events));
    for (size_t i = 0; i < SIM_RNG_COUNT; i++) {
        rng_seed(&world.rngs[i], seed * 16 + i);
    }
    for (int i = 0; i < SIM_NODES_MAX; i++) {
        list_init(&nodes[i].region);
        nodes[i].messages = calloc(MESSAGES_MAX, sizeof(*nodes[i].messages));
        buf_init(&nodes[i].disk_calls, BUF_NO_LIMIT);
        buf_init(&nodes[i].snapshot_bytes, BUF_NO_LIMIT);
    }
    sim_net_begin();
}

/* With all nodes gone, what is on its way comes to an end by itself. */
static void run_dry(void)
{
    for (int i = 0; i < SIM_NODES_MAX; i++) {
        if (nodes[i].is_running) {
            node_kill(i);
        }
    }
    world_run_ms(300000);
    assert_true(list_empty(&net_state()->exchanges));
    assert_true(list_empty(&net_state()->packets));
    assert_true(list_empty(&net_state()->ports));
    for (int from = 0; from < SIM_NODES_MAX; from++) {
        for (int to = 0; to < SIM_NODES_MAX; to++) {
            assert_int_equal(net_state()->links[from][to].in_flight, 0);
        }
    }
}

void world_end(void)
{
    run_dry();
    for (int i = 0; i < SIM_NODES_MAX; i++) {
        free(nodes[i].messages);
        buf_free(&nodes[i].disk_calls);
        buf_free(&nodes[i].snapshot_bytes);
    }
    for (size_t i = 0; i < channel_count; i++) {
        buf_free(&channels[i].data);
    }
    sim_net_end();
    free(world.events);
    assert_int_equal(memory_world_blocks(), 0);
}
