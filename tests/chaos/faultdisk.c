/* SPDX-License-Identifier: Apache-2.0 */
/* See faultdisk.h. Each page keeps one copy of the durable bytes of those of its sectors that
 * differ. */
#include "tests/chaos/faultdisk.h"

#include <errno.h>
#include <sys/stat.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"

#define SECTORS_PER_PAGE (FAULTDISK_PAGE / FAULTDISK_SECTOR)
#define FILE_BYTES_MAX   (1ull << 34)

static uint8_t zero_page[FAULTDISK_PAGE]; /* never written to */

static uint64_t wall_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- nodes and names ---- */

static struct faultnode *node_new(struct faultdisk *disk, mode_t mode)
{
    struct faultnode *node = mem_zalloc(sizeof(*node));
    node->number = disk->next_number++;
    node->mode = mode;
    node->is_folder = S_ISDIR(mode);
    node->changed_ns = wall_ns();
    list_init(&node->names);
    list_init(&node->durable_names);
    list_append(&disk->nodes, &node->all);
    return node;
}

static void page_drop(struct faultdisk *disk, struct faultpage *page)
{
    if (page->data != NULL) {
        disk->used_pages--;
        if (page->data != zero_page) {
            mem_free(page->data);
        }
        page->data = NULL;
    }
}

static void names_clear(struct faultdisk *disk, struct list *names)
{
    LIST_EACH_SAFE(it, names)
    {
        struct faultname *name = LIST_ENTRY(it, struct faultname, node);
        list_remove(&name->node);
        faultnode_unref(disk, name->target, 1);
        mem_free(name->name);
        mem_free(name);
    }
}

void faultnode_ref(struct faultnode *node)
{
    node->refs++;
}

void faultnode_unref(struct faultdisk *disk, struct faultnode *node, uint64_t count)
{
    ASSERT(node->refs >= count);
    node->refs -= count;
    if (node->refs != 0) {
        return;
    }
    names_clear(disk, &node->names);
    names_clear(disk, &node->durable_names);
    for (size_t i = 0; i < node->page_count; i++) {
        page_drop(disk, &node->pages[i]);
        mem_free(node->pages[i].old);
    }
    mem_free(node->pages);
    mem_free(node->touched);
    mem_free(node->name);
    list_remove(&node->all);
    mem_free(node);
}

void faultdisk_init(struct faultdisk *disk)
{
    *disk = (struct faultdisk){.next_number = 1};
    list_init(&disk->nodes);
    disk->root = node_new(disk, S_IFDIR | 0755);
    faultnode_ref(disk->root);
}

void faultdisk_free(struct faultdisk *disk)
{
    faultnode_unref(disk, disk->root, 1);
    disk->root = NULL;
}

static struct faultname *name_find(struct list *names, const char *name)
{
    LIST_EACH(it, names)
    {
        struct faultname *found = LIST_ENTRY(it, struct faultname, node);
        if (str_equal(found->name, name)) {
            return found;
        }
    }
    return NULL;
}

static void name_add(struct list *names, const char *name, struct faultnode *target)
{
    struct faultname *entry = mem_zalloc(sizeof(*entry));
    entry->name = str_dup(name);
    entry->target = target;
    faultnode_ref(target);
    if (!str_equal(target->name, name)) {
        mem_free(target->name);
        target->name = str_dup(name);
    }
    list_append(names, &entry->node);
}

static void name_drop(struct faultdisk *disk, struct faultname *entry)
{
    list_remove(&entry->node);
    faultnode_unref(disk, entry->target, 1);
    mem_free(entry->name);
    mem_free(entry);
}

struct faultnode *faultdisk_find(struct faultnode *folder, const char *name)
{
    struct faultname *found = folder->is_folder ? name_find(&folder->names, name) : NULL;
    return found == NULL ? NULL : found->target;
}

struct faultnode *faultdisk_walk(struct faultdisk *disk, const char *path)
{
    struct faultnode *node = disk->root;
    char *copy = str_dup(path);
    char *rest = NULL;
    for (char *part = strtok_r(copy, "/", &rest); part != NULL && node != NULL;
         part = strtok_r(NULL, "/", &rest)) {
        node = faultdisk_find(node, part);
    }
    mem_free(copy);
    return node;
}

