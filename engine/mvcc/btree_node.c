/* SPDX-License-Identifier: Apache-2.0 */
/* One node of the index tree: search by key heads, gaps, moving keys between nodes. */
#include "engine/mvcc/btree_node.h"

#include "base/assert.h"

#define HEAD_BYTES 8u

/* Eight bytes of key from prefix_size on as a number, short keys padded with zeros: if heads
 * differ, keys differ in the same direction. */
static uint64_t head_of(struct bytes key, uint32_t prefix_size)
{
    if (key.size >= (size_t)prefix_size + HEAD_BYTES) {
        return get_be64(key.data + prefix_size);
    }
    uint8_t padded[HEAD_BYTES] = {0};
    if (key.size > prefix_size) {
        memcpy(padded, key.data + prefix_size, key.size - prefix_size);
    }
    return get_be64(padded);
}

static uint32_t shared_prefix(const struct key_entry *a, const struct key_entry *b)
{
    uint32_t limit = BASE_MIN(a->key_size, b->key_size);
    uint32_t shared = 0;
    while (shared < limit && a->key[shared] == b->key[shared]) {
        shared++;
    }
    return shared;
}

/* Order of key against the node's shared prefix: 0 when it starts with it. */
static int compare_prefix(const struct btree_node *node, struct bytes key)
{
    struct bytes prefix = bytes_of(node->keys[0]->key, node->prefix_size);
    if (key.size >= prefix.size) {
        return prefix.size == 0 ? 0 : memcmp(key.data, prefix.data, prefix.size);
    }
    return bytes_compare(key, prefix);
}

uint32_t btree_node_seek(const struct btree_node *node, struct bytes key, bool *out_equal)
{
    *out_equal = false;
    if (node->count == 0) {
        return 0;
    }
    int order = compare_prefix(node, key);
    if (order != 0) {
        return order < 0 ? 0 : node->count;
    }
    uint64_t head = head_of(key, node->prefix_size);
    uint32_t low = 0;
    uint32_t high = node->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (node->heads[middle] < head) {
            low = middle + 1;
        } else if (node->heads[middle] > head) {
            high = middle;
        } else {
            order = bytes_compare(key_entry_key(node->keys[middle]), key);
            if (order < 0) {
                low = middle + 1;
            } else {
                high = middle;
                *out_equal = *out_equal || order == 0;
            }
        }
    }
    return low;
}

uint32_t btree_node_child(const struct btree_node *node, struct bytes key)
{
    bool equal;
    uint32_t position = btree_node_seek(node, key, &equal);
    if (equal || position == 0) {
        return position;
    }
    return position - 1;
}

void btree_node_rebuild(struct btree_node *node)
{
    if (node->count == 0) {
        node->prefix_size = 0;
        return;
    }
    node->prefix_size = shared_prefix(node->keys[0], node->keys[node->count - 1]);
    for (uint32_t i = 0; i < node->count; i++) {
        node->heads[i] = head_of(key_entry_key(node->keys[i]), node->prefix_size);
    }
}

/* The key at position is new: its head, and everything when it changed the shared prefix. */
static void refresh_key(struct btree_node *node, uint32_t position)
{
    bool at_end = position == 0 || position == node->count - 1;
    if (at_end && shared_prefix(node->keys[0], node->keys[node->count - 1]) != node->prefix_size) {
        btree_node_rebuild(node);
        return;
    }
    node->heads[position] = head_of(key_entry_key(node->keys[position]), node->prefix_size);
}

void btree_node_insert_key(struct btree_node *node, uint32_t position, struct key_entry *entry)
{
    ASSERT(node->count < BTREE_FANOUT && position <= node->count);
    uint32_t moved = node->count - position;
    memmove(node->keys + position + 1, node->keys + position, moved * sizeof(node->keys[0]));
    memmove(node->heads + position + 1, node->heads + position, moved * sizeof(node->heads[0]));
    if (node->leaf) {
        struct btree_leaf *leaf = btree_leaf_of(node);
        uint64_t below = leaf->live_bits & ((UINT64_C(1) << position) - 1);
        leaf->live_bits = below | (leaf->live_bits ^ below) << 1;
    } else {
        struct btree_inner *inner = btree_inner_of(node);
        memmove(inner->children + position + 1, inner->children + position,
                moved * sizeof(inner->children[0]));
        memmove(inner->live + position + 1, inner->live + position, moved * sizeof(inner->live[0]));
    }
    node->keys[position] = entry;
    node->count++;
    refresh_key(node, position);
}

void btree_node_remove_key(struct btree_node *node, uint32_t position)
{
    ASSERT(position < node->count);
    uint32_t moved = node->count - position - 1;
    memmove(node->keys + position, node->keys + position + 1, moved * sizeof(node->keys[0]));
    memmove(node->heads + position, node->heads + position + 1, moved * sizeof(node->heads[0]));
    if (node->leaf) {
        struct btree_leaf *leaf = btree_leaf_of(node);
        uint64_t below = leaf->live_bits & ((UINT64_C(1) << position) - 1);
        leaf->live_bits = below | ((leaf->live_bits >> 1) & ~((UINT64_C(1) << position) - 1));
    } else {
        struct btree_inner *inner = btree_inner_of(node);
        memmove(inner->children + position, inner->children + position + 1,
                moved * sizeof(inner->children[0]));
        memmove(inner->live + position, inner->live + position + 1, moved * sizeof(inner->live[0]));
    }
    /* The shared prefix can only have grown: the shorter one stays right, so nothing is rebuilt. */
    node->count--;
}

void btree_node_set_key(struct btree_node *node, uint32_t position, struct key_entry *entry)
{
    node->keys[position] = entry;
    refresh_key(node, position);
}

uint64_t btree_node_live(const struct btree_node *node)
{
    if (node->leaf) {
        const struct btree_leaf *leaf = (const struct btree_leaf *)(const void *)node;
        return (uint64_t)__builtin_popcountll(leaf->live_bits);
    }
    const struct btree_inner *inner = (const struct btree_inner *)(const void *)node;
    uint64_t live = 0;
    for (uint32_t i = 0; i < node->count; i++) {
        live += inner->live[i];
    }
    return live;
}

void btree_node_move(struct btree_node *source, uint32_t position, struct btree_node *target)
{
    ASSERT(position <= source->count && source->leaf == target->leaf);
    uint32_t moved = source->count - position;
    uint32_t at = target->count;
    ASSERT(at + moved <= BTREE_FANOUT);
    memcpy(target->keys + at, source->keys + position, moved * sizeof(source->keys[0]));
    if (source->leaf) {
        struct btree_leaf *from = btree_leaf_of(source);
        struct btree_leaf *to = btree_leaf_of(target);
        uint64_t kept = position >= BTREE_FANOUT ? UINT64_MAX : (UINT64_C(1) << position) - 1;
        if (moved > 0) {
            to->live_bits |= (from->live_bits & ~kept) >> position << at;
        }
        from->live_bits &= kept;
    } else {
        struct btree_inner *from = btree_inner_of(source);
        struct btree_inner *to = btree_inner_of(target);
        memcpy(to->children + at, from->children + position, moved * sizeof(from->children[0]));
        memcpy(to->live + at, from->live + position, moved * sizeof(from->live[0]));
    }
    source->count = position;
    target->count = at + moved;
    btree_node_rebuild(source);
    btree_node_rebuild(target);
}
