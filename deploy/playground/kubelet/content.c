/* SPDX-License-Identifier: Apache-2.0 */
/* Values out of objects. */
#include "content.h"

#include <string.h>

#include "base/alloc.h"
#include "base/base64.h"

char *content_value(const struct json *object, bool is_secret, const char *key, size_t *out_size)
{
    const char *plain = json_str(json_get(json_get(object, "data"), key), NULL);
    const char *binary = json_str(json_get(json_get(object, "binaryData"), key), NULL);
    const char *encoded = is_secret ? plain : binary;
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    char *value = NULL;
    if (!is_secret && plain != NULL) {
        *out_size = strlen(plain);
        value = str_dup(plain);
    } else if (encoded != NULL &&
               base64_append_decoded(bytes_of_str(encoded), BASE64_PADDED, &out)) {
        *out_size = out.size;
        value = str_from(out.data == NULL ? (const uint8_t *)"" : out.data, out.size);
    }
    buf_free(&out);
    return value;
}

const struct json *content_object(const struct kubelet *kubelet, bool is_secret, const char *ns,
                                  const char *name)
{
    return mirror_find(is_secret ? &kubelet->secrets : &kubelet->config_maps, ns, name);
}

/* The value at key of a map that path names as "metadata.labels['key']". */
static char *map_field(const struct json *object, const char *path, const char *map)
{
    size_t size = strlen(map);
    if (strncmp(path, map, size) != 0 || path[size] != '[' || strlen(path) < size + 5) {
        return NULL;
    }
    char *key = str_from(path + size + 2, strlen(path) - size - 4);
    char *value = str_dup(json_str(json_get(json_path(object, map), key), ""));
    mem_free(key);
    return value;
}

static const char *node_address(const struct kubelet *kubelet, const char *node)
{
    return json_path_str(mirror_find(&kubelet->nodes, "", node), "status.addresses.0.address", "");
}

char *content_field(const struct kubelet *kubelet, const struct pod *pod, const char *path)
{
    static const char *const PLAIN[] = {"metadata.name", "metadata.namespace", "metadata.uid",
                                        "spec.nodeName", "spec.serviceAccountName"};
    for (size_t i = 0; i < ARRAY_COUNT(PLAIN); i++) {
        if (strcmp(PLAIN[i], path) == 0) {
            return str_dup(json_path_str(pod->object, path, ""));
        }
    }
    if (strcmp(path, "status.podIP") == 0 || strcmp(path, "status.podIPs") == 0) {
        return str_dup(pod->ip);
    }
    if (strcmp(path, "status.hostIP") == 0 || strcmp(path, "status.hostIPs") == 0) {
        return str_dup(node_address(kubelet, pod->node));
    }
    char *value = map_field(pod->object, path, "metadata.labels");
    return value != NULL ? value : map_field(pod->object, path, "metadata.annotations");
}
