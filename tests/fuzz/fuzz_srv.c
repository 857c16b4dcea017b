/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a name server's answer with SRV records: refused, or no more targets than there is
 * room for, in order, each with a name that ends.
 *
 * fuzz-link: net base
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/net/srv.h"

#define ROOM 4u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct srv_target targets[ROOM];
    size_t count = 0;
    uint8_t *exact = mem_alloc(size == 0 ? 1 : size); /* whoever reads past its end is seen */
    memcpy(exact, data, size);
    int rc = srv_parse_answer(exact, size, targets, ROOM, &count);
    ASSERT(rc == 0 || rc == E_NOT_FOUND || rc == E_CORRUPT);
    ASSERT((rc == 0) == (rc == 0 && count > 0) && count <= ROOM);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        ASSERT(strnlen(targets[i].host, sizeof(targets[i].host)) < sizeof(targets[i].host));
        ASSERT(targets[i].host[0] != '\0');
        ASSERT(i == 0 || targets[i - 1].priority <= targets[i].priority);
    }
    mem_free(exact);
    return 0;
}
