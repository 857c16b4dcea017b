/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order: what is asked is checked, the snapshot is read once whole, then DATA/member.part is filled
 * (and WAL.part, when the log has a place of its own), synced, and gets its name last. A crash
 * before that leaves *.part, which the next try removes.
 */
#include "engine/server/restore.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "engine/mvcc/keyvalue.h"
#include "engine/mvcc/mvcc.h"
#include "engine/server/datadir.h"
#include "engine/server/founders.h"
#include "engine/server/internal.h"
#include "engine/store/bolt_format.h"
#include "engine/store/bolt_rewrite.h"
#include "engine/wal/segments.h"
#include "engine/wal/snapfile.h"

#define MEMBER_NAME      "member"
#define PART_NAME        "member.part"
#define REMOVE_DEPTH_MAX 4u

/* One restore on its way. Owns its strings. */
struct restore {
    const struct disk_seam *disk;
    const struct restore_options *options;
    struct err *err;
    struct membership *members;
    const struct member *self;
    struct store_batch puts;
    int64_t revision;
    uint64_t key_records;
    bool made_data_dir;
    char *part, *snap_dir, *db_path; /* DATA/member.part and what is in it */
    char *wal_part, *wal_build;      /* WAL.part (NULL: none) and the log while it is built */
};

/* ---- what is asked ---- */

static char *trimmed_copy(const char *at, size_t size)
{
    for (; size > 0 && *at == ' '; size--) {
        at++;
    }
    return str_from(at, size);
}

static int parse_urls(const char *text, struct url_list *out_list, struct err *err)
{
    struct url_list raw = {0};
    for (const char *at = text; *at != '\0';) {
        size_t size = strcspn(at, ",");
        char *url = trimmed_copy(at, size);
        url_list_add(&raw, url);
        mem_free(url);
        at += size + (at[size] == ',' ? 1 : 0);
    }
    int rc = url_list_parse((const char *const *)raw.urls, raw.count, out_list, err);
    url_list_free(&raw);
    return rc == 0 ? 0 : err_wrap(err, rc, "--initial-advertise-peer-urls");
}

/* Both lists are sorted. */
static bool same_urls(const struct url_list *a, const struct url_list *b)
{
    bool is_same = a->count == b->count;
    for (size_t i = 0; is_same && i < a->count; i++) {
        is_same = str_equal(a->urls[i], b->urls[i]);
    }
    return is_same;
}

static int check_self(const struct restore_options *options, const struct membership *members,
                      const struct member **out_self, struct err *err)
{
    struct url_list urls = {0};
    const struct member *self = membership_find_name(members, options->name);
    if (self == NULL) {
        return err_set(err, E_INVALID,
                       "couldn't find local name \"%s\" in the initial cluster configuration: "
                       "--initial-cluster must contain %s=<peer URL>",
                       options->name, options->name);
    }
    int rc = parse_urls(options->advertise_peer_urls, &urls, err);
    if (rc == 0 && !same_urls(&urls, &self->peer_urls)) {
        rc = err_set(err, E_INVALID,
                     "--initial-cluster and --initial-advertise-peer-urls name different URLs for "
                     "%s: %s and %s",
                     options->name, self->peer_urls.urls[0], urls.urls[0]);
    }
    url_list_free(&urls);
    *out_self = self;
    return rc;
}

/* Gives *out_members. */
static int plan_members(const struct restore_options *options, struct membership **out_members,
                        const struct member **out_self, struct err *err)
{
    struct membership *members;
    int rc = membership_parse_initial(options->initial_cluster, options->initial_cluster_token,
                                      MEMBERSHIP_LEARNERS_DEFAULT, &members, err);
    if (rc != 0) {
        return err_wrap(err, rc, "--initial-cluster");
    }
    if (membership_count(members) > RAFT_MEMBERS_MAX) {
        rc = err_set(err, E_INVALID, "--initial-cluster names more than %u members",
                     RAFT_MEMBERS_MAX);
    }
    if (rc == 0) {
        rc = check_self(options, members, out_self, err);
    }
    if (rc != 0) {
        membership_free(members);
        return rc;
    }
    *out_members = members;
    return 0;
}

int restore_check(const struct restore_options *options, struct err *err)
{
    struct membership *members;
    const struct member *self;
    int rc = plan_members(options, &members, &self, err);
    if (rc == 0) {
        membership_free(members);
    }
    return rc;
}

/* ---- the places ---- */

struct names {
    char **items;
    size_t count;
};

static void note_name(void *ctx, const char *name)
{
    struct names *names = ctx;
    names->items = mem_realloc(names->items, (names->count + 1) * sizeof(*names->items));
    names->items[names->count++] = str_dup(name);
}

