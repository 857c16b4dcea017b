/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schemas of the built-in kinds, from a compact table (types_core.c), in the same form as the
 * structural schema of a CRD, so that one code path validates, defaults, merges and documents all.
 */
#ifndef PLAYGROUND_APISERVER_TYPES_H
#define PLAYGROUND_APISERVER_TYPES_H

#include "base/json.h"

/*
 * One named type. Fields are separated by spaces: name[!]:type[=default]; '!' means required.
 * Types: s string, i integer, n number, b boolean, t time, q quantity, ios int-or-string, y bytes,
 * o open object, any; ms mq my maps of those; Name another row; [X] atomic list, [X]@a,b list keyed
 * by a and b, [s]@ set; {X} map of X; a '~' at the end: a strategic patch keeps only the keys it
 * names.
 */
struct type_row {
    const char *package; /* "core.v1": the API package in the public name of the type */
    const char *name;
    const char *about;
    const char *fields;
};

extern const struct type_row TYPE_ROWS[];
extern const size_t TYPE_ROW_COUNT;

/* The row of that name, or NULL. */
const struct type_row *types_find(const char *name);

/* Gives the public name, "io.k8s.api.core.v1.Pod" (mem_free). */
char *types_public_name(const struct type_row *row);

/* Gives the schema of one row; other rows appear as {"$ref": prefix + public name}. */
struct json *types_schema(const struct type_row *row, const char *ref_prefix);

/* Gives the schema with all references expanded in place. */
struct json *types_expand(const char *name);

#endif
