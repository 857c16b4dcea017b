/* SPDX-License-Identifier: Apache-2.0 */
/* From a path and a method to a verb: authentication, faults, options, and the answer's form. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "apiserver.h"
#include "base/alloc.h"
#include "base/yaml.h"
#include "discovery.h"
#include "proto.h"
#include "table.h"

#define PATH_PARTS_MAX 12u

struct parts {
    char *part[PATH_PARTS_MAX];
    size_t count;
};

static void parts_free(struct parts *parts)
{
    for (size_t i = 0; i < parts->count; i++) {
        mem_free(parts->part[i]);
    }
}

static void parts_split(const char *path, struct parts *parts)
{
    parts->count = 0;
    while (*path != '\0' && parts->count < PATH_PARTS_MAX) {
        path += *path == '/' ? 1 : 0;
        size_t size = strcspn(path, "/");
        if (size > 0) {
            parts->part[parts->count++] = http_decode(path, size, false);
        }
        path += size;
    }
}

int64_t call_query_i64(const struct call *call, const char *name, int64_t fallback)
{
    char *text = http_query(call->http, name);
    int64_t value = text == NULL || *text == '\0' ? fallback : strtoll(text, NULL, 10);
    mem_free(text);
    return value;
}

bool call_query_truth(const struct call *call, const char *name)
{
    char *text = http_query(call->http, name);
    bool is_true =
        text != NULL && (strcmp(text, "true") == 0 || strcmp(text, "1") == 0 || *text == '\0');
    mem_free(text);
    return is_true;
}

struct json *call_render(const struct call *call, const struct json *object)
{
    struct json *shown = present(call->request.version, object);
    if (call->form == FORM_METADATA) {
        struct json *partial = json_object();
        json_set_str(partial, "kind", "PartialObjectMetadata");
        json_set_str(partial, "apiVersion", "meta.k8s.io/v1");
        json_set(partial, "metadata", json_copy(json_get(shown, "metadata")));
        json_free(shown);
        return partial;
    }
    return shown;
}

static void add_warnings(struct call *call, const struct reply *reply)
{
    for (size_t i = 0; i < json_count(reply->warnings); i++) {
        struct buf line;
        buf_init(&line, BUF_NO_LIMIT);
        const char *text = json_str(json_at(reply->warnings, i), "");
        buf_append_str(&line, "299 - ");
        json_write_string(text, strlen(text), &line);
        http_add_header(call->connection, "Warning", buf_cstr(&line));
        buf_free(&line);
    }
}

static bool is_status(const struct json *value)
{
    return strcmp(json_path_str(value, "kind", ""), "Status") == 0;
}

/* Gives the body in the form that the client wants; NULL when the value itself will do. */
static struct json *formed(struct call *call, const struct json *value)
{
    const struct kind_version *version = call->request.version;
    if (version == NULL || call->form == FORM_OBJECT || is_status(value) ||
        *call->request.subresource != '\0') {
        return NULL;
    }
    if (call->form == FORM_METADATA) {
        return call_render(call, value);
    }
    struct json *table =
        table_new(version, json_path_str(value, "metadata.resourceVersion", ""), true);
    json_append(json_get(table, "rows"), table_row(version, value, TABLE_METADATA));
    return table;
}

void call_respond(struct call *call, struct reply *reply)
{
    const struct json *value = reply->object != NULL ? reply->object->value : reply->value;
    struct json *other = reply->code < 300 ? formed(call, value) : NULL;
    struct buf body;
    buf_init(&body, BUF_NO_LIMIT);
    json_write(other != NULL ? other : value, JSON_COMPACT, &body);
    buf_append_str(&body, "\n");
    add_warnings(call, reply);
    http_respond(call->connection, reply->code, "application/json", buf_bytes(&body));
    buf_free(&body);
    json_free(other);
}