static void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        mem_free(names->items[i]);
    }
    mem_free(names->items);
}

static int list_names(const struct disk_seam *disk, const char *dir, struct names *out_names)
{
    *out_names = (struct names){0};
    return disk->list_dir(disk->ctx, dir, note_name, out_names);
}

/* Only what this file makes is handed to it: *.part, and a directory that was absent. */
static void remove_tree(const struct disk_seam *disk, const char *path, unsigned depth)
{
    struct names names;
    if (depth < REMOVE_DEPTH_MAX && list_names(disk, path, &names) == 0) {
        for (size_t i = 0; i < names.count; i++) {
            char *inner = str_printf("%s/%s", path, names.items[i]);
            remove_tree(disk, inner, depth + 1);
            mem_free(inner);
        }
        names_free(&names);
    }
    (void)disk->remove(disk->ctx, path);
}

/* Absent, or with nothing in it but what a restore that was cut left. */
static int check_data_dir(struct restore *restore)
{
    const char *dir = restore->options->data_dir;
    struct names names;
    int rc = list_names(restore->disk, dir, &names);
    restore->made_data_dir = rc == E_NOT_FOUND;
    if (rc == 0 &&
        (names.count > 1 || (names.count == 1 && strcmp(names.items[0], PART_NAME) != 0))) {
        rc = E_EXISTS;
    }
    names_free(&names);
    if (rc == E_EXISTS) {
        return err_set(restore->err, rc, "data-dir \"%s\" is not empty: a restore makes a new one",
                       dir);
    }
    return rc == 0 || rc == E_NOT_FOUND
               ? 0
               : err_set(restore->err, rc, "data-dir \"%s\" could not be read: %s", dir,
                         err_code_text(rc));
}

static void ignore_name(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
}

static int check_wal_dir(struct restore *restore)
{
    const char *dir = restore->options->wal_dir;
    if (restore->wal_part == NULL) {
        return 0;
    }
    int rc = restore->disk->list_dir(restore->disk->ctx, dir, ignore_name, NULL);
    if (rc == 0) {
        return err_set(restore->err, E_EXISTS, "wal-dir \"%s\" exists", dir);
    }
    return rc == E_NOT_FOUND ? 0
                             : err_set(restore->err, rc, "wal-dir \"%s\" could not be read: %s",
                                       dir, err_code_text(rc));
}

/* ---- the snapshot ---- */

static int check_hash(struct restore *restore)
{
    const char *path = restore->options->snapshot_path;
    uint64_t size = 0;
    int rc = disk_size_of(restore->disk, path, &size);
    if (rc != 0) {
        return err_set(restore->err, rc, "open %s: %s", path, err_code_text(rc));
    }
    if (restore->options->skip_hash_check) {
        return 0;
    }
    if (!bolt_size_has_sha(size)) {
        return err_set(restore->err, E_CORRUPT,
                       "%s: snapshot missing hash but --skip-hash-check=false (a database that "
                       "was copied has none)",
                       path);
    }
    return bolt_verify_sha256(restore->disk, path, restore->err);
}

static int note_item(void *ctx, enum store_table table, struct bytes key, struct bytes value)
{
    struct restore *restore = ctx;
    struct revision revision;
    int rc = bolt_check_version(table, key, value, restore->err);
    if (rc != 0 || table != STORE_KEY) {
        return rc;
    }
    if (revision_decode(key, &revision) != 0) {
        return err_set(restore->err, E_CORRUPT, "a key of bucket key is no revision");
    }
    restore->revision = BASE_MAX(restore->revision, revision.main);
    restore->key_records++;
    return 0;
}

static int read_snapshot(struct restore *restore)
{
    int rc =
        bolt_read(restore->disk, restore->options->snapshot_path, note_item, restore, restore->err);
    if (rc == 0 && restore->options->bump_revision > (uint64_t)(INT64_MAX - restore->revision)) {
        return err_set(restore->err, E_INVALID,
                       "--bump-revision %" PRIu64 " goes past the last revision there can be",
                       restore->options->bump_revision);
    }
    return rc == 0 ? 0 : err_wrap(restore->err, rc, "restore %s", restore->options->snapshot_path);
}

/* ---- the database ---- */

/* What tells of the old cluster. Its version goes too: the new one decides on its own. */
static bool tells_of_old_cluster(enum store_table table, struct bytes key)
{
    return table == STORE_MEMBERS || table == STORE_MEMBERS_REMOVED || table == STORE_CLUSTER ||
           (table == STORE_META && bytes_equal(key, bytes_of_str(STORE_META_TERM)));
}

static void put_number(struct store_batch *batch, const char *name, uint64_t number)
{
    uint8_t value[sizeof(number)];
    put_be64(value, number);
    store_batch_put(batch, STORE_META, bytes_of_str(name), bytes_of(value, sizeof(value)));
}

