/* SPDX-License-Identifier: Apache-2.0 */
/* Status objects, worded as kube-apiserver words them, because clients match on the texts. */
#include "reply.h"

#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"

void reply_init(struct reply *reply)
{
    memset(reply, 0, sizeof(*reply));
}

void reply_free(struct reply *reply)
{
    json_free(reply->value);
    json_free(reply->warnings);
    if (reply->object != NULL) {
        object_unref(reply->object);
    }
    reply_init(reply);
}

void reply_set(struct reply *reply, int code, struct json *value)
{
    json_free(reply->value);
    if (reply->object != NULL) {
        object_unref(reply->object);
        reply->object = NULL;
    }
    reply->code = code;
    reply->value = value;
}

void reply_warn(struct reply *reply, const char *text)
{
    if (reply->warnings == NULL) {
        reply->warnings = json_array();
    }
    if (json_count(reply->warnings) < REPLY_WARNINGS_MAX) {
        json_append(reply->warnings, json_string(text));
    }
}

static struct json *status_object(int code, const char *reason, const char *message)
{
    struct json *status = json_object();
    json_set_str(status, "kind", "Status");
    json_set_str(status, "apiVersion", "v1");
    json_set(status, "metadata", json_object());
    json_set_str(status, "status", "Failure");
    json_set_str(status, "message", message);
    json_set_str(status, "reason", reason);
    json_set_int(status, "code", code);
    return status;
}

static struct json *status_details(struct json *status, const struct kind *kind, const char *name)
{
    struct json *details = json_ensure_object(status, "details");
    if (name != NULL) {
        json_set_str(details, "name", name);
    }
    if (kind != NULL) {
        if (*kind->group != '\0') {
            json_set_str(details, "group", kind->group);
        }
        json_set_str(details, "kind", kind->plural);
    }
    return details;
}

int reply_fail(struct reply *reply, int code, const char *reason, const struct kind *kind,
               const char *name, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *message = str_vprintf(format, args);
    va_end(args);
    struct json *status = status_object(code, reason, message);
    if (kind != NULL || name != NULL) {
        status_details(status, kind, name);
    }
    mem_free(message);
    reply_set(reply, code, status);
    return code;
}

int reply_not_found(struct reply *reply, const struct kind *kind, const char *name)
{
    char *resource = kind_qualified(kind);
    int code =
        reply_fail(reply, 404, "NotFound", kind, name, "%s \"%s\" not found", resource, name);
    mem_free(resource);
    return code;
}

int reply_exists(struct reply *reply, const struct kind *kind, const char *name)
{
    char *resource = kind_qualified(kind);
    int code = reply_fail(reply, 409, "AlreadyExists", kind, name, "%s \"%s\" already exists",
                          resource, name);
    mem_free(resource);
    return code;
}

int reply_conflict(struct reply *reply, const struct kind *kind, const char *name)
{
    char *resource = kind_qualified(kind);
    int code = reply_fail(reply, 409, "Conflict", kind, name,
                          "Operation cannot be fulfilled on %s \"%s\": the object has been "
                          "modified; please apply your changes to the latest version and try again",
                          resource, name);
    mem_free(resource);
    return code;
}

int reply_bad_request(struct reply *reply, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *message = str_vprintf(format, args);
    va_end(args);
    reply_set(reply, 400, status_object(400, "BadRequest", message));
    mem_free(message);
    return 400;
}

static void append_cause_texts(struct buf *text, const struct json *causes)
{
    size_t count = json_count(causes);
    if (count > 1) {
        buf_append_str(text, "[");
    }
    for (size_t i = 0; i < count; i++) {
        const struct json *cause = json_at(causes, i);
        buf_printf(text, "%s%s: %s", i > 0 ? ", " : "", json_path_str(cause, "field", ""),
                   json_path_str(cause, "message", ""));
    }
    if (count > 1) {
        buf_append_str(text, "]");
    }
}

int reply_invalid(struct reply *reply, const struct kind *kind, const char *name,
                  struct json *causes)
{
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    buf_printf(&text, "%s%s%s \"%s\" is invalid: ", kind->name, *kind->group == '\0' ? "" : ".",
               kind->group, name);
    append_cause_texts(&text, causes);
    struct json *status = status_object(422, "Invalid", buf_cstr(&text));
    struct json *details = status_details(status, kind, name);
    json_set_str(details, "kind", kind->name);
    json_set(details, "causes", causes);
    reply_set(reply, 422, status);
    buf_free(&text);
    return 422;
}

void cause_add(struct json *causes, const char *reason, const char *field, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *message = str_vprintf(format, args);
    va_end(args);
    struct json *cause = json_object();
    json_set_str(cause, "reason", reason);
    json_set_str(cause, "message", message);
    json_set_str(cause, "field", *field == '\0' ? "<nil>" : field);
    json_append(causes, cause);
    mem_free(message);
}