int faultdisk_make(struct faultdisk *disk, struct faultnode *folder, const char *name, mode_t mode,
                   struct faultnode **out_node)
{
    if (!folder->is_folder) {
        return -ENOTDIR;
    }
    if (name_find(&folder->names, name) != NULL) {
        return -EEXIST;
    }
    if (disk->is_full) {
        return -ENOSPC;
    }
    *out_node = node_new(disk, mode);
    name_add(&folder->names, name, *out_node);
    folder->changed_ns = wall_ns();
    return 0;
}

int faultdisk_unlink(struct faultdisk *disk, struct faultnode *folder, const char *name)
{
    struct faultname *found = name_find(&folder->names, name);
    if (found == NULL) {
        return -ENOENT;
    }
    if (found->target->is_folder) {
        return -EISDIR;
    }
    name_drop(disk, found);
    folder->changed_ns = wall_ns();
    return 0;
}

int faultdisk_rmdir(struct faultdisk *disk, struct faultnode *folder, const char *name)
{
    struct faultname *found = name_find(&folder->names, name);
    if (found == NULL) {
        return -ENOENT;
    }
    if (!found->target->is_folder) {
        return -ENOTDIR;
    }
    if (!list_empty(&found->target->names)) {
        return -ENOTEMPTY;
    }
    name_drop(disk, found);
    folder->changed_ns = wall_ns();
    return 0;
}

int faultdisk_rename(struct faultdisk *disk, struct faultnode *from, const char *name,
                     struct faultnode *to, const char *new_name)
{
    struct faultname *found = name_find(&from->names, name);
    if (found == NULL) {
        return -ENOENT;
    }
    struct faultname *replaced = name_find(&to->names, new_name);
    if (replaced == found) {
        return 0;
    }
    if (replaced != NULL && replaced->target->is_folder != found->target->is_folder) {
        return replaced->target->is_folder ? -EISDIR : -ENOTDIR;
    }
    if (replaced != NULL && !list_empty(&replaced->target->names)) {
        return -ENOTEMPTY;
    }
    if (replaced != NULL) {
        name_drop(disk, replaced);
    }
    name_add(&to->names, new_name, found->target);
    name_drop(disk, found);
    from->changed_ns = to->changed_ns = wall_ns();
    return 0;
}

/* ---- bytes ---- */

static void pages_grow(struct faultnode *file, size_t count)
{
    if (count <= file->page_count) {
        return;
    }
    size_t doubled = file->page_count * 2;
    size_t capacity = count > doubled ? count : doubled;
    file->pages = mem_realloc(file->pages, capacity * sizeof(*file->pages));
    memset(file->pages + file->page_count, 0, (capacity - file->page_count) * sizeof(*file->pages));
    file->page_count = capacity;
}

static void touched_add(struct faultnode *file, size_t index)
{
    if (file->touched_count == file->touched_capacity) {
        file->touched_capacity = file->touched_capacity == 0 ? 16 : file->touched_capacity * 2;
        file->touched = mem_realloc(file->touched, file->touched_capacity * sizeof(*file->touched));
    }
    file->touched[file->touched_count++] = index;
}

/* The sectors of a page that [from, to) lies in, as bits. */
static uint8_t sectors_of(size_t from, size_t to)
{
    uint8_t bits = 0;
    for (size_t i = from / FAULTDISK_SECTOR; i * FAULTDISK_SECTOR < to; i++) {
        bits |= (uint8_t)(1u << i);
    }
    return bits;
}

/* Keeps the durable bytes of sectors that are about to change. */
static void page_touch(struct faultnode *file, size_t index, uint8_t sectors)
{
    struct faultpage *page = &file->pages[index];
    if ((page->dirty | page->lost) == 0) {
        touched_add(file, index);
    }
    if (page->old == NULL) {
        page->old = mem_zalloc(FAULTDISK_PAGE);
    }
    for (unsigned i = 0; i < SECTORS_PER_PAGE; i++) {
        uint8_t bit = (uint8_t)(1u << i);
        if ((sectors & bit) == 0) {
            continue;
        }
        if (((page->dirty | page->lost) & bit) == 0 && page->data != NULL) {
            memcpy(page->old + i * FAULTDISK_SECTOR, page->data + i * FAULTDISK_SECTOR,
                   FAULTDISK_SECTOR);
        } else if (((page->dirty | page->lost) & bit) == 0) {
            memset(page->old + i * FAULTDISK_SECTOR, 0, FAULTDISK_SECTOR);
        }
        page->lost &= (uint8_t)~bit;
        page->dirty |= bit;
    }
}

