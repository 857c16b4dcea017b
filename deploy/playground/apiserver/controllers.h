/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a controller manager does in a real cluster, as passes over the objects. Each pass is level
 * based: it may run at any time, changes only what is wrong, and wants the lock held.
 */
#ifndef PLAYGROUND_APISERVER_CONTROLLERS_H
#define PLAYGROUND_APISERVER_CONTROLLERS_H

#include "api.h"

void gc_pass(struct store *store);
void namespaces_pass(struct store *store);
void crds_pass(struct store *store);
void endpoints_pass(struct store *store);
void volumes_pass(struct store *store);
void budgets_pass(struct store *store);
void events_pass(struct store *store, int64_t now_s);

/* References to all objects of a resource, so that the table may change during a walk. */
struct snapshot {
    struct object **items;
    size_t count;
};

void snapshot_take(struct store *store, const char *key, struct snapshot *out_snapshot);
void snapshot_free(struct snapshot *snapshot);

/* True while object is still the present state under its name. */
bool object_is_current(struct store *store, const char *key, const struct object *object);

/* The status of condition type, or "Unknown". */
const char *condition_status(const struct json *object, const char *type);

#endif
