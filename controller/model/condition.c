/* SPDX-License-Identifier: Apache-2.0 */
/* One judge per condition. Reads what is wanted, seen and planned; decides nothing. */
#include "controller/model/condition.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "controller/model/certs.h"
#include "controller/model/rfc3339.h"

static void judge_as(struct condition *out, enum condition_status status,
                     enum condition_reason reason, const char *format, ...) BASE_PRINTF(4, 5);

static void judge_as(struct condition *out, enum condition_status status,
                     enum condition_reason reason, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(out->message, sizeof(out->message), format, args);
    va_end(args);
    out->status = status;
    out->reason = reason;
}

static void judge_unknown(const struct condition_input *in, struct condition *out)
{
    if (in->view->latched_id == 0) {
        judge_as(out, CONDITION_UNKNOWN, REASON_NotBootstrapped, "The cluster has not started yet");
        return;
    }
    judge_as(out, CONDITION_UNKNOWN, REASON_NotProbed,
             "No member was reached by a fresh probe; see the Pods of the cluster");
}

/* The first member that a test holds for; NULL when none. */
static const struct member_view *find(const struct view *view,
                                      bool (*test)(const struct member_view *member))
{
    for (size_t i = 0; i < view->member_count; i++) {
        if (test(&view->members[i])) {
            return &view->members[i];
        }
    }
    return NULL;
}

static bool was_probed(const struct member_view *member)
{
    return member->probed;
}

static bool has_pod(const struct member_view *member)
{
    return member->pod != NULL;
}

static bool is_unhealthy(const struct member_view *member)
{
    return member->etcd != NULL && !member->healthy;
}

static bool is_foreign(const struct member_view *member)
{
    return member->etcd != NULL && member->ordinal == OBSERVED_NO_ORDINAL;
}

static bool has_no_space(const struct member_view *member)
{
    return member->endpoint != NULL && (member->endpoint->alarms & OBSERVED_ALARM_NOSPACE) != 0;
}

static bool is_corrupt(const struct member_view *member)
{
    return member->endpoint != NULL && (member->endpoint->alarms & OBSERVED_ALARM_CORRUPT) != 0;
}

/* Nothing can be said: Pods run, and none was dialled freshly. */
static bool is_blind(const struct condition_input *in)
{
    return !in->view->fresh && find(in->view, was_probed) == NULL &&
           find(in->view, has_pod) != NULL;
}

static bool has_quorum(const struct view *view)
{
    return view->fresh && view->voter_count > 0 &&
           view->healthy_voter_count >= spec_quorum(view->voter_count);
}

static bool is_late(const struct condition_input *in)
{
    const struct operation *operation = &in->plan->operation;
    return operation->type != OPERATION_NONE && operation->deadline_ms > 0 &&
           in->now_ms > operation->deadline_ms;
}

static bool is_stalled(const struct condition_input *in)
{
    return in->want->problem_count > 0 || in->plan->block != REASON_AsExpected || is_late(in);
}

static bool is_busy(const struct condition_input *in)
{
    return in->plan->action_count > 0 || in->plan->operation.type != OPERATION_NONE ||
           in->want->deleting;
}

static bool is_complete(const struct condition_input *in)
{
    const struct view *view = in->view;
    return has_quorum(view) && view->voter_count == in->want->replicas &&
           view->healthy_voter_count == view->voter_count && view->learner_count == 0;
}

static void judge_ready(const struct condition_input *in, struct condition *out)
{
    if (in->want->problem_count > 0) {
        judge_as(out, CONDITION_FALSE, in->want->problems[0].why, "%s %s",
                 in->want->problems[0].field, in->want->problems[0].message);
    } else if (in->want->deleting) {
        judge_as(out, CONDITION_FALSE, REASON_Deleting, "The cluster is being deleted");
    } else if (is_blind(in)) {
        judge_unknown(in, out);
    } else if (is_complete(in) && !is_busy(in) && !is_stalled(in)) {
        judge_as(out, CONDITION_TRUE, REASON_AsExpected, "All %" PRId64 " members serve",
                 in->want->replicas);
    } else {
        enum condition_reason reason =
            in->plan->reason == REASON_AsExpected ? REASON_Converging : in->plan->reason;
        judge_as(out, CONDITION_FALSE, reason, "%s", in->plan->progress);
    }
}

