/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A safe reader of bbolt files. Nothing of the file is believed: pages lie inside of the file and
 * are used once (so no cycle, and no more work than the file has pages), elements lie inside of
 * their page, keys ascend, trees have a limited depth. Plain reads, no map: a failing disk gives an
 * error instead of a signal.
 */
#include "engine/store/bolt.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "engine/store/bolt_format.h"

#define FILE_PAGE_BYTES_MIN 1024u
#define FILE_PAGE_BYTES_MAX 65536u
#define LOADED_BYTES_MAX    (512u << 20) /* one page with its overflow */
#define DEPTH_MAX           32u
#define NESTED_MAX          8u /* buckets in buckets; etcd has none */
#define FIRST_TREE_PAGE     2u
#define FREELIST_COUNT_WIDE 0xffffu /* the count did not fit its field: it is the first number */

struct reader {
    const struct disk_seam *disk;
    struct disk_file *file; /* NULL: not open */
    const char *path;
    struct err *err;
    uint64_t body_bytes; /* without a trailing sha256 */
    uint32_t page_bytes;
    uint64_t page_count;
    uint64_t root_page;
    uint64_t freelist_page; /* BOLT_NO_FREELIST: the file keeps none */
    int meta_rc;            /* a meta could not be read: that says nothing about the file */
    uint8_t *seen;          /* a bit per page */
    bool found[STORE_TABLE_COUNT];
    bool all; /* unknown and nested buckets are walked too, and free pages are looked at */
    const struct bolt_visitor *visitor;
};

/* One bucket on its way through the reader. */
struct bucket {
    unsigned depth;      /* 0: the root, 1: the buckets in it, more: nested ones */
    struct bytes name;   /* borrowed from the page of the bucket around it */
    struct buf page;     /* the page at hand */
    struct buf last_key; /* empty before the first */
};

static int corrupt(const struct reader *reader, uint64_t page, const char *reason)
{
    return err_set(reader->err, E_CORRUPT, "%s: page %" PRIu64 ": %s", reader->path, page, reason);
}

/* Reads all or fails. */
static int read_at(const struct reader *reader, uint64_t offset, void *data, size_t size)
{
    size_t got = 0;
    int rc = reader->disk->read_at(reader->file, offset, data, size, &got);
    if (rc != 0) {
        return err_set(reader->err, rc, "%s: read at %" PRIu64 ": %s", reader->path, offset,
                       err_code_text(rc));
    }
    if (got < size) {
        return err_set(reader->err, E_CORRUPT, "%s: the file ends at %" PRIu64, reader->path,
                       offset + got);
    }
    return 0;
}

/* ---- opening ---- */

static void ignore_name(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
}

static int open_file(struct reader *reader, uint64_t *out_size)
{
    const struct disk_seam *disk = reader->disk;
    int rc = disk->open(disk->ctx, reader->path, DISK_READ, &reader->file);
    if (rc == 0) {
        rc = disk->size(reader->file, out_size);
    }
    if (rc != 0) {
        return err_set(reader->err, rc, "open %s: %s", reader->path, err_code_text(rc));
    }
    if (disk->list_dir(disk->ctx, reader->path, ignore_name, NULL) == 0) {
        return err_set(reader->err, E_INVALID, "%s is not a file", reader->path);
    }
    return 0;
}

static void close_file(struct reader *reader)
{
    if (reader->file != NULL) {
        reader->disk->close(reader->file);
    }
}

struct meta {
    uint64_t txid, root_page, page_count, freelist_page;
    uint32_t page_bytes;
};

/* True and *out_meta when a whole meta lies on the page at offset. */
static bool read_meta(struct reader *reader, uint64_t offset, struct meta *out_meta)
{
    uint8_t page[BOLT_HEADER_BYTES + BOLT_META_BYTES];
    const uint8_t *meta = page + BOLT_HEADER_BYTES;
    if (reader->meta_rc != 0 || offset + sizeof(page) > reader->body_bytes) {
        return false;
    }
    reader->meta_rc = read_at(reader, offset, page, sizeof(page));
    if (reader->meta_rc != 0) {
        return false;
    }
    if (get_le32(meta + BOLT_META_MAGIC) != BOLT_MAGIC ||
        get_le32(meta + BOLT_META_VERSION) != BOLT_VERSION ||
        get_le64(meta + BOLT_META_CHECKSUM) != bolt_meta_checksum(meta)) {
        return false;
    }
    *out_meta = (struct meta){
        .txid = get_le64(meta + BOLT_META_TXID),
        .root_page = get_le64(meta + BOLT_META_ROOT),
        .page_count = get_le64(meta + BOLT_META_PAGES),
        .freelist_page = get_le64(meta + BOLT_META_FREELIST),
        .page_bytes = get_le32(meta + BOLT_META_PAGE_SIZE),
    };
    return true;
}

