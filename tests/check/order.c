/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of time and of members: real-time order, stale reads, headers, refusals, compaction,
 * hashes. */
#include <stdlib.h>

#include "base/alloc.h"
#include "tests/check/judge.h"

#define LONG(x) ((long long)(x))

/* ---- real time ---- */

/* Who had been shown that revision before; for the story. */
static struct judge_text witness_text(const struct judge *judge, int64_t revision)
{
    uint64_t time_ns = judge_first_seen(judge, revision);
    for (uint32_t i = 0; i < judge->history->op_count; i++) {
        const struct history_op *op = &judge->history->ops[i];
        if (op->outcome == HISTORY_OK && op->return_ns == time_ns && op->revision >= revision) {
            return judge_op_text(judge, i);
        }
    }
    struct judge_text text = {"a watch or a hash"};
    return text;
}

static void check_real_time(struct judge *judge, uint32_t op_index)
{
    const struct history_op *op = &judge->history->ops[op_index];
    int64_t floor = judge_floor(judge, op->invoke_ns);
    if (judge_is_write(op->request, op->response)) {
        if (floor >= op->revision && op->revision >= 2) {
            judge_violation(judge, CHECK_REAL_TIME, op->revision,
                            "a write got revision %lld, but revision %lld had been seen before it "
                            "was asked for: %s; seen by: %s",
                            LONG(op->revision), LONG(floor), judge_op_text(judge, op_index).text,
                            witness_text(judge, floor).text);
        }
    } else if (floor > op->revision) {
        judge_violation(judge, CHECK_STALE_READ, op->revision,
                        "answered as of revision %lld, but revision %lld had been seen before it "
                        "was asked for: %s; seen by: %s",
                        LONG(op->revision), LONG(floor), judge_op_text(judge, op_index).text,
                        witness_text(judge, floor).text);
    }
}

/* ---- headers of one member's life ---- */

struct sign {
    uint64_t member, time_ns;
    int64_t revision;
    uint64_t term;
    bool is_restart;
};

static int compare_signs(const void *a, const void *b)
{
    const struct sign *left = a, *right = b;
    if (left->member != right->member) {
        return left->member < right->member ? -1 : 1;
    }
    if (left->time_ns != right->time_ns) {
        return left->time_ns < right->time_ns ? -1 : 1;
    }
    return (int)right->is_restart - (int)left->is_restart;
}

/* The first sign of that member at or after that time. */
static size_t sign_find(const struct sign *signs, size_t count, uint64_t member, uint64_t time_ns)
{
    size_t lo = 0, hi = count;
    while (lo < hi) {
        size_t middle = lo + (hi - lo) / 2;
        const struct sign *sign = &signs[middle];
        if (sign->member < member || (sign->member == member && sign->time_ns < time_ns)) {
            lo = middle + 1;
        } else {
            hi = middle;
        }
    }
    return lo;
}

static bool restarts_within(const struct sign *signs, size_t count, size_t from,
                            const struct history_op *op)
{
    for (size_t i = from;
         i < count && signs[i].member == op->member && signs[i].time_ns <= op->return_ns; i++) {
        if (signs[i].is_restart) {
            return true;
        }
    }
    return false;
}

