/* SPDX-License-Identifier: Apache-2.0 */
/* See generate.h. */
#include "tests/differential/generate.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/defs.h"

#define BULK_KEYS         150
#define LONG_KEY_BYTES    3000
#define VALUE_BYTES_MAX   (100 * 1024)
#define REQUEST_BYTES_MAX (1536 * 1024)
#define TOO_LARGE_EVERY   5000 /* operations */
#define LEASE_TTL_MAX     9000000000
#define LEASE_TTL_LONG    3600 /* does not end while we run */

/* The keys that most operations meet at: short, nested, binary, the first and the last there are.
 */
static const struct {
    const char *data;
    size_t size;
} KEYS[] = {
    {"a", 1},
    {"b", 1},
    {"c", 1},
    {"aa", 2},
    {"ab", 2},
    {"a/1", 3},
    {"a/2", 3},
    {"a/10", 4},
    {"b/1", 3},
    {"b/1/x", 5},
    {"\0", 1},
    {"\0\0", 2},
    {"\0a", 2},
    {"a\0", 2},
    {"\xff", 1},
    {"\xff\xff", 2},
    {"\xff\xff"
     "a",
     3},
    {"\xfe\xff", 2},
    {"a\xff", 2},
    {"\xd0\xba\xd0\xbb", 4},
    {"per%cent", 8},
    {" ", 1},
    {"bulk", 4},
    {"bulk0", 5},
    {"z", 1},
};

static const int64_t LEASES[] = {1, 2, 3, 4, 5, 6, 7, 8, 1000001, -1, -77, INT64_MAX, INT64_MIN};

bool generate_once_in(struct generate *gen, uint64_t count)
{
    return rng_below(&gen->rng, count) == 0;
}

int64_t generate_below(struct generate *gen, int64_t below)
{
    return (int64_t)rng_below(&gen->rng, (uint64_t)below);
}

static ProtobufCBinaryData data_of(struct generate *gen, const void *data, size_t size)
{
    uint8_t *copy = arena_zalloc(&gen->arena, size + 1); /* a zero byte of room: generate_end */
    if (size > 0) {
        memcpy(copy, data, size);
    }
    return (ProtobufCBinaryData){.data = copy, .len = size};
}

static ProtobufCBinaryData random_data(struct generate *gen, size_t size)
{
    uint8_t *data = arena_zalloc(&gen->arena, size + 8);
    for (size_t i = 0; i < size; i += 8) {
        put_be64(data + i, rng_next(&gen->rng));
    }
    return (ProtobufCBinaryData){.data = data, .len = size};
}

ProtobufCBinaryData generate_bulk_key(struct generate *gen, int64_t number)
{
    char text[32];
    int size = snprintf(text, sizeof(text), "bulk/%03" PRId64, number);
    return data_of(gen, text, (size_t)size);
}

ProtobufCBinaryData generate_key(struct generate *gen)
{
    int64_t choice = generate_below(gen, 1000);
    if (choice < 8) {
        return (ProtobufCBinaryData){.len = 0};
    }
    if (choice < 630) {
        size_t at = (size_t)generate_below(gen, (int64_t)ARRAY_COUNT(KEYS));
        return data_of(gen, KEYS[at].data, KEYS[at].size);
    }
    if (choice < 980) {
        return generate_bulk_key(gen, generate_below(gen, BULK_KEYS));
    }
    if (choice < 990) {
        uint8_t *data = arena_zalloc(&gen->arena, LONG_KEY_BYTES);
        memset(data, 'k', LONG_KEY_BYTES);
        return (ProtobufCBinaryData){.data = data,
                                     .len = LONG_KEY_BYTES - (size_t)generate_below(gen, 3)};
    }
    return random_data(gen, (size_t)generate_below(gen, 6) + 1);
}

/* key + 1 in its last byte that has room: the end of a prefix; "\0" (no end) behind all 0xff. */
static ProtobufCBinaryData prefix_end(struct generate *gen, ProtobufCBinaryData key)
{
    ProtobufCBinaryData end = data_of(gen, key.data, key.len);
    while (end.len > 0 && end.data[end.len - 1] == 0xff) {
        end.len--;
    }
    if (end.len == 0) {
        return data_of(gen, "\0", 1);
    }
    end.data[end.len - 1]++;
    return end;
}

