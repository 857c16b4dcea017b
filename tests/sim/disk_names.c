/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inodes and directories. A directory has two tables, as the process sees it and as it is durable,
 * and the list of changes that lead from the second to the first.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/disk_inside.h"

/* ---- tables of names ---- */

/* Where name is, or would be. */
static size_t names_place(const struct sim_names *names, const char *name, bool *out_there)
{
    size_t low = 0;
    size_t high = names->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(names->items[middle].name, name);
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
    *out_there = false;
    return low;
}

struct sim_inode *names_get(const struct sim_names *names, const char *name)
{
    bool there;
    size_t at = names_place(names, name, &there);
    return there ? names->items[at].inode : NULL;
}

void names_set(struct sim_names *names, const char *name, struct sim_inode *inode)
{
    bool there;
    size_t at = names_place(names, name, &there);
    inode_ref(inode);
    if (there) {
        inode_unref(names->items[at].inode);
        names->items[at].inode = inode;
        return;
    }
    if (names->count == names->capacity) {
        names->capacity = BASE_MAX(names->capacity * 2, (size_t)8);
        names->items = mem_realloc(names->items, names->capacity * sizeof(names->items[0]));
    }
    memmove(&names->items[at + 1], &names->items[at],
            (names->count - at) * sizeof(names->items[0]));
    names->items[at] = (struct sim_name){str_dup(name), inode};
    names->count++;
}

bool names_remove(struct sim_names *names, const char *name)
{
    bool there;
    size_t at = names_place(names, name, &there);
    if (!there) {
        return false;
    }
    struct sim_name gone = names->items[at];
    names->count--;
    memmove(&names->items[at], &names->items[at + 1],
            (names->count - at) * sizeof(names->items[0]));
    mem_free(gone.name);
    inode_unref(gone.inode);
    return true;
}

void names_clear(struct sim_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        mem_free(names->items[i].name);
        inode_unref(names->items[i].inode);
    }
    mem_free(names->items);
    *names = (struct sim_names){0};
}

void names_copy(struct sim_names *to, const struct sim_names *from)
{
    struct sim_names copy = {0};
    for (size_t i = 0; i < from->count; i++) {
        names_set(&copy, from->items[i].name, from->items[i].inode);
    }
    names_clear(to);
    *to = copy;
}

/* ---- inodes ---- */

struct sim_inode *inode_new(struct sim_disk *disk, bool is_dir)
{
    struct sim_inode *inode = mem_zalloc(sizeof(*inode));
    inode->disk = disk;
    inode->id = disk->next_id++;
    inode->is_dir = is_dir;
    inode->previous = disk->last;
    if (disk->last != NULL) {
        disk->last->next = inode;
    } else {
        disk->first = inode;
    }
    disk->last = inode;
    return inode;
}

void inode_ref(struct sim_inode *inode)
{
    inode->refs++;
}

static void inode_free(struct sim_inode *inode)
{
    struct sim_disk *disk = inode->disk;
    ASSERT(inode->lock_holder == NULL);
    names_clear(&inode->names);
    names_clear(&inode->durable_names);
    changes_clear(inode);
    content_free(&inode->content);
    if (inode->object_class != NULL) {
        inode->object_class->free(inode->object);
    }
    (void)inode_take_room(inode, 0);
    if (inode->previous != NULL) {
        inode->previous->next = inode->next;
    } else {
        disk->first = inode->next;
    }
    if (inode->next != NULL) {
        inode->next->previous = inode->previous;
    } else {
        disk->last = inode->previous;
    }
    mem_free(inode);
}

void inode_unref(struct sim_inode *inode)
{
    ASSERT(inode->refs > 0);
    if (--inode->refs == 0) {
        inode_free(inode);
    }
}

bool inode_take_room(struct sim_inode *inode, uint64_t bytes)
{
    uint64_t *left = &inode->disk->faults.free_bytes;
    uint64_t room = (bytes + SIM_BLOCK_BYTES - 1) / SIM_BLOCK_BYTES * SIM_BLOCK_BYTES;
    if (*left != UINT64_MAX) {
        if (room > inode->room && room - inode->room > *left) {
            return false;
        }
        *left = *left + inode->room - room;
    }
    inode->room = room;
    return true;
}

struct sim_inode **inodes_hold(struct sim_disk *disk, size_t *out_count)
{
    size_t count = 0;
    for (struct sim_inode *at = disk->first; at != NULL; at = at->next) {
        count++;
    }
    struct sim_inode **inodes = mem_array(count, sizeof(struct sim_inode *));
    count = 0;
    for (struct sim_inode *at = disk->first; at != NULL; at = at->next) {
        inode_ref(at);
        inodes[count++] = at;
    }
    *out_count = count;
    return inodes;
}

void inodes_release(struct sim_inode **inodes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        inode_unref(inodes[i]);
    }
    mem_free(inodes);
}

/* ---- changes ---- */

static void change_free(struct sim_name_change *change)
{
    mem_free(change->gone);
    mem_free(change->name);
    if (change->inode != NULL) {
        inode_unref(change->inode);
    }
}

/* Notes a change and makes it visible. */
static void change_add(struct sim_inode *dir, const char *gone, const char *name,
                       struct sim_inode *inode)
{
    if (dir->change_count == dir->change_capacity) {
        dir->change_capacity = BASE_MAX(dir->change_capacity * 2, (size_t)8);
        dir->changes = mem_realloc(dir->changes, dir->change_capacity * sizeof(dir->changes[0]));
    }
    if (inode != NULL) {
        inode_ref(inode);
    }
    dir->changes[dir->change_count++] = (struct sim_name_change){
        dir->disk->next_change++,
        gone == NULL ? NULL : str_dup(gone),
        name == NULL ? NULL : str_dup(name),
        inode,
    };
    if (gone != NULL) {
        (void)names_remove(&dir->names, gone);
    }
    if (inode != NULL) {
        names_set(&dir->names, name, inode);
    }
}

