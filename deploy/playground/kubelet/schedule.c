/* SPDX-License-Identifier: Apache-2.0 */
/* Filters and scores of nodes. PURE. */
#include "schedule.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "deploy/playground/apiserver/select.h"

#define SPREAD_WEIGHT 10

struct refusals {
    size_t not_ready;
    size_t tainted;
    size_t selector;
    size_t affinity;
    size_t spread;
    size_t volume;
};

static const char *name_of(const struct json *object)
{
    return json_path_str(object, "metadata.name", "");
}

static const char *label_of(const struct json *object, const char *key)
{
    return json_str(json_get(json_path(object, "metadata.labels"), key), NULL);
}

static bool is_node_ready(const struct json *node)
{
    const struct json *conditions = json_path(node, "status.conditions");
    for (size_t i = 0; i < json_count(conditions); i++) {
        if (str_equal(json_path_str(json_at(conditions, i), "type", ""), "Ready")) {
            return str_equal(json_path_str(json_at(conditions, i), "status", ""), "True") &&
                   !json_path_truth(node, "spec.unschedulable", false);
        }
    }
    return false;
}

static bool is_tolerated(const struct json *taint, const struct json *tolerations)
{
    for (size_t i = 0; i < json_count(tolerations); i++) {
        const struct json *row = json_at(tolerations, i);
        const char *key = json_path_str(row, "key", "");
        const char *effect = json_path_str(row, "effect", "");
        bool exists = str_equal(json_path_str(row, "operator", "Equal"), "Exists");
        bool same_key = (*key == '\0' && exists) || str_equal(key, json_path_str(taint, "key", ""));
        bool same_effect = *effect == '\0' || str_equal(effect, json_path_str(taint, "effect", ""));
        bool same_value =
            exists || str_equal(json_path_str(row, "value", ""), json_path_str(taint, "value", ""));
        if (same_key && same_effect && same_value) {
            return true;
        }
    }
    return false;
}

static bool tolerates(const struct json *pod, const struct json *node)
{
    const struct json *taints = json_path(node, "spec.taints");
    for (size_t i = 0; i < json_count(taints); i++) {
        bool is_hard =
            !str_equal(json_path_str(json_at(taints, i), "effect", ""), "PreferNoSchedule");
        if (is_hard && !is_tolerated(json_at(taints, i), json_path(pod, "spec.tolerations"))) {
            return false;
        }
    }
    return true;
}

static bool matches_expression(const struct json *expression, const char *value)
{
    const char *operator_ = json_path_str(expression, "operator", "");
    const struct json *values = json_get(expression, "values");
    bool is_in = false;
    for (size_t i = 0; i < json_count(values); i++) {
        is_in = is_in || str_equal(json_str(json_at(values, i), ""), value);
    }
    if (str_equal(operator_, "In")) {
        return is_in;
    }
    if (str_equal(operator_, "NotIn")) {
        return !is_in;
    }
    if (str_equal(operator_, "Exists")) {
        return value != NULL;
    }
    if (str_equal(operator_, "DoesNotExist")) {
        return value == NULL;
    }
    long long bound = strtoll(json_str(json_at(values, 0), "0"), NULL, 10);
    long long number = value == NULL ? bound : strtoll(value, NULL, 10);
    return str_equal(operator_, "Gt") ? number > bound : number < bound;
}

static bool matches_term(const struct json *term, const struct json *node)
{
    const struct json *labels = json_get(term, "matchExpressions");
    for (size_t i = 0; i < json_count(labels); i++) {
        const char *key = json_path_str(json_at(labels, i), "key", "");
        if (!matches_expression(json_at(labels, i), label_of(node, key))) {
            return false;
        }
    }
    const struct json *fields = json_get(term, "matchFields");
    for (size_t i = 0; i < json_count(fields); i++) {
        if (!matches_expression(json_at(fields, i), name_of(node))) {
            return false;
        }
    }
    return json_count(labels) + json_count(fields) > 0;
}