/* Gives the page memory of its own to write to; 0 or -ENOSPC. */
static int page_own(struct faultdisk *disk, struct faultpage *page)
{
    if (page->data == NULL) {
        if (disk->is_full) {
            return -ENOSPC;
        }
        disk->used_pages++;
        page->data = mem_zalloc(FAULTDISK_PAGE);
    } else if (page->data == zero_page) {
        page->data = mem_zalloc(FAULTDISK_PAGE);
    }
    return 0;
}

static bool is_zeros(const uint8_t *data, size_t size)
{
    return size == 0 || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

int faultdisk_write(struct faultdisk *disk, struct faultnode *file, uint64_t at, const void *data,
                    size_t size)
{
    const uint8_t *from = data;
    if (at + size > FILE_BYTES_MAX) {
        return -EFBIG;
    }
    size_t first = (size_t)(at / FAULTDISK_PAGE);
    size_t end = (size_t)((at + size + FAULTDISK_PAGE - 1) / FAULTDISK_PAGE);
    pages_grow(file, end);
    for (size_t i = first; disk->is_full && i < end; i++) {
        if (file->pages[i].data == NULL) {
            return -ENOSPC;
        }
    }
    uint64_t position = at;
    while (position < at + size) {
        size_t index = (size_t)(position / FAULTDISK_PAGE);
        size_t offset = (size_t)(position % FAULTDISK_PAGE);
        size_t room = FAULTDISK_PAGE - offset;
        uint64_t left = at + size - position;
        size_t part = left < room ? (size_t)left : room;
        struct faultpage *page = &file->pages[index];
        page_touch(file, index, sectors_of(offset, offset + part));
        if (part == FAULTDISK_PAGE && page->data == NULL && is_zeros(from, part)) {
            page->data = zero_page;
            disk->used_pages++;
        } else if (page->data != zero_page || !is_zeros(from, part)) {
            ASSERT(page_own(disk, page) == 0);
            memcpy(page->data + offset, from, part);
        }
        from += part;
        position += part;
    }
    file->size = at + size > file->size ? at + size : file->size;
    file->changed_ns = wall_ns();
    return 0;
}

int faultdisk_truncate(struct faultdisk *disk, struct faultnode *file, uint64_t size)
{
    if (size > FILE_BYTES_MAX) {
        return -EFBIG;
    }
    for (uint64_t at = size; at < file->size;) {
        size_t index = (size_t)(at / FAULTDISK_PAGE);
        size_t offset = (size_t)(at % FAULTDISK_PAGE);
        struct faultpage *page = index < file->page_count ? &file->pages[index] : NULL;
        if (page != NULL && page->data != NULL) {
            page_touch(file, index, sectors_of(offset, FAULTDISK_PAGE));
            if (offset == 0) {
                page_drop(disk, page);
            } else if (page->data != zero_page) {
                memset(page->data + offset, 0, FAULTDISK_PAGE - offset);
            }
        }
        at += FAULTDISK_PAGE - offset;
    }
    file->size = size;
    file->changed_ns = wall_ns();
    return 0;
}

int faultdisk_reserve(struct faultdisk *disk, struct faultnode *file, uint64_t at, uint64_t size)
{
    if (at + size > FILE_BYTES_MAX) {
        return -EFBIG;
    }
    size_t end = (size_t)((at + size + FAULTDISK_PAGE - 1) / FAULTDISK_PAGE);
    pages_grow(file, end);
    for (size_t i = (size_t)(at / FAULTDISK_PAGE); i < end; i++) {
        if (file->pages[i].data == NULL && disk->is_full) {
            return -ENOSPC;
        }
        if (file->pages[i].data == NULL) {
            file->pages[i].data = zero_page;
            disk->used_pages++;
        }
    }
    file->size = at + size > file->size ? at + size : file->size;
    return 0;
}

size_t faultdisk_read(const struct faultnode *file, uint64_t at, void *out, size_t size)
{
    uint8_t *to = out;
    if (at >= file->size) {
        return 0;
    }
    size = file->size - at < size ? (size_t)(file->size - at) : size;
    for (size_t done = 0; done < size;) {
        size_t index = (size_t)((at + done) / FAULTDISK_PAGE);
        size_t offset = (size_t)((at + done) % FAULTDISK_PAGE);
        size_t room = FAULTDISK_PAGE - offset;
        size_t part = size - done < room ? size - done : room;
        const uint8_t *data = index < file->page_count ? file->pages[index].data : NULL;
        memcpy(to + done, (data == NULL ? zero_page : data) + offset, part);
        done += part;
    }
    return size;
}

/* ---- what is durable ---- */

/* Takes the pages out of touched that have nothing left to lose. */
static void touched_tidy(struct faultnode *file)
{
    size_t kept = 0;
    for (size_t i = 0; i < file->touched_count; i++) {
        struct faultpage *page = &file->pages[file->touched[i]];
        if ((page->dirty | page->lost) != 0) {
            file->touched[kept++] = file->touched[i];
        } else {
            mem_free(page->old);
            page->old = NULL;
        }
    }
    file->touched_count = kept;
}

static void names_copy(struct faultdisk *disk, struct list *to, struct list *from)
{
    struct list fresh;
    list_init(&fresh);
    LIST_EACH(it, from)
    {
        struct faultname *name = LIST_ENTRY(it, struct faultname, node);
        name_add(&fresh, name->name, name->target);
    }
    names_clear(disk, to);
    LIST_EACH_SAFE(it, &fresh)
    {
        list_remove(it);
        list_append(to, it);
    }
}

void faultdisk_sync_range(struct faultnode *file, uint64_t at, uint64_t size)
{
    for (size_t i = 0; i < file->touched_count; i++) {
        struct faultpage *page = &file->pages[file->touched[i]];
        uint64_t start = (uint64_t)file->touched[i] * FAULTDISK_PAGE;
        if (start >= at + size || start + FAULTDISK_PAGE <= at) {
            continue;
        }
        size_t from = at > start ? (size_t)(at - start) : 0;
        uint64_t to = at + size - start;
        page->dirty &=
            (uint8_t)~sectors_of(from, to < FAULTDISK_PAGE ? (size_t)to : FAULTDISK_PAGE);
    }
    touched_tidy(file);
    file->durable_size = file->size;
}

void faultdisk_sync(struct faultdisk *disk, struct faultnode *node)
{
    if (node->is_folder) {
        names_copy(disk, &node->durable_names, &node->names);
    } else {
        faultdisk_sync_range(node, 0, FILE_BYTES_MAX);
    }
}

void faultdisk_sync_fails(struct faultnode *node)
{
    for (size_t i = 0; !node->is_folder && i < node->touched_count; i++) {
        struct faultpage *page = &node->pages[node->touched[i]];
        page->lost |= page->dirty;
        page->dirty = 0;
    }
}

static bool is_kept(struct rng *luck, unsigned keep_percent)
{
    return keep_percent > 0 && rng_below(luck, 100) < keep_percent;
}

static void file_power_cut(struct faultdisk *disk, struct faultnode *file, struct rng *luck,
                           unsigned keep_percent, struct faultloss *loss)
{
    for (size_t i = 0; i < file->touched_count; i++) {
        struct faultpage *page = &file->pages[file->touched[i]];
        for (unsigned sector = 0; sector < SECTORS_PER_PAGE; sector++) {
            uint8_t bit = (uint8_t)(1u << sector);
            if (((page->dirty | page->lost) & bit) == 0) {
                continue;
            }
            if ((page->dirty & bit) != 0 && is_kept(luck, keep_percent)) {
                loss->sectors_kept++;
                continue;
            }
            loss->sectors_lost++;
            if (page->data == NULL) {
                disk->used_pages++;
            }
            if (page->data == NULL || page->data == zero_page) {
                page->data = mem_zalloc(FAULTDISK_PAGE);
            }
            memcpy(page->data + sector * FAULTDISK_SECTOR, page->old + sector * FAULTDISK_SECTOR,
                   FAULTDISK_SECTOR);
        }
        page->dirty = page->lost = 0;
    }
    touched_tidy(file);
    if (file->size != file->durable_size && !is_kept(luck, keep_percent)) {
        uint64_t size = file->durable_size;
        int rc = faultdisk_truncate(disk, file, size);
        ASSERT(rc == 0);
    }
    faultdisk_sync_range(file, 0, FILE_BYTES_MAX); /* what is left is what the disk holds */
}

/* How many names of a are not, with the same target, in b. */
static uint64_t names_missing(struct list *a, struct list *b)
{
    uint64_t count = 0;
    LIST_EACH(it, a)
    {
        struct faultname *name = LIST_ENTRY(it, struct faultname, node);
        struct faultname *other = name_find(b, name->name);
        count += other == NULL || other->target != name->target ? 1 : 0;
    }
    return count;
}

static void folder_power_cut(struct faultdisk *disk, struct faultnode *folder, struct rng *luck,
                             unsigned keep_percent, struct faultloss *loss)
{
    uint64_t changed = names_missing(&folder->names, &folder->durable_names) +
                       names_missing(&folder->durable_names, &folder->names);
    if (changed == 0) {
        return;
    }
    if (is_kept(luck, keep_percent)) {
        names_copy(disk, &folder->durable_names, &folder->names);
        return;
    }
    loss->names_lost += changed;
    names_copy(disk, &folder->names, &folder->durable_names);
}

struct faultloss faultdisk_power_cut(struct faultdisk *disk, struct rng *luck,
                                     unsigned keep_percent)
{
    struct faultloss loss = {0};
    /* All nodes live on until each was looked at: taking back names may free others. */
    LIST_EACH(it, &disk->nodes)
    {
        faultnode_ref(LIST_ENTRY(it, struct faultnode, all));
    }
    LIST_EACH(it, &disk->nodes)
    {
        struct faultnode *node = LIST_ENTRY(it, struct faultnode, all);
        if (node->is_folder) {
            folder_power_cut(disk, node, luck, keep_percent, &loss);
        } else {
            file_power_cut(disk, node, luck, keep_percent, &loss);
        }
    }
    struct list nodes;
    list_init(&nodes);
    LIST_EACH_SAFE(it, &disk->nodes)
    {
        list_remove(it);
        list_append(&nodes, it);
    }
    while (!list_empty(&nodes)) {
        struct list *first = nodes.next;
        list_remove(first);
        list_append(&disk->nodes, first);
        faultnode_unref(disk, LIST_ENTRY(first, struct faultnode, all), 1);
    }
    return loss;
}

size_t faultdisk_rot(struct faultnode *file, uint64_t at, size_t size)
{
    size_t turned = 0;
    for (uint64_t i = at; i < at + size && i < file->size; i++) {
        size_t index = (size_t)(i / FAULTDISK_PAGE);
        struct faultpage *page = index < file->page_count ? &file->pages[index] : NULL;
        if (page == NULL || page->data == NULL) {
            continue;
        }
        if (page->data == zero_page) {
            page->data = mem_zalloc(FAULTDISK_PAGE);
        }
        page->data[i % FAULTDISK_PAGE] ^= 0x10;
        if (page->old != NULL) {
            page->old[i % FAULTDISK_PAGE] ^= 0x10;
        }
        turned++;
    }
    return turned;
}

uint64_t faultdisk_unsynced_bytes(const struct faultdisk *disk)
{
    uint64_t bytes = 0;
    LIST_EACH(it, &disk->nodes)
    {
        const struct faultnode *node = LIST_ENTRY(it, struct faultnode, all);
        for (size_t i = 0; i < node->touched_count; i++) {
            struct faultpage *page = &node->pages[node->touched[i]];
            bytes += (uint64_t)__builtin_popcount((unsigned)(page->dirty | page->lost)) *
                     FAULTDISK_SECTOR;
        }
    }
    return bytes;
}
