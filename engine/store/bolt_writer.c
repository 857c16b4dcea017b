/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view as a bbolt file. Both passes run the same bulk build, which gives page numbers in the
 * order of the file: a tree's leaf is laid out when it is full, a branch page when the keys of its
 * children fill it. Pass one only counts; pass two, knowing the root and the size for the metas
 * in front, also gives the pages to the sink. Memory is one page of keys per tree level and one
 * leaf: what it holds is copied, so that the items may come from anywhere.
 *
 * pages 0, 1: metas | 2: freelist, empty | 3...: trees of the buckets, then of the root bucket
 */
#include "engine/store/bolt.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "engine/store/bolt_format.h"

#define FREELIST_PAGE    2u
#define FIRST_TREE_PAGE  3u
#define NEWEST_TXID      2u /* in meta 0, as even ones are; meta 1 has the one before */
#define ELEMENTS_MAX     ((BOLT_PAGE_BYTES - BOLT_HEADER_BYTES) / (BOLT_ELEMENT_BYTES + 1))
#define INLINE_BYTES_MAX (BOLT_PAGE_BYTES / 4)
#define LEVELS_MAX       16u   /* six children a page at least: more pages than a file can have */
#define KEY_BYTES_MAX    1024u /* a branch page has room for three */
#define VALUE_BYTES_MAX  0x7ffffffeu
#define OUT_BYTES        (64u * 1024u)

/* Buckets lie in the order of their names. */
static const enum store_table BUCKETS[] = {
    STORE_ALARM, STORE_AUTH,  STORE_AUTH_ROLES, STORE_AUTH_USERS,      STORE_CLUSTER,
    STORE_KEY,   STORE_LEASE, STORE_MEMBERS,    STORE_MEMBERS_REMOVED, STORE_META,
};
_Static_assert(ARRAY_COUNT(BUCKETS) == STORE_TABLE_COUNT, "every table has its bucket");

/* A leaf element that waits for its page; bytes are in the tree's leaf_bytes or big_bytes. */
struct element {
    struct bytes key;
    struct bytes value;
    uint32_t flags;
};

/* A child that waits for its branch page; owns its key. */
struct child {
    struct bytes key;
    uint64_t page;
};

struct level {
    struct child children[ELEMENTS_MAX];
    uint32_t count;
    size_t page_bytes;
    bool emitted; /* a branch page of this level exists already */
};

/* One bulk build: the leaf and, above it, the branch page of each level that are being filled. */
struct tree {
    uint8_t leaf_bytes[BOLT_PAGE_BYTES];
    size_t leaf_used;
    uint8_t *big_bytes; /* of an element that has a leaf of its own */
    struct element elements[ELEMENTS_MAX];
    uint32_t count;
    size_t page_bytes;
    struct level levels[LEVELS_MAX];
};

struct bolt_writer {
    const struct store_seam *seam; /* a view, or else a source */
    struct store_view *view;
    struct bolt_source source;
    struct tree tree;
    unsigned bucket;                       /* in BUCKETS: the one at hand */
    size_t inline_bytes;                   /* what it would take inside its own value */
    struct buf buckets[STORE_TABLE_COUNT]; /* values of the bucket elements, in order of BUCKETS */
    uint64_t next_page;
    uint64_t root_page, page_count; /* of pass one */
    bolt_sink_fn sink;              /* NULL in pass one */
    void *sink_ctx;
    struct buf out;
    int rc; /* of the sink, sticky */
    bool written;
};

/* ---- bytes out ---- */

static void flush_out(struct bolt_writer *writer)
{
    if (writer->rc == 0 && writer->out.size > 0) {
        writer->rc = writer->sink(writer->sink_ctx, writer->out.data, writer->out.size);
    }
    buf_clear(&writer->out);
}

static void put(struct bolt_writer *writer, const void *data, size_t size)
{
    if (writer->out.size + size > OUT_BYTES) {
        flush_out(writer);
    }
    if (size <= OUT_BYTES) {
        (void)buf_append(&writer->out, data, size); /* the buffer has no limit */
    } else if (writer->rc == 0) {
        writer->rc = writer->sink(writer->sink_ctx, data, size);
    }
}

static void put_zeros(struct bolt_writer *writer, size_t size)
{
    static const uint8_t ZEROS[BOLT_PAGE_BYTES];
    ASSERT(size <= sizeof(ZEROS));
    put(writer, ZEROS, size);
}