void changes_apply(struct sim_inode *dir, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct sim_name_change *change = &dir->changes[i];
        if (change->gone != NULL) {
            (void)names_remove(&dir->durable_names, change->gone);
        }
        if (change->inode != NULL) {
            names_set(&dir->durable_names, change->name, change->inode);
        }
        change_free(change);
    }
    dir->change_count -= count;
    if (count != 0) {
        memmove(dir->changes, dir->changes + count, dir->change_count * sizeof(dir->changes[0]));
    }
}

void changes_clear(struct sim_inode *dir)
{
    for (size_t i = 0; i < dir->change_count; i++) {
        change_free(&dir->changes[i]);
    }
    mem_free(dir->changes);
    dir->changes = NULL;
    dir->change_count = 0;
    dir->change_capacity = 0;
}

void dir_set(struct sim_inode *dir, const char *name, struct sim_inode *inode)
{
    change_add(dir, NULL, name, inode);
}

void dir_remove(struct sim_inode *dir, const char *name)
{
    change_add(dir, name, NULL, NULL);
}

/* ---- paths ---- */

/* Takes the next part of a path; NULL at its end. */
static char *part_next(const char **path)
{
    for (;;) {
        while (**path == '/') {
            (*path)++;
        }
        size_t size = strcspn(*path, "/");
        if (size == 0) {
            return NULL;
        }
        const char *part = *path;
        *path += size;
        if (size != 1 || part[0] != '.') {
            return str_from(part, size);
        }
    }
}

int path_split(const struct sim_disk *disk, const char *path, struct sim_inode **out_dir,
               char **out_name)
{
    struct sim_inode *dir = disk->root;
    char *name = part_next(&path);
    if (name == NULL) {
        return E_INVALID;
    }
    for (;;) {
        char *next = part_next(&path);
        if (next == NULL) {
            break;
        }
        dir = names_get(&dir->names, name);
        mem_free(name);
        name = next;
        if (dir == NULL || !dir->is_dir) {
            mem_free(name);
            return dir == NULL ? E_NOT_FOUND : E_IO;
        }
    }
    *out_dir = dir;
    *out_name = name;
    return 0;
}

struct sim_inode *path_find(const struct sim_disk *disk, const char *path)
{
    struct sim_inode *dir;
    char *name;
    int rc = path_split(disk, path, &dir, &name);
    if (rc != 0) {
        return rc == E_INVALID ? disk->root : NULL;
    }
    struct sim_inode *inode = names_get(&dir->names, name);
    mem_free(name);
    return inode;
}

/* ---- operations ---- */

static int rename_checked(struct sim_inode *from_dir, const char *from, struct sim_inode *to_dir,
                          const char *to)
{
    struct sim_inode *inode = names_get(&from_dir->names, from);
    struct sim_inode *there = names_get(&to_dir->names, to);
    if (inode == NULL) {
        return E_NOT_FOUND;
    }
    if (there == inode) {
        return 0;
    }
    if (there != NULL &&
        (there->is_dir != inode->is_dir || (there->is_dir && there->names.count != 0))) {
        return E_IO; /* EISDIR, ENOTDIR, ENOTEMPTY */
    }
    if (from_dir == to_dir) {
        inode_ref(inode); /* its name goes first */
        change_add(from_dir, from, to, inode);
        inode_unref(inode);
        return 0;
    }
    if (inode->is_dir) {
        return E_UNSUPPORTED;
    }
    dir_set(to_dir, to, inode);
    dir_remove(from_dir, from);
    return 0;
}

int disk_names_rename(struct sim_disk *disk, const char *from, const char *to)
{
    struct sim_inode *from_dir;
    struct sim_inode *to_dir;
    char *from_name;
    char *to_name;
    int rc = path_split(disk, from, &from_dir, &from_name);
    if (rc != 0) {
        return rc;
    }
    rc = path_split(disk, to, &to_dir, &to_name);
    if (rc == 0) {
        rc = rename_checked(from_dir, from_name, to_dir, to_name);
        mem_free(to_name);
    }
    mem_free(from_name);
    return rc;
}

int disk_names_remove(struct sim_disk *disk, const char *path)
{
    struct sim_inode *dir;
    char *name;
    int rc = path_split(disk, path, &dir, &name);
    if (rc != 0) {
        return rc;
    }
    const struct sim_inode *inode = names_get(&dir->names, name);
    if (inode == NULL) {
        rc = E_NOT_FOUND;
    } else if (inode->is_dir && inode->names.count != 0) {
        rc = E_IO; /* ENOTEMPTY */
    } else {
        dir_remove(dir, name);
    }
    mem_free(name);
    return rc;
}

int disk_names_make_dir(struct sim_disk *disk, const char *path)
{
    struct sim_inode *dir;
    char *name;
    int rc = path_split(disk, path, &dir, &name);
    if (rc != 0) {
        return rc == E_INVALID ? 0 : rc;
    }
    const struct sim_inode *there = names_get(&dir->names, name);
    if (there == NULL) {
        dir_set(dir, name, inode_new(disk, true));
    } else if (!there->is_dir) {
        rc = E_EXISTS;
    }
    mem_free(name);
    return rc;
}

int disk_names_sync(struct sim_disk *disk, const char *path)
{
    struct sim_inode *dir = path_find(disk, path);
    if (dir == NULL) {
        return E_NOT_FOUND;
    }
    if (!dir->is_dir) {
        return E_IO;
    }
    changes_apply(dir, dir->change_count);
    return 0;
}
