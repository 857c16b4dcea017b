/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk seam over the simulated disk, with its faults. Each call that changes something first
 * tells the hook, which may end the caller; nothing has happened then.
 */
#include "tests/sim/disk.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/disk_inside.h"
#include "tests/sim/world.h"

#define PPM           1000000u
#define UNKNOWN_BYTES (UINT64_C(1) << 40) /* free_bytes of a disk without a limit */

/* ---- hooks and chance ---- */

void disk_begin(struct sim_disk *disk, const char *what, const char *path)
{
    disk->calls++;
    if (disk->hooks.called != NULL) {
        disk->hooks.called(disk->hooks.ctx, what, path);
    }
}

int disk_fails(struct sim_disk *disk, enum sim_call_kind kind)
{
    return disk->fails == NULL ? 0 : disk->fails(disk->fails_ctx, kind);
}

bool disk_chance(struct sim_disk *disk, uint32_t ppm)
{
    return ppm != 0 && rng_below(disk->rng, PPM) < ppm;
}

/* -log2(x / 2^32) in units of 2^-12: whole numbers only, the same on each machine. */
static uint64_t log2_below_one(uint32_t x)
{
    unsigned leading = (unsigned)__builtin_clz(x);
    uint64_t mantissa = (uint64_t)x << leading; /* 2^31 to 2^32 stands for 1 to 2 */
    uint64_t fraction = 0;
    for (unsigned i = 0; i < 12; i++) {
        mantissa = mantissa * mantissa >> 31;
        fraction <<= 1;
        if (mantissa >= UINT64_C(1) << 32) {
            mantissa >>= 1;
            fraction |= 1;
        }
    }
    return ((uint64_t)leading + 1) * 4096 - fraction;
}

static uint64_t exponential(struct rng *rng, uint64_t mean_ns)
{
    uint32_t x = (uint32_t)(rng_next(rng) >> 32) | 1u;
    return mean_ns / 4096 * (log2_below_one(x) * 2839 / 4096); /* 2839 / 4096 is ln 2 */
}

void disk_spend(struct sim_disk *disk, uint64_t mean_ns)
{
    uint64_t ns = mean_ns == 0 ? 0 : exponential(disk->rng, mean_ns);
    if (disk_chance(disk, disk->faults.spike_ppm)) {
        ns += disk->faults.spike_ns;
    }
    if (ns != 0 && disk->hooks.spend != NULL) {
        disk->hooks.spend(disk->hooks.ctx, ns);
    }
}

/* The path becomes the disk's. */
void disk_note_damage(struct sim_disk *disk, const struct sim_disk_damage *damage)
{
    if (disk->damage_count == disk->damage_capacity) {
        disk->damage_capacity = BASE_MAX(disk->damage_capacity * 2, (size_t)8);
        disk->damage = mem_realloc(disk->damage, disk->damage_capacity * sizeof(disk->damage[0]));
    }
    disk->damage[disk->damage_count++] = *damage;
}

/* ---- files ---- */

static struct disk_file *file_new(struct sim_disk *disk, struct sim_inode *inode, const char *path,
                                  enum disk_open_mode mode)
{
    struct disk_file *file = mem_zalloc(sizeof(*file));
    file->disk = disk;
    file->inode = inode;
    file->path = str_dup(path);
    file->mode = mode;
    file->next = disk->files;
    if (disk->files != NULL) {
        disk->files->previous = file;
    }
    disk->files = file;
    inode_ref(inode);
    return file;
}

static int open_create(struct sim_disk *disk, const char *path, struct sim_inode **out_inode)
{
    struct sim_inode *dir;
    char *name;
    int rc = path_split(disk, path, &dir, &name);
    if (rc != 0) {
        return rc == E_INVALID ? E_IO : rc;
    }
    struct sim_inode *inode = names_get(&dir->names, name);
    if (inode == NULL) {
        inode = inode_new(disk, false);
        dir_set(dir, name, inode);
    } else if (inode->is_dir || inode->object_class != NULL) {
        rc = inode->is_dir ? E_IO : E_UNSUPPORTED;
    } else {
        content_resize(&inode->content, 0);
        (void)inode_take_room(inode, 0);
    }
    mem_free(name);
    if (rc == 0) {
        *out_inode = inode;
    }
    return rc;
}

static int sim_open(void *ctx, const char *path, enum disk_open_mode mode,
                    struct disk_file **out_file)
{
    struct sim_disk *disk = ctx;
    if (mode == DISK_CREATE) {
        disk_begin(disk, "create", path);
        disk_spend(disk, 0);
    }
    int rc = disk_fails(disk, SIM_CALL_OPEN);
    if (rc != 0) {
        return rc;
    }
    sim_memory_world();
    struct sim_inode *inode = NULL;
    if (mode == DISK_CREATE) {
        rc = open_create(disk, path, &inode);
    } else {
        inode = path_find(disk, path);
        if (inode == NULL) {
            rc = E_NOT_FOUND;
        } else if (inode->is_dir && mode != DISK_READ) {
            rc = E_IO; /* EISDIR */
        }
    }
    if (rc == 0) {
        *out_file = file_new(disk, inode, path, mode);
    }
    sim_memory_back();
    return rc;
}

