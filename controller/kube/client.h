/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls to the Kubernetes API, one at a time, through a seam: struct kube_seam is what everything
 * above uses, so that tests can put a server of their own, or one that fails the k-th call, under
 * it. Every error names verb, kind, namespace/name, status and the server's message.
 */
#ifndef CONTROLLER_KUBE_CLIENT_H
#define CONTROLLER_KUBE_CLIENT_H

#include "base/defs.h"
#include "base/err.h"
#include "base/json.h"
#include "base/seam/clock.h"
#include "controller/http/http.h"
#include "controller/kube/config.h"
#include "controller/kube/kind.h"

#define KUBE_FIELD_MANAGER   "quorate-operator"
#define KUBE_CALL_MS         10000u
#define KUBE_THROTTLE_TRIES  3u    /* how often one call waits for a 429 */
#define KUBE_THROTTLE_MS_MAX 5000u /* the longest such wait */

enum kube_verb {
    KUBE_GET,
    KUBE_LIST,
    KUBE_CREATE,
    KUBE_REPLACE,
    KUBE_APPLY,       /* server-side apply, forced, as KUBE_FIELD_MANAGER */
    KUBE_MERGE_PATCH, /* application/merge-patch+json */
    KUBE_DELETE,
    KUBE_VERB_COUNT,
};

/* "get", "list", "create", "replace", "apply", "patch", "delete". */
const char *kube_verb_text(enum kube_verb verb);

/* True for verbs that change something. */
bool kube_verb_mutates(enum kube_verb verb);

/* One call; everything is borrowed for its time. Zero what is not used. */
struct kube_call {
    enum kube_verb verb;
    const struct kube_kind *kind;
    const char *namespace_;
    const char *name;
    const char *subresource;    /* "status", "scale" or NULL */
    const struct json *body;    /* of create, replace, apply, patch */
    const char *if_uid;         /* delete: only the object of this uid */
    const char *if_version;     /* delete: only at this resourceVersion */
    const char *label_selector; /* list */
    int64_t grace_seconds;      /* delete: used when has_grace */
    bool has_grace;
    bool foreground; /* delete: dependents first */
};

/*
 * The seam. call carries out one call; *out_object (may be NULL; json_free) is what the server
 * sent. Returns 0, or E_NOT_FOUND (404), E_EXISTS (409 AlreadyExists), E_CONFLICT (409),
 * E_COMPACTED (410), E_INVALID (400, 422), E_PERMISSION (401, 403), E_AGAIN (429), E_UNAVAILABLE
 * (5xx, no connection), E_TIMEOUT (the outcome is unknown), E_CORRUPT (not what an API server
 * sends).
 */
struct kube_seam {
    void *ctx;
    int (*call)(void *ctx, const struct kube_call *call, struct json **out_object, struct err *err);
};

/* Calls through the seam; out_object may be NULL. */
BASE_MUST_CHECK int kube_call(const struct kube_seam *seam, const struct kube_call *call,
                              struct json **out_object, struct err *err);

/* Shorthands. */
BASE_MUST_CHECK int kube_get(const struct kube_seam *seam, enum kube_kind_id kind,
                             const char *namespace_, const char *name, struct json **out_object,
                             struct err *err);

struct kube_client;

/* Makes a client of one API server. http and clock are borrowed, config is taken. */
struct kube_client *kube_client_new(struct http *http, const struct clock_seam *clock,
                                    struct kube_config *config);
void kube_client_free(struct kube_client *client);

/* The seam onto the real server; borrowed from the client. */
const struct kube_seam *kube_client_seam(struct kube_client *client);

/* What the client was configured with. */
const struct kube_config *kube_client_config(const struct kube_client *client);

/*
 * Starts a raw GET of path (with its query) and gives the transfer: for lists and watches that go
 * on while other things happen. is_stream as in http_request; timeout_ms 0: no end, idle_ms ends it
 * then.
 */
struct http_transfer *kube_client_get(struct kube_client *client, const char *path, bool is_stream,
                                      uint64_t timeout_ms, uint64_t idle_ms);

/*
 * The outcome of an answer with this HTTP status and body: 0 below 300, else the code of struct
 * kube_seam, with the text "verb kind namespace/name: status reason: message". what is the text
 * before the colon.
 */
int kube_status_error(int status, struct bytes body, const char *what, struct err *err);

/* Milliseconds of a Retry-After header ("2"), fallback_ms when it is absent or unreadable. */
uint64_t kube_retry_after_ms(const char *header, uint64_t fallback_ms);

#endif
