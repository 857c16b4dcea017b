/* SPDX-License-Identifier: Apache-2.0 */
/* Clients, watches and time around the correct etcd. */
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/unit/check/lib_etcd.h"

#define CLIENTS_MAX 16
#define LATE_MAX    64
#define WATCHES_MAX 24
#define MEMBERS     3
#define MS          1000000u

enum fate { FATE_GOOD, FATE_ANSWER_LOST, FATE_NEVER, FATE_LATE };
enum phase { PHASE_IDLE, PHASE_SENT, PHASE_DONE };

struct client {
    enum phase phase;
    enum fate fate;
    uint64_t next_ns, invoke_ns;
    struct history_request request;
    struct history_response response;
    enum history_error error;
    int64_t revision;
    uint64_t member;
};

/* What takes effect long after its client gave up. */
struct late {
    uint64_t at_ns;
    struct history_request request;
};

struct watcher {
    struct history_watch watch;
    int64_t next; /* the revision it is to bring next */
    uint64_t next_ns;
    bool is_over, is_created;
};

struct world {
    const struct world_options *options;
    struct rng rng;
    struct history *history;
    struct arena arena;
    struct etcd etcd;
    uint64_t now_ns;
    uint32_t values;
    uint32_t begun;
    struct client clients[CLIENTS_MAX];
    struct late late[LATE_MAX];
    int late_count;
    struct watcher watchers[WATCHES_MAX];
    int watcher_count;
    uint64_t watch_ids;
    int64_t at[MEMBERS]; /* what each member has applied */
};

static uint64_t draw(struct world *world, uint64_t bound)
{
    return rng_below(&world->rng, bound);
}

static bool chance(struct world *world, uint32_t percent)
{
    return draw(world, 100) < percent;
}

static void *room(struct world *world, size_t bytes)
{
    return arena_zalloc(&world->arena, bytes);
}

/* ---- what clients ask ---- */

static uint32_t any_key(struct world *world)
{
    return world->etcd.keys[draw(world, (uint64_t)world->etcd.key_count)].text;
}

/* Sometimes a range: of some keys, or of everything. */
static void any_range(struct world *world, struct history_request *request, uint32_t percent)
{
    request->key = any_key(world);
    if (!chance(world, percent)) {
        return;
    }
    if (chance(world, 40)) {
        request->key = request->range_end = history_intern(world->history, bytes_of("\0", 1));
    } else {
        request->range_end = any_key(world);
    }
}

static int64_t any_lease(struct world *world)
{
    return world->etcd.lease_count == 0
               ? 77
               : world->etcd.leases[draw(world, (uint64_t)world->etcd.lease_count)].id;
}

static void ask_put(struct world *world, struct history_request *request)
{
    char value[24];
    (void)snprintf(value, sizeof(value), "v%u", world->values++);
    request->kind = HISTORY_PUT;
    request->key = any_key(world);
    request->value = history_intern_str(world->history, value);
    request->wants_prev_kv = chance(world, 30);
    if (chance(world, 20)) {
        request->lease = any_lease(world);
    } else if (chance(world, 5)) {
        request->ignore_value = true;
        request->value = HISTORY_EMPTY;
    } else if (chance(world, 5)) {
        request->ignore_lease = true;
    }
}

static void ask_range(struct world *world, struct history_request *request, bool is_nested)
{
    request->kind = HISTORY_RANGE;
    any_range(world, request, 50);
    request->is_serializable = !is_nested && chance(world, 30);
    request->limit = chance(world, 20) ? 1 + (int64_t)draw(world, 4) : 0;
    request->keys_only = chance(world, 10);
    request->count_only = chance(world, 10);
    if (chance(world, 15) && world->etcd.revision > 2) {
        request->revision = 1 + (int64_t)draw(world, (uint64_t)world->etcd.revision + 1);
    }
    if (chance(world, 10)) {
        request->sort_target = HISTORY_SORT_MOD;
        request->sort_order = chance(world, 50) ? HISTORY_ORDER_DESCEND : HISTORY_ORDER_ASCEND;
    }
    if (chance(world, 10)) {
        struct history_filter *filter = room(world, sizeof(*filter));
        filter->min_mod = 1 + (int64_t)draw(world, (uint64_t)world->etcd.revision + 1);
        request->filter = filter;
    }
}

static struct history_request *ask_branch(struct world *world, uint32_t *out_count, int depth);

