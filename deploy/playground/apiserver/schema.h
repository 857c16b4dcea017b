/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structural schemas: pruning of unknown fields, defaults, validation with kube-apiserver's words.
 * CEL rules (x-kubernetes-validations) are accepted and not evaluated. Pure.
 */
#ifndef PLAYGROUND_APISERVER_SCHEMA_H
#define PLAYGROUND_APISERVER_SCHEMA_H

#include "base/json.h"

/*
 * Drops fields that the schema does not know and nulls that it does not allow. Their paths are
 * appended to unknown (may be NULL). At the root apiVersion, kind and metadata always stay.
 */
void schema_prune(const struct json *schema, struct json *value, struct json *unknown);

/* Fills in defaults of absent fields. */
void schema_default(const struct json *schema, struct json *value);

/* Appends one cause (reply.h, cause_add) per wrong field. */
void schema_validate(const struct json *schema, const struct json *value, struct json *causes);

/* Looks at a CRD's schema itself; appends a cause per part that is not structural. */
void schema_check_structural(const struct json *schema, const char *path, struct json *causes);

/* The schema of a field or list element, or NULL when the schema says nothing about it. */
const struct json *schema_field(const struct json *schema, const char *name);
const struct json *schema_items(const struct json *schema);

/* x-kubernetes-list-type: 'm'ap, 's'et or 'a'tomic (also for maps that are atomic as a whole). */
enum schema_list { SCHEMA_ATOMIC, SCHEMA_SET, SCHEMA_MAP };
enum schema_list schema_list_type(const struct json *schema);

/* The array of key names of a map list; NULL otherwise. */
const struct json *schema_list_keys(const struct json *schema);

/* True when an object of this schema is owned as a whole (x-kubernetes-map-type: atomic). */
bool schema_is_atomic_map(const struct json *schema);

#endif
