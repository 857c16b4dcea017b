/* SPDX-License-Identifier: Apache-2.0 */
/* What the scenarios of whole members share. */
#include "tests/crash/member_checks.h"

#include <stdio.h>

#include "engine/store/bolt.h"
#include "tests/crash/record.h"

#define STATES_MAX 256u

static uint64_t states[STATES_MAX]; /* after each request */
static uint32_t state_count;

void member_must_open(struct rig *rig, const char *dir)
{
    struct err err = {{0}};
    if (rig_open(rig, dir, &err) != 0) {
        base_assert_fail(err.text, 0, "rig_open");
    }
}

void member_states_begin(struct rig *rig)
{
    state_count = 0;
    states[state_count++] = rig_digest(rig);
}

void member_try(void)
{
    ASSERT(state_count < STATES_MAX);
    record_note(NOTE_TRIED, state_count);
}

void member_acknowledged(struct rig *rig, bool ok)
{
    ASSERT(ok);
    states[state_count] = rig_digest(rig);
    record_note(NOTE_DONE, state_count);
    state_count++;
}

void member_put(struct rig *rig, uint32_t number, size_t bytes, int64_t lease)
{
    char key[16];
    (void)snprintf(key, sizeof(key), "key-%u", number % 11);
    member_try();
    member_acknowledged(rig, rig_put(rig, key, bytes, lease));
}

/* Which request's state the member has. */
int member_find_state(const struct crash_case *crash, struct rig *rig, uint64_t *out_state,
                      struct err *err)
{
    uint64_t digest = rig_digest(rig);
    for (uint64_t i = crash->notes[NOTE_DONE]; i <= crash->notes[NOTE_TRIED]; i++) {
        if (states[i] == digest) {
            *out_state = i;
            return 0;
        }
    }
    return err_set(err, E_CORRUPT,
                   "the member, at revision %lld, has what no request from %llu, which was "
                   "acknowledged, to %llu left",
                   (long long)mvcc_revision(rig->server->mvcc),
                   (unsigned long long)crash->notes[NOTE_DONE],
                   (unsigned long long)crash->notes[NOTE_TRIED]);
}

/* The member serves: it takes a write, and has it after another start. */
int member_check_serving(struct rig *rig, const char *dir, struct err *err)
{
    if (!rig_put(rig, "after", 20, 0)) {
        return err_set(err, E_UNAVAILABLE, "the member takes no write");
    }
    uint64_t before = rig_digest(rig);
    rig_close(rig);
    int rc = rig_open(rig, dir, err);
    if (rc != 0) {
        return err_wrap(err, rc, "the member starts once only");
    }
    return rig_digest(rig) == before
               ? 0
               : err_set(err, E_CORRUPT, "the member lost a write after its restart");
}

int member_open(const struct crash_case *crash, struct rig *rig, struct err *err)
{
    int rc = rig_open(rig, crash->dir, err);
    if (rc != 0) {
        return err_wrap(err, rc, "the member refuses to start");
    }
    return rig->server->suspect
               ? err_set(err, E_CORRUPT, "a power cut alone makes the member suspect")
               : 0;
}

void member_note_state(uint64_t state)
{
    record_note(NOTE_DONE, state);
    record_note(NOTE_TRIED, state);
}

/* The start alone: what the member served once it goes on to serve. */
int member_recover(const struct crash_case *crash, struct err *err)
{
    struct rig rig;
    uint64_t state;
    int rc = member_open(crash, &rig, err);
    if (rc == 0) {
        rc = member_find_state(crash, &rig, &state, err);
    }
    if (rc == 0) {
        member_note_state(state);
    }
    rig_close(&rig);
    return rc;
}

int member_check(const struct crash_case *crash, struct err *err)
{
    struct rig rig;
    uint64_t state;
    int rc = member_open(crash, &rig, err);
    if (rc == 0) {
        rc = member_find_state(crash, &rig, &state, err);
    }
    if (rc == 0) {
        rc = member_check_serving(&rig, crash->dir, err);
    }
    rig_close(&rig);
    return rc;
}

static int bytes_sink(void *ctx, const void *data, size_t size)
{
    return buf_append(ctx, data, size);
}

/* The member's store as the file of an etcd. */
void member_store_as_bolt(struct rig *rig, struct buf *out)
{
    const struct store_seam *store = &rig->server->store;
    struct bolt_writer *writer;
    struct store_view *view;
    struct err err;
    uint64_t size;
    buf_init(out, BUF_NO_LIMIT);
    ASSERT(store->view_begin(store->ctx, &view) == 0);
    ASSERT(bolt_writer_new(store, view, &writer, &size, &err) == 0);
    ASSERT(bolt_writer_write(writer, bytes_sink, out, &err) == 0);
    bolt_writer_free(writer);
    store->view_end(view);
}
