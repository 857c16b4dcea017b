/* SPDX-License-Identifier: Apache-2.0 */
/* Merged runs of keys. */
#include "engine/mvcc/auth_perm.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"

#define SPANS_FIRST 8u

void perm_set_init(struct perm_set *set)
{
    *set = (struct perm_set){0};
}

void perm_set_free(struct perm_set *set)
{
    mem_free(set->spans);
    mem_free(set->merged);
    perm_set_init(set);
}

/* Order of bounds: no bytes at all is the greatest. */
static int bound_compare(struct bytes a, struct bytes b)
{
    if (a.size == 0 || b.size == 0) {
        return (a.size == 0) - (b.size == 0);
    }
    return bytes_compare(a, b);
}

static bool is_open(struct bytes range_end)
{
    return range_end.size == 1 && range_end.data[0] == 0;
}

static struct bytes behind(struct bytes key, struct arena *arena)
{
    uint8_t *bytes = arena_zalloc(arena, key.size + 1);
    if (key.size > 0) {
        memcpy(bytes, key.data, key.size);
    }
    return bytes_of(bytes, key.size + 1);
}

void perm_set_add(struct perm_set *set, struct bytes key, struct bytes range_end,
                  struct arena *arena)
{
    struct perm_span span = {.begin = key, .end = range_end};
    if (range_end.size == 0) {
        span.end = behind(key, arena);
    } else if (is_open(range_end)) {
        span.end = (struct bytes){NULL, 0};
    }
    if (bound_compare(span.begin, span.end) >= 0) {
        set->has_odd = true;
    }
    if (set->span_count == set->span_capacity) {
        set->span_capacity = set->span_capacity == 0 ? SPANS_FIRST : set->span_capacity * 2;
        set->spans = mem_realloc(set->spans, set->span_capacity * sizeof(*set->spans));
    }
    set->spans[set->span_count++] = span;
}

static int by_begin(const void *left, const void *right)
{
    const struct perm_span *a = left;
    const struct perm_span *b = right;
    int order = bound_compare(a->begin, b->begin);
    return order != 0 ? order : bound_compare(a->end, b->end);
}

void perm_set_finish(struct perm_set *set)
{
    ASSERT(set->merged == NULL);
    if (set->span_count == 0) {
        return;
    }
    qsort(set->spans, set->span_count, sizeof(*set->spans), by_begin);
    set->merged = mem_alloc(set->span_count * sizeof(*set->merged));
    for (size_t i = 0; i < set->span_count; i++) {
        struct perm_span span = set->spans[i];
        struct perm_span *last =
            set->merged_count == 0 ? NULL : &set->merged[set->merged_count - 1];
        if (last == NULL || bound_compare(last->end, span.begin) < 0) {
            set->merged[set->merged_count++] = span;
        } else if (bound_compare(last->end, span.end) < 0) {
            last->end = span.end;
        }
    }
}

/* The last of the merged spans that begins at key or before; NULL: none. */
static const struct perm_span *merged_before(const struct perm_set *set, struct bytes key)
{
    size_t low = 0;
    size_t high = set->merged_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (bound_compare(set->merged[middle].begin, key) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == 0 ? NULL : &set->merged[low - 1];
}

static bool holds_key(const struct perm_set *set, struct bytes key)
{
    if (key.size == 0) {
        return false;
    }
    if (!set->has_odd) {
        const struct perm_span *span = merged_before(set, key);
        return span != NULL && bound_compare(span->end, key) > 0;
    }
    for (size_t i = 0; i < set->span_count; i++) {
        if (bound_compare(set->spans[i].begin, key) <= 0 &&
            bound_compare(set->spans[i].end, key) > 0) {
            return true;
        }
    }
    return false;
}

/* One after the other, those that overlap what is asked: the rule itself, for odd input. */
static bool holds_by_scan(const struct perm_set *set, struct perm_span asked)
{
    struct bytes first = {NULL, 0};
    struct bytes last = {NULL, 0};
    bool any = false;
    for (size_t i = 0; i < set->span_count; i++) {
        const struct perm_span *span = &set->spans[i];
        if (bound_compare(span->begin, asked.end) >= 0 ||
            bound_compare(span->end, asked.begin) <= 0) {
            continue;
        }
        if (!any) {
            any = true;
            first = span->begin;
            last = span->end;
        } else if (bound_compare(last, span->begin) < 0) {
            return false;
        } else if (bound_compare(span->end, last) > 0) {
            last = span->end;
        }
    }
    return any && bound_compare(last, asked.end) >= 0 && bound_compare(first, asked.begin) <= 0;
}

bool perm_set_holds(const struct perm_set *set, struct bytes key, struct bytes range_end)
{
    if (range_end.size == 0) {
        return holds_key(set, key);
    }
    struct perm_span asked = {.begin = key,
                              .end = is_open(range_end) ? (struct bytes){NULL, 0} : range_end};
    if (set->has_odd || bound_compare(asked.begin, asked.end) >= 0) {
        return holds_by_scan(set, asked);
    }
    const struct perm_span *span = merged_before(set, key);
    return span != NULL && bound_compare(span->end, asked.end) >= 0;
}