static void judge_reconciling(const struct condition_input *in, struct condition *out)
{
    if (in->want->paused) {
        judge_as(out, CONDITION_FALSE, REASON_Paused,
                 "Nothing is changed while spec.paused is true");
    } else if (is_busy(in) && in->want->problem_count == 0) {
        enum condition_reason reason =
            in->plan->reason == REASON_AsExpected ? REASON_Converging : in->plan->reason;
        judge_as(out, CONDITION_TRUE, reason, "%s", in->plan->progress);
    } else {
        judge_as(out, CONDITION_FALSE, REASON_AsExpected, "No change is under way");
    }
}

static void judge_stalled(const struct condition_input *in, struct condition *out)
{
    const struct operation *operation = &in->plan->operation;
    if (in->want->problem_count > 0) {
        judge_as(out, CONDITION_TRUE, in->want->problems[0].why, "%s %s",
                 in->want->problems[0].field, in->want->problems[0].message);
    } else if (in->plan->block != REASON_AsExpected) {
        judge_as(out, CONDITION_TRUE, in->plan->block, "%s", in->plan->progress);
    } else if (is_late(in)) {
        judge_as(out, CONDITION_TRUE, REASON_ProgressDeadlineExceeded,
                 "%s of %s is at step %s since %s, longer than spec.progressDeadline: look at its "
                 "Pod and volume",
                 operation_type_text(operation->type), operation->target,
                 operation_step_text(operation->step), rfc3339_format(operation->started_ms).text);
    } else {
        judge_as(out, CONDITION_FALSE, REASON_AsExpected, "Nothing is in the way");
    }
}

bool condition_quorum_is_lost(const struct json *conditions, int64_t now_ms)
{
    for (size_t i = 0; i < json_count(conditions); i++) {
        const struct json *row = json_at(conditions, i);
        if (!str_equal(json_str(json_get(row, "type"), NULL), "Available") ||
            !str_equal(json_str(json_get(row, "status"), NULL), "False")) {
            continue;
        }
        const char *reason = json_str(json_get(row, "reason"), "");
        if (strcmp(reason, reason_text(REASON_NotServing)) == 0) {
            int64_t since_ms = rfc3339_parse(json_str(json_get(row, "lastTransitionTime"), NULL));
            return since_ms > 0 && now_ms - since_ms >= CONDITION_QUORUM_LOST_MS;
        }
        return strcmp(reason, reason_text(REASON_QuorumLost)) == 0 ||
               strcmp(reason, reason_text(REASON_AllMembersLost)) == 0;
    }
    return false;
}

static void judge_lost(const struct condition_input *in, struct condition *out)
{
    if (in->plan->reason != REASON_AllMembersLost &&
        !condition_quorum_is_lost(json_get(in->seen->status, "conditions"), in->now_ms)) {
        judge_as(out, CONDITION_FALSE, REASON_NotServing,
                 "No majority of the members answers at the moment; an election takes seconds, and "
                 "after %d s the quorum counts as lost",
                 CONDITION_QUORUM_LOST_MS / 1000);
        return;
    }
    bool all = in->plan->reason == REASON_AllMembersLost;
    judge_as(out, CONDITION_FALSE, all ? REASON_AllMembersLost : REASON_QuorumLost, "%s",
             all ? "All members and their volumes are lost: restore from a backup"
                 : "No majority of the members serves; none is removed: bring their nodes back, or "
                   "restore from a backup");
}

static void judge_available(const struct condition_input *in, struct condition *out)
{
    if (has_quorum(in->view)) {
        judge_as(out, CONDITION_TRUE, REASON_Serving,
                 "%" PRId64 " of %" PRId64 " voters answer linearizable reads",
                 in->view->healthy_voter_count, in->view->voter_count);
    } else if (in->plan->reason == REASON_AllMembersLost) {
        judge_lost(in, out);
    } else if (in->view->latched_id == 0) {
        judge_as(out, CONDITION_FALSE, REASON_NotBootstrapped,
                 "The first member does not serve yet");
    } else if (is_blind(in)) {
        judge_unknown(in, out);
    } else if (in->plan->operation.type == OPERATION_BOOTSTRAP) {
        judge_as(out, CONDITION_FALSE, REASON_Bootstrapping, "The first member restarts");
    } else {
        judge_lost(in, out);
    }
}

