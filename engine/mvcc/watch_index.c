/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ranges are a treap ordered by begin: random priorities keep it flat whatever order and ranges
 * clients choose. Each node points to the group of its subtree that ends last, so that a search for
 * a key leaves out what ends before it.
 */
#include "engine/mvcc/watch_index.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "engine/mvcc/watch.h"

#define RECENT_FIRST_CAPACITY 8u

void watch_index_init(struct watch_index *index, uint64_t seed)
{
    *index = (struct watch_index){0};
    map_init_seeded(&index->points, seed);
    map_init_seeded(&index->ranges, seed);
    rng_seed(&index->rng, seed);
}

void watch_index_free(struct watch_index *index)
{
    ASSERT(index->root == NULL && index->points.count == 0 && index->ranges.count == 0);
    map_free(&index->points);
    map_free(&index->ranges);
}

/* ---- the tree ---- */

/* Order by begin; several ranges may share one: then by address, which is as good as any. */
static bool group_before(const struct watch_group *a, const struct watch_group *b)
{
    int order = bytes_compare(a->span.begin, b->span.begin);
    return order != 0 ? order < 0 : (uintptr_t)a < (uintptr_t)b;
}

static bool group_ends_after(const struct watch_group *a, const struct watch_group *b)
{
    if (a->span.kind == SPAN_FROM || b->span.kind == SPAN_FROM) {
        return a->span.kind == SPAN_FROM && b->span.kind != SPAN_FROM;
    }
    return bytes_compare(a->span.end, b->span.end) > 0;
}

static void node_update(struct watch_group *node)
{
    node->furthest = node;
    if (node->left != NULL && group_ends_after(node->left->furthest, node->furthest)) {
        node->furthest = node->left->furthest;
    }
    if (node->right != NULL && group_ends_after(node->right->furthest, node->furthest)) {
        node->furthest = node->right->furthest;
    }
}

/* Splits into what is before pivot and what is not. */
static void tree_split(struct watch_group *root, const struct watch_group *pivot,
                       struct watch_group **out_before, struct watch_group **out_after)
{
    if (root == NULL) {
        *out_before = NULL;
        *out_after = NULL;
        return;
    }
    if (group_before(root, pivot)) {
        tree_split(root->right, pivot, &root->right, out_after);
        *out_before = root;
    } else {
        tree_split(root->left, pivot, out_before, &root->left);
        *out_after = root;
    }
    node_update(root);
}

static struct watch_group *tree_join(struct watch_group *left, struct watch_group *right)
{
    if (left == NULL || right == NULL) {
        return left != NULL ? left : right;
    }
    struct watch_group *root = left->priority > right->priority ? left : right;
    if (root == left) {
        left->right = tree_join(left->right, right);
    } else {
        right->left = tree_join(left, right->left);
    }
    node_update(root);
    return root;
}

static void tree_insert(struct watch_group **link, struct watch_group *group)
{
    if (*link != NULL && (*link)->priority > group->priority) {
        tree_insert(group_before(*link, group) ? &(*link)->right : &(*link)->left, group);
        node_update(*link);
        return;
    }
    tree_split(*link, group, &group->left, &group->right);
    node_update(group);
    *link = group;
}

static void tree_remove(struct watch_group **link, struct watch_group *group)
{
    ASSERT(*link != NULL);
    if (*link == group) {
        *link = tree_join(group->left, group->right);
        return;
    }
    tree_remove(group_before(*link, group) ? &(*link)->right : &(*link)->left, group);
    node_update(*link);
}

static void tree_each(const struct watch_group *root, struct bytes key, watch_group_fn visit,
                      void *ctx)
{
    if (root == NULL) {
        return;
    }
    const struct key_span *furthest = &root->furthest->span;
    if (furthest->kind != SPAN_FROM && bytes_compare(key, furthest->end) >= 0) {
        return;
    }
    tree_each(root->left, key, visit, ctx);
    if (bytes_compare(key, root->span.begin) < 0) {
        return;
    }
    if (root->span.kind == SPAN_FROM || bytes_compare(key, root->span.end) < 0) {
        visit(ctx, (struct watch_group *)(uintptr_t)root);
    }
    tree_each(root->right, key, visit, ctx);
}

/* ---- groups ---- */

