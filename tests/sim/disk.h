/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A simulated disk: files, directories and store objects with a page cache above what is durable.
 * A power cut keeps what was synced, plus any subset of what was not, by sectors of 512 bytes; of
 * creations, renames and removals it keeps what sync_dir made durable, plus a prefix of the rest.
 * Faults are an overlay, so that they can be switched off.
 *
 * Names are read as harshly as POSIX lets them be, not as a journalling file system happens to do
 * it:
 * - the sync of a file makes its bytes and its size durable, never its name; a new file, and each
 *   new directory above it, has a name only when the directory that holds the name was synced;
 * - each directory has a list of unsynced changes of its own, and a power cut keeps a prefix of
 *   each, drawn one by one: sync_dir of one directory says nothing about another;
 * - a rename within a directory is one change, there whole or not; one across directories is two,
 *   the old name gone in the one and the new name there in the other, and a power cut may keep
 *   either without the other (the file is then lost, or has both names). Both directories must be
 *   synced. A directory is renamed only within its own: E_UNSUPPORTED otherwise;
 * - a file that grew and was not synced may come back with any size between the old and the new
 *   one that holds what survived; one that was cut short may come back long.
 * Lengths of zeros that were never anything else take no memory.
 *
 * Paths are split at '/'; "" and "." parts are skipped, and relative paths start at the root.
 */
#ifndef TESTS_SIM_DISK_H
#define TESTS_SIM_DISK_H

#include "base/rng.h"
#include "base/seam/disk.h"
#include "tests/sim/calls.h"

#define SIM_SECTOR_BYTES 512u

struct sim_disk;

/* How the disk behaves; all may be changed at any time. Rates are parts per million per call. */
struct sim_disk_faults {
    uint64_t write_ns, sync_ns; /* mean latencies (exponential), given to spend */
    uint32_t sync_error_ppm;    /* EIO: the unsynced pages are dropped, as Linux marks them clean */
    uint32_t write_error_ppm;   /* EIO after any part of the write */
    uint32_t read_error_ppm;
    uint32_t misdirected_ppm; /* a write lands at another place of the same file */
    uint32_t spike_ppm;       /* a call takes spike_ns */
    uint64_t spike_ns;
    uint32_t writeback_ppm; /* after a write: the system writes some unsynced sectors by itself */
    uint64_t free_bytes;    /* what is left, counted down and up by the disk; UINT64_MAX: no limit.
                             * Writes beyond give E_NO_SPACE after what still fitted. */
    uint64_t reserve_bytes; /* with less than so much left a store's commit says E_AGAIN and has
                             * done nothing, as the store that is shipped does; 0: it finds out. */
};

/* What a power cut does to the bytes that were not synced. */
enum sim_power_cut { SIM_CUT_LOSE_ALL, SIM_CUT_KEEP_ALL, SIM_CUT_SUBSET };

/* rng is borrowed; spend(ns) is told what each call costs; called(disk) comes before each call that
 * changes something and may end the caller's life (it does not return then). what is "create",
 * "write", "sync", "truncate", "rename", "remove", "make_dir", "sync_dir"; of stores "commit" (and
 * "committed" after it), "store_create", "copy", "replace". Both functions may be NULL. */
struct sim_disk_hooks {
    void *ctx;
    void (*spend)(void *ctx, uint64_t ns);
    void (*called)(void *ctx, const char *what, const char *path);
};

/* Asked at each call of a kind but SIM_CALL_ALLOCATE and SIM_CALL_SEND, after called: not 0, and
 * the call fails with that E_*. */
typedef int (*sim_disk_fails_fn)(void *ctx, enum sim_call_kind kind);

struct sim_disk *sim_disk_new(struct rng *rng, const struct sim_disk_hooks *hooks);
void sim_disk_free(struct sim_disk *disk);
const struct disk_seam *sim_disk_seam(struct sim_disk *disk);
void sim_disk_set_faults(struct sim_disk *disk, const struct sim_disk_faults *faults);
const struct sim_disk_faults *sim_disk_faults(const struct sim_disk *disk);
void sim_disk_set_fails(struct sim_disk *disk, sim_disk_fails_fn fails, void *ctx); /* NULL: none */

/* Makes a directory and those above it, durable at once, as a volume that is mounted is there. No
 * hook is called, nothing fails. */
void sim_disk_mount(struct sim_disk *disk, const char *path);

/* The process that used it died: files and stores are closed, locks gone; what was written stays.
 * Sectors that a failed sync left behind may from now on read as old or as new. */
void sim_disk_process_died(struct sim_disk *disk);
void sim_disk_power_cut(struct sim_disk *disk, enum sim_power_cut how);

/* Flips bits of one durable sector: file is the n-th (rng) whose path contains part. False: there
 * is none (stores and empty files are passed over). Tells path and offset for the story and for the
 * atlas of faults. */
bool sim_disk_rot(struct sim_disk *disk, const char *part, char *out_path, size_t path_size,
                  uint64_t *out_offset);

/* For tests and the atlas: size of a file as the process sees it; E_NOT_FOUND. */
int sim_disk_stat(struct sim_disk *disk, const char *path, uint64_t *out_size);
uint64_t sim_disk_calls(const struct sim_disk *disk); /* that changed something */
uint64_t sim_disk_hash(const struct sim_disk *disk);  /* of all durable bytes, for the trace */

/* ---- the atlas: damage that no crash explains ---- */

enum sim_damage_kind {
    SIM_DAMAGE_ROT,
    SIM_DAMAGE_MISDIRECTED, /* offset: where the bytes went, wanted_offset: where they are missing
                             */
    SIM_DAMAGE_SYNC_LOST,   /* a sync failed: size is the unsynced bytes that it left behind */
};

/* path: as it was then, owned by the disk. */
struct sim_disk_damage {
    enum sim_damage_kind kind;
    char *path;
    uint64_t offset;
    uint64_t wanted_offset;
    uint64_t size;
};

size_t sim_disk_damage_count(const struct sim_disk *disk);
const struct sim_disk_damage *sim_disk_damage_at(const struct sim_disk *disk, size_t at);

/* ---- crash images, one by one ---- */

/* A deep copy: bytes, names, stores, what is unsynced; no open file, no lock, no fault but the free
 * bytes, no damage. Stores share their pages. rng and hooks as for sim_disk_new. */
struct sim_disk *sim_disk_clone(const struct sim_disk *disk, struct rng *rng,
                                const struct sim_disk_hooks *hooks);

/* How many sectors are unsynced, over all files in the order of their making, ascending in each. */
size_t sim_disk_dirty_count(const struct sim_disk *disk);

/* How many changes of names are unsynced, over all directories. */
size_t sim_disk_pending_names(const struct sim_disk *disk);

/*
 * A power cut that keeps unsynced sector i (as counted above) when bit i%8 of sectors[i/8] is set
 * (NULL: none), and the oldest `names` of the unsynced changes of names. A file that grew is as
 * long as its last surviving sector asks for, or has its whole new size when nothing of it was
 * lost.
 */
void sim_disk_cut_keeping(struct sim_disk *disk, const uint8_t *sectors, size_t names);

/*
 * Store objects: engine/store/lmdb_store.h as the simulator has it (store.c) keeps its tables as an
 * object on an inode of the disk, so that renames of directories, removals and power cuts mean for
 * it what they mean for a file. A commit is atomic and durable when it returns; one that a power
 * cut meets is there whole or not at all. store.c implements all of lmdb_store.h over
 * sim_disk_of_current().
 */
struct sim_disk *sim_disk_of_current(void); /* of the node whose code runs; by world.c */

#endif
