/* SPDX-License-Identifier: Apache-2.0 */
/* A correct etcd of one copy. */
#include "tests/unit/check/lib_etcd.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"

void etcd_init(struct etcd *etcd, struct history *history, struct arena *arena, int key_count)
{
    *etcd =
        (struct etcd){.history = history, .arena = arena, .key_count = key_count, .revision = 1};
    for (int i = 0; i < key_count; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "k%02d", i);
        etcd->keys[i].text = history_intern_str(history, name);
    }
}

void etcd_free(struct etcd *etcd)
{
    for (int i = 0; i < etcd->key_count; i++) {
        mem_free(etcd->keys[i].versions);
    }
}

const struct etcd_version *etcd_at(const struct etcd_key *key, int64_t revision)
{
    for (size_t i = key->count; i-- > 0;) {
        if (key->versions[i].revision <= revision) {
            return key->versions[i].is_delete ? NULL : &key->versions[i];
        }
    }
    return NULL;
}

bool etcd_in_range(const struct etcd *etcd, int key, uint32_t from, uint32_t range_end)
{
    struct bytes name = history_bytes(etcd->history, etcd->keys[key].text);
    struct bytes low = history_bytes(etcd->history, from);
    struct bytes high = history_bytes(etcd->history, range_end);
    if (high.size == 0) {
        return bytes_equal(name, low);
    }
    bool is_open = high.size == 1 && high.data[0] == 0;
    return bytes_compare(name, low) >= 0 && (is_open || bytes_compare(name, high) < 0);
}

static void add_version(struct etcd *etcd, struct etcd_key *key, struct etcd_version version)
{
    version.order = etcd->changes++;
    if (key->count == key->capacity) {
        key->capacity = key->capacity == 0 ? 8 : key->capacity * 2;
        key->versions = mem_realloc(key->versions, key->capacity * sizeof(*key->versions));
    }
    key->versions[key->count++] = version;
}

static struct etcd_lease *find_lease(struct etcd *etcd, int64_t id)
{
    for (int i = 0; i < etcd->lease_count; i++) {
        if (etcd->leases[i].id == id && etcd->leases[i].lives) {
            return &etcd->leases[i];
        }
    }
    return NULL;
}

static int find_key(const struct etcd *etcd, uint32_t text)
{
    for (int i = 0; i < etcd->key_count; i++) {
        if (etcd->keys[i].text == text) {
            return i;
        }
    }
    ASSERT(false); /* all requests are about keys of this world */
    return -1;
}

static struct history_kv kv_of(const struct etcd_key *key, const struct etcd_version *version)
{
    return (struct history_kv){key->text,         version->value,   version->create_revision,
                               version->revision, version->version, version->lease};
}

/* ---- operations; the revision in work is etcd->revision + 1 ---- */

static struct history_kv *room_for_kvs(struct etcd *etcd, struct history_response *out)
{
    struct history_kv *kvs = arena_zalloc(etcd->arena, ETCD_KVS_MAX * sizeof(*kvs));
    out->kvs = kvs;
    return kvs;
}

static bool do_put(struct etcd *etcd, const struct history_request *request,
                   struct history_response *out)
{
    struct etcd_key *key = &etcd->keys[find_key(etcd, request->key)];
    const struct etcd_version *now = etcd_at(key, INT64_MAX);
    struct etcd_version version = {.revision = etcd->revision + 1,
                                   .create_revision = etcd->revision + 1,
                                   .version = 1,
                                   .value = request->value,
                                   .lease = request->lease};
    if (now != NULL) {
        version.create_revision = now->create_revision;
        version.version = now->version + 1;
        version.value = request->ignore_value ? now->value : request->value;
        version.lease = request->ignore_lease ? now->lease : request->lease;
        if (request->wants_prev_kv) {
            room_for_kvs(etcd, out)[out->kv_count++] = kv_of(key, now);
        }
    }
    add_version(etcd, key, version);
    return true;
}

static bool do_delete(struct etcd *etcd, const struct history_request *request,
                      struct history_response *out)
{
    struct history_kv *kvs = room_for_kvs(etcd, out);
    for (int i = 0; i < etcd->key_count; i++) {
        struct etcd_key *key = &etcd->keys[i];
        const struct etcd_version *now = etcd_at(key, INT64_MAX);
        if (now == NULL || !etcd_in_range(etcd, i, request->key, request->range_end)) {
            continue;
        }
        if (request->wants_prev_kv) {
            kvs[out->kv_count++] = kv_of(key, now);
        }
        out->count++;
        add_version(etcd, key,
                    (struct etcd_version){.revision = etcd->revision + 1, .is_delete = true});
    }
    return out->count > 0;
}