static void ask_txn(struct world *world, struct history_request *request, int depth)
{
    request->kind = HISTORY_TXN;
    request->compare_count = (uint32_t)draw(world, 3);
    struct history_compare *compares = room(world, 3 * sizeof(*compares));
    request->compares = compares;
    for (uint32_t i = 0; i < request->compare_count; i++) {
        compares[i].target = (uint8_t)draw(world, 5);
        compares[i].result = (uint8_t)draw(world, 4);
        compares[i].key = any_key(world);
        compares[i].value = history_intern_str(world->history, "v3");
        const struct etcd_version *now =
            etcd_at(&world->etcd.keys[draw(world, (uint64_t)world->etcd.key_count)], INT64_MAX);
        if (now != NULL && chance(world, 60)) {
            compares[i].number = compares[i].target == HISTORY_TARGET_VERSION ? now->version
                                 : compares[i].target == HISTORY_TARGET_CREATE
                                     ? now->create_revision
                                     : now->revision;
        }
        compares[i].number *= compares[i].target != HISTORY_TARGET_VALUE;
    }
    request->then_requests = ask_branch(world, &request->then_count, depth);
    request->else_requests = ask_branch(world, &request->else_count, depth);
}

/* No key is written twice, so nobody may object to a nested pair. */
static struct history_request *ask_branch(struct world *world, uint32_t *out_count, int depth)
{
    struct history_request *list = room(world, 4 * sizeof(*list));
    uint32_t count = (uint32_t)draw(world, 4), first = (uint32_t)draw(world, 3);
    for (uint32_t i = 0; i < count; i++) {
        if (chance(world, 45)) {
            ask_put(world, &list[i]);
            list[i].key = world->etcd.keys[(first + i) % 4].text;
        } else if (chance(world, 30)) {
            list[i].kind = HISTORY_DELETE;
            list[i].key = world->etcd.keys[(first + i) % 4].text;
            list[i].wants_prev_kv = chance(world, 30);
        } else if (depth == 0 && i == 0 && world->etcd.key_count > 5 && chance(world, 20)) {
            list[i].kind = HISTORY_TXN; /* writes the last key only */
            struct history_request *inner = room(world, sizeof(*inner));
            ask_put(world, inner);
            inner->key = world->etcd.keys[world->etcd.key_count - 1].text;
            list[i].then_count = 1;
            list[i].then_requests = inner;
        } else {
            ask_range(world, &list[i], true);
        }
    }
    *out_count = count;
    return list;
}

static void ask(struct world *world, struct history_request *request)
{
    uint64_t which = draw(world, 100);
    *request = (struct history_request){0};
    if (which < 33) {
        ask_put(world, request);
    } else if (which < 43) {
        request->kind = HISTORY_DELETE;
        request->wants_prev_kv = chance(world, 50);
        any_range(world, request, 15);
    } else if (which < 68) {
        ask_range(world, request, false);
    } else if (which < 86) {
        ask_txn(world, request, 0);
    } else if (which < 88) {
        request->kind = HISTORY_COMPACT;
        request->revision = 1 + (int64_t)draw(world, (uint64_t)world->etcd.revision + 1);
    } else if (which < 92 && world->etcd.lease_count + LATE_MAX / 2 < ETCD_LEASES_MAX) {
        request->kind = HISTORY_GRANT;
        request->lease = chance(world, 50) ? 100 + world->etcd.lease_count : 0;
        request->limit = 1 + (int64_t)draw(world, 3);
    } else {
        request->kind = (uint8_t)(HISTORY_REVOKE + draw(world, 3));
        request->lease = any_lease(world);
    }
}

/* ---- clients ---- */

static void client_begin(struct world *world, struct client *client)
{
    ask(world, &client->request);
    world->begun++;
    client->phase = PHASE_SENT;
    client->invoke_ns = world->now_ns;
    client->next_ns = world->now_ns + 1 + draw(world, 20 * MS);
    client->fate = chance(world, world->options->unknown_percent)
                       ? (enum fate)(FATE_ANSWER_LOST + draw(world, 3))
                       : FATE_GOOD;
    if (client->request.kind == HISTORY_GRANT && client->fate != FATE_GOOD &&
        client->request.lease == 0) {
        client->request.lease = 500 + world->begun; /* nobody else would ever learn it */
    }
}

