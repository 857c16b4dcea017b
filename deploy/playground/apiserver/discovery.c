/* SPDX-License-Identifier: Apache-2.0 */
/* Discovery documents from the registry. */
#include "discovery.h"

#include <string.h>

#include "base/alloc.h"

#define SERVER_VERSION "v1.32.0-quorate-playground"

struct json *discovery_server_version(void)
{
    struct json *version = json_object();
    json_set_str(version, "major", "1");
    json_set_str(version, "minor", "32");
    json_set_str(version, "gitVersion", SERVER_VERSION);
    json_set_str(version, "gitCommit", "");
    json_set_str(version, "gitTreeState", "clean");
    json_set_str(version, "buildDate", "2025-01-01T00:00:00Z");
    json_set_str(version, "goVersion", "none");
    json_set_str(version, "compiler", "gcc");
    json_set_str(version, "platform", "linux/amd64");
    return version;
}

struct json *discovery_core_versions(uint16_t port)
{
    struct json *versions = json_object();
    json_set_str(versions, "kind", "APIVersions");
    json_append(json_ensure_array(versions, "versions"), json_string("v1"));
    struct json *address = json_object();
    json_set_str(address, "clientCIDR", "0.0.0.0/0");
    json_set(address, "serverAddress", json_stringf("127.0.0.1:%u", port));
    json_append(json_ensure_array(versions, "serverAddressByClientCIDRs"), address);
    return versions;
}

static struct json *group_version(const char *group, const char *version)
{
    struct json *entry = json_object();
    json_set(entry, "groupVersion", json_stringf("%s/%s", group, version));
    json_set_str(entry, "version", version);
    return entry;
}

static bool group_has(const struct json *versions, const char *name)
{
    for (size_t i = 0; i < json_count(versions); i++) {
        if (strcmp(json_path_str(json_at(versions, i), "version", ""), name) == 0) {
            return true;
        }
    }
    return false;
}

struct json *discovery_group(const struct kinds *kinds, const char *group)
{
    struct json *versions = json_array();
    for (size_t i = 0; i < kinds->count; i++) {
        const struct kind *kind = kinds->list[i];
        for (size_t k = 0; strcmp(kind->group, group) == 0 && k < kind->version_count; k++) {
            const struct kind_version *version = &kind->versions[k];
            if (version->is_served && !group_has(versions, version->name)) {
                json_append(versions, group_version(group, version->name));
            }
        }
    }
    if (json_count(versions) == 0) {
        json_free(versions);
        return NULL;
    }
    struct json *entry = json_object();
    json_set_str(entry, "kind", "APIGroup");
    json_set_str(entry, "apiVersion", "v1");
    json_set_str(entry, "name", group);
    json_set(entry, "preferredVersion", json_copy(json_at(versions, 0)));
    json_set(entry, "versions", versions);
    return entry;
}

struct json *discovery_groups(const struct kinds *kinds)
{
    struct json *list = json_object();
    json_set_str(list, "kind", "APIGroupList");
    json_set_str(list, "apiVersion", "v1");
    struct json *groups = json_ensure_array(list, "groups");
    for (size_t i = 0; i < kinds->count; i++) {
        const char *name = kinds->list[i]->group;
        bool is_known = *name == '\0';
        for (size_t k = 0; k < json_count(groups); k++) {
            is_known = is_known || strcmp(json_path_str(json_at(groups, k), "name", ""), name) == 0;
        }
        struct json *group = is_known ? NULL : discovery_group(kinds, name);
        if (group != NULL) {
            json_remove(group, "kind");
            json_remove(group, "apiVersion");
            json_append(groups, group);
        }
    }
    return list;
}

static struct json *resource_entry(const struct kind *kind, const char *suffix)
{
    struct json *entry = json_object();
    json_set(entry, "name", json_stringf("%s%s", kind->plural, suffix));
    json_set_str(entry, "singularName", *suffix == '\0' ? kind->singular : "");
    json_set_bool(entry, "namespaced", (kind->flags & KIND_NAMESPACED) != 0);
    json_set_str(entry, "kind", kind->name);
    return entry;
}

