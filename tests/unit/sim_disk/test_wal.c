/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The write-ahead log as it is shipped, over the simulated disk: before each call that changes
 * something the disk is copied, the copy loses its power in several ways, and the log must open
 * with all that was acknowledged, nothing that was never written, and never in doubt of itself.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/log.h"
#include "engine/wal/snapfile.h"
#include "engine/wal/wal.h"
#include "lib_disk_world.h"

#define MEMBER        "/data/member"
#define WAL_DIR       MEMBER "/wal"
#define SNAP_DIR      MEMBER "/snap"
#define SEGMENT_BYTES 24576u
#define OPS_MAX       4096u

static const struct wal_metadata OWNER = {7, 9};

/* One record that was appended: an entry, or a hard state when index is 0. */
struct op {
    uint64_t index;
    uint64_t term;
    uint64_t commit;
};

struct scenario {
    struct disk_world world;
    struct rng rng; /* of what is done */
    struct wal *wal;
    struct op ops[OPS_MAX];
    size_t op_count;
    size_t acked; /* so many of them survive anything */
    bool made;    /* wal_create has returned */
    uint64_t last;
    uint64_t term;
    struct raft_snapshot_mark mark; /* the newest whose record was acknowledged */
    bool watching;
    unsigned nested;
    /* How the images were found. */
    unsigned images, clean, cut;
};

static struct wal_options options_of(const struct disk_seam *seam)
{
    return (struct wal_options){.disk = seam, .dir = WAL_DIR, .segment_bytes = SEGMENT_BYTES};
}

static size_t payload_size(uint64_t index, uint64_t term)
{
    return (size_t)((index * 977 + term * 331) % 1900 + 1);
}

static uint8_t payload_byte(uint64_t index, uint64_t term, size_t at)
{
    return (uint8_t)(1 + (index * 31 + term * 17 + at * 7) % 255);
}

static bool entry_is(const struct raft_entry *entry, uint64_t index, uint64_t term)
{
    struct bytes bytes = raft_entry_bytes(entry);
    if (entry->index != index || entry->term != term || bytes.size != payload_size(index, term)) {
        return false;
    }
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] != payload_byte(index, term, i)) {
            return false;
        }
    }
    return true;
}

/* ---- what an opened log must hold ---- */

/* True when contents are what the first count records say. */
static bool contents_are(const struct scenario *scenario, size_t count,
                         const struct raft_snapshot_mark *mark, const struct wal_contents *contents)
{
    uint64_t *terms = mem_array(OPS_MAX, sizeof(*terms));
    uint64_t last = 0;
    struct op state = {0, 0, 0};
    for (size_t i = 0; i < count; i++) {
        const struct op *op = &scenario->ops[i];
        if (op->index == 0) {
            state = *op;
        } else {
            last = op->index;
            terms[last] = op->term;
        }
    }
    last = BASE_MAX(last, mark->index);
    bool same = contents->entry_count == last - mark->index &&
                contents->hard_state.term == state.term &&
                contents->hard_state.commit == state.commit;
    for (uint32_t i = 0; same && i < contents->entry_count; i++) {
        uint64_t index = mark->index + i + 1;
        same = entry_is(&contents->entries[i], index, terms[index]);
    }
    mem_free(terms);
    return same;
}

/* Gives how many of the records they hold. */
static size_t check_contents(const struct scenario *scenario, const struct raft_snapshot_mark *mark,
                             const struct wal_contents *contents)
{
    assert_int_equal(contents->metadata.node_id, OWNER.node_id);
    size_t count = scenario->acked;
    while (count <= scenario->op_count && !contents_are(scenario, count, mark, contents)) {
        count++;
    }
    if (count > scenario->op_count) {
        fail_msg("%u entries, commit %llu; acknowledged %zu of %zu records, mark %llu",
                 contents->entry_count, (unsigned long long)contents->hard_state.commit,
                 scenario->acked, scenario->op_count, (unsigned long long)mark->index);
    }
    return count;
}

/* The newest snapshot that file and log agree on; at least the acknowledged one. */
static struct raft_snapshot_mark newest_mark(const struct scenario *scenario,
                                             const struct disk_seam *seam)
{
    struct wal_options options = options_of(seam);
    struct raft_snapshot_mark *marks = NULL;
    uint32_t count = 0;
    struct err err = {""};
    if (wal_list_marks(&options, &marks, &count, &err) != 0) {
        fail_msg("%s", err.text);
    }
    struct raft_snapshot_mark mark = {0};
    struct buf data;
    buf_init(&data, BUF_NO_LIMIT);
    int rc = snapfile_load_newest(seam, SNAP_DIR, marks, count, &mark, &data, &err);
    assert_true(rc == 0 || rc == E_NOT_FOUND);
    assert_true(mark.index >= scenario->mark.index);
    buf_free(&data);
    mem_free(marks);
    return mark;
}

