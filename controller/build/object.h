/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers of the builders; not for use outside this folder. */
#ifndef CONTROLLER_BUILD_OBJECT_H
#define CONTROLLER_BUILD_OBJECT_H

#include "base/json.h"
#include "controller/model/names.h"
#include "controller/model/spec.h"

/* Makes an object with meta, labels and the owner reference; member NULL: no member label. */
struct json *object_new(const struct cluster_spec *want, const char *api_version, const char *kind,
                        const char *name, const char *member);

/* Copies the keys of extra that into lacks. */
void object_merge_strings(struct json *into, const struct json *extra);

/* The labels that select the cluster's Pods. */
struct json *object_selector(const struct cluster_spec *want);

#endif
