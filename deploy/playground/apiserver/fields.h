/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of fields in the FieldsV1 form ("f:name", "k:{keys}", "v:value", "."), the algebra on them,
 * and the walks that compare, merge and cut values by schema. Pure. An empty set is NULL.
 */
#ifndef PLAYGROUND_APISERVER_FIELDS_H
#define PLAYGROUND_APISERVER_FIELDS_H

#include "base/json.h"

/* Gives the set of all leaves of value. */
struct json *fields_of(const struct json *value, const struct json *schema);

/* Gives what is new or different in after; what is gone from before. */
struct json *fields_changed(const struct json *before, const struct json *after,
                            const struct json *schema);
struct json *fields_removed(const struct json *before, const struct json *after,
                            const struct json *schema);

enum fields_op { FIELDS_UNION, FIELDS_SUBTRACT, FIELDS_INTERSECT };

/* Gives a op b; borrows both. */
struct json *fields_combine(const struct json *a, const struct json *b, enum fields_op op);

/* Takes away what no manager is said to own: types, names, system metadata. In place; gives the
 * set. */
struct json *fields_strip(struct json *set);

/* Merges applied into live (which it changes) as server-side apply does. */
void fields_merge(struct json *live, const struct json *applied, const struct json *schema);

/* Cuts the members of set out of value, but nothing that keep holds or that lies above it. */
void fields_cut(struct json *value, const struct json *set, const struct json *keep,
                const struct json *schema);

/* Appends each member as a path, ".spec.containers[name=\"a\"].image", to paths (an array). */
void fields_paths(const struct json *set, struct json *paths);

#endif
