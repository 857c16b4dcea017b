/* SPDX-License-Identifier: Apache-2.0 */
/* The status, whole, in one pure function; what it does not know it leaves out. */
#include "controller/model/status.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "controller/model/certs.h"
#include "controller/model/condition.h"
#include "controller/model/names.h"
#include "controller/model/rfc3339.h"
#include "controller/model/view.h"

/* Fields that move all the time: a change of these alone is written once per refresh. */
static const char *const NUMBERS[] = {"revision", "dbSize", "dbSizeInUse", "statsTime"};
static const char *const MEMBER_NUMBERS[] = {"appliedIndex", "lag", "dbSize"};

struct writer {
    const struct cluster_spec *want;
    const struct observed *seen;
    const struct plan *plan;
    const struct view *view;
    int64_t now_ms;
};

static const char *role_of(const struct member_view *member)
{
    if (member->etcd == NULL) {
        return "Unknown";
    }
    return member->is_leader ? "Leader" : (member->is_voter ? "Voter" : "Learner");
}

static struct json *member_row(const struct writer *in, const struct member_view *member)
{
    struct json *row = json_object();
    json_set_str(row, "name", member->name.text);
    if (member->etcd != NULL) {
        json_set(row, "id", json_stringf("%" PRIx64, member->etcd->id));
    }
    json_set_str(row, "role", role_of(member));
    json_set_bool(row, "healthy", member->healthy);
    json_set_bool(row, "ready", member->pod != NULL && member->pod->ready);
    json_set_str(row, "since", rfc3339_format(member->since_ms).text);
    if (member->pod != NULL && member->pod->node != NULL) {
        json_set_str(row, "node", member->pod->node);
        for (size_t i = 0; i < in->seen->node_count; i++) {
            if (str_equal(in->seen->nodes[i].name, member->pod->node) &&
                in->seen->nodes[i].zone != NULL) {
                json_set_str(row, "zone", in->seen->nodes[i].zone);
            }
        }
    }
    const struct observed_endpoint *endpoint = member->endpoint;
    if (endpoint != NULL) {
        if (endpoint->version != NULL) {
            json_set_str(row, "version", endpoint->version);
        }
        json_set_int(row, "appliedIndex", (int64_t)endpoint->applied_index);
        if (in->view->leader_index >= endpoint->applied_index) {
            json_set_int(row, "lag", (int64_t)(in->view->leader_index - endpoint->applied_index));
        }
        json_set_int(row, "dbSize", endpoint->db_size_bytes);
    }
    if (member->evidence != EVIDENCE_None) {
        json_set_str(row, "message", evidence_text(member->evidence));
    }
    return row;
}

/* A size for people, as a Kubernetes quantity with at most one decimal. */
static void write_size(struct json *status, const char *key, int64_t bytes)
{
    static const char *const UNITS[] = {"", "Ki", "Mi", "Gi", "Ti"};
    size_t unit = 0;
    int64_t tenths = bytes * 10;
    while (tenths >= 10240 && unit + 1 < ARRAY_COUNT(UNITS)) {
        tenths /= 1024;
        unit++;
    }
    if (tenths >= 100 || tenths % 10 == 0) {
        json_set(status, key, json_stringf("%" PRId64 "%s", tenths / 10, UNITS[unit]));
    } else {
        json_set(status, key,
                 json_stringf("%" PRId64 ".%" PRId64 "%s", tenths / 10, tenths % 10, UNITS[unit]));
    }
}

/* The newest numbers, by the leader when it answers, else by any member. */
static void write_numbers(const struct writer *in, struct json *status)
{
    const struct member_view *source = view_caller(in->view, NULL);
    if (source == NULL || source->endpoint == NULL) {
        return;
    }
    json_set_int(status, "term", (int64_t)in->view->term);
    json_set_int(status, "revision", in->view->revision);
    write_size(status, "dbSize", source->endpoint->db_size_bytes);
    write_size(status, "dbSizeInUse", source->endpoint->db_in_use_bytes);
    if (source->endpoint->version != NULL) {
        json_set_str(status, "version", source->endpoint->version);
    }
}

