/* SPDX-License-Identifier: Apache-2.0 */
/* Events in wire form, made once for all watchers, and the bounded cache of the newest of them. */
#include "base/alloc.h"
#include "base/assert.h"
#include "engine/mvcc/watch_impl.h"
#include "engine/proto/codec.h"

#define CACHE_FIRST_CAPACITY 64u

/* Tags: field number << 3 | wire type. */
#define TAG_RESPONSE_EVENT  0x5a
#define TAG_EVENT_TYPE      0x08
#define TAG_EVENT_KV        0x12
#define TAG_EVENT_PREV_KV   0x1a
#define TAG_KV_KEY          0x0a
#define TAG_KV_MOD_REVISION 0x18
#define EVENT_TYPE_DELETE   0x01

static size_t field_size(size_t payload)
{
    return 1 + proto_varint_size(payload) + payload;
}

static uint8_t *put_field(uint8_t *out, uint8_t tag, struct bytes payload)
{
    *out++ = tag;
    out += proto_varint_put(out, payload.size);
    memcpy(out, payload.data, payload.size);
    return out + payload.size;
}

/* The key-value of an event: a put's is the record as stored, a delete's has key and mod_revision.
 */
static size_t event_kv_size(const struct mvcc_event *change)
{
    if (!change->is_delete) {
        return change->record.size;
    }
    return field_size(change->key.size) + 1 + proto_varint_size((uint64_t)change->revision.main);
}

static uint8_t *event_kv_put(const struct mvcc_event *change, uint8_t *out)
{
    if (!change->is_delete) {
        memcpy(out, change->record.data, change->record.size);
        return out + change->record.size;
    }
    out = put_field(out, TAG_KV_KEY, change->key);
    *out++ = TAG_KV_MOD_REVISION;
    return out + proto_varint_put(out, (uint64_t)change->revision.main);
}

bool watch_event_init(struct watch_event *event, const struct mvcc_event *change)
{
    if (change->key.size == 0) {
        return false;
    }
    size_t kv_size = event_kv_size(change);
    size_t type_size = change->is_delete ? 2 : 0;
    size_t body_size = type_size + field_size(kv_size);
    uint8_t *wire = mem_alloc(field_size(body_size));
    uint8_t *at = wire;
    *at++ = TAG_RESPONSE_EVENT;
    at += proto_varint_put(at, body_size);
    if (change->is_delete) {
        *at++ = TAG_EVENT_TYPE;
        *at++ = EVENT_TYPE_DELETE;
    }
    *at++ = TAG_EVENT_KV;
    at += proto_varint_put(at, kv_size);
    /* Both forms of the key-value begin with the key. */
    const uint8_t *key = at + 1 + proto_varint_size(change->key.size);
    at = event_kv_put(change, at);
    ASSERT((size_t)(at - wire) == field_size(body_size));
    ASSERT(memcmp(key, change->key.data, change->key.size) == 0);
    *event = (struct watch_event){
        .revision = change->revision.main,
        .is_delete = change->is_delete,
        .is_create = change->is_create,
        .key = bytes_of(key, change->key.size),
        .plain = bytes_of(wire, (size_t)(at - wire)),
    };
    return true;
}

void watch_event_free(struct watch_event *event)
{
    mem_free((void *)(uintptr_t)event->plain.data);
    mem_free((void *)(uintptr_t)event->with_prev.data);
    *event = (struct watch_event){0};
}

/* The plain form again, with the key's state before this revision at its end. */
static struct bytes event_with_prev(const struct watch_event *event, struct bytes prev)
{
    size_t offset = 1;
    uint64_t old_size = 0;
    bool is_whole = proto_varint_get(event->plain, &offset, &old_size);
    ASSERT(is_whole && offset + old_size == event->plain.size);
    size_t body_size = (size_t)old_size + field_size(prev.size);
    uint8_t *wire = mem_alloc(field_size(body_size));
    uint8_t *at = wire;
    *at++ = TAG_RESPONSE_EVENT;
    at += proto_varint_put(at, body_size);
    memcpy(at, event->plain.data + offset, (size_t)old_size);
    at = put_field(at + old_size, TAG_EVENT_PREV_KV, prev);
    ASSERT((size_t)(at - wire) == field_size(body_size));
    return bytes_of(wire, (size_t)(at - wire));
}

