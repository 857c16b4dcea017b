/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start-up. A new member writes its log first (who it is, and for a new cluster the configuration
 * entries of all first members); from there on every start is a restart and goes one way: log,
 * snapshot, store.
 */
#include "engine/server/bootstrap.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/plant.h"
#include "engine/server/adopt.h"
#include "engine/server/ask.h"
#include "engine/server/datadir.h"
#include "engine/server/discovery.h"
#include "engine/server/force_new.h"
#include "engine/server/founders.h"
#include "engine/server/version.h"
#include "engine/wal/snapfile.h"

#define BYTES_PER_MB UINT64_C(1048576)

/* ---- forming and joining ---- */

static int find_self(struct server *server, const struct membership *local,
                     const struct member **out_self, struct err *err)
{
    const struct member *self = membership_find_name(local, server->config->name);
    if (self == NULL) {
        return err_set(err, E_INVALID,
                       "couldn't find local name \"%s\" in the initial cluster configuration: "
                       "--initial-cluster must "
                       "contain %s=<peer URL>",
                       server->config->name, server->config->name);
    }
    for (size_t i = 0; i < self->peer_urls.count; i++) {
        if (!ask_is_own_url(server, self->peer_urls.urls[i])) {
            return err_set(err, E_INVALID,
                           "--initial-cluster has %s=%s but that is missing from "
                           "--initial-advertise-peer-urls: both must "
                           "name the same URLs",
                           server->config->name, self->peer_urls.urls[i]);
        }
    }
    if (self->peer_urls.count != server->config->initial_advertise_peer_urls.count) {
        return err_set(
            err, E_INVALID,
            "--initial-advertise-peer-urls has URLs that --initial-cluster does not list for %s",
            server->config->name);
    }
    *out_self = self;
    return 0;
}

static struct wal_options wal_options_of(const struct server *server)
{
    return (struct wal_options){.disk = server->disk,
                                .dir = server->wal_dir,
                                .segment_bytes = server->config->wal_segment_bytes,
                                .unsafe_no_fsync = server->config->unsafe_no_fsync};
}

static int write_new_log(struct server *server, uint64_t member_id, uint64_t cluster_id,
                         const struct membership *first, struct err *err)
{
    struct wal_metadata metadata = {.node_id = member_id, .cluster_id = cluster_id};
    struct wal_options options = wal_options_of(server);
    struct wal *wal;
    int rc = wal_create(&options, &metadata, &wal, err);
    if (rc != 0) {
        return rc;
    }
    if (first != NULL) {
        rc = founders_write(wal, first);
        if (rc != 0) {
            err_set(err, rc, "write the first entries to %s: %s", server->wal_dir,
                    err_code_text(rc));
        }
    }
    wal_close(wal);
    return rc;
}

/* A member that ran before and lost its data must not come back empty under its old id. */
static int refuse_second_birth(struct server *server, const struct membership *local,
                               uint64_t self_id, struct err *err)
{
    struct membership *known;
    if (membership_count(local) == 1 || ask_anyone(server, local, &known, NULL) != 0) {
        return 0;
    }
    const struct member *member = membership_find(known, self_id);
    int rc = 0;
    if (membership_cluster_id(known) == membership_cluster_id(local) && member != NULL &&
        member->client_urls.count > 0) { /* a name alone: etcd's founders give it to all */
        rc = err_set(
            err, E_CONFLICT,
            "member %" PRIx64
            " has already been bootstrapped: its data is gone; remove it from the cluster, add it "
            "again and start it with --initial-cluster-state=existing",
            self_id);
    }
    membership_free(known);
    return rc;
}

static int form_cluster(struct server *server, struct membership *local, struct err *err)
{
    const struct member *self;
    int rc = find_self(server, local, &self, err);
    if (rc == 0) {
        rc = refuse_second_birth(server, local, self->id, err);
    }
    if (rc == 0) {
        LOG_INFO("starting a new cluster", LOG_HEX("cluster-id", membership_cluster_id(local)),
                 LOG_HEX("local-member-id", self->id));
        rc = write_new_log(server, self->id, membership_cluster_id(local), local, err);
    }
    return rc;
}