/* Page 1 lies behind page 0, whose size only a meta tells. */
static bool find_second_meta(struct reader *reader, const struct meta *first, struct meta *out_meta)
{
    if (first != NULL) {
        return read_meta(reader, first->page_bytes, out_meta) &&
               out_meta->page_bytes == first->page_bytes;
    }
    for (uint32_t size = FILE_PAGE_BYTES_MIN; size <= FILE_PAGE_BYTES_MAX; size *= 2) {
        if (read_meta(reader, size, out_meta) && out_meta->page_bytes == size) {
            return true;
        }
    }
    return false;
}

/* Takes the newest whole meta, as bbolt does. */
static int choose_meta(struct reader *reader)
{
    struct meta first;
    struct meta second;
    bool have_first = read_meta(reader, 0, &first);
    bool have_second = find_second_meta(reader, have_first ? &first : NULL, &second);
    if (reader->meta_rc != 0) {
        return reader->meta_rc;
    }
    if (!have_first && !have_second) {
        return corrupt(reader, 0, "neither meta is whole: not a bbolt file, or badly damaged");
    }
    bool take_second = have_second && (!have_first || second.txid > first.txid);
    uint64_t page = take_second ? 1 : 0;
    const struct meta *meta = take_second ? &second : &first;
    if (meta->page_bytes < FILE_PAGE_BYTES_MIN || meta->page_bytes > FILE_PAGE_BYTES_MAX ||
        (meta->page_bytes & (meta->page_bytes - 1)) != 0) {
        return corrupt(reader, page, "the meta names an impossible page size");
    }
    if (meta->page_count > reader->body_bytes / meta->page_bytes) {
        return corrupt(reader, page, "the file has fewer pages than its meta says: cut short");
    }
    reader->page_bytes = meta->page_bytes;
    reader->page_count = meta->page_count;
    reader->root_page = meta->root_page;
    reader->freelist_page = meta->freelist_page;
    return 0;
}

/* ---- pages ---- */

/* A page's elements; borrowed from a bucket's buffer, or from the value of an inline bucket. */
struct page {
    uint64_t id;
    struct bytes bytes;
    uint16_t flags;
    uint16_t count;
    uint64_t data_from; /* keys and values lie in order from here: none is used twice */
};

static int check_page(const struct reader *reader, struct page *page)
{
    if (page->flags != BOLT_FLAG_BRANCH && page->flags != BOLT_FLAG_LEAF) {
        return corrupt(reader, page->id, "neither branch nor leaf");
    }
    if (page->count > (page->bytes.size - BOLT_HEADER_BYTES) / BOLT_ELEMENT_BYTES) {
        return corrupt(reader, page->id, "more elements than the page has room for");
    }
    page->data_from = BOLT_HEADER_BYTES + (uint64_t)page->count * BOLT_ELEMENT_BYTES;
    return 0;
}

static int mark_seen(struct reader *reader, uint64_t id, uint64_t pages)
{
    for (uint64_t i = id; i < id + pages; i++) {
        if ((reader->seen[i / 8] >> (i % 8) & 1) != 0) {
            return corrupt(reader, i, "used twice");
        }
        reader->seen[i / 8] |= (uint8_t)(1u << (i % 8));
    }
    return 0;
}

static int load_page(struct reader *reader, struct bucket *bucket, uint64_t id,
                     struct page *out_page)
{
    if (id < FIRST_TREE_PAGE || id >= reader->page_count) {
        return corrupt(reader, id, "outside of the file");
    }
    uint64_t offset = id * reader->page_bytes;
    buf_clear(&bucket->page);
    uint8_t *data = buf_reserve(&bucket->page, reader->page_bytes);
    int rc = read_at(reader, offset, data, reader->page_bytes);
    if (rc != 0) {
        return rc;
    }
    if (get_le64(data) != id) {
        return corrupt(reader, id, "carries another page's number");
    }
    uint64_t pages = (uint64_t)get_le32(data + 12) + 1;
    if (pages > reader->page_count - id) {
        return corrupt(reader, id, "overflows the file");
    }
    if (pages > LOADED_BYTES_MAX / reader->page_bytes) {
        return corrupt(reader, id, "overflows past the limit");
    }
    rc = mark_seen(reader, id, pages);
    if (rc != 0) {
        return rc;
    }
    size_t size = (size_t)pages * reader->page_bytes;
    struct page page = {id, {data, size}, get_le16(data + 8), get_le16(data + 10), 0};
    rc = check_page(reader, &page);
    if (rc == 0 && pages > 1) {
        bucket->page.size = reader->page_bytes;
        data = buf_reserve(&bucket->page, size - reader->page_bytes) - reader->page_bytes;
        page.bytes.data = data;
        rc = read_at(reader, offset + reader->page_bytes, data + reader->page_bytes,
                     size - reader->page_bytes);
    }
    if (rc == 0) {
        *out_page = page;
    }
    return rc;
}

