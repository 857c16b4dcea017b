/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lessor: leases, the keys attached to them, and when they end. Pure: time is an argument
 * (milliseconds of a monotonic clock), for the state thread.
 * What it guarantees: grants, revokes, checkpoints and attachments depend on the log alone, so that
 * all members agree; only the primary (the Raft leader's) counts time, and it only ever proposes: a
 * lease ends when its revoke is applied. A lease never lives shorter than its TTL after a renewal
 * or, without a checkpoint, after a change of primary.
 */
#ifndef ENGINE_MVCC_LEASE_H
#define ENGINE_MVCC_LEASE_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"
#include "engine/mvcc/mvcc.h"
#include "engine/mvcc/store.h"
#include "engine/proto/etcd_error.h"

#define LEASE_NONE 0

/* The longest TTL that is granted, in seconds. */
#define LEASE_TTL_MAX 9000000000

/* How often the server asks for expired leases, and how many per second it may revoke. */
#define LEASE_CHECK_INTERVAL_MS  500
#define LEASE_REVOKES_PER_SECOND 1000u

/* A lease that was given by lessor_expired and is still there is given again after this. */
#define LEASE_EXPIRED_RETRY_MS 3000

/* Checkpoints: how often per lease, and how many go into one log entry. */
#define LEASE_CHECKPOINT_INTERVAL_MS (5 * 60 * 1000)
#define LEASE_CHECKPOINT_BATCH_MAX   1000u

struct lessor; /* opaque */

struct lessor_config {
    int64_t min_ttl_s;              /* shorter grants are raised to it; see lessor_min_ttl_s */
    bool checkpoints;               /* the primary schedules checkpoints */
    int64_t checkpoint_interval_ms; /* 0: LEASE_CHECKPOINT_INTERVAL_MS */
    bool persist_checkpoints;       /* at first; see lessor_set_persist_checkpoints */
    uint64_t seed;                  /* unguessable, not 0: clients choose the ids and the keys */
};

/* etcd's rule: one and a half election timeouts, rounded up to ticks and then to seconds. */
int64_t lessor_min_ttl_s(int64_t tick_ms, int64_t election_ticks);

/* Makes an empty lessor that is not primary. */
struct lessor *lessor_new(const struct lessor_config *config);
void lessor_free(struct lessor *lessor);

/*
 * Replaces all leases by those of table lease as the view holds them; attachments are dropped and
 * come again through the hook when the key space is opened. Not primary afterwards. 0, E_CORRUPT or
 * the store's error.
 */
BASE_MUST_CHECK int lessor_load(struct lessor *lessor, const struct store_seam *seam,
                                struct store_view *view, struct err *err);

/* From cluster version 3.6 on a checkpoint is stored; before only when configured. */
void lessor_set_persist_checkpoints(struct lessor *lessor, bool persist);

/* What mvcc_open takes. Attaching to an unknown lease and detaching a key that is not attached are
 * ignored. ctx is the lessor. */
struct mvcc_lease_hook lessor_hook(struct lessor *lessor);

/* For kv_env.lease_exists. */
bool lessor_exists(void *lessor, int64_t id);

size_t lessor_count(const struct lessor *lessor);

/* ---- applied from the log; batch takes what must be stored ---- */

/*
 * Grants. *out_ttl_s is what was granted, at least the minimum. id 0 gives
 * ETCD_ERR_LEASE_NOT_FOUND: the server picks an id (lease_id_candidate) before it proposes. Else
 * ETCD_ERR_LEASE_TTL_TOO_LARGE, ETCD_ERR_LEASE_EXIST.
 */
enum etcd_error lessor_grant(struct lessor *lessor, int64_t id, int64_t ttl_s, int64_t now_ms,
                             struct store_batch *batch, int64_t *out_ttl_s);

/* The attached keys, sorted, or ETCD_ERR_LEASE_NOT_FOUND. Copied into arena, which needs no limit.
 */
enum etcd_error lessor_keys(const struct lessor *lessor, int64_t id, struct arena *arena,
                            struct bytes **out_keys, size_t *out_count);

/*
 * Takes the lease away. The caller reads lessor_keys first and deletes them in one transaction, in
 * that order, with the same batch.
 */
enum etcd_error lessor_revoke(struct lessor *lessor, int64_t id, struct store_batch *batch);

/* Sets the remaining TTL (0: the full TTL counts again). An unknown lease is ignored. */
void lessor_checkpoint(struct lessor *lessor, int64_t id, int64_t remaining_ttl_s, int64_t now_ms,
                       struct store_batch *batch);

/* The lease that key is attached to, or LEASE_NONE. */
int64_t lessor_lease_of(const struct lessor *lessor, struct bytes key);

/* Turns a random number into an id that is positive and free; give another number while it is 0. */
int64_t lease_id_candidate(const struct lessor *lessor, uint64_t random);

/* ---- reads ---- */

struct lease_times {
    int64_t ttl_s;       /* granted */
    int64_t remaining_s; /* whole seconds left, not below 0; meaningful on the primary only */
    bool is_counting;    /* false: not primary, ask the leader */
};

enum etcd_error lessor_times(const struct lessor *lessor, int64_t id, int64_t now_ms,
                             struct lease_times *out_times);

/* All ids, the first to expire first (by id where nothing expires), in arena memory. */
void lessor_list(const struct lessor *lessor, struct arena *arena, int64_t **out_ids,
                 size_t *out_count);

/* ---- the primary ---- */

/*
 * Becomes primary: every lease gets its TTL (or its checkpointed rest) plus extend_ms from now.
 * Where many would end together, the later ones are put off so that fewer than
 * LEASE_REVOKES_PER_SECOND end in any second.
 */
void lessor_promote(struct lessor *lessor, int64_t now_ms, int64_t extend_ms);

/* Stops counting: nothing expires until the next promotion. */
void lessor_demote(struct lessor *lessor);
bool lessor_is_primary(const struct lessor *lessor);

enum lease_renewal {
    LEASE_RENEWED,
    LEASE_RENEW_NOT_FOUND,   /* answer TTL 0 */
    LEASE_RENEW_NOT_PRIMARY, /* ask the leader */
    LEASE_RENEW_CHECKPOINT,  /* propose the checkpoint (id, 0), then ask again once it is applied */
    LEASE_RENEW_EXPIRED, /* ended, revoke under way: ask again when the lease is gone or at demotion
                          */
};

/* Starts the TTL anew; *out_ttl_s is written with LEASE_RENEWED only. */
enum lease_renewal lessor_renew(struct lessor *lessor, int64_t id, int64_t now_ms,
                                int64_t *out_ttl_s);

/* Gives up to max ids that have ended, for the server to propose their revokes. None off the
 * primary. */
size_t lessor_expired(struct lessor *lessor, int64_t now_ms, int64_t *out_ids, size_t max);

/* When lessor_expired or lessor_checkpoints_due has something to give; INT64_MAX: nothing in sight.
 */
int64_t lessor_next_deadline_ms(const struct lessor *lessor);

struct lease_rest {
    int64_t id;
    int64_t remaining_ttl_s;
};

/* Gives up to max checkpoints that are due, for the server to propose as one entry. */
size_t lessor_checkpoints_due(struct lessor *lessor, int64_t now_ms, struct lease_rest *out_rests,
                              size_t max);

#endif
