/* SPDX-License-Identifier: Apache-2.0 */
/* What a request is answered with: an object, or a Status in the API server's own words. */
#ifndef PLAYGROUND_APISERVER_REPLY_H
#define PLAYGROUND_APISERVER_REPLY_H

#include "base/json.h"
#include "kinds.h"
#include "objects.h"

#define REPLY_WARNINGS_MAX 16u

/* Owns what it holds. Exactly one of value and object is the body; both NULL: none yet. */
struct reply {
    int code;
    struct json *value;
    struct object *object; /* a stored object, sent as it is */
    struct json *warnings; /* array of texts, or NULL */
};

void reply_init(struct reply *reply);
void reply_free(struct reply *reply);

/* Takes value. */
void reply_set(struct reply *reply, int code, struct json *value);
void reply_warn(struct reply *reply, const char *text);

/* A Status of failure. reason is CamelCase; kind and name may be NULL. Returns code for chaining.
 */
int reply_fail(struct reply *reply, int code, const char *reason, const struct kind *kind,
               const char *name, const char *format, ...) BASE_PRINTF(6, 7);

int reply_not_found(struct reply *reply, const struct kind *kind, const char *name);
int reply_exists(struct reply *reply, const struct kind *kind, const char *name);
int reply_conflict(struct reply *reply, const struct kind *kind, const char *name);
int reply_bad_request(struct reply *reply, const char *format, ...) BASE_PRINTF(2, 3);

/*
 * 422 with one cause per element of causes (taken): objects with "field", "reason", "message".
 */
int reply_invalid(struct reply *reply, const struct kind *kind, const char *name,
                  struct json *causes);

/* Appends {field, reason, message: "field: text"}-like causes as kube-apiserver words them. */
void cause_add(struct json *causes, const char *reason, const char *field, const char *format, ...)
    BASE_PRINTF(4, 5);

#endif
