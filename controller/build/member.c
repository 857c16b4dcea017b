/* SPDX-License-Identifier: Apache-2.0 */
/* The EtcdMember: the operator's record of one member; deleting it asks for a safe replacement. */
#include <inttypes.h>

#include "controller/build/build.h"
#include "controller/build/object.h"

struct json *build_member(const struct cluster_spec *want, const struct build_member *member)
{
    struct json *object =
        object_new(want, NAMES_API_VERSION, "EtcdMember", member->member, member->member);
    struct json *meta = json_get(object, "metadata");
    json_append(json_ensure_array(meta, "finalizers"), json_string(FINALIZER_MEMBER));
    struct json *spec = json_ensure_object(object, "spec");
    json_set_str(spec, "clusterName", want->name);
    json_set_int(spec, "ordinal", member->ordinal);
    json_set_str(spec, "version", want->version);
    json_set_str(spec, "role", member->is_voter ? "Voter" : "Learner");
    json_set_bool(spec, "bootstrap", member->is_seed);
    return object;
}

struct json *build_member_status(const struct cluster_spec *want,
                                 const struct build_member_status *status)
{
    struct json *object = json_object();
    json_set_str(object, "apiVersion", NAMES_API_VERSION);
    json_set_str(object, "kind", "EtcdMember");
    struct json *meta = json_ensure_object(object, "metadata");
    json_set_str(meta, "name", status->member);
    json_set_str(meta, "namespace", want->ns);
    struct json *body = json_ensure_object(object, "status");
    json_set_str(body, "phase", status->phase);
    json_set_bool(body, "isVoter", status->is_voter);
    if (status->member_id != 0) {
        json_set(body, "memberID", json_stringf("%" PRIx64, status->member_id));
    }
    if (status->has_pod) {
        json_set_str(body, "podName", status->member);
    }
    if (status->has_volume) {
        json_set_str(body, "pvcName", names_pvc(status->member).text);
    }
    if (status->node != NULL) {
        json_set_str(body, "nodeName", status->node);
    }
    if (status->evidence != NULL) {
        json_append(json_ensure_array(body, "evidence"), json_string(status->evidence));
    }
    return object;
}
