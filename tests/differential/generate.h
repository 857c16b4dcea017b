/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random client operations from a seed, made so that they meet: few keys, few leases, revisions
 * near the newest and near the compacted one, and every way of being wrong that etcd has a word
 * for.
 */
#ifndef TESTS_DIFFERENTIAL_GENERATE_H
#define TESTS_DIFFERENTIAL_GENERATE_H

#include "base/arena.h"
#include "base/rng.h"
#include "engine/proto/rpc.pb-c.h"
#include "tests/differential/ops.h"

/* What is known of the servers when an operation is made. */
struct generate_seen {
    int64_t revision, compacted;
    bool has_compacted; /* since the last HashKV */
    bool is_auth_on;
};

struct generate {
    struct rng rng;
    struct arena arena; /* of the operation that is made */
    struct generate_seen seen;
    uint64_t counter;
    struct op_list script; /* comes before anything random */
    size_t script_at;
    enum op_user user; /* who asks for the operation that is made */
    uint64_t alarm_left, url_count;
    int64_t short_lease; /* granted for seconds: revoked by the next operation; 0: none */
    /* Leaves out what etcd 3.4 cannot do: sort options that do not exist stop it, and it answers a
     * progress request before the events, so that nobody knows when a watch has told everything. */
    bool spares_old;
};

void generate_init(struct generate *gen, uint64_t seed);
void generate_free(struct generate *gen);
/* Adds one operation to list. */
void generate_op(struct generate *gen, struct generate_seen seen, struct op_list *list);

/* ---- parts, for generate_txn.c ---- */

/* True once in count. */
bool generate_once_in(struct generate *gen, uint64_t count);
/* Uniform in [0, below). */
int64_t generate_below(struct generate *gen, int64_t below);
ProtobufCBinaryData generate_key(struct generate *gen);
ProtobufCBinaryData generate_end(struct generate *gen, ProtobufCBinaryData key);
/* Nobody can tell what etcd's tree of rights says to a range whose end is not behind its start. */
void generate_turn_round(ProtobufCBinaryData key, ProtobufCBinaryData *end);
ProtobufCBinaryData generate_value(struct generate *gen);
/* Key number of a folder of many, "bulk/007". */
ProtobufCBinaryData generate_bulk_key(struct generate *gen, int64_t number);
int64_t generate_lease(struct generate *gen);
int64_t generate_revision(struct generate *gen);
Etcdserverpb__PutRequest *generate_put(struct generate *gen);
Etcdserverpb__RangeRequest *generate_range(struct generate *gen);
Etcdserverpb__DeleteRangeRequest *generate_delete(struct generate *gen);
Etcdserverpb__TxnRequest *generate_txn(struct generate *gen, int depth);
void generate_watch(struct generate *gen, Etcdserverpb__WatchCreateRequest *out_watch);

/* ---- generate_auth.c ---- */

/* Begins and ends, by script, the times in which access control is on. */
void generate_phases(struct generate *gen);
void generate_auth(struct generate *gen, struct op_list *list);
enum op_user generate_user(struct generate *gen);

/* ---- generate_member.c ---- */

void generate_member(struct generate *gen, struct op_list *list);
void generate_alarm(struct generate *gen, struct op_list *list);
/* Puts the end of all alarms into the script. */
void generate_alarms_off(struct generate *gen);
void generate_stream(struct generate *gen, struct op_list *list);
void generate_sync(struct op_list *list);

#endif