static int compare_mod(const void *a, const void *b)
{
    int64_t left = ((const struct history_kv *)a)->mod_revision;
    int64_t right = ((const struct history_kv *)b)->mod_revision;
    return left < right ? -1 : left > right;
}

static int compare_mod_down(const void *a, const void *b)
{
    return compare_mod(b, a);
}

static void do_range(struct etcd *etcd, const struct history_request *request, int64_t at_revision,
                     struct history_response *out)
{
    int64_t revision = request->revision > 0 ? request->revision
                       : at_revision > 0     ? at_revision
                                             : INT64_MAX;
    struct history_kv *kvs = room_for_kvs(etcd, out);
    uint32_t count = 0;
    for (int i = 0; i < etcd->key_count; i++) {
        const struct etcd_version *version = etcd_at(&etcd->keys[i], revision);
        if (version == NULL || !etcd_in_range(etcd, i, request->key, request->range_end)) {
            continue;
        }
        out->count++;
        if (request->filter == NULL || version->revision >= request->filter->min_mod) {
            kvs[count++] = kv_of(&etcd->keys[i], version);
        }
    }
    if (request->count_only) {
        return;
    }
    if (request->sort_target == HISTORY_SORT_MOD) {
        qsort(kvs, count, sizeof(*kvs),
              request->sort_order == HISTORY_ORDER_DESCEND ? compare_mod_down : compare_mod);
    }
    if (request->limit > 0 && count > request->limit) {
        count = (uint32_t)request->limit;
        out->more = true;
    }
    for (uint32_t i = 0; request->keys_only && i < count; i++) {
        kvs[i].value = HISTORY_EMPTY;
    }
    out->kv_count = count;
}

static bool holds(const struct etcd *etcd, const struct history_compare *compare)
{
    static const struct etcd_version NOTHING = {0};
    const struct etcd_version *version =
        etcd_at(&etcd->keys[find_key(etcd, compare->key)], etcd->revision);
    int64_t order = 0;
    if (version == NULL) {
        if (compare->target == HISTORY_TARGET_VALUE) {
            return false;
        }
        version = &NOTHING;
    }
    switch ((enum history_target)compare->target) {
    case HISTORY_TARGET_VERSION:
        order = version->version - compare->number;
        break;
    case HISTORY_TARGET_CREATE:
        order = version->create_revision - compare->number;
        break;
    case HISTORY_TARGET_MOD:
        order = version->revision - compare->number;
        break;
    case HISTORY_TARGET_LEASE:
        order = version->lease - compare->number;
        break;
    case HISTORY_TARGET_VALUE:
        order = bytes_compare(history_bytes(etcd->history, version->value),
                              history_bytes(etcd->history, compare->value));
        break;
    }
    switch ((enum history_result)compare->result) {
    case HISTORY_EQUAL:
        return order == 0;
    case HISTORY_GREATER:
        return order > 0;
    case HISTORY_LESS:
        return order < 0;
    case HISTORY_NOT_EQUAL:
        return order != 0;
    }
    return false;
}

/* What would stop it, before anything is changed. */
static enum history_error refuse(struct etcd *etcd, const struct history_request *request)
{
    if (request->kind == HISTORY_PUT) {
        if (request->lease != 0 && find_lease(etcd, request->lease) == NULL) {
            return HISTORY_ERROR_LEASE_NOT_FOUND;
        }
        bool is_there = etcd_at(&etcd->keys[find_key(etcd, request->key)], INT64_MAX) != NULL;
        return (request->ignore_value || request->ignore_lease) && !is_there
                   ? HISTORY_ERROR_KEY_NOT_FOUND
                   : HISTORY_ERROR_NONE;
    }
    if (request->kind == HISTORY_RANGE && request->revision > 0) {
        return request->revision < etcd->compacted  ? HISTORY_ERROR_COMPACTED
               : request->revision > etcd->revision ? HISTORY_ERROR_FUTURE
                                                    : HISTORY_ERROR_NONE;
    }
    return HISTORY_ERROR_NONE;
}

static bool all_hold(const struct etcd *etcd, const struct history_request *request)
{
    for (uint32_t i = 0; i < request->compare_count; i++) {
        if (!holds(etcd, &request->compares[i])) {
            return false;
        }
    }
    return true;
}

static enum history_error refuse_all(struct etcd *etcd, const struct history_request *request)
{
    if (request->kind != HISTORY_TXN) {
        return refuse(etcd, request);
    }
    bool yes = all_hold(etcd, request);
    uint32_t count = yes ? request->then_count : request->else_count;
    const struct history_request *branch = yes ? request->then_requests : request->else_requests;
    for (uint32_t i = 0; i < count; i++) {
        enum history_error error = refuse_all(etcd, &branch[i]);
        if (error != HISTORY_ERROR_NONE) {
            return error;
        }
    }
    return HISTORY_ERROR_NONE;
}

