/* SPDX-License-Identifier: Apache-2.0 */
/* The hash runs over names, keys and values as they come: any file with the same items has it. */
#include "ctl/report/status.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/map.h"
#include "engine/mvcc/keyvalue.h"
#include "engine/mvcc/store.h"

struct status_tally {
    struct snapshot_status status;
    struct map live;
    struct err err;
};

struct status_tally *status_tally_new(void)
{
    struct status_tally *tally = mem_zalloc(sizeof(*tally));
    map_init(&tally->live);
    return tally;
}

void status_tally_free(struct status_tally *tally)
{
    if (tally == NULL) {
        return;
    }
    map_free(&tally->live);
    mem_free(tally);
}

static void hash(struct status_tally *tally, struct bytes bytes)
{
    if (bytes.size > 0) {
        tally->status.hash = crc32c(tally->status.hash, bytes.data, bytes.size);
    }
}

int status_tally_bucket(void *ctx, struct bytes name)
{
    hash(ctx, name);
    return 0;
}

static int take_record(struct status_tally *tally, struct bytes key, struct bytes value)
{
    struct revision revision;
    struct keyvalue kv;
    if (revision_decode(key, &revision) != 0) {
        return err_set(&tally->err, E_CORRUPT, "a key of bucket key is no revision");
    }
    if (keyvalue_decode(value, &kv) != 0) {
        return err_set(&tally->err, E_CORRUPT, "the record of revision %" PRId64 " cannot be read",
                       revision.main);
    }
    tally->status.revision = revision.main;
    if (revision.tombstone) {
        map_remove(&tally->live, kv.key);
    } else {
        map_set(&tally->live, kv.key, tally);
    }
    return 0;
}

int status_tally_item(void *ctx, struct bytes bucket, struct bytes key, struct bytes value)
{
    struct status_tally *tally = ctx;
    hash(tally, key);
    hash(tally, value);
    if (bytes_equal(bucket, bytes_of_str(store_table_name(STORE_KEY)))) {
        return take_record(tally, key, value);
    }
    if (bytes_equal(bucket, bytes_of_str(store_table_name(STORE_META))) &&
        bytes_equal(key, bytes_of_str("storageVersion"))) {
        snprintf(tally->status.version, sizeof(tally->status.version), "%.*s",
                 (int)BASE_MIN(value.size, sizeof(tally->status.version) - 1),
                 (const char *)value.data);
    }
    return 0;
}

struct snapshot_status status_tally_result(const struct status_tally *tally, uint64_t used_bytes)
{
    struct snapshot_status status = tally->status;
    status.total_keys = tally->live.count;
    status.total_bytes = used_bytes;
    return status;
}

const char *status_tally_error(const struct status_tally *tally)
{
    return tally->err.text;
}