ProtobufCBinaryData generate_end(struct generate *gen, ProtobufCBinaryData key)
{
    int64_t choice = generate_below(gen, 100);
    if (choice < 40) {
        return (ProtobufCBinaryData){.len = 0};
    }
    if (choice < 50) {
        return data_of(gen, "\0", 1);
    }
    if (choice < 68) {
        return prefix_end(gen, key);
    }
    if (choice < 75) { /* just the key, as a range */
        ProtobufCBinaryData end = data_of(gen, key.data, key.len);
        end.len++;
        return end;
    }
    if (choice < 78) {
        return key; /* nothing */
    }
    if (choice < 82) {
        return data_of(gen, "\xff\xff\xff\xff", (size_t)generate_below(gen, 4) + 1);
    }
    return generate_key(gen);
}

void generate_turn_round(ProtobufCBinaryData key, ProtobufCBinaryData *end)
{
    bool is_open = end->len == 1 && end->data[0] == 0;
    if (end->len > 0 && !is_open &&
        bytes_compare(bytes_of(key.data, key.len), bytes_of(end->data, end->len)) >= 0) {
        end->len = 0;
    }
}

ProtobufCBinaryData generate_value(struct generate *gen)
{
    char text[32];
    int64_t choice = generate_below(gen, 5000);
    if (choice < 250) {
        return (ProtobufCBinaryData){.len = 0};
    }
    if (choice < 4000) { /* few enough that compares meet them */
        int size = snprintf(text, sizeof(text), "v%" PRId64, generate_below(gen, 20));
        return data_of(gen, text, (size_t)size);
    }
    if (choice < 4900) {
        return random_data(gen, (size_t)generate_below(gen, 200));
    }
    if (choice < 4975) {
        return random_data(gen, (size_t)generate_below(gen, 4096));
    }
    if (choice < 4999) {
        return random_data(gen, (size_t)generate_below(gen, VALUE_BYTES_MAX));
    }
    /* Around the limit of a request, and above that of a message. */
    return random_data(gen, generate_once_in(gen, 2)
                                ? REQUEST_BYTES_MAX - 200 + (size_t)generate_below(gen, 400)
                                : 2 * REQUEST_BYTES_MAX);
}

int64_t generate_lease(struct generate *gen)
{
    if (generate_once_in(gen, 12)) {
        return 100 + generate_below(gen, 1000); /* there is none */
    }
    return LEASES[generate_below(gen, (int64_t)ARRAY_COUNT(LEASES))];
}

int64_t generate_revision(struct generate *gen)
{
    const struct generate_seen *seen = &gen->seen;
    switch (generate_below(gen, 12)) {
    case 0:
        return seen->revision;
    case 1:
        return seen->revision + 1 + generate_below(gen, 2) * 1000000;
    case 2:
        return seen->compacted + generate_below(gen, 3) - 1;
    case 3:
        return generate_once_in(gen, 2) ? INT64_MAX : 1;
    case 4:
        return generate_once_in(gen, 2) ? -1 : INT64_MIN;
    case 5:
        return seen->compacted + generate_below(gen, seen->revision - seen->compacted + 1);
    default:
        return BASE_MAX(seen->revision - generate_below(gen, 30), 0);
    }
}

Etcdserverpb__PutRequest *generate_put(struct generate *gen)
{
    Etcdserverpb__PutRequest *put = arena_zalloc(&gen->arena, sizeof(*put));
    etcdserverpb__put_request__init(put);
    put->key = generate_key(gen);
    put->value = generate_value(gen);
    put->prev_kv = generate_once_in(gen, 3);
    if (generate_once_in(gen, 6)) {
        put->lease = generate_lease(gen);
    }
    if (generate_once_in(gen, 16)) {
        put->ignore_value = true;
        put->value.len = generate_once_in(gen, 6) ? put->value.len : 0;
    }
    if (generate_once_in(gen, 16)) {
        put->ignore_lease = true;
        put->lease = generate_once_in(gen, 6) ? put->lease : 0;
    }
    return put;
}

