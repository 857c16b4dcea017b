/* SPDX-License-Identifier: Apache-2.0 */
/* Leases: how long one must live, when it must be gone, and what may hang on it. */
#include "base/alloc.h"
#include "tests/check/judge.h"

#define NS_PER_S 1000000000u
#define PPM      1000000u
#define LONG(x)  ((long long)(x))

/* How long ttl seconds take on a clock that runs fast; or slow. */
static uint64_t ttl_ns(const struct judge *judge, int64_t ttl, bool is_slow)
{
    uint64_t ns = (uint64_t)BASE_MIN(ttl, (int64_t)(HISTORY_TIME_MAX / NS_PER_S)) * NS_PER_S;
    uint64_t drift = ns / PPM * judge->config->clock_drift_ppm;
    return is_slow ? ns + drift : ns - BASE_MIN(ns, drift);
}

static void renew(const struct judge *judge, struct judge_lease *lease, const struct history_op *op)
{
    if (op->outcome == HISTORY_OK) {
        uint64_t slack = judge->config->lease_slack_ns;
        uint64_t until = op->invoke_ns + ttl_ns(judge, lease->ttl, false);
        lease->lives_until_ns = BASE_MAX(lease->lives_until_ns, until > slack ? until - slack : 0);
    }
    if (lease->ends_by_ns == HISTORY_NEVER) {
        return;
    }
    uint64_t late = op->outcome == HISTORY_OK ? 0 : judge->config->lease_overdue_ns;
    uint64_t told = op->return_ns == HISTORY_NEVER ? op->invoke_ns : op->return_ns;
    lease->ends_by_ns = BASE_MAX(lease->ends_by_ns, told + late + ttl_ns(judge, lease->ttl, true));
}

static void note_grant(struct judge *judge, uint32_t op_index)
{
    const struct history_op *op = &judge->history->ops[op_index];
    int64_t id = op->outcome == HISTORY_OK ? op->response->lease : op->request->lease;
    struct model_lease *named = model_lease(&judge->model, id);
    if (op->outcome == HISTORY_FAILED || named == NULL) {
        return;
    }
    struct judge_lease *lease = &judge->leases[named - judge->model.leases];
    if (op->outcome == HISTORY_OK && lease->granted_ns < op->invoke_ns &&
        lease->revoke_invoke_ns > op->return_ns && op->return_ns < lease->lives_until_ns) {
        judge_violation(judge, CHECK_LEASE_ANSWER, op->revision,
                        "lease %lld was granted again while it must still live: %s", LONG(id),
                        judge_op_text(judge, op_index).text);
    }
    lease->is_regranted = lease->grant_invoke_ns != HISTORY_NEVER;
    lease->grant_invoke_ns = BASE_MIN(lease->grant_invoke_ns, op->invoke_ns);
    if (op->outcome == HISTORY_UNKNOWN) {
        lease->ends_by_ns = HISTORY_NEVER;
        return;
    }
    lease->ttl = op->response->count;
    lease->granted_ns = BASE_MIN(lease->granted_ns, op->return_ns);
    renew(judge, lease, op);
    if ((op->request->lease != 0 && op->request->lease != id) ||
        op->response->count < op->request->limit) {
        judge_violation(judge, CHECK_LEASE_ANSWER, op->revision,
                        "another lease was granted than was asked for: %s",
                        judge_op_text(judge, op_index).text);
    }
}

/* The lease that a request names, unless it failed. */
static struct judge_lease *named_by(const struct judge *judge, const struct history_op *op)
{
    struct model_lease *named = model_lease(&judge->model, op->request->lease);
    return named == NULL || op->outcome == HISTORY_FAILED
               ? NULL
               : &judge->leases[named - judge->model.leases];
}

static void note_revoke(struct judge *judge, const struct history_op *op)
{
    struct judge_lease *lease = named_by(judge, op);
    if (lease != NULL) {
        lease->revoke_invoke_ns = BASE_MIN(lease->revoke_invoke_ns, op->invoke_ns);
        if (op->outcome == HISTORY_OK) {
            lease->revoked_ns = BASE_MIN(lease->revoked_ns, op->return_ns);
        }
    }
}

static void note_keepalive(struct judge *judge, const struct history_op *op)
{
    struct judge_lease *lease = named_by(judge, op);
    if (lease != NULL && lease->ttl > 0 &&
        (op->outcome == HISTORY_UNKNOWN || op->response->count > 0)) {
        renew(judge, lease, op);
    }
}

