/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot that a leader sends, and a member whose log has rotted below what its store holds. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "engine/wal/segments.h"
#include "tests/crash/member_checks.h"
#include "tests/crash/record.h"

#define OTHER         0x99u /* a leader that this member never sees */
#define INSTALL_INDEX 0x100u

static uint64_t installed_state;

/* ---- snapshot_install ---- */

static struct buf sent; /* the database of the leader */

static void prepare_install(const char *dir)
{
    struct rig rig;
    char *other = str_printf("%s/other", dir);
    ASSERT(mkdir(other, 0700) == 0);
    member_must_open(&rig, other);
    for (uint32_t i = 0; i < 12; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "sent-%u", i);
        ASSERT(rig_put(&rig, key, 400, 0));
    }
    ASSERT(rig_add_learner(&rig, "http://127.0.0.1:1"));
    rig_commit(&rig);
    buf_free(&sent);
    member_store_as_bolt(&rig, &sent);
    rig_close(&rig);
    tree_clear(other);
    ASSERT(rmdir(other) == 0);
    mem_free(other);
    member_must_open(&rig, dir);
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
    member_must_open(&rig, dir);
    member_states_begin(&rig);
    member_put(&rig, 1, 100, 0);
    rig_commit(&rig);
    member_put(&rig, 2, 100, 0); /* in the log alone */
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
               ? member_find_state(crash, rig, out_state, err)
               : err_set(err, E_CORRUPT, "an installed snapshot is gone");
}

static int check_install(const struct crash_case *crash, struct err *err)
{
    const char *const leftovers[][2] = {{"", "store."}, {"/snap", ".snap.db"}, {"/snap", "recv-"}};
    struct rig rig;
    uint64_t state;
    int rc = member_open(crash, &rig, err);
    if (rc == 0 && is_installed(&rig)) {
        rc = check_new_state(&rig, err);
    } else if (rc == 0) {
        rc = check_old_state(crash, &rig, &state, err);
        rc = rc == 0 ? member_check_serving(&rig, crash->dir, err) : rc;
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
    int rc = member_open(crash, &rig, err);
    if (rc == 0 && is_installed(&rig)) {
        rc = check_new_state(&rig, err);
        record_note(NOTE_INSTALLED, 1);
    } else if (rc == 0) {
        rc = check_old_state(crash, &rig, &state, err);
        if (rc == 0) {
            member_note_state(state);
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
    .distinct_min = 580,
};

/* ---- suspect_member ---- */

#define SENT_ENTRIES 12u

static uint64_t rotten_state;

/* One put as a leader sends it. */
static struct raft_entry entry_make(uint64_t index, uint64_t term)
{
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    Etcdserverpb__InternalRaftRequest request = ETCDSERVERPB__INTERNAL_RAFT_REQUEST__INIT;
    uint8_t value[300];
    struct buf packed;
    memset(value, (int)(1 + index % 200), sizeof(value));
    put.key = proto_binary(bytes_of_str("of the leader"));
    put.value = proto_binary(bytes_of(value, sizeof(value)));
    request.put = &put;
    buf_init(&packed, BUF_NO_LIMIT);
    ASSERT(proto_pack_append(&request.base, &packed) == 0);
    struct raft_entry entry = {
        .index = index, .term = term, .payload = raft_payload_new(buf_bytes(&packed))};
    buf_free(&packed);
    return entry;
}

static void entries_arrive(struct rig *rig)
{
    struct raft_status status;
    raft_status(rig->server->raft, &status);
    struct raft_message message = {.type = RAFT_MSG_APP,
                                   .from = OTHER,
                                   .to = rig->server->member_id,
                                   .term = status.term,
                                   .log_term = status.term - 1,
                                   .index = INSTALL_INDEX,
                                   .commit = INSTALL_INDEX + SENT_ENTRIES,
                                   .entry_count = SENT_ENTRIES};
    message.entries = mem_array(SENT_ENTRIES, sizeof(*message.entries));
    for (uint32_t i = 0; i < SENT_ENTRIES; i++) {
        message.entries[i] = entry_make(INSTALL_INDEX + 1 + i, status.term);
    }
    raft_step(rig->server->raft, &message);
    rig_run(rig, 5);
    ASSERT(rig->server->applied_index == INSTALL_INDEX + SENT_ENTRIES);
}

/* Zeros in the middle of what the newest segment holds. */
static void log_rot(const char *wal_dir)
{
    struct wal_segments segments;
    static uint8_t bytes[1u << 20];
    ASSERT(wal_segments_list(disk_posix(), wal_dir, &segments) == 0);
    char *path = wal_segment_path(wal_dir, &segments.items[segments.count - 1]);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ssize_t size = pread(fd, bytes, sizeof(bytes), 0);
    while (size > 0 && bytes[size - 1] == 0) {
        size--;
    }
    ASSERT(size > (ssize_t)(4 * SECTOR_BYTES));
    memset(bytes, 0, SECTOR_BYTES);
    off_t middle = (off_t)((size_t)size / 2 / SECTOR_BYTES * SECTOR_BYTES);
    ASSERT(pwrite(fd, bytes, SECTOR_BYTES, middle) == (ssize_t)SECTOR_BYTES);
    (void)close(fd);
    mem_free(path);
    wal_segments_free(&segments);
}

/* A follower whose store holds what its log has lost. */
static void prepare_suspect(const char *dir)
{
    struct rig rig;
    prepare_install(dir);
    member_must_open(&rig, dir);
    char *path = snapshot_receive(rig.server);
    snapshot_arrives(&rig, path);
    mem_free(path);
    rig_run(&rig, 10);
    entries_arrive(&rig);
    rig_commit(&rig);
    rotten_state = rig_digest(&rig);
    wal_write_durability_mark(rig.server->wal);
    char *wal_dir = str_dup(rig.server->wal_dir);
    rig_close(&rig);
    log_rot(wal_dir);
    mem_free(wal_dir);
}

static void run_suspect(const char *dir)
{
    struct rig rig;
    member_must_open(&rig, dir);
    rig_close(&rig);
}

/* It starts, knows what its store knows, and does not vote: only a leader ends the suspicion. */
static int check_suspect(const struct crash_case *crash, struct err *err)
{
    struct rig rig;
    int rc = rig_open(&rig, crash->dir, err);
    if (rc != 0) {
        err_wrap(err, rc, "the member refuses to start");
    } else if (!rig.server->suspect) {
        rc = err_set(err, E_CORRUPT, "a power cut washed the suspicion off");
    } else if (rig.server->applied_index != INSTALL_INDEX + SENT_ENTRIES ||
               rig_digest(&rig) != rotten_state) {
        rc = err_set(err, E_CORRUPT, "the member has lost what its store held");
    }
    rig_close(&rig);
    return rc;
}

const struct scenario scenario_suspect_member = {
    .name = "suspect_member",
    .prepare = prepare_suspect,
    .run = run_suspect,
    .check = check_suspect,
    .recover = check_suspect,
    .recover_every = 8,
    .limits = {.singles = 24, .randoms = 24},
    .distinct_min = 550,
};