/* An empty record lifts the revision, and everything up to it counts as compacted. */
static void bump(struct restore *restore)
{
    uint8_t key[REVISION_KEY_BYTES_MAX];
    struct revision revision = {.main = restore->revision};
    if (restore->options->bump_revision == 0) {
        return;
    }
    restore->revision += (int64_t)restore->options->bump_revision;
    revision.main = restore->revision;
    struct bytes encoded = bytes_of(key, revision_encode(revision, key));
    store_batch_put(&restore->puts, STORE_KEY, encoded, bytes_of("", 0));
    store_batch_put(&restore->puts, STORE_META, bytes_of_str(MVCC_META_SCHEDULED_COMPACT), encoded);
}

static struct raft_snapshot_mark mark_of(const struct restore *restore)
{
    return (struct raft_snapshot_mark){.index = membership_count(restore->members),
                                       .term = FOUNDERS_TERM,
                                       .conf_state = founders_conf_state(restore->members)};
}

static int write_db(struct restore *restore, uint64_t *out_bytes)
{
    struct raft_snapshot_mark mark = mark_of(restore);
    struct bolt_changes changes = {tells_of_old_cluster, &restore->puts};
    membership_store(restore->members, &restore->puts);
    cluster_store_conf_state(&restore->puts, &mark.conf_state);
    put_number(&restore->puts, STORE_META_CONSISTENT_INDEX, mark.index);
    put_number(&restore->puts, STORE_META_TERM, mark.term);
    bump(restore);
    return bolt_rewrite(restore->disk, restore->options->snapshot_path, restore->db_path, &changes,
                        BOLT_PLAIN, out_bytes, restore->err);
}

/* ---- the log ---- */

static int write_log(struct restore *restore)
{
    struct raft_snapshot_mark mark = mark_of(restore);
    struct wal_metadata metadata = {restore->self->id, membership_cluster_id(restore->members)};
    struct wal_options options = {.disk = restore->disk,
                                  .dir = restore->wal_build,
                                  .segment_bytes = restore->options->wal_segment_bytes};
    struct wal *wal;
    struct buf data;
    int rc = wal_create(&options, &metadata, &wal, restore->err);
    if (rc != 0) {
        return rc;
    }
    rc = founders_write(wal, restore->members);
    if (rc == 0) { /* the file first: the record says that it counts */
        buf_init(&data, BUF_NO_LIMIT);
        membership_v2_encode(restore->members, &data);
        rc = snapfile_save(restore->disk, restore->snap_dir, &mark, buf_bytes(&data), NULL);
        buf_free(&data);
    }
    if (rc == 0) {
        rc = wal_save_mark(wal, &mark);
    }
    wal_close(wal);
    return rc == 0 ? 0
                   : err_set(restore->err, rc, "write the log in %s: %s", restore->wal_build,
                             err_code_text(rc));
}

/* ---- all of it ---- */

static int make_folder(struct restore *restore, const char *path)
{
    int rc = restore->disk->make_dir(restore->disk->ctx, path);
    return rc == 0 ? 0
                   : err_set(restore->err, rc, "make directory %s: %s", path, err_code_text(rc));
}

static int make_folders(struct restore *restore)
{
    remove_tree(restore->disk, restore->part, 0); /* of a restore that was cut */
    int rc = datadir_make(restore->disk, restore->options->data_dir, restore->err);
    if (rc == 0 && restore->wal_part != NULL) {
        remove_tree(restore->disk, restore->wal_part, 0);
        rc = datadir_make(restore->disk, restore->wal_part, restore->err);
    }
    if (rc == 0) {
        rc = make_folder(restore, restore->part);
    }
    return rc == 0 ? make_folder(restore, restore->snap_dir) : rc;
}

/* Database and log may lie on one disk: the room for both is looked at before either is written. */
static int check_room(struct restore *restore)
{
    const struct disk_seam *disk = restore->disk;
    const char *dir = restore->wal_part != NULL ? restore->wal_part : restore->part;
    uint64_t segment = restore->options->wal_segment_bytes;
    uint64_t wanted = segment == 0 ? WAL_SEGMENT_BYTES_DEFAULT : segment;
    uint64_t free_bytes = 0;
    int rc = disk->free_bytes(disk->ctx, dir, &free_bytes);
    if (rc != 0) {
        return err_set(restore->err, rc, "free space in %s: %s", dir, err_code_text(rc));
    }
    return free_bytes > wanted
               ? 0
               : err_set(restore->err, E_NO_SPACE,
                         "the log needs %" PRIu64 " bytes and there are %" PRIu64 " free in %s",
                         wanted, free_bytes, dir);
}

