/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leases in a map by id, attached keys in a map by key and in a list per lease, and two heaps of
 * deadlines that are filled on the primary only. See lease.h for what is guaranteed.
 */
#include "engine/mvcc/lease.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/plant.h"
#include "engine/proto/codec.h"
#include "lease.pb-c.h"

#define MS_PER_S        1000
#define NEVER_MS        INT64_MAX
#define LEASE_KEY_BYTES 8u

/* Three fields of a tag byte and a varint each. */
#define LEASE_VALUE_BYTES_MAX (3u * (1u + PROTO_VARINT_MAX))

/* Of the revokes per second, what a pile-up may use after a promotion; the rest is for others. */
#define SPREAD_PER_SECOND (LEASE_REVOKES_PER_SECOND * 3u / 4u)

struct lease {
    int64_t id;
    int64_t ttl_s;
    int64_t remaining_ttl_s; /* as checkpointed; not above 0: the full TTL counts */
    int64_t expiry_ms;       /* NEVER_MS off the primary */
    struct heap_node expiry_node;
    struct heap_node checkpoint_node;
    struct list items;
    size_t item_count;
};

/* One attached key. Lives in its lease's list; the item map points here. */
struct lease_item {
    struct list node;
    struct lease *lease;
    size_t key_size;
    uint8_t key[];
};

struct lessor {
    struct lessor_config config;
    bool is_primary;
    struct map leases; /* id to struct lease */
    struct map items;  /* key to struct lease_item */
    struct heap expiries;
    struct heap checkpoints;
};

int64_t lessor_min_ttl_s(int64_t tick_ms, int64_t election_ticks)
{
    int64_t min_ttl_ms = 3 * election_ticks / 2 * tick_ms;
    return (min_ttl_ms + MS_PER_S - 1) / MS_PER_S;
}

struct lessor *lessor_new(const struct lessor_config *config)
{
    struct lessor *lessor = mem_zalloc(sizeof(*lessor));
    lessor->config = *config;
    if (lessor->config.checkpoint_interval_ms == 0) {
        lessor->config.checkpoint_interval_ms = LEASE_CHECKPOINT_INTERVAL_MS;
    }
    map_init_seeded(&lessor->leases, config->seed);
    map_init_seeded(&lessor->items, config->seed);
    heap_init(&lessor->expiries);
    heap_init(&lessor->checkpoints);
    return lessor;
}

static struct lease *lease_find(const struct lessor *lessor, int64_t id)
{
    return map_get_u64(&lessor->leases, (uint64_t)id);
}

static void item_drop(struct lessor *lessor, struct lease_item *item)
{
    map_remove(&lessor->items, bytes_of(item->key, item->key_size));
    list_remove(&item->node);
    item->lease->item_count--;
    mem_free(item);
}

static void lease_drop(struct lessor *lessor, struct lease *lease)
{
    LIST_EACH_SAFE(it, &lease->items)
    {
        item_drop(lessor, LIST_ENTRY(it, struct lease_item, node));
    }
    ASSERT(lease->item_count == 0);
    heap_remove(&lessor->expiries, &lease->expiry_node);
    heap_remove(&lessor->checkpoints, &lease->checkpoint_node);
    map_remove_u64(&lessor->leases, (uint64_t)lease->id);
    mem_free(lease);
}

static void lessor_clear(struct lessor *lessor)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(&lessor->leases, &cursor, NULL, &value)) {
        lease_drop(lessor, value);
    }
    ASSERT(lessor->leases.count == 0 && lessor->items.count == 0);
    lessor->is_primary = false;
}

void lessor_free(struct lessor *lessor)
{
    if (lessor == NULL) {
        return;
    }
    lessor_clear(lessor);
    map_free(&lessor->leases);
    map_free(&lessor->items);
    heap_free(&lessor->expiries);
    heap_free(&lessor->checkpoints);
    mem_free(lessor);
}

static struct lease *lease_add(struct lessor *lessor, int64_t id, int64_t ttl_s)
{
    struct lease *lease = mem_zalloc(sizeof(*lease));
    lease->id = id;
    lease->ttl_s = ttl_s;
    lease->expiry_ms = NEVER_MS;
    heap_node_init(&lease->expiry_node);
    heap_node_init(&lease->checkpoint_node);
    list_init(&lease->items);
    void *before = map_set_u64(&lessor->leases, (uint64_t)id, lease);
    ASSERT(before == NULL);
    return lease;
}

