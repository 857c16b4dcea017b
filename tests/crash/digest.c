/* SPDX-License-Identifier: Apache-2.0 */
/* All that a store holds, as one number. */
#include "tests/crash/digest.h"

#include "base/assert.h"
#include "tests/crash/image.h"

uint64_t digest_of_store(const struct store_seam *seam)
{
    struct store_view *view;
    uint64_t digest = 1;
    int rc = seam->view_begin(seam->ctx, &view);
    ASSERT(rc == 0);
    for (unsigned table = 0; table < STORE_TABLE_COUNT; table++) {
        struct store_item item;
        rc = seam->view_seek(view, (enum store_table)table, (struct bytes){NULL, 0}, &item);
        for (; rc == 0; rc = seam->view_next(view, (enum store_table)table, &item)) {
            digest = bytes_hash(digest + table, item.key.data, item.key.size);
            digest = bytes_hash(digest, item.value.data, item.value.size);
        }
        ASSERT(rc == E_NOT_FOUND);
    }
    seam->view_end(view);
    return digest;
}