static bool matches_node(const struct json *pod, const struct json *node)
{
    const struct json *selector = json_path(pod, "spec.nodeSelector");
    if (json_count(selector) > 0 && !select_simple(selector, json_path(node, "metadata.labels"))) {
        return false;
    }
    const struct json *required =
        json_path(pod, "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
                       "nodeSelectorTerms");
    bool fits = json_count(required) == 0;
    for (size_t i = 0; i < json_count(required); i++) {
        fits = fits || matches_term(json_at(required, i), node);
    }
    return fits;
}

static bool is_placed(const struct json *pod)
{
    const char *phase = json_path_str(pod, "status.phase", "");
    return *json_path_str(pod, "spec.nodeName", "") != '\0' && !str_equal(phase, "Succeeded") &&
           !str_equal(phase, "Failed");
}

static const struct json *node_by_name(const struct schedule_input *input, const char *name)
{
    for (size_t i = 0; i < input->node_count; i++) {
        if (str_equal(name_of(input->nodes[i]), name)) {
            return input->nodes[i];
        }
    }
    return NULL;
}

/* How many placed Pods that selector matches are in the same topology as node. */
static int64_t count_in_topology(const struct schedule_input *input, const struct json *selector,
                                 const char *topology_key, const struct json *node)
{
    const char *domain = label_of(node, topology_key);
    int64_t count = 0;
    for (size_t i = 0; i < input->pod_count && domain != NULL; i++) {
        const struct json *other = input->pods[i];
        bool is_meant = is_placed(other) &&
                        str_equal(json_path_str(other, "metadata.namespace", ""),
                                  json_path_str(input->pod, "metadata.namespace", "")) &&
                        selector != NULL &&
                        select_label_selector(selector, json_path(other, "metadata.labels"));
        if (!is_meant) {
            continue;
        }
        const struct json *where = node_by_name(input, json_path_str(other, "spec.nodeName", ""));
        count += where != NULL && str_equal(label_of(where, topology_key), domain) ? 1 : 0;
    }
    return count;
}

static int64_t count_for_term(const struct schedule_input *input, const struct json *term,
                              const struct json *node)
{
    return count_in_topology(input, json_get(term, "labelSelector"),
                             json_path_str(term, "topologyKey", ""), node);
}

static const struct json *affinity_list(const struct json *pod, const char *kind, const char *when)
{
    const struct json *affinity = json_get(json_path(pod, "spec.affinity"), kind);
    return json_get(affinity, when);
}

static bool obeys_affinity(const struct schedule_input *input, const struct json *node)
{
    static const char REQUIRED[] = "requiredDuringSchedulingIgnoredDuringExecution";
    const struct json *anti = affinity_list(input->pod, "podAntiAffinity", REQUIRED);
    for (size_t i = 0; i < json_count(anti); i++) {
        if (count_for_term(input, json_at(anti, i), node) > 0) {
            return false;
        }
    }
    const struct json *pro = affinity_list(input->pod, "podAffinity", REQUIRED);
    for (size_t i = 0; i < json_count(pro); i++) {
        const struct json *selector = json_get(json_at(pro, i), "labelSelector");
        bool is_itself = select_label_selector(selector, json_path(input->pod, "metadata.labels"));
        if (count_for_term(input, json_at(pro, i), node) == 0 && !is_itself) {
            return false;
        }
    }
    return true;
}

/* The fewest Pods that any topology has which the Pod could go to. */
static int64_t least_in_topologies(const struct schedule_input *input,
                                   const struct json *constraint)
{
    int64_t least = INT64_MAX;
    const char *key = json_path_str(constraint, "topologyKey", "");
    for (size_t i = 0; i < input->node_count; i++) {
        if (label_of(input->nodes[i], key) != NULL && matches_node(input->pod, input->nodes[i])) {
            int64_t count = count_for_term(input, constraint, input->nodes[i]);
            least = BASE_MIN(least, count);
        }
    }
    return least == INT64_MAX ? 0 : least;
}

static bool obeys_spread(const struct schedule_input *input, const struct json *node)
{
    const struct json *list = json_path(input->pod, "spec.topologySpreadConstraints");
    for (size_t i = 0; i < json_count(list); i++) {
        const struct json *constraint = json_at(list, i);
        if (!str_equal(json_path_str(constraint, "whenUnsatisfiable", "DoNotSchedule"),
                       "DoNotSchedule")) {
            continue;
        }
        int64_t skew =
            count_for_term(input, constraint, node) + 1 - least_in_topologies(input, constraint);
        if (label_of(node, json_path_str(constraint, "topologyKey", "")) == NULL ||
            skew > json_path_i64(constraint, "maxSkew", 1)) {
            return false;
        }
    }
    return true;
}

