/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scenario: something that the engine does to its files, and an oracle that says of each image
 * whether a start on it keeps what was promised by then.
 */
#ifndef TESTS_CRASH_SCENARIO_H
#define TESTS_CRASH_SCENARIO_H

#include "base/err.h"
#include "tests/crash/image.h"

/* One image to judge. dir holds it and may be changed. */
struct crash_case {
    const char *dir;
    const uint64_t *notes; /* the newest value of each note; 0: not noted yet */
    int spoil;             /* which damage was done to it; -1: none */
};

struct scenario {
    const char *name;
    /* Before the recording: what is durable from the start. NULL: an empty folder. */
    void (*prepare)(const char *dir);
    /* Recorded. Whatever it opens it closes. */
    void (*run)(const char *dir);
    /* 0, or a negative code with what was lost or invented. */
    int (*check)(const struct crash_case *crash, struct err *err);
    /* A start alone, for a second power cut during it: opens what check opens, notes what holds
     * from then on, closes. Done on one of so many images. NULL: none. */
    int (*recover)(const struct crash_case *crash, struct err *err);
    uint32_t recover_every;
    /* Damage beyond a power cut, on images in which all that is pending has arrived, or none of it:
     * how many kinds, and doing one. false: it would change nothing. NULL: none. */
    uint32_t spoils;
    bool (*spoil)(const char *dir, uint32_t which);
    struct subset_limits limits;
    uint64_t distinct_min; /* the frozen count: a run that makes fewer images has shrunk */
};

extern const struct scenario scenario_wal_append;
extern const struct scenario scenario_durability_mark;
extern const struct scenario scenario_wal_marks_and_purge;
extern const struct scenario scenario_store_batch;
extern const struct scenario scenario_compaction;
extern const struct scenario scenario_defragment;
extern const struct scenario scenario_snapshot_install;
extern const struct scenario scenario_suspect_member;
extern const struct scenario scenario_first_start;
extern const struct scenario scenario_import;
extern const struct scenario scenario_import_of_3_4;
extern const struct scenario scenario_whole_member;

#endif