static void client_apply(struct world *world, struct client *client)
{
    const struct history_request *request = &client->request;
    uint64_t member = draw(world, MEMBERS);
    client->phase = PHASE_DONE;
    client->member = member + 1;
    client->next_ns = world->now_ns + 1 + draw(world, 10 * MS);
    if (client->fate == FATE_LATE && world->late_count < LATE_MAX) {
        world->late[world->late_count++] =
            (struct late){world->now_ns + draw(world, 500 * MS), client->request};
        return;
    }
    if (client->fate != FATE_GOOD && client->fate != FATE_ANSWER_LOST) {
        return;
    }
    if (request->kind == HISTORY_RANGE && request->is_serializable) {
        int64_t behind = world->etcd.revision - world->at[member];
        world->at[member] += behind == 0 ? 0 : (int64_t)draw(world, (uint64_t)behind + 1);
        client->revision = world->at[member];
        client->error = request->revision > client->revision
                            ? HISTORY_ERROR_FUTURE
                            : etcd_do(&world->etcd, request, world->now_ns, client->revision,
                                      &client->response);
        return;
    }
    client->error = etcd_do(&world->etcd, request, world->now_ns, 0, &client->response);
    client->revision = world->at[member] = world->etcd.revision;
}

static void client_end(struct world *world, struct client *client)
{
    struct history_op op = {.invoke_ns = client->invoke_ns,
                            .return_ns = world->now_ns,
                            .client = (uint32_t)(client - world->clients),
                            .request = &client->request};
    if (client->fate != FATE_GOOD) {
        op.outcome = HISTORY_UNKNOWN;
        op.return_ns = chance(world, 50) ? HISTORY_NEVER : op.return_ns;
    } else if (client->error != HISTORY_ERROR_NONE) {
        op.outcome = HISTORY_FAILED;
        op.error = (uint8_t)client->error;
    } else {
        op.response = &client->response;
        op.revision = client->revision;
        op.member = client->member;
        op.term = 2;
    }
    history_add_op(world->history, &op);
    client->phase = PHASE_IDLE;
    client->next_ns = world->now_ns + 1 + draw(world, 30 * MS);
}

static void client_step(struct world *world, struct client *client)
{
    switch (client->phase) {
    case PHASE_IDLE:
        if (world->begun < world->options->operations) {
            client_begin(world, client);
        } else {
            client->next_ns = UINT64_MAX;
        }
        break;
    case PHASE_SENT:
        client_apply(world, client);
        break;
    case PHASE_DONE:
        client_end(world, client);
        break;
    }
}

/* ---- watches ---- */

static void say(struct world *world, const struct watcher *watcher, struct history_message message)
{
    message.watch = watcher->watch.id;
    message.stream = watcher->watch.stream;
    message.time_ns = world->now_ns;
    message.member = 1;
    history_add_message(world->history, &message);
}

static void watch_begin(struct world *world, struct watcher *watcher)
{
    struct history_request range = {0};
    any_range(world, &range, 70);
    if (range.range_end != HISTORY_EMPTY && range.range_end != range.key &&
        bytes_compare(history_bytes(world->history, range.key),
                      history_bytes(world->history, range.range_end)) >= 0) {
        range.range_end = HISTORY_EMPTY;
    }
    int64_t now = world->etcd.revision;
    *watcher = (struct watcher){.watch = {.id = ++world->watch_ids,
                                          .stream = 1 + draw(world, 3),
                                          .time_ns = world->now_ns,
                                          .key = range.key,
                                          .range_end = range.range_end,
                                          .no_put = chance(world, 10),
                                          .no_delete = chance(world, 10),
                                          .wants_prev_kv = chance(world, 50)},
                                .next_ns = world->now_ns + 1 + draw(world, 5 * MS)};
    if (chance(world, 60)) {
        watcher->watch.start_revision = 1 + (int64_t)draw(world, (uint64_t)now + 8);
    }
}

/* The event that a version is, to that watch. */
static struct history_event event_of(struct world *world, const struct watcher *watcher, int key,
                                     size_t version)
{
    const struct etcd_key *of = &world->etcd.keys[key];
    const struct etcd_version *now = &of->versions[version];
    const struct etcd_version *prev = etcd_at(of, now->revision - 1);
    struct history_event event = {.is_delete = now->is_delete,
                                  .kv = {.key = of->text, .mod_revision = now->revision}};
    if (!now->is_delete) {
        event.kv = (struct history_kv){of->text,      now->value,   now->create_revision,
                                       now->revision, now->version, now->lease};
    }
    if (watcher->watch.wants_prev_kv && prev != NULL && now->revision > world->etcd.compacted) {
        event.has_prev = true;
        event.prev = (struct history_kv){of->text,       prev->value,   prev->create_revision,
                                         prev->revision, prev->version, prev->lease};
    }
    return event;
}

