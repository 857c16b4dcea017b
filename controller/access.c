/* SPDX-License-Identifier: Apache-2.0 */
/* The table of rights and its guard. */
#include "controller/access.h"

#include <string.h>

#include "base/alloc.h"

const struct access_rule ACCESS_RULES[] = {
    {ACCESS_CLUSTERS, KUBE_ETCD_CLUSTER, NULL, NULL, "list watch patch"},
    {ACCESS_CLUSTERS, KUBE_ETCD_CLUSTER, "status", NULL, "patch"},
    /* Never called: servers that check owner references ask for it when we name an owner. */
    {ACCESS_CLUSTERS, KUBE_ETCD_CLUSTER, "finalizers", NULL, "update"},
    {ACCESS_CLUSTERS, KUBE_ETCD_MEMBER, NULL, NULL, "list watch create patch delete"},
    {ACCESS_CLUSTERS, KUBE_ETCD_MEMBER, "status", NULL, "patch"},
    {ACCESS_CLUSTERS, KUBE_POD, NULL, NULL, "list watch create patch delete"},
    {ACCESS_CLUSTERS, KUBE_PVC, NULL, NULL, "list watch create patch delete"},
    {ACCESS_CLUSTERS, KUBE_SERVICE, NULL, NULL, "list watch create patch"},
    {ACCESS_CLUSTERS, KUBE_PDB, NULL, NULL, "list watch create patch delete"},
    /* By name only: nobody can list or watch them. They go with their owner, the cluster. */
    {ACCESS_CLUSTERS, KUBE_SECRET, NULL, NULL, "get create patch"},
    /* Mode CertManager. */
    {ACCESS_CLUSTERS, KUBE_ISSUER, NULL, NULL, "get create patch"},
    {ACCESS_CLUSTERS, KUBE_CERTIFICATE, NULL, NULL, "get create patch"},
    {ACCESS_CLUSTERS, KUBE_EVENT, NULL, NULL, "create"},
    {ACCESS_LEASE, KUBE_LEASE, NULL, NULL, "create"},
    {ACCESS_LEASE, KUBE_LEASE, NULL, "quorate-operator", "get update"},
    {ACCESS_NODES, KUBE_NODE, NULL, NULL, "list watch"},
};
const size_t ACCESS_RULE_COUNT = ARRAY_COUNT(ACCESS_RULES);

/* The RBAC verb of a call. An apply of an object that is not there asks for "create" too: every
 * kind that is applied whole has it in the table. */
static const char *const VERBS[KUBE_VERB_COUNT] = {
    [KUBE_GET] = "get",        [KUBE_LIST] = "list",   [KUBE_CREATE] = "create",
    [KUBE_REPLACE] = "update", [KUBE_APPLY] = "patch", [KUBE_MERGE_PATCH] = "patch",
    [KUBE_DELETE] = "delete",
};

static bool has_word(const char *words, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = words; (at = strstr(at, word)) != NULL; at += size) {
        bool starts = at == words || at[-1] == ' ';
        if (starts && (at[size] == ' ' || at[size] == 0)) {
            return true;
        }
    }
    return false;
}

bool access_allows(const struct kube_call *call)
{
    for (size_t i = 0; i < ACCESS_RULE_COUNT; i++) {
        const struct access_rule *rule = &ACCESS_RULES[i];
        bool named = rule->object_name == NULL || str_equal(rule->object_name, call->name);
        if (&KUBE_KINDS[rule->kind] == call->kind && named &&
            str_equal(rule->subresource, call->subresource) &&
            has_word(rule->verbs, VERBS[call->verb])) {
            return true;
        }
    }
    return false;
}

static int gate_call(void *ctx, const struct kube_call *call, struct json **out_object,
                     struct err *err)
{
    const struct access_gate *gate = ctx;
    if (!access_allows(call)) {
        return err_set(err, E_PERMISSION, "%s %s is not in the operator's table of rights",
                       kube_verb_text(call->verb), call->kind->plural);
    }
    return kube_call(gate->inner, call, out_object, err);
}

void access_gate_init(struct access_gate *gate, const struct kube_seam *inner)
{
    gate->inner = inner;
    gate->seam = (struct kube_seam){.ctx = gate, .call = gate_call};
}