static void generate_range_filters(struct generate *gen, Etcdserverpb__RangeRequest *range)
{
    int64_t *const bounds[] = {&range->min_mod_revision, &range->max_mod_revision,
                               &range->min_create_revision, &range->max_create_revision};
    for (size_t i = 0; i < ARRAY_COUNT(bounds); i++) {
        if (generate_once_in(gen, 2)) {
            *bounds[i] = gen->seen.revision - generate_below(gen, 400);
        } else if (generate_once_in(gen, 10)) {
            *bounds[i] = generate_revision(gen);
        }
    }
}

Etcdserverpb__RangeRequest *generate_range(struct generate *gen)
{
    Etcdserverpb__RangeRequest *range = arena_zalloc(&gen->arena, sizeof(*range));
    etcdserverpb__range_request__init(range);
    range->key = generate_key(gen);
    range->range_end = generate_end(gen, range->key);
    if (generate_once_in(gen, 40)) { /* everything */
        range->key = range->range_end = data_of(gen, "\0", 1);
    }
    if (generate_once_in(gen, 3)) {
        range->limit = generate_below(gen, generate_once_in(gen, 3) ? 200 : 6);
        range->limit = generate_once_in(gen, 30) ? -range->limit : range->limit;
        range->limit = generate_once_in(gen, 40) ? INT64_MAX : range->limit;
    }
    if (generate_once_in(gen, 4)) {
        range->revision = generate_revision(gen);
    }
    if (generate_once_in(gen, 3)) {
        range->sort_order = (Etcdserverpb__RangeRequest__SortOrder)generate_below(gen, 3);
        range->sort_target = (Etcdserverpb__RangeRequest__SortTarget)generate_below(gen, 5);
    }
    if (!gen->spares_old && generate_once_in(gen, 150)) {
        range->sort_order = (Etcdserverpb__RangeRequest__SortOrder)(generate_below(gen, 9) - 2);
    }
    if (!gen->spares_old && generate_once_in(gen, 150)) {
        range->sort_target = (Etcdserverpb__RangeRequest__SortTarget)(generate_below(gen, 12) - 2);
    }
    range->serializable = generate_once_in(gen, 3);
    range->keys_only = generate_once_in(gen, 6);
    range->count_only = generate_once_in(gen, 10);
    if (generate_once_in(gen, 6)) {
        generate_range_filters(gen, range);
    }
    return range;
}

Etcdserverpb__DeleteRangeRequest *generate_delete(struct generate *gen)
{
    Etcdserverpb__DeleteRangeRequest *removal = arena_zalloc(&gen->arena, sizeof(*removal));
    etcdserverpb__delete_range_request__init(removal);
    removal->key = generate_key(gen);
    if (generate_once_in(gen, 4)) {
        removal->range_end = generate_end(gen, removal->key);
        /* An open end takes nearly all keys away: seldom. */
        bool is_open = removal->range_end.len == 1 && removal->range_end.data[0] == 0;
        removal->range_end.len = is_open && !generate_once_in(gen, 6) ? 0 : removal->range_end.len;
    }
    removal->prev_kv = generate_once_in(gen, 3);
    return removal;
}

/* ---- the rest of the operations ---- */

static void add_compact(struct generate *gen, struct op_list *list)
{
    Etcdserverpb__CompactionRequest compact = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    const struct generate_seen *seen = &gen->seen;
    compact.revision = generate_once_in(gen, 2)
                           ? generate_revision(gen)
                           : seen->revision - generate_below(gen, BASE_MIN(200, seen->revision));
    compact.revision = generate_once_in(gen, 12) ? 0 : compact.revision;
    compact.physical = generate_once_in(gen, 2);
    op_list_add(list, OP_COMPACT, &compact.base);
}

/* A lease for seconds is revoked by the very next operation, before it can end by itself. */
static void add_grant(struct generate *gen, struct op_list *list)
{
    Etcdserverpb__LeaseGrantRequest grant = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    grant.id = generate_lease(gen);
    grant.ttl = LEASE_TTL_LONG + generate_below(gen, 100000);
    if (generate_once_in(gen, 8)) {
        grant.ttl = LEASE_TTL_MAX - 1 + generate_below(gen, 3);
    } else if (generate_once_in(gen, 20)) {
        grant.ttl = INT64_MAX;
    } else if (generate_once_in(gen, 6)) {
        gen->short_lease = grant.id = 5000000 + (int64_t)gen->counter;
        grant.ttl = generate_below(gen, 5) - 1;
    }
    op_list_add(list, OP_GRANT, &grant.base);
}