static int join_cluster(struct server *server, struct membership *local, struct err *err)
{
    struct membership *existing = NULL;
    const struct member *self;
    int rc = ask_for_joining(server, local, &existing, err);
    if (rc != 0) {
        return rc == E_CONFLICT ? rc
                                : err_wrap(err, rc, "cannot fetch cluster info from peer urls");
    }
    rc = find_self(server, local, &self, err);
    if (rc == 0) { /* before anything is written, so that the folder stays good for another try */
        rc = version_may_join(ask_version(server, existing), version_number(SERVER_CLUSTER_VERSION),
                              server->config->hold_cluster_version, err);
    }
    if (rc == 0) {
        LOG_INFO("joining an existing cluster",
                 LOG_HEX("cluster-id", membership_cluster_id(existing)),
                 LOG_HEX("local-member-id", self->id));
        rc = write_new_log(server, self->id, membership_cluster_id(existing), NULL, err);
    }
    if (rc == 0) {
        server->known_members = existing;
    } else {
        membership_free(existing);
    }
    return rc;
}

/* The first members, as flags name them or as they find each other. Gives *out_local. */
static int read_founders(struct server *server, struct membership **out_local, struct err *err)
{
    const struct server_config *config = server->config;
    const char *token = config->initial_cluster_token;
    char *found = NULL;
    int rc = 0;
    if (discovery_is_asked(config)) {
        rc = discovery_run(server, &found, &token, err);
    }
    if (rc == 0) {
        rc = membership_parse_initial(found == NULL ? config->initial_cluster : found, token,
                                      (size_t)config->max_learners, out_local, err);
        if (rc != 0) {
            err_wrap(err, rc, found == NULL ? "--initial-cluster" : "discovery");
        }
    }
    mem_free(found);
    return rc;
}

static int first_start(struct server *server, struct err *err)
{
    struct membership *local;
    int rc = read_founders(server, &local, err);
    if (rc != 0) {
        return rc;
    }
    rc = server->config->initial_cluster_state == CLUSTER_STATE_NEW
             ? form_cluster(server, local, err)
             : join_cluster(server, local, err);
    membership_free(local);
    return rc;
}

/* ---- every start ---- */

/* The newest snapshot that has both its record in the log and its file. */
static int choose_mark(struct server *server, struct raft_snapshot_mark *out_mark, struct err *err)
{
    struct wal_options options = wal_options_of(server);
    struct raft_snapshot_mark *marks = NULL;
    uint32_t count = 0;
    struct buf data;
    *out_mark = (struct raft_snapshot_mark){0};
    int rc = wal_list_marks(&options, &marks, &count, err);
    if (rc != 0) {
        return rc;
    }
    buf_init(&data, SNAPFILE_BYTES_MAX);
    rc = snapfile_load_newest(server->disk, server->snap_dir, marks, count, out_mark, &data, err);
    buf_free(&data);
    mem_free(marks);
    return rc == E_NOT_FOUND ? 0 : rc;
}

/* Log and store must meet: the store holds what the log's snapshot says, and nothing the log has
 * not. */
static int check_position(const struct server *server, const struct wal_contents *contents,
                          struct err *err)
{
    uint64_t last = contents->mark.index + contents->entry_count;
    if (server->applied_index < contents->mark.index) {
        return err_set(err, E_CORRUPT,
                       "the store in %s is at index %" PRIu64 " but the log begins after %" PRIu64
                       ": the store was replaced or lost; "
                       "remove this member from the cluster and add a new one",
                       server->store_dir, server->applied_index, contents->mark.index);
    }
    if (server->applied_index > contents->mark.index && server->conf_state.voter_count == 0) {
        return err_set(err, E_UNSUPPORTED,
                       "the store in %s does not say who the members are at index %" PRIu64
                       ": etcd 3.4 leaves that out; take a snapshot with etcdctl, restore it with "
                       "etcdutl and start on that directory",
                       server->store_dir, server->applied_index);
    }
    if (server->applied_index > last) {
        return err_set(err, E_CORRUPT,
                       "the log in %s ends at index %" PRIu64 " but the store holds %" PRIu64
                       ": part of the log is lost; remove "
                       "this member from the cluster and add a new one",
                       server->wal_dir, last, server->applied_index);
    }
    return 0;
}

