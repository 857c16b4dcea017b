/* SPDX-License-Identifier: Apache-2.0 */
/* base/net/resolve.h where addresses are the simulator's: there is nothing to look up, and nobody
 * but the HTTP client would. */
#include "base/alloc.h"
#include "base/net/resolve.h"

struct resolver {
    char nothing;
};

struct resolver *resolver_new(void)
{
    return mem_zalloc(sizeof(struct resolver));
}

void resolver_free(struct resolver *resolver)
{
    mem_free(resolver);
}
