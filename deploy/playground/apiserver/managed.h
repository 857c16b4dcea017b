/* SPDX-License-Identifier: Apache-2.0 */
/* metadata.managedFields of writes that are not server-side apply, and of those that are. */
#ifndef PLAYGROUND_APISERVER_MANAGED_H
#define PLAYGROUND_APISERVER_MANAGED_H

#include "api.h"

/*
 * Writes down in object that request->manager changed what differs from old (NULL: everything), and
 * takes those fields away from the others.
 */
void managed_update(const struct json *old, struct json *object, const struct request *request);

/* Drops the times of managedFields, so that two objects can be compared. */
void managed_forget_times(struct json *object);

/*
 * Server-side apply of request->body on live (NULL: there is none). Gives the merged object with
 * its managedFields, or NULL when the reply holds the conflicts.
 */
struct json *managed_apply(const struct json *live, const struct request *request,
                           struct reply *reply);

#endif