static bool do_kv(struct etcd *etcd, const struct history_request *request, int64_t at_revision,
                  struct history_response *out)
{
    bool changed = false;
    switch ((enum history_kind)request->kind) {
    case HISTORY_PUT:
        return do_put(etcd, request, out);
    case HISTORY_DELETE:
        return do_delete(etcd, request, out);
    case HISTORY_RANGE:
        do_range(etcd, request, at_revision, out);
        return false;
    case HISTORY_TXN: {
        out->succeeded = all_hold(etcd, request);
        out->response_count = out->succeeded ? request->then_count : request->else_count;
        const struct history_request *branch =
            out->succeeded ? request->then_requests : request->else_requests;
        struct history_response *nested =
            arena_zalloc(etcd->arena, (out->response_count + 1u) * sizeof(*nested));
        out->responses = nested;
        for (uint32_t i = 0; i < out->response_count; i++) {
            changed |= do_kv(etcd, &branch[i], 0, &nested[i]);
        }
        return changed;
    }
    case HISTORY_COMPACT:
    case HISTORY_GRANT:
    case HISTORY_REVOKE:
    case HISTORY_KEEPALIVE:
    case HISTORY_TIME_TO_LIVE:
        break;
    }
    return false;
}

/* ---- leases ---- */

static void end_lease(struct etcd *etcd, struct etcd_lease *lease)
{
    bool changed = false;
    lease->lives = false;
    for (int i = 0; i < etcd->key_count; i++) {
        const struct etcd_version *now = etcd_at(&etcd->keys[i], INT64_MAX);
        if (now != NULL && now->lease == lease->id) {
            add_version(etcd, &etcd->keys[i],
                        (struct etcd_version){.revision = etcd->revision + 1, .is_delete = true});
            changed = true;
        }
    }
    etcd->revision += changed;
}

bool etcd_expire(struct etcd *etcd, uint64_t now_ns)
{
    for (int i = 0; i < etcd->lease_count; i++) {
        if (etcd->leases[i].lives && etcd->leases[i].deadline_ns < now_ns) {
            end_lease(etcd, &etcd->leases[i]);
            return true;
        }
    }
    return false;
}

static enum history_error do_lease(struct etcd *etcd, const struct history_request *request,
                                   uint64_t now_ns, struct history_response *out)
{
    struct etcd_lease *lease = find_lease(etcd, request->lease);
    uint64_t second = 1000000000;
    if (request->kind == HISTORY_GRANT) {
        if (lease != NULL) {
            return HISTORY_ERROR_LEASE_EXISTS;
        }
        ASSERT(etcd->lease_count < ETCD_LEASES_MAX);
        int64_t id = request->lease != 0 ? request->lease : 1000 + etcd->lease_count;
        etcd->leases[etcd->lease_count++] = (struct etcd_lease){
            id, request->limit, now_ns + (uint64_t)request->limit * second, true};
        out->lease = id;
        out->count = request->limit;
    } else if (request->kind == HISTORY_REVOKE) {
        if (lease == NULL) {
            return HISTORY_ERROR_LEASE_NOT_FOUND;
        }
        end_lease(etcd, lease);
    } else if (request->kind == HISTORY_KEEPALIVE) {
        out->count = lease == NULL ? 0 : lease->ttl;
        if (lease != NULL) {
            lease->deadline_ns = now_ns + (uint64_t)lease->ttl * second;
        }
    } else {
        out->count = lease == NULL ? -1 : 0;
        out->granted_ttl = lease == NULL ? 0 : lease->ttl;
        if (lease != NULL && lease->deadline_ns > now_ns) {
            out->count = (int64_t)((lease->deadline_ns - now_ns) / second);
        }
    }
    return HISTORY_ERROR_NONE;
}

enum history_error etcd_do(struct etcd *etcd, const struct history_request *request,
                           uint64_t now_ns, int64_t at_revision, struct history_response *out)
{
    *out = (struct history_response){0};
    if (request->kind > HISTORY_COMPACT) {
        return do_lease(etcd, request, now_ns, out);
    }
    if (request->kind == HISTORY_COMPACT) {
        if (request->revision <= etcd->compacted) {
            return HISTORY_ERROR_COMPACTED;
        }
        if (request->revision > etcd->revision) {
            return HISTORY_ERROR_FUTURE;
        }
        etcd->compacted = request->revision;
        return HISTORY_ERROR_NONE;
    }
    enum history_error error = refuse_all(etcd, request);
    if (error == HISTORY_ERROR_NONE && do_kv(etcd, request, at_revision, out)) {
        etcd->revision++;
    }
    return error;
}
