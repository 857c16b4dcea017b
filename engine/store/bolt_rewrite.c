/* SPDX-License-Identifier: Apache-2.0 */
/* The changes are sorted as the file is, and merged into its items as these come by. */
#include "engine/store/bolt_rewrite.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "engine/store/bolt_format.h"

#define MAJOR       3u
#define ROOM_SPARE  (1024u * 1024u) /* for what the file system itself needs */
#define VERSION_MAX 32u

/* ---- versions ---- */

int bolt_check_version(enum store_table table, struct bytes key, struct bytes value,
                       struct err *err)
{
    bool is_storage =
        table == STORE_META && bytes_equal(key, bytes_of_str(BOLT_META_KEY_STORAGE_VERSION));
    bool is_cluster =
        table == STORE_CLUSTER && bytes_equal(key, bytes_of_str(BOLT_CLUSTER_KEY_VERSION));
    if (!is_storage && !is_cluster) {
        return 0;
    }
    char text[VERSION_MAX] = "";
    if (value.size < sizeof(text)) {
        memcpy(text, value.data, value.size);
        text[value.size] = '\0';
    }
    char *end = NULL;
    unsigned long major = strtoul(text, &end, 10);
    unsigned long minor = end != text && *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
    if (major == MAJOR && minor <= BOLT_MINOR_MAX) {
        return 0;
    }
    return err_set(err, E_UNSUPPORTED,
                   "written at %s version \"%.20s\": files of etcd up to %u.%u are understood",
                   is_storage ? "storage" : "cluster", text, MAJOR, BOLT_MINOR_MAX);
}

/* ---- the merge ---- */

struct rewriting {
    const struct disk_seam *disk;
    const char *from;
    const struct bolt_changes *changes;
    const struct store_op **puts; /* in the order of the file */
    size_t put_count, put_next;
    bolt_each_fn each;
    void *each_ctx;
    struct err *err;
};

static int place_order(enum store_table table, struct bytes key, const struct store_op *op)
{
    int order = strcmp(store_table_name(table), store_table_name(op->table));
    return order != 0 ? order : bytes_compare(key, op->key);
}

static int op_order(const void *a, const void *b)
{
    const struct store_op *left = *(const struct store_op *const *)a;
    return place_order(left->table, left->key, *(const struct store_op *const *)b);
}

static void sort_puts(struct rewriting *rewriting)
{
    const struct store_batch *batch = rewriting->changes->puts;
    rewriting->put_count = batch == NULL ? 0 : batch->op_count;
    rewriting->puts = mem_array(rewriting->put_count + 1, sizeof(*rewriting->puts));
    for (size_t i = 0; i < rewriting->put_count; i++) {
        ASSERT(batch->ops[i].kind == STORE_PUT);
        rewriting->puts[i] = &batch->ops[i];
    }
    qsort(rewriting->puts, rewriting->put_count, sizeof(*rewriting->puts), op_order);
    for (size_t i = 1; i < rewriting->put_count; i++) {
        ASSERT(op_order(&rewriting->puts[i - 1], &rewriting->puts[i]) < 0);
    }
}

static int give_put(struct rewriting *rewriting)
{
    const struct store_op *op = rewriting->puts[rewriting->put_next++];
    return rewriting->each(rewriting->each_ctx, op->table, op->key, op->value);
}

static int merge_item(void *ctx, enum store_table table, struct bytes key, struct bytes value)
{
    struct rewriting *rewriting = ctx;
    int rc = bolt_check_version(table, key, value, rewriting->err);
    int order = 1;
    while (rc == 0 && rewriting->put_next < rewriting->put_count) {
        order = place_order(table, key, rewriting->puts[rewriting->put_next]);
        if (order < 0) {
            break;
        }
        rc = give_put(rewriting);
        if (order == 0) {
            return rc; /* it stands for the item */
        }
    }
    if (rc != 0 || (rewriting->changes->drop != NULL && rewriting->changes->drop(table, key))) {
        return rc;
    }
    return rewriting->each(rewriting->each_ctx, table, key, value);
}

static int merged_items(void *ctx, bolt_each_fn each, void *each_ctx, struct err *err)
{
    struct rewriting *rewriting = ctx;
    rewriting->each = each;
    rewriting->each_ctx = each_ctx;
    rewriting->err = err;
    rewriting->put_next = 0;
    int rc = bolt_read(rewriting->disk, rewriting->from, merge_item, rewriting, err);
    while (rc == 0 && rewriting->put_next < rewriting->put_count) {
        rc = give_put(rewriting);
    }
    return rc;
}