static void respond_fail(struct call *call, int code, const char *reason, const char *text)
{
    struct reply reply;
    reply_init(&reply);
    reply_fail(&reply, code, reason, NULL, NULL, "%s", text);
    call_respond(call, &reply);
    reply_free(&reply);
}

/* Takes value; NULL answers 404. */
static void respond_value(struct call *call, struct json *value)
{
    if (value == NULL) {
        respond_fail(call, 404, "NotFound", "the server could not find the requested resource");
        return;
    }
    struct reply reply;
    reply_init(&reply);
    reply_set(&reply, 200, value);
    call_respond(call, &reply);
    reply_free(&reply);
}

static bool is_method(const struct call *call, const char *method)
{
    return strcmp(call->http->method, method) == 0;
}

static bool is_write(const struct call *call)
{
    return !is_method(call, "GET") && !is_method(call, "HEAD") && !is_method(call, "OPTIONS");
}

static void read_options(struct call *call)
{
    struct request *request = &call->request;
    char *text = http_query(call->http, "fieldManager");
    const char *agent = http_header(call->http, "User-Agent", "unknown");
    call->manager =
        text != NULL && *text != '\0' ? str_dup(text) : str_from(agent, strcspn(agent, "/"));
    mem_free(text);
    request->manager = call->manager;
    text = http_query(call->http, "dryRun");
    request->is_dry_run = text != NULL && strcmp(text, "All") == 0;
    mem_free(text);
    text = http_query(call->http, "fieldValidation");
    request->validation = str_equal(text, "Strict")   ? VALIDATION_STRICT
                          : str_equal(text, "Ignore") ? VALIDATION_IGNORE
                                                      : VALIDATION_WARN;
    mem_free(text);
    request->is_forced = call_query_truth(call, "force");
    call->label_selector = http_query(call->http, "labelSelector");
    call->field_selector = http_query(call->http, "fieldSelector");
    request->label_selector = call->label_selector;
    request->field_selector = call->field_selector;
    const char *accept = http_header(call->http, "Accept", "");
    call->form = strstr(accept, "as=Table") != NULL                   ? FORM_TABLE
                 : strstr(accept, "as=PartialObjectMetadata") != NULL ? FORM_METADATA
                                                                      : FORM_OBJECT;
}

static enum propagation propagation_of(const char *text)
{
    return str_equal(text, "Foreground")   ? PROPAGATE_FOREGROUND
           : str_equal(text, "Background") ? PROPAGATE_BACKGROUND
           : str_equal(text, "Orphan")     ? PROPAGATE_ORPHAN
                                           : PROPAGATE_DEFAULT;
}

/* DeleteOptions come in the body or the query. */
static void read_delete_options(struct call *call)
{
    struct request *request = &call->request;
    const struct json *body = call->body;
    char *text = http_query(call->http, "propagationPolicy");
    request->propagation =
        propagation_of(text != NULL ? text : json_path_str(body, "propagationPolicy", NULL));
    mem_free(text);
    if (json_path_truth(body, "orphanDependents", false)) {
        request->propagation = PROPAGATE_ORPHAN;
    }
    request->grace_s =
        call_query_i64(call, "gracePeriodSeconds", json_path_i64(body, "gracePeriodSeconds", -1));
    request->want_uid = json_path_str(body, "preconditions.uid", NULL);
    request->want_revision = json_path_str(body, "preconditions.resourceVersion", NULL);
    if (json_count(json_path(body, "dryRun")) > 0) {
        request->is_dry_run = true;
    }
}

/* Reads the body as JSON or YAML; false when answered. */
static bool read_body(struct call *call)
{
    struct bytes text = buf_bytes(&call->http->body);
    if (text.size == 0) {
        return true;
    }
    struct err err = {""};
    const char *type = http_header(call->http, "Content-Type", "");
    if (proto_is_envelope(text)) {
        call->body = proto_decode(text, &err);
        if (call->body == NULL) {
            respond_fail(call, 415, "UnsupportedMediaType", err.text);
            return false;
        }
    } else {
        call->body = strstr(type, "yaml") != NULL
                         ? json_parse_yaml((const char *)text.data, text.size, &err)
                         : json_parse((const char *)text.data, text.size, &err);
    }
    if (call->body == NULL) {
        struct reply reply;
        reply_init(&reply);
        reply_bad_request(&reply, "couldn't get version/kind; json parse error: %s", err.text);
        call_respond(call, &reply);
        reply_free(&reply);
        return false;
    }
    call->request.body = call->body;
    return true;
}