void judge_leases_prepare(struct judge *judge)
{
    const struct history *history = judge->history;
    judge->leases = mem_array(judge->model.lease_count, sizeof(*judge->leases));
    for (uint32_t i = 0; i < judge->model.lease_count; i++) {
        judge->leases[i] = (struct judge_lease){
            .grant_invoke_ns = HISTORY_NEVER,
            .granted_ns = HISTORY_NEVER,
            .ended_ns = HISTORY_NEVER,
            .revoke_invoke_ns = HISTORY_NEVER,
            .revoked_ns = HISTORY_NEVER,
        };
    }
    for (uint32_t i = 0; i < history->op_count; i++) {
        if (history->ops[i].request->kind == HISTORY_REVOKE) {
            note_revoke(judge, &history->ops[i]);
        }
    }
    for (uint32_t i = 0; i < history->op_count; i++) {
        if (history->ops[i].request->kind == HISTORY_GRANT) {
            note_grant(judge, i);
        }
    }
    for (uint32_t i = 0; i < history->op_count; i++) {
        if (history->ops[i].request->kind == HISTORY_KEEPALIVE) {
            note_keepalive(judge, &history->ops[i]);
        }
    }
    for (uint32_t i = 0; i < judge->model.lease_count; i++) {
        struct judge_lease *lease = &judge->leases[i];
        uint64_t anew = judge->config->healthy_since_ns + ttl_ns(judge, lease->ttl, true);
        lease->ends_by_ns = lease->ttl == 0 ? HISTORY_NEVER : BASE_MAX(lease->ends_by_ns, anew);
    }
}

bool judge_lease_is_early(const struct judge *judge, uint32_t index, int64_t revision)
{
    const struct judge_lease *lease = &judge->leases[index];
    uint64_t seen_ns = judge_first_seen(judge, revision);
    return !lease->is_regranted && lease->revoke_invoke_ns > seen_ns &&
           seen_ns < lease->lives_until_ns;
}

/* From before the operation began until after it returned the lease was there. */
static bool is_alive_during(const struct judge_lease *lease, const struct history_op *op)
{
    return !lease->is_regranted && lease->granted_ns < op->invoke_ns &&
           lease->revoke_invoke_ns > op->return_ns && op->return_ns < lease->lives_until_ns;
}

static void check_ends(struct judge *judge)
{
    for (int64_t revision = 2; revision <= judge->last; revision++) {
        struct judge_cause cause = judge->causes[revision];
        if (judge->owner[revision] != JUDGE_NONE || cause.op != JUDGE_NONE ||
            cause.lease == JUDGE_NONE) {
            continue;
        }
        struct judge_lease *lease = &judge->leases[cause.lease];
        judge->verdict->lease_ends++;
        if (!cause.is_only) { /* it may have been a deletion, and the lease lives on */
            continue;
        }
        lease->ended_ns = BASE_MIN(lease->ended_ns, judge_first_seen(judge, revision));
        if (judge_lease_is_early(judge, cause.lease, revision)) {
            judge_violation(
                judge, CHECK_LEASE_EARLY, revision,
                "lease %lld (TTL %lld s) had ended when revision %lld was seen at %llu "
                "ns, though nobody had revoked it and it was renewed to last until %llu "
                "ns",
                LONG(judge->model.leases[cause.lease].id), LONG(lease->ttl), LONG(revision),
                (unsigned long long)judge_first_seen(judge, revision),
                (unsigned long long)lease->lives_until_ns);
        }
    }
}

static void check_keepalive(struct judge *judge, uint32_t op_index, const struct judge_lease *lease)
{
    const struct history_op *op = &judge->history->ops[op_index];
    struct judge_text line = judge_op_text(judge, op_index);
    const char *text = line.text;
    if (op->response->count <= 0) {
        if (is_alive_during(lease, op)) {
            judge_violation(judge, CHECK_LEASE_EARLY, op->revision,
                            "a lease that must still live was told to be gone: %s", text);
        }
    } else if (lease->is_regranted) {
        return;
    } else if (lease->ttl != 0 && op->response->count != lease->ttl) {
        judge_violation(judge, CHECK_LEASE_ANSWER, op->revision,
                        "a lease granted for %lld s was renewed for another time: %s",
                        LONG(lease->ttl), text);
    } else if (op->invoke_ns > BASE_MIN(lease->ended_ns, lease->revoked_ns)) {
        judge_violation(judge, CHECK_LEASE_ANSWER, op->revision,
                        "a lease was renewed after its end had been seen: %s", text);
    }
}