static void check_headers(struct judge *judge)
{
    const struct history *history = judge->history;
    struct sign *signs = mem_array(history->op_count + history->restart_count, sizeof(*signs));
    size_t count = 0;
    for (size_t i = 0; i < history->op_count; i++) {
        const struct history_op *op = &history->ops[i];
        if (op->outcome == HISTORY_OK && op->member != 0 && op->revision > 0) {
            signs[count++] =
                (struct sign){op->member, op->return_ns, op->revision, op->term, false};
        }
    }
    for (size_t i = 0; i < history->restart_count; i++) {
        signs[count++] = (struct sign){.member = history->restarts[i].member,
                                       .time_ns = history->restarts[i].time_ns,
                                       .is_restart = true};
    }
    qsort(signs, count, sizeof(*signs), compare_signs);
    for (size_t i = 1; i < count; i++) {
        if (signs[i].member == signs[i - 1].member && !signs[i].is_restart) {
            signs[i].revision = BASE_MAX(signs[i].revision, signs[i - 1].revision);
            signs[i].term = BASE_MAX(signs[i].term, signs[i - 1].term);
        }
    }
    for (uint32_t i = 0; i < history->op_count; i++) {
        const struct history_op *op = &history->ops[i];
        if (op->outcome != HISTORY_OK || op->member == 0 || op->revision <= 0) {
            continue;
        }
        size_t at = sign_find(signs, count, op->member, op->invoke_ns);
        const struct sign *before =
            at > 0 && signs[at - 1].member == op->member ? &signs[at - 1] : NULL;
        if (before == NULL ||
            (before->revision <= op->revision && (op->term == 0 || before->term <= op->term))) {
            continue;
        }
        if (!restarts_within(signs, count, at, op)) {
            judge_violation(judge, CHECK_HEADER_BACKWARDS, op->revision,
                            "member %llx had shown revision %lld and term %llu in the same life "
                            "before: %s",
                            (unsigned long long)op->member, LONG(before->revision),
                            (unsigned long long)before->term, judge_op_text(judge, i).text);
        }
    }
    mem_free(signs);
}

void judge_order(struct judge *judge)
{
    for (uint32_t i = 0; i < judge->history->op_count; i++) {
        const struct history_op *op = &judge->history->ops[i];
        if (op->outcome == HISTORY_OK && judge_is_linearizable(op->request)) {
            check_real_time(judge, i);
        }
    }
    check_headers(judge);
}

/* ---- refusals and compaction ---- */

static void wrong_error(struct judge *judge, uint32_t op_index, const char *why)
{
    judge_violation(judge, CHECK_READ_ERROR, judge->history->ops[op_index].request->revision,
                    "%s: %s", why, judge_op_text(judge, op_index).text);
}

/* The smallest revision that a request reads; INT64_MAX: only the current one. */
static int64_t past_revision(const struct history_request *request)
{
    if (request->kind == HISTORY_RANGE || request->kind == HISTORY_COMPACT) {
        return request->revision > 0 ? request->revision : INT64_MAX;
    }
    int64_t least = INT64_MAX;
    for (uint32_t i = 0; i < request->then_count; i++) {
        least = BASE_MIN(least, past_revision(&request->then_requests[i]));
    }
    for (uint32_t i = 0; i < request->else_count; i++) {
        least = BASE_MIN(least, past_revision(&request->else_requests[i]));
    }
    return least;
}

/* Puts of the request and of what is nested in it name a lease that must have been there. */
static bool names_living_lease(const struct judge *judge, const struct history_request *request,
                               const struct history_op *op)
{
    const struct model_lease *named = model_lease(&judge->model, request->lease);
    if (named == NULL) {
        return false;
    }
    const struct judge_lease *lease = &judge->leases[named - judge->model.leases];
    /* A revocation that was refused for want of the lease is not one itself. */
    return !lease->is_regranted && lease->granted_ns < op->invoke_ns &&
           lease->revoke_invoke_ns > op->return_ns && op->return_ns < lease->lives_until_ns;
}

static void check_refusal(struct judge *judge, uint32_t op_index)
{
    const struct history_op *op = &judge->history->ops[op_index];
    const struct history_request *request = op->request;
    switch ((enum history_error)op->error) {
    case HISTORY_ERROR_COMPACTED: {
        int64_t asked = judge_compactable(judge, op->return_ns);
        int64_t least = past_revision(request);
        bool is_compact = request->kind == HISTORY_COMPACT;
        if (is_compact ? request->revision > asked : least >= asked) {
            wrong_error(judge, op_index, "refused as compacted, but no compaction went so far");
        }
        break;
    }
    case HISTORY_ERROR_FUTURE:
        if ((request->kind == HISTORY_COMPACT || judge_is_linearizable(request)) &&
            request->kind != HISTORY_TXN &&
            request->revision <= judge_floor(judge, op->invoke_ns)) {
            wrong_error(judge, op_index, "refused as in the future, but it had been seen before");
        }
        break;
    case HISTORY_ERROR_LEASE_NOT_FOUND:
        if ((request->kind == HISTORY_PUT || request->kind == HISTORY_REVOKE) &&
            names_living_lease(judge, request, op)) {
            wrong_error(judge, op_index, "refused for want of a lease that must still live");
        }
        break;
    case HISTORY_ERROR_NONE:
    case HISTORY_ERROR_KEY_NOT_FOUND:
    case HISTORY_ERROR_LEASE_EXISTS:
    case HISTORY_ERROR_OTHER:
        break;
    }
}

