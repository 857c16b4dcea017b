/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /openapi/v2 (JSON and protobuf) and /openapi/v3 (JSON): the schemas of all kinds, and per kind
 * the one operation that clients look up, PATCH, with the query parameters that it supports.
 */
#include <string.h>

#include "apiserver.h"
#include "base/alloc.h"
#include "openapi_pb.h"
#include "types.h"

#define V2_PREFIX   "#/definitions/"
#define V3_PREFIX   "#/components/schemas/"
#define META_TYPE   "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
#define GVK         "x-kubernetes-group-version-kind"
#define V2_PROTOBUF "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

static struct json *gvk_of(const struct kind_version *version)
{
    struct json *gvk = json_object();
    json_set_str(gvk, "group", version->kind->group);
    json_set_str(gvk, "version", version->name);
    json_set_str(gvk, "kind", version->kind->name);
    return gvk;
}

/* What OpenAPI v2 cannot say, and what would make old clients refuse unknown fields. */
static void simplify_for_v2(struct json *schema)
{
    static const char *const UNKNOWN[] = {
        "oneOf", "anyOf", "not", "allOf", "default", "enum", "x-kubernetes-validations"};
    for (size_t i = 0; i < ARRAY_COUNT(UNKNOWN); i++) {
        json_remove(schema, UNKNOWN[i]);
    }
    if (json_path_truth(schema, "x-kubernetes-preserve-unknown-fields", false)) {
        json_remove(schema, "properties");
        json_remove(schema, "additionalProperties");
        json_remove(schema, "required");
    }
    if (json_path_truth(schema, "nullable", false)) {
        json_remove(schema, "type");
        json_remove(schema, "properties");
        json_remove(schema, "items");
        json_remove(schema, "nullable");
    }
    struct json *properties = json_get(schema, "properties");
    for (size_t i = 0; i < json_count(properties); i++) {
        simplify_for_v2(json_at(properties, i));
    }
    static const char *const CHILDREN[] = {"items", "additionalProperties"};
    for (size_t i = 0; i < ARRAY_COUNT(CHILDREN); i++) {
        if (json_is(json_get(schema, CHILDREN[i]), JSON_OBJECT)) {
            simplify_for_v2(json_get(schema, CHILDREN[i]));
        }
    }
}

static void add_builtin_types(struct json *schemas, const char *prefix)
{
    for (size_t i = 0; i < TYPE_ROW_COUNT; i++) {
        char *name = types_public_name(&TYPE_ROWS[i]);
        json_set(schemas, name, types_schema(&TYPE_ROWS[i], prefix));
        mem_free(name);
    }
}

/* Gives "dev.quorate.v1alpha1.EtcdCluster" for group quorate.dev. */
static char *custom_name(const struct kind_version *version)
{
    struct buf name;
    buf_init(&name, BUF_NO_LIMIT);
    const char *group = version->kind->group;
    const char *end = group + strlen(group);
    while (end > group) {
        const char *start = end;
        while (start > group && start[-1] != '.') {
            start--;
        }
        buf_append(&name, start, (size_t)(end - start));
        buf_append_str(&name, ".");
        end = start > group ? start - 1 : group;
    }
    buf_printf(&name, "%s.%s", version->name, version->kind->name);
    char *text = str_dup(buf_cstr(&name));
    buf_free(&name);
    return text;
}

static void add_kind_schema(const struct kind_version *version, struct json *schemas,
                            const char *prefix)
{
    const struct kind *kind = version->kind;
    char *name = kind->type_name != NULL ? types_public_name(types_find(kind->type_name))
                                         : custom_name(version);
    struct json *schema = json_get(schemas, name);
    if (schema == NULL && version->schema != NULL) {
        schema = json_copy(version->schema);
        struct json *metadata = json_object();
        json_set(metadata, "$ref", json_stringf("%s%s", prefix, META_TYPE));
        json_set(json_ensure_object(schema, "properties"), "metadata", metadata);
        json_set(schemas, name, schema);
    }
    if (schema != NULL) {
        json_append(json_ensure_array(schema, GVK), gvk_of(version));
    }
    mem_free(name);
}

static void add_path(const struct kind_version *version, struct json *paths, bool is_v3)
{
    const struct kind *kind = version->kind;
    char *api_version = kind_api_version(version);
    bool is_namespaced = (kind->flags & KIND_NAMESPACED) != 0;
    char *path =
        str_printf("/%s/%s/%s%s/{name}", *kind->group == '\0' ? "api" : "apis", api_version,
                   is_namespaced ? "namespaces/{namespace}/" : "", kind->plural);
    struct json *patch = json_ensure_object(json_ensure_object(paths, path), "patch");
    json_set(patch, "operationId", json_stringf("patch%s%s", kind->name, version->name));
    static const char *const PARAMETERS[] = {"dryRun", "fieldManager", "fieldValidation", "force"};
    struct json *parameters = json_ensure_array(patch, "parameters");
    for (size_t i = 0; i < ARRAY_COUNT(PARAMETERS); i++) {
        struct json *parameter = json_object();
        json_set_str(parameter, "name", PARAMETERS[i]);
        json_set_str(parameter, "in", "query");
        if (is_v3) {
            json_set_str(json_ensure_object(parameter, "schema"), "type", "string");
        } else {
            json_set_str(parameter, "type", "string");
        }
        json_append(parameters, parameter);
    }
    struct json *responses = json_ensure_object(patch, "responses");
    json_set_str(json_ensure_object(responses, "200"), "description", "OK");
    json_set(patch, GVK, gvk_of(version));
    mem_free(path);
    mem_free(api_version);
}

