/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes and items are counted by their holders. A node with one holder, reached through nodes with
 * one holder each, belongs to the writer. Separators are lower bounds: they may be keys that are
 * gone. The first child of an inner node has none.
 */
#include "tests/sim/store_tree.h"

#include "base/alloc.h"
#include "base/assert.h"

#define FAN      STORE_TREE_FAN
#define LOW      (FAN / 4)
#define TOGETHER (FAN * 3 / 4) /* nodes that fit in so much become one */

struct item {
    uint32_t refs;
    uint32_t key_size;
    size_t value_size;
    uint8_t bytes[];
};

struct tree_node {
    uint32_t refs;
    uint16_t count;
    bool is_leaf;
    struct item *items[FAN + 1];         /* of a leaf; else separators, the first NULL */
    struct tree_node *children[FAN + 1]; /* not there in a leaf */
};

/* ---- items and nodes ---- */

static struct item *item_new(struct bytes key, struct bytes value)
{
    struct item *item = mem_alloc(sizeof(*item) + key.size + value.size);
    item->refs = 1;
    item->key_size = (uint32_t)key.size;
    item->value_size = value.size;
    if (key.size != 0) {
        memcpy(item->bytes, key.data, key.size);
    }
    if (value.size != 0) {
        memcpy(item->bytes + key.size, value.data, value.size);
    }
    return item;
}

static void item_unref(struct item *item)
{
    if (item != NULL && --item->refs == 0) {
        mem_free(item);
    }
}

static struct item *item_ref(struct item *item)
{
    if (item != NULL) {
        item->refs++;
    }
    return item;
}

static struct bytes key_of(const struct item *item)
{
    return bytes_of(item->bytes, item->key_size);
}

static struct bytes value_of(const struct item *item)
{
    return bytes_of(item->bytes + item->key_size, item->value_size);
}

static struct tree_node *node_new(bool is_leaf)
{
    size_t size = is_leaf ? offsetof(struct tree_node, children) : sizeof(struct tree_node);
    struct tree_node *node = mem_alloc(size);
    node->refs = 1;
    node->count = 0;
    node->is_leaf = is_leaf;
    return node;
}

static void node_unref(struct tree_node *node)
{
    if (node == NULL || --node->refs != 0) {
        return;
    }
    for (unsigned i = 0; i < node->count; i++) {
        item_unref(node->items[i]);
        if (!node->is_leaf) {
            node_unref(node->children[i]);
        }
    }
    mem_free(node);
}

/* Gives the writer a node of its own in place of *slot. */
static struct tree_node *own(struct tree_node **slot)
{
    struct tree_node *node = *slot;
    if (node->refs == 1) {
        return node;
    }
    struct tree_node *copy = node_new(node->is_leaf);
    copy->count = node->count;
    for (unsigned i = 0; i < node->count; i++) {
        copy->items[i] = item_ref(node->items[i]);
        if (!node->is_leaf) {
            copy->children[i] = node->children[i];
            copy->children[i]->refs++;
        }
    }
    node->refs--;
    *slot = copy;
    return copy;
}

