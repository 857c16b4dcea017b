/* SPDX-License-Identifier: Apache-2.0 */
/* PATCH in its four forms. */
#include <string.h>

#include "api.h"
#include "base/alloc.h"
#include "managed.h"
#include "meta.h"
#include "patch.h"

static void apply_patch(struct store *store, const struct request *request, struct reply *reply)
{
    const struct kind *kind = request->version->kind;
    const char *name = meta_name(request->body);
    if (!json_is(request->body, JSON_OBJECT) ||
        json_path_str(request->body, "apiVersion", NULL) == NULL ||
        json_path_str(request->body, "kind", NULL) == NULL) {
        reply_bad_request(reply, "an apply patch names its apiVersion and kind");
        return;
    }
    if (*name != '\0' && strcmp(name, request->name) != 0) {
        reply_bad_request(reply,
                          "the name of the object (%s) does not match the name on the URL (%s)",
                          name, request->name);
        return;
    }
    if (json_path(request->body, "metadata.managedFields") != NULL &&
        json_count(json_path(request->body, "metadata.managedFields")) > 0) {
        reply_bad_request(reply, "metadata.managedFields must be nil");
        return;
    }
    struct object *old = objects_find(&store->objects, kind->store_key, request->ns, request->name);
    if (old == NULL && *request->subresource != '\0') {
        reply_not_found(reply, kind, request->name);
        return;
    }
    const char *revision = json_path_str(request->body, "metadata.resourceVersion", "");
    if (old != NULL && *revision != '\0' &&
        strcmp(revision, json_path_str(old->value, "metadata.resourceVersion", "")) != 0) {
        reply_conflict(reply, kind, request->name);
        return;
    }
    struct json *live = old == NULL ? NULL : present(request->version, old->value);
    struct json *merged = managed_apply(live, request, reply);
    json_free(live);
    if (merged == NULL) {
        return;
    }
    json_set_str(json_ensure_object(merged, "metadata"), "name", request->name);
    if (old == NULL) {
        write_create(store, request, merged, reply);
    } else {
        write_update(store, request, old, merged, reply);
    }
}

/* Gives the patched copy, or NULL with the reply filled. */
static struct json *patched(const struct request *request, const struct json *current,
                            struct reply *reply)
{
    struct json *candidate = present(request->version, current);
    struct err err = {""};
    int rc = 0;
    if (request->patch == PATCH_JSON) {
        rc = patch_json(&candidate, request->body, &err);
    } else if (!json_is(request->body, JSON_OBJECT)) {
        rc = err_set(&err, E_INVALID, "the patch is not an object");
    } else if (request->patch == PATCH_STRATEGIC) {
        rc = patch_strategic(candidate, request->body, request->version->schema, &err);
    } else {
        patch_merge(candidate, request->body);
    }
    if (rc == 0 && json_is(candidate, JSON_OBJECT)) {
        return candidate;
    }
    json_free(candidate);
    if (request->patch == PATCH_JSON) {
        reply_fail(reply, 422, "Invalid", request->version->kind, request->name,
                   "the server rejected our request due to an error in our request: %s", err.text);
    } else {
        reply_bad_request(reply, "%s", err.text);
    }
    return NULL;
}

void api_patch(struct store *store, const struct request *request, struct reply *reply)
{
    const struct kind *kind = request->version->kind;
    if (request->patch == PATCH_STRATEGIC && (kind->flags & KIND_CUSTOM) != 0) {
        reply_fail(reply, 415, "UnsupportedMediaType", NULL, NULL,
                   "the body of the request was in an unknown format - accepted media types "
                   "include: application/json-patch+json, application/merge-patch+json, "
                   "application/apply-patch+yaml");
        return;
    }
    if (strcmp(request->subresource, "scale") == 0) {
        scale_write(store, request, reply);
        return;
    }
    if (request->patch == PATCH_APPLY) {
        apply_patch(store, request, reply);
        return;
    }
    struct object *old = objects_find(&store->objects, kind->store_key, request->ns, request->name);
    if (old == NULL) {
        reply_not_found(reply, kind, request->name);
        return;
    }
    struct json *candidate = patched(request, old->value, reply);
    if (candidate != NULL) {
        write_update(store, request, old, candidate, reply);
    }
}