static struct json *document_new(const char *version_key, const char *version)
{
    struct json *document = json_object();
    json_set_str(document, version_key, version);
    struct json *info = json_ensure_object(document, "info");
    json_set_str(info, "title", "Kubernetes");
    json_set_str(info, "version", "v1.32.0");
    json_set(document, "paths", json_object());
    return document;
}

static void add_kinds(const struct kinds *kinds, const char *group, const char *version_name,
                      struct json *paths, struct json *schemas, const char *prefix)
{
    bool is_v3 = strcmp(prefix, V3_PREFIX) == 0;
    for (size_t i = 0; i < kinds->count; i++) {
        const struct kind *kind = kinds->list[i];
        for (size_t k = 0; k < kind->version_count; k++) {
            const struct kind_version *version = &kind->versions[k];
            bool is_wanted = group == NULL || (strcmp(kind->group, group) == 0 &&
                                               strcmp(version->name, version_name) == 0);
            if (is_wanted && version->is_served) {
                add_path(version, paths, is_v3);
                add_kind_schema(version, schemas, prefix);
            }
        }
    }
}

static struct json *document_v2(const struct kinds *kinds)
{
    struct json *document = document_new("swagger", "2.0");
    struct json *schemas = json_ensure_object(document, "definitions");
    add_builtin_types(schemas, V2_PREFIX);
    add_kinds(kinds, NULL, NULL, json_get(document, "paths"), schemas, V2_PREFIX);
    for (size_t i = 0; i < json_count(schemas); i++) {
        simplify_for_v2(json_at(schemas, i));
    }
    return document;
}

/* The document of one group version, or NULL. */
static struct json *document_v3(const struct kinds *kinds, const char *group, const char *version)
{
    struct json *document = document_new("openapi", "3.0.0");
    struct json *schemas =
        json_ensure_object(json_ensure_object(document, "components"), "schemas");
    add_builtin_types(schemas, V3_PREFIX);
    add_kinds(kinds, group, version, json_get(document, "paths"), schemas, V3_PREFIX);
    if (json_count(json_get(document, "paths")) == 0) {
        json_free(document);
        return NULL;
    }
    return document;
}

/* Changes whenever a CRD does. */
static uint64_t schema_stamp(struct store *store)
{
    struct table *crds =
        objects_table(&store->objects, "customresourcedefinitions.apiextensions.k8s.io");
    uint64_t stamp = 1;
    for (size_t i = 0; i < crds->count; i++) {
        stamp = stamp * 31 + crds->rows[i]->revision;
    }
    return stamp;
}

static struct json *index_v3(struct store *store)
{
    struct json *index = json_object();
    struct json *paths = json_ensure_object(index, "paths");
    unsigned long long stamp = schema_stamp(store);
    for (size_t i = 0; i < store->kinds.count; i++) {
        const struct kind *kind = store->kinds.list[i];
        for (size_t k = 0; k < kind->version_count; k++) {
            char *api_version = kind_api_version(&kind->versions[k]);
            char *path = str_printf("%s/%s", *kind->group == '\0' ? "api" : "apis", api_version);
            if (kind->versions[k].is_served) {
                json_set(json_ensure_object(paths, path), "serverRelativeURL",
                         json_stringf("/openapi/v3/%s?hash=%llX", path, stamp));
            }
            mem_free(path);
            mem_free(api_version);
        }
    }
    return index;
}

/* The part of path behind "/openapi/v3/": "api/v1" or "apis/g/v". */
static struct json *document_for(struct store *store, const char *path)
{
    if (strcmp(path, "api/v1") == 0) {
        return document_v3(&store->kinds, "", "v1");
    }
    const char *slash = strncmp(path, "apis/", 5) == 0 ? strchr(path + 5, '/') : NULL;
    if (slash == NULL) {
        return NULL;
    }
    char *group = str_from(path + 5, (size_t)(slash - path - 5));
    struct json *document = document_v3(&store->kinds, group, slash + 1);
    mem_free(group);
    return document;
}

static void send_v2(struct call *call, const struct json *document)
{
    struct buf body;
    buf_init(&body, BUF_NO_LIMIT);
    bool is_protobuf =
        strstr(http_header(call->http, "Accept", ""), "proto-openapi.spec.v2") != NULL;
    if (is_protobuf) {
        openapi_pb_encode(document, &body);
    } else {
        json_write(document, JSON_COMPACT, &body);
    }
    http_respond(call->connection, 200, is_protobuf ? V2_PROTOBUF : "application/json",
                 buf_bytes(&body));
    buf_free(&body);
}

bool openapi_serve(struct call *call, const char *path)
{
    bool is_v2 = strcmp(path, "/openapi/v2") == 0;
    bool is_index = strcmp(path, "/openapi/v3") == 0;
    if (!is_v2 && !is_index && !str_starts_with(path, "/openapi/v3/")) {
        return false;
    }
    struct store *store = &call->server->store;
    objects_lock(&store->objects);
    struct json *document = is_v2      ? document_v2(&store->kinds)
                            : is_index ? index_v3(store)
                                       : document_for(store, path + strlen("/openapi/v3/"));
    objects_unlock(&store->objects);
    struct reply reply;
    reply_init(&reply);
    if (document == NULL) {
        reply_fail(&reply, 404, "NotFound", NULL, NULL,
                   "the server could not find the requested resource");
        call_respond(call, &reply);
    } else if (is_v2) {
        send_v2(call, document);
        json_free(document);
    } else {
        reply_set(&reply, 200, document);
        call_respond(call, &reply);
    }
    reply_free(&reply);
    return true;
}