/*
 * Rot took entries that the store has already applied. What is applied was committed, so the store
 * itself is the point that the log goes on from: it is recorded like a snapshot that came in. The
 * member stays suspect until a leader has proved the rest.
 */
static int rejoin_at_store(struct server *server, struct wal_contents *contents, struct err *err)
{
    uint64_t last = contents->mark.index + contents->entry_count;
    if (contents->tail != WAL_TAIL_SUSPECT || server->applied_index <= last) {
        return 0;
    }
    const struct raft_snapshot_mark mark = {server->applied_index, server->applied_term,
                                            server->conf_state};
    struct raft_hard_state hard_state = contents->hard_state;
    struct buf data;
    hard_state.commit = mark.index;
    if (hard_state.term < mark.term) {
        hard_state.term = mark.term;
        hard_state.vote = RAFT_NO_ID;
    }
    buf_init(&data, BUF_NO_LIMIT);
    membership_v2_encode(server->membership, &data);
    int rc = snapfile_save(server->disk, server->snap_dir, &mark, buf_bytes(&data), err);
    buf_free(&data);
    if (rc != 0) {
        return rc;
    }
    rc = wal_save_mark(server->wal, &mark);
    if (rc == 0) {
        rc = wal_append(server->wal, NULL, 0, &hard_state);
    }
    if (rc == 0) {
        rc = wal_sync(server->wal);
    }
    if (rc != 0) {
        return err_set(err, rc, "record the store's position in %s: %s", server->wal_dir,
                       err_code_text(rc));
    }
    LOG_WARN("the log lost entries that the store holds: it goes on from the store",
             LOG_U64("last-log-index", last), LOG_U64("store-index", mark.index));
    while (contents->entry_count > 0) {
        raft_payload_unref(contents->entries[--contents->entry_count].payload);
    }
    contents->mark = mark;
    contents->hard_state = hard_state;
    return 0;
}

static void make_raft(struct server *server, const struct wal_contents *contents)
{
    struct raft_config config = {
        .id = server->member_id,
        .election_ticks = (uint32_t)(server->config->election_ms / server->config->heartbeat_ms),
        .heartbeat_ticks = 1,
        .pre_vote = server->config->pre_vote,
        .check_quorum = true,
        .max_message_bytes = server->config->raft_message_bytes == 0
                                 ? RAFT_MAX_MESSAGE_BYTES_DEFAULT
                                 : server->config->raft_message_bytes,
        .max_inflight = RAFT_MAX_INFLIGHT_DEFAULT,
        .random_seed = rng_next(&server->rng),
        .suspect = contents->tail == WAL_TAIL_SUSPECT && !PLANT(suspect_votes),
        .hard_state = contents->hard_state,
        .mark = contents->mark,
        .entries = contents->entries,
        .entry_count = contents->entry_count,
        .applied_index = server->applied_index,
    };
    if (server->applied_index > contents->mark.index) {
        config.applied_conf_state = &server->conf_state;
    } else {
        server->conf_state = contents->mark.conf_state;
    }
    server->snapshot_index = contents->mark.index;
    server->store_mark = (struct raft_snapshot_mark){server->applied_index, server->applied_term,
                                                     server->conf_state};
    server->raft = raft_new(&config);
    server->suspect = config.suspect;
}

/* A single member has nobody to prove its log by: it does not guess. */
static int check_suspect(const struct server *server, const struct wal_contents *contents,
                         struct err *err)
{
    if (contents->tail == WAL_TAIL_SUSPECT && membership_count(server->membership) <= 1) {
        return err_set(err, E_CORRUPT,
                       "the log is damaged below what was acknowledged (%s): this only member of "
                       "its cluster cannot be started "
                       "without losing data; restore a snapshot into a new data directory",
                       contents->tail_text);
    }
    return 0;
}