static int sync_folder(struct restore *restore, const char *path)
{
    int rc = restore->disk->sync_dir(restore->disk->ctx, path);
    return rc == 0 ? 0 : err_set(restore->err, rc, "flush %s: %s", path, err_code_text(rc));
}

static int rename_to(struct restore *restore, const char *from, const char *to)
{
    int rc = restore->disk->rename(restore->disk->ctx, from, to);
    return rc == 0 ? 0
                   : err_set(restore->err, rc, "rename %s to %s: %s", from, to, err_code_text(rc));
}

/* The log, where it lives apart, gets its name before the member does. */
static int publish(struct restore *restore)
{
    const struct restore_options *options = restore->options;
    char *member = str_printf("%s/" MEMBER_NAME, options->data_dir);
    int rc = sync_folder(restore, restore->snap_dir);
    if (rc == 0) {
        rc = sync_folder(restore, restore->part);
    }
    bool is_apart = restore->wal_part != NULL;
    if (rc == 0 && is_apart) {
        rc = rename_to(restore, restore->wal_build, options->wal_dir);
        remove_tree(restore->disk, restore->wal_part, 0);
    }
    if (rc == 0 && is_apart) {
        char *parent = wal_path_parent(options->wal_dir);
        rc = sync_folder(restore, parent);
        mem_free(parent);
    }
    if (rc == 0) {
        rc = rename_to(restore, restore->part, member);
    }
    if (rc == 0) {
        rc = sync_folder(restore, options->data_dir);
        if (rc != 0) {
            remove_tree(restore->disk, member, 0);
        }
    }
    if (rc != 0 && is_apart) {
        remove_tree(restore->disk, options->wal_dir, 0);
    }
    mem_free(member);
    return rc;
}

static int build(struct restore *restore, uint64_t *out_bytes)
{
    int rc = make_folders(restore);
    if (rc == 0) {
        rc = check_room(restore);
    }
    if (rc == 0) {
        rc = write_log(restore);
    }
    if (rc == 0) {
        rc = write_db(restore, out_bytes);
    }
    if (rc == 0) {
        rc = publish(restore);
    }
    if (rc != 0) {
        remove_tree(restore->disk, restore->part, 0);
        if (restore->wal_part != NULL) {
            remove_tree(restore->disk, restore->wal_part, 0);
        }
        if (restore->made_data_dir) {
            (void)restore->disk->remove(restore->disk->ctx, restore->options->data_dir);
        }
    }
    return rc;
}

static void name_places(struct restore *restore)
{
    const struct restore_options *options = restore->options;
    restore->part = str_printf("%s/" PART_NAME, options->data_dir);
    restore->snap_dir = str_printf("%s/snap", restore->part);
    restore->db_path = str_printf("%s/db", restore->snap_dir);
    if (options->wal_dir != NULL && options->wal_dir[0] != '\0') {
        restore->wal_part = str_printf("%s.part", options->wal_dir);
        /* One deeper, so that the side mark beside the log is not left beside WAL. */
        restore->wal_build = str_printf("%s/wal", restore->wal_part);
    } else {
        restore->wal_build = str_printf("%s/wal", restore->part);
    }
}

static int run(struct restore *restore, struct restore_result *out_result)
{
    uint64_t db_bytes = 0;
    int rc = check_data_dir(restore);
    if (rc == 0) {
        rc = check_wal_dir(restore);
    }
    if (rc == 0) {
        rc = check_hash(restore);
    }
    if (rc == 0) {
        rc = read_snapshot(restore);
    }
    if (rc == 0) {
        rc = build(restore, &db_bytes);
    }
    if (rc == 0) {
        *out_result = (struct restore_result){
            .member_id = restore->self->id,
            .cluster_id = membership_cluster_id(restore->members),
            .member_count = membership_count(restore->members),
            .revision = restore->revision,
            .key_records = restore->key_records,
            .db_bytes = db_bytes,
        };
    }
    return rc;
}

int restore_run(const struct disk_seam *disk, const struct restore_options *options,
                struct restore_result *out_result, struct err *err)
{
    struct err unread;
    struct restore restore = {.disk = disk, .options = options, .err = err != NULL ? err : &unread};
    int rc = plan_members(options, &restore.members, &restore.self, err);
    if (rc != 0) {
        return rc;
    }
    store_batch_init(&restore.puts);
    name_places(&restore);
    rc = run(&restore, out_result);
    store_batch_free(&restore.puts);
    membership_free(restore.members);
    mem_free(restore.part);
    mem_free(restore.snap_dir);
    mem_free(restore.db_path);
    mem_free(restore.wal_part);
    mem_free(restore.wal_build);
    return rc;
}
