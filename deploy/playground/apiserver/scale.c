/* SPDX-License-Identifier: Apache-2.0 */
/* The scale subresource, of built-in workloads and of CRDs that declare one. */
#include <string.h>

#include "api.h"
#include "base/alloc.h"
#include "meta.h"
#include "patch.h"

/* The path of a CRD's scale ("." in front is dropped), or that of a built-in workload. */
static const char *scale_path(const struct kind_version *version, const char *key,
                              const char *builtin)
{
    const char *path = json_path_str(version->scale, key, version->scale == NULL ? builtin : "");
    return *path == '.' ? path + 1 : path;
}

/* Gives "a=b,c=d" of a selector object, or its text. */
static char *selector_text(const struct json *object, const char *path)
{
    const struct json *selector = json_path(object, path);
    if (json_is(selector, JSON_STRING)) {
        return str_dup(json_str(selector, ""));
    }
    const struct json *labels = json_get(selector, "matchLabels");
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    for (size_t i = 0; i < json_count(labels); i++) {
        buf_printf(&text, "%s%s=%s", i > 0 ? "," : "", json_key_at(labels, i),
                   json_str(json_at(labels, i), ""));
    }
    char *out = str_dup(buf_cstr(&text));
    buf_free(&text);
    return out;
}

static struct json *scale_of(const struct kind_version *version, const struct json *object)
{
    struct json *scale = json_object();
    json_set_str(scale, "kind", "Scale");
    json_set_str(scale, "apiVersion", "autoscaling/v1");
    struct json *metadata = json_ensure_object(scale, "metadata");
    static const char *const KEPT[] = {"name", "namespace", "uid", "resourceVersion",
                                       "creationTimestamp"};
    for (size_t i = 0; i < ARRAY_COUNT(KEPT); i++) {
        json_set_str(metadata, KEPT[i], json_path_str(json_get(object, "metadata"), KEPT[i], ""));
    }
    const char *wanted = scale_path(version, "specReplicasPath", "spec.replicas");
    const char *seen = scale_path(version, "statusReplicasPath", "status.replicas");
    const char *selector = scale_path(version, "labelSelectorPath", "spec.selector");
    json_set_int(json_ensure_object(scale, "spec"), "replicas", json_path_i64(object, wanted, 0));
    struct json *status = json_ensure_object(scale, "status");
    json_set_int(status, "replicas", json_path_i64(object, seen, 0));
    char *text = selector_text(object, selector);
    json_set_str(status, "selector", text);
    mem_free(text);
    return scale;
}

static struct object *find_scalable(struct store *store, const struct request *request,
                                    struct reply *reply)
{
    const struct kind *kind = request->version->kind;
    struct object *object =
        objects_find(&store->objects, kind->store_key, request->ns, request->name);
    if (object == NULL) {
        reply_not_found(reply, kind, request->name);
    }
    return object;
}

void scale_get(struct store *store, const struct request *request, struct reply *reply)
{
    struct object *object = find_scalable(store, request, reply);
    if (object != NULL) {
        struct json *shown = present(request->version, object->value);
        reply_set(reply, 200, scale_of(request->version, shown));
        json_free(shown);
    }
}

static void set_path(struct json *object, const char *path, int64_t number)
{
    const char *dot = strchr(path, '.');
    while (dot != NULL) {
        char *key = str_from(path, (size_t)(dot - path));
        object = json_ensure_object(object, key);
        mem_free(key);
        path = dot + 1;
        dot = strchr(path, '.');
    }
    json_set_int(object, path, number);
}

/* Gives the Scale that the body or patch asks for, or NULL with the reply filled. */
static struct json *wanted_scale(const struct request *request, struct json *scale,
                                 struct reply *reply)
{
    struct err err = {""};
    if (request->patch == PATCH_JSON) {
        if (patch_json(&scale, request->body, &err) != 0) {
            reply_fail(reply, 422, "Invalid", NULL, NULL, "%s", err.text);
            json_free(scale);
            return NULL;
        }
        return scale;
    }
    if (request->patch == PATCH_NONE) {
        json_free(scale);
        return json_copy(request->body);
    }
    patch_merge(scale, request->body);
    return scale;
}

void scale_write(struct store *store, const struct request *request, struct reply *reply)
{
    struct object *old = find_scalable(store, request, reply);
    if (old == NULL) {
        return;
    }
    struct json *shown = present(request->version, old->value);
    struct json *scale = wanted_scale(request, scale_of(request->version, shown), reply);
    if (scale == NULL) {
        json_free(shown);
        return;
    }
    set_path(shown, scale_path(request->version, "specReplicasPath", "spec.replicas"),
             json_path_i64(scale, "spec.replicas", 0));
    const char *revision = json_path_str(scale, "metadata.resourceVersion", "");
    if (*revision != '\0') {
        json_set_str(json_get(shown, "metadata"), "resourceVersion", revision);
    }
    json_free(scale);
    struct request update = *request;
    update.subresource = "";
    update.patch = PATCH_MERGE;
    write_update(store, &update, old, shown, reply);
    if (reply->code != 200) {
        return;
    }
    const struct json *after = reply->object != NULL ? reply->object->value : reply->value;
    struct json *answer = scale_of(request->version, after);
    reply_set(reply, 200, answer);
}
