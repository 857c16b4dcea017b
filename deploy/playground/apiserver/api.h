/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs, free of HTTP: each takes a request, changes the objects and fills a reply. All of them
 * want the lock of store->objects held.
 */
#ifndef PLAYGROUND_APISERVER_API_H
#define PLAYGROUND_APISERVER_API_H

#include "kinds.h"
#include "objects.h"
#include "reply.h"
#include "select.h"

#define STANDARD_CLASS       "standard"
#define FINALIZER_FOREGROUND "foregroundDeletion"
#define FINALIZER_ORPHAN     "orphan"
#define FINALIZER_CRD        "customresourcecleanup.apiextensions.k8s.io"
#define FINALIZER_PVC        "kubernetes.io/pvc-protection"

/* What the whole server shares. */
struct store {
    struct objects objects;
    struct kinds kinds;
    char *volumes_dir; /* where volumes of the standard class live */
    struct json *nothing;
};

enum validation { VALIDATION_IGNORE, VALIDATION_WARN, VALIDATION_STRICT };
enum propagation {
    PROPAGATE_DEFAULT,
    PROPAGATE_BACKGROUND,
    PROPAGATE_FOREGROUND,
    PROPAGATE_ORPHAN
};
enum patch_type { PATCH_NONE, PATCH_JSON, PATCH_MERGE, PATCH_STRATEGIC, PATCH_APPLY };

/* Borrows all it names. */
struct request {
    struct kind_version *version;
    const char *ns;          /* "" for cluster scope or all namespaces */
    const char *name;        /* "" for collections */
    const char *subresource; /* "" for the object itself */
    const struct json *body;
    const char *manager;
    enum validation validation;
    bool is_dry_run;
    bool is_forced;     /* server-side apply */
    bool is_in_process; /* a change by the program itself: unconditional updates allowed */
    enum patch_type patch;
    int64_t grace_s; /* -1: the object's own */
    enum propagation propagation;
    const char *want_uid; /* preconditions, or NULL */
    const char *want_revision;
    const char *label_selector;
    const char *field_selector;
};

/* Empty strings for what is absent. */
void request_init(struct request *request);

void api_get(struct store *store, const struct request *request, struct reply *reply);
void api_create(struct store *store, const struct request *request, struct reply *reply);
void api_update(struct store *store, const struct request *request, struct reply *reply);
void api_patch(struct store *store, const struct request *request, struct reply *reply);
void api_delete(struct store *store, const struct request *request, struct reply *reply);
void api_delete_collection(struct store *store, const struct request *request, struct reply *reply);

/* What is kept of a write that api_create, api_update and api_patch share. Takes candidate. */
void write_create(struct store *store, const struct request *request, struct json *candidate,
                  struct reply *reply);
void write_update(struct store *store, const struct request *request, struct object *old,
                  struct json *candidate, struct reply *reply);

/* Stores value (taken) as the next state of old, or deletes it when nothing holds it any longer. */
struct object *write_commit(struct store *store, const struct kind *kind, struct object *old,
                            struct json *value);

/* Reads: a copy of value as this version shows it (apiVersion, defaults, Event forms). */
struct json *present(const struct kind_version *version, const struct json *value);
bool present_is_identity(const struct kind_version *version);

/* Turns an Event of the events.k8s.io form into the core form, and back, in place. */
void events_to_core(struct json *event);
void events_from_core(struct json *event);

/* What single kinds want done before validation: addresses, defaults, immutable fields (admit.c).
 */
void admit_create(struct store *store, const struct kind *kind, struct json *object,
                  struct json *causes);
void admit_update(struct store *store, const struct kind *kind, const struct json *old,
                  struct json *object, struct json *causes);

/* CustomResourceDefinitions (crd.c). */
void crd_admit(struct json *crd, struct json *causes);
void crd_register(struct store *store, const struct json *crd);
void crd_unregister(struct store *store, const struct json *crd);

/* Subresources with shapes of their own. */
void scale_get(struct store *store, const struct request *request, struct reply *reply);
void scale_write(struct store *store, const struct request *request, struct reply *reply);
void review_create(const struct request *request, struct reply *reply);

/* Deletes without preconditions, for the controllers. */
void api_remove(struct store *store, const struct kind *kind, struct object *object,
                enum propagation propagation);

#endif