static enum patch_type patch_type_of(const struct call *call)
{
    const char *type = http_header(call->http, "Content-Type", "");
    size_t size = strcspn(type, "; ");
    static const struct {
        const char *name;
        enum patch_type type;
    } TYPES[] = {
        {"application/json-patch+json", PATCH_JSON},
        {"application/merge-patch+json", PATCH_MERGE},
        {"application/strategic-merge-patch+json", PATCH_STRATEGIC},
        {"application/apply-patch+yaml", PATCH_APPLY},
    };
    for (size_t i = 0; i < ARRAY_COUNT(TYPES); i++) {
        if (strlen(TYPES[i].name) == size && strncasecmp(TYPES[i].name, type, size) == 0) {
            return TYPES[i].type;
        }
    }
    return PATCH_NONE;
}

/* Injects what tests asked for; true when the call is over. */
static bool suffer_faults(struct call *call)
{
    struct faults *faults = &call->server->faults;
    const char *agent = http_header(call->http, "User-Agent", "");
    if (faults_hit(faults, FAULT_CUT_BEFORE, agent)) {
        http_cut(call->connection);
        return true;
    }
    if (faults_hit(faults, FAULT_TOO_MANY, agent)) {
        http_add_header(call->connection, "Retry-After", "1");
        respond_fail(call, 429, "TooManyRequests", "too many requests, please try again later");
        return true;
    }
    if (faults_hit(faults, FAULT_INTERNAL, agent)) {
        respond_fail(call, 500, "InternalError", "an injected internal error");
        return true;
    }
    bool is_change = is_method(call, "PUT") || is_method(call, "PATCH");
    if (is_change && faults_hit(faults, FAULT_CONFLICT, agent)) {
        struct reply reply;
        reply_init(&reply);
        reply_conflict(&reply, call->request.version->kind, call->request.name);
        call_respond(call, &reply);
        reply_free(&reply);
        return true;
    }
    bool is_list = is_method(call, "GET") && *call->request.name == '\0' && !call->is_watch;
    if (is_list && faults_hit(faults, FAULT_GONE, agent)) {
        respond_fail(call, 410, "Expired", "The resourceVersion for the provided list is too old.");
        return true;
    }
    return false;
}

/* Runs the verb under the lock; false when the method does not fit. */
static bool run_verb(struct call *call, struct reply *reply)
{
    struct store *store = &call->server->store;
    struct request *request = &call->request;
    bool has_name = *request->name != '\0';
    bool is_known = true;
    objects_lock(&store->objects);
    if (is_method(call, "GET") && has_name) {
        api_get(store, request, reply);
    } else if (is_method(call, "POST") && (!has_name || *request->subresource != '\0')) {
        api_create(store, request, reply);
    } else if (is_method(call, "PUT") && has_name) {
        api_update(store, request, reply);
    } else if (is_method(call, "PATCH") && has_name) {
        api_patch(store, request, reply);
    } else if (is_method(call, "DELETE") && has_name) {
        api_delete(store, request, reply);
    } else if (is_method(call, "DELETE")) {
        api_delete_collection(store, request, reply);
    } else {
        is_known = false;
    }
    objects_unlock(&store->objects);
    return is_known;
}

static const char *verb_name(const struct call *call)
{
    return is_method(call, "POST")       ? "create"
           : is_method(call, "PUT")      ? "update"
           : is_method(call, "PATCH")    ? "patch"
           : *call->request.name == '\0' ? "deletecollection"
                                         : "delete";
}

