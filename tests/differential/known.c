/* SPDX-License-Identifier: Apache-2.0 */
/* See known.h. */
#include "tests/differential/known.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/defs.h"
#include "engine/proto/rpc.pb-c.h"

#define TEXT_BYTES_MAX 512
#define IS_COMPACTED   "code 11: etcdserver: mvcc: required revision has been compacted"

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool has_no_hash_at_compacted(const struct op *op, const char *ours, const char *theirs)
{
    return op->kind == OP_HASH && starts(ours, "{") && strcmp(theirs, IS_COMPACTED) == 0;
}

/* The number behind " NAME: "; 0: it is not there. */
static long long number_of(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at == NULL ? 0 : strtoll(at + strlen(name), NULL, 10);
}

/* One has the compaction's own hash, the other one's compaction still runs: it gives a hash of what
 * is there. etcd keeps none, too, when the compaction before was not through. */
static bool is_being_compacted(const struct op *op, const char *ours, const char *theirs)
{
    long long revision = number_of(ours, "hash_revision: ");
    long long our_compacted = number_of(ours, "compact_revision: ");
    long long their_compacted = number_of(theirs, "compact_revision: ");
    return op->kind == OP_HASH && starts(ours, "{") && starts(theirs, "{") &&
           revision == number_of(theirs, "hash_revision: ") && our_compacted != their_compacted &&
           (our_compacted == revision || their_compacted == revision);
}

/* ---- access control ---- */

static bool is_refusal(const char *text)
{
    return strstr(text, "code = PermissionDenied") != NULL || /* of a watch: long texts are cut */
           strstr(text, "etcdserver: user name is empty") != NULL ||
           strstr(text, "etcdserver: invalid auth token") != NULL ||
           strstr(text, "etcdserver: permission denied") != NULL;
}

/* Reads that older etcd lets everybody do. (What they change is asked by root alone: generate.c.)
 */
static bool is_asked_since_fixes(const struct op *op, const char *ours, const char *theirs)
{
    bool fits = op->kind == OP_LEASES || op->kind == OP_TIME_TO_LIVE || op->kind == OP_KEEPALIVE ||
                op->kind == OP_MEMBER_LIST || op->kind == OP_WATCH || op->kind == OP_STATUS ||
                op->kind == OP_MOVE_LEADER;
    return fits && op->user != USER_ROOT && is_refusal(ours) && !is_refusal(theirs);
}

/* Status for every user, as the fixes left it; it was root's alone. */
static bool is_status_for_all(const struct op *op, const char *ours, const char *theirs)
{
    return op->kind == OP_STATUS && op->user != USER_ROOT && starts(ours, "{") &&
           is_refusal(theirs);
}

/* Both refuse, one for who asks and one for what is asked. */
static bool names_the_asker_first(const struct op *op, const char *ours, const char *theirs)
{
    return op->user != USER_ROOT && starts(ours, "code ") && starts(theirs, "code ") &&
           (is_refusal(ours) || is_refusal(theirs));
}

#define STABLE_COUNT_MAX 12 /* Go sorts up to so many by insertion, which is stable */

/* Keys that two permissions of a role share. */
static bool has_many_keys(const struct op *op, const char *ours, const char *theirs)
{
    size_t count = 0;
    for (const char *at = ours; op->kind == OP_ROLE_GET && at != NULL; count++) {
        at = strstr(at + 1, "perm: {");
    }
    return count > STABLE_COUNT_MAX && strlen(ours) == strlen(theirs);
}

static bool is_turned_round(ProtobufCBinaryData key, ProtobufCBinaryData end)
{
    return end.len > 0 && !(end.len == 1 && end.data[0] == 0) &&
           bytes_compare(bytes_of(key.data, key.len), bytes_of(end.data, end.len)) >= 0;
}

/* A range with nothing in it: etcd's tree of rights gives one answer or the other. */
static bool has_no_keys(const struct op *op, const char *ours, const char *theirs)
{
    if (op->user == USER_ROOT || is_refusal(ours) == is_refusal(theirs) ||
        (op->kind != OP_RANGE && op->kind != OP_DELETE)) {
        return false;
    }
    ProtobufCMessage *request = op_request(op);
    const Etcdserverpb__RangeRequest *range = (const Etcdserverpb__RangeRequest *)request;
    const Etcdserverpb__DeleteRangeRequest *removal =
        (const Etcdserverpb__DeleteRangeRequest *)request;
    bool fits = op->kind == OP_RANGE ? is_turned_round(range->key, range->range_end)
                                     : is_turned_round(removal->key, removal->range_end);
    protobuf_c_message_free_unpacked(request, NULL);
    return fits;
}

