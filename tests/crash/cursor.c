/* SPDX-License-Identifier: Apache-2.0 */
/* The cursor: what is durable and what is pending after so many operations. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/crash/image.h"

static uint64_t durable_hash(const struct file_state *file)
{
    return bytes_hash(file->durable_size, file->durable, (size_t)file->durable_size);
}

/* Makes what is live durable. */
static void file_settle(struct file_state *file)
{
    file->durable = mem_realloc(file->durable, (size_t)file->live_size + 1);
    memcpy(file->durable, file->live, (size_t)file->live_size);
    file->durable_size = file->live_size;
    file->durable_hash = durable_hash(file);
}

void cursor_init(struct cursor *cursor, const struct journal *journal, enum crash_lie lie)
{
    *cursor = (struct cursor){.journal = journal, .lie = lie, .node_count = journal->node_count};
    cursor->files = mem_array(journal->node_count, sizeof(*cursor->files));
    cursor->names = mem_array(journal->node_count, sizeof(*cursor->names));
    for (uint32_t i = 0; i < journal->node_count; i++) {
        struct file_state *file = &cursor->files[i];
        file->live_size = file->live_capacity = journal->nodes[i].size;
        file->live = mem_alloc((size_t)file->live_size + 1);
        if (file->live_size > 0) {
            memcpy(file->live, journal->nodes[i].data, (size_t)file->live_size);
        }
        file_settle(file);
        dir_names_copy(&cursor->names[i], &journal->nodes[i].names);
    }
}

void cursor_free(struct cursor *cursor)
{
    for (uint32_t i = 0; i < cursor->node_count; i++) {
        mem_free(cursor->files[i].live);
        mem_free(cursor->files[i].durable);
        dir_names_free(&cursor->names[i]);
    }
    for (uint32_t i = 0; i < cursor->unit_count; i++) {
        mem_free(cursor->units[i].data);
    }
    mem_free(cursor->files);
    mem_free(cursor->names);
    mem_free(cursor->units);
    mem_free(cursor->dir_ops);
}

/* ---- pending sectors and sizes ---- */

static struct unit *unit_add(struct cursor *cursor, uint32_t node)
{
    if (cursor->unit_count == cursor->unit_capacity) {
        cursor->unit_capacity = cursor->unit_capacity == 0 ? 64 : cursor->unit_capacity * 2;
        cursor->units = mem_realloc(cursor->units, cursor->unit_capacity * sizeof(*cursor->units));
    }
    struct unit *unit = &cursor->units[cursor->unit_count++];
    *unit = (struct unit){.node = node};
    return unit;
}

/* Drops the pending units of node for which keep says no. */
static void units_drop(struct cursor *cursor, uint32_t node, uint64_t first, uint64_t last)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < cursor->unit_count; i++) {
        struct unit *unit = &cursor->units[i];
        bool covered = unit->kind != UNIT_SECTOR ? last == UINT64_MAX
                                                 : unit->sector >= first && unit->sector <= last;
        if (unit->node == node && covered) {
            mem_free(unit->data);
        } else {
            cursor->units[kept++] = *unit;
        }
    }
    cursor->unit_count = kept;
}

static void live_grow(struct file_state *file, uint64_t size)
{
    if (size > file->live_capacity) {
        file->live_capacity = BASE_MAX(size, file->live_capacity * 2);
        file->live = mem_realloc(file->live, (size_t)file->live_capacity);
    }
    if (size > file->live_size) {
        memset(file->live + file->live_size, 0, (size_t)(size - file->live_size));
        file->live_size = size;
    }
}

static void sector_add(struct cursor *cursor, uint32_t node, uint64_t sector)
{
    const struct file_state *file = &cursor->files[node];
    uint64_t start = sector * SECTOR_BYTES;
    struct unit *unit = unit_add(cursor, node);
    unit->kind = UNIT_SECTOR;
    unit->sector = sector;
    unit->size = file->live_size;
    unit->data = mem_zalloc(SECTOR_BYTES);
    memcpy(unit->data, file->live + start,
           (size_t)BASE_MIN((uint64_t)SECTOR_BYTES, file->live_size - start));
}

/* Bytes that do not change are no event: zeros that a file grows by count as its size alone. */
static void step_write(struct cursor *cursor, const struct op *op)
{
    struct file_state *file = &cursor->files[op->node];
    uint64_t end = op->offset + op->size;
    bool grows = end > file->live_size;
    live_grow(file, end);
    if (grows) {
        struct unit *unit = unit_add(cursor, op->node);
        unit->kind = UNIT_GROW;
        unit->size = end;
    }
    for (uint64_t at = op->offset; at < end;) {
        uint64_t sector = at / SECTOR_BYTES;
        uint64_t stop = BASE_MIN(end, (sector + 1) * SECTOR_BYTES);
        const uint8_t *data = op->data + (at - op->offset);
        if (memcmp(file->live + at, data, (size_t)(stop - at)) != 0) {
            memcpy(file->live + at, data, (size_t)(stop - at));
            sector_add(cursor, op->node, sector);
        }
        at = stop;
    }
}

