/* SPDX-License-Identifier: Apache-2.0 */
/* What all objects share: meta, labels, owner, and the comparison of wanted with actual. */
#include "controller/build/object.h"

#include <stdio.h>

#include "controller/build/build.h"

struct json *build_labels(const struct cluster_spec *want, const char *member)
{
    struct json *labels = json_object();
    json_set_str(labels, LABEL_NAME, "quorate");
    json_set_str(labels, LABEL_INSTANCE, want->name);
    json_set_str(labels, LABEL_COMPONENT, "etcd");
    json_set_str(labels, LABEL_MANAGED_BY, NAMES_FIELD_MANAGER);
    json_set_str(labels, LABEL_CLUSTER, want->name);
    if (member != NULL) {
        json_set_str(labels, LABEL_MEMBER, member);
    }
    return labels;
}

struct json *build_owner(const struct cluster_spec *want)
{
    struct json *owner = json_object();
    json_set_str(owner, "apiVersion", NAMES_API_VERSION);
    json_set_str(owner, "kind", "EtcdCluster");
    json_set_str(owner, "name", want->name);
    json_set_str(owner, "uid", want->uid);
    json_set_bool(owner, "controller", true);
    json_set_bool(owner, "blockOwnerDeletion", true);
    struct json *owners = json_array();
    json_append(owners, owner);
    return owners;
}

struct json *object_new(const struct cluster_spec *want, const char *api_version, const char *kind,
                        const char *name, const char *member)
{
    struct json *object = json_object();
    json_set_str(object, "apiVersion", api_version);
    json_set_str(object, "kind", kind);
    struct json *meta = json_ensure_object(object, "metadata");
    json_set_str(meta, "name", name);
    json_set_str(meta, "namespace", want->ns);
    json_set(meta, "labels", build_labels(want, member));
    json_set(meta, "ownerReferences", build_owner(want));
    return object;
}

void object_merge_strings(struct json *into, const struct json *extra)
{
    for (size_t i = 0; i < json_count(extra); i++) {
        const char *key = json_key_at(extra, i);
        if (json_get(into, key) == NULL) {
            json_set(into, key, json_copy(json_at(extra, i)));
        }
    }
}

struct json *object_selector(const struct cluster_spec *want)
{
    struct json *selector = json_object();
    json_set_str(selector, LABEL_CLUSTER, want->name);
    json_set_str(selector, LABEL_COMPONENT, "etcd");
    return selector;
}

struct name build_cluster_token(const struct cluster_spec *want)
{
    struct name token;
    snprintf(token.text, sizeof(token.text), "%s-%s", want->name, want->uid);
    return token;
}

bool build_covers(const struct json *actual, const struct json *wanted)
{
    if (json_is(wanted, JSON_OBJECT)) {
        if (!json_is(actual, JSON_OBJECT)) {
            return json_count(wanted) == 0 && actual == NULL;
        }
        for (size_t i = 0; i < json_count(wanted); i++) {
            if (!build_covers(json_get(actual, json_key_at(wanted, i)), json_at(wanted, i))) {
                return false;
            }
        }
        return true;
    }
    if (json_is(wanted, JSON_ARRAY)) {
        if (!json_is(actual, JSON_ARRAY) || json_count(actual) != json_count(wanted)) {
            return json_count(wanted) == 0 && actual == NULL;
        }
        for (size_t i = 0; i < json_count(wanted); i++) {
            if (!build_covers(json_at(actual, i), json_at(wanted, i))) {
                return false;
            }
        }
        return true;
    }
    return json_equal(actual, wanted);
}
