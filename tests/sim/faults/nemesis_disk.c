/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults of disks. Damage that no crash explains (rot, misdirected writes) goes only where the
 * atlas allows, and only where the durability mark speaks for it: into segments of the log that are
 * closed, and into snapshot files. What rots in the last second of a log looks like a torn tail and
 * is cut as one; the protocol promises nothing there (docs/reliability.md).
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/store/lmdb_store.h"
#include "tests/sim/faults/nemesis_internal.h"
#include "tests/sim/store.h"

#define DATA       "/data/member"
#define STORE_PATH DATA "/store/" LMDB_STORE_FILE
#define NAMES_MAX  64u
#define NAME_BYTES 64u
#define ALWAYS_PPM 1000000u
#define SPIKE_NS   UINT64_C(400000000)
#define SETTLE_NS  UINT64_C(3000000000)
#define ROOM_MAX   (96u * 1024u)

struct names {
    char names[NAMES_MAX][NAME_BYTES];
    size_t count;
};

static void note_name(void *ctx, const char *name)
{
    struct names *names = ctx;
    size_t size = strlen(name);
    if (names->count < NAMES_MAX && size < NAME_BYTES && size > 4 &&
        (strcmp(name + size - 4, ".wal") == 0 || strcmp(name + size - 5, ".snap") == 0)) {
        memcpy(names->names[names->count++], name, size + 1);
    }
}

static void list(int slot, const char *folder, struct names *out)
{
    const struct disk_seam *seam = sim_disk_seam(sim_node_disk(slot));
    out->count = 0;
    (void)seam->list_dir(seam->ctx, folder, note_name, out);
}

/* The last segment's name; "" when there is none. */
static const char *newest(const struct names *names)
{
    const char *last = "";
    for (size_t i = 0; i < names->count; i++) {
        last = strcmp(names->names[i], last) > 0 ? names->names[i] : last;
    }
    return last;
}

/* A closed segment, or a snapshot file. */
static bool rot(struct rng *rng, int slot)
{
    struct names names;
    char path[160];
    char hit[160];
    uint64_t offset;
    bool is_log = rng_below(rng, 4) != 0;
    const char *folder = is_log ? DATA "/wal" : DATA "/snap";
    list(slot, folder, &names);
    const char *last = newest(&names);
    if (names.count == 0) {
        return false;
    }
    const char *name = names.names[rng_below(rng, names.count)];
    if (is_log && strcmp(name, last) == 0) {
        return false;
    }
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (!sim_disk_rot(sim_node_disk(slot), path, hit, sizeof(hit), &offset)) {
        return false;
    }
    atlas_damage(slot);
    sim_note("n%d: %s rots at %llu", slot, hit, (unsigned long long)offset);
    return true;
}

/* A record of the store: whoever reads it stops, whoever starts on it does not. */
static bool rot_store(struct rng *rng, int slot)
{
    char what[80];
    if (!sim_store_rot(sim_node_disk(slot), STORE_PATH, rng, what, sizeof(what))) {
        return false;
    }
    atlas_damage(slot);
    sim_note("n%d: %s rots", slot, what);
    return true;
}

bool nemesis_store_is_sound(void)
{
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        if (member_is_wanted(slot) && sim_node_state(slot) == SIM_NODE_RUNNING &&
            sim_store_rotten(sim_node_disk(slot), STORE_PATH, STORE_KEY) > 0) {
            return false;
        }
    }
    return true;
}

/* ---- what lasts ---- */

static void disk_over(void *ctx)
{
    const struct lasting *lasting = ctx;
    sim_disk_set_faults(sim_node_disk(lasting->slot), &nemesis.disk);
}

static bool sicken(const struct fault *fault, struct rng *rng, int slot)
{
    struct sim_disk_faults faults = nemesis.disk;
    struct lasting *lasting = nemesis_lasts(fault, slot, disk_over);
    if (lasting == NULL) {
        return false;
    }
    switch (fault->kind) {
    case FAULT_SYNC_ERROR:
        faults.sync_error_ppm = 50000;
        break;
    case FAULT_WRITE_ERROR:
        faults.write_error_ppm = 50000;
        break;
    case FAULT_READ_ERROR:
        faults.read_error_ppm = 100000;
        break;
    case FAULT_NO_SPACE:
        faults.free_bytes = rng_below(rng, ROOM_MAX);
        break;
    default:
        faults.spike_ppm = 100000;
        faults.spike_ns = SPIKE_NS + rng_below(rng, 5 * SPIKE_NS);
        break;
    }
    sim_disk_set_faults(sim_node_disk(slot), &faults);
    nemesis_ends_at(lasting, fault->length_ns);
    return true;
}

/* The next writes of this disk go astray; it stays up until its mark speaks for what is missing. */
static bool misdirect(const struct fault *fault, int slot)
{
    struct sim_disk_faults faults = nemesis.disk;
    struct lasting *lasting = nemesis_lasts(fault, slot, disk_over);
    if (lasting == NULL) {
        return false;
    }
    sim_node_kill_at_disk_call(slot, 0);
    sim_node_fail_at_allocation(slot, 0);
    nemesis.protected_until[slot] = sim_now_ns() + 2 * SETTLE_NS;
    atlas_damage(slot);
    faults.misdirected_ppm = 20000;
    sim_disk_set_faults(sim_node_disk(slot), &faults);
    nemesis_ends_at(lasting, SETTLE_NS);
    return true;
}

bool nemesis_disk(const struct fault *fault, struct rng *rng)
{
    int slot = members_pick_running(rng);
    if (slot == SIM_NOBODY || nemesis_is_protected(slot)) {
        return false;
    }
    switch (fault->kind) {
    case FAULT_ROT:
        return atlas_allows(slot) && rot(rng, slot);
    case FAULT_STORE_ROT:
        return atlas_allows(slot) && rot_store(rng, slot);
    case FAULT_MISDIRECTED:
        return atlas_allows(slot) && misdirect(fault, slot);
    default:
        return sicken(fault, rng, slot);
    }
}
