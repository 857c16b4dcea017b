/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is refused before it is proposed, in etcd's order: sizes and keys first, then keys that a
 * transaction would write twice.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/map.h"
#include "engine/mvcc/kv.h"
#include "engine/proto/codec.h"

int kv_check_range(const Etcdserverpb__RangeRequest *request)
{
    if (request->key.len == 0) {
        return ETCD_ERR_EMPTY_KEY;
    }
    int order = (int)request->sort_order;
    int target = (int)request->sort_target;
    if (order < ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__NONE ||
        order > ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND ||
        target < ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__KEY ||
        target > ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__VALUE) {
        return ETCD_ERR_INVALID_SORT_OPTION;
    }
    return 0;
}

int kv_check_put(const Etcdserverpb__PutRequest *request)
{
    if (request->key.len == 0) {
        return ETCD_ERR_EMPTY_KEY;
    }
    if (request->ignore_value && request->value.len != 0) {
        return ETCD_ERR_VALUE_PROVIDED;
    }
    if (request->ignore_lease && request->lease != 0) {
        return ETCD_ERR_LEASE_PROVIDED;
    }
    return 0;
}

int kv_check_delete_range(const Etcdserverpb__DeleteRangeRequest *request)
{
    return request->key.len == 0 ? ETCD_ERR_EMPTY_KEY : 0;
}

/* ---- counts and forms ---- */

static int check_form(const Etcdserverpb__TxnRequest *request, size_t max_ops);

static int check_op(const Etcdserverpb__RequestOp *op, size_t max_ops)
{
    switch (op->request_case) {
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE:
        return kv_check_range(op->request_range);
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
        return kv_check_put(op->request_put);
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
        return kv_check_delete_range(op->request_delete_range);
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN:
        return check_form(op->request_txn, max_ops);
    case ETCDSERVERPB__REQUEST_OP__REQUEST__NOT_SET:
    default:
        return ETCD_ERR_KEY_NOT_FOUND;
    }
}

