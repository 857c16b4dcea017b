/* SPDX-License-Identifier: Apache-2.0 */
/* One image: its contents, its hash, and its files on a disk. */
#include "tests/crash/image.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/rng.h"

#define PAGE_BYTES 4096u

uint64_t bytes_hash(uint64_t seed, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    uint64_t hash = seed ^ 0x9e3779b97f4a7c15u ^ size;
    for (; size >= 8; size -= 8, bytes += 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        hash = (hash ^ word) * 0xff51afd7ed558ccdu;
        hash ^= hash >> 32;
    }
    for (; size > 0; size--, bytes++) {
        hash = (hash ^ *bytes) * 0xc4ceb9fe1a85ec53u;
        hash ^= hash >> 29;
    }
    return hash ^ hash >> 31;
}

/* ---- contents ---- */

static bool has_selected(const struct cursor *cursor, const struct selection *selection,
                         uint32_t node)
{
    for (uint32_t i = 0; i < cursor->unit_count; i++) {
        if (selection->units[i] && cursor->units[i].node == node) {
            return true;
        }
    }
    return false;
}

/* The file's bytes (mem_free). */
static uint8_t *file_contents(const struct cursor *cursor, const struct selection *selection,
                              uint32_t node, uint64_t *out_size)
{
    const struct file_state *file = &cursor->files[node];
    uint64_t capacity = BASE_MAX(file->durable_size, file->live_size);
    for (uint32_t i = 0; i < cursor->unit_count; i++) {
        if (cursor->units[i].node == node) {
            capacity = BASE_MAX(capacity, cursor->units[i].size);
        }
    }
    uint8_t *data = mem_zalloc((size_t)capacity + SECTOR_BYTES);
    uint64_t size = file->durable_size;
    memcpy(data, file->durable, (size_t)size);
    for (uint32_t i = 0; i < cursor->unit_count; i++) {
        const struct unit *unit = &cursor->units[i];
        if (unit->node != node) {
            continue;
        }
        if (!selection->units[i]) {
            if (unit->kind == UNIT_CUT) {
                break; /* what was written into the shorter file is not there without it */
            }
            continue;
        }
        if (unit->kind == UNIT_SECTOR) {
            uint64_t start = unit->sector * SECTOR_BYTES;
            uint64_t end = BASE_MIN(start + SECTOR_BYTES, unit->size);
            memcpy(data + start, unit->data, (size_t)(end - start));
            size = BASE_MAX(size, end);
        } else if (unit->kind == UNIT_CUT && unit->size < size) {
            memset(data + unit->size, 0, (size_t)(size - unit->size));
            size = unit->size;
        } else if (unit->kind == UNIT_GROW) {
            size = BASE_MAX(size, unit->size);
        }
    }
    *out_size = size;
    return data;
}

static void names_of(const struct cursor *cursor, const struct selection *selection, uint32_t dir,
                     struct dir_names *out)
{
    dir_names_copy(out, &cursor->names[dir]);
    for (uint32_t i = 0; i < cursor->dir_op_count; i++) {
        const struct op *op = cursor->dir_ops[i];
        if (op->dir != dir || !selection->dir_ops[i]) {
            continue;
        }
        if (op->kind != OP_LINK) {
            dir_names_remove(out, op->name);
        }
        if (op->kind != OP_UNLINK) {
            dir_names_set(out, op->kind == OP_LINK ? op->name : op->to_name, op->node);
        }
    }
}

static uint64_t dir_hash(const struct cursor *cursor, const struct selection *selection,
                         uint32_t dir)
{
    struct dir_names names;
    uint64_t sum = 0;
    names_of(cursor, selection, dir, &names);
    for (uint32_t i = 0; i < names.count; i++) {
        uint32_t node = names.items[i].node;
        uint64_t hash = 1;
        if (cursor->journal->nodes[node].is_dir) {
            hash = dir_hash(cursor, selection, node);
        } else if (cursor->journal->nodes[node].is_lock) {
            hash = 2;
        } else if (has_selected(cursor, selection, node)) {
            uint64_t size;
            uint8_t *data = file_contents(cursor, selection, node, &size);
            hash = bytes_hash(size, data, (size_t)size);
            mem_free(data);
        } else {
            hash = cursor->files[node].durable_hash;
        }
        sum += bytes_hash(hash, names.items[i].name, strlen(names.items[i].name));
    }
    dir_names_free(&names);
    return sum;
}