static void note_tail(struct scenario *scenario, const struct wal_contents *contents)
{
    if (contents->tail == WAL_TAIL_SUSPECT) {
        fail_msg("suspect: %s", contents->tail_text);
    }
    scenario->images++;
    scenario->clean += contents->tail == WAL_TAIL_CLEAN ? 1 : 0;
    scenario->cut += contents->tail == WAL_TAIL_CUT ? 1 : 0;
}

static void image_check(struct scenario *scenario, struct sim_disk *image);

/* A crash in the middle of opening: the image of an image. */
struct inner {
    struct scenario *scenario;
    struct sim_disk *disk;
    struct rng rng;
};

static void inner_called(void *ctx, const char *what, const char *path)
{
    (void)what;
    (void)path;
    struct inner *inner = ctx;
    struct scenario *scenario = inner->scenario;
    if (scenario->nested != 0) {
        return;
    }
    scenario->nested++;
    struct sim_disk *image = sim_disk_clone(inner->disk, &inner->rng, &NO_HOOKS);
    sim_disk_power_cut(image, SIM_CUT_SUBSET);
    image_check(scenario, image);
    sim_disk_free(image);
    scenario->nested--;
}

/* Opens the log of a disk that lost its power (or whose process was killed), uses it, cuts again.
 */
static void image_check(struct scenario *scenario, struct sim_disk *image)
{
    const struct disk_seam *seam = sim_disk_seam(image);
    struct wal_options options = options_of(seam);
    struct err err = {""};
    bool exists = false;
    assert_int_equal(wal_find(seam, WAL_DIR, &exists), 0);
    if (!exists) {
        assert_false(scenario->made);
        struct wal *fresh = NULL;
        assert_int_equal(wal_create(&options, &OWNER, &fresh, &err), 0);
        wal_close(fresh);
        return;
    }
    struct raft_snapshot_mark mark = newest_mark(scenario, seam);
    struct wal *wal = NULL;
    struct wal_contents contents;
    if (wal_open(&options, &mark, &wal, &contents, &err) != 0) {
        fail_msg("%s; mark %llu, acknowledged mark %llu, %zu of %zu records", err.text,
                 (unsigned long long)mark.index, (unsigned long long)scenario->mark.index,
                 scenario->acked, scenario->op_count);
    }
    note_tail(scenario, &contents);
    (void)check_contents(scenario, &mark, &contents);
    uint32_t found = contents.entry_count;
    struct raft_hard_state hard_state = contents.hard_state;
    wal_contents_free(&contents);
    /* It goes on, and what it is told then survives the next cut. */
    scenario->nested++;
    hard_state.term += 1000;
    assert_int_equal(wal_append(wal, NULL, 0, &hard_state), 0);
    assert_int_equal(wal_sync(wal), 0);
    wal_close(wal);
    sim_disk_power_cut(image, SIM_CUT_SUBSET);
    if (wal_open(&options, &mark, &wal, &contents, &err) != 0) {
        fail_msg("%s", err.text);
    }
    note_tail(scenario, &contents);
    assert_int_equal(contents.hard_state.term, hard_state.term);
    assert_int_equal(contents.entry_count, found);
    wal_contents_free(&contents);
    wal_close(wal);
    scenario->nested--;
}

static void outer_called(void *ctx, const char *what, const char *path)
{
    (void)what;
    (void)path;
    struct scenario *scenario = ctx;
    if (!scenario->watching) {
        return;
    }
    struct inner inner = {.scenario = scenario};
    rng_seed(&inner.rng, rng_next(&scenario->world.rng));
    struct sim_disk_hooks hooks = {&inner, NULL, inner_called};
    for (unsigned how = 0; how < 6; how++) {
        inner.disk = sim_disk_clone(scenario->world.disk, &inner.rng, &hooks);
        if (how == 0) {
            sim_disk_process_died(inner.disk);
        } else {
            sim_disk_power_cut(inner.disk, how == 1   ? SIM_CUT_LOSE_ALL
                                           : how == 2 ? SIM_CUT_KEEP_ALL
                                                      : SIM_CUT_SUBSET);
        }
        /* Cut again in each call of two of them: after a kill, and after a cut. */
        scenario->nested = how == 0 || how == 3 ? 0 : 1;
        image_check(scenario, inner.disk);
        sim_disk_free(inner.disk);
    }
}