int watch_event_wire(struct watch_event *event, struct mvcc *mvcc, bool want_prev,
                     struct watch_cache *cache, struct bytes *out_wire)
{
    if (want_prev && !event->is_create && !event->prev_is_known) {
        struct bytes prev = {NULL, 0};
        int rc = mvcc_get_at(mvcc, event->key, event->revision - 1, &prev);
        if (rc == 0) {
            event->with_prev = event_with_prev(event, prev);
            if (cache != NULL) {
                cache->bytes += event->with_prev.size;
            }
        } else if (rc != E_NOT_FOUND && rc != E_COMPACTED) {
            return rc;
        }
        event->prev_is_known = true;
    }
    /* Kept from before a compaction: what that took away is told to nobody any more. */
    bool has_prev = want_prev && event->with_prev.size > 0 &&
                    mvcc_check_revision(mvcc, event->revision - 1) == 0;
    *out_wire = has_prev ? event->with_prev : event->plain;
    return 0;
}

/* ---- the cache ---- */

static size_t event_cost(const struct watch_event *event)
{
    return sizeof(*event) + event->plain.size + event->with_prev.size;
}

static void cache_evict(struct watch_cache *cache)
{
    struct watch_event *oldest = watch_cache_at(cache, cache->begin);
    cache->bytes -= event_cost(oldest);
    /* The rest of its revision is no use for reading history any more. */
    cache->from_revision = oldest->revision + 1;
    watch_event_free(oldest);
    cache->begin++;
}

void watch_cache_clear(struct watch_cache *cache, int64_t from_revision)
{
    while (cache->begin < cache->end) {
        cache_evict(cache);
    }
    ASSERT(cache->bytes == 0);
    cache->from_revision = from_revision;
}

void watch_cache_free(struct watch_cache *cache)
{
    watch_cache_clear(cache, 0);
    mem_free(cache->events);
    *cache = (struct watch_cache){0};
}

static void cache_grow(struct watch_cache *cache)
{
    size_t capacity = cache->capacity == 0 ? CACHE_FIRST_CAPACITY : cache->capacity * 2;
    struct watch_event *events = mem_array(capacity, sizeof(*events));
    for (uint64_t at = cache->begin; at < cache->end; at++) {
        events[at & (capacity - 1)] = cache->events[at & (cache->capacity - 1)];
    }
    mem_free(cache->events);
    cache->events = events;
    cache->capacity = capacity;
}

uint64_t watch_cache_push(struct watch_cache *cache, struct watch_event event)
{
    size_t cost = event_cost(&event);
    while (cache->begin < cache->end && (cache->bytes + cost > cache->max_bytes ||
                                         cache->end - cache->begin == WATCH_CACHE_EVENTS_MAX)) {
        cache_evict(cache);
    }
    if (cache->end - cache->begin == cache->capacity) {
        cache_grow(cache);
    }
    cache->events[cache->end & (cache->capacity - 1)] = event;
    cache->bytes += cost;
    return cache->end++;
}

struct watch_event *watch_cache_at(const struct watch_cache *cache, uint64_t sequence)
{
    ASSERT(sequence >= cache->begin && sequence < cache->end);
    return &cache->events[sequence & (cache->capacity - 1)];
}

uint64_t watch_cache_seek(const struct watch_cache *cache, int64_t revision)
{
    uint64_t low = cache->begin;
    uint64_t high = cache->end;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (watch_cache_at(cache, middle)->revision < revision) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}
