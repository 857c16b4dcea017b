/* SPDX-License-Identifier: Apache-2.0 */
/* The index tree: descents, splits, merges, live counts, cursors. */
#include "engine/mvcc/btree.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "engine/mvcc/btree_node.h"

/* The way from the root to a leaf: at each inner node the child taken. */
struct path {
    struct btree_inner *inners[BTREE_DEPTH_MAX];
    uint32_t taken[BTREE_DEPTH_MAX];
    uint32_t depth;
    struct btree_leaf *leaf;
};

static struct btree_leaf *leaf_new(struct btree *tree)
{
    struct btree_leaf *leaf = mem_zalloc(sizeof(*leaf));
    leaf->node.leaf = true;
    tree->node_bytes += sizeof(*leaf);
    return leaf;
}

static struct btree_inner *inner_new(struct btree *tree)
{
    struct btree_inner *inner = mem_zalloc(sizeof(*inner));
    tree->node_bytes += sizeof(*inner);
    return inner;
}

static void node_free(struct btree *tree, struct btree_node *node)
{
    tree->node_bytes -= node->leaf ? sizeof(struct btree_leaf) : sizeof(struct btree_inner);
    mem_free(node);
}

void btree_init(struct btree *tree)
{
    *tree = (struct btree){0};
    tree->root = &leaf_new(tree)->node;
}

static void free_below(struct btree *tree, struct btree_node *node)
{
    if (!node->leaf) {
        for (uint32_t i = 0; i < node->count; i++) {
            free_below(tree, btree_inner_of(node)->children[i]);
        }
    }
    node_free(tree, node);
}

void btree_free(struct btree *tree)
{
    free_below(tree, tree->root);
    tree->root = NULL;
}

static void descend(const struct btree *tree, struct bytes key, struct path *out_path)
{
    struct btree_node *node = tree->root;
    out_path->depth = 0;
    while (!node->leaf) {
        ASSERT(out_path->depth < BTREE_DEPTH_MAX);
        uint32_t child = btree_node_child(node, key);
        out_path->inners[out_path->depth] = btree_inner_of(node);
        out_path->taken[out_path->depth] = child;
        out_path->depth++;
        node = btree_inner_of(node)->children[child];
    }
    out_path->leaf = btree_leaf_of(node);
}

static struct btree_leaf *find_leaf(const struct btree *tree, struct bytes key)
{
    struct btree_node *node = tree->root;
    while (!node->leaf) {
        node = btree_inner_of(node)->children[btree_node_child(node, key)];
    }
    return btree_leaf_of(node);
}

struct key_entry *btree_find(const struct btree *tree, struct bytes key)
{
    struct btree_leaf *leaf = find_leaf(tree, key);
    bool equal;
    uint32_t position = btree_node_seek(&leaf->node, key, &equal);
    return equal ? leaf->node.keys[position] : NULL;
}

/* The first key of the leaf changed: the inner nodes above name it as well, while it is the first.
 */
static void refresh_first(struct path *path)
{
    struct key_entry *first = path->leaf->node.keys[0];
    for (uint32_t level = path->depth; level-- > 0;) {
        btree_node_set_key(&path->inners[level]->node, path->taken[level], first);
        if (path->taken[level] != 0) {
            return;
        }
    }
}

static void add_live(struct path *path, int change)
{
    for (uint32_t level = 0; level < path->depth; level++) {
        path->inners[level]->live[path->taken[level]] += (uint64_t)change;
    }
}

/* Makes a right neighbour of a full node; one that grows at its end stays full (keys in order). */
static struct btree_node *split_node(struct btree *tree, struct btree_node *node, uint32_t keep)
{
    struct btree_node *right = node->leaf ? &leaf_new(tree)->node : &inner_new(tree)->node;
    btree_node_move(node, keep, right);
    if (node->leaf) {
        struct btree_leaf *left_leaf = btree_leaf_of(node);
        struct btree_leaf *right_leaf = btree_leaf_of(right);
        right_leaf->next = left_leaf->next;
        right_leaf->previous = left_leaf;
        if (right_leaf->next != NULL) {
            right_leaf->next->previous = right_leaf;
        }
        left_leaf->next = right_leaf;
    }
    return right;
}

static void grow_root(struct btree *tree)
{
    struct btree_inner *root = inner_new(tree);
    btree_node_insert_key(&root->node, 0, tree->root->keys[0]);
    root->children[0] = tree->root;
    root->live[0] = btree_node_live(tree->root);
    tree->root = &root->node;
}

