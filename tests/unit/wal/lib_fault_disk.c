/* SPDX-License-Identifier: Apache-2.0 */
/* A disk in memory that can fail and forget. */
#include "lib_fault_disk.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"

struct fault_inode {
    struct buf bytes;
    struct buf flushed;
    unsigned references; /* names in both tables, and open files */
    bool locked;
};

struct disk_file {
    struct fault_disk *disk;
    struct fault_inode *inode;
    bool holds_lock;
};

static void inode_unref(struct fault_inode *inode)
{
    if (inode != NULL && --inode->references == 0) {
        buf_free(&inode->bytes);
        buf_free(&inode->flushed);
        mem_free(inode);
    }
}

static struct fault_name *name_find(const struct fault_names *names, const char *path)
{
    for (size_t i = 0; i < names->count; i++) {
        if (str_equal(names->items[i].path, path)) {
            return &names->items[i];
        }
    }
    return NULL;
}

static void name_remove(struct fault_names *names, struct fault_name *name)
{
    inode_unref(name->inode);
    mem_free(name->path);
    *name = names->items[--names->count];
}

static void name_set(struct fault_names *names, const char *path, struct fault_inode *inode)
{
    if (inode != NULL) {
        inode->references++;
    }
    struct fault_name *there = name_find(names, path);
    if (there != NULL) {
        inode_unref(there->inode);
        there->inode = inode;
        return;
    }
    names->items = mem_realloc(names->items, (names->count + 1) * sizeof(names->items[0]));
    names->items[names->count++] = (struct fault_name){str_dup(path), inode};
}

static void names_clear(struct fault_names *names)
{
    while (names->count > 0) {
        name_remove(names, &names->items[0]);
    }
    mem_free(names->items);
    names->items = NULL;
}

/* The size of the directory part of path; 1 for ".". */
static bool is_in_dir(const char *path, const char *dir)
{
    size_t size = strlen(dir);
    if (str_equal(dir, ".")) {
        return strchr(path, '/') == NULL;
    }
    return strncmp(path, dir, size) == 0 && path[size] == '/' &&
           strchr(path + size + 1, '/') == NULL;
}

static int change(struct fault_disk *disk)
{
    disk->changes++;
    return disk->changes == disk->fail_at ? disk->fail_code : 0;
}

static struct fault_inode *inode_new(void)
{
    struct fault_inode *inode = mem_zalloc(sizeof(*inode));
    buf_init(&inode->bytes, BUF_NO_LIMIT);
    buf_init(&inode->flushed, BUF_NO_LIMIT);
    return inode;
}

static int disk_open(void *ctx, const char *path, enum disk_open_mode mode,
                     struct disk_file **out_file)
{
    struct fault_disk *disk = ctx;
    struct fault_name *name = name_find(&disk->live, path);
    if (mode == DISK_CREATE) {
        int rc = change(disk);
        if (rc != 0) {
            return rc;
        }
        if (name == NULL) {
            name_set(&disk->live, path, inode_new());
            name = name_find(&disk->live, path);
        }
        ASSERT(name != NULL);
        buf_clear(&name->inode->bytes);
    }
    if (name == NULL || name->inode == NULL) {
        return E_NOT_FOUND;
    }
    struct disk_file *file = mem_zalloc(sizeof(*file));
    file->disk = disk;
    file->inode = name->inode;
    file->inode->references++;
    *out_file = file;
    return 0;
}

static void disk_close(struct disk_file *file)
{
    if (file->holds_lock) {
        file->inode->locked = false;
    }
    inode_unref(file->inode);
    mem_free(file);
}

static int disk_read_at(struct disk_file *file, uint64_t offset, void *data, size_t size,
                        size_t *out_read)
{
    const struct buf *bytes = &file->inode->bytes;
    size_t got = offset >= bytes->size ? 0 : BASE_MIN(size, bytes->size - (size_t)offset);
    if (got != 0) {
        memcpy(data, bytes->data + offset, got);
    }
    *out_read = got;
    return 0;
}

static void bytes_grow(struct buf *bytes, size_t size)
{
    if (size > bytes->size) {
        size_t extra = size - bytes->size;
        uint8_t *place = buf_reserve(bytes, extra);
        memset(place, 0, extra);
        bytes->size = size;
    }
}

/* A write that fails has done half of its work. */
static int disk_write_at(struct disk_file *file, uint64_t offset, const void *data, size_t size)
{
    int rc = change(file->disk);
    file->disk->writes++;
    size_t done = rc == 0 ? size : size / 2;
    bytes_grow(&file->inode->bytes, (size_t)offset + done);
    if (done != 0) {
        memcpy(file->inode->bytes.data + offset, data, done);
    }
    return rc;
}

static int disk_sync(struct disk_file *file)
{
    int rc = change(file->disk);
    file->disk->syncs++;
    if (rc == 0) {
        buf_clear(&file->inode->flushed);
        rc = buf_append(&file->inode->flushed, file->inode->bytes.data, file->inode->bytes.size);
    }
    return rc;
}

