/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the scenarios of whole members share: the states that a member was in after each of its
 * requests, and finding out which of them a start has brought back.
 */
#ifndef TESTS_CRASH_MEMBER_CHECKS_H
#define TESTS_CRASH_MEMBER_CHECKS_H

#include "tests/crash/member_rig.h"
#include "tests/crash/scenario.h"

enum {
    NOTE_TRIED = 1, /* requests that may have been carried out */
    NOTE_DONE,      /* requests that were acknowledged */
    NOTE_INSTALLED, /* the snapshot counts */
};

/* rig_open; stops the test when the member refuses. */
void member_must_open(struct rig *rig, const char *dir);

/* The state before the first request. */
void member_states_begin(struct rig *rig);

/* Before a request, and after its answer; ok: it succeeded, as it must. */
void member_try(void);
void member_acknowledged(struct rig *rig, bool ok);

/* One put between them, of one of eleven keys. */
void member_put(struct rig *rig, uint32_t number, size_t bytes, int64_t lease);

/* Starts on the image. A refusal and a suspect log are failures. rig_close also then. */
int member_open(const struct crash_case *crash, struct rig *rig, struct err *err);

/* Which request's state the member has, between what was acknowledged and what was tried. */
int member_find_state(const struct crash_case *crash, struct rig *rig, uint64_t *out_state,
                      struct err *err);

/* It takes a write, and has it after another start. */
int member_check_serving(struct rig *rig, const char *dir, struct err *err);

/* All of the above in one, for struct scenario. */
int member_check(const struct crash_case *crash, struct err *err);
int member_recover(const struct crash_case *crash, struct err *err);

/* Notes that what a start has served is there for good. */
void member_note_state(uint64_t state);

/* The member's store as the file of an etcd; buf_free. */
void member_store_as_bolt(struct rig *rig, struct buf *out);

#endif
