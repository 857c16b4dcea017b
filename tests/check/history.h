/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A history: what clients asked a cluster, what came back and when, what watches brought, and what
 * members said of themselves. Recorders append records as things end (operations when they return;
 * any order of calls is good); check.h judges. The text form (README.md) has one line per record.
 *
 * Byte strings are kept once, as numbers that history_intern gives; HISTORY_EMPTY is "".
 */
#ifndef TESTS_CHECK_HISTORY_H
#define TESTS_CHECK_HISTORY_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

#define HISTORY_EMPTY     0u
#define HISTORY_DEPTH_MAX 8u               /* of transactions within transactions */
#define HISTORY_NEVER     UINT64_MAX       /* return_ns of what never returned */
#define HISTORY_TIME_MAX  (UINT64_MAX / 4) /* times stay below, so that sums do not overflow */

enum history_kind {
    HISTORY_PUT,
    HISTORY_DELETE,
    HISTORY_RANGE,
    HISTORY_TXN,
    HISTORY_COMPACT,
    HISTORY_GRANT,
    HISTORY_REVOKE,
    HISTORY_KEEPALIVE,
    HISTORY_TIME_TO_LIVE,
};

/*
 * UNKNOWN: it may have taken effect, at any time after its invocation, or not (timeout, connection
 * lost, leader lost, "request timed out"). FAILED: it certainly had no effect, now or later
 * (compare the codes below); when in doubt it is UNKNOWN.
 */
enum history_outcome { HISTORY_OK, HISTORY_UNKNOWN, HISTORY_FAILED };

/* Why it failed, where the checker judges that as well. */
enum history_error {
    HISTORY_ERROR_NONE,
    HISTORY_ERROR_COMPACTED,
    HISTORY_ERROR_FUTURE,          /* "required revision is a future revision" */
    HISTORY_ERROR_KEY_NOT_FOUND,   /* put with ignore_value or ignore_lease */
    HISTORY_ERROR_LEASE_NOT_FOUND, /* put, revoke */
    HISTORY_ERROR_LEASE_EXISTS,    /* grant */
    HISTORY_ERROR_OTHER,           /* refused before it was proposed, invalid, and so on */
};

enum history_target {
    HISTORY_TARGET_VERSION,
    HISTORY_TARGET_CREATE,
    HISTORY_TARGET_MOD,
    HISTORY_TARGET_VALUE,
    HISTORY_TARGET_LEASE,
};

enum history_result { HISTORY_EQUAL, HISTORY_GREATER, HISTORY_LESS, HISTORY_NOT_EQUAL };

enum history_order { HISTORY_ORDER_NONE, HISTORY_ORDER_ASCEND, HISTORY_ORDER_DESCEND };

enum history_sort {
    HISTORY_SORT_KEY,
    HISTORY_SORT_VERSION,
    HISTORY_SORT_CREATE,
    HISTORY_SORT_MOD,
    HISTORY_SORT_VALUE,
};

/* A key with its metadata, as answers carry it. */
struct history_kv {
    uint32_t key, value;
    int64_t create_revision, mod_revision, version, lease;
};

/* value for HISTORY_TARGET_VALUE, number for the others. */
struct history_compare {
    uint8_t target; /* enum history_target */
    uint8_t result; /* enum history_result */
    uint32_t key, range_end, value;
    int64_t number;
};

/* Of a range; 0: no bound. */
struct history_filter {
    int64_t min_mod, max_mod, min_create, max_create;
};

/* What was asked; what a kind does not use stays zero. range_end as in etcd: empty is the one key,
 * "\0" is everything from key on. */
struct history_request {
    uint8_t kind; /* enum history_kind */
    uint8_t sort_order, sort_target;
    bool is_serializable, keys_only, count_only;
    bool wants_prev_kv, ignore_value, ignore_lease;
    uint32_t key, range_end, value;
    uint32_t compare_count, then_count, else_count;
    int64_t lease;    /* of a put; the id of lease requests (grant: 0 lets the server choose) */
    int64_t revision; /* of a range (0: now) or a compaction */
    int64_t limit;    /* of a range; the TTL of a grant in seconds */
    const struct history_filter *filter; /* NULL: none */
    const struct history_compare *compares;
    const struct history_request *then_requests, *else_requests;
};