static int disk_truncate(struct disk_file *file, uint64_t size)
{
    int rc = change(file->disk);
    if (rc == 0) {
        bytes_grow(&file->inode->bytes, (size_t)size);
        file->inode->bytes.size = (size_t)size;
    }
    return rc;
}

static int disk_size(struct disk_file *file, uint64_t *out_size)
{
    *out_size = file->inode->bytes.size;
    return 0;
}

static int disk_lock(struct disk_file *file)
{
    if (file->inode->locked && !file->holds_lock) {
        return E_IN_USE;
    }
    file->inode->locked = true;
    file->holds_lock = true;
    return 0;
}

static int disk_rename(void *ctx, const char *from, const char *to)
{
    struct fault_disk *disk = ctx;
    int rc = change(disk);
    struct fault_name *name = name_find(&disk->live, from);
    if (rc == 0 && name == NULL) {
        rc = E_NOT_FOUND;
    }
    if (rc == 0) {
        name_set(&disk->live, to, name->inode);
        name_remove(&disk->live, name_find(&disk->live, from));
    }
    return rc;
}

static int disk_remove(void *ctx, const char *path)
{
    struct fault_disk *disk = ctx;
    int rc = change(disk);
    struct fault_name *name = name_find(&disk->live, path);
    if (rc == 0 && name == NULL) {
        rc = E_NOT_FOUND;
    }
    if (rc == 0) {
        name_remove(&disk->live, name);
    }
    return rc;
}

static int disk_make_dir(void *ctx, const char *path)
{
    struct fault_disk *disk = ctx;
    int rc = change(disk);
    if (rc == 0 && name_find(&disk->live, path) == NULL) {
        name_set(&disk->live, path, NULL);
    }
    return rc;
}

static int disk_list_dir(void *ctx, const char *path, disk_list_fn each, void *each_ctx)
{
    struct fault_disk *disk = ctx;
    if (!str_equal(path, ".") && name_find(&disk->live, path) == NULL) {
        return E_NOT_FOUND;
    }
    for (size_t i = 0; i < disk->live.count; i++) {
        if (is_in_dir(disk->live.items[i].path, path)) {
            const char *slash = strrchr(disk->live.items[i].path, '/');
            each(each_ctx, slash == NULL ? disk->live.items[i].path : slash + 1);
        }
    }
    return 0;
}

/* The durable names of one directory become the live ones. */
static void names_copy(struct fault_names *to, const struct fault_names *from, const char *dir)
{
    for (size_t i = to->count; i-- > 0;) {
        bool gone = name_find(from, to->items[i].path) == NULL;
        if (gone && (dir == NULL || is_in_dir(to->items[i].path, dir))) {
            name_remove(to, &to->items[i]);
        }
    }
    for (size_t i = 0; i < from->count; i++) {
        if (dir == NULL || is_in_dir(from->items[i].path, dir)) {
            name_set(to, from->items[i].path, from->items[i].inode);
        }
    }
}

static int disk_sync_dir(void *ctx, const char *path)
{
    struct fault_disk *disk = ctx;
    int rc = change(disk);
    if (rc == 0) {
        names_copy(&disk->durable, &disk->live, path);
    }
    return rc;
}

static int disk_free_bytes(void *ctx, const char *path, uint64_t *out_bytes)
{
    (void)ctx;
    (void)path;
    *out_bytes = UINT64_C(1) << 40;
    return 0;
}

void fault_disk_init(struct fault_disk *disk)
{
    *disk = (struct fault_disk){
        .fail_code = E_IO,
        .seam = {disk, disk_open, disk_close, disk_read_at, disk_write_at, disk_sync, disk_truncate,
                 disk_size, disk_lock, disk_rename, disk_remove, disk_make_dir, disk_list_dir,
                 disk_sync_dir, disk_free_bytes},
    };
}

void fault_disk_free(struct fault_disk *disk)
{
    names_clear(&disk->live);
    names_clear(&disk->durable);
}

void fault_disk_crash(struct fault_disk *disk)
{
    names_copy(&disk->live, &disk->durable, NULL);
    for (size_t i = 0; i < disk->live.count; i++) {
        struct fault_inode *inode = disk->live.items[i].inode;
        if (inode != NULL) {
            buf_clear(&inode->bytes);
            (void)buf_append(&inode->bytes, inode->flushed.data, inode->flushed.size);
        }
    }
}

struct buf *fault_disk_bytes(struct fault_disk *disk, const char *path)
{
    struct fault_name *name = name_find(&disk->live, path);
    return name == NULL || name->inode == NULL ? NULL : &name->inode->bytes;
}

void fault_disk_put(struct fault_disk *disk, const char *path, const void *data, size_t size)
{
    struct fault_inode *inode = inode_new();
    (void)buf_append(&inode->bytes, data, size);
    (void)buf_append(&inode->flushed, data, size);
    name_set(&disk->live, path, inode);
    name_set(&disk->durable, path, inode);
}

size_t fault_disk_count(const struct fault_disk *disk, const char *suffix)
{
    size_t count = 0;
    for (size_t i = 0; i < disk->live.count; i++) {
        count += str_ends_with(disk->live.items[i].path, suffix) ? 1 : 0;
    }
    return count;
}
