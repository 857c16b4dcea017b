/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry of resources: what is built in, and what CustomResourceDefinitions add. Guarded by
 * the store's lock. A kind that is taken out stays in memory until the end, because watches that
 * run outside the lock may still read it.
 */
#ifndef PLAYGROUND_APISERVER_KINDS_H
#define PLAYGROUND_APISERVER_KINDS_H

#include "base/json.h"

#define KIND_STATUS     1u /* has a status subresource */
#define KIND_SCALE      2u /* has a scale subresource */
#define KIND_REVIEW     4u /* create only, nothing is kept */
#define KIND_NAMESPACED 8u
#define KIND_GENERATION 16u /* metadata.generation counts changes of the spec */
#define KIND_CUSTOM     32u

struct kind;

struct kind_version {
    struct kind *kind;
    char *name;
    bool is_served;
    bool is_storage;
    unsigned flags;       /* KIND_STATUS and KIND_SCALE of this version */
    struct json *schema;  /* NULL: anything goes */
    struct json *columns; /* additionalPrinterColumns of a CRD, or NULL */
    struct json *scale;   /* the CRD's subresources.scale, or NULL */
};

struct kind {
    char *group; /* "" for the core group */
    char *plural;
    char *singular;
    char *name;
    char *list_name;
    char *store_key; /* where its objects are kept; two kinds may share one */
    struct json *short_names;
    struct json *categories;
    unsigned flags;
    struct kind_version *versions;
    size_t version_count;
    const char *type_name; /* row of types.h, or NULL */
    struct kind *retired_next;
};

struct kinds {
    struct kind **list;
    size_t count;
    struct kind *retired;
};

/* Fills the registry with the built-in kinds. */
void kinds_init(struct kinds *kinds);
void kinds_free(struct kinds *kinds);

/* Finds; NULL when absent. version NULL: the storage version. */
struct kind_version *kinds_find(const struct kinds *kinds, const char *group, const char *version,
                                const char *plural);
struct kind_version *kinds_find_name(const struct kinds *kinds, const char *group,
                                     const char *version, const char *kind_name);

/* By "pods" or "jobs.batch" (plural, or plural.group). */
struct kind_version *kinds_find_resource(const struct kinds *kinds, const char *resource);

/* Takes kind into the registry, in place of one with the same group and plural. */
void kinds_put(struct kinds *kinds, struct kind *kind);

/* Takes it out; kept in memory. */
void kinds_retire(struct kinds *kinds, const char *group, const char *plural);

/* Makes an empty kind with one slot per version; strings are copied. */
struct kind *kind_new(const char *group, const char *plural, const char *singular, const char *name,
                      unsigned flags, size_t version_count);

/* The version in which objects are kept. */
struct kind_version *kind_storage(const struct kind *kind);
struct kind_version *kind_version_find(const struct kind *kind, const char *version);

/* Gives "group/version", or "version" for the core group (mem_free). */
char *kind_api_version(const struct kind_version *version);

/* Gives "plural.group", or "plural" (mem_free). */
char *kind_qualified(const struct kind *kind);

#endif
