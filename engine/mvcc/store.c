/* SPDX-License-Identifier: Apache-2.0 */
/* Batches of the store seam, and small reads that every user of it needs. */
#include "engine/mvcc/store.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"

#define BATCH_OPS_FIRST 64u

static const char *const TABLE_NAMES[] = {
    [STORE_KEY] = "key",
    [STORE_META] = "meta",
    [STORE_LEASE] = "lease",
    [STORE_ALARM] = "alarm",
    [STORE_AUTH] = "auth",
    [STORE_AUTH_USERS] = "authUsers",
    [STORE_AUTH_ROLES] = "authRoles",
    [STORE_MEMBERS] = "members",
    [STORE_MEMBERS_REMOVED] = "members_removed",
    [STORE_CLUSTER] = "cluster",
};
_Static_assert(ARRAY_COUNT(TABLE_NAMES) == STORE_TABLE_COUNT, "every table has a name");

const char *store_table_name(enum store_table table)
{
    ASSERT((size_t)table < ARRAY_COUNT(TABLE_NAMES));
    return TABLE_NAMES[table];
}

void store_batch_init(struct store_batch *batch)
{
    *batch = (struct store_batch){0};
    arena_init(&batch->arena, BUF_NO_LIMIT);
}

void store_batch_free(struct store_batch *batch)
{
    arena_free(&batch->arena);
    mem_free(batch->ops);
    store_batch_init(batch);
}

static void add_op(struct store_batch *batch, struct store_op op)
{
    ASSERT(op.key.size > 0 && op.key.size <= STORE_KEY_BYTES_MAX);
    if (batch->op_count == batch->op_capacity) {
        batch->op_capacity = batch->op_capacity == 0 ? BATCH_OPS_FIRST : batch->op_capacity * 2;
        batch->ops = mem_realloc(batch->ops, batch->op_capacity * sizeof(*batch->ops));
    }
    op.key = arena_copy(&batch->arena, op.key);
    batch->ops[batch->op_count++] = op;
    batch->bytes += op.key.size + op.value.size;
}

void store_batch_put(struct store_batch *batch, enum store_table table, struct bytes key,
                     struct bytes value)
{
    store_batch_put_borrowed(batch, table, key, arena_copy(&batch->arena, value));
}

void store_batch_put_borrowed(struct store_batch *batch, enum store_table table, struct bytes key,
                              struct bytes value)
{
    add_op(batch, (struct store_op){STORE_PUT, table, key, value});
}

void store_batch_remove(struct store_batch *batch, enum store_table table, struct bytes key)
{
    add_op(batch, (struct store_op){STORE_REMOVE, table, key, {NULL, 0}});
}

bool store_batch_empty(const struct store_batch *batch)
{
    return batch->op_count == 0 && batch->consistent_index == 0;
}

int store_view_get_u64(const struct store_seam *seam, struct store_view *view,
                       enum store_table table, struct bytes key, uint64_t *out_value)
{
    struct bytes value;
    int rc = seam->view_get(view, table, key, &value);
    if (rc != 0) {
        return rc;
    }
    if (value.size != sizeof(uint64_t)) {
        return E_CORRUPT;
    }
    *out_value = get_be64(value.data);
    return 0;
}

int store_read_position(const struct store_seam *seam, uint64_t *out_index, uint64_t *out_term)
{
    struct store_view *view;
    uint64_t index = 0;
    uint64_t term = 0;
    int rc = seam->view_begin(seam->ctx, &view);
    if (rc != 0) {
        return rc;
    }
    rc = store_view_get_u64(seam, view, STORE_META, bytes_of_str(STORE_META_CONSISTENT_INDEX),
                            &index);
    if (rc == 0 || rc == E_NOT_FOUND) {
        rc = store_view_get_u64(seam, view, STORE_META, bytes_of_str(STORE_META_TERM), &term);
    }
    seam->view_end(view);
    if (rc != 0 && rc != E_NOT_FOUND) {
        return rc;
    }
    *out_index = index;
    *out_term = term;
    return 0;
}