/* ---- stored form ---- */

static void lease_store(const struct lease *lease, struct store_batch *batch)
{
    Leasepb__Lease message = LEASEPB__LEASE__INIT;
    message.id = lease->id;
    message.ttl = lease->ttl_s;
    message.remainingttl = lease->remaining_ttl_s;
    uint8_t key[LEASE_KEY_BYTES];
    put_be64(key, (uint64_t)lease->id);
    uint8_t value[LEASE_VALUE_BYTES_MAX];
    ASSERT(leasepb__lease__get_packed_size(&message) <= sizeof(value));
    size_t size = leasepb__lease__pack(&message, value);
    store_batch_put(batch, STORE_LEASE, bytes_of(key, sizeof(key)), bytes_of(value, size));
}

static int lease_load(struct lessor *lessor, const struct store_item *item, struct err *err)
{
    if (item->key.size != LEASE_KEY_BYTES) {
        return err_set(err, E_CORRUPT, "a lease is stored under a key of %zu bytes",
                       item->key.size);
    }
    int64_t id = (int64_t)get_be64(item->key.data);
    struct arena arena;
    arena_init(&arena, proto_arena_limit(item->value.size));
    Leasepb__Lease *message = NULL;
    int rc = PROTO_UNPACK(leasepb__lease, item->value, &arena, &message);
    if (rc != 0 || message->id != id || lease_find(lessor, id) != NULL) {
        arena_free(&arena);
        return err_set(err, E_CORRUPT, "lease %llx cannot be read", (unsigned long long)id);
    }
    struct lease *lease = lease_add(lessor, id, BASE_MAX(message->ttl, lessor->config.min_ttl_s));
    lease->remaining_ttl_s = message->remainingttl;
    arena_free(&arena);
    return 0;
}

int lessor_load(struct lessor *lessor, const struct store_seam *seam, struct store_view *view,
                struct err *err)
{
    static const uint8_t first_key[1] = {0};
    lessor_clear(lessor);
    struct store_item item;
    int rc = seam->view_seek(view, STORE_LEASE, bytes_of(first_key, sizeof(first_key)), &item);
    while (rc == 0) {
        rc = lease_load(lessor, &item, err);
        if (rc != 0) {
            lessor_clear(lessor);
            return rc;
        }
        rc = seam->view_next(view, STORE_LEASE, &item);
    }
    if (rc != E_NOT_FOUND) {
        lessor_clear(lessor);
        return err_set(err, rc, "table lease cannot be read");
    }
    return 0;
}

void lessor_set_persist_checkpoints(struct lessor *lessor, bool persist)
{
    lessor->config.persist_checkpoints = persist;
}

/* ---- attached keys ---- */

static void lessor_attach(void *ctx, struct bytes key, int64_t id)
{
    struct lessor *lessor = ctx;
    struct lease_item *old = map_get(&lessor->items, key);
    if (old != NULL) {
        if (old->lease->id == id) {
            return;
        }
        item_drop(lessor, old);
    }
    struct lease *lease = lease_find(lessor, id);
    if (lease == NULL) {
        return;
    }
    struct lease_item *item = mem_alloc(sizeof(*item) + key.size);
    item->lease = lease;
    item->key_size = key.size;
    memcpy(item->key, key.data, key.size);
    list_append(&lease->items, &item->node);
    lease->item_count++;
    map_set(&lessor->items, key, item);
}

static void lessor_detach(void *ctx, struct bytes key, int64_t id)
{
    struct lessor *lessor = ctx;
    struct lease_item *item = map_get(&lessor->items, key);
    /* A key that moved to another lease must not lose that one. */
    if (item != NULL && item->lease->id == id && !PLANT(lease_takes_moved_key)) {
        item_drop(lessor, item);
    }
}

struct mvcc_lease_hook lessor_hook(struct lessor *lessor)
{
    return (struct mvcc_lease_hook){lessor, lessor_attach, lessor_detach};
}