static void encode_header(uint8_t out[BOLT_HEADER_BYTES], uint64_t page, uint16_t flags,
                          uint32_t count, uint64_t overflow)
{
    put_le64(out, page);
    put_le16(out + 8, flags);
    put_le16(out + 10, (uint16_t)count);
    put_le32(out + 12, (uint32_t)overflow);
}

static void put_header(struct bolt_writer *writer, uint64_t page, uint16_t flags, uint32_t count,
                       uint64_t overflow)
{
    uint8_t header[BOLT_HEADER_BYTES];
    encode_header(header, page, flags, count, overflow);
    put(writer, header, sizeof(header));
}

static void encode_leaf_element(uint8_t out[BOLT_ELEMENT_BYTES], const struct element *element,
                                size_t pos)
{
    put_le32(out, element->flags);
    put_le32(out + 4, (uint32_t)pos);
    put_le32(out + 8, (uint32_t)element->key.size);
    put_le32(out + 12, (uint32_t)element->value.size);
}

static size_t element_bytes(const struct element *element)
{
    return BOLT_ELEMENT_BYTES + element->key.size + element->value.size;
}

/* ---- the bulk build ---- */

static void level_reset(struct level *level)
{
    for (uint32_t i = 0; i < level->count; i++) {
        mem_free((void *)level->children[i].key.data);
    }
    level->count = 0;
    level->page_bytes = BOLT_HEADER_BYTES;
    level->emitted = false;
}

static void leaf_reset(struct tree *tree)
{
    mem_free(tree->big_bytes);
    tree->big_bytes = NULL;
    tree->leaf_used = 0;
    tree->count = 0;
    tree->page_bytes = BOLT_HEADER_BYTES;
}

static void tree_reset(struct tree *tree)
{
    leaf_reset(tree);
    for (unsigned i = 0; i < LEVELS_MAX; i++) {
        level_reset(&tree->levels[i]);
    }
}

static void put_branch(struct bolt_writer *writer, const struct level *level, uint32_t count,
                       uint64_t page)
{
    size_t pos = (size_t)count * BOLT_ELEMENT_BYTES; /* from the element at hand to its key */
    size_t used = BOLT_HEADER_BYTES + pos;
    put_header(writer, page, BOLT_FLAG_BRANCH, count, 0);
    for (uint32_t i = 0; i < count; i++) {
        const struct child *child = &level->children[i];
        uint8_t encoded[BOLT_ELEMENT_BYTES];
        put_le32(encoded, (uint32_t)pos);
        put_le32(encoded + 4, (uint32_t)child->key.size);
        put_le64(encoded + 8, child->page);
        put(writer, encoded, sizeof(encoded));
        pos += child->key.size - BOLT_ELEMENT_BYTES;
        used += child->key.size;
    }
    for (uint32_t i = 0; i < count; i++) {
        put(writer, level->children[i].key.data, level->children[i].key.size);
    }
    put_zeros(writer, BOLT_PAGE_BYTES - used);
}

static void add_child(struct bolt_writer *writer, unsigned depth, struct child child);

/* Lays out a branch page of the first count children and hands it to the level above. */
static void emit_branch(struct bolt_writer *writer, unsigned depth, uint32_t count)
{
    struct level *level = &writer->tree.levels[depth];
    struct child self = {level->children[0].key, writer->next_page++};
    if (writer->sink != NULL) {
        put_branch(writer, level, count, self.page);
    }
    for (uint32_t i = 1; i < count; i++) { /* the first one's key goes up with the page */
        mem_free((void *)level->children[i].key.data);
    }
    level->emitted = true;
    level->page_bytes = BOLT_HEADER_BYTES;
    for (uint32_t i = count; i < level->count; i++) {
        level->children[i - count] = level->children[i];
        level->page_bytes += BOLT_ELEMENT_BYTES + level->children[i].key.size;
    }
    level->count -= count;
    add_child(writer, depth + 1, self);
}

/* A full page goes out without its last child, so that no branch page ever has a single one. */
static void add_child(struct bolt_writer *writer, unsigned depth, struct child child)
{
    ASSERT(depth < LEVELS_MAX);
    struct level *level = &writer->tree.levels[depth];
    size_t size = BOLT_ELEMENT_BYTES + child.key.size;
    if (level->page_bytes + size > BOLT_PAGE_BYTES) {
        ASSERT(level->count > 2);
        emit_branch(writer, depth, level->count - 1);
    }
    level->children[level->count++] = child;
    level->page_bytes += size;
}

