/* SPDX-License-Identifier: Apache-2.0 */
/* meta.k8s.io/v1 Tables: what `kubectl get` prints. */
#ifndef PLAYGROUND_APISERVER_TABLE_H
#define PLAYGROUND_APISERVER_TABLE_H

#include "kinds.h"
#include "objects.h"

enum table_include { TABLE_METADATA, TABLE_OBJECT, TABLE_NONE };

/* Gives the definitions of the columns (an array). */
struct json *table_columns(const struct kind_version *version);

/* Gives one row; object is in the form of version. Borrows it. */
struct json *table_row(const struct kind_version *version, const struct json *object,
                       enum table_include include);

/* Gives a Table without rows but with columns (unless with_columns is false). */
struct json *table_new(const struct kind_version *version, const char *revision, bool with_columns);

/* One column of a built-in kind. cell gives the value, as kubectl shows it. */
struct table_column {
    const char *store_key;
    const char *name;
    const char *type;
    int priority; /* 1: only with -o wide */
    const char *path;
    struct json *(*cell)(const struct json *object);
};

extern const struct table_column TABLE_COLUMNS[];
extern const size_t TABLE_COLUMN_COUNT;

/* Gives "5m" for the time since an RFC 3339 text, "<unknown>" when it is none. */
struct json *table_age(const char *since);

#endif
