/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding of watch lines and the order of resource versions. */
#include "controller/kube/watch.h"

#include <stdlib.h>
#include <string.h>

static const char *const TYPE_TEXTS[] = {
    [KUBE_WATCH_ADDED] = "ADDED",     [KUBE_WATCH_MODIFIED] = "MODIFIED",
    [KUBE_WATCH_DELETED] = "DELETED", [KUBE_WATCH_BOOKMARK] = "BOOKMARK",
    [KUBE_WATCH_ERROR] = "ERROR",
};

static int line_decode(struct bytes line, struct kube_watch_event *out_event, struct err *err)
{
    struct json *root = json_parse((const char *)line.data, line.size, err);
    if (root == NULL) {
        return err_wrap(err, E_CORRUPT, "watch event");
    }
    const char *type = json_str(json_get(root, "type"), "");
    size_t i = 0;
    while (i < ARRAY_COUNT(TYPE_TEXTS) && strcmp(TYPE_TEXTS[i], type) != 0) {
        i++;
    }
    struct json *object = json_take(root, "object");
    int rc = 0;
    if (i == ARRAY_COUNT(TYPE_TEXTS)) {
        rc = err_set(err, E_CORRUPT, "watch event of unknown type \"%.32s\"", type);
    } else if (!json_is(object, JSON_OBJECT)) {
        rc = err_set(err, E_CORRUPT, "watch event without object");
    }
    json_free(root);
    if (rc != 0) {
        json_free(object);
        return rc;
    }
    out_event->type = (enum kube_watch_type)i;
    out_event->object = object;
    out_event->error_code = 0;
    if (out_event->type == KUBE_WATCH_ERROR) {
        out_event->error_code = (int)json_i64(json_get(object, "code"), 500);
    }
    return 0;
}

int kube_watch_decode(struct bytes in, size_t *out_used, struct kube_watch_event *out_event,
                      struct err *err)
{
    size_t start = 0;
    while (start < in.size && (in.data[start] == '\n' || in.data[start] == '\r')) {
        start++;
    }
    const uint8_t *newline =
        start == in.size ? NULL : memchr(in.data + start, '\n', in.size - start);
    if (newline == NULL) {
        *out_used = start;
        return E_AGAIN;
    }
    size_t size = (size_t)(newline - in.data) - start;
    *out_used = start + size + 1;
    return line_decode(bytes_of(in.data + start, size), out_event, err);
}

static bool version_number(const char *text, uint64_t *out_number)
{
    if (text == NULL || text[0] == 0 || strspn(text, "0123456789") != strlen(text) ||
        strlen(text) > 19) {
        return false;
    }
    *out_number = strtoull(text, NULL, 10);
    return true;
}

bool kube_version_compare(const char *a, const char *b, int *out_order)
{
    uint64_t left = 0;
    uint64_t right = 0;
    if (!version_number(a, &left) || !version_number(b, &right)) {
        return false;
    }
    *out_order = left < right ? -1 : (left > right ? 1 : 0);
    return true;
}