/* ---- the file ---- */

struct output {
    const struct disk_seam *disk;
    struct disk_file *file;
    uint64_t offset;
    EVP_MD_CTX *sha; /* NULL: none is wanted */
};

static int write_out(void *ctx, const void *data, size_t size)
{
    struct output *output = ctx;
    int rc = output->disk->write_at(output->file, output->offset, data, size);
    if (rc == 0 && output->sha != NULL) {
        int good = EVP_DigestUpdate(output->sha, data, size);
        ASSERT(good == 1);
    }
    output->offset += size;
    return rc;
}

static int write_seal(struct output *output)
{
    uint8_t sha[BOLT_SHA_BYTES];
    int good = EVP_DigestFinal_ex(output->sha, sha, NULL);
    ASSERT(good == 1);
    return output->disk->write_at(output->file, output->offset, sha, sizeof(sha));
}

static int write_all(struct output *output, struct bolt_writer *writer, const char *path,
                     struct err *err)
{
    int rc = bolt_writer_write(writer, write_out, output, err);
    if (rc != 0) {
        return rc;
    }
    if (output->sha != NULL) {
        rc = write_seal(output);
    }
    if (rc == 0) {
        rc = output->disk->sync(output->file);
    }
    return rc == 0 ? 0 : err_set(err, rc, "write %s: %s", path, err_code_text(rc));
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL   ? str_dup(".")
           : slash == path ? str_dup("/")
                           : str_from(path, (size_t)(slash - path));
}

static int check_room(const struct disk_seam *disk, const char *path, uint64_t size_bytes,
                      struct err *err)
{
    char *folder = folder_of(path);
    uint64_t free_bytes = 0;
    int rc = disk->free_bytes(disk->ctx, folder, &free_bytes);
    if (rc != 0) {
        err_set(err, rc, "free space in %s: %s", folder, err_code_text(rc));
    } else if (free_bytes < size_bytes + ROOM_SPARE) {
        rc = err_set(err, E_NO_SPACE,
                     "%s needs %" PRIu64 " bytes and there are %" PRIu64 " free in %s", path,
                     size_bytes + ROOM_SPARE, free_bytes, folder);
    }
    mem_free(folder);
    return rc;
}

int bolt_write_file(const struct disk_seam *disk, struct bolt_writer *writer, uint64_t size_bytes,
                    const char *path, enum bolt_seal seal, struct err *err)
{
    struct output output = {.disk = disk};
    int rc = check_room(disk, path, size_bytes, err);
    if (rc != 0) {
        return rc;
    }
    rc = disk->open(disk->ctx, path, DISK_CREATE, &output.file);
    if (rc != 0) {
        return err_set(err, rc, "make %s: %s", path, err_code_text(rc));
    }
    if (seal == BOLT_SEALED) {
        output.sha = EVP_MD_CTX_new();
        int good = output.sha != NULL ? EVP_DigestInit_ex(output.sha, EVP_sha256(), NULL) : 0;
        ASSERT(good == 1);
    }
    rc = write_all(&output, writer, path, err);
    ASSERT(rc != 0 || output.offset == size_bytes);
    EVP_MD_CTX_free(output.sha);
    disk->close(output.file);
    if (rc != 0) {
        (void)disk->remove(disk->ctx, path);
    }
    return rc;
}

int bolt_rewrite(const struct disk_seam *disk, const char *from, const char *to,
                 const struct bolt_changes *changes, enum bolt_seal seal, uint64_t *out_bytes,
                 struct err *err)
{
    struct rewriting rewriting = {.disk = disk, .from = from, .changes = changes};
    struct bolt_source source = {merged_items, &rewriting};
    struct bolt_writer *writer = NULL;
    uint64_t size_bytes = 0;
    sort_puts(&rewriting);
    int rc = bolt_writer_from(&source, &writer, &size_bytes, err);
    if (rc == 0) {
        rc = bolt_write_file(disk, writer, size_bytes, to, seal, err);
        bolt_writer_free(writer);
    }
    mem_free(rewriting.puts);
    if (rc != 0) {
        return err_wrap(err, rc, "read %s", from);
    }
    *out_bytes = size_bytes;
    return 0;
}