static void check_compaction(struct judge *judge, uint32_t op_index)
{
    const struct history_op *op = &judge->history->ops[op_index];
    int64_t compacted = judge_compacted(judge, op->invoke_ns);
    if (op->request->kind == HISTORY_COMPACT) {
        if (op->request->revision <= compacted) {
            judge_violation(judge, CHECK_COMPACTION, op->request->revision,
                            "compacted to %lld, though the compaction to %lld had been "
                            "acknowledged before: %s",
                            LONG(op->request->revision), LONG(compacted),
                            judge_op_text(judge, op_index).text);
        } else if (op->revision > 0 && op->request->revision > op->revision) {
            judge_violation(judge, CHECK_COMPACTION, op->request->revision,
                            "compacted to a revision that was not there yet: %s",
                            judge_op_text(judge, op_index).text);
        }
    } else if (op->request->kind == HISTORY_RANGE && judge_is_linearizable(op->request)) {
        if (past_revision(op->request) < compacted) {
            judge_violation(judge, CHECK_COMPACTION, op->request->revision,
                            "read revision %lld, though the compaction to %lld had been "
                            "acknowledged before: %s",
                            LONG(op->request->revision), LONG(compacted),
                            judge_op_text(judge, op_index).text);
        }
    }
}

/* ---- hashes ---- */

static int compare_hashes(const void *a, const void *b, void *context)
{
    const struct history *history = context;
    const struct history_hash *left = &history->hashes[*(const uint32_t *)a];
    const struct history_hash *right = &history->hashes[*(const uint32_t *)b];
    if (left->revision != right->revision) {
        return left->revision < right->revision ? -1 : 1;
    }
    if (left->compact_revision != right->compact_revision) {
        return left->compact_revision < right->compact_revision ? -1 : 1;
    }
    return left->time_ns < right->time_ns ? -1 : left->time_ns > right->time_ns;
}

static void check_hashes(struct judge *judge)
{
    const struct history *history = judge->history;
    uint32_t *order = mem_array(history->hash_count, sizeof(*order));
    for (uint32_t i = 0; i < history->hash_count; i++) {
        order[i] = i;
    }
    qsort_r(order, history->hash_count, sizeof(*order), compare_hashes, (void *)(uintptr_t)history);
    for (uint32_t i = 1; i < history->hash_count; i++) {
        const struct history_hash *one = &history->hashes[order[i - 1]];
        const struct history_hash *other = &history->hashes[order[i]];
        if (one->revision == other->revision && one->hash != other->hash &&
            one->compact_revision == other->compact_revision) {
            judge_violation(judge, CHECK_HASH_EQUAL, one->revision,
                            "at revision %lld, compacted to %lld, member %llx has hash %08x (at "
                            "%llu ns) and member %llx has %08x (at %llu ns)",
                            LONG(one->revision), LONG(one->compact_revision),
                            (unsigned long long)one->member, one->hash,
                            (unsigned long long)one->time_ns, (unsigned long long)other->member,
                            other->hash, (unsigned long long)other->time_ns);
        }
    }
    judge->verdict->hashes = history->hash_count;
    mem_free(order);
}

void judge_errors(struct judge *judge)
{
    for (uint32_t i = 0; i < judge->history->op_count; i++) {
        const struct history_op *op = &judge->history->ops[i];
        if (op->outcome == HISTORY_FAILED) {
            check_refusal(judge, i);
        } else if (op->outcome == HISTORY_OK) {
            check_compaction(judge, i);
        }
    }
    check_hashes(judge);
}