/* The wanted events of one revision, in the order in which they were written; gives how many. */
static uint32_t events_at(struct world *world, const struct watcher *watcher, int64_t revision,
                          struct history_event *out)
{
    uint32_t orders[ETCD_KEYS_MAX];
    uint32_t count = 0;
    for (int key = 0; key < world->etcd.key_count; key++) {
        const struct etcd_key *of = &world->etcd.keys[key];
        for (size_t i = of->count; i-- > 0 && of->versions[i].revision >= revision;) {
            const struct etcd_version *version = &of->versions[i];
            if (version->revision != revision ||
                !etcd_in_range(&world->etcd, key, watcher->watch.key, watcher->watch.range_end) ||
                (version->is_delete ? watcher->watch.no_delete : watcher->watch.no_put)) {
                continue;
            }
            uint32_t place = count++;
            for (; place > 0 && orders[place - 1] > version->order; place--) {
                orders[place] = orders[place - 1];
                out[place] = out[place - 1];
            }
            orders[place] = version->order;
            out[place] = event_of(world, watcher, key, i);
        }
    }
    return count;
}

static void send_events(struct world *world, const struct watcher *watcher,
                        const struct history_event *events, uint32_t count, int64_t revision)
{
    uint32_t first = 0;
    if (count > 1 && chance(world, 20)) { /* in two fragments, anywhere */
        first = 1 + (uint32_t)draw(world, count - 1);
        say(world, watcher,
            (struct history_message){
                .revision = revision, .is_fragment = true, .event_count = first, .events = events});
    }
    say(world, watcher,
        (struct history_message){
            .revision = revision, .event_count = count - first, .events = events + first});
}

static void watch_deliver(struct world *world, struct watcher *watcher, bool to_the_end)
{
    struct history_event events[ETCD_KVS_MAX * 2];
    uint32_t count = 0;
    int64_t now = world->etcd.revision;
    while (watcher->next <= now && count + ETCD_KEYS_MAX < ARRAY_COUNT(events) &&
           (to_the_end || count == 0 || chance(world, 80))) {
        count += events_at(world, watcher, watcher->next++, &events[count]);
    }
    bool is_synced = watcher->next > now;
    if (count > 0) {
        send_events(world, watcher, events, count,
                    is_synced || chance(world, 50) ? now : watcher->next - 1);
    } else if (is_synced && chance(world, 40)) {
        say(world, watcher, (struct history_message){.revision = now});
    }
}

static void watch_step(struct world *world, struct watcher *watcher)
{
    if (watcher->is_over) {
        if (chance(world, 30) && world->begun < world->options->operations) {
            watch_begin(world, watcher);
            history_add_watch(world->history, &watcher->watch);
        }
    } else if (!watcher->is_created) {
        watcher->is_created = true;
        watcher->next = watcher->watch.start_revision > 0 ? watcher->watch.start_revision
                                                          : world->etcd.revision + 1;
        say(world, watcher,
            (struct history_message){.revision = world->etcd.revision, .is_created = true});
    } else if (watcher->next < world->etcd.compacted) {
        say(world, watcher,
            (struct history_message){.is_canceled = true,
                                     .compact_revision = world->etcd.compacted});
        watcher->is_over = true;
    } else if (chance(world, 4) && watcher->watch.id != 1) {
        say(world, watcher,
            (struct history_message){.revision = world->etcd.revision, .is_canceled = true});
        watcher->is_over = true;
    } else {
        watch_deliver(world, watcher, false);
    }
    watcher->next_ns = world->now_ns + 1 + draw(world, 40 * MS);
}

/* A note for a whole stream, when all its watches are up to date. */
static void stream_progress(struct world *world, uint64_t stream)
{
    bool any = false;
    for (int i = 0; i < world->watcher_count; i++) {
        const struct watcher *watcher = &world->watchers[i];
        if (watcher->watch.stream != stream || watcher->is_over) {
            continue;
        }
        any = true;
        if (!watcher->is_created || watcher->next <= world->etcd.revision ||
            watcher->watch.start_revision > world->etcd.revision) {
            return;
        }
    }
    if (any) {
        history_add_message(world->history,
                            &(struct history_message){.stream = stream,
                                                      .time_ns = world->now_ns,
                                                      .member = 1,
                                                      .revision = world->etcd.revision});
    }
}