static void step_truncate(struct cursor *cursor, const struct op *op)
{
    struct file_state *file = &cursor->files[op->node];
    if (op->offset == file->live_size) {
        return;
    }
    struct unit *unit = unit_add(cursor, op->node);
    unit->kind = op->offset < file->live_size ? UNIT_CUT : UNIT_GROW;
    unit->size = op->offset;
    live_grow(file, op->offset);
    file->live_size = op->offset;
}

static void step_sync(struct cursor *cursor, const struct op *op)
{
    file_settle(&cursor->files[op->node]);
    units_drop(cursor, op->node, 0, UINT64_MAX);
}

static void step_sync_range(struct cursor *cursor, const struct op *op)
{
    struct file_state *file = &cursor->files[op->node];
    uint64_t end = op->offset + op->size;
    if (end > file->durable_size) {
        file->durable = mem_realloc(file->durable, (size_t)end);
        memset(file->durable + file->durable_size, 0, (size_t)(end - file->durable_size));
        file->durable_size = end;
    }
    uint64_t first = op->offset / SECTOR_BYTES;
    uint64_t last = (end - 1) / SECTOR_BYTES;
    uint64_t stop = BASE_MIN((last + 1) * SECTOR_BYTES, file->durable_size);
    memcpy(file->durable + first * SECTOR_BYTES, file->live + first * SECTOR_BYTES,
           (size_t)(stop - first * SECTOR_BYTES));
    file->durable_hash = durable_hash(file);
    units_drop(cursor, op->node, first, last);
}

/* ---- names ---- */

static void names_change(struct dir_names *names, const struct op *op)
{
    if (op->kind == OP_LINK) {
        dir_names_set(names, op->name, op->node);
        return;
    }
    dir_names_remove(names, op->name);
    if (op->kind == OP_RENAME) {
        dir_names_set(names, op->to_name, op->node);
    }
}

static void step_name(struct cursor *cursor, const struct op *op)
{
    if (cursor->dir_op_count == cursor->dir_op_capacity) {
        cursor->dir_op_capacity = cursor->dir_op_capacity == 0 ? 16 : cursor->dir_op_capacity * 2;
        cursor->dir_ops =
            mem_realloc(cursor->dir_ops, cursor->dir_op_capacity * sizeof(*cursor->dir_ops));
    }
    cursor->dir_ops[cursor->dir_op_count++] = op;
}

static void step_sync_dir(struct cursor *cursor, uint32_t dir)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < cursor->dir_op_count; i++) {
        const struct op *op = cursor->dir_ops[i];
        if (op->dir == dir) {
            names_change(&cursor->names[dir], op);
        } else {
            cursor->dir_ops[kept++] = op;
        }
    }
    cursor->dir_op_count = kept;
}

/* ---- planted lies ---- */

/* The last flush of a file before it is renamed. */
static bool is_flush_before_rename(const struct cursor *cursor, uint32_t node)
{
    for (uint32_t i = cursor->at; i < cursor->journal->op_count; i++) {
        const struct op *op = &cursor->journal->ops[i];
        if (op->node == node && (op->kind == OP_SYNC || op->kind == OP_RENAME)) {
            return op->kind == OP_RENAME;
        }
    }
    return false;
}

static bool is_lied_about(const struct cursor *cursor, const struct op *op)
{
    const char *label = op->node == NODE_NONE ? "" : cursor->journal->nodes[op->node].label;
    switch (cursor->lie) {
    case LIE_SKIP_DIR_SYNC:
        return op->kind == OP_SYNC_DIR;
    case LIE_SKIP_WAL_SYNC:
        return op->kind == OP_SYNC && strstr(label, "wal/") != NULL;
    case LIE_SKIP_STORE_SYNC:
        return op->kind == OP_SYNC && strstr(label, ".lmdb") != NULL;
    case LIE_RENAME_BEFORE_SYNC:
        return op->kind == OP_SYNC && is_flush_before_rename(cursor, op->node);
    case LIE_SKIP_MARK_SYNC:
        return op->kind == OP_SYNC && str_ends_with(label, ".mark");
    case LIE_NONE:
    case LIE_COUNT:
        break;
    }
    return false;
}

void cursor_step(struct cursor *cursor)
{
    ASSERT(cursor->at < cursor->journal->op_count);
    const struct op *op = &cursor->journal->ops[cursor->at++];
    bool is_lock = op->node != NODE_NONE && cursor->journal->nodes[op->node].is_lock;
    if (is_lied_about(cursor, op)) {
        return;
    }
    switch (op->kind) {
    case OP_WRITE:
        step_write(cursor, op);
        break;
    case OP_TRUNCATE:
        step_truncate(cursor, op);
        break;
    case OP_SYNC:
        step_sync(cursor, op);
        break;
    case OP_SYNC_RANGE:
        step_sync_range(cursor, op);
        break;
    case OP_SYNC_DIR:
        step_sync_dir(cursor, op->node);
        break;
    case OP_LINK:
    case OP_UNLINK:
    case OP_RENAME:
        step_name(cursor, op);
        break;
    case OP_NOTE:
        ASSERT(op->note < NOTES_MAX);
        cursor->notes[op->note] = op->value;
        break;
    }
    if (is_lock && (op->kind == OP_WRITE || op->kind == OP_TRUNCATE)) {
        step_sync(cursor, op); /* whatever it holds, it is made anew */
    }
}