static bool passes(const struct schedule_input *input, const struct json *node,
                   struct refusals *refusals)
{
    if (!is_node_ready(node)) {
        refusals->not_ready++;
    } else if (!tolerates(input->pod, node)) {
        refusals->tainted++;
    } else if (!matches_node(input->pod, node)) {
        refusals->selector++;
    } else if (input->volume_node != NULL && !str_equal(input->volume_node, name_of(node))) {
        refusals->volume++;
    } else if (!obeys_affinity(input, node)) {
        refusals->affinity++;
    } else if (!obeys_spread(input, node)) {
        refusals->spread++;
    } else {
        return true;
    }
    return false;
}

static int64_t weighted(const struct schedule_input *input, const char *kind,
                        const struct json *node)
{
    const struct json *list =
        affinity_list(input->pod, kind, "preferredDuringSchedulingIgnoredDuringExecution");
    int64_t sum = 0;
    for (size_t i = 0; i < json_count(list); i++) {
        const struct json *row = json_at(list, i);
        sum += json_path_i64(row, "weight", 1) *
               count_for_term(input, json_get(row, "podAffinityTerm"), node);
    }
    return sum;
}

/* Higher is better; the number of Pods on the node breaks ties. */
static int64_t score(const struct schedule_input *input, const struct json *node)
{
    int64_t points =
        weighted(input, "podAffinity", node) - weighted(input, "podAntiAffinity", node);
    const struct json *preferred = json_path(
        input->pod, "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution");
    for (size_t i = 0; i < json_count(preferred); i++) {
        const struct json *row = json_at(preferred, i);
        points +=
            matches_term(json_get(row, "preference"), node) ? json_path_i64(row, "weight", 1) : 0;
    }
    const struct json *spread = json_path(input->pod, "spec.topologySpreadConstraints");
    for (size_t i = 0; i < json_count(spread); i++) {
        points -= SPREAD_WEIGHT * count_for_term(input, json_at(spread, i), node);
    }
    int64_t crowd = 0;
    for (size_t i = 0; i < input->pod_count; i++) {
        crowd +=
            is_placed(input->pods[i]) &&
                    str_equal(json_path_str(input->pods[i], "spec.nodeName", ""), name_of(node))
                ? 1
                : 0;
    }
    return points * 1000 - crowd;
}

static void explain(const struct refusals *refusals, size_t node_count, struct err *err)
{
    const struct {
        size_t count;
        const char *text;
    } rows[] = {
        {refusals->not_ready, "node(s) were not ready or cordoned"},
        {refusals->tainted, "node(s) had untolerated taint"},
        {refusals->selector, "node(s) didn't match Pod's node affinity/selector"},
        {refusals->volume, "node(s) had volume node affinity conflict"},
        {refusals->affinity, "node(s) didn't match pod affinity/anti-affinity rules"},
        {refusals->spread, "node(s) didn't match pod topology spread constraints"},
    };
    struct buf text;
    buf_init(&text, ERR_TEXT_MAX);
    buf_printf(&text, "0/%zu nodes are available:", node_count);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (rows[i].count > 0) {
            buf_printf(&text, " %zu %s,", rows[i].count, rows[i].text);
        }
    }
    text.data[text.size - 1] = '.';
    err_set(err, E_REFUSED, "%s", buf_cstr(&text));
    buf_free(&text);
}

int schedule_pick(const struct schedule_input *input, const char **out_node, struct err *err)
{
    struct refusals refusals = {0};
    const struct json *best = NULL;
    int64_t best_score = 0;
    for (size_t i = 0; i < input->node_count; i++) {
        const struct json *node = input->nodes[i];
        if (!passes(input, node, &refusals)) {
            continue;
        }
        int64_t points = score(input, node);
        if (best == NULL || points > best_score) {
            best = node;
            best_score = points;
        }
    }
    if (best == NULL) {
        explain(&refusals, input->node_count, err);
        return E_REFUSED;
    }
    *out_node = name_of(best);
    return 0;
}
