/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to a disk beneath its process: power cuts, drawn or chosen, rot, copies, and its
 * hash.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/disk.h"
#include "tests/sim/disk_inside.h"
#include "tests/sim/world.h"

/* ---- power cuts ---- */

struct cut {
    enum sim_power_cut how;
    struct rng *rng;
    bool chosen;            /* by sectors; how means nothing */
    const uint8_t *sectors; /* NULL: none */
    size_t at;
    uint64_t odds; /* drawn: of 4, per file */
};

static bool keep_sector(void *ctx)
{
    struct cut *cut = ctx;
    if (cut->chosen) {
        size_t at = cut->at++;
        return cut->sectors != NULL && ((unsigned)cut->sectors[at / 8] >> at % 8 & 1u) != 0;
    }
    return cut->how == SIM_CUT_KEEP_ALL ||
           (cut->how == SIM_CUT_SUBSET && rng_below(cut->rng, 4) < cut->odds);
}

/* How many changes of this directory live. */
static size_t changes_kept(const struct sim_inode *dir, const struct cut *cut, uint64_t limit)
{
    if (cut->chosen) {
        size_t kept = 0;
        while (kept < dir->change_count && dir->changes[kept].sequence < limit) {
            kept++;
        }
        return kept;
    }
    if (cut->how == SIM_CUT_SUBSET && dir->change_count != 0) {
        return (size_t)rng_below(cut->rng, dir->change_count + 1);
    }
    return cut->how == SIM_CUT_KEEP_ALL ? dir->change_count : 0;
}

/* limit: changes from that sequence on are lost, where sectors are chosen. */
static void cut_run(struct sim_disk *disk, struct cut *cut, uint64_t limit)
{
    sim_disk_process_died(disk);
    size_t count;
    struct sim_inode **inodes = inodes_hold(disk, &count);
    for (size_t i = 0; i < count; i++) {
        struct sim_inode *inode = inodes[i];
        if (inode->is_dir) {
            changes_apply(inode, changes_kept(inode, cut, limit));
            changes_clear(inode);
            names_copy(&inode->names, &inode->durable_names);
            continue;
        }
        struct sim_content *content = &inode->content;
        if (content->touched_count == 0 && content->now_bytes == content->disk_bytes) {
            continue;
        }
        bool drawn = !cut->chosen && cut->how == SIM_CUT_SUBSET;
        cut->odds = drawn ? rng_below(cut->rng, 5) : 0;
        bool lost = !cut->chosen && cut->how == SIM_CUT_LOSE_ALL;
        content_cut(content, keep_sector, cut,
                    drawn  ? CONTENT_SIZE_DRAWN
                    : lost ? CONTENT_SIZE_OLD
                           : CONTENT_SIZE_FIT,
                    cut->rng);
        (void)inode_take_room(inode, content->now_bytes);
    }
    inodes_release(inodes, count);
}

void sim_disk_power_cut(struct sim_disk *disk, enum sim_power_cut how)
{
    sim_memory_world();
    struct cut cut = {.how = how, .rng = disk->rng};
    cut_run(disk, &cut, 0);
    sim_memory_back();
}

