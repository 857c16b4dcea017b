/* SPDX-License-Identifier: Apache-2.0 */
/* Automatic compaction, on the leader: by age (periodic) or by number of revisions. */
#ifndef ENGINE_SERVER_COMPACTOR_H
#define ENGINE_SERVER_COMPACTOR_H

#include "engine/server/internal.h"

struct compactor *compactor_new(void);
void compactor_free(struct compactor *compactor);

/* State thread, now and then: notes the revision, and proposes a compaction when one is due. */
void compactor_check(struct server *server);

#endif