/* Gives the size bytes at pos behind the start of an element. */
static int element_data(const struct reader *reader, struct page *page, uint32_t index,
                        uint32_t pos, uint64_t size, const uint8_t **out_data)
{
    uint64_t begin = BOLT_HEADER_BYTES + (uint64_t)index * BOLT_ELEMENT_BYTES + pos;
    bool is_inside = begin + size <= page->bytes.size || FUZZ_PLANT(bolt_element);
    if (begin < page->data_from || !is_inside) {
        return corrupt(reader, page->id, "an element points outside of its place");
    }
    page->data_from = begin + size;
    *out_data = page->bytes.data + begin;
    return 0;
}

/* ---- trees ---- */

static int read_bucket(struct reader *reader, unsigned depth, struct bytes name, uint64_t page_id,
                       struct bytes value);

static const uint8_t *element_of(const struct page *page, uint32_t index)
{
    return page->bytes.data + BOLT_HEADER_BYTES + (size_t)index * BOLT_ELEMENT_BYTES;
}

/* In the root bucket. Other buckets than etcd's ten are skipped when only those are asked for. */
static int take_root_element(struct reader *reader, const struct page *page, uint32_t flags,
                             struct bytes key, struct bytes value)
{
    bool is_known = false;
    if ((flags & BOLT_ELEMENT_BUCKET) == 0) {
        return corrupt(reader, page->id, "a plain key in the root bucket");
    }
    for (unsigned i = 0; i < STORE_TABLE_COUNT; i++) {
        if (bytes_equal(key, bytes_of_str(store_table_name((enum store_table)i)))) {
            reader->found[i] = true;
            is_known = true;
        }
    }
    if (!is_known && !reader->all) {
        return 0;
    }
    int rc = reader->visitor->bucket(reader->visitor->ctx, key);
    return rc == 0 ? read_bucket(reader, 1, key, page->id, value) : rc;
}

/* Of a nested bucket only the name is told; its pages are in use like others. */
static int take_plain_element(struct reader *reader, const struct bucket *bucket,
                              const struct page *page, uint32_t flags, struct bytes key,
                              struct bytes value)
{
    const struct bolt_visitor *visitor = reader->visitor;
    bool is_bucket = (flags & BOLT_ELEMENT_BUCKET) != 0;
    if (is_bucket && !reader->all) {
        return 0;
    }
    int rc = 0;
    if (bucket->depth == 1) {
        rc = visitor->item(visitor->ctx, bucket->name, key, is_bucket ? bytes_of(NULL, 0) : value);
    }
    return rc == 0 && is_bucket ? read_bucket(reader, bucket->depth + 1, key, page->id, value) : rc;
}

static int take_element(struct reader *reader, struct bucket *bucket, struct page *page,
                        uint32_t index)
{
    const uint8_t *element = element_of(page, index);
    uint32_t flags = get_le32(element);
    uint32_t key_size = get_le32(element + 8);
    uint32_t value_size = get_le32(element + 12);
    const uint8_t *data = NULL;
    int rc = element_data(reader, page, index, get_le32(element + 4),
                          (uint64_t)key_size + value_size, &data);
    if (rc != 0) {
        return rc;
    }
    struct bytes key = bytes_of(data, key_size);
    struct bytes value = bytes_of(data + key_size, value_size);
    if ((flags & ~BOLT_ELEMENT_BUCKET) != 0) {
        return corrupt(reader, page->id, "an element of an unknown kind");
    }
    if (key_size == 0 || bytes_compare(buf_bytes(&bucket->last_key), key) >= 0) {
        return corrupt(reader, page->id, "keys do not ascend");
    }
    buf_clear(&bucket->last_key);
    (void)buf_append(&bucket->last_key, key.data, key.size); /* the buffer has no limit */
    return bucket->depth == 0 ? take_root_element(reader, page, flags, key, value)
                              : take_plain_element(reader, bucket, page, flags, key, value);
}