uint64_t image_hash(const struct cursor *cursor, const struct selection *selection)
{
    return dir_hash(cursor, selection, 0);
}

/* ---- files ---- */

static bool is_zero(const uint8_t *data, size_t size)
{
    return data[0] == 0 && memcmp(data, data + 1, size - 1) == 0;
}

static void file_write(const char *path, const uint8_t *data, uint64_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ASSERT(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    for (uint64_t at = 0; at < size; at += PAGE_BYTES) {
        size_t part = (size_t)BASE_MIN((uint64_t)PAGE_BYTES, size - at);
        if (!is_zero(data + at, part)) {
            ASSERT(pwrite(fd, data + at, part, (off_t)at) == (ssize_t)part);
        }
    }
    ASSERT(close(fd) == 0);
}

static void dir_write(const struct cursor *cursor, const struct selection *selection, uint32_t dir,
                      const char *path)
{
    struct dir_names names;
    names_of(cursor, selection, dir, &names);
    for (uint32_t i = 0; i < names.count; i++) {
        uint32_t node = names.items[i].node;
        char *child = str_printf("%s/%s", path, names.items[i].name);
        if (cursor->journal->nodes[node].is_dir) {
            ASSERT(mkdir(child, 0700) == 0);
            dir_write(cursor, selection, node, child);
        } else if (has_selected(cursor, selection, node)) {
            uint64_t size;
            uint8_t *data = file_contents(cursor, selection, node, &size);
            file_write(child, data, size);
            mem_free(data);
        } else {
            file_write(child, cursor->files[node].durable, cursor->files[node].durable_size);
        }
        mem_free(child);
    }
    dir_names_free(&names);
}

void image_write(const struct cursor *cursor, const struct selection *selection, const char *root)
{
    dir_write(cursor, selection, 0, root);
}

void tree_clear(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    ASSERT(dir != NULL);
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        char *child = str_printf("%s/%s", path, entry->d_name);
        if (entry->d_type == DT_DIR) {
            tree_clear(child);
            ASSERT(rmdir(child) == 0);
        } else {
            ASSERT(unlink(child) == 0);
        }
        mem_free(child);
    }
    (void)closedir(dir);
}

/* ---- is the journal complete? ---- */

static bool file_is(const char *path, const uint8_t *data, uint64_t size)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool same = fstat(fd, &info) == 0 && (uint64_t)info.st_size == size;
    uint8_t *there = mem_alloc((size_t)size);
    same = same && pread(fd, there, (size_t)size, 0) == (ssize_t)size &&
           (size == 0 || memcmp(there, data, (size_t)size) == 0);
    mem_free(there);
    (void)close(fd);
    return same;
}

static uint32_t entries_count(const char *path)
{
    uint32_t count = 0;
    DIR *dir = opendir(path);
    while (dir != NULL && readdir(dir) != NULL) {
        count++;
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return count;
}

static bool dir_is_live(const struct cursor *cursor, const struct selection *all, uint32_t at,
                        const char *path, char **out_what)
{
    struct dir_names names;
    names_of(cursor, all, at, &names);
    bool same = entries_count(path) == names.count + 2; /* "." and ".." */
    if (!same) {
        *out_what = str_printf("%s: names that the journal does not know, or more of them", path);
    }
    for (uint32_t i = 0; same && i < names.count; i++) {
        uint32_t node = names.items[i].node;
        const struct file_state *file = &cursor->files[node];
        char *child = str_printf("%s/%s", path, names.items[i].name);
        if (cursor->journal->nodes[node].is_dir) {
            same = dir_is_live(cursor, all, node, child, out_what);
        } else if (!cursor->journal->nodes[node].is_lock &&
                   !file_is(child, file->live, file->live_size)) {
            same = false;
            *out_what = str_printf("%s: bytes that were not recorded", child);
        }
        mem_free(child);
    }
    dir_names_free(&names);
    return same;
}

bool tree_is_live(const struct cursor *cursor, const char *root, char **out_what)
{
    bool *all = mem_alloc(cursor->dir_op_count + 1);
    memset(all, 1, cursor->dir_op_count + 1);
    struct selection selection = {.dir_ops = all};
    bool same = dir_is_live(cursor, &selection, 0, root, out_what);
    mem_free(all);
    return same;
}