static void judge_progressing(const struct condition_input *in, struct condition *out)
{
    judge_reconciling(in, out);
    if (out->status == CONDITION_TRUE && is_late(in)) {
        judge_as(out, CONDITION_FALSE, REASON_ProgressDeadlineExceeded, "%s", in->plan->progress);
    }
}

/* Causes that a person can cure get their own word. */
static enum condition_reason unhealthy_reason(const struct member_view *member)
{
    switch (member->evidence) {
    case EVIDENCE_OutOfMemory:
        return REASON_OutOfMemory;
    case EVIDENCE_ImagePullFailed:
        return REASON_ImagePullFailed;
    case EVIDENCE_Unschedulable:
        return REASON_Unschedulable;
    default:
        return REASON_MembersUnhealthy;
    }
}

static void judge_degraded(const struct condition_input *in, struct condition *out)
{
    const struct view *view = in->view;
    const struct member_view *sick = find(view, is_unhealthy);
    if (is_blind(in)) {
        judge_unknown(in, out);
    } else if (sick != NULL) {
        judge_as(out, CONDITION_TRUE, unhealthy_reason(sick), "Member %s: %s (since %s); %s",
                 sick->name.text, evidence_cause(sick->evidence),
                 rfc3339_format(sick->since_ms).text, evidence_next(sick->evidence));
    } else if (view->latched_id != 0 && view->healthy_voter_count < in->want->replicas) {
        judge_as(out, CONDITION_TRUE, REASON_MembersMissing,
                 "%" PRId64 " of %" PRId64 " wanted members serve", view->healthy_voter_count,
                 in->want->replicas);
    } else if (view->latched_id == 0) {
        judge_as(out, CONDITION_FALSE, REASON_NotBootstrapped, "The cluster has not started yet");
    } else {
        judge_as(out, CONDITION_FALSE, REASON_AsExpected, "As many members serve as are wanted");
    }
}

static void judge_quorum(const struct condition_input *in, struct condition *out)
{
    const struct view *view = in->view;
    if (!has_quorum(view)) {
        judge_available(in, out);
        return;
    }
    int64_t spare = view->healthy_voter_count - spec_quorum(view->voter_count);
    bool at_risk = spare == 0 && view->voter_count >= 3;
    judge_as(out, CONDITION_TRUE, at_risk ? REASON_QuorumAtRisk : REASON_AsExpected,
             "%" PRId64 " of %" PRId64 " voters are healthy: %" PRId64 " more may fail",
             view->healthy_voter_count, view->voter_count, spare);
}

static void judge_members(const struct condition_input *in, struct condition *out)
{
    const struct member_view *sick = find(in->view, is_unhealthy);
    if (!in->view->fresh) {
        judge_unknown(in, out);
    } else if (sick != NULL) {
        judge_as(out, CONDITION_FALSE, unhealthy_reason(sick), "Member %s: %s; %s", sick->name.text,
                 evidence_cause(sick->evidence), evidence_next(sick->evidence));
    } else {
        judge_as(out, CONDITION_TRUE, REASON_AsExpected, "Every member answers");
    }
}

static void judge_cluster_id(const struct condition_input *in, struct condition *out)
{
    const struct member_view *foreign = find(in->view, is_foreign);
    if (in->view->latch_conflict) {
        judge_as(out, CONDITION_FALSE, REASON_ClusterIDMismatch,
                 "Members or volumes carry another id than %" PRIx64
                 ": delete the foreign Pod or volume; nothing is changed until then",
                 in->view->latched_id);
    } else if (foreign != NULL) {
        judge_as(out, CONDITION_FALSE, REASON_ForeignMember,
                 "Member %s was not made by the operator: remove it with etcdctl member remove, or "
                 "leave the size as it is",
                 foreign->name.text);
    } else if (in->view->latched_id == 0) {
        judge_as(out, CONDITION_UNKNOWN, REASON_NotBootstrapped, "No cluster id exists yet");
    } else if (!in->view->fresh) {
        judge_unknown(in, out);
    } else {
        judge_as(out, CONDITION_TRUE, REASON_AsExpected, "All serve cluster %" PRIx64,
                 in->view->latched_id);
    }
}

