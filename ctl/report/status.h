/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `snapshot status` tells of a file, from its items in order: the hash over all of it, the
 * newest revision, how many keys live. The same numbers as etcdutl's. Pure.
 */
#ifndef CTL_REPORT_STATUS_H
#define CTL_REPORT_STATUS_H

#include "base/bytes.h"
#include "base/err.h"

#define STATUS_VERSION_BYTES 32u

struct snapshot_status {
    uint32_t hash;
    int64_t revision;
    uint64_t total_keys;
    uint64_t total_bytes;
    char version[STATUS_VERSION_BYTES]; /* storage version; "": of before 3.6, or left out */
};

struct status_tally; /* opaque; keeps the keys that live */

struct status_tally *status_tally_new(void);
void status_tally_free(struct status_tally *tally);

/* A bucket begins. tally is a struct status_tally. */
int status_tally_bucket(void *tally, struct bytes name);

/* One item; E_CORRUPT for a record that cannot be read. */
int status_tally_item(void *tally, struct bytes bucket, struct bytes key, struct bytes value);

/* What came together; used_bytes is what the file's meta says. */
struct snapshot_status status_tally_result(const struct status_tally *tally, uint64_t used_bytes);

/* Why an item was refused; "" when none was. */
const char *status_tally_error(const struct status_tally *tally);

#endif