static void count_write(struct call *call)
{
    const struct request *request = &call->request;
    const char *plural = request->version->kind->plural;
    char *what = *request->subresource == '\0' ? str_dup(plural)
                                               : str_printf("%s/%s", plural, request->subresource);
    faults_count_write(&call->server->faults, http_header(call->http, "User-Agent", "unknown"),
                       verb_name(call), what);
    mem_free(what);
}

static void serve_verb(struct call *call)
{
    if (is_method(call, "PATCH")) {
        call->request.patch = patch_type_of(call);
        if (call->request.patch == PATCH_NONE) {
            respond_fail(call, 415, "UnsupportedMediaType",
                         "the body of the request was in an unknown format - accepted media types "
                         "include: application/json-patch+json, application/merge-patch+json, "
                         "application/strategic-merge-patch+json, application/apply-patch+yaml");
            return;
        }
    }
    if (is_method(call, "DELETE")) {
        read_delete_options(call);
    }
    if (is_write(call)) {
        count_write(call);
    }
    struct reply reply;
    reply_init(&reply);
    if (!run_verb(call, &reply)) {
        reply_fail(&reply, 405, "MethodNotAllowed", NULL, NULL,
                   "the server does not allow this method on the requested resource");
    }
    const char *agent = http_header(call->http, "User-Agent", "");
    if (is_write(call) && faults_hit(&call->server->faults, FAULT_CUT_AFTER, agent)) {
        http_cut(call->connection);
    } else {
        call_respond(call, &reply);
    }
    reply_free(&reply);
}

static bool subresource_fits(const struct kind_version *version, const char *subresource)
{
    if (*subresource == '\0') {
        return true;
    }
    if (strcmp(subresource, "status") == 0) {
        return (version->flags & KIND_STATUS) != 0;
    }
    if (strcmp(subresource, "scale") == 0) {
        return (version->flags & KIND_SCALE) != 0;
    }
    bool is_pod = strcmp(version->kind->store_key, "pods") == 0;
    bool is_pod_part = strcmp(subresource, "log") == 0 || strcmp(subresource, "binding") == 0 ||
                       strcmp(subresource, "eviction") == 0;
    bool is_namespace = strcmp(version->kind->store_key, "namespaces") == 0;
    return (is_pod && is_pod_part) || (is_namespace && strcmp(subresource, "finalize") == 0);
}

static void serve_resource(struct call *call)
{
    objects_lock(&call->server->store.objects);
    struct kind_version *version =
        kinds_find(&call->server->store.kinds, call->group, call->version, call->plural);
    objects_unlock(&call->server->store.objects);
    struct request *request = &call->request;
    if (version == NULL || !subresource_fits(version, call->subresource)) {
        respond_fail(call, 404, "NotFound", "the server could not find the requested resource");
        return;
    }
    request->version = version;
    request->ns = call->ns;
    request->name = call->name;
    request->subresource = strcmp(call->subresource, "finalize") == 0 ? "" : call->subresource;
    bool is_namespaced = (version->kind->flags & KIND_NAMESPACED) != 0;
    if (!is_namespaced) {
        request->ns = "";
    } else if (*request->ns == '\0' && (*request->name != '\0' || is_method(call, "POST"))) {
        respond_fail(call, 404, "NotFound", "the server could not find the requested resource");
        return;
    }
    read_options(call);
    call->is_watch =
        call_query_truth(call, "watch") && is_method(call, "GET") && *request->name == '\0';
    if (suffer_faults(call)) {
        return;
    }
    if (strcmp(request->subresource, "log") == 0) {
        logs_serve(call);
    } else if (call->is_watch) {
        watch_serve(call);
    } else if (is_method(call, "GET") && *request->name == '\0') {
        list_serve(call);
    } else {
        serve_verb(call);
    }
}

