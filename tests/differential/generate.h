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
};

struct generate {
    struct rng rng;
    struct arena arena; /* of the operation that is made */
    struct generate_seen seen;
    uint64_t counter;
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
ProtobufCBinaryData generate_value(struct generate *gen);
/* Key number of a folder of many, "bulk/007". */
ProtobufCBinaryData generate_bulk_key(struct generate *gen, int64_t number);
int64_t generate_lease(struct generate *gen);
int64_t generate_revision(struct generate *gen);
Etcdserverpb__PutRequest *generate_put(struct generate *gen);
Etcdserverpb__RangeRequest *generate_range(struct generate *gen);
Etcdserverpb__DeleteRangeRequest *generate_delete(struct generate *gen);
Etcdserverpb__TxnRequest *generate_txn(struct generate *gen, int depth);

#endif
