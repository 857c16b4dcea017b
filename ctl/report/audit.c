/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of each bucket. The history of a key: a version counts from one at its creation, each
 * change adds one; what a compaction took away may be missing, and only that.
 */
#include "ctl/report/audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/map.h"
#include "ctl/report/audit_words.h"
#include "engine/mvcc/auth.h"
#include "engine/mvcc/keyvalue.h"
#include "engine/mvcc/mvcc.h"
#include "engine/mvcc/store.h"
#include "engine/proto/codec.h"
#include "auth.pb-c.h"
#include "lease.pb-c.h"
#include "rpc.pb-c.h"

/* The newest record of a key that lives. */
struct live_key {
    int64_t create_revision, version, lease;
};

struct audit {
    enum store_table table;
    bool is_known;
    struct map live;   /* key -> struct live_key */
    struct map leases; /* id */
    struct map roles, members;
    int64_t revision;  /* of the newest record */
    int64_t compacted; /* everything up to it may be gone */
    int64_t orphan;    /* the newest record whose predecessor is not there */
    bool auth_enabled, has_root, has_index;
    size_t count;
    char *findings[AUDIT_FINDINGS_MAX];
};

struct audit *audit_new(void)
{
    struct audit *audit = mem_zalloc(sizeof(*audit));
    map_init(&audit->live);
    map_init(&audit->leases);
    map_init(&audit->roles);
    map_init(&audit->members);
    return audit;
}

void audit_free(struct audit *audit)
{
    size_t cursor = 0;
    void *value;
    if (audit == NULL) {
        return;
    }
    while (map_next(&audit->live, &cursor, NULL, &value)) {
        mem_free(value);
    }
    map_free(&audit->live);
    map_free(&audit->leases);
    map_free(&audit->roles);
    map_free(&audit->members);
    for (size_t i = 0; i < BASE_MIN(audit->count, AUDIT_FINDINGS_MAX); i++) {
        mem_free(audit->findings[i]);
    }
    mem_free(audit);
}

size_t audit_count(const struct audit *audit)
{
    return audit->count;
}

const char *audit_finding(const struct audit *audit, size_t index)
{
    return audit->findings[index];
}

static void say(struct audit *audit, const char *format, ...) BASE_PRINTF(2, 3);

static void say(struct audit *audit, const char *format, ...)
{
    if (audit->count < AUDIT_FINDINGS_MAX) {
        va_list args;
        va_start(args, format);
        audit->findings[audit->count] = str_vprintf(format, args);
        va_end(args);
    }
    audit->count++;
}

/* ---- the key space ---- */

static void check_tombstone(struct audit *audit, const struct revision *revision,
                            const struct keyvalue *kv, struct live_key *known)
{
    if (known == NULL) {
        audit->orphan = revision->main;
    }
    mem_free(map_remove(&audit->live, kv->key));
}

/* Whether the record follows from the one before it. */
static void check_change(struct audit *audit, const struct revision *revision,
                         const struct keyvalue *kv, const struct live_key *known)
{
    struct audit_words words;
    if (kv->mod_revision != revision->main) {
        say(audit, "revision %" PRId64 ": the record of key %s says revision %" PRId64,
            revision->main, audit_words_of(kv->key, &words), kv->mod_revision);
    }
    if (kv->version < 1 || kv->create_revision < 1 || kv->create_revision > revision->main) {
        say(audit,
            "revision %" PRId64 ": key %s has version %" PRId64 " and create revision %" PRId64,
            revision->main, audit_words_of(kv->key, &words), kv->version, kv->create_revision);
    } else if (known != NULL && (kv->version != known->version + 1 ||
                                 kv->create_revision != known->create_revision)) {
        say(audit,
            "revision %" PRId64 ": key %s goes from version %" PRId64 " to %" PRId64
            ": its history has a hole",
            revision->main, audit_words_of(kv->key, &words), known->version, kv->version);
    } else if (known == NULL && kv->version > 1) {
        audit->orphan = revision->main;
    } else if (known == NULL && kv->create_revision != revision->main) {
        say(audit, "revision %" PRId64 ": key %s is new and was created at %" PRId64,
            revision->main, audit_words_of(kv->key, &words), kv->create_revision);
    }
}