/* Splits child `index` of an inner node that has room. */
static void split_child(struct btree *tree, struct btree_inner *parent, uint32_t index,
                        uint32_t keep)
{
    struct btree_node *left = parent->children[index];
    struct btree_node *right = split_node(tree, left, keep);
    btree_node_insert_key(&parent->node, index + 1, right->keys[0]);
    parent->children[index + 1] = right;
    parent->live[index + 1] = btree_node_live(right);
    parent->live[index] -= parent->live[index + 1];
}

static uint32_t keep_at_split(const struct btree_node *node, struct bytes key)
{
    bool at_end = bytes_compare(key_entry_key(node->keys[node->count - 1]), key) < 0;
    return at_end ? node->count - 1 : node->count / 2;
}

/* Splits every full node on the way down, so that a split never has to climb. */
static void descend_with_room(struct btree *tree, struct bytes key, struct path *out_path)
{
    if (tree->root->count == BTREE_FANOUT) {
        grow_root(tree);
    }
    struct btree_node *node = tree->root;
    out_path->depth = 0;
    while (!node->leaf) {
        ASSERT(out_path->depth < BTREE_DEPTH_MAX);
        struct btree_inner *inner = btree_inner_of(node);
        uint32_t child = btree_node_child(node, key);
        if (inner->children[child]->count == BTREE_FANOUT) {
            split_child(tree, inner, child, keep_at_split(inner->children[child], key));
            child = btree_node_child(node, key);
        }
        out_path->inners[out_path->depth] = inner;
        out_path->taken[out_path->depth] = child;
        out_path->depth++;
        node = inner->children[child];
    }
    out_path->leaf = btree_leaf_of(node);
}

void btree_insert(struct btree *tree, struct key_entry *entry, bool live)
{
    struct path path;
    descend_with_room(tree, key_entry_key(entry), &path);
    bool equal;
    uint32_t position = btree_node_seek(&path.leaf->node, key_entry_key(entry), &equal);
    ASSERT(!equal);
    btree_node_insert_key(&path.leaf->node, position, entry);
    if (position == 0) {
        refresh_first(&path);
    }
    tree->count++;
    if (live) {
        path.leaf->live_bits |= UINT64_C(1) << position;
        add_live(&path, 1);
        tree->live++;
    }
}

void btree_set_live(struct btree *tree, struct key_entry *entry, bool live)
{
    struct path path;
    descend(tree, key_entry_key(entry), &path);
    bool equal;
    uint32_t position = btree_node_seek(&path.leaf->node, key_entry_key(entry), &equal);
    ASSERT(equal);
    uint64_t bit = UINT64_C(1) << position;
    if (((path.leaf->live_bits & bit) != 0) == live) {
        return;
    }
    path.leaf->live_bits ^= bit;
    add_live(&path, live ? 1 : -1);
    tree->live += live ? 1 : UINT64_MAX;
}

static void unlink_leaf(struct btree_leaf *leaf)
{
    if (leaf->previous != NULL) {
        leaf->previous->next = leaf->next;
    }
    if (leaf->next != NULL) {
        leaf->next->previous = leaf->previous;
    }
}

/* Joins children index and index + 1 when one is sparse and both fit well into one node. */
static bool merge_children(struct btree *tree, struct btree_inner *parent, uint32_t index)
{
    if (index + 1 >= parent->node.count) {
        return false;
    }
    struct btree_node *left = parent->children[index];
    struct btree_node *right = parent->children[index + 1];
    if (left->count + right->count > BTREE_MERGED) {
        return false;
    }
    btree_node_move(right, 0, left);
    parent->live[index] += parent->live[index + 1];
    if (right->leaf) {
        unlink_leaf(btree_leaf_of(right));
    }
    node_free(tree, right);
    btree_node_remove_key(&parent->node, index + 1);
    return true;
}

static void remove_child(struct btree *tree, struct btree_inner *parent, uint32_t index)
{
    struct btree_node *child = parent->children[index];
    if (child->leaf) {
        unlink_leaf(btree_leaf_of(child));
    }
    node_free(tree, child);
    btree_node_remove_key(&parent->node, index);
}

/* After a removal: empty nodes go, sparse ones join a neighbour, first keys are named right. */
static void tidy(struct btree *tree, struct path *path)
{
    for (uint32_t level = path->depth; level-- > 0;) {
        struct btree_inner *parent = path->inners[level];
        uint32_t index = path->taken[level];
        struct btree_node *child = parent->children[index];
        if (child->count == 0) {
            remove_child(tree, parent, index);
            continue;
        }
        btree_node_set_key(&parent->node, index, child->keys[0]);
        if (child->count < BTREE_SPARSE && !merge_children(tree, parent, index) && index > 0) {
            (void)merge_children(tree, parent, index - 1);
        }
    }
    while (!tree->root->leaf && tree->root->count <= 1) {
        struct btree_node *root = tree->root;
        tree->root = root->count == 1 ? btree_inner_of(root)->children[0] : &leaf_new(tree)->node;
        node_free(tree, root);
    }
}

