/* SPDX-License-Identifier: Apache-2.0 */
/* See known.h. */
#include "tests/differential/known.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/defs.h"

#define TEXT_BYTES_MAX 512
#define IS_COMPACTED   "code 11: etcdserver: mvcc: required revision has been compacted"

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* The number behind " NAME: "; 0: it is not there. */
static long long number_of(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at == NULL ? 0 : strtoll(at + strlen(name), NULL, 10);
}

/* Ours was asked for just the revision that it has compacted to. */
static bool is_hash_at_compacted(const struct op *op, const char *ours)
{
    long long compacted = number_of(ours, "compact_revision: ");
    return op->kind == OP_HASH && compacted > 0 && compacted == number_of(ours, "hash_revision: ");
}

/* For a compacted revision an answer from before the compaction, which says so itself. */
static bool remembers_the_hash(const struct op *op, const char *ours, const char *theirs)
{
    return op->kind == OP_HASH && starts(theirs, "{") &&
           (strcmp(ours, IS_COMPACTED) == 0 ||
            number_of(theirs, "compact_revision: ") < number_of(ours, "compact_revision: "));
}

static bool has_no_hash_at_compacted(const struct op *op, const char *ours, const char *theirs)
{
    return is_hash_at_compacted(op, ours) && strcmp(theirs, IS_COMPACTED) == 0;
}

static const struct known OF_36[] = {
    {"HashKV at a compacted revision",
     "etcd keeps in memory what the compaction computed on its way, from before it",
     remembers_the_hash},
    {.name = NULL},
};

/* text without " NAME: NUMBER". Gives out. */
static const char *without_number(const char *text, const char *name, char *out, size_t size)
{
    const char *at = strstr(text, name);
    snprintf(out, size, "%s", text);
    if (at != NULL && strlen(text) < size) {
        const char *end = at + strlen(name);
        end += strspn(end, "-0123456789");
        snprintf(out + (at - text), size - (size_t)(at - text), "%s", end);
    }
    return out;
}

static bool has_no_hash_revision(const struct op *op, const char *ours, const char *theirs)
{
    char text[TEXT_BYTES_MAX];
    return op->kind == OP_HASH && strstr(theirs, "hash_revision") == NULL &&
           strcmp(without_number(ours, " hash_revision: ", text, sizeof(text)), theirs) == 0;
}

static bool tells_the_put_first(const struct op *op, const char *ours, const char *theirs)
{
    return op->kind == OP_TXN && starts(ours, "code 11: etcdserver: mvcc: required revision") &&
           (starts(theirs, "code 3: etcdserver: key not found") ||
            starts(theirs, "code 5: etcdserver: requested lease not found"));
}

static const struct known OF_34[] = {
    {"HashKV without hash_revision", "the field came with 3.6", has_no_hash_revision},
    {"HashKV at the compacted revision", "3.4 answers only above it", has_no_hash_at_compacted},
    {"a Txn with several mistakes names another one", "3.4 checks all puts before all ranges",
     tells_the_put_first},
    {.name = NULL},
};

const struct known *known_of(const char *version)
{
    if (strcmp(version, "3.6") == 0) {
        return OF_36;
    }
    return strcmp(version, "3.4") == 0 ? OF_34 : NULL;
}