bool lessor_exists(void *lessor, int64_t id)
{
    return lease_find(lessor, id) != NULL;
}

size_t lessor_count(const struct lessor *lessor)
{
    return lessor->leases.count;
}

int64_t lessor_lease_of(const struct lessor *lessor, struct bytes key)
{
    const struct lease_item *item = map_get(&lessor->items, key);
    return item != NULL ? item->lease->id : LEASE_NONE;
}

/* ---- time ---- */

/* What the next expiry counts from: the checkpointed rest, or the full TTL. */
static int64_t lease_rest_s(const struct lease *lease)
{
    int64_t rest_s = lease->remaining_ttl_s > 0 ? lease->remaining_ttl_s : lease->ttl_s;
    return BASE_MIN(rest_s, LEASE_TTL_MAX);
}

static void lease_expire_at(struct lessor *lessor, struct lease *lease, int64_t expiry_ms)
{
    ASSERT(lessor->is_primary && expiry_ms >= 0);
    lease->expiry_ms = expiry_ms;
    heap_set(&lessor->expiries, &lease->expiry_node, (uint64_t)expiry_ms);
}

static void lease_refresh(struct lessor *lessor, struct lease *lease, int64_t now_ms)
{
    lease_expire_at(lessor, lease, now_ms + lease_rest_s(lease) * MS_PER_S);
}

/* A lease that ends before the next checkpoint would be due needs none. */
static void checkpoint_schedule(struct lessor *lessor, struct lease *lease, int64_t now_ms)
{
    int64_t interval_ms = lessor->config.checkpoint_interval_ms;
    if (lessor->config.checkpoints && lease_rest_s(lease) > interval_ms / MS_PER_S) {
        heap_set(&lessor->checkpoints, &lease->checkpoint_node, (uint64_t)(now_ms + interval_ms));
    } else {
        heap_remove(&lessor->checkpoints, &lease->checkpoint_node);
    }
}

/* ---- applied from the log ---- */

enum etcd_error lessor_grant(struct lessor *lessor, int64_t id, int64_t ttl_s, int64_t now_ms,
                             struct store_batch *batch, int64_t *out_ttl_s)
{
    if (id == LEASE_NONE) {
        return ETCD_ERR_LEASE_NOT_FOUND;
    }
    if (ttl_s > LEASE_TTL_MAX) {
        return ETCD_ERR_LEASE_TTL_TOO_LARGE;
    }
    if (lease_find(lessor, id) != NULL) {
        return ETCD_ERR_LEASE_EXIST;
    }
    struct lease *lease = lease_add(lessor, id, BASE_MAX(ttl_s, lessor->config.min_ttl_s));
    lease_store(lease, batch);
    if (lessor->is_primary) {
        lease_refresh(lessor, lease, now_ms);
        checkpoint_schedule(lessor, lease, now_ms);
    }
    *out_ttl_s = lease->ttl_s;
    return ETCD_OK;
}