/* Reads what comes behind the group version; false when it is no resource path. */
static bool read_resource_path(struct call *call, const struct parts *parts, size_t at)
{
    if (at >= parts->count) {
        return false;
    }
    bool in_namespace = strcmp(parts->part[at], "namespaces") == 0 && parts->count > at + 2 &&
                        strcmp(parts->part[at + 2], "status") != 0 &&
                        strcmp(parts->part[at + 2], "finalize") != 0;
    if (in_namespace) {
        mem_free(call->ns);
        call->ns = str_dup(parts->part[at + 1]);
        at += 2;
    }
    call->plural = str_dup(parts->part[at]);
    call->name = str_dup(parts->count > at + 1 ? parts->part[at + 1] : "");
    call->subresource = str_dup(parts->count > at + 2 ? parts->part[at + 2] : "");
    return parts->count <= at + 3;
}

/* Gives the discovery document of a path, or NULL. Lock held. */
static struct json *discovery_of(struct call *call, const struct parts *parts)
{
    const struct kinds *kinds = &call->server->store.kinds;
    const char *root = parts->part[0];
    if (strcmp(root, "version") == 0) {
        return discovery_server_version();
    }
    if (strcmp(root, "api") == 0) {
        return parts->count == 1 ? discovery_core_versions(call->server->port)
                                 : discovery_resources(kinds, "", parts->part[1]);
    }
    if (strcmp(root, "apis") != 0) {
        return NULL;
    }
    return parts->count == 1   ? discovery_groups(kinds)
           : parts->count == 2 ? discovery_group(kinds, parts->part[1])
                               : discovery_resources(kinds, parts->part[1], parts->part[2]);
}

static void serve_parts(struct call *call, const struct parts *parts)
{
    bool is_core = parts->count > 0 && strcmp(parts->part[0], "api") == 0;
    bool is_group = parts->count > 0 && strcmp(parts->part[0], "apis") == 0;
    size_t prefix = is_core ? 2 : 3;
    if ((is_core || is_group) && parts->count > prefix) {
        call->group = str_dup(is_core ? "" : parts->part[1]);
        call->version = str_dup(parts->part[prefix - 1]);
        if (read_resource_path(call, parts, prefix)) {
            serve_resource(call);
            return;
        }
    } else if (parts->count > 0) {
        objects_lock(&call->server->store.objects);
        struct json *document = discovery_of(call, parts);
        objects_unlock(&call->server->store.objects);
        respond_value(call, document);
        return;
    }
    respond_value(call, NULL);
}

static bool is_health(const char *path)
{
    return str_starts_with(path, "/healthz") || str_starts_with(path, "/livez") ||
           str_starts_with(path, "/readyz");
}

static bool is_allowed(const struct call *call)
{
    const char *header = http_header(call->http, "Authorization", "");
    return strncasecmp(header, "Bearer ", 7) == 0 && strcmp(header + 7, call->server->token) == 0;
}

static void call_free(struct call *call)
{
    mem_free(call->group);
    mem_free(call->version);
    mem_free(call->plural);
    mem_free(call->ns);
    mem_free(call->name);
    mem_free(call->subresource);
    mem_free(call->manager);
    mem_free(call->label_selector);
    mem_free(call->field_selector);
    json_free(call->body);
}

void router_handle(void *ctx, struct http_connection *connection, struct http_request *http)
{
    struct call call = {.server = ctx, .connection = connection, .http = http};
    request_init(&call.request);
    call.ns = str_dup("");
    if (is_health(http->path)) {
        http_respond(connection, 200, "text/plain", bytes_of_str("ok"));
    } else if (!is_allowed(&call)) {
        respond_fail(&call, 401, "Unauthorized", "Unauthorized");
    } else if (read_body(&call) && !openapi_serve(&call, http->path) &&
               !playground_serve(&call, http->path)) {
        struct parts parts;
        parts_split(http->path, &parts);
        serve_parts(&call, &parts);
        parts_free(&parts);
    }
    call_free(&call);
}
