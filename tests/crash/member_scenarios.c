/* SPDX-License-Identifier: Apache-2.0 */
/* Whole members: their first start, the data of an etcd, a snapshot that comes in, and an ordinary
 * life. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "engine/store/bolt.h"
#include "tests/crash/member_rig.h"
#include "tests/crash/record.h"
#include "tests/crash/scenario.h"

#define STATES_MAX    256u
#define OTHER         0x99u /* a leader that this member never sees */
#define INSTALL_INDEX 0x100u
#define DATA          QUORATE_SOURCE_DIR "/tests/data/"

enum {
    NOTE_TRIED = 1, /* requests that may have been carried out */
    NOTE_DONE,      /* requests that were acknowledged */
    NOTE_INSTALLED, /* the snapshot counts */
};

static uint64_t states[STATES_MAX]; /* after each request */
static uint32_t state_count;
static uint64_t installed_state;

static void must_open(struct rig *rig, const char *dir)
{
    struct err err = {{0}};
    if (rig_open(rig, dir, &err) != 0) {
        base_assert_fail(err.text, 0, "rig_open");
    }
}

static void states_begin(struct rig *rig)
{
    state_count = 0;
    states[state_count++] = rig_digest(rig);
}

static void try_next(void)
{
    ASSERT(state_count < STATES_MAX);
    record_note(NOTE_TRIED, state_count);
}

static void acknowledged(struct rig *rig, bool ok)
{
    ASSERT(ok);
    states[state_count] = rig_digest(rig);
    record_note(NOTE_DONE, state_count);
    state_count++;
}

static void put(struct rig *rig, uint32_t number, size_t bytes, int64_t lease)
{
    char key[16];
    (void)snprintf(key, sizeof(key), "key-%u", number % 11);
    try_next();
    acknowledged(rig, rig_put(rig, key, bytes, lease));
}

/* Which request's state the member has. */
static int find_state(const struct crash_case *crash, struct rig *rig, uint64_t *out_state,
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
static int check_serving(struct rig *rig, const char *dir, struct err *err)
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

static int open_member(const struct crash_case *crash, struct rig *rig, struct err *err)
{
    int rc = rig_open(rig, crash->dir, err);
    if (rc != 0) {
        return err_wrap(err, rc, "the member refuses to start");
    }
    return rig->server->suspect
               ? err_set(err, E_CORRUPT, "a power cut alone makes the member suspect")
               : 0;
}

/* The start alone: what the member served once it goes on to serve. */
static int recover_member(const struct crash_case *crash, struct err *err)
{
    struct rig rig;
    uint64_t state;
    int rc = open_member(crash, &rig, err);
    if (rc == 0) {
        rc = find_state(crash, &rig, &state, err);
    }
    if (rc == 0) {
        record_note(NOTE_DONE, state);
        record_note(NOTE_TRIED, state);
    }
    rig_close(&rig);
    return rc;
}

static int check_member(const struct crash_case *crash, struct err *err)
{
    struct rig rig;
    uint64_t state;
    int rc = open_member(crash, &rig, err);
    if (rc == 0) {
        rc = find_state(crash, &rig, &state, err);
    }
    if (rc == 0) {
        rc = check_serving(&rig, crash->dir, err);
    }
    rig_close(&rig);
    return rc;
}

/* ---- first_start ---- */

static void run_first_start(const char *dir)
{
    struct rig rig;
    must_open(&rig, dir);
    states_begin(&rig);
    for (uint32_t i = 0; i < 3; i++) {
        put(&rig, i, 100, 0);
    }
    rig_commit(&rig);
    put(&rig, 3, 100, 0);
    rig_close(&rig);
}

const struct scenario scenario_first_start = {
    .name = "first_start",
    .run = run_first_start,
    .check = check_member,
    .recover = recover_member,
    .recover_every = 4,
    .limits = {.singles = 12, .randoms = 16},
};

/* ---- whole_member ---- */

static void prepare_member(const char *dir)
{
    struct rig rig;
    must_open(&rig, dir);
    rig_close(&rig);
}

static void run_member(const char *dir)
{
    struct rig rig;
    must_open(&rig, dir);
    states_begin(&rig);
    for (uint32_t round = 0; round < 5; round++) {
        try_next();
        acknowledged(&rig, rig_grant(&rig, 100 + round));
        for (uint32_t i = 0; i < 5; i++) {
            put(&rig, round * 5 + i, 200 + 300 * i, i == 2 ? 100 + round : 0);
        }
        rig_commit(&rig);
        wal_write_durability_mark(rig.server->wal);
        try_next();
        acknowledged(&rig, rig_txn(&rig, "of-txn", "key-1"));
        try_next();
        acknowledged(&rig, rig_delete(&rig, "key-3"));
        if (round % 2 == 1) {
            try_next();
            acknowledged(&rig, rig_revoke(&rig, 99 + round));
            try_next();
            acknowledged(&rig, rig_compact(&rig, mvcc_revision(rig.server->mvcc) - 3));
        }
        rig_commit(&rig);
    }
    rig_close(&rig);
}

const struct scenario scenario_whole_member = {
    .name = "whole_member",
    .prepare = prepare_member,
    .run = run_member,
    .check = check_member,
    .recover = recover_member,
    .recover_every = 200,
    .limits = {.singles = 4, .randoms = 6},
};

/* ---- import ---- */

struct file_bytes {
    uint8_t *data;
    size_t size;
};

static int bytes_sink(void *ctx, const void *data, size_t size)
{
    return buf_append(ctx, data, size);
}

/* The member's store as the file of an etcd. */
static void store_as_bolt(struct rig *rig, struct buf *out)
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

static void file_make(const char *path, struct bytes bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ASSERT(fd >= 0 && write(fd, bytes.data, bytes.size) == (ssize_t)bytes.size);
    (void)close(fd);
}

/* A member of ours becomes what an etcd would have left: its log and .snap files are in etcd's
 * format anyway; the key space goes into member/snap/db. */
static void prepare_etcd(const char *dir)
{
    struct rig rig;
    struct buf db;
    must_open(&rig, dir);
    for (uint32_t i = 0; i < 20; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "key-%u", i % 7);
        ASSERT(rig_put(&rig, key, 300, 0));
        if (i % 5 == 4) {
            rig_commit(&rig);
        }
    }
    store_as_bolt(&rig, &db);
    ASSERT(rig_put(&rig, "in-the-log-alone", 10, 0));
    rig_close(&rig);
    char *path = str_printf("%s/m1/member/snap/db", dir);
    file_make(path, buf_bytes(&db));
    mem_free(path);
    buf_free(&db);
    path = str_printf("%s/m1/member/store", dir);
    tree_clear(path);
    ASSERT(rmdir(path) == 0);
    mem_free(path);
    path = str_printf("%s/m1/member/quorate-durable.mark", dir);
    ASSERT(unlink(path) == 0);
    mem_free(path);
}