static void add_revoke(struct generate *gen, int64_t id, struct op_list *list)
{
    Etcdserverpb__LeaseRevokeRequest revoke = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
    (void)gen;
    revoke.id = id;
    op_list_add(list, OP_REVOKE, &revoke.base);
}

static void add_lease_question(struct generate *gen, struct op_list *list)
{
    Etcdserverpb__LeaseTimeToLiveRequest left = ETCDSERVERPB__LEASE_TIME_TO_LIVE_REQUEST__INIT;
    Etcdserverpb__LeaseKeepAliveRequest keep = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    Etcdserverpb__LeaseLeasesRequest all = ETCDSERVERPB__LEASE_LEASES_REQUEST__INIT;
    int64_t choice = generate_below(gen, 6);
    if (choice == 0) {
        op_list_add(list, OP_LEASES, &all.base);
    } else if (choice < 3) {
        keep.id = generate_once_in(gen, 20) ? 0 : generate_lease(gen);
        op_list_add(list, OP_KEEPALIVE, &keep.base);
    } else {
        left.id = generate_once_in(gen, 20) ? 0 : generate_lease(gen);
        left.keys = !generate_once_in(gen, 4);
        op_list_add(list, OP_TIME_TO_LIVE, &left.base);
    }
}

static void add_hash(struct generate *gen, struct op_list *list)
{
    Etcdserverpb__HashKVRequest hash = ETCDSERVERPB__HASH_KVREQUEST__INIT;
    if (generate_once_in(gen, 2)) {
        hash.revision = generate_revision(gen);
    }
    op_list_add(list, OP_HASH, &hash.base);
}

void generate_watch(struct generate *gen, Etcdserverpb__WatchCreateRequest *out_watch)
{
    static const Etcdserverpb__WatchCreateRequest__FilterType FILTERS[][2] = {
        {ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT,
         ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE},
        {ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE,
         ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT},
    };
    Etcdserverpb__WatchCreateRequest watch = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    watch.key = generate_key(gen);
    watch.range_end = generate_end(gen, watch.key);
    if (generate_once_in(gen, 3)) {
        watch.key = watch.range_end = data_of(gen, "\0", 1);
    }
    watch.start_revision = generate_once_in(gen, 3) ? generate_revision(gen)
                                                    : gen->seen.revision - generate_below(gen, 100);
    watch.prev_kv = generate_once_in(gen, 2);
    watch.fragment = generate_once_in(gen, 3);
    watch.watch_id = generate_once_in(gen, 3) ? generate_below(gen, 100) : 0;
    if (generate_once_in(gen, 3)) {
        watch.n_filters = (size_t)generate_below(gen, 2) + 1;
        watch.filters = (Etcdserverpb__WatchCreateRequest__FilterType *)(uintptr_t)
            FILTERS[generate_below(gen, 2)];
    }
    *out_watch = watch;
}

static void add_watch(struct generate *gen, struct op_list *list)
{
    Etcdserverpb__WatchCreateRequest watch;
    generate_watch(gen, &watch);
    op_list_add(list, OP_WATCH, &watch.base);
}

/* Larger than a request may be, in turns also than a message may be. */
static void add_too_large(struct generate *gen, struct op_list *list)
{
    Etcdserverpb__PutRequest *put = generate_put(gen);
    put->key = generate_bulk_key(gen, 1);
    put->ignore_value = false;
    put->value = random_data(gen, gen->counter / TOO_LARGE_EVERY % 2 == 0 ? REQUEST_BYTES_MAX
                                                                          : 2 * REQUEST_BYTES_MAX);
    op_list_add(list, OP_PUT, &put->base);
    arena_free(&gen->arena);
}