static void judge_space(const struct condition_input *in, struct condition *out)
{
    const struct member_view *full = find(in->view, has_no_space);
    if (!in->view->fresh) {
        judge_unknown(in, out);
    } else if (full != NULL) {
        judge_as(
            out, CONDITION_FALSE, REASON_NoSpace,
            "Member %s reached spec.options.quotaBackend: delete keys and compact, or raise the "
            "quota; then disarm the alarm",
            full->name.text);
    } else {
        judge_as(out, CONDITION_TRUE, REASON_AsExpected, "No member is out of space");
    }
}

static void judge_data(const struct condition_input *in, struct condition *out)
{
    const struct member_view *corrupt = find(in->view, is_corrupt);
    if (!in->view->fresh) {
        judge_unknown(in, out);
    } else if (corrupt != NULL) {
        judge_as(out, CONDITION_FALSE, REASON_DataCorrupt,
                 "Member %s raised the CORRUPT alarm; it is replaced when the others are a quorum",
                 corrupt->name.text);
    } else {
        judge_as(out, CONDITION_TRUE, REASON_AsExpected, "No member raised the CORRUPT alarm");
    }
}

static void judge_spread(const struct condition_input *in, struct condition *out)
{
    const struct view *view = in->view;
    for (size_t i = 0; i < view->member_count; i++) {
        const struct member_view *a = &view->members[i];
        if (!a->is_voter) {
            continue;
        }
        if (a->pod == NULL || a->pod->node == NULL) {
            judge_as(out, CONDITION_UNKNOWN, REASON_SpreadUnknown, "Member %s is on no node",
                     a->name.text);
            return;
        }
        for (size_t k = i + 1; k < view->member_count; k++) {
            const struct member_view *b = &view->members[k];
            if (b->is_voter && b->pod != NULL && str_equal(a->pod->node, b->pod->node)) {
                judge_as(out, CONDITION_FALSE, REASON_SpreadViolated,
                         "Members %s and %s share node %s: add nodes, or set "
                         "spec.availability.spread.host: Required",
                         a->name.text, b->name.text, a->pod->node);
                return;
            }
        }
    }
    if (!view->fresh) {
        judge_unknown(in, out);
        return;
    }
    judge_as(out, CONDITION_TRUE, REASON_SpreadSatisfied, "No two voters share a node");
}

static void judge_up_to_date(const struct condition_input *in, struct condition *out)
{
    for (size_t i = 0; i < in->view->member_count; i++) {
        const struct member_view *member = &in->view->members[i];
        if (member->pod != NULL && member->etcd != NULL &&
            !str_equal(member->pod->template_hash, in->plan->template_hash)) {
            judge_as(
                out, CONDITION_FALSE, REASON_OutdatedPods,
                "The Pod of member %s was made from an earlier spec; the members take the new one "
                "one by one, each when all of them serve",
                member->name.text);
            return;
        }
    }
    judge_as(out, CONDITION_TRUE, REASON_AsExpected, "All Pods are as the spec says");
}

