/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the simulated disk share: inodes, names, open files. All of it is memory of the
 * world; whoever is called by a node brackets what he does (sim_memory_world, sim_memory_back).
 */
#ifndef TESTS_SIM_DISK_INSIDE_H
#define TESTS_SIM_DISK_INSIDE_H

#include "tests/sim/disk.h"
#include "tests/sim/disk_content.h"

#define SIM_BLOCK_BYTES 4096u /* room is taken in blocks of this size */

/* What an object on an inode can do. */
struct sim_object_class {
    void (*free)(void *object);
    void *(*clone)(void *object);
    void (*died)(void *object, struct rng *rng); /* the process that used it is gone */
    uint64_t (*hash)(const void *object);
};

/* One name in a directory; holds a reference to the inode. */
struct sim_name {
    char *name;
    struct sim_inode *inode;
};

/* Ascending by name. */
struct sim_names {
    struct sim_name *items;
    size_t count;
    size_t capacity;
};

/* One unsynced change of one directory, there whole or not. */
struct sim_name_change {
    uint64_t sequence;       /* over all directories */
    char *gone;              /* the name that goes; NULL: none */
    char *name;              /* the name that comes; NULL: none */
    struct sim_inode *inode; /* what it comes to mean; holds a reference */
};

struct sim_inode {
    struct sim_disk *disk;
    struct sim_inode *previous, *next; /* of all inodes, by their making */
    uint64_t id;
    uint32_t refs; /* names in both tables, changes, open files, stores */
    bool is_dir;
    /* A directory. */
    struct sim_names names;
    struct sim_names durable_names;
    struct sim_name_change *changes;
    size_t change_count;
    size_t change_capacity;
    /* A file. */
    struct sim_content content;
    struct disk_file *lock_holder;
    const struct sim_object_class *object_class; /* NULL: a plain file */
    void *object;
    uint64_t room; /* bytes of the disk that it takes */
};

struct disk_file {
    struct sim_disk *disk;
    struct sim_inode *inode;
    struct disk_file *previous, *next; /* of the disk */
    char *path;                        /* that it was opened by */
    enum disk_open_mode mode;
};

/* Something that a process holds on to beside files; the first member of what it is. */
struct sim_holder {
    struct sim_holder *previous, *next;
    void (*drop)(struct sim_holder *holder); /* the process died: frees it all */
};

struct sim_disk {
    struct disk_seam seam;
    struct rng *rng;
    struct sim_disk_hooks hooks;
    struct sim_disk_faults faults;
    sim_disk_fails_fn fails; /* may be NULL */
    void *fails_ctx;
    struct sim_inode *first, *last;
    struct sim_inode *root;
    uint64_t next_id;
    uint64_t next_change;
    struct disk_file *files;
    struct sim_holder *holders;
    struct sim_disk_damage *damage;
    size_t damage_count;
    size_t damage_capacity;
    uint64_t calls;
};

/* ---- disk.c ---- */

/* A call that changes something begins: counts it and may not return. Outside of any bracket. */
void disk_begin(struct sim_disk *disk, const char *what, const char *path);
int disk_fails(struct sim_disk *disk, enum sim_call_kind kind); /* 0: this call works */
void disk_spend(struct sim_disk *disk, uint64_t mean_ns);       /* drawn, with its spikes */
bool disk_chance(struct sim_disk *disk, uint32_t ppm);
void disk_note_damage(struct sim_disk *disk, const struct sim_disk_damage *damage);

/* ---- disk_names.c: none of these calls a hook ---- */

struct sim_inode *inode_new(struct sim_disk *disk, bool is_dir); /* with no reference yet */
void inode_ref(struct sim_inode *inode);
void inode_unref(struct sim_inode *inode); /* the last one frees it and what is under it */

/* Takes or gives back room so that the inode has bytes in all, rounded up to blocks. False: there
 * is not that much; nothing changed. */
bool inode_take_room(struct sim_inode *inode, uint64_t bytes);

/* All inodes at this moment, each with a reference taken, by their making (mem_free). */
struct sim_inode **inodes_hold(struct sim_disk *disk, size_t *out_count);
void inodes_release(struct sim_inode **inodes, size_t count);

struct sim_inode *names_get(const struct sim_names *names, const char *name);
void names_set(struct sim_names *names, const char *name, struct sim_inode *inode);
bool names_remove(struct sim_names *names, const char *name);
void names_clear(struct sim_names *names);
void names_copy(struct sim_names *to, const struct sim_names *from);

/* The first count changes become durable. */
void changes_apply(struct sim_inode *dir, size_t count);
void changes_clear(struct sim_inode *dir);

/* The inode of a path; NULL: none. */
struct sim_inode *path_find(const struct sim_disk *disk, const char *path);

/* The directory that holds the last part of path, and that part (mem_free): 0, E_NOT_FOUND when a
 * part above is missing, E_IO when it is no directory, E_INVALID for the root itself. */
int path_split(const struct sim_disk *disk, const char *path, struct sim_inode **out_dir,
               char **out_name);

/* The operations of the seam. dir_set makes or replaces a name, dir_remove takes it away. */
void dir_set(struct sim_inode *dir, const char *name, struct sim_inode *inode);
void dir_remove(struct sim_inode *dir, const char *name);
int disk_names_rename(struct sim_disk *disk, const char *from, const char *to);
int disk_names_remove(struct sim_disk *disk, const char *path);
int disk_names_make_dir(struct sim_disk *disk, const char *path);
int disk_names_sync(struct sim_disk *disk, const char *path);

/* ---- for store.c ---- */

void holder_add(struct sim_disk *disk, struct sim_holder *holder);
void holder_remove(struct sim_disk *disk, struct sim_holder *holder);

#endif