static void put_leaf(struct bolt_writer *writer, uint64_t page, uint64_t pages)
{
    const struct tree *tree = &writer->tree;
    size_t pos = (size_t)tree->count * BOLT_ELEMENT_BYTES;
    put_header(writer, page, BOLT_FLAG_LEAF, tree->count, pages - 1);
    for (uint32_t i = 0; i < tree->count; i++) {
        const struct element *element = &tree->elements[i];
        uint8_t encoded[BOLT_ELEMENT_BYTES];
        encode_leaf_element(encoded, element, pos);
        put(writer, encoded, sizeof(encoded));
        pos += element->key.size + element->value.size - BOLT_ELEMENT_BYTES;
    }
    for (uint32_t i = 0; i < tree->count; i++) {
        put(writer, tree->elements[i].key.data, tree->elements[i].key.size);
        put(writer, tree->elements[i].value.data, tree->elements[i].value.size);
    }
    put_zeros(writer, (size_t)(pages * BOLT_PAGE_BYTES) - tree->page_bytes);
}

static void emit_leaf(struct bolt_writer *writer)
{
    struct tree *tree = &writer->tree;
    uint64_t pages = (tree->page_bytes + BOLT_PAGE_BYTES - 1) / BOLT_PAGE_BYTES;
    struct bytes first = tree->elements[0].key;
    struct child self = {{mem_dup(first.data, first.size), first.size}, writer->next_page};
    writer->next_page += pages;
    if (writer->sink != NULL) {
        put_leaf(writer, self.page, pages);
    }
    leaf_reset(tree);
    add_child(writer, 0, self);
}

/* Copies the element's bytes. Pass one gives no pages out: a big value need not be copied. */
static void keep_element(struct bolt_writer *writer, struct element *element)
{
    struct tree *tree = &writer->tree;
    size_t key_bytes = element->key.size;
    size_t value_bytes = element->value.size;
    uint8_t *place = tree->leaf_bytes + tree->leaf_used;
    if (key_bytes + value_bytes <= sizeof(tree->leaf_bytes) - tree->leaf_used) {
        tree->leaf_used += key_bytes + value_bytes;
    } else {
        ASSERT(tree->count == 0);
        if (writer->sink == NULL) {
            value_bytes = 0;
        }
        tree->big_bytes = mem_alloc(key_bytes + value_bytes);
        place = tree->big_bytes;
    }
    memcpy(place, element->key.data, key_bytes);
    element->key.data = place;
    if (value_bytes > 0) {
        memcpy(place + key_bytes, element->value.data, value_bytes);
    }
    element->value.data = place + key_bytes;
}

/* An element that is larger than a page gets a leaf of its own that overflows. */
static void tree_add(struct bolt_writer *writer, struct element element)
{
    struct tree *tree = &writer->tree;
    size_t size = element_bytes(&element);
    if (tree->count > 0 && tree->page_bytes + size > BOLT_PAGE_BYTES) {
        emit_leaf(writer);
    }
    keep_element(writer, &element);
    tree->elements[tree->count++] = element;
    tree->page_bytes += size;
}

/* Lays out what is begun, up to the root; at least one element was added. */
static uint64_t tree_finish(struct bolt_writer *writer)
{
    emit_leaf(writer);
    unsigned depth = 0;
    while (writer->tree.levels[depth].emitted || writer->tree.levels[depth].count > 1) {
        emit_branch(writer, depth, writer->tree.levels[depth].count);
        depth++;
    }
    return writer->tree.levels[depth].children[0].page;
}

/* ---- buckets ---- */

static void append_bucket_header(struct buf *value, uint64_t root_page)
{
    uint8_t header[BOLT_BUCKET_BYTES] = {0};
    put_le64(header, root_page);
    (void)buf_append(value, header, sizeof(header));
}

/* The elements of a small bucket, which the tree holds, as a leaf page inside the bucket's value.
 */
