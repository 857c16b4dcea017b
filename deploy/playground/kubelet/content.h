/* SPDX-License-Identifier: Apache-2.0 */
/* What Secrets, ConfigMaps and the downward API hold for a Pod. */
#ifndef PLAYGROUND_KUBELET_CONTENT_H
#define PLAYGROUND_KUBELET_CONTENT_H

#include "base/buf.h"
#include "state.h"

/* Gives the value at key of object's data, or binaryData, decoded when it is a Secret; NULL when
 * absent. The text may hold zeros: *out_size counts them. */
char *content_value(const struct json *object, bool is_secret, const char *key, size_t *out_size);

/* The Secret or ConfigMap of that name, borrowed, or NULL. */
const struct json *content_object(const struct kubelet *kubelet, bool is_secret, const char *ns,
                                  const char *name);

/* Gives what a fieldRef names (mem_free), or NULL for a field that is not offered. */
char *content_field(const struct kubelet *kubelet, const struct pod *pod, const char *path);

#endif