static int key_order(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

enum etcd_error lessor_keys(const struct lessor *lessor, int64_t id, struct arena *arena,
                            struct bytes **out_keys, size_t *out_count)
{
    const struct lease *lease = lease_find(lessor, id);
    if (lease == NULL) {
        return ETCD_ERR_LEASE_NOT_FOUND;
    }
    struct bytes *keys = arena_zalloc(arena, (lease->item_count + 1) * sizeof(*keys));
    size_t count = 0;
    LIST_EACH(it, &lease->items)
    {
        const struct lease_item *item = LIST_ENTRY(it, struct lease_item, node);
        keys[count++] = arena_copy(arena, bytes_of(item->key, item->key_size));
    }
    ASSERT(count == lease->item_count);
    /* All members must delete in the same order: the sub revisions follow from it. */
    qsort(keys, count, sizeof(*keys), key_order);
    *out_keys = keys;
    *out_count = count;
    return ETCD_OK;
}

enum etcd_error lessor_revoke(struct lessor *lessor, int64_t id, struct store_batch *batch)
{
    struct lease *lease = lease_find(lessor, id);
    if (lease == NULL) {
        return ETCD_ERR_LEASE_NOT_FOUND;
    }
    uint8_t key[LEASE_KEY_BYTES];
    put_be64(key, (uint64_t)id);
    store_batch_remove(batch, STORE_LEASE, bytes_of(key, sizeof(key)));
    lease_drop(lessor, lease);
    return ETCD_OK;
}

void lessor_checkpoint(struct lessor *lessor, int64_t id, int64_t remaining_ttl_s, int64_t now_ms,
                       struct store_batch *batch)
{
    struct lease *lease = lease_find(lessor, id);
    if (lease == NULL) {
        return;
    }
    lease->remaining_ttl_s = remaining_ttl_s;
    if (lessor->config.persist_checkpoints) {
        lease_store(lease, batch);
    }
    if (lessor->is_primary) {
        checkpoint_schedule(lessor, lease, now_ms);
    }
}

int64_t lease_id_candidate(const struct lessor *lessor, uint64_t random)
{
    int64_t id = (int64_t)(random & INT64_MAX);
    return lease_find(lessor, id) == NULL ? id : LEASE_NONE;
}

/* ---- reads ---- */

enum etcd_error lessor_times(const struct lessor *lessor, int64_t id, int64_t now_ms,
                             struct lease_times *out_times)
{
    const struct lease *lease = lease_find(lessor, id);
    if (lease == NULL) {
        return ETCD_ERR_LEASE_NOT_FOUND;
    }
    int64_t left_ms = lease->expiry_ms == NEVER_MS ? 0 : lease->expiry_ms - now_ms;
    *out_times = (struct lease_times){
        .ttl_s = lease->ttl_s,
        .remaining_s = BASE_MAX(left_ms, 0) / MS_PER_S,
        .is_counting = lease->expiry_ms != NEVER_MS,
    };
    return ETCD_OK;
}

static int expiry_order(const void *a, const void *b)
{
    const struct lease *x = *(const struct lease *const *)a;
    const struct lease *y = *(const struct lease *const *)b;
    if (x->expiry_ms != y->expiry_ms) {
        return x->expiry_ms < y->expiry_ms ? -1 : 1;
    }
    return x->id < y->id ? -1 : (x->id > y->id ? 1 : 0);
}

/* All leases, the first to expire first. Gives an array of lessor->leases.count (mem_free). */
static struct lease **leases_sorted(const struct lessor *lessor)
{
    struct lease **leases = mem_array(lessor->leases.count + 1, sizeof(*leases));
    size_t cursor = 0;
    size_t count = 0;
    void *value = NULL;
    while (map_next(&lessor->leases, &cursor, NULL, &value)) {
        leases[count++] = value;
    }
    ASSERT(count == lessor->leases.count);
    qsort(leases, count, sizeof(*leases), expiry_order);
    return leases;
}

void lessor_list(const struct lessor *lessor, struct arena *arena, int64_t **out_ids,
                 size_t *out_count)
{
    struct lease **leases = leases_sorted(lessor);
    size_t count = lessor->leases.count;
    int64_t *ids = arena_zalloc(arena, (count + 1) * sizeof(*ids));
    for (size_t i = 0; i < count; i++) {
        ids[i] = leases[i]->id;
    }
    mem_free(leases);
    *out_ids = ids;
    *out_count = count;
}

/* ---- the primary ---- */

/* In order of expiry, each lease ends at least a second after the one SPREAD_PER_SECOND before it.
 */
static void expiries_spread(struct lessor *lessor)
{
    struct lease **leases = leases_sorted(lessor);
    for (size_t i = SPREAD_PER_SECOND; i < lessor->leases.count; i++) {
        int64_t earliest_ms = leases[i - SPREAD_PER_SECOND]->expiry_ms + MS_PER_S;
        if (leases[i]->expiry_ms < earliest_ms) {
            lease_expire_at(lessor, leases[i], earliest_ms);
        }
    }
    mem_free(leases);
}

void lessor_promote(struct lessor *lessor, int64_t now_ms, int64_t extend_ms)
{
    ASSERT(now_ms >= 0 && extend_ms >= 0);
    lessor->is_primary = true;
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(&lessor->leases, &cursor, NULL, &value)) {
        lease_refresh(lessor, value, now_ms + extend_ms);
        if (PLANT(lease_short_after_promotion)) {
            lease_expire_at(lessor, value, now_ms);
        }
        checkpoint_schedule(lessor, value, now_ms);
    }
    if (lessor->leases.count >= LEASE_REVOKES_PER_SECOND) {
        expiries_spread(lessor);
    }
}