void btree_remove(struct btree *tree, struct key_entry *entry)
{
    struct path path;
    descend(tree, key_entry_key(entry), &path);
    bool equal;
    uint32_t position = btree_node_seek(&path.leaf->node, key_entry_key(entry), &equal);
    ASSERT(equal && path.leaf->node.keys[position] == entry);
    if ((path.leaf->live_bits >> position & 1) != 0) {
        add_live(&path, -1);
        tree->live--;
    }
    btree_node_remove_key(&path.leaf->node, position);
    tree->count--;
    tidy(tree, &path);
}

uint64_t btree_rank(const struct btree *tree, struct bytes key)
{
    struct btree_node *node = tree->root;
    uint64_t rank = 0;
    while (!node->leaf) {
        struct btree_inner *inner = btree_inner_of(node);
        uint32_t child = btree_node_child(node, key);
        for (uint32_t i = 0; i < child; i++) {
            rank += inner->live[i];
        }
        node = inner->children[child];
    }
    bool equal;
    uint32_t position = btree_node_seek(node, key, &equal);
    uint64_t below = position >= BTREE_FANOUT ? UINT64_MAX : (UINT64_C(1) << position) - 1;
    return rank + (uint64_t)__builtin_popcountll(btree_leaf_of(node)->live_bits & below);
}

void btree_seek(const struct btree *tree, struct bytes key, struct btree_cursor *out_cursor)
{
    struct btree_leaf *leaf = find_leaf(tree, key);
    bool equal;
    out_cursor->leaf = &leaf->node;
    out_cursor->position = btree_node_seek(&leaf->node, key, &equal);
}

struct key_entry *btree_next(struct btree_cursor *cursor)
{
    while (cursor->leaf != NULL) {
        if (cursor->position < cursor->leaf->count) {
            return cursor->leaf->keys[cursor->position++];
        }
        struct btree_leaf *next = btree_leaf_of(cursor->leaf)->next;
        cursor->leaf = next == NULL ? NULL : &next->node;
        cursor->position = 0;
    }
    return NULL;
}

struct key_entry *btree_next_live(struct btree_cursor *cursor)
{
    while (cursor->leaf != NULL) {
        struct btree_leaf *leaf = btree_leaf_of(cursor->leaf);
        uint64_t rest = cursor->position >= BTREE_FANOUT
                            ? 0
                            : leaf->live_bits >> cursor->position << cursor->position;
        if (rest != 0) {
            uint32_t position = (uint32_t)__builtin_ctzll(rest);
            cursor->position = position + 1;
            return leaf->node.keys[position];
        }
        cursor->leaf = leaf->next == NULL ? NULL : &leaf->next->node;
        cursor->position = 0;
    }
    return NULL;
}

/* Checks one subtree; gives its entries through *entries and its live keys. */
static uint64_t check_node(const struct btree_node *node, uint64_t *entries)
{
    for (uint32_t i = 0; i < node->count; i++) {
        struct bytes key = key_entry_key(node->keys[i]);
        bool equal;
        ASSERT(btree_node_seek(node, key, &equal) == i && equal);
        ASSERT(i == 0 || bytes_compare(key_entry_key(node->keys[i - 1]), key) < 0);
    }
    if (node->leaf) {
        *entries += node->count;
        const struct btree_leaf *leaf = (const struct btree_leaf *)(const void *)node;
        ASSERT(node->count == BTREE_FANOUT || leaf->live_bits >> node->count == 0);
        return btree_node_live(node);
    }
    const struct btree_inner *inner = (const struct btree_inner *)(const void *)node;
    uint64_t live = 0;
    ASSERT(node->count > 0);
    for (uint32_t i = 0; i < node->count; i++) {
        ASSERT(inner->children[i]->count > 0 && inner->children[i]->keys[0] == node->keys[i]);
        uint64_t below = check_node(inner->children[i], entries);
        ASSERT(below == inner->live[i]);
        live += below;
    }
    return live;
}

void btree_check(const struct btree *tree)
{
    uint64_t entries = 0;
    uint64_t live = check_node(tree->root, &entries);
    ASSERT(live == tree->live && entries == tree->count);
}
