/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ordered index: a B+tree of key entries with the count of live keys under every child, so that
 * counting a range needs two descents. Nodes compare by eight key bytes behind the prefix that all
 * keys of the node share; full keys are read only on a tie. The tree borrows the entries.
 */
#ifndef ENGINE_MVCC_BTREE_H
#define ENGINE_MVCC_BTREE_H

#include "engine/mvcc/keyindex.h"

struct btree_node;

struct btree {
    struct btree_node *root;
    uint64_t count; /* entries */
    uint64_t live;  /* of them live */
    size_t node_bytes;
};

/* A place in the tree; dead after an insert or a remove. */
struct btree_cursor {
    struct btree_node *leaf;
    uint32_t position;
};

void btree_init(struct btree *tree);

/* Frees the nodes; the entries are the caller's. */
void btree_free(struct btree *tree);

/* The entry of key, or NULL. */
struct key_entry *btree_find(const struct btree *tree, struct bytes key);

/* Inserts an entry whose key is not there yet, as live or not. */
void btree_insert(struct btree *tree, struct key_entry *entry, bool live);

/* Takes the entry out; it must be there. */
void btree_remove(struct btree *tree, struct key_entry *entry);

/* Says whether the entry counts as live from now on. */
void btree_set_live(struct btree *tree, struct key_entry *entry, bool live);

/* How many live keys are below key. */
uint64_t btree_rank(const struct btree *tree, struct bytes key);

/* Puts the cursor on the first entry with a key >= key (which may be past the end). */
void btree_seek(const struct btree *tree, struct bytes key, struct btree_cursor *out_cursor);

/* The entry at the cursor, which moves on; NULL at the end. */
struct key_entry *btree_next(struct btree_cursor *cursor);

/* As btree_next, skipping entries that are not live without reading them. */
struct key_entry *btree_next_live(struct btree_cursor *cursor);

/* Asserts every invariant of the structure (for tests). */
void btree_check(const struct btree *tree);

#endif
