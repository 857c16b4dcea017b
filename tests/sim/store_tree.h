/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ordered table of bytes as a B+tree that is copied on write: whoever holds a reference to a
 * root reads what it was, at no cost, while the table goes on. What nobody else holds is changed in
 * place. A put or removal is O(log n), a copy of the whole O(1).
 */
#ifndef TESTS_SIM_STORE_TREE_H
#define TESTS_SIM_STORE_TREE_H

#include "base/bytes.h"
#include "base/defs.h"

#define STORE_TREE_FAN       32u
#define STORE_TREE_DEPTH_MAX 20u

struct tree_node;

/* All zero: empty. */
struct store_tree {
    struct tree_node *root;
    size_t count;
};

/* A place in a tree that nobody changes meanwhile. */
struct tree_cursor {
    const struct tree_node *nodes[STORE_TREE_DEPTH_MAX];
    unsigned at[STORE_TREE_DEPTH_MAX];
    unsigned depth; /* 0: nowhere */
};

/* A second owner of the same contents. */
struct store_tree tree_share(const struct store_tree *tree);
void tree_drop(struct store_tree *tree);

/* Copies key and value. True when the key was there; then *out_old_size is its value's size. */
bool tree_put(struct store_tree *tree, struct bytes key, struct bytes value, size_t *out_old_size);
bool tree_remove(struct store_tree *tree, struct bytes key, size_t *out_old_size);

/* Bytes that these give live as long as somebody shares the tree as it is. */
bool tree_get(const struct store_tree *tree, struct bytes key, struct bytes *out_value);
bool tree_seek(const struct store_tree *tree, struct bytes from, struct tree_cursor *cursor,
               struct bytes *out_key, struct bytes *out_value);
bool tree_next(struct tree_cursor *cursor, struct bytes *out_key, struct bytes *out_value);

/* For tests: order, fill, depth and separators are as they must be. */
bool tree_is_sound(const struct store_tree *tree);

#endif