static void check_record(struct audit *audit, struct bytes key, struct bytes value)
{
    struct revision revision;
    struct keyvalue kv;
    if (revision_decode(key, &revision) != 0 || revision.main < 1) {
        say(audit, "bucket key: a key of %zu bytes is no revision", key.size);
        return;
    }
    audit->revision = revision.main;
    if (value.size == 0) {
        return; /* what --bump-revision puts in: it only lifts the revision */
    }
    if (keyvalue_decode(value, &kv) != 0 || kv.key.size == 0) {
        say(audit, "revision %" PRId64 ": the record cannot be read", revision.main);
        return;
    }
    struct live_key *known = map_get(&audit->live, kv.key);
    if (revision.tombstone) {
        check_tombstone(audit, &revision, &kv, known);
        return;
    }
    check_change(audit, &revision, &kv, known);
    if (known == NULL) {
        known = mem_zalloc(sizeof(*known));
        map_set(&audit->live, kv.key, known);
    }
    *known = (struct live_key){kv.create_revision, kv.version, kv.lease};
}

/* ---- the other buckets ---- */

static void check_meta(struct audit *audit, struct bytes key, struct bytes value)
{
    struct revision revision;
    struct err err;
    if (bytes_equal(key, bytes_of_str(STORE_META_CONSISTENT_INDEX)) ||
        bytes_equal(key, bytes_of_str(STORE_META_TERM))) {
        audit->has_index = audit->has_index || key.size > strlen(STORE_META_TERM);
        if (value.size != sizeof(uint64_t)) {
            say(audit, "bucket meta: %.*s is no number", (int)key.size, (const char *)key.data);
        }
    } else if (bytes_equal(key, bytes_of_str(MVCC_META_SCHEDULED_COMPACT)) ||
               bytes_equal(key, bytes_of_str(MVCC_META_FINISHED_COMPACT))) {
        if (revision_decode(value, &revision) != 0 || revision.main > audit->revision) {
            say(audit, "bucket meta: %.*s is no revision of this file", (int)key.size,
                (const char *)key.data);
        } else {
            audit->compacted = BASE_MAX(audit->compacted, revision.main);
        }
    } else if (bytes_equal(key, bytes_of_str("confState"))) {
        struct json *json = json_parse((const char *)value.data, value.size, &err);
        if (json_count(json_get(json, "voters")) == 0) {
            say(audit, "bucket meta: confState names no voters");
        }
        json_free(json);
    }
}

static void check_lease(struct audit *audit, struct bytes key, struct bytes value)
{
    Leasepb__Lease *lease = NULL;
    struct arena arena;
    arena_init(&arena, proto_arena_limit(value.size));
    if (key.size != sizeof(uint64_t) || PROTO_UNPACK(leasepb__lease, value, &arena, &lease) != 0 ||
        lease->id != (int64_t)get_be64(key.data)) {
        say(audit, "bucket lease: a lease that cannot be read, or under another id");
    } else {
        map_set(&audit->leases, key, audit);
    }
    arena_free(&arena);
}

static void check_alarm(struct audit *audit, struct bytes key)
{
    Etcdserverpb__AlarmMember *alarm = NULL;
    struct arena arena;
    arena_init(&arena, proto_arena_limit(key.size));
    if (PROTO_UNPACK(etcdserverpb__alarm_member, key, &arena, &alarm) != 0) {
        say(audit, "bucket alarm: an alarm that cannot be read");
    }
    arena_free(&arena);
}

static void check_auth(struct audit *audit, struct bytes key, struct bytes value)
{
    if (bytes_equal(key, bytes_of_str(AUTH_META_ENABLED))) {
        if (value.size != 1 || value.data[0] > 1) {
            say(audit, "bucket auth: authEnabled is neither on nor off");
        }
        audit->auth_enabled = value.size == 1 && value.data[0] == 1;
    } else if (bytes_equal(key, bytes_of_str(AUTH_META_REVISION)) &&
               value.size != sizeof(uint64_t)) {
        say(audit, "bucket auth: authRevision is no number");
    }
}

static void check_role(struct audit *audit, struct bytes key, struct bytes value)
{
    Authpb__Role *role = NULL;
    struct audit_words words;
    struct arena arena;
    arena_init(&arena, proto_arena_limit(value.size));
    if (PROTO_UNPACK(authpb__role, value, &arena, &role) != 0 ||
        !bytes_equal(key, bytes_of(role->name.data, role->name.len))) {
        say(audit, "bucket authRoles: role %s cannot be read, or has another name",
            audit_words_of(key, &words));
    } else {
        map_set(&audit->roles, key, audit);
    }
    arena_free(&arena);
}

