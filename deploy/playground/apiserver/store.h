/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The in-process way to the API server's objects, with the same rules as over HTTP: validation,
 * resourceVersion conflicts, generation, finalizers, grace periods, events to every watch. Any
 * thread may call any function. Objects that come out are copies the caller owns (json_free).
 *
 * A resource is named as kubectl names it: "pods", "jobs.batch", "leases.coordination.k8s.io".
 * ns is NULL or "" for cluster-scoped resources (and, in lists and watches, for all namespaces).
 */
#ifndef PLAYGROUND_APISERVER_STORE_H
#define PLAYGROUND_APISERVER_STORE_H

#include "base/defs.h"
#include "base/err.h"
#include "base/json.h"

struct store;

/*
 * Each returns 0 or: E_NOT_FOUND, E_EXISTS, E_CONFLICT (stale metadata.resourceVersion, or a uid
 * that differs), E_INVALID (validation), with the API server's own text in err (may be NULL). Gives
 * *out_object (out_object may be NULL where the caller does not want it).
 */
BASE_MUST_CHECK int store_get(struct store *store, const char *resource, const char *ns,
                              const char *name, struct json **out_object, struct err *err);

/* Gives *out_items, a JSON array of objects. label_selector ("a=b,c!=d") may be NULL. */
BASE_MUST_CHECK int store_list(struct store *store, const char *resource, const char *ns,
                               const char *label_selector, struct json **out_items,
                               struct err *err);

/* Borrows object; kind, apiVersion and metadata.namespace are filled in when absent. */
BASE_MUST_CHECK int store_create(struct store *store, const char *resource, const char *ns,
                                 const struct json *object, struct json **out_object,
                                 struct err *err);

/*
 * Replaces everything but status (update) or the status alone (update_status; for Pods also what
 * a kubelet may set). Borrows object. With metadata.resourceVersion: only if it is still the
 * newest.
 */
BASE_MUST_CHECK int store_update(struct store *store, const char *resource, const char *ns,
                                 const struct json *object, struct json **out_object,
                                 struct err *err);
BASE_MUST_CHECK int store_update_status(struct store *store, const char *resource, const char *ns,
                                        const struct json *object, struct json **out_object,
                                        struct err *err);

/* JSON merge patch (RFC 7386) of the object, or of its status when subresource is "status". */
BASE_MUST_CHECK int store_patch(struct store *store, const char *resource, const char *ns,
                                const char *name, const char *subresource,
                                const struct json *merge_patch, struct json **out_object,
                                struct err *err);

#define STORE_GRACE_DEFAULT (-1)

/*
 * Deletes as `kubectl delete` does. A Pod that runs on a node gets deletionTimestamp and
 * deletionGracePeriodSeconds first; the kubelet stops it and confirms with grace_s 0. uid (may be
 * NULL) is a precondition: E_CONFLICT when the object is another one by now.
 */
BASE_MUST_CHECK int store_delete(struct store *store, const char *resource, const char *ns,
                                 const char *name, const char *uid, int64_t grace_s,
                                 struct err *err);

enum store_event_type {
    STORE_ADDED,
    STORE_MODIFIED,
    STORE_DELETED,
    STORE_SYNCED, /* once, after the objects that were there at the open; object is NULL */
};

struct store_event {
    enum store_event_type type;
    struct json *object; /* given to the caller */
};

/* A cursor over the changes of one resource. One thread reads it; any thread may cancel it. */
struct store_watch;

/* Gives *out_watch. Events: each present object as ADDED, then SYNCED, then changes in order. */
BASE_MUST_CHECK int store_watch_open(struct store *store, const char *resource, const char *ns,
                                     struct store_watch **out_watch, struct err *err);

/*
 * Waits up to timeout_ms for the next event. 0: *out_event is filled; E_TIMEOUT; E_CLOSED:
 * cancelled or the server stops; E_COMPACTED: the reader was too slow for the ring: close and open
 * again.
 */
BASE_MUST_CHECK int store_watch_next(struct store_watch *watch, uint32_t timeout_ms,
                                     struct store_event *out_event);

/* Makes the reader's store_watch_next return E_CLOSED. Any thread. */
void store_watch_cancel(struct store_watch *watch);

/* Frees; no thread may be in store_watch_next. */
void store_watch_close(struct store_watch *watch);

/*
 * Records a core/v1 Event about object (borrowed; kind, metadata and uid are read). type is
 * "Normal" or "Warning"; component names who says it ("kubelet"), host may be NULL. Same reason and
 * message about the same object raise the count of the Event that is there.
 */
void store_record_event(struct store *store, const struct json *object, const char *type,
                        const char *reason, const char *message, const char *component,
                        const char *host);

/* RFC 3339 time of now, to the second, as in status fields. */
#define STORE_TIME_SIZE 32u
void store_time_now(char out[STORE_TIME_SIZE]);

#endif