/* Older etcd lets these pass for more than root, and what they do would part the two for good. */
static bool is_for_root(const struct op *op)
{
    return op->kind == OP_COMPACT || op->kind == OP_GRANT || op->kind == OP_REVOKE ||
           op->kind == OP_ALARM;
}

static void generate_any(struct generate *gen, struct op_list *list)
{
    int64_t choice = generate_below(gen, 1000);
    if (gen->seen.is_auth_on && generate_once_in(gen, 8)) {
        generate_auth(gen, list);
    } else if (choice < 280) {
        op_list_add(list, OP_PUT, &generate_put(gen)->base);
    } else if (choice < 530) {
        op_list_add(list, OP_RANGE, &generate_range(gen)->base);
    } else if (choice < 610) {
        op_list_add(list, OP_DELETE, &generate_delete(gen)->base);
    } else if (choice < 840) {
        op_list_add(list, OP_TXN, &generate_txn(gen, 1)->base);
    } else if (choice < 865) {
        add_grant(gen, list);
    } else if (choice < 883) {
        add_revoke(gen, generate_lease(gen), list);
    } else if (choice < 925) {
        add_lease_question(gen, list);
    } else if (choice < 930) {
        if (!gen->spares_old) {
            generate_sync(list); /* what it takes away may be the value before an event */
            add_compact(gen, &gen->script);
        } else {
            add_compact(gen, list);
        }
    } else if (choice < 937) {
        add_hash(gen, list);
    } else if (choice < 940) {
        generate_auth(gen, list);
    } else if (choice < 980) {
        generate_member(gen, list);
    } else if (choice < 984) {
        generate_alarm(gen, list);
    } else if (gen->spares_old) {
        op_list_add(list, OP_TXN, &generate_txn(gen, 1)->base);
    } else if (choice < 987) {
        add_watch(gen, list);
    } else {
        generate_stream(gen, list);
    }
}

/* What has to come next, whatever is random. */
static bool generate_due(struct generate *gen, struct op_list *list)
{
    if (gen->script_at < gen->script.count) {
        op_list_take(list, &gen->script.ops[gen->script_at++]);
        return true;
    }
    op_list_free(&gen->script);
    gen->script_at = 0;
    if (gen->short_lease != 0) {
        add_revoke(gen, gen->short_lease, list);
        gen->short_lease = 0;
        return true;
    }
    if (gen->seen.has_compacted) {
        Etcdserverpb__HashKVRequest hash = ETCDSERVERPB__HASH_KVREQUEST__INIT;
        hash.revision = generate_once_in(gen, 3) ? gen->seen.compacted : 0;
        op_list_add(list, OP_HASH, &hash.base);
        return true;
    }
    if (gen->counter % TOO_LARGE_EVERY == TOO_LARGE_EVERY / 5) { /* when no script runs */
        add_too_large(gen, list);
        return true;
    }
    return false;
}

void generate_op(struct generate *gen, struct generate_seen seen, struct op_list *list)
{
    gen->seen = seen;
    gen->counter++;
    generate_phases(gen);
    if (gen->alarm_left > 0 && --gen->alarm_left == 0) {
        generate_alarms_off(gen);
    }
    gen->user = generate_user(gen);
    bool is_due = gen->script_at < gen->script.count; /* who asks stands there */
    if (!generate_due(gen, list)) {
        generate_any(gen, list);
    }
    struct op *op = &list->ops[list->count - 1];
    if (!is_due && op->user == USER_NOBODY && op->kind != OP_AUTHENTICATE) {
        op->user = is_for_root(op) ? USER_ROOT : gen->user;
    }
    if (op->kind == OP_COMPACT || op->kind == OP_HASH) {
        op->user = USER_ROOT;
    }
    if (gen->spares_old && !gen->seen.is_auth_on) {
        op->user = USER_NOBODY; /* it looks at tokens all the same */
    }
    arena_free(&gen->arena);
}

void generate_init(struct generate *gen, uint64_t seed)
{
    *gen = (struct generate){.counter = 0};
    rng_seed(&gen->rng, seed);
    arena_init(&gen->arena, BUF_NO_LIMIT);
}

void generate_free(struct generate *gen)
{
    op_list_free(&gen->script);
    arena_free(&gen->arena);
}