static void file_close(struct disk_file *file)
{
    if (file->inode->lock_holder == file) {
        file->inode->lock_holder = NULL;
    }
    inode_unref(file->inode);
    if (file->previous != NULL) {
        file->previous->next = file->next;
    } else {
        file->disk->files = file->next;
    }
    if (file->next != NULL) {
        file->next->previous = file->previous;
    }
    mem_free(file->path);
    mem_free(file);
}

static void sim_close(struct disk_file *file)
{
    sim_memory_world();
    file_close(file);
    sim_memory_back();
}

static int sim_read_at(struct disk_file *file, uint64_t offset, void *data, size_t size,
                       size_t *out_read)
{
    int rc = disk_fails(file->disk, SIM_CALL_READ);
    if (rc != 0) {
        return rc;
    }
    if (file->inode->is_dir || disk_chance(file->disk, file->disk->faults.read_error_ppm)) {
        return E_IO;
    }
    if (file->inode->object_class != NULL) {
        return E_UNSUPPORTED;
    }
    *out_read = content_read(&file->inode->content, offset, data, size);
    return 0;
}

/* Where a misdirected write of size bytes goes instead; false: the file has no other place. */
static bool misdirect(struct disk_file *file, uint64_t wanted, size_t size, uint64_t *out_offset)
{
    uint64_t bytes = file->inode->content.now_bytes;
    if (size == 0 || bytes < size + SIM_SECTOR_BYTES) {
        return false;
    }
    uint64_t shift = wanted % SIM_SECTOR_BYTES;
    uint64_t places = (bytes - size - BASE_MIN(shift, bytes - size)) / SIM_SECTOR_BYTES + 1;
    uint64_t offset = rng_below(file->disk->rng, places) * SIM_SECTOR_BYTES + shift;
    if (offset == wanted) {
        return false;
    }
    struct sim_disk_damage damage = {SIM_DAMAGE_MISDIRECTED, str_dup(file->path), offset, wanted,
                                     size};
    disk_note_damage(file->disk, &damage);
    *out_offset = offset;
    return true;
}

/* rc: it has failed already. */
static int write_inner(struct disk_file *file, uint64_t offset, const void *data, size_t size,
                       int rc)
{
    struct sim_disk *disk = file->disk;
    struct sim_inode *inode = file->inode;
    if (rc != 0 || disk_chance(disk, disk->faults.write_error_ppm)) {
        rc = rc != 0 ? rc : E_IO;
        size = (size_t)rng_below(disk->rng, size + 1);
    }
    uint64_t wanted = BASE_MAX(inode->content.now_bytes, offset + size);
    if (!inode_take_room(inode, BASE_MAX(inode->room, wanted))) {
        uint64_t limit = inode->room + disk->faults.free_bytes / SIM_BLOCK_BYTES * SIM_BLOCK_BYTES;
        size = limit <= offset ? 0 : (size_t)BASE_MIN((uint64_t)size, limit - offset);
        rc = E_NO_SPACE;
        (void)inode_take_room(inode, size == 0 ? inode->room : limit);
    }
    uint64_t place = offset;
    if (rc == 0 && disk_chance(disk, disk->faults.misdirected_ppm) &&
        misdirect(file, offset, size, &place) && offset + size > inode->content.now_bytes) {
        content_resize(&inode->content, offset + size); /* the size goes where it was meant to */
    }
    content_write(&inode->content, place, data, size);
    if (disk_chance(disk, disk->faults.writeback_ppm)) {
        content_write_back(&inode->content, disk->rng);
    }
    return rc;
}

static int sim_write_at(struct disk_file *file, uint64_t offset, const void *data, size_t size)
{
    disk_begin(file->disk, "write", file->path);
    disk_spend(file->disk, file->disk->faults.write_ns);
    if (file->mode == DISK_READ) {
        return E_IO; /* EBADF */
    }
    if (file->inode->object_class != NULL) {
        return E_UNSUPPORTED;
    }
    int rc = disk_fails(file->disk, SIM_CALL_WRITE);
    sim_memory_world();
    rc = write_inner(file, offset, data, size, rc);
    sim_memory_back();
    return rc;
}

