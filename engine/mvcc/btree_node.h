/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the index tree: one node. For btree*.c alone. */
#ifndef ENGINE_MVCC_BTREE_NODE_H
#define ENGINE_MVCC_BTREE_NODE_H

#include "engine/mvcc/btree.h"

#define BTREE_FANOUT 64u
/* Below this a node is merged with a neighbour, when both together stay under BTREE_MERGED. */
#define BTREE_SPARSE    16u
#define BTREE_MERGED    48u
#define BTREE_DEPTH_MAX 16u

/* keys[i] is, in an inner node, the smallest entry under child i. heads[i]: see btree.h. */
struct btree_node {
    bool leaf;
    uint32_t count;
    uint32_t prefix_size; /* bytes shared by all keys of the node */
    uint64_t heads[BTREE_FANOUT];
    struct key_entry *keys[BTREE_FANOUT];
};

struct btree_leaf {
    struct btree_node node;
    uint64_t live_bits;
    struct btree_leaf *next;
    struct btree_leaf *previous;
};

struct btree_inner {
    struct btree_node node;
    struct btree_node *children[BTREE_FANOUT];
    uint64_t live[BTREE_FANOUT];
};

static inline struct btree_leaf *btree_leaf_of(struct btree_node *node)
{
    return (struct btree_leaf *)(void *)node;
}

static inline struct btree_inner *btree_inner_of(struct btree_node *node)
{
    return (struct btree_inner *)(void *)node;
}

/* The first position whose key is >= key, *out_equal when it is equal. */
uint32_t btree_node_seek(const struct btree_node *node, struct bytes key, bool *out_equal);

/* The child of an inner node under which key belongs. */
uint32_t btree_node_child(const struct btree_node *node, struct bytes key);

/* Opens a gap at position (arrays of the node and, for an inner node, of its children), sets the
 * key. */
void btree_node_insert_key(struct btree_node *node, uint32_t position, struct key_entry *entry);

/* Closes the gap at position in heads and keys. */
void btree_node_remove_key(struct btree_node *node, uint32_t position);

/* Replaces the key at position. */
void btree_node_set_key(struct btree_node *node, uint32_t position, struct key_entry *entry);

/* Computes prefix and heads afresh. */
void btree_node_rebuild(struct btree_node *node);

/* Live keys under the node. */
uint64_t btree_node_live(const struct btree_node *node);

/* Moves count keys (with children, live marks) from position on to the end of target. */
void btree_node_move(struct btree_node *source, uint32_t position, struct btree_node *target);

#endif