static void append_inline(struct buf *value, const struct tree *tree)
{
    uint8_t encoded[BOLT_HEADER_BYTES];
    size_t pos = (size_t)tree->count * BOLT_ELEMENT_BYTES;
    append_bucket_header(value, 0);
    encode_header(encoded, 0, BOLT_FLAG_LEAF, tree->count, 0);
    (void)buf_append(value, encoded, sizeof(encoded));
    for (uint32_t i = 0; i < tree->count; i++) {
        const struct element *element = &tree->elements[i];
        encode_leaf_element(encoded, element, pos);
        (void)buf_append(value, encoded, sizeof(encoded));
        pos += element->key.size + element->value.size - BOLT_ELEMENT_BYTES;
    }
    for (uint32_t i = 0; i < tree->count; i++) {
        (void)buf_append(value, tree->elements[i].key.data, tree->elements[i].key.size);
        (void)buf_append(value, tree->elements[i].value.data, tree->elements[i].value.size);
    }
}

static void bucket_begin(struct bolt_writer *writer)
{
    tree_reset(&writer->tree);
    buf_clear(&writer->buckets[writer->bucket]);
    writer->inline_bytes = BOLT_HEADER_BYTES;
}

/* Finishes the bucket at hand, whose element's value is left in its buffer, and begins the next. */
static void bucket_next(struct bolt_writer *writer)
{
    struct buf *value = &writer->buckets[writer->bucket++];
    if (writer->inline_bytes <= INLINE_BYTES_MAX) {
        append_inline(value, &writer->tree);
    } else {
        append_bucket_header(value, tree_finish(writer));
    }
    if (writer->bucket < ARRAY_COUNT(BUCKETS)) {
        bucket_begin(writer);
    }
}

static int add_item(struct bolt_writer *writer, struct bytes key, struct bytes value)
{
    struct element element = {key, value, 0};
    if (BUCKETS[writer->bucket] == STORE_META &&
        bytes_equal(key, bytes_of_str(BOLT_META_KEY_STORAGE_VERSION))) {
        return 0;
    }
    if (key.size > KEY_BYTES_MAX || value.size > VALUE_BYTES_MAX) {
        return E_TOO_BIG;
    }
    if (writer->inline_bytes <= INLINE_BYTES_MAX) {
        writer->inline_bytes += element_bytes(&element);
    }
    tree_add(writer, element);
    return writer->rc;
}

static int read_table(struct bolt_writer *writer, enum store_table table)
{
    const struct store_seam *seam = writer->seam;
    struct store_item item;
    int rc = seam->view_seek(writer->view, table, bytes_of(NULL, 0), &item);
    while (rc == 0) {
        rc = add_item(writer, item.key, item.value);
        if (rc == 0) {
            rc = seam->view_next(writer->view, table, &item);
        }
    }
    return rc == E_NOT_FOUND ? 0 : rc;
}

static int read_view(struct bolt_writer *writer, struct err *err)
{
    for (unsigned i = 0; i < ARRAY_COUNT(BUCKETS); i++) {
        int rc = read_table(writer, BUCKETS[i]);
        if (rc != 0) {
            return err_set(err, rc, "write a snapshot: read table %s: %s",
                           store_table_name(BUCKETS[i]), err_code_text(rc));
        }
        bucket_next(writer);
    }
    return 0;
}

static int take_item(void *ctx, enum store_table table, struct bytes key, struct bytes value)
{
    struct bolt_writer *writer = ctx;
    while (BUCKETS[writer->bucket] != table) {
        bucket_next(writer);
        ASSERT(writer->bucket < ARRAY_COUNT(BUCKETS)); /* tables come in the order of BUCKETS */
    }
    return add_item(writer, key, value);
}

static int read_source(struct bolt_writer *writer, struct err *err)
{
    struct err reason = {{0}};
    int rc = writer->source.items(writer->source.ctx, take_item, writer, &reason);
    if (rc != 0) {
        return err_set(err, rc, "%s", reason.text[0] != '\0' ? reason.text : err_code_text(rc));
    }
    while (writer->bucket < ARRAY_COUNT(BUCKETS)) {
        bucket_next(writer);
    }
    return 0;
}

/* Builds all; leaves the root's page in *out_root_page and the count of pages in next_page. */
static int build(struct bolt_writer *writer, uint64_t *out_root_page, struct err *err)
{
    writer->next_page = FIRST_TREE_PAGE;
    writer->bucket = 0;
    bucket_begin(writer);
    int rc = writer->seam != NULL ? read_view(writer, err) : read_source(writer, err);
    if (rc != 0) {
        return rc;
    }
    tree_reset(&writer->tree);
    for (unsigned i = 0; i < ARRAY_COUNT(BUCKETS); i++) {
        struct bytes name = bytes_of_str(store_table_name(BUCKETS[i]));
        tree_add(writer,
                 (struct element){name, buf_bytes(&writer->buckets[i]), BOLT_ELEMENT_BUCKET});
    }
    *out_root_page = tree_finish(writer);
    return 0;
}