/* ---- the world ---- */

/* The one that has seen everything must not be behind a compaction. */
static void catch_up(struct world *world)
{
    for (int i = 0; i < (world->options->full_watch ? 1 : 0); i++) {
        while (world->watchers[i].is_created && world->watchers[i].next <= world->etcd.revision) {
            watch_deliver(world, &world->watchers[i], true);
        }
    }
}

static void watches_begin(struct world *world)
{
    world->watcher_count = 6;
    for (int i = 0; i < world->watcher_count; i++) {
        struct watcher *watcher = &world->watchers[i];
        watch_begin(world, watcher);
        if (i == 0 && world->options->full_watch) {
            watcher->watch.key = watcher->watch.range_end =
                history_intern(world->history, bytes_of("\0", 1));
            watcher->watch.start_revision = 1;
            watcher->watch.no_put = watcher->watch.no_delete = false;
            watcher->watch.wants_prev_kv = true;
            watcher->watch.stream = 9;
            watch_step(world, watcher);
        }
        history_add_watch(world->history, &watcher->watch);
    }
}

/* What comes next, done. False: nothing is left. */
static bool world_step(struct world *world)
{
    struct client *client = NULL;
    struct watcher *watcher = NULL;
    struct late *late = NULL;
    uint64_t at_ns = UINT64_MAX;
    for (uint32_t i = 0; i < world->options->clients; i++) {
        if (world->clients[i].next_ns < at_ns) {
            client = &world->clients[i];
            at_ns = client->next_ns;
        }
    }
    if (at_ns == UINT64_MAX) {
        return false;
    }
    for (int i = 0; i < world->late_count; i++) {
        if (world->late[i].at_ns < at_ns) {
            late = &world->late[i];
            at_ns = late->at_ns;
        }
    }
    for (int i = 0; i < world->watcher_count; i++) {
        if (world->watchers[i].next_ns < at_ns) {
            watcher = &world->watchers[i];
            at_ns = watcher->next_ns;
        }
    }
    world->now_ns = BASE_MAX(at_ns, world->now_ns);
    if (chance(world, 30)) {
        (void)etcd_expire(&world->etcd, world->now_ns);
    }
    catch_up(world);
    if (watcher != NULL) {
        watch_step(world, watcher);
    } else if (late != NULL) {
        struct history_response answer;
        (void)etcd_do(&world->etcd, &late->request, world->now_ns, 0, &answer);
        *late = world->late[--world->late_count];
    } else {
        client_step(world, client);
    }
    if (chance(world, 5)) {
        stream_progress(world, 1 + draw(world, 3));
    }
    return true;
}

static void world_end(struct world *world)
{
    catch_up(world);
    world->now_ns += MS;
    if (world->options->full_watch) {
        say(world, &world->watchers[0], (struct history_message){.revision = world->etcd.revision});
    }
    for (uint64_t member = 1; member <= MEMBERS; member++) {
        history_add_hash(world->history,
                         &(struct history_hash){.time_ns = world->now_ns,
                                                .member = member,
                                                .revision = world->etcd.revision,
                                                .compact_revision = world->etcd.compacted,
                                                .hash = (uint32_t)world->etcd.revision * 31});
    }
}

void world_run(uint64_t seed, const struct world_options *options, struct history *out)
{
    struct world *world = mem_zalloc(sizeof(*world));
    world->options = options;
    world->history = out;
    world->now_ns = 1000;
    rng_seed(&world->rng, seed);
    arena_init(&world->arena, BUF_NO_LIMIT);
    etcd_init(&world->etcd, out, &world->arena, (int)options->keys);
    for (int i = 0; i < MEMBERS; i++) {
        world->at[i] = 1;
    }
    for (uint32_t i = 0; i < options->clients; i++) {
        world->clients[i].next_ns = world->now_ns + draw(world, 10 * MS);
    }
    watches_begin(world);
    while (world_step(world)) {
    }
    world_end(world);
    etcd_free(&world->etcd);
    arena_free(&world->arena);
    mem_free(world);
}