/* The first item of a leaf that is not below key. */
static unsigned leaf_place(const struct tree_node *leaf, struct bytes key, bool *out_there)
{
    unsigned low = 0;
    unsigned high = leaf->count;
    *out_there = false;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        int order = bytes_compare(key_of(leaf->items[middle]), key);
        if (order == 0) {
            *out_there = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static unsigned child_place(const struct tree_node *node, struct bytes key)
{
    unsigned low = 1;
    unsigned high = node->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (bytes_compare(key_of(node->items[middle]), key) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low - 1;
}

static void insert_at(struct tree_node *node, unsigned at, struct item *item,
                      struct tree_node *child)
{
    size_t behind = node->count - at;
    memmove(&node->items[at + 1], &node->items[at], behind * sizeof(struct item *));
    node->items[at] = item;
    if (!node->is_leaf) {
        memmove(&node->children[at + 1], &node->children[at], behind * sizeof(struct tree_node *));
        node->children[at] = child;
    }
    node->count++;
}

/* Takes the place out without freeing what was in it. */
static void take_at(struct tree_node *node, unsigned at)
{
    size_t behind = node->count - at - 1u;
    memmove(&node->items[at], &node->items[at + 1], behind * sizeof(struct item *));
    if (!node->is_leaf) {
        memmove(&node->children[at], &node->children[at + 1], behind * sizeof(struct tree_node *));
    }
    node->count--;
}

/* ---- put ---- */

/* What a node that became too full gave off; right NULL: nothing. */
struct split {
    struct item *separator;
    struct tree_node *right;
};

/* Keys that arrive in order leave full nodes behind. */
static struct split node_split(struct tree_node *node, bool at_end)
{
    unsigned keep = at_end ? FAN : (FAN + 1) / 2;
    struct tree_node *right = node_new(node->is_leaf);
    right->count = (uint16_t)(node->count - keep);
    memcpy(right->items, &node->items[keep], right->count * sizeof(struct item *));
    if (!node->is_leaf) {
        memcpy(right->children, &node->children[keep], right->count * sizeof(struct tree_node *));
    }
    node->count = (uint16_t)keep;
    struct split split = {right->items[0], right};
    if (node->is_leaf) {
        split.separator = item_ref(split.separator);
    } else {
        right->items[0] = NULL;
    }
    return split;
}

/* Puts item (taken over). *out_old: what it replaces, to be freed, or NULL. */
static struct split put_under(struct tree_node **slot, struct item *item, struct item **out_old)
{
    struct tree_node *node = own(slot);
    unsigned at;
    if (node->is_leaf) {
        bool there;
        at = leaf_place(node, key_of(item), &there);
        if (there) {
            *out_old = node->items[at];
            node->items[at] = item;
            return (struct split){NULL, NULL};
        }
        insert_at(node, at, item, NULL);
    } else {
        at = child_place(node, key_of(item));
        struct split below = put_under(&node->children[at], item, out_old);
        if (below.right == NULL) {
            return below;
        }
        at++;
        insert_at(node, at, below.separator, below.right);
    }
    if (node->count <= FAN) {
        return (struct split){NULL, NULL};
    }
    return node_split(node, at + 1u == node->count);
}

bool tree_put(struct store_tree *tree, struct bytes key, struct bytes value, size_t *out_old_size)
{
    struct item *item = item_new(key, value);
    struct item *old = NULL;
    if (tree->root == NULL) {
        tree->root = node_new(true);
    }
    struct split split = put_under(&tree->root, item, &old);
    if (split.right != NULL) {
        struct tree_node *root = node_new(false);
        insert_at(root, 0, NULL, tree->root);
        insert_at(root, 1, split.separator, split.right);
        tree->root = root;
    }
    if (old == NULL) {
        tree->count++;
        return false;
    }
    *out_old_size = old->value_size;
    item_unref(old);
    return true;
}

/* ---- remove ---- */

/* Makes one of children at and at + 1 when they are small together. */
static void merge(struct tree_node *node, unsigned at)
{
    if (at + 1u >= node->count ||
        node->children[at]->count + node->children[at + 1]->count > (int)TOGETHER) {
        return;
    }
    struct tree_node *left = own(&node->children[at]);
    struct tree_node *right = own(&node->children[at + 1]);
    struct item *separator = node->items[at + 1];
    memcpy(&left->items[left->count], right->items, right->count * sizeof(struct item *));
    if (left->is_leaf) {
        item_unref(separator);
    } else {
        left->items[left->count] = separator;
        memcpy(&left->children[left->count], right->children,
               right->count * sizeof(struct tree_node *));
    }
    left->count = (uint16_t)(left->count + right->count);
    mem_free(right); /* what it held is the left one's now */
    take_at(node, at + 1);
}

/* The key is there. Gives its item, to be freed. */
static struct item *remove_under(struct tree_node **slot, struct bytes key)
{
    struct tree_node *node = own(slot);
    if (node->is_leaf) {
        bool there;
        unsigned at = leaf_place(node, key, &there);
        ASSERT(there);
        struct item *item = node->items[at];
        take_at(node, at);
        return item;
    }
    unsigned at = child_place(node, key);
    struct item *item = remove_under(&node->children[at], key);
    const struct tree_node *child = node->children[at];
    if (child->count == 0) {
        node_unref(node->children[at]);
        item_unref(node->items[at]);
        take_at(node, at);
        if (at == 0 && node->count != 0) {
            item_unref(node->items[0]);
            node->items[0] = NULL;
        }
    } else if (child->count < LOW) {
        merge(node, at);
        if (at != 0) {
            merge(node, at - 1);
        }
    }
    return item;
}

bool tree_remove(struct store_tree *tree, struct bytes key, size_t *out_old_size)
{
    struct bytes value;
    if (!tree_get(tree, key, &value)) {
        return false;
    }
    *out_old_size = value.size;
    item_unref(remove_under(&tree->root, key));
    tree->count--;
    while (tree->root != NULL && tree->root->count <= 1) {
        struct tree_node *root = tree->root;
        if (root->is_leaf && root->count == 1) {
            break;
        }
        tree->root = root->count == 0 ? NULL : root->children[0];
        root->count = 0; /* the child moved up */
        node_unref(root);
    }
    return true;
}

/* ---- sharing and reading ---- */

struct store_tree tree_share(const struct store_tree *tree)
{
    if (tree->root != NULL) {
        tree->root->refs++;
    }
    return *tree;
}

void tree_drop(struct store_tree *tree)
{
    node_unref(tree->root);
    *tree = (struct store_tree){NULL, 0};
}

bool tree_get(const struct store_tree *tree, struct bytes key, struct bytes *out_value)
{
    const struct tree_node *node = tree->root;
    if (node == NULL) {
        return false;
    }
    while (!node->is_leaf) {
        node = node->children[child_place(node, key)];
    }
    bool there;
    unsigned at = leaf_place(node, key, &there);
    if (there) {
        *out_value = value_of(node->items[at]);
    }
    return there;
}

static bool cursor_give(const struct tree_cursor *cursor, struct bytes *out_key,
                        struct bytes *out_value)
{
    const struct tree_node *leaf = cursor->nodes[cursor->depth - 1];
    const struct item *item = leaf->items[cursor->at[cursor->depth - 1]];
    *out_key = key_of(item);
    *out_value = value_of(item);
    return true;
}

/* From a leaf that is used up to the next one. */
static bool leaf_next(struct tree_cursor *cursor)
{
    unsigned level = cursor->depth - 1;
    while (level > 0 && cursor->at[level - 1] + 1u >= cursor->nodes[level - 1]->count) {
        level--;
    }
    if (level == 0) {
        cursor->depth = 0;
        return false;
    }
    cursor->at[level - 1]++;
    for (; level < cursor->depth; level++) {
        cursor->nodes[level] = cursor->nodes[level - 1]->children[cursor->at[level - 1]];
        cursor->at[level] = 0;
    }
    return true;
}

bool tree_seek(const struct store_tree *tree, struct bytes from, struct tree_cursor *cursor,
               struct bytes *out_key, struct bytes *out_value)
{
    cursor->depth = 0;
    const struct tree_node *node = tree->root;
    if (node == NULL) {
        return false;
    }
    for (;; node = node->children[cursor->at[cursor->depth - 1]]) {
        ASSERT(cursor->depth < STORE_TREE_DEPTH_MAX);
        bool there;
        cursor->nodes[cursor->depth] = node;
        cursor->at[cursor->depth++] =
            node->is_leaf ? leaf_place(node, from, &there) : child_place(node, from);
        if (node->is_leaf) {
            break;
        }
    }
    if (cursor->at[cursor->depth - 1] == node->count && !leaf_next(cursor)) {
        return false;
    }
    return cursor_give(cursor, out_key, out_value);
}

bool tree_next(struct tree_cursor *cursor, struct bytes *out_key, struct bytes *out_value)
{
    if (cursor->depth == 0) {
        return false;
    }
    unsigned leaf = cursor->depth - 1;
    if (++cursor->at[leaf] >= cursor->nodes[leaf]->count && !leaf_next(cursor)) {
        return false;
    }
    return cursor_give(cursor, out_key, out_value);
}

/* ---- for tests ---- */

static bool node_is_sound(const struct tree_node *node, const struct item *low,
                          const struct item *high, unsigned depth, unsigned *io_depth,
                          size_t *io_count)
{
    if (node->count == 0 || node->count > FAN || node->refs == 0) {
        return false;
    }
    if (node->is_leaf && *io_depth == 0) {
        *io_depth = depth;
    }
    if (node->is_leaf ? depth != *io_depth : node->items[0] != NULL) {
        return false;
    }
    *io_count += node->is_leaf ? node->count : 0u;
    for (unsigned i = 0; i < node->count; i++) {
        const struct item *item = node->items[i];
        const struct item *before = i == 0 ? NULL : node->items[i - 1];
        if (item != NULL && ((before != NULL && bytes_compare(key_of(before), key_of(item)) >= 0) ||
                             (low != NULL && bytes_compare(key_of(low), key_of(item)) > 0) ||
                             (high != NULL && bytes_compare(key_of(item), key_of(high)) >= 0))) {
            return false;
        }
        if (!node->is_leaf && !node_is_sound(node->children[i], i == 0 ? low : item,
                                             i + 1u == node->count ? high : node->items[i + 1],
                                             depth + 1, io_depth, io_count)) {
            return false;
        }
    }
    return true;
}

bool tree_is_sound(const struct store_tree *tree)
{
    unsigned depth = 0;
    size_t count = 0;
    return (tree->root == NULL || node_is_sound(tree->root, NULL, NULL, 1, &depth, &count)) &&
           count == tree->count && depth <= STORE_TREE_DEPTH_MAX;
}