static void add_verbs(struct json *entry, const char *const *verbs, size_t count)
{
    struct json *list = json_ensure_array(entry, "verbs");
    for (size_t i = 0; i < count; i++) {
        json_append(list, json_string(verbs[i]));
    }
}

static const char *const OBJECT_VERBS[] = {"create", "delete", "deletecollection", "get",
                                           "list",   "patch",  "update",           "watch"};
static const char *const STATUS_VERBS[] = {"get", "patch", "update"};
static const char *const CREATE_VERBS[] = {"create"};
static const char *const GET_VERBS[] = {"get"};

static void add_pod_parts(const struct kind *kind, struct json *resources)
{
    struct json *log = resource_entry(kind, "/log");
    add_verbs(log, GET_VERBS, ARRAY_COUNT(GET_VERBS));
    json_append(resources, log);
    struct json *binding = resource_entry(kind, "/binding");
    json_set_str(binding, "kind", "Binding");
    add_verbs(binding, CREATE_VERBS, ARRAY_COUNT(CREATE_VERBS));
    json_append(resources, binding);
    struct json *eviction = resource_entry(kind, "/eviction");
    json_set_str(eviction, "group", "policy");
    json_set_str(eviction, "version", "v1");
    json_set_str(eviction, "kind", "Eviction");
    add_verbs(eviction, CREATE_VERBS, ARRAY_COUNT(CREATE_VERBS));
    json_append(resources, eviction);
}

static void add_resource(const struct kind_version *version, struct json *resources)
{
    const struct kind *kind = version->kind;
    struct json *entry = resource_entry(kind, "");
    if ((kind->flags & KIND_REVIEW) != 0) {
        add_verbs(entry, CREATE_VERBS, ARRAY_COUNT(CREATE_VERBS));
        json_append(resources, entry);
        return;
    }
    add_verbs(entry, OBJECT_VERBS, ARRAY_COUNT(OBJECT_VERBS));
    if (json_count(kind->short_names) > 0) {
        json_set(entry, "shortNames", json_copy(kind->short_names));
    }
    if (json_count(kind->categories) > 0) {
        json_set(entry, "categories", json_copy(kind->categories));
    }
    json_set_str(entry, "storageVersionHash", "playground=");
    json_append(resources, entry);
    if ((version->flags & KIND_STATUS) != 0) {
        struct json *status = resource_entry(kind, "/status");
        add_verbs(status, STATUS_VERBS, ARRAY_COUNT(STATUS_VERBS));
        json_append(resources, status);
    }
    if ((version->flags & KIND_SCALE) != 0) {
        struct json *scale = resource_entry(kind, "/scale");
        json_set_str(scale, "group", "autoscaling");
        json_set_str(scale, "version", "v1");
        json_set_str(scale, "kind", "Scale");
        add_verbs(scale, STATUS_VERBS, ARRAY_COUNT(STATUS_VERBS));
        json_append(resources, scale);
    }
    if (strcmp(kind->store_key, "pods") == 0) {
        add_pod_parts(kind, resources);
    }
}

struct json *discovery_resources(const struct kinds *kinds, const char *group, const char *version)
{
    struct json *list = json_object();
    json_set_str(list, "kind", "APIResourceList");
    json_set_str(list, "apiVersion", "v1");
    json_set(list, "groupVersion",
             *group == '\0' ? json_string(version) : json_stringf("%s/%s", group, version));
    struct json *resources = json_ensure_array(list, "resources");
    for (size_t i = 0; i < kinds->count; i++) {
        const struct kind *kind = kinds->list[i];
        const struct kind_version *found =
            strcmp(kind->group, group) == 0 ? kind_version_find(kind, version) : NULL;
        if (found != NULL) {
            add_resource(found, resources);
        }
    }
    if (json_count(resources) == 0) {
        json_free(list);
        return NULL;
    }
    return list;
}
