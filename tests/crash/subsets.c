/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the pending things reach the disk: all subsets where they are few, chosen ones where
 * they are many. */
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "tests/crash/image.h"

#define ALL_SUBSETS_UNITS 8u   /* up to so many units: every subset */
#define ALL_NAMES_MAX     12u  /* up to so many combinations of prefixes: every one */
#define PRODUCT_MAX       512u /* up to so many: sectors and names combined freely */
#define FEW_SUBSETS       6u   /* of sectors, with a selection of names in the middle */

/* A list of selections of one kind, each of width flags. */
struct flag_sets {
    uint32_t width, count, capacity;
    bool *flags;
};

static bool *set_add(struct flag_sets *sets, bool value)
{
    if (sets->count == sets->capacity) {
        sets->capacity = sets->capacity == 0 ? 64 : sets->capacity * 2;
        sets->flags = mem_realloc(sets->flags, (size_t)sets->capacity * (sets->width + 1));
    }
    bool *set = sets->flags + (size_t)sets->count++ * (sets->width + 1);
    memset(set, value ? 1 : 0, sets->width + 1);
    return set;
}

static const bool *set_at(const struct flag_sets *sets, uint32_t at)
{
    return sets->flags + (size_t)at * (sets->width + 1);
}

/* ---- sectors and sizes ---- */

static void units_all(struct flag_sets *sets)
{
    for (uint32_t bits = 0; bits < 1u << sets->width; bits++) {
        bool *set = set_add(sets, false);
        for (uint32_t i = 0; i < sets->width; i++) {
            set[i] = (bits >> i & 1u) != 0;
        }
    }
}

/* None, all, one missing, one present, cuts, and random ones. */
static void units_chosen(struct flag_sets *sets, const struct subset_limits *limits,
                         struct rng *rng)
{
    uint32_t width = sets->width;
    uint32_t step = BASE_MAX(1u, width / BASE_MAX(1u, limits->singles));
    (void)set_add(sets, false);
    (void)set_add(sets, true);
    for (uint32_t i = (uint32_t)rng_below(rng, step); i < width; i += step) {
        set_add(sets, true)[i] = false;
        set_add(sets, false)[i] = true;
        memset(set_add(sets, false), 1, i);
    }
    for (uint32_t i = 0; i < limits->randoms; i++) {
        bool *set = set_add(sets, false);
        uint64_t of_eight = 1 + rng_below(rng, 7);
        for (uint32_t unit = 0; unit < width; unit++) {
            set[unit] = rng_below(rng, 8) < of_eight;
        }
    }
}

/* ---- names: of each folder a prefix ---- */

struct folders {
    uint32_t dirs[16];
    uint32_t totals[16]; /* pending changes in it */
    uint32_t count;
};

static uint32_t folder_place(struct folders *folders, uint32_t dir)
{
    uint32_t at = 0;
    while (at < folders->count && folders->dirs[at] != dir) {
        at++;
    }
    if (at == folders->count && folders->count < ARRAY_COUNT(folders->dirs)) {
        folders->dirs[folders->count++] = dir;
        folders->totals[at] = 0;
    }
    return BASE_MIN(at, (uint32_t)ARRAY_COUNT(folders->dirs) - 1);
}

/* Selects of each folder the first prefix[folder] changes. */
static void names_select(const struct cursor *cursor, struct folders *folders,
                         const uint32_t *prefix, bool *set)
{
    uint32_t seen[16] = {0};
    for (uint32_t i = 0; i < cursor->dir_op_count; i++) {
        uint32_t at = folder_place(folders, cursor->dir_ops[i]->dir);
        set[i] = seen[at]++ < prefix[at];
    }
}

static void names_product(const struct cursor *cursor, struct folders *folders,
                          struct flag_sets *sets)
{
    uint32_t prefix[16] = {0};
    for (;;) {
        names_select(cursor, folders, prefix, set_add(sets, false));
        uint32_t at = 0;
        while (at < folders->count && prefix[at] == folders->totals[at]) {
            prefix[at++] = 0;
        }
        if (at == folders->count) {
            return;
        }
        prefix[at]++;
    }
}

static void names_fill(const struct cursor *cursor, struct flag_sets *sets)
{
    struct folders folders = {.count = 0};
    uint64_t product = 1;
    for (uint32_t i = 0; i < cursor->dir_op_count; i++) {
        folders.totals[folder_place(&folders, cursor->dir_ops[i]->dir)]++;
    }
    for (uint32_t i = 0; i < folders.count; i++) {
        product *= folders.totals[i] + 1;
    }
    (void)set_add(sets, true);
    if (cursor->dir_op_count == 0) {
        return;
    }
    (void)set_add(sets, false);
    if (product <= ALL_NAMES_MAX) {
        names_product(cursor, &folders, sets);
        return;
    }
    for (uint32_t cut = 1; cut < cursor->dir_op_count; cut++) { /* the order in which they came */
        memset(set_add(sets, false), 1, cut);
    }
    for (uint32_t i = 0; i < folders.count; i++) { /* one folder alone, and all but one */
        uint32_t prefix[16] = {0};
        prefix[i] = folders.totals[i];
        names_select(cursor, &folders, prefix, set_add(sets, false));
        memcpy(prefix, folders.totals, sizeof(prefix));
        prefix[i] = 0;
        names_select(cursor, &folders, prefix, set_add(sets, false));
    }
}

void selections_each(const struct cursor *cursor, const struct subset_limits *limits, uint64_t seed,
                     selection_fn each, void *ctx)
{
    struct flag_sets units = {.width = cursor->unit_count};
    struct flag_sets names = {.width = cursor->dir_op_count};
    struct rng rng;
    uint32_t index = 0;
    bool go_on = true;
    rng_seed(&rng, seed);
    if (cursor->unit_count <= ALL_SUBSETS_UNITS) {
        units_all(&units);
    } else {
        units_chosen(&units, limits, &rng);
    }
    names_fill(cursor, &names);
    bool free_product = (uint64_t)units.count * names.count <= PRODUCT_MAX;
    for (uint32_t i = 0; go_on && i < names.count; i++) {
        bool whole = free_product || i < 2; /* all names, and none */
        for (uint32_t j = 0; go_on && j < (whole ? units.count : FEW_SUBSETS); j++) {
            uint32_t at = whole || j < 2 ? j : (uint32_t)rng_below(&rng, units.count);
            struct selection selection = {set_at(&units, at), set_at(&names, i)};
            go_on = each(ctx, index++, &selection);
        }
    }
    mem_free(units.flags);
    mem_free(names.flags);
}