/* ---- the file ---- */

static void put_meta(struct bolt_writer *writer, uint64_t page, uint64_t txid)
{
    uint8_t meta[BOLT_META_BYTES] = {0};
    put_le32(meta + BOLT_META_MAGIC, BOLT_MAGIC);
    put_le32(meta + BOLT_META_VERSION, BOLT_VERSION);
    put_le32(meta + BOLT_META_PAGE_SIZE, BOLT_PAGE_BYTES);
    put_le64(meta + BOLT_META_ROOT, writer->root_page);
    put_le64(meta + BOLT_META_FREELIST, FREELIST_PAGE);
    put_le64(meta + BOLT_META_PAGES, writer->page_count);
    put_le64(meta + BOLT_META_TXID, txid);
    put_le64(meta + BOLT_META_CHECKSUM, bolt_meta_checksum(meta));
    put_header(writer, page, BOLT_FLAG_META, 0, 0);
    put(writer, meta, sizeof(meta));
    put_zeros(writer, BOLT_PAGE_BYTES - BOLT_HEADER_BYTES - BOLT_META_BYTES);
}

/* Pass one. Takes writer. */
static int lay_out(struct bolt_writer *writer, struct bolt_writer **out_writer, uint64_t *out_size,
                   struct err *err)
{
    buf_init(&writer->out, BUF_NO_LIMIT);
    for (unsigned i = 0; i < ARRAY_COUNT(BUCKETS); i++) {
        buf_init(&writer->buckets[i], BUF_NO_LIMIT);
    }
    int rc = build(writer, &writer->root_page, err);
    if (rc != 0) {
        bolt_writer_free(writer);
        return rc;
    }
    writer->page_count = writer->next_page;
    *out_writer = writer;
    *out_size = writer->page_count * BOLT_PAGE_BYTES;
    return 0;
}

int bolt_writer_new(const struct store_seam *seam, struct store_view *view,
                    struct bolt_writer **out_writer, uint64_t *out_size, struct err *err)
{
    struct bolt_writer *writer = mem_zalloc(sizeof(*writer));
    writer->seam = seam;
    writer->view = view;
    return lay_out(writer, out_writer, out_size, err);
}

int bolt_writer_from(const struct bolt_source *source, struct bolt_writer **out_writer,
                     uint64_t *out_size, struct err *err)
{
    struct bolt_writer *writer = mem_zalloc(sizeof(*writer));
    writer->source = *source;
    return lay_out(writer, out_writer, out_size, err);
}

int bolt_writer_write(struct bolt_writer *writer, bolt_sink_fn sink, void *ctx, struct err *err)
{
    ASSERT(!writer->written);
    writer->written = true;
    writer->sink = sink;
    writer->sink_ctx = ctx;
    put_meta(writer, 0, NEWEST_TXID);
    put_meta(writer, 1, NEWEST_TXID - 1);
    put_header(writer, FREELIST_PAGE, BOLT_FLAG_FREELIST, 0, 0);
    put_zeros(writer, BOLT_PAGE_BYTES - BOLT_HEADER_BYTES);
    uint64_t root_page = 0;
    int rc = build(writer, &root_page, err);
    if (writer->rc == 0 && rc != 0) {
        return rc;
    }
    flush_out(writer);
    if (writer->rc != 0) {
        return err_set(err, writer->rc, "write a snapshot: %s", err_code_text(writer->rc));
    }
    bool is_same = root_page == writer->root_page && writer->next_page == writer->page_count;
    ASSERT(is_same || writer->seam == NULL); /* a pinned view reads the same twice */
    return is_same ? 0 : err_set(err, E_CONFLICT, "what is written changed while it was read");
}

void bolt_writer_free(struct bolt_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    for (unsigned i = 0; i < ARRAY_COUNT(BUCKETS); i++) {
        buf_free(&writer->buckets[i]);
    }
    tree_reset(&writer->tree);
    buf_free(&writer->out);
    mem_free(writer);
}