/* Members, the leader, endpoints that clients may use. */
static void write_members(const struct writer *in, struct json *status)
{
    struct json *rows = json_array();
    struct json *endpoints = json_array();
    int64_t ready = 0;
    for (size_t i = 0; i < in->view->member_count; i++) {
        const struct member_view *member = &in->view->members[i];
        json_append(rows, member_row(in, member));
        if (member->is_leader) {
            json_set_str(status, "leader", member->name.text);
        }
        if (member->is_voter && member->ordinal != OBSERVED_NO_ORDINAL) {
            struct name url = names_client_url(spec_scheme(in->want), member->name.text,
                                               in->want->name, in->want->ns);
            json_append(endpoints, json_string(url.text));
        }
        ready += member->is_voter && member->healthy ? 1 : 0;
    }
    /* Without a fresh list the endpoints are the last known ones: they are names, not news. */
    const struct json *known = json_get(in->seen->status, "endpoints");
    if (!in->view->fresh && known != NULL) {
        json_free(endpoints);
        endpoints = json_copy(known);
    }
    json_set_int(status, "readyReplicas", ready);
    json_set(status, "ready", json_stringf("%" PRId64 "/%" PRId64, ready, in->want->replicas));
    json_set_int(status, "voters", in->view->voter_count);
    json_set_int(status, "learners", in->view->learner_count);
    json_set(status, "members", rows);
    json_set(status, "endpoints", endpoints);
}

/* How many members exist: by etcd's list, or by the Pods while it cannot be asked. */
static int64_t replica_count(const struct writer *in)
{
    if (in->view->fresh) {
        return in->view->voter_count + in->view->learner_count;
    }
    int64_t count = 0;
    for (size_t i = 0; i < in->seen->pod_count; i++) {
        count += in->seen->pods[i].deleting ? 0 : 1;
    }
    return count;
}

/* Ten are kept; replacements of the last hour outlive the rest, because the storm brake counts
 * them. */
static void trim_operations(struct json *list, int64_t now_ms)
{
    while (json_count(list) > OPERATIONS_KEPT_MAX) {
        size_t victim = json_count(list) - 1;
        for (size_t i = json_count(list); i-- > 0;) {
            struct operation operation;
            operation_read(json_at(list, i), &operation);
            bool counts = operation.type == OPERATION_REPLACE &&
                          operation.started_ms >= now_ms - INT64_C(3600000);
            if (!counts) {
                victim = i;
                break;
            }
        }
        json_remove_at(list, victim);
    }
}

static void write_operations(const struct writer *in, struct json *status)
{
    if (in->plan->operation.type != OPERATION_NONE) {
        json_set(status, "operation", operation_json(&in->plan->operation));
    }
    const struct json *before = json_get(in->seen->status, "lastOperations");
    struct json *list = json_array();
    for (size_t i = in->plan->finished_count; i-- > 0;) {
        json_append(list, operation_json(&in->plan->finished[i]));
    }
    for (size_t i = 0; i < json_count(before); i++) {
        json_append(list, json_copy(json_at(before, i)));
    }
    trim_operations(list, in->now_ms);
    json_set(status, "lastOperations", list);
}

static void write_identity(const struct writer *in, struct json *status)
{
    if (in->plan->cluster_id != 0) {
        json_set(status, "clusterID", json_stringf("%" PRIx64, in->plan->cluster_id));
    }
    json_set(status, "clusterToken", json_stringf("%s-%s", in->want->name, in->want->uid));
    json_set_int(status, "nextOrdinal", in->plan->next_ordinal);
    json_set(status, "selector", json_stringf("%s=%s", LABEL_CLUSTER, in->want->name));
    json_set_str(status, "clientServiceName", names_client_service(in->want->name).text);
    json_set_int(status, "replicas", replica_count(in));
    if (in->plan->scale_failures > 0) {
        json_set_int(status, "scaleFailures", in->plan->scale_failures);
    }
    json_set_str(status, "phase", in->plan->progress == NULL ? "" : in->plan->progress);
}

static void write_authority(struct json *tls, const char *key, const struct certs_fact *fact,
                            enum certs_step step)
{
    if (fact->presence != CERTS_PRESENT || !fact->is_usable) {
        return;
    }
    struct json *row = json_ensure_object(tls, key);
    json_set_int(row, "generation", fact->generation);
    json_set_str(row, "step", certs_step_text(step));
}