static void check_time_to_live(struct judge *judge, uint32_t op_index,
                               const struct judge_lease *lease)
{
    const struct history_op *op = &judge->history->ops[op_index];
    if (op->response->count < 0) {
        if (is_alive_during(lease, op)) {
            judge_violation(judge, CHECK_LEASE_EARLY, op->revision,
                            "a lease that must still live was told to be gone: %s",
                            judge_op_text(judge, op_index).text);
        }
    } else if (!lease->is_regranted && lease->ttl != 0 &&
               (op->response->granted_ttl != lease->ttl || op->response->count > lease->ttl)) {
        judge_violation(judge, CHECK_LEASE_ANSWER, op->revision,
                        "a lease granted for %lld s says something else: %s", LONG(lease->ttl),
                        judge_op_text(judge, op_index).text);
    }
}

/* What an acknowledged put hangs on, in the branch that was taken. */
static void check_puts(struct judge *judge, uint32_t op_index,
                       const struct history_request *request,
                       const struct history_response *response)
{
    const struct history_op *op = &judge->history->ops[op_index];
    const struct history_request *branch =
        response->succeeded ? request->then_requests : request->else_requests;
    for (uint32_t i = 0; request->kind == HISTORY_TXN && i < response->response_count; i++) {
        check_puts(judge, op_index, &branch[i], &response->responses[i]);
    }
    if (request->kind != HISTORY_PUT || request->lease == 0) {
        return;
    }
    const struct model_lease *named = model_lease(&judge->model, request->lease);
    const struct judge_lease *lease = &judge->leases[named - judge->model.leases];
    if (lease->grant_invoke_ns > op->return_ns) {
        judge_violation(judge, CHECK_LEASE_UNKNOWN, op->revision,
                        "a key was put on lease %lld, which nobody had granted: %s",
                        LONG(request->lease), judge_op_text(judge, op_index).text);
    } else if (!lease->is_regranted &&
               BASE_MIN(lease->revoked_ns, lease->ended_ns) < op->invoke_ns) {
        judge_violation(judge, CHECK_LEASE_UNKNOWN, op->revision,
                        "a key was put on lease %lld after its end: %s", LONG(request->lease),
                        judge_op_text(judge, op_index).text);
    }
}

static void check_overdue(struct judge *judge, uint32_t op_index)
{
    const struct history_op *op = &judge->history->ops[op_index];
    const struct check_config *config = judge->config;
    if (config->lease_overdue_ns == 0 || op->request->is_serializable ||
        op->request->revision != 0) {
        return;
    }
    for (uint32_t i = 0; i < op->response->kv_count; i++) {
        const struct history_kv *kv = &op->response->kvs[i];
        const struct model_lease *named = model_lease(&judge->model, kv->lease);
        const struct judge_lease *lease =
            named == NULL ? NULL : &judge->leases[named - judge->model.leases];
        if (lease != NULL && !lease->is_regranted && lease->ends_by_ns != HISTORY_NEVER &&
            op->invoke_ns > lease->ends_by_ns + config->lease_overdue_ns) {
            judge_violation(judge, CHECK_LEASE_OVERDUE, op->revision,
                            "%s is still there, though its lease had run out at %llu ns: %s",
                            judge_kv_text(judge, kv).text, (unsigned long long)lease->ends_by_ns,
                            judge_op_text(judge, op_index).text);
            return;
        }
    }
}

void judge_leases(struct judge *judge)
{
    check_ends(judge);
    for (uint32_t i = 0; i < judge->history->op_count; i++) {
        const struct history_op *op = &judge->history->ops[i];
        if (op->outcome != HISTORY_OK) {
            continue;
        }
        const struct model_lease *named = model_lease(&judge->model, op->request->lease);
        const struct judge_lease *lease =
            named == NULL ? NULL : &judge->leases[named - judge->model.leases];
        if (op->request->kind == HISTORY_KEEPALIVE && lease != NULL) {
            check_keepalive(judge, i, lease);
        } else if (op->request->kind == HISTORY_TIME_TO_LIVE && lease != NULL) {
            check_time_to_live(judge, i, lease);
        } else if (op->request->kind == HISTORY_RANGE) {
            check_overdue(judge, i);
        } else {
            check_puts(judge, i, op->request, op->response);
        }
    }
}