/* ---- what the member does ---- */

static void op_note(struct scenario *scenario, uint64_t index, uint64_t term, uint64_t commit)
{
    assert_true(scenario->op_count < OPS_MAX);
    scenario->ops[scenario->op_count++] = (struct op){index, term, commit};
}

static struct raft_entry entry_make(uint64_t index, uint64_t term)
{
    size_t size = payload_size(index, term);
    uint8_t *bytes = mem_alloc(size);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = payload_byte(index, term, i);
    }
    struct raft_entry entry = {
        .index = index, .term = term, .payload = raft_payload_new(bytes_of(bytes, size))};
    mem_free(bytes);
    return entry;
}

static void append_some(struct scenario *scenario)
{
    struct raft_entry entries[6];
    uint32_t count = (uint32_t)rng_below(&scenario->rng, ARRAY_COUNT(entries) + 1);
    uint64_t floor = scenario->mark.index;
    for (size_t i = 0; i < scenario->op_count; i++) {
        floor = BASE_MAX(floor, scenario->ops[i].commit);
    }
    uint64_t first = scenario->last + 1;
    if (rng_below(&scenario->rng, 8) == 0) {
        scenario->term++;
        first = floor + 1 + rng_below(&scenario->rng, scenario->last - floor + 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = entry_make(first + i, scenario->term);
        op_note(scenario, first + i, scenario->term, 0);
    }
    uint64_t last = count == 0 ? scenario->last : first + count - 1;
    uint64_t commit = floor + rng_below(&scenario->rng, 4);
    commit = BASE_MIN(commit, last);
    struct raft_hard_state state = {.term = scenario->term, .vote = 1, .commit = commit};
    op_note(scenario, 0, scenario->term, commit);
    assert_int_equal(wal_append(scenario->wal, entries, count, &state), 0);
    scenario->last = last;
    for (uint32_t i = 0; i < count; i++) {
        raft_payload_unref(entries[i].payload);
    }
}

static void sync_all(struct scenario *scenario)
{
    assert_int_equal(wal_sync(scenario->wal), 0);
    scenario->acked = scenario->op_count;
}

/* A snapshot at what is committed, and the log before it goes. */
static void snapshot_some(struct scenario *scenario)
{
    sync_all(scenario);
    uint64_t term = 0;
    uint64_t commit = 0;
    for (size_t i = 0; i < scenario->op_count; i++) {
        commit = BASE_MAX(commit, scenario->ops[i].commit);
    }
    for (size_t i = 0; i < scenario->op_count; i++) {
        term = scenario->ops[i].index == commit ? scenario->ops[i].term : term;
    }
    if (commit <= scenario->mark.index) {
        return;
    }
    struct raft_snapshot_mark mark = {.index = commit, .term = term};
    mark.conf_state.voters[0] = OWNER.node_id;
    mark.conf_state.voter_count = 1;
    struct err err = {""};
    const struct disk_seam *seam = scenario->world.seam;
    assert_int_equal(snapfile_save(seam, SNAP_DIR, &mark, bytes_of("{}", 2), &err), 0);
    assert_int_equal(wal_save_mark(scenario->wal, &mark), 0);
    scenario->mark = mark;
    assert_int_equal(wal_purge(scenario->wal, mark.index, 1), 0);
    assert_int_equal(snapfile_purge(seam, SNAP_DIR, 2), 0);
}

/* Opens what is there; what it holds is from now on what was written. */
static void take_up(struct scenario *scenario)
{
    struct wal_options options = options_of(scenario->world.seam);
    struct wal_contents contents;
    struct err err = {""};
    struct raft_snapshot_mark mark = newest_mark(scenario, scenario->world.seam);
    if (wal_open(&options, &mark, &scenario->wal, &contents, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_int_not_equal(contents.tail, WAL_TAIL_SUSPECT);
    scenario->op_count = check_contents(scenario, &mark, &contents);
    scenario->acked = scenario->op_count;
    scenario->last = mark.index + contents.entry_count;
    wal_contents_free(&contents);
}

static void reopen(struct scenario *scenario)
{
    sync_all(scenario);
    wal_close(scenario->wal);
    scenario->wal = NULL;
    take_up(scenario);
}

/* A flush fails, the member stops, and starts again on the same system, whose page cache shows some
 * of what never reached the disk. */
static void fail_a_flush(struct scenario *scenario)
{
    struct sim_disk *disk = scenario->world.disk;
    struct sim_disk_faults faults = *sim_disk_faults(disk);
    append_some(scenario);
    faults.sync_error_ppm = 1000000;
    sim_disk_set_faults(disk, &faults);
    int rc = wal_sync(scenario->wal); /* 0: a cut of the segment has flushed it all */
    assert_true(rc == 0 || rc == E_IO);
    assert_int_equal(wal_sync(scenario->wal), rc); /* never said to be well again */
    faults.sync_error_ppm = 0;
    sim_disk_set_faults(disk, &faults);
    scenario->acked = rc == 0 ? scenario->op_count : scenario->acked;
    wal_close(scenario->wal);
    scenario->wal = NULL;
    sim_disk_process_died(disk);
    take_up(scenario);
}

static void scenario_run(uint64_t seed, unsigned steps, struct scenario *scenario)
{
    *scenario = (struct scenario){.term = 1};
    struct disk_world *world = &scenario->world;
    world_begin(world, seed);
    rng_seed(&scenario->rng, seed);
    sim_disk_mount(world->disk, SNAP_DIR);
    struct sim_disk_faults faults = {.writeback_ppm = seed % 2 == 0 ? 300000 : 0,
                                     .free_bytes = UINT64_MAX};
    sim_disk_set_faults(world->disk, &faults);
    world->watch = outer_called;
    world->watch_ctx = scenario;
    scenario->watching = true;
    struct wal_options options = options_of(world->seam);
    struct err err = {""};
    assert_int_equal(wal_create(&options, &OWNER, &scenario->wal, &err), 0);
    scenario->made = true;
    for (unsigned i = 0; i < steps; i++) {
        uint64_t what = rng_below(&scenario->rng, 21);
        if (what < 9) {
            append_some(scenario);
        } else if (what < 15) {
            sync_all(scenario);
        } else if (what < 17) {
            wal_write_durability_mark(scenario->wal);
        } else if (what < 19) {
            snapshot_some(scenario);
        } else if (what < 20) {
            reopen(scenario);
        } else {
            fail_a_flush(scenario);
        }
    }
    scenario->watching = false;
    wal_close(scenario->wal);
    world_end(world);
}

static void a_log_survives_a_power_cut_at_each_call_of_the_disk(void **state)
{
    (void)state;
    const char *seeds = getenv("QUORATE_TEST_SEEDS");
    uint64_t limit = seeds == NULL ? 8 : strtoull(seeds, NULL, 10);
    struct scenario *scenario = mem_zalloc(sizeof(*scenario));
    unsigned images = 0;
    unsigned clean = 0;
    unsigned cut = 0;
    for (uint64_t seed = 1; seed <= limit; seed++) {
        scenario_run(seed, 60, scenario);
        images += scenario->images;
        clean += scenario->clean;
        cut += scenario->cut;
    }
    print_message("%u images: %u clean, %u cut\n", images, clean, cut);
    assert_true(clean > images / 4);
    assert_true(cut > images / 100);
    mem_free(scenario);
}

static int listing_fails(void *ctx, enum sim_call_kind kind)
{
    return kind == SIM_CALL_OPEN && *(bool *)ctx ? E_IO : 0;
}

/* Taken for none, a member would begin anew in the place of its log. */
static void a_log_that_cannot_be_listed_is_not_taken_for_none(void **state)
{
    (void)state;
    struct disk_world world;
    bool fails = false;
    bool exists = false;
    world_begin(&world, 1);
    sim_disk_mount(world.disk, MEMBER);
    sim_disk_set_fails(world.disk, listing_fails, &fails);
    struct wal_options options = options_of(world.seam);
    struct wal *wal = NULL;
    struct err err = {""};
    assert_int_equal(wal_find(world.seam, WAL_DIR, &exists), 0);
    assert_false(exists);
    assert_int_equal(wal_create(&options, &OWNER, &wal, &err), 0);
    wal_close(wal);
    assert_int_equal(wal_find(world.seam, WAL_DIR, &exists), 0);
    assert_true(exists);
    fails = true;
    exists = false;
    assert_int_equal(wal_find(world.seam, WAL_DIR, &exists), E_IO);
    assert_int_equal(wal_create(&options, &OWNER, &wal, &err), E_IO);
    assert_non_null(strstr(err.text, err_code_text(E_IO)));
    world_end(&world);
}

int main(void)
{
    log_set_level(LOG_LEVEL_FATAL); /* cut tails and failing flushes are what it is about */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_survives_a_power_cut_at_each_call_of_the_disk),
        cmocka_unit_test(a_log_that_cannot_be_listed_is_not_taken_for_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