static void run_import(const char *dir)
{
    struct rig rig;
    must_open(&rig, dir);
    states_begin(&rig);
    put(&rig, 1, 100, 0);
    rig_commit(&rig);
    rig_close(&rig);
}

/* What etcd's file held is there always; afterwards no etcd can start on it by accident. */
static int check_import(const struct crash_case *crash, struct err *err)
{
    int rc = check_member(crash, err);
    char *db = str_printf("%s/m1/member/snap/db", crash->dir);
    if (rc == 0 && access(db, F_OK) == 0) {
        rc = err_set(err, E_CORRUPT, "the file of etcd still has its name");
    }
    mem_free(db);
    return rc;
}

const struct scenario scenario_import = {
    .name = "import",
    .prepare = prepare_etcd,
    .run = run_import,
    .check = check_import,
    .recover = recover_member,
    .recover_every = 8,
    .limits = {.singles = 6, .randoms = 8},
};

/* ---- snapshot_install ---- */

static struct buf sent; /* the database of the leader */

static void prepare_install(const char *dir)
{
    struct rig rig;
    char *other = str_printf("%s/other", dir);
    ASSERT(mkdir(other, 0700) == 0);
    must_open(&rig, other);
    for (uint32_t i = 0; i < 12; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "sent-%u", i);
        ASSERT(rig_put(&rig, key, 400, 0));
    }
    rig_commit(&rig);
    buf_free(&sent);
    store_as_bolt(&rig, &sent);
    rig_close(&rig);
    tree_clear(other);
    ASSERT(rmdir(other) == 0);
    mem_free(other);
    must_open(&rig, dir);
    for (uint32_t i = 0; i < 4; i++) {
        ASSERT(rig_put(&rig, "old", 200 + i, 0));
    }
    rig_close(&rig);
}

/* The database as it arrives: beside, flushed, renamed, the folder flushed. */
static char *snapshot_receive(struct server *server)
{
    const struct disk_seam *disk = server->disk;
    struct disk_file *file;
    char *temporary = str_printf("%s/recv-0000000000000100-1.tmp", server->snap_dir);
    char *path = str_printf("%s/0000000000000100.snap.db", server->snap_dir);
    ASSERT(disk->open(disk->ctx, temporary, DISK_CREATE, &file) == 0);
    ASSERT(disk->write_at(file, 0, sent.data, sent.size) == 0 && disk->sync(file) == 0);
    disk->close(file);
    ASSERT(disk->rename(disk->ctx, temporary, path) == 0);
    ASSERT(disk->sync_dir(disk->ctx, server->snap_dir) == 0);
    mem_free(temporary);
    return path;
}