/* What came back, for HISTORY_OK; of nested operations as well. */
struct history_response {
    bool succeeded;          /* txn */
    bool more;               /* range */
    uint32_t kv_count;       /* of a range; previous ones of a put (0 or 1) or a delete */
    uint32_t response_count; /* txn: as many as the branch has requests */
    int64_t count;           /* range: count; delete: deleted; grant, keepalive, TTL: the TTL */
    int64_t granted_ttl;     /* TTL */
    int64_t lease;           /* grant: the id */
    const struct history_kv *kvs;
    const struct history_response *responses;
};

/* One operation of a client. member, term and revision are those of the response header (0: not
 * known). return_ns of an UNKNOWN one is when the client gave up, or HISTORY_NEVER. */
struct history_op {
    uint64_t invoke_ns, return_ns;
    uint64_t member, term;
    int64_t revision;
    uint32_t client;
    uint8_t outcome; /* enum history_outcome */
    uint8_t error;   /* enum history_error */
    const struct history_request *request;
    const struct history_response *response; /* NULL unless HISTORY_OK */
};

/* A watch as it was asked for. id is the recorder's own, never used twice in a history: a watch
 * that is resumed after a lost connection is a new one. stream groups the watches of one gRPC
 * stream. */
struct history_watch {
    uint64_t id, stream;
    uint64_t time_ns; /* when it was sent */
    uint32_t client;
    uint32_t key, range_end;
    int64_t start_revision;
    bool no_put, no_delete; /* filters */
    bool wants_prev_kv, progress_notify, may_fragment;
};

struct history_event {
    bool is_delete; /* then kv has key and mod_revision alone */
    bool has_prev;
    struct history_kv kv, prev;
};

/* One message of a watch, in the order of arrival. Without events and flags it is a progress
 * notification; one that answers a WatchProgressRequest (watch_id -1) has watch 0 and its stream:
 * it is for the watches of the stream whose created message stands before it and that have not been
 * canceled since. */
struct history_message {
    uint64_t watch, stream;
    uint64_t time_ns, member;
    int64_t revision, compact_revision;
    bool is_created, is_canceled, is_fragment;
    uint32_t event_count;
    const struct history_event *events;
};

/* What a member answered to HashKV. */
struct history_hash {
    uint64_t time_ns, member;
    int64_t revision, compact_revision;
    uint32_t hash;
};

/* A process of that member started or ended: a new life. */
struct history_restart {
    uint64_t time_ns, member;
};

struct history_text;

/* Owns everything that is reached from it. Read the arrays freely; append by the functions only. */
struct history {
    struct arena arena;
    struct history_text *texts;
    uint32_t *slots;
    uint32_t text_count, text_capacity, slot_count;
    struct history_op *ops;
    struct history_watch *watches;
    struct history_message *messages;
    struct history_hash *hashes;
    struct history_restart *restarts;
    size_t op_count, watch_count, message_count, hash_count, restart_count;
    size_t op_capacity, watch_capacity, message_capacity, hash_capacity, restart_capacity;
};

void history_init(struct history *history);
void history_free(struct history *history);

/* Gives the number of a byte string; equal strings have equal numbers. */
uint32_t history_intern(struct history *history, struct bytes text);
/* The same for C strings. */
uint32_t history_intern_str(struct history *history, const char *text);
/* The bytes of a number, borrowed until history_free. */
struct bytes history_bytes(const struct history *history, uint32_t text);

/* Append; everything that is pointed to is copied. */
void history_add_op(struct history *history, const struct history_op *op);
void history_add_watch(struct history *history, const struct history_watch *watch);
void history_add_message(struct history *history, const struct history_message *message);
void history_add_hash(struct history *history, const struct history_hash *hash);
void history_add_restart(struct history *history, const struct history_restart *restart);

/* Append one line of the text form, with its newline. */
void history_print_op(const struct history *history, const struct history_op *op, struct buf *out);
void history_print_watch(const struct history *history, const struct history_watch *watch,
                         struct buf *out);
void history_print_message(const struct history *history, const struct history_message *message,
                           struct buf *out);
void history_print_hash(const struct history_hash *hash, struct buf *out);
void history_print_restart(const struct history_restart *restart, struct buf *out);

/* Appends the whole history as text, first line included. */
void history_print(const struct history *history, struct buf *out);

/* Adds the record of one line (without newline; empty lines and those that begin with # are good).
 * E_INVALID with what is wrong and where in err; nothing is added then. */
int history_parse_line(struct history *history, struct bytes line, struct err *err);

/* The first line of a file, without its newline. */
#define HISTORY_FIRST_LINE "quorate-history 1"

#endif
