/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A simulated disk: files, directories and store objects with a page cache above what is durable.
 * A power cut keeps what was synced, plus any subset of what was not, by sectors of 512 bytes; of
 * creations, renames and removals it keeps what sync_dir made durable, plus a prefix of the rest.
 * Faults are an overlay, so that they can be switched off.
 */
#ifndef TESTS_SIM_DISK_H
#define TESTS_SIM_DISK_H

#include "base/rng.h"
#include "base/seam/disk.h"

#define SIM_SECTOR_BYTES 512u

struct sim_disk;

/* How the disk behaves; all may be changed at any time. Rates are parts per million per call. */
struct sim_disk_faults {
    uint64_t write_ns, sync_ns; /* mean latencies (exponential), given to spend */
    uint32_t sync_error_ppm;    /* EIO: the unsynced pages are dropped, as Linux marks them clean */
    uint32_t write_error_ppm;
    uint32_t read_error_ppm;
    uint32_t misdirected_ppm; /* a write lands at another place of the same file */
    uint32_t spike_ppm;       /* a call takes spike_ns */
    uint64_t spike_ns;
    uint64_t free_bytes; /* what is left; UINT64_MAX: no limit. Writes beyond give E_NO_SPACE. */
};

/* What a power cut does to the bytes that were not synced. */
enum sim_power_cut { SIM_CUT_LOSE_ALL, SIM_CUT_KEEP_ALL, SIM_CUT_SUBSET };

/* rng is borrowed; spend(ns) is told what each call costs; called(disk) comes before each call that
 * changes something and may end the caller's life (it does not return then). */
struct sim_disk_hooks {
    void *ctx;
    void (*spend)(void *ctx, uint64_t ns);
    void (*called)(void *ctx, const char *what, const char *path);
};

struct sim_disk *sim_disk_new(struct rng *rng, const struct sim_disk_hooks *hooks);
void sim_disk_free(struct sim_disk *disk);
const struct disk_seam *sim_disk_seam(struct sim_disk *disk);
void sim_disk_set_faults(struct sim_disk *disk, const struct sim_disk_faults *faults);
const struct sim_disk_faults *sim_disk_faults(const struct sim_disk *disk);

/* The process that used it died: files are closed, locks gone; what was written stays. */
void sim_disk_process_died(struct sim_disk *disk);
void sim_disk_power_cut(struct sim_disk *disk, enum sim_power_cut how);

/* Flips bits of one durable sector: file is the n-th (rng) whose path contains part. False: there
 * is none. Tells path and offset for the story and for the atlas of faults. */
bool sim_disk_rot(struct sim_disk *disk, const char *part, char *out_path, size_t path_size,
                  uint64_t *out_offset);

/* For tests and the atlas: size of a file as the process sees it; E_NOT_FOUND. */
int sim_disk_stat(struct sim_disk *disk, const char *path, uint64_t *out_size);
uint64_t sim_disk_calls(const struct sim_disk *disk); /* that changed something */
uint64_t sim_disk_hash(const struct sim_disk *disk);  /* of all durable bytes, for the trace */

/*
 * Store objects: engine/store/lmdb_store.h as the simulator has it keeps its tables as an object on
 * an inode of the disk, so that renames of directories, removals and power cuts mean for it what
 * they mean for a file. A commit is atomic and durable when it returns; one that a power cut meets
 * is there whole or not at all. sim_store.c implements all of lmdb_store.h over
 * sim_disk_of_node(sim_node()).
 */
struct sim_disk *sim_disk_of_current(void); /* of the node whose code runs; by world.c */

#endif