static void snapshot_arrives(struct rig *rig, const char *path)
{
    struct server *server = rig->server;
    struct raft_status status;
    raft_status(server->raft, &status);
    struct raft_message message = {
        .type = RAFT_MSG_SNAP, .from = OTHER, .to = server->member_id, .term = status.term + 5};
    message.snapshot = mem_zalloc(sizeof(*message.snapshot));
    message.snapshot->index = INSTALL_INDEX;
    message.snapshot->term = status.term + 4;
    message.snapshot->conf_state.voter_count = 2;
    bool first = server->member_id < OTHER;
    message.snapshot->conf_state.voters[first ? 0 : 1] = server->member_id;
    message.snapshot->conf_state.voters[first ? 1 : 0] = OTHER;
    io_snapshot_arrived(server, &message, path);
}

static void run_install(const char *dir)
{
    struct rig rig;
    must_open(&rig, dir);
    states_begin(&rig);
    put(&rig, 1, 100, 0);
    rig_commit(&rig);
    put(&rig, 2, 100, 0); /* in the log alone */
    char *path = snapshot_receive(rig.server);
    snapshot_arrives(&rig, path);
    mem_free(path);
    rig_run(&rig, 10);
    ASSERT(!rig.server->installing && rig.server->applied_index == INSTALL_INDEX);
    installed_state = rig_digest(&rig);
    record_note(NOTE_INSTALLED, 1);
    wal_write_durability_mark(rig.server->wal);
    rig_close(&rig);
}

/* Nothing of an installation is left beside what counts. */
static int check_leftovers(const char *dir, const char *folder, const char *needle, struct err *err)
{
    char *path = str_printf("%s/m1/member%s", dir, folder);
    DIR *names = opendir(path);
    const struct dirent *entry;
    int rc = 0;
    ASSERT(names != NULL);
    while (rc == 0 && (entry = readdir(names)) != NULL) {
        if (strstr(entry->d_name, needle) != NULL) {
            rc = err_set(err, E_CORRUPT, "%s is left after the start", entry->d_name);
        }
    }
    (void)closedir(names);
    mem_free(path);
    return rc;
}

static bool is_installed(const struct rig *rig)
{
    return rig->server->applied_index >= INSTALL_INDEX;
}

static int check_new_state(struct rig *rig, struct err *err)
{
    return rig->server->conf_state.voter_count == 2 && rig_digest(rig) == installed_state
               ? 0
               : err_set(err, E_CORRUPT, "a mix of the old state and of the snapshot");
}

static int check_old_state(const struct crash_case *crash, struct rig *rig, uint64_t *out_state,
                           struct err *err)
{
    return crash->notes[NOTE_INSTALLED] == 0
               ? find_state(crash, rig, out_state, err)
               : err_set(err, E_CORRUPT, "an installed snapshot is gone");
}

static int check_install(const struct crash_case *crash, struct err *err)
{
    const char *const leftovers[][2] = {{"", "store."}, {"/snap", ".snap.db"}, {"/snap", "recv-"}};
    struct rig rig;
    uint64_t state;
    int rc = open_member(crash, &rig, err);
    if (rc == 0 && is_installed(&rig)) {
        rc = check_new_state(&rig, err);
    } else if (rc == 0) {
        rc = check_old_state(crash, &rig, &state, err);
        rc = rc == 0 ? check_serving(&rig, crash->dir, err) : rc;
    }
    rig_close(&rig);
    for (size_t i = 0; rc == 0 && i < ARRAY_COUNT(leftovers); i++) {
        rc = check_leftovers(crash->dir, leftovers[i][0], leftovers[i][1], err);
    }
    return rc;
}

static int recover_install(const struct crash_case *crash, struct err *err)
{
    struct rig rig;
    uint64_t state;
    int rc = open_member(crash, &rig, err);
    if (rc == 0 && is_installed(&rig)) {
        rc = check_new_state(&rig, err);
        record_note(NOTE_INSTALLED, 1);
    } else if (rc == 0) {
        rc = check_old_state(crash, &rig, &state, err);
        if (rc == 0) {
            record_note(NOTE_DONE, state);
            record_note(NOTE_TRIED, state);
        }
    }
    rig_close(&rig);
    return rc;
}

const struct scenario scenario_snapshot_install = {
    .name = "snapshot_install",
    .prepare = prepare_install,
    .run = run_install,
    .check = check_install,
    .recover = recover_install,
    .recover_every = 8,
    .limits = {.singles = 6, .randoms = 8},
};