void lessor_demote(struct lessor *lessor)
{
    lessor->is_primary = false;
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(&lessor->leases, &cursor, NULL, &value)) {
        struct lease *lease = value;
        lease->expiry_ms = NEVER_MS;
        heap_remove(&lessor->expiries, &lease->expiry_node);
        heap_remove(&lessor->checkpoints, &lease->checkpoint_node);
    }
}

bool lessor_is_primary(const struct lessor *lessor)
{
    return lessor->is_primary;
}

enum lease_renewal lessor_renew(struct lessor *lessor, int64_t id, int64_t now_ms,
                                int64_t *out_ttl_s)
{
    if (!lessor->is_primary) {
        return LEASE_RENEW_NOT_PRIMARY;
    }
    struct lease *lease = lease_find(lessor, id);
    if (lease == NULL && PLANT(lease_renewed_when_gone)) {
        *out_ttl_s = lessor->config.min_ttl_s;
        return LEASE_RENEWED;
    }
    if (lease == NULL) {
        return LEASE_RENEW_NOT_FOUND;
    }
    /* Its revoke may be in the log already: a renewal now would promise what cannot be kept. */
    if (lease->expiry_ms <= now_ms) {
        return LEASE_RENEW_EXPIRED;
    }
    /* Else a new primary would start from the old rest and end the lease too early. */
    if (lease->remaining_ttl_s > 0) {
        return LEASE_RENEW_CHECKPOINT;
    }
    lease_refresh(lessor, lease, now_ms);
    *out_ttl_s = lease->ttl_s;
    return LEASE_RENEWED;
}

size_t lessor_expired(struct lessor *lessor, int64_t now_ms, int64_t *out_ids, size_t max)
{
    size_t count = 0;
    while (count < max) {
        struct heap_node *top = heap_top(&lessor->expiries);
        if (top == NULL || top->key > (uint64_t)now_ms) {
            break;
        }
        const struct lease *lease = CONTAINER_OF(top, struct lease, expiry_node);
        ASSERT(lessor->is_primary && lease->expiry_ms <= now_ms);
        out_ids[count++] = lease->id;
        /* Should the revoke be lost, it is asked for again. */
        heap_set(&lessor->expiries, top, (uint64_t)(now_ms + LEASE_EXPIRED_RETRY_MS));
    }
    return count;
}

int64_t lessor_next_deadline_ms(const struct lessor *lessor)
{
    const struct heap_node *expiry = heap_top(&lessor->expiries);
    const struct heap_node *checkpoint = heap_top(&lessor->checkpoints);
    uint64_t deadline = (uint64_t)NEVER_MS;
    if (expiry != NULL) {
        deadline = BASE_MIN(deadline, expiry->key);
    }
    if (checkpoint != NULL) {
        deadline = BASE_MIN(deadline, checkpoint->key);
    }
    return (int64_t)deadline;
}

size_t lessor_checkpoints_due(struct lessor *lessor, int64_t now_ms, struct lease_rest *out_rests,
                              size_t max)
{
    size_t count = 0;
    while (count < max) {
        struct heap_node *top = heap_top(&lessor->checkpoints);
        if (top == NULL || top->key > (uint64_t)now_ms) {
            break;
        }
        struct lease *lease = CONTAINER_OF(top, struct lease, checkpoint_node);
        if (lease->expiry_ms <= now_ms) {
            heap_remove(&lessor->checkpoints, top);
            continue;
        }
        /* Again after the interval, also when the entry is lost or the lease was just renewed. */
        heap_set(&lessor->checkpoints, top,
                 (uint64_t)(now_ms + lessor->config.checkpoint_interval_ms));
        int64_t rest_s = (lease->expiry_ms - now_ms + MS_PER_S - 1) / MS_PER_S;
        if (rest_s < lease->ttl_s) {
            out_rests[count++] = (struct lease_rest){lease->id, rest_s};
        }
    }
    return count;
}