static int check_ops(Etcdserverpb__RequestOp *const *ops, size_t count, size_t max_ops)
{
    for (size_t i = 0; i < count; i++) {
        int rc = check_op(ops[i], max_ops);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int check_form(const Etcdserverpb__TxnRequest *request, size_t max_ops)
{
    size_t op_count = BASE_MAX(request->n_compare, request->n_success);
    op_count = BASE_MAX(op_count, request->n_failure);
    if (op_count > max_ops) {
        return ETCD_ERR_TOO_MANY_OPS;
    }
    for (size_t i = 0; i < request->n_compare; i++) {
        if (request->compare[i]->key.len == 0) {
            return ETCD_ERR_EMPTY_KEY;
        }
    }
    int rc = check_ops(request->success, request->n_success, max_ops - op_count);
    return rc != 0 ? rc : check_ops(request->failure, request->n_failure, max_ops - op_count);
}

/* ---- keys written twice ---- */

/* Keys from begin up to, not including, end. */
struct interval {
    struct bytes begin;
    struct bytes end;
};

/* Sorted and disjoint, so that asking is a binary search however many deletes a request holds. */
struct intervals {
    struct interval *items;
    size_t count;
};

/* What a list of operations writes. */
struct writes {
    struct map puts;
    struct intervals deletes;
};

struct check {
    struct arena arena; /* ends of single-key intervals */
};

static int compare_intervals(const void *a, const void *b)
{
    return bytes_compare(((const struct interval *)a)->begin, ((const struct interval *)b)->begin);
}

/* Joins what overlaps in a sorted run. */
static void coalesce(struct intervals *intervals)
{
    size_t kept = 0;
    for (size_t i = 0; i < intervals->count; i++) {
        struct interval next = intervals->items[i];
        struct interval *last = kept == 0 ? NULL : &intervals->items[kept - 1];
        if (last == NULL || bytes_compare(next.begin, last->end) > 0) {
            intervals->items[kept++] = next;
        } else if (bytes_compare(next.end, last->end) > 0) {
            last->end = next.end;
        }
    }
    intervals->count = kept;
}

/* Takes from's intervals into `into`. */
static void intervals_join(struct intervals *into, const struct intervals *from)
{
    if (from->count == 0) {
        return;
    }
    size_t room = into->count + (FUZZ_PLANT(kv_check_room) ? 0 : from->count);
    struct intervals joined = {mem_array(room, sizeof(struct interval)), 0};
    size_t a = 0;
    size_t b = 0;
    while (a < into->count || b < from->count) {
        bool from_first =
            a == into->count ||
            (b < from->count && compare_intervals(&from->items[b], &into->items[a]) < 0);
        joined.items[joined.count++] = from_first ? from->items[b++] : into->items[a++];
    }
    coalesce(&joined);
    mem_free(into->items);
    *into = joined;
}

static bool intervals_contain(const struct intervals *intervals, struct bytes key)
{
    size_t low = 0;
    size_t high = intervals->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (bytes_compare(intervals->items[middle].begin, key) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 && bytes_compare(key, intervals->items[low - 1].end) < 0;
}

/* The deletes of one level. An end of "\0" is taken literally, as etcd takes it here: such a delete
 * overlaps nothing ("replace everything" in one transaction is allowed). */
static void collect_deletes(struct check *check, Etcdserverpb__RequestOp *const *ops, size_t count,
                            struct intervals *out)
{
    *out = (struct intervals){mem_array(count + 1, sizeof(struct interval)), 0};
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->request_case != ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE) {
            continue;
        }
        const Etcdserverpb__DeleteRangeRequest *request = ops[i]->request_delete_range;
        struct interval interval = {proto_bytes(request->key), proto_bytes(request->range_end)};
        if (interval.end.size == 0) {
            uint8_t *end = arena_zalloc(&check->arena, interval.begin.size + 1);
            memcpy(end, interval.begin.data, interval.begin.size);
            interval.end = bytes_of(end, interval.begin.size + 1);
        }
        if (bytes_compare(interval.begin, interval.end) < 0) {
            out->items[out->count++] = interval;
        }
    }
    qsort(out->items, out->count, sizeof(struct interval), compare_intervals);
    coalesce(out);
}

static void writes_free(struct writes *writes)
{
    map_free(&writes->puts);
    mem_free(writes->deletes.items);
}

static bool put_is_known(struct writes *writes, struct bytes key)
{
    return map_get(&writes->puts, key) != NULL;
}

/* Takes in the puts of one branch below; those that `other` (its sibling branch) holds too are
 * fine, because only one of both runs. */
static int take_puts(struct writes *writes, const struct map *puts, const struct map *other)
{
    size_t cursor = 0;
    struct bytes key;
    void *value;
    while (map_next(puts, &cursor, &key, &value)) {
        bool excused = other != NULL && map_get(other, key) != NULL;
        if ((put_is_known(writes, key) && !excused) || intervals_contain(&writes->deletes, key)) {
            return ETCD_ERR_DUPLICATE_KEY;
        }
    }
    for (cursor = 0; map_next(puts, &cursor, &key, &value);) {
        (void)map_set(&writes->puts, key, writes);
    }
    return 0;
}

static int collect_writes(struct check *check, Etcdserverpb__RequestOp *const *ops, size_t count,
                          struct writes *out);

static int take_nested(struct check *check, const Etcdserverpb__TxnRequest *request,
                       struct writes *writes)
{
    struct writes success;
    struct writes failure;
    int rc = collect_writes(check, request->success, request->n_success, &success);
    int rc_failure = collect_writes(check, request->failure, request->n_failure, &failure);
    rc = rc != 0 ? rc : rc_failure;
    if (rc == 0) {
        rc = take_puts(writes, &success.puts, NULL);
    }
    if (rc == 0) {
        rc = take_puts(writes, &failure.puts, &success.puts);
    }
    intervals_join(&writes->deletes, &success.deletes);
    intervals_join(&writes->deletes, &failure.deletes);
    writes_free(&success);
    writes_free(&failure);
    return rc;
}

/* Gives *out (to be freed) also on failure. */
static int collect_writes(struct check *check, Etcdserverpb__RequestOp *const *ops, size_t count,
                          struct writes *out)
{
    int rc = 0;
    map_init(&out->puts);
    collect_deletes(check, ops, count, &out->deletes);
    for (size_t i = 0; i < count && rc == 0; i++) {
        if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN) {
            rc = take_nested(check, ops[i]->request_txn, out);
        }
    }
    for (size_t i = 0; i < count && rc == 0; i++) {
        if (ops[i]->request_case != ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT) {
            continue;
        }
        struct bytes key = proto_bytes(ops[i]->request_put->key);
        if (put_is_known(out, key) || intervals_contain(&out->deletes, key)) {
            rc = ETCD_ERR_DUPLICATE_KEY;
        } else {
            (void)map_set(&out->puts, key, out);
        }
    }
    return rc;
}

static int check_overlap(Etcdserverpb__RequestOp *const *ops, size_t count)
{
    struct check check;
    struct writes writes;
    arena_init(&check.arena, BUF_NO_LIMIT);
    int rc = collect_writes(&check, ops, count, &writes);
    writes_free(&writes);
    arena_free(&check.arena);
    return rc;
}

int kv_check_txn(const Etcdserverpb__TxnRequest *request, size_t max_ops)
{
    int rc = check_form(request, max_ops);
    if (rc == 0) {
        rc = check_overlap(request->success, request->n_success);
    }
    if (rc == 0) {
        rc = check_overlap(request->failure, request->n_failure);
    }
    return rc;
}

/* ---- kinds of transactions ---- */

static bool all_ranges(Etcdserverpb__RequestOp *const *ops, size_t count, bool serializable)
{
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->request_case != ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE) {
            return false;
        }
        if (serializable && !ops[i]->request_range->serializable) {
            return false;
        }
    }
    return true;
}

bool kv_txn_is_read_only(const Etcdserverpb__TxnRequest *request)
{
    return all_ranges(request->success, request->n_success, false) &&
           all_ranges(request->failure, request->n_failure, false);
}

bool kv_txn_is_serializable(const Etcdserverpb__TxnRequest *request)
{
    return all_ranges(request->success, request->n_success, true) &&
           all_ranges(request->failure, request->n_failure, true);
}