/* What stands in the way of certificates, and what a person does about it. */
static void judge_problem(const struct certs_due *due, enum spec_tls_mode mode, const char *secret,
                          struct condition *out)
{
    switch (due->problem) {
    case CERTS_NOT_READ:
        judge_as(out, CONDITION_UNKNOWN, REASON_CertificatesNotRead,
                 "Secret %s could not be read yet, or is being deleted; if it stays so, check the "
                 "operator's right to get Secrets in this namespace",
                 secret);
        return;
    case CERTS_NOT_THERE:
        judge_as(out, CONDITION_FALSE, REASON_SecretNotFound,
                 "Secret %s is not there: create it with tls.crt, tls.key and ca.crt", secret);
        return;
    case CERTS_NOT_USABLE:
        judge_as(out, CONDITION_FALSE, REASON_SecretNotUsable,
                 "Secret %s does not hold tls.crt, tls.key (its key, without a passphrase) and "
                 "ca.crt in PEM: put them there",
                 secret);
        return;
    case CERTS_NOT_OURS:
        judge_as(out, CONDITION_FALSE, REASON_SecretNotOurs,
                 "Secret %s exists and was not made for this cluster: it is not touched; rename or "
                 "delete it",
                 secret);
        return;
    case CERTS_CA_NOT_THERE:
        judge_as(out, CONDITION_FALSE, REASON_AuthorityNotFound,
                 "Secret %s is gone, and certificates of its authority are in use until they end: "
                 "put it back from a backup, or delete those Secrets as well to begin anew, with "
                 "an interruption until all Pods have the new ones",
                 secret);
        return;
    case CERTS_PENDING:
    case CERTS_NO_PROBLEM:
    default:
        judge_as(out, CONDITION_FALSE, REASON_CertificatesPending,
                 mode == SPEC_TLS_CERT_MANAGER
                     ? "Secret %s is not there yet: see the Certificate of that name, and whether "
                       "cert-manager runs"
                     : "Secret %s is being made",
                 secret);
        return;
    }
}

/* The certificate that ends first, of those that are known; NULL when none is. */
static const struct certs_fact *first_to_end(const struct certs_facts *facts,
                                             enum certs_secret *out_secret)
{
    const struct certs_fact *first = NULL;
    for (int i = 0; i < CERTS_SECRET_COUNT; i++) {
        const struct certs_fact *fact = &facts->of[i];
        if (fact->presence != CERTS_PRESENT || !fact->is_usable || fact->is_foreign) {
            continue;
        }
        if (first == NULL || fact->not_after_ms < first->not_after_ms) {
            first = fact;
            *out_secret = (enum certs_secret)i;
        }
    }
    return first;
}

/* The first that an end, or the worry about it, has come to; NULL when none. */
static const struct certs_fact *first_worry(const struct condition_input *in,
                                            enum certs_secret *out_secret)
{
    for (int i = 0; i < CERTS_SECRET_COUNT; i++) {
        const struct certs_fact *fact = &in->seen->certs.of[i];
        if (fact->presence == CERTS_PRESENT && fact->is_usable && !fact->is_foreign &&
            in->now_ms >= certs_worry_ms(fact)) {
            *out_secret = (enum certs_secret)i;
            return fact;
        }
    }
    return NULL;
}

static void judge_rotation(const struct certs_due *due, struct condition *out)
{
    bool is_peer = due->steps[CERTS_PEER_CA] != CERTS_STABLE;
    enum certs_step step = due->steps[is_peer ? CERTS_PEER_CA : CERTS_CLIENT_CA];
    judge_as(out, CONDITION_TRUE, REASON_RotatingAuthority,
             "The authority of %s is being replaced: %s; the next step comes %s",
             is_peer ? "peers" : "clients",
             step == CERTS_TRUSTING ? "both are trusted, the old one issues"
                                    : "both are trusted, the new one issues",
             due->next_ms == 0 ? "at once" : rfc3339_format(due->next_ms).text);
}