/* Names, times and generations: what a Secret holds stays there. */
static void write_tls(const struct writer *in, struct json *status)
{
    struct json *tls = json_ensure_object(status, "tls");
    json_set_str(tls, "mode", spec_tls_mode_text(in->want->tls_mode));
    if (!certs_are_wanted(in->want)) {
        return;
    }
    struct certs_due due;
    certs_decide(in->want, &in->seen->certs, in->now_ms, &due);
    write_authority(tls, "peerAuthority", &in->seen->certs.of[CERTS_PEER_CA],
                    due.steps[CERTS_PEER_CA]);
    write_authority(tls, "clientAuthority", &in->seen->certs.of[CERTS_CLIENT_CA],
                    due.steps[CERTS_CLIENT_CA]);
    if (in->want->tls_mode != SPEC_TLS_SECRETS) {
        json_set_str(status, "clientSecretName", certs_secret_name(in->want, CERTS_USER).text);
    }
    struct json *rows = json_array();
    for (int i = 0; i < CERTS_SECRET_COUNT; i++) {
        const struct certs_fact *fact = &in->seen->certs.of[i];
        if (fact->presence != CERTS_PRESENT || !fact->is_usable || fact->is_foreign) {
            continue;
        }
        struct json *row = json_append(rows, json_object());
        json_set_str(row, "name", certs_secret_text((enum certs_secret)i));
        json_set_str(row, "secretName", certs_secret_name(in->want, (enum certs_secret)i).text);
        json_set_str(row, "notAfter", rfc3339_format(fact->not_after_ms).text);
        if (in->want->tls_mode == SPEC_TLS_AUTO) {
            json_set_str(row, "renewAt", rfc3339_format(certs_renew_ms(fact)).text);
        }
    }
    json_set(tls, "certificates", rows);
}

struct json *status_build(const struct cluster_spec *want, const struct observed *seen,
                          const struct plan *plan, int64_t now_ms)
{
    struct view *view = mem_alloc(sizeof(*view));
    view_make(want, seen, now_ms, view);
    const struct writer in = {want, seen, plan, view, now_ms};
    const struct condition_input conditions = {want, seen, plan, view, now_ms};
    struct json *status = json_object();
    json_set_int(status, "observedGeneration", want->generation);
    write_identity(&in, status);
    write_tls(&in, status);
    write_members(&in, status);
    write_numbers(&in, status);
    write_operations(&in, status);
    json_set(status, "conditions",
             conditions_build(&conditions, json_get(seen->status, "conditions")));
    json_set_str(status, "statsTime", rfc3339_format(now_ms).text);
    mem_free(view);
    return status;
}

static bool is_number(const char *const *names, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], key) == 0) {
            return true;
        }
    }
    return false;
}

/* Every key of a that is no number stands equal in b. */
static bool covers_but_numbers(const struct json *a, const struct json *b,
                               const char *const *numbers, size_t count)
{
    for (size_t i = 0; i < json_count(a); i++) {
        const char *key = json_key_at(a, i);
        if (is_number(numbers, count, key) || strcmp(key, "members") == 0) {
            continue;
        }
        if (!json_equal(json_at(a, i), json_get(b, key))) {
            return false;
        }
    }
    return true;
}

static bool same_members(const struct json *a, const struct json *b)
{
    if (json_count(a) != json_count(b)) {
        return false;
    }
    for (size_t i = 0; i < json_count(a); i++) {
        const struct json *left = json_at(a, i);
        const struct json *right = json_at(b, i);
        if (!covers_but_numbers(left, right, MEMBER_NUMBERS, ARRAY_COUNT(MEMBER_NUMBERS)) ||
            !covers_but_numbers(right, left, MEMBER_NUMBERS, ARRAY_COUNT(MEMBER_NUMBERS))) {
            return false;
        }
    }
    return true;
}

bool status_needs_write(const struct json *previous, const struct json *next, int64_t now_ms)
{
    if (previous == NULL) {
        return true;
    }
    if (!covers_but_numbers(previous, next, NUMBERS, ARRAY_COUNT(NUMBERS)) ||
        !covers_but_numbers(next, previous, NUMBERS, ARRAY_COUNT(NUMBERS)) ||
        !same_members(json_get(previous, "members"), json_get(next, "members"))) {
        return true;
    }
    int64_t written_ms = rfc3339_parse(json_str(json_get(previous, "statsTime"), NULL));
    if (now_ms - written_ms < STATUS_NUMBERS_REFRESH_MS) {
        return false;
    }
    /* At rest nothing is written: a newer statsTime alone is no news. */
    return !json_equal(json_get(previous, "revision"), json_get(next, "revision")) ||
           !json_equal(json_get(previous, "dbSize"), json_get(next, "dbSize")) ||
           !json_equal(json_get(previous, "dbSizeInUse"), json_get(next, "dbSizeInUse")) ||
           !json_equal(json_get(previous, "members"), json_get(next, "members"));
}

struct json *status_body(const struct cluster_spec *want, struct json *status)
{
    struct json *body = json_object();
    json_set_str(body, "apiVersion", NAMES_API_VERSION);
    json_set_str(body, "kind", "EtcdCluster");
    struct json *meta = json_ensure_object(body, "metadata");
    json_set_str(meta, "name", want->name);
    json_set_str(meta, "namespace", want->ns);
    json_set(body, "status", status);
    return body;
}