/* The log of a new cluster was made, and a crash came before its first entries: nobody else would
 * ever write them. A member that joined has an empty log too, until its leader calls. */
static bool first_start_was_cut(const struct server *server, const struct wal_contents *contents)
{
    return contents->entry_count == 0 && contents->mark.index == 0 &&
           contents->hard_state.term == 0 && contents->tail == WAL_TAIL_CLEAN &&
           server->config->initial_cluster_state == CLUSTER_STATE_NEW;
}

static int finish_first_start(struct server *server, struct wal_contents *contents, struct err *err)
{
    struct wal_options options = wal_options_of(server);
    struct membership *local;
    const struct raft_snapshot_mark none = {0};
    const struct member *self;
    if (discovery_is_asked(server->config)) {
        int rc = read_founders(server, &local, err);
        if (rc != 0) {
            return rc;
        }
    } else if (membership_parse_initial(server->config->initial_cluster,
                                        server->config->initial_cluster_token,
                                        (size_t)server->config->max_learners, &local, NULL) != 0) {
        return 0;
    }
    /* The ids of a member that was added later are not those that these flags give. */
    self = membership_find_name(local, server->config->name);
    bool is_same = self != NULL && self->id == contents->metadata.node_id &&
                   membership_cluster_id(local) == contents->metadata.cluster_id;
    int rc = is_same ? founders_write(server->wal, local) : 0;
    membership_free(local);
    if (rc != 0) {
        return err_set(err, rc, "write the first entries to %s: %s", server->wal_dir,
                       err_code_text(rc));
    }
    if (is_same) {
        LOG_INFO("finishing an interrupted first start", LOG_STR("dir", server->wal_dir));
        wal_contents_free(contents);
        wal_close(server->wal);
        server->wal = NULL;
        rc = wal_open(&options, &none, &server->wal, contents, err);
    }
    return rc;
}

/* --bootstrap-defrag-threshold-megabytes; nobody uses the store yet. */
static int defragment_first(struct server *server, struct err *err)
{
    const uint64_t wanted = server->config->bootstrap_defrag_mb * BYTES_PER_MB;
    const uint64_t gain = server->store_file_bytes - server->store_used_bytes;
    if (wanted == 0) {
        return 0;
    }
    if (gain < wanted) {
        LOG_INFO("Skipping defragmentation",
                 LOG_U64("current-db-size-bytes", server->store_file_bytes),
                 LOG_U64("current-db-size-in-use-bytes", server->store_used_bytes),
                 LOG_U64("bootstrap-defrag-threshold-bytes", wanted));
        return 0;
    }
    int rc = lmdb_store_defragment(server->lmdb, err);
    struct store_sizes sizes;
    if (rc == 0 && server->store.sizes(server->store.ctx, &sizes) == 0) {
        LOG_INFO("defragmented at start", LOG_U64("before-bytes", server->store_file_bytes),
                 LOG_U64("after-bytes", sizes.file_bytes));
        server->store_used_bytes = sizes.used_bytes;
        server->store_file_bytes = sizes.file_bytes;
    }
    return rc == 0 ? 0 : err_wrap(err, rc, "defragment %s at start", server->store_dir);
}

/* With --force-new-cluster the log ends with this member alone, and is read again. */
static int stand_alone(struct server *server, const struct raft_snapshot_mark *mark,
                       struct wal_contents *contents, struct err *err)
{
    const struct wal_options options = wal_options_of(server);
    bool is_changed = false;
    if (!server->config->force_new_cluster) {
        return 0;
    }
    int rc = force_new_cluster(server, contents, &is_changed, err);
    if (rc != 0 || !is_changed) {
        return rc;
    }
    wal_contents_free(contents);
    *contents = (struct wal_contents){0};
    wal_close(server->wal);
    server->wal = NULL;
    rc = wal_open(&options, mark, &server->wal, contents, err);
    if (rc == 0 && contents->mark.index == mark->index) {
        contents->mark = *mark;
    }
    return rc;
}