static void check_user(struct audit *audit, struct bytes key, struct bytes value)
{
    Authpb__User *user = NULL;
    struct audit_words words;
    struct arena arena;
    arena_init(&arena, proto_arena_limit(value.size));
    if (PROTO_UNPACK(authpb__user, value, &arena, &user) != 0 ||
        !bytes_equal(key, bytes_of(user->name.data, user->name.len))) {
        say(audit, "bucket authUsers: user %s cannot be read, or has another name",
            audit_words_of(key, &words));
        arena_free(&arena);
        return;
    }
    for (size_t i = 0; i < user->n_roles; i++) {
        if (map_get(&audit->roles, bytes_of_str(user->roles[i])) == NULL) {
            say(audit, "bucket authUsers: user %s has role %s, which is not there",
                audit_words_of(key, &words), user->roles[i]);
        }
    }
    audit->has_root = audit->has_root || bytes_equal(key, bytes_of_str("root"));
    arena_free(&arena);
}

static void check_member(struct audit *audit, struct bytes key, struct bytes value)
{
    struct audit_words words;
    struct err err;
    struct json *json = json_parse((const char *)value.data, value.size, &err);
    if (json_count(json_get(json, "peerURLs")) == 0) {
        say(audit, "bucket members: member %s cannot be read, or has no peer URLs",
            audit_words_of(key, &words));
    }
    map_set(&audit->members, key, audit);
    json_free(json);
}

static void check_removed(struct audit *audit, struct bytes key)
{
    struct audit_words words;
    if (map_get(&audit->members, key) != NULL) {
        say(audit, "bucket members_removed: member %s is there and removed",
            audit_words_of(key, &words));
    }
}

/* ---- all of it ---- */

int audit_bucket(void *ctx, struct bytes name)
{
    struct audit *audit = ctx;
    audit->is_known = false;
    for (unsigned i = 0; i < STORE_TABLE_COUNT; i++) {
        if (bytes_equal(name, bytes_of_str(store_table_name((enum store_table)i)))) {
            audit->table = (enum store_table)i;
            audit->is_known = true;
        }
    }
    return 0;
}

static void check_item(struct audit *audit, struct bytes key, struct bytes value)
{
    switch (audit->table) {
    case STORE_KEY:
        check_record(audit, key, value);
        break;
    case STORE_META:
        check_meta(audit, key, value);
        break;
    case STORE_LEASE:
        check_lease(audit, key, value);
        break;
    case STORE_ALARM:
        check_alarm(audit, key);
        break;
    case STORE_AUTH:
        check_auth(audit, key, value);
        break;
    case STORE_AUTH_ROLES:
        check_role(audit, key, value);
        break;
    case STORE_AUTH_USERS:
        check_user(audit, key, value);
        break;
    case STORE_MEMBERS:
        check_member(audit, key, value);
        break;
    case STORE_MEMBERS_REMOVED:
        check_removed(audit, key);
        break;
    case STORE_CLUSTER:
    case STORE_TABLE_COUNT:
        break;
    }
}

int audit_item(void *ctx, struct bytes bucket, struct bytes key, struct bytes value)
{
    struct audit *audit = ctx;
    struct audit_words words;
    if (value.data == NULL) {
        say(audit, "bucket %s: a bucket inside of it", audit_words_of(bucket, &words));
    } else if (audit->is_known) {
        check_item(audit, key, value);
    }
    return 0;
}

void audit_end(struct audit *audit)
{
    struct audit_words words;
    size_t cursor = 0;
    struct bytes key;
    void *value;
    if (audit->orphan > audit->compacted) {
        say(audit,
            "revision %" PRId64 " changes a key whose history is not there, and only revisions up "
            "to %" PRId64 " were compacted",
            audit->orphan, audit->compacted);
    }
    while (map_next(&audit->live, &cursor, &key, &value)) {
        const struct live_key *live = value;
        uint8_t id[sizeof(uint64_t)];
        put_be64(id, (uint64_t)live->lease);
        if (live->lease != 0 && map_get(&audit->leases, bytes_of(id, sizeof(id))) == NULL) {
            say(audit, "key %s has lease %" PRIx64 ", which is not there",
                audit_words_of(key, &words), (uint64_t)live->lease);
        }
    }
    if (audit->auth_enabled && !audit->has_root) {
        say(audit, "auth is on and there is no user root");
    }
    if (!audit->has_index) {
        say(audit, "bucket meta: there is no consistent_index");
    }
}