/* No two spans have the same name: the size of begin says where end starts, FROM has no end. */
static void range_name(const struct key_span *span, struct buf *out)
{
    buf_append_be64(out, span->begin.size);
    buf_append(out, span->begin.data, span->begin.size);
    if (span->kind == SPAN_RANGE) {
        buf_append(out, span->end.data, span->end.size);
    }
}

static struct watch_group *group_new(const struct key_span *span)
{
    struct watch_group *group = mem_zalloc(sizeof(*group));
    group->span.kind = span->kind;
    group->span.begin = bytes_of(mem_dup(span->begin.data, span->begin.size), span->begin.size);
    if (span->kind == SPAN_RANGE) {
        group->span.end = bytes_of(mem_dup(span->end.data, span->end.size), span->end.size);
    }
    list_init(&group->idle_watchers);
    return group;
}

struct watch_group *watch_index_get(struct watch_index *index, const struct key_span *span)
{
    if (span->kind == SPAN_ONE) {
        struct watch_group *point = map_get(&index->points, span->begin);
        if (point == NULL) {
            point = group_new(span);
            map_set(&index->points, span->begin, point);
        }
        return point;
    }
    struct buf name;
    buf_init(&name, BUF_NO_LIMIT);
    range_name(span, &name);
    struct watch_group *group = map_get(&index->ranges, buf_bytes(&name));
    if (group == NULL) {
        group = group_new(span);
        group->priority = rng_next(&index->rng);
        map_set(&index->ranges, buf_bytes(&name), group);
        tree_insert(&index->root, group);
    }
    buf_free(&name);
    return group;
}

void watch_index_drop(struct watch_index *index, struct watch_group *group)
{
    ASSERT(group->watcher_count == 0 && group->live_count == 0);
    ASSERT(list_empty(&group->idle_watchers));
    void *known = NULL;
    if (group->span.kind == SPAN_ONE) {
        known = map_remove(&index->points, group->span.begin);
    } else {
        struct buf name;
        buf_init(&name, BUF_NO_LIMIT);
        range_name(&group->span, &name);
        known = map_remove(&index->ranges, buf_bytes(&name));
        buf_free(&name);
        tree_remove(&index->root, group);
    }
    ASSERT(known == group);
    mem_free(group->recent);
    mem_free((void *)(uintptr_t)group->span.begin.data);
    mem_free((void *)(uintptr_t)group->span.end.data);
    mem_free(group);
}

void watch_index_each(const struct watch_index *index, struct bytes key, watch_group_fn visit,
                      void *ctx)
{
    struct watch_group *point = map_get(&index->points, key);
    if (point != NULL) {
        visit(ctx, point);
    }
    tree_each(index->root, key, visit, ctx);
}

/* ---- recent events of a group ---- */

static void recent_grow(struct watch_group *group)
{
    size_t capacity =
        group->recent_capacity == 0 ? RECENT_FIRST_CAPACITY : group->recent_capacity * 2;
    uint64_t *recent = mem_array(capacity, sizeof(*recent));
    for (uint64_t at = group->recent_begin; at < group->recent_end; at++) {
        recent[at & (capacity - 1)] = group->recent[at & (group->recent_capacity - 1)];
    }
    mem_free(group->recent);
    group->recent = recent;
    group->recent_capacity = capacity;
}

void watch_group_push(struct watch_group *group, uint64_t sequence)
{
    uint64_t count = group->recent_end - group->recent_begin;
    if (count == WATCH_GROUP_EVENTS_MAX) {
        group->recent_begin++;
    } else if (count == group->recent_capacity) {
        recent_grow(group);
    }
    group->recent[group->recent_end & (group->recent_capacity - 1)] = sequence;
    group->recent_end++;
}

uint64_t watch_group_at(const struct watch_group *group, uint64_t position)
{
    ASSERT(position >= group->recent_begin && position < group->recent_end);
    return group->recent[position & (group->recent_capacity - 1)];
}

void watch_group_forget(struct watch_group *group)
{
    ASSERT(group->live_count == 0);
    group->recent_begin = group->recent_end;
    if (group->recent_capacity > RECENT_FIRST_CAPACITY) {
        mem_free(group->recent);
        group->recent = NULL;
        group->recent_capacity = 0;
    }
}