static int read_leaf(struct reader *reader, struct bucket *bucket, struct page *page)
{
    int rc = 0;
    for (uint32_t i = 0; i < page->count && rc == 0; i++) {
        rc = take_element(reader, bucket, page, i);
    }
    return rc;
}

/* Copies the page numbers of the children, so that the page's buffer can take the next page. */
static int list_children(const struct reader *reader, struct page *page, uint64_t *children)
{
    for (uint32_t i = 0; i < page->count; i++) {
        const uint8_t *element = element_of(page, i);
        const uint8_t *key;
        int rc = element_data(reader, page, i, get_le32(element), get_le32(element + 4), &key);
        if (rc != 0) {
            return rc;
        }
        children[i] = get_le64(element + 8);
    }
    return 0;
}

static int read_tree(struct reader *reader, struct bucket *bucket, uint64_t id, unsigned depth)
{
    struct page page;
    if (depth == DEPTH_MAX) {
        return corrupt(reader, id, "the tree is too deep");
    }
    int rc = load_page(reader, bucket, id, &page);
    if (rc != 0) {
        return rc;
    }
    if (page.flags == BOLT_FLAG_LEAF) {
        return read_leaf(reader, bucket, &page);
    }
    uint64_t *children = mem_array(page.count, sizeof(*children));
    rc = page.count == 0 ? corrupt(reader, id, "a branch without children")
                         : list_children(reader, &page, children);
    for (uint32_t i = 0; i < page.count && rc == 0; i++) {
        rc = read_tree(reader, bucket, children[i], depth + 1);
    }
    mem_free(children);
    return rc;
}

/* A small bucket lies inside its own value. */
static int read_inline(struct reader *reader, struct bucket *bucket, uint64_t page_id,
                       struct bytes value)
{
    struct bytes inner = bytes_of(value.data + BOLT_BUCKET_BYTES, value.size - BOLT_BUCKET_BYTES);
    if (inner.size < BOLT_HEADER_BYTES) {
        return corrupt(reader, page_id, "an inline bucket is cut short");
    }
    struct page page = {page_id, inner, get_le16(inner.data + 8), get_le16(inner.data + 10), 0};
    int rc = check_page(reader, &page);
    if (rc == 0 && page.flags != BOLT_FLAG_LEAF) {
        rc = corrupt(reader, page_id, "an inline bucket that is no leaf");
    }
    return rc == 0 ? read_leaf(reader, bucket, &page) : rc;
}

static int read_bucket(struct reader *reader, unsigned depth, struct bytes name, uint64_t page_id,
                       struct bytes value)
{
    if (value.size < BOLT_BUCKET_BYTES) {
        return corrupt(reader, page_id, "a bucket without its header");
    }
    if (depth > NESTED_MAX) {
        return corrupt(reader, page_id, "buckets are nested too deep");
    }
    struct bucket bucket = {.depth = depth, .name = name};
    buf_init(&bucket.page, BUF_NO_LIMIT);
    buf_init(&bucket.last_key, BUF_NO_LIMIT);
    uint64_t root = get_le64(value.data);
    int rc = root == 0 ? read_inline(reader, &bucket, page_id, value)
                       : read_tree(reader, &bucket, root, 0);
    buf_free(&bucket.page);
    buf_free(&bucket.last_key);
    return rc;
}

/* ---- free pages ---- */

static bool is_seen(const struct reader *reader, uint64_t page)
{
    return (reader->seen[page / 8] >> (page % 8) & 1) != 0;
}