static void judge_certificates(const struct condition_input *in, struct condition *out)
{
    if (!certs_are_wanted(in->want)) {
        judge_as(out, CONDITION_FALSE, REASON_TLSDisabled,
                 "Members and clients speak plain text: whoever reaches them can read and change "
                 "everything; use a network that you trust, or a cluster with spec.tls.mode: Auto");
        return;
    }
    struct certs_due due;
    enum certs_secret secret = CERTS_PEER;
    certs_decide(in->want, &in->seen->certs, in->now_ms, &due);
    const struct certs_fact *worry = first_worry(in, &secret);
    const struct certs_fact *first = NULL;
    if (worry != NULL) {
        bool is_over = in->now_ms >= worry->not_after_ms;
        judge_as(out, CONDITION_FALSE,
                 is_over ? REASON_CertificateExpired : REASON_CertificateExpiring,
                 "The certificate in Secret %s %s %s and was not renewed: %s",
                 certs_secret_name(in->want, secret).text, is_over ? "has ended at" : "ends at",
                 rfc3339_format(worry->not_after_ms).text,
                 in->want->tls_mode == SPEC_TLS_SECRETS ? "put a new one there"
                 : in->want->tls_mode == SPEC_TLS_CERT_MANAGER
                     ? "see the Certificate of that name"
                     : "see the operator's log for why its Secret cannot be written");
    } else if (due.problem != CERTS_NO_PROBLEM) {
        judge_problem(&due, in->want->tls_mode,
                      certs_secret_name(in->want, due.problem_secret).text, out);
    } else if (due.steps[CERTS_PEER_CA] != CERTS_STABLE ||
               due.steps[CERTS_CLIENT_CA] != CERTS_STABLE) {
        judge_rotation(&due, out);
    } else {
        first = first_to_end(&in->seen->certs, &secret);
        judge_as(out, CONDITION_TRUE, REASON_AsExpected,
                 "All certificates can be used; the first to end is that of %s, at %s",
                 certs_secret_text(secret),
                 first == NULL ? "" : rfc3339_format(first->not_after_ms).text);
    }
}

static void judge_paused(const struct condition_input *in, struct condition *out)
{
    if (in->want->paused) {
        judge_as(out, CONDITION_TRUE, REASON_Paused, "Nothing is changed; set spec.paused: false");
    } else {
        judge_as(out, CONDITION_FALSE, REASON_NotPaused, "The operator may act");
    }
}

static const struct condition_rule RULES[] = {
    {"Ready", judge_ready},
    {"Reconciling", judge_reconciling},
    {"Stalled", judge_stalled},
    {"Available", judge_available},
    {"Progressing", judge_progressing},
    {"Degraded", judge_degraded},
    {"QuorumHealthy", judge_quorum},
    {"MembersHealthy", judge_members},
    {"ClusterIDConsistent", judge_cluster_id},
    {"SpaceHealthy", judge_space},
    {"DataConsistent", judge_data},
    {"SpreadSatisfied", judge_spread},
    {"UpToDate", judge_up_to_date},
    {"CertificatesValid", judge_certificates},
    {"Paused", judge_paused},
};

const struct condition_rule *condition_rules(size_t *out_count)
{
    *out_count = ARRAY_COUNT(RULES);
    return RULES;
}

const char *condition_status_text(enum condition_status status)
{
    static const char *const TEXTS[] = {"False", "True", "Unknown"};
    ASSERT(status < ARRAY_COUNT(TEXTS));
    return TEXTS[status];
}

/* When the status of that type last moved: the old time while it is the same. */
static int64_t transition_ms(const struct json *previous, const char *type, const char *status,
                             int64_t now_ms)
{
    for (size_t i = 0; i < json_count(previous); i++) {
        const struct json *old = json_at(previous, i);
        if (str_equal(json_str(json_get(old, "type"), NULL), type)) {
            bool same = str_equal(json_str(json_get(old, "status"), NULL), status);
            int64_t then_ms = rfc3339_parse(json_str(json_get(old, "lastTransitionTime"), NULL));
            return same && then_ms > 0 ? then_ms : now_ms;
        }
    }
    return now_ms;
}

struct json *conditions_build(const struct condition_input *in, const struct json *previous)
{
    struct json *array = json_array();
    for (size_t i = 0; i < ARRAY_COUNT(RULES); i++) {
        struct condition condition;
        memset(&condition, 0, sizeof(condition));
        RULES[i].judge(in, &condition);
        const char *status = condition_status_text(condition.status);
        int64_t moved_ms = transition_ms(previous, RULES[i].type, status, in->now_ms);
        struct json *object = json_object();
        json_set_str(object, "type", RULES[i].type);
        json_set_str(object, "status", status);
        json_set_str(object, "reason", reason_text(condition.reason));
        json_set_str(object, "message", condition.message);
        json_set_str(object, "lastTransitionTime", rfc3339_format(moved_ms).text);
        json_set_int(object, "observedGeneration", in->want->generation);
        json_append(array, object);
    }
    return array;
}