static int by_sequence(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* The sequence of the first change that is lost when so many live. */
static uint64_t sequence_after(struct sim_disk *disk, size_t names)
{
    size_t count = sim_disk_pending_names(disk);
    if (names >= count) {
        return UINT64_MAX;
    }
    uint64_t *all = mem_array(count, sizeof(*all));
    size_t at = 0;
    for (const struct sim_inode *inode = disk->first; inode != NULL; inode = inode->next) {
        for (size_t i = 0; i < inode->change_count; i++) {
            all[at++] = inode->changes[i].sequence;
        }
    }
    qsort(all, count, sizeof(*all), by_sequence);
    uint64_t sequence = all[names];
    mem_free(all);
    return sequence;
}

void sim_disk_cut_keeping(struct sim_disk *disk, const uint8_t *sectors, size_t names)
{
    sim_memory_world();
    struct cut cut = {.rng = disk->rng, .chosen = true, .sectors = sectors};
    cut_run(disk, &cut, sequence_after(disk, names));
    sim_memory_back();
}

size_t sim_disk_dirty_count(const struct sim_disk *disk)
{
    size_t count = 0;
    for (struct sim_inode *inode = disk->first; inode != NULL; inode = inode->next) {
        count += content_unsynced(&inode->content);
    }
    return count;
}

size_t sim_disk_pending_names(const struct sim_disk *disk)
{
    size_t count = 0;
    for (const struct sim_inode *inode = disk->first; inode != NULL; inode = inode->next) {
        count += inode->change_count;
    }
    return count;
}

/* ---- copies ---- */

/* Inodes of both disks, in the same order. */
struct pairs {
    struct sim_inode **from;
    struct sim_inode **to;
    size_t count;
};

static struct sim_inode *twin(const struct pairs *pairs, const struct sim_inode *inode)
{
    size_t low = 0;
    size_t high = pairs->count;
    while (low + 1 < high) {
        size_t middle = low + (high - low) / 2;
        if (pairs->from[middle]->id <= inode->id) {
            low = middle;
        } else {
            high = middle;
        }
    }
    ASSERT(pairs->from[low] == inode);
    return pairs->to[low];
}

static void twin_names(const struct pairs *pairs, const struct sim_names *from,
                       struct sim_names *to)
{
    for (size_t i = 0; i < from->count; i++) {
        names_set(to, from->items[i].name, twin(pairs, from->items[i].inode));
    }
}

static void twin_fill(const struct pairs *pairs, size_t at)
{
    struct sim_inode *from = pairs->from[at];
    struct sim_inode *to = pairs->to[at];
    to->id = from->id;
    twin_names(pairs, &from->names, &to->names);
    twin_names(pairs, &from->durable_names, &to->durable_names);
    to->changes = mem_array(from->change_count, sizeof(to->changes[0]));
    to->change_capacity = from->change_count;
    for (; to->change_count < from->change_count; to->change_count++) {
        const struct sim_name_change *change = &from->changes[to->change_count];
        struct sim_inode *inode = change->inode == NULL ? NULL : twin(pairs, change->inode);
        if (inode != NULL) {
            inode_ref(inode);
        }
        to->changes[to->change_count] = (struct sim_name_change){
            change->sequence, str_dup(change->gone), str_dup(change->name), inode};
    }
    content_clone(&from->content, &to->content);
    if (from->object_class != NULL) {
        to->object_class = from->object_class;
        to->object = from->object_class->clone(from->object);
    }
    to->room = from->room;
}

struct sim_disk *sim_disk_clone(const struct sim_disk *disk, struct rng *rng,
                                const struct sim_disk_hooks *hooks)
{
    sim_memory_world();
    struct sim_disk *clone = sim_disk_new(rng, hooks);
    struct pairs pairs = {.count = 0};
    pairs.from = inodes_hold(disk->root->disk, &pairs.count);
    pairs.to = mem_array(pairs.count, sizeof(struct sim_inode *));
    ASSERT(pairs.from[0] == disk->root);
    for (size_t i = 0; i < pairs.count; i++) {
        pairs.to[i] = i == 0 ? clone->root : inode_new(clone, pairs.from[i]->is_dir);
        inode_ref(pairs.to[i]);
    }
    for (size_t i = 0; i < pairs.count; i++) {
        twin_fill(&pairs, i);
    }
    clone->next_id = disk->next_id;
    clone->next_change = disk->next_change;
    clone->faults.free_bytes = disk->faults.free_bytes;
    inodes_release(pairs.to, pairs.count); /* files that only a process held go here */
    inodes_release(pairs.from, pairs.count);
    sim_memory_back();
    return clone;
}

void sim_disk_mount(struct sim_disk *disk, const char *path)
{
    sim_memory_world();
    char *whole = str_dup(path);
    for (char *at = whole;; at++) {
        if (*at != '/' && *at != '\0') {
            continue;
        }
        char ended = *at;
        *at = '\0';
        struct sim_inode *dir;
        char *name;
        ASSERT(disk_names_make_dir(disk, whole) == 0);
        if (path_split(disk, whole, &dir, &name) == 0) {
            changes_apply(dir, dir->change_count);
            mem_free(name);
        }
        *at = ended;
        if (ended == '\0') {
            break;
        }
    }
    mem_free(whole);
    sim_memory_back();
}

/* ---- looking at it ---- */

int sim_disk_stat(struct sim_disk *disk, const char *path, uint64_t *out_size)
{
    sim_memory_world();
    const struct sim_inode *inode = path_find(disk, path);
    sim_memory_back();
    if (inode == NULL) {
        return E_NOT_FOUND;
    }
    *out_size = inode->object_class != NULL ? inode->room : inode->content.now_bytes;
    return 0;
}

/* A walk over the files that can rot. */
struct rot {
    const char *part;
    size_t wanted; /* this one */
    size_t count;
    struct sim_inode *inode;
    char *path;
};

static void rot_walk(struct rot *rot, struct sim_inode *dir, const char *path)
{
    for (size_t i = 0; i < dir->names.count; i++) {
        struct sim_inode *inode = dir->names.items[i].inode;
        char *below = str_printf("%s/%s", path, dir->names.items[i].name);
        if (inode->is_dir) {
            rot_walk(rot, inode, below);
        } else if (inode->object_class == NULL && inode->content.disk_bytes != 0 &&
                   strstr(below, rot->part) != NULL && rot->count++ == rot->wanted) {
            rot->inode = inode;
            rot->path = str_dup(below);
        }
        mem_free(below);
    }
}

bool sim_disk_rot(struct sim_disk *disk, const char *part, char *out_path, size_t path_size,
                  uint64_t *out_offset)
{
    sim_memory_world();
    struct rot rot = {.part = part, .wanted = SIZE_MAX};
    rot_walk(&rot, disk->root, "");
    if (rot.count == 0) {
        sim_memory_back();
        return false;
    }
    rot.wanted = (size_t)rng_below(disk->rng, rot.count);
    rot.count = 0;
    rot_walk(&rot, disk->root, "");
    struct sim_content *content = &rot.inode->content;
    uint64_t sectors = (content->disk_bytes + SIM_SECTOR_BYTES - 1) / SIM_SECTOR_BYTES;
    uint64_t sector = rng_below(disk->rng, sectors);
    content_flip(content, sector, disk->rng);
    (void)snprintf(out_path, path_size, "%s", rot.path);
    *out_offset = sector * SIM_SECTOR_BYTES;
    struct sim_disk_damage damage = {SIM_DAMAGE_ROT, rot.path, *out_offset, *out_offset,
                                     SIM_SECTOR_BYTES};
    disk_note_damage(disk, &damage);
    sim_memory_back();
    return true;
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
    for (; *text != '\0'; text++) {
        hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    }
    return mix(hash, 1);
}

static uint64_t hash_dir(uint64_t hash, const struct sim_inode *dir)
{
    hash = mix(hash, dir->durable_names.count);
    for (size_t i = 0; i < dir->durable_names.count; i++) {
        const struct sim_inode *inode = dir->durable_names.items[i].inode;
        hash = mix_text(hash, dir->durable_names.items[i].name);
        if (inode->is_dir) {
            hash = hash_dir(hash, inode);
        } else if (inode->object_class != NULL) {
            hash = mix(hash, inode->object_class->hash(inode->object));
        } else {
            hash = mix(hash, content_hash(&inode->content));
        }
    }
    return hash;
}

uint64_t sim_disk_hash(const struct sim_disk *disk)
{
    return hash_dir(0, disk->root);
}