/* Marks what the list at hand says is free; a page that is in use already is found there. */
static int mark_free(struct reader *reader, const uint8_t *data, size_t size, uint16_t count)
{
    uint64_t total = count;
    size_t at = BOLT_HEADER_BYTES;
    if (count == FREELIST_COUNT_WIDE && size >= at + sizeof(uint64_t)) {
        total = get_le64(data + at);
        at += sizeof(uint64_t);
    }
    if (total > (size - at) / sizeof(uint64_t)) {
        return corrupt(reader, reader->freelist_page, "more free pages than the list has room for");
    }
    for (uint64_t i = 0; i < total; i++) {
        uint64_t page = get_le64(data + at + i * sizeof(uint64_t));
        if (page < FIRST_TREE_PAGE || page >= reader->page_count) {
            return corrupt(reader, page, "is free and outside of the file");
        }
        int rc = mark_seen(reader, page, 1);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int read_freelist(struct reader *reader)
{
    uint64_t id = reader->freelist_page;
    uint8_t header[BOLT_HEADER_BYTES];
    if (id < FIRST_TREE_PAGE || id >= reader->page_count) {
        return corrupt(reader, id, "the list of free pages is outside of the file");
    }
    int rc = read_at(reader, id * reader->page_bytes, header, sizeof(header));
    if (rc != 0) {
        return rc;
    }
    uint64_t pages = (uint64_t)get_le32(header + 12) + 1;
    if (get_le16(header + 8) != BOLT_FLAG_FREELIST || get_le64(header) != id) {
        return corrupt(reader, id, "not the list of free pages that the meta says it is");
    }
    if (pages > reader->page_count - id || pages > LOADED_BYTES_MAX / reader->page_bytes) {
        return corrupt(reader, id, "overflows the file");
    }
    size_t size = (size_t)pages * reader->page_bytes;
    uint8_t *data = mem_alloc(size);
    rc = read_at(reader, id * reader->page_bytes, data, size);
    if (rc == 0) {
        rc = mark_seen(reader, id, pages);
    }
    if (rc == 0) {
        rc = mark_free(reader, data, size, get_le16(header + 10));
    }
    mem_free(data);
    return rc;
}

/* Each page is in a tree, or in the list of free pages. */
static int check_free(struct reader *reader)
{
    if (reader->freelist_page == BOLT_NO_FREELIST) {
        return 0; /* whatever no tree uses is free */
    }
    int rc = read_freelist(reader);
    for (uint64_t page = FIRST_TREE_PAGE; rc == 0 && page < reader->page_count; page++) {
        if (!is_seen(reader, page)) {
            rc = corrupt(reader, page, "neither in use nor free");
        }
    }
    return rc;
}

/* ---- the whole ---- */

static int read_root(struct reader *reader)
{
    struct bucket root = {0};
    buf_init(&root.page, BUF_NO_LIMIT);
    buf_init(&root.last_key, BUF_NO_LIMIT);
    reader->seen = mem_zalloc((size_t)(reader->page_count / 8 + 1));
    int rc = read_tree(reader, &root, reader->root_page, 0);
    if (rc == 0 && reader->all) {
        rc = check_free(reader);
    }
    mem_free(reader->seen);
    buf_free(&root.page);
    buf_free(&root.last_key);
    if (rc == 0 && (!reader->found[STORE_KEY] || !reader->found[STORE_META])) {
        rc = corrupt(reader, reader->root_page, "no buckets key and meta: not a file of etcd");
    }
    return rc;
}

static int read_file(struct reader *reader, struct bolt_info *out_info)
{
    uint64_t size = 0;
    int rc = open_file(reader, &size);
    if (rc == 0) {
        reader->body_bytes = bolt_size_has_sha(size) ? size - BOLT_SHA_BYTES : size;
        rc = choose_meta(reader);
    }
    if (rc == 0) {
        rc = read_root(reader);
    }
    if (rc == 0 && out_info != NULL) {
        *out_info = (struct bolt_info){
            .file_bytes = size,
            .used_bytes = reader->page_count * reader->page_bytes,
            .page_bytes = reader->page_bytes,
            .has_sha = bolt_size_has_sha(size),
        };
    }
    close_file(reader);
    return rc;
}

int bolt_walk(const struct disk_seam *disk, const char *path, const struct bolt_visitor *visitor,
              struct bolt_info *out_info, struct err *err)
{
    struct reader reader = {
        .disk = disk, .path = path, .err = err, .all = true, .visitor = visitor};
    return read_file(&reader, out_info);
}

/* Known buckets by their table. */
struct by_table {
    enum store_table table;
    bolt_each_fn each;
    void *ctx;
};

static int enter_table(void *ctx, struct bytes name)
{
    struct by_table *by_table = ctx;
    for (unsigned i = 0; i < STORE_TABLE_COUNT; i++) {
        if (bytes_equal(name, bytes_of_str(store_table_name((enum store_table)i)))) {
            by_table->table = (enum store_table)i;
        }
    }
    return 0;
}

static int give_item(void *ctx, struct bytes bucket, struct bytes key, struct bytes value)
{
    const struct by_table *by_table = ctx;
    (void)bucket;
    return by_table->each(by_table->ctx, by_table->table, key, value);
}

int bolt_read(const struct disk_seam *disk, const char *path, bolt_each_fn each, void *ctx,
              struct err *err)
{
    struct by_table by_table = {.each = each, .ctx = ctx};
    struct bolt_visitor visitor = {enter_table, give_item, &by_table};
    struct reader reader = {.disk = disk, .path = path, .err = err, .visitor = &visitor};
    return read_file(&reader, NULL);
}