static int restart(struct server *server, struct err *err)
{
    struct raft_snapshot_mark mark;
    struct wal_contents contents;
    struct wal_options options = wal_options_of(server);
    int rc = choose_mark(server, &mark, err);
    if (rc == 0) {
        rc = store_dir_settle(server->disk, server->member_dir, mark.index, err);
    }
    if (rc == 0) {
        rc = wal_open(&options, &mark, &server->wal, &contents, err);
    }
    if (rc == 0 && first_start_was_cut(server, &contents)) {
        rc = finish_first_start(server, &contents, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (contents.mark.index == mark.index) {
        contents.mark = mark; /* the log of etcd 3.4 names no members in it, the .snap file does */
    }
    server->member_id = contents.metadata.node_id;
    server->cluster_id = contents.metadata.cluster_id;
    membership_set_cluster_id(server->membership, server->cluster_id);
    rc = adopt_begin(server->disk, server->member_dir, &contents, server_map_bytes(server->config),
                     err);
    if (rc == 0) {
        rc = datadir_make(server->disk, server->store_dir, err);
    }
    if (rc == 0) {
        rc = state_open(server, err);
    }
    if (rc == 0) {
        rc = defragment_first(server, err);
    }
    if (rc == 0) {
        rc = check_suspect(server, &contents, err);
    }
    if (rc == 0) {
        rc = rejoin_at_store(server, &contents, err);
    }
    if (rc == 0) {
        rc = check_position(server, &contents, err);
    }
    if (rc == 0) {
        rc = stand_alone(server, &mark, &contents, err);
    }
    if (rc == 0) {
        rc = adopt_finish(server->disk, server->member_dir, err);
    }
    if (rc == 0) {
        rc = snap_dir_settle(server->disk, server->snap_dir, err); /* nobody needs them any more */
    }
    if (rc == 0) {
        if (contents.tail != WAL_TAIL_CLEAN) {
            LOG_WARN("the end of the log was damaged", LOG_STR("where", contents.tail_text),
                     LOG_BOOL("may-vote", contents.tail == WAL_TAIL_CUT));
        }
        make_raft(server, &contents);
    }
    wal_contents_free(&contents);
    return rc;
}

/* A member that joined and was stopped before the log reached it knows nobody: it asks again. */
static void relearn_members(struct server *server)
{
    struct membership *local;
    if (membership_count(server->membership) > 0 || server->known_members != NULL ||
        server->config->initial_cluster_state != CLUSTER_STATE_EXISTING ||
        membership_parse_initial(server->config->initial_cluster,
                                 server->config->initial_cluster_token,
                                 (size_t)server->config->max_learners, &local, NULL) != 0) {
        return;
    }
    (void)ask_anyone(server, local, &server->known_members,
                     NULL); /* nobody answers: they will call */
    membership_free(local);
}

int bootstrap(struct server *server, struct err *err)
{
    int rc = lmdb_store_check(server->store_dir, err); /* before anything is written */
    if (rc == 0) {
        rc = datadir_make(server->disk, server->snap_dir, err);
    }
    if (rc == 0 && *server->config->wal_dir != '\0') {
        rc = datadir_make(server->disk, server->config->wal_dir, err);
    }
    bool has_log = false;
    if (rc == 0) {
        rc = wal_find(server->disk, server->wal_dir, &has_log);
        if (rc != 0) {
            err_set(err, rc, "read directory %s: %s", server->wal_dir, err_code_text(rc));
        }
    }
    if (rc == 0 && has_log && discovery_is_asked(server->config)) {
        LOG_WARN("discovery is ignored: this member has its data already",
                 LOG_STR("wal-dir", server->wal_dir));
    }
    if (rc == 0 && !has_log) {
        rc = first_start(server, err);
    }
    if (rc == 0) {
        rc = restart(server, err);
    }
    if (rc == 0) {
        relearn_members(server);
    }
    return rc;
}

void bootstrap_link_known(struct server *server)
{
    if (server->known_members == NULL) {
        return;
    }
    for (size_t i = 0; i < membership_count(server->known_members); i++) {
        cluster_link_member(server, membership_at(server->known_members, i));
    }
    membership_free(server->known_members);
    server->known_members = NULL;
}