static int sim_sync(struct disk_file *file)
{
    struct sim_disk *disk = file->disk;
    disk_begin(disk, "sync", file->path);
    disk_spend(disk, disk->faults.sync_ns);
    int rc = disk_fails(disk, SIM_CALL_SYNC);
    sim_memory_world();
    if (rc != 0 || disk_chance(disk, disk->faults.sync_error_ppm)) {
        size_t left = content_sync_fail(&file->inode->content, disk->rng);
        struct sim_disk_damage damage = {SIM_DAMAGE_SYNC_LOST, str_dup(file->path), 0, 0,
                                         (uint64_t)left * SIM_SECTOR_BYTES};
        disk_note_damage(disk, &damage);
        rc = rc != 0 ? rc : E_IO;
    } else {
        content_sync(&file->inode->content);
    }
    sim_memory_back();
    return rc;
}

static int sim_truncate(struct disk_file *file, uint64_t size)
{
    disk_begin(file->disk, "truncate", file->path);
    disk_spend(file->disk, file->disk->faults.write_ns);
    if (file->mode == DISK_READ || file->inode->object_class != NULL) {
        return E_IO;
    }
    int rc = disk_fails(file->disk, SIM_CALL_WRITE);
    if (rc != 0 || disk_chance(file->disk, file->disk->faults.write_error_ppm)) {
        return rc != 0 ? rc : E_IO;
    }
    sim_memory_world();
    content_resize(&file->inode->content, size);
    /* Longer is a hole, which takes no room until it is written to. */
    (void)inode_take_room(file->inode, BASE_MIN(file->inode->room, size));
    sim_memory_back();
    return 0;
}

static int sim_size(struct disk_file *file, uint64_t *out_size)
{
    const struct sim_inode *inode = file->inode;
    *out_size = inode->object_class != NULL ? inode->room : inode->content.now_bytes;
    return 0;
}

static int sim_lock(struct disk_file *file)
{
    struct disk_file *holder = file->inode->lock_holder;
    if (holder != NULL && holder != file) {
        return E_IN_USE;
    }
    int rc = disk_fails(file->disk, SIM_CALL_OPEN);
    if (rc == 0) {
        file->inode->lock_holder = file;
    }
    return rc;
}

/* ---- names ---- */

static int sim_rename(void *ctx, const char *from, const char *to)
{
    struct sim_disk *disk = ctx;
    disk_begin(disk, "rename", to);
    disk_spend(disk, 0);
    int rc = disk_fails(disk, SIM_CALL_RENAME);
    if (rc != 0) {
        return rc;
    }
    sim_memory_world();
    rc = disk_names_rename(disk, from, to);
    sim_memory_back();
    return rc;
}

static int sim_remove(void *ctx, const char *path)
{
    struct sim_disk *disk = ctx;
    disk_begin(disk, "remove", path);
    disk_spend(disk, 0);
    int rc = disk_fails(disk, SIM_CALL_REMOVE);
    if (rc != 0) {
        return rc;
    }
    sim_memory_world();
    rc = disk_names_remove(disk, path);
    sim_memory_back();
    return rc;
}

static int sim_make_dir(void *ctx, const char *path)
{
    struct sim_disk *disk = ctx;
    disk_begin(disk, "make_dir", path);
    int rc = disk_fails(disk, SIM_CALL_OPEN);
    if (rc != 0) {
        return rc;
    }
    sim_memory_world();
    rc = disk_names_make_dir(disk, path);
    sim_memory_back();
    return rc;
}

/* Whoever reads a directory may end while it reads. */
struct listing {
    struct sim_holder holder; /* first */
    struct sim_names names;   /* of their own: each may change the directory */
};

static void listing_drop(struct sim_holder *holder)
{
    struct listing *listing = (struct listing *)(void *)holder;
    names_clear(&listing->names);
    mem_free(listing);
}

static int sim_list_dir(void *ctx, const char *path, disk_list_fn each, void *each_ctx)
{
    struct sim_disk *disk = ctx;
    int rc = disk_fails(disk, SIM_CALL_OPEN);
    if (rc != 0) {
        return rc;
    }
    sim_memory_world();
    struct sim_inode *dir = path_find(disk, path);
    struct listing *listing = NULL;
    if (dir != NULL && dir->is_dir) {
        listing = mem_zalloc(sizeof(*listing));
        listing->holder.drop = listing_drop;
        names_copy(&listing->names, &dir->names);
        holder_add(disk, &listing->holder);
    }
    sim_memory_back();
    if (listing == NULL) {
        return dir == NULL ? E_NOT_FOUND : E_IO;
    }
    for (size_t i = 0; i < listing->names.count; i++) {
        each(each_ctx, listing->names.items[i].name);
    }
    sim_memory_world();
    holder_remove(disk, &listing->holder);
    listing_drop(&listing->holder);
    sim_memory_back();
    return 0;
}

