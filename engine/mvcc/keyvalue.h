/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stored forms: mvccpb.KeyValue bytes (fields 1 to 6 in order, zero omitted: byte for byte what
 * etcd stores, so that HashKV agrees) and the 17 or 18 byte revision keys of table key.
 */
#ifndef ENGINE_MVCC_KEYVALUE_H
#define ENGINE_MVCC_KEYVALUE_H

#include "base/bytes.h"
#include "base/err.h"

/* Borrows key and value. */
struct keyvalue {
    struct bytes key;
    int64_t create_revision;
    int64_t mod_revision;
    int64_t version;
    struct bytes value;
    int64_t lease;
};

/* The exact size of the encoded form. */
size_t keyvalue_size(const struct keyvalue *kv);

/* Writes keyvalue_size bytes at out and gives their count. */
size_t keyvalue_encode(const struct keyvalue *kv, uint8_t *out);

/* Decodes in place: key and value point into data. Unknown fields are skipped. 0 or E_CORRUPT. */
int keyvalue_decode(struct bytes data, struct keyvalue *out_kv);

#define REVISION_KEY_BYTES     17u
#define REVISION_KEY_BYTES_MAX 18u

/* A place in history: main counts write transactions, sub counts changes inside one. */
struct revision {
    int64_t main;
    uint32_t sub;
    bool tombstone;
};

/* Order by main, then sub. */
static inline int revision_compare(struct revision a, struct revision b)
{
    if (a.main != b.main) {
        return a.main < b.main ? -1 : 1;
    }
    return a.sub < b.sub ? -1 : (a.sub > b.sub ? 1 : 0);
}

/* Writes 17 bytes (BE64 main '_' BE64 sub), or 18 with a 't' for a tombstone; gives the count. */
size_t revision_encode(struct revision revision, uint8_t out[REVISION_KEY_BYTES_MAX]);

/* 0 or E_CORRUPT. */
int revision_decode(struct bytes data, struct revision *out_revision);

#endif
