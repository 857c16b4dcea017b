/* SPDX-License-Identifier: Apache-2.0 */
/* The index tree against a sorted array. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "engine/mvcc/btree.h"

#define ENTRIES_MAX 20000u

struct model {
    struct key_entry *entries[ENTRIES_MAX];
    bool live[ENTRIES_MAX];
    size_t count;
};

static size_t model_seek(const struct model *model, struct bytes key)
{
    size_t low = 0;
    size_t high = model->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (bytes_compare(key_entry_key(model->entries[middle]), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool model_has(const struct model *model, size_t at, struct bytes key)
{
    return at < model->count && bytes_equal(key_entry_key(model->entries[at]), key);
}

static void model_insert(struct model *model, size_t at, struct key_entry *entry, bool live)
{
    assert_true(model->count < ENTRIES_MAX);
    memmove(model->entries + at + 1, model->entries + at,
            (model->count - at) * sizeof(model->entries[0]));
    memmove(model->live + at + 1, model->live + at, model->count - at);
    model->entries[at] = entry;
    model->live[at] = live;
    model->count++;
}

static void model_remove(struct model *model, size_t at)
{
    model->count--;
    memmove(model->entries + at, model->entries + at + 1,
            (model->count - at) * sizeof(model->entries[0]));
    memmove(model->live + at, model->live + at + 1, model->count - at);
}

static uint64_t model_rank(const struct model *model, struct bytes key)
{
    uint64_t rank = 0;
    size_t end = model_seek(model, key);
    for (size_t i = 0; i < end; i++) {
        rank += model->live[i] ? 1 : 0;
    }
    return rank;
}

/* Keys of mixed shape: shared prefixes, one the prefix of another, zero bytes, bytes above 127. */
static struct bytes make_key(struct rng *rng, unsigned universe, uint8_t out[64])
{
    static const char *const PREFIXES[] = {"", "/registry/pods/default/", "/registry/pods/",
                                           "\xff\xfe"};
    uint64_t number = rng_below(rng, universe);
    const char *prefix = PREFIXES[number % 4];
    int size =
        snprintf((char *)out, 64, "%s%llx", prefix, (unsigned long long)(number * 2654435761u));
    for (uint64_t zeros = number % 3; zeros > 0; zeros--) {
        out[size++] = 0;
    }
    return bytes_of(out, (size_t)size);
}

static void compare_walks(const struct btree *tree, const struct model *model, struct bytes from)
{
    struct btree_cursor all;
    struct btree_cursor live;
    btree_seek(tree, from, &all);
    btree_seek(tree, from, &live);
    for (size_t i = model_seek(model, from); i < model->count; i++) {
        assert_ptr_equal(btree_next(&all), model->entries[i]);
        if (model->live[i]) {
            assert_ptr_equal(btree_next_live(&live), model->entries[i]);
        }
    }
    assert_null(btree_next(&all));
    assert_null(btree_next_live(&live));
}

static void step(struct btree *tree, struct model *model, struct rng *rng, unsigned universe,
                 unsigned remove_percent)
{
    uint8_t space[64];
    struct bytes key = make_key(rng, universe, space);
    size_t at = model_seek(model, key);
    bool live = rng_below(rng, 3) != 0;
    if (!model_has(model, at, key)) {
        assert_null(btree_find(tree, key));
        struct key_entry *entry = key_entry_new(key);
        model_insert(model, at, entry, live);
        btree_insert(tree, entry, live);
    } else if (rng_below(rng, 100) < remove_percent) {
        struct key_entry *entry = model->entries[at];
        assert_ptr_equal(btree_find(tree, key), entry);
        model_remove(model, at);
        btree_remove(tree, entry);
        key_entry_free(entry);
    } else {
        model->live[at] = live;
        btree_set_live(tree, model->entries[at], live);
    }
    key = make_key(rng, universe, space);
    assert_int_equal(btree_rank(tree, key), model_rank(model, key));
}

static void tear_down(struct btree *tree, struct model *model)
{
    while (model->count > 0) {
        size_t at = model->count / 2;
        btree_remove(tree, model->entries[at]);
        key_entry_free(model->entries[at]);
        model_remove(model, at);
        if (model->count % 512 == 0) {
            btree_check(tree);
        }
    }
    assert_int_equal(tree->count, 0);
    assert_int_equal(tree->live, 0);
    btree_free(tree);
    mem_free(model);
}

static void random_changes_leave_the_tree_equal_to_a_sorted_array(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct rng rng;
        struct btree tree;
        struct model *model = mem_zalloc(sizeof(*model));
        rng_seed(&rng, seed);
        btree_init(&tree);
        unsigned universe = seed % 2 == 0 ? 300 : 8000;

        for (unsigned i = 0; i < 20000; i++) {
            /* Phases that grow and phases that shrink the tree, so that merges happen. */
            step(&tree, model, &rng, universe, (i / 4000) % 2 == 0 ? 10 : 95);
            if (i % 1000 == 999) {
                uint8_t space[64];
                btree_check(&tree);
                compare_walks(&tree, model, make_key(&rng, universe, space));
            }
        }

        btree_check(&tree);
        compare_walks(&tree, model, (struct bytes){NULL, 0});
        tear_down(&tree, model);
    }
}

static void ascending_keys_fill_the_nodes(void **state)
{
    (void)state;
    struct btree tree;
    struct model *model = mem_zalloc(sizeof(*model));
    btree_init(&tree);

    for (unsigned i = 0; i < 10000; i++) {
        char text[32];
        snprintf(text, sizeof(text), "key/%08u", i);
        struct key_entry *entry = key_entry_new(bytes_of_str(text));
        btree_insert(&tree, entry, true);
        model_insert(model, model->count, entry, true);
    }

    btree_check(&tree);
    /* 16 bytes of head and pointer per key, and little more when nodes are full. */
    assert_true(tree.node_bytes < 10000 * 20);
    assert_int_equal(btree_rank(&tree, bytes_of_str("key/00005000")), 5000);
    tear_down(&tree, model);
}

static void descending_keys_keep_the_first_keys_of_inner_nodes_right(void **state)
{
    (void)state;
    struct btree tree;
    struct model *model = mem_zalloc(sizeof(*model));
    btree_init(&tree);

    for (unsigned i = 10000; i-- > 0;) {
        char text[32];
        snprintf(text, sizeof(text), "key/%08u", i);
        struct key_entry *entry = key_entry_new(bytes_of_str(text));
        btree_insert(&tree, entry, i % 2 == 0);
        model_insert(model, 0, entry, i % 2 == 0);
    }

    btree_check(&tree);
    assert_int_equal(tree.live, 5000);
    compare_walks(&tree, model, bytes_of_str("key/00000777"));
    tear_down(&tree, model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_changes_leave_the_tree_equal_to_a_sorted_array),
        cmocka_unit_test(ascending_keys_fill_the_nodes),
        cmocka_unit_test(descending_keys_keep_the_first_keys_of_inner_nodes_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