/* A failed one leaves the changes unsynced: which of them are on the disk is not known. */
static int sim_sync_dir(void *ctx, const char *path)
{
    struct sim_disk *disk = ctx;
    disk_begin(disk, "sync_dir", path);
    disk_spend(disk, disk->faults.sync_ns);
    int rc = disk_fails(disk, SIM_CALL_SYNC);
    sim_memory_world();
    if (rc == 0) {
        rc = disk_chance(disk, disk->faults.sync_error_ppm) ? E_IO : disk_names_sync(disk, path);
    }
    sim_memory_back();
    return rc;
}

static int sim_free_bytes(void *ctx, const char *path, uint64_t *out_bytes)
{
    const struct sim_disk *disk = ctx;
    sim_memory_world();
    bool there = path_find(disk, path) != NULL;
    sim_memory_back();
    if (!there) {
        return E_NOT_FOUND;
    }
    uint64_t left = disk->faults.free_bytes;
    *out_bytes = left == UINT64_MAX ? UNKNOWN_BYTES : left;
    return 0;
}

/* ---- the disk ---- */

struct sim_disk *sim_disk_new(struct rng *rng, const struct sim_disk_hooks *hooks)
{
    sim_memory_world();
    struct sim_disk *disk = mem_zalloc(sizeof(*disk));
    disk->seam = (struct disk_seam){
        .ctx = disk,
        .open = sim_open,
        .close = sim_close,
        .read_at = sim_read_at,
        .write_at = sim_write_at,
        .sync = sim_sync,
        .truncate = sim_truncate,
        .size = sim_size,
        .lock = sim_lock,
        .rename = sim_rename,
        .remove = sim_remove,
        .make_dir = sim_make_dir,
        .list_dir = sim_list_dir,
        .sync_dir = sim_sync_dir,
        .free_bytes = sim_free_bytes,
    };
    disk->rng = rng;
    disk->hooks = *hooks;
    disk->faults.free_bytes = UINT64_MAX;
    disk->root = inode_new(disk, true);
    inode_ref(disk->root);
    sim_memory_back();
    return disk;
}

/* Files are closed and stores forgotten, in the order of their opening. */
static void let_go(struct sim_disk *disk)
{
    while (disk->holders != NULL) {
        struct sim_holder *holder = disk->holders;
        holder_remove(disk, holder);
        holder->drop(holder);
    }
    while (disk->files != NULL) {
        file_close(disk->files);
    }
}

void sim_disk_free(struct sim_disk *disk)
{
    if (disk == NULL) {
        return;
    }
    sim_memory_world();
    let_go(disk);
    inode_unref(disk->root);
    ASSERT(disk->first == NULL);
    for (size_t i = 0; i < disk->damage_count; i++) {
        mem_free(disk->damage[i].path);
    }
    mem_free(disk->damage);
    mem_free(disk);
    sim_memory_back();
}

const struct disk_seam *sim_disk_seam(struct sim_disk *disk)
{
    return &disk->seam;
}

void sim_disk_set_faults(struct sim_disk *disk, const struct sim_disk_faults *faults)
{
    disk->faults = *faults;
}

const struct sim_disk_faults *sim_disk_faults(const struct sim_disk *disk)
{
    return &disk->faults;
}

void sim_disk_set_fails(struct sim_disk *disk, sim_disk_fails_fn fails, void *ctx)
{
    disk->fails = fails;
    disk->fails_ctx = ctx;
}

void holder_add(struct sim_disk *disk, struct sim_holder *holder)
{
    holder->previous = NULL;
    holder->next = disk->holders;
    if (disk->holders != NULL) {
        disk->holders->previous = holder;
    }
    disk->holders = holder;
}

void holder_remove(struct sim_disk *disk, struct sim_holder *holder)
{
    if (holder->previous != NULL) {
        holder->previous->next = holder->next;
    } else {
        disk->holders = holder->next;
    }
    if (holder->next != NULL) {
        holder->next->previous = holder->previous;
    }
}

void sim_disk_process_died(struct sim_disk *disk)
{
    sim_memory_world();
    let_go(disk);
    for (struct sim_inode *inode = disk->first; inode != NULL; inode = inode->next) {
        content_evict(&inode->content, disk->rng);
        if (inode->object_class != NULL) {
            inode->object_class->died(inode->object, disk->rng);
        }
    }
    sim_memory_back();
}

uint64_t sim_disk_calls(const struct sim_disk *disk)
{
    return disk->calls;
}

size_t sim_disk_damage_count(const struct sim_disk *disk)
{
    return disk->damage_count;
}

const struct sim_disk_damage *sim_disk_damage_at(const struct sim_disk *disk, size_t at)
{
    ASSERT(at < disk->damage_count);
    return &disk->damage[at];
}
