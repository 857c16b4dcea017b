/* SPDX-License-Identifier: Apache-2.0 */
/* Object metadata: times, uids, names, owner and finalizer questions. */
#ifndef PLAYGROUND_APISERVER_META_H
#define PLAYGROUND_APISERVER_META_H

#include "base/json.h"

#define META_TIME_SIZE 32u
#define META_UID_SIZE  40u

/* RFC 3339, to the second (meta_time) from seconds since 1970. */
void meta_time(int64_t unix_seconds, char out[META_TIME_SIZE]);
void meta_now(char out[META_TIME_SIZE]);

/* Seconds since 1970 of an RFC 3339 text; -1 when it is none. */
int64_t meta_time_parse(const char *text);

/* A random version 4 UUID. */
void meta_uid(char out[META_UID_SIZE]);

/* Appends count random letters and digits as generateName does. Gives the name (mem_free). */
char *meta_generate_name(const char *prefix);

/* Random number below bound, from the kernel. */
uint32_t meta_random(uint32_t bound);

/* Appends causes for a metadata.name or label that Kubernetes would refuse. */
void meta_validate(const struct json *object, bool name_is_path_only, struct json *causes);

/* Shorthands on a whole object; never NULL. */
const char *meta_name(const struct json *object);
const char *meta_namespace(const struct json *object);
const char *meta_uid_of(const struct json *object);
bool meta_is_deleting(const struct json *object);

/* True when metadata.finalizers holds name (NULL: any). */
bool meta_has_finalizer(const struct json *object, const char *name);
void meta_add_finalizer(struct json *object, const char *name);
void meta_remove_finalizer(struct json *object, const char *name);

/* Sets condition type in the array at status.conditions; the transition time moves with the status.
 */
void meta_set_condition(struct json *object, const char *type, const char *status,
                        const char *reason, const char *message);

#endif