static bool has_no_list(const struct op *op, const char *ours, const char *theirs)
{
    return op->kind == OP_HEALTH_LIST && starts(ours, "{") && starts(theirs, "code 12: ");
}

/* clang-format off */
#define OF_EACH_RELEASE                                                                            \
    {"who asks and what is asked, both wrong", "one gate in front of all calls",                   \
     names_the_asker_first, true},                                                                 \
    {"a range whose end is not behind its start, without rights", "etcd's tree decides",           \
     has_no_keys, true},                                                                           \
    {"the order of a role's keys that are equal, beyond 12", "its sort is not stable there",       \
     has_many_keys, true}
/* clang-format on */

static const struct known OF_36[] = {
    {"HashKV at the compacted revision, while the compaction runs",
     "the compaction's hash comes at its end", is_being_compacted, true},
    {"reads of leases, members and watches without rights", "asked since its fixes of 2026",
     is_asked_since_fixes, false},
    {"List of the health service", "it came to etcd with a later patch release", has_no_list,
     false},
    {"Status for every user", "since its fixes of 2026", is_status_for_all, true},
    OF_EACH_RELEASE,
    {.name = NULL},
};

/* text without " NAME: NUMBER". Gives out. */
static const char *without_number(const char *text, const char *name, char *out, size_t size)
{
    const char *at = strstr(text, name);
    snprintf(out, size, "%s", text);
    if (at != NULL && strlen(text) < size) {
        const char *end = at + strlen(name);
        end += strspn(end, "-0123456789");
        snprintf(out + (at - text), size - (size_t)(at - text), "%s", end);
    }
    return out;
}

static bool has_no_hash_revision(const struct op *op, const char *ours, const char *theirs)
{
    char text[TEXT_BYTES_MAX];
    return op->kind == OP_HASH && strstr(theirs, "hash_revision") == NULL &&
           strcmp(without_number(ours, " hash_revision: ", text, sizeof(text)), theirs) == 0;
}

static bool tells_the_put_first(const struct op *op, const char *ours, const char *theirs)
{
    return op->kind == OP_TXN && starts(ours, "code 11: etcdserver: mvcc: required revision") &&
           (starts(theirs, "code 3: etcdserver: key not found") ||
            starts(theirs, "code 5: etcdserver: requested lease not found"));
}

/* text without the header in front of its fields. */
static const char *without_header(const char *text)
{
    const char *at = starts(text, "{header: {") ? strchr(text, '}') : NULL;
    return at == NULL ? "" : at + 1 + (at[1] == ' ' ? 1 : 0);
}

static bool has_no_header(const struct op *op, const char *ours, const char *theirs)
{
    static const char NONE[] = "no header {";
    return op->kind == OP_ALARM && starts(theirs, NONE) &&
           strcmp(without_header(ours), theirs + strlen(NONE)) == 0;
}

static bool has_no_news(const struct op *op, const char *ours, const char *theirs)
{
    const char *at = strstr(ours, " dbSizeQuota: ");
    return op->kind == OP_STATUS && at != NULL && starts(theirs, "{") &&
           strncmp(ours, theirs, (size_t)(at - ours)) == 0 &&
           strlen(theirs) == (size_t)(at - ours) + 1;
}

static bool has_no_root_keys(const struct op *op, const char *ours, const char *theirs)
{
    return op->kind == OP_ROLE_GET && starts(theirs, "{") &&
           strstr(ours, " perm: {permType: READWRITE range_end: \"\\x00\"}}") != NULL;
}

static const struct known OF_34[] = {
    {"HashKV without hash_revision", "the field came with 3.6", has_no_hash_revision, false},
    {"HashKV at the compacted revision", "3.4 answers only above the newest one, and keeps none",
     has_no_hash_at_compacted, false},
    {"a Txn with several mistakes names another one", "3.4 checks all puts before all ranges",
     tells_the_put_first, false},
    {"Alarm without a header", "3.4 leaves it out", has_no_header, false},
    {"RoleGet of root", "3.4 tells what is stored, which means nothing", has_no_root_keys, false},
    {"Status without what came later", "quota, downgrade", has_no_news, false},
    {"reads of leases, members and watches without rights", "asked since its fixes of 2026",
     is_asked_since_fixes, false},
    OF_EACH_RELEASE,
    {.name = NULL},
};

const struct known *known_of(const char *version)
{
    if (strcmp(version, "3.6") == 0) {
        return OF_36;
    }
    return strcmp(version, "3.4") == 0 ? OF_34 : NULL;
}
