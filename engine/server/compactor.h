/* SPDX-License-Identifier: Apache-2.0 */
/* Automatic compaction, by age or by number of revisions, as --auto-compaction-* say. */
#ifndef ENGINE_SERVER_COMPACTOR_H
#define ENGINE_SERVER_COMPACTOR_H

#include "engine/server/internal.h"

struct compactor *compactor_new(void);
void compactor_free(struct compactor *compactor);

/*
 * Pure: the revision to compact to now, or 0. Call it often; it notes revision when that is time.
 * may_act false (not the leader): it only notes. compactor_succeeded says that it went through;
 * without it the same revision is given again later.
 */
int64_t compactor_due(struct compactor *compactor, const struct server_config *config,
                      uint64_t now_ms, int64_t revision, bool may_act);
void compactor_succeeded(struct compactor *compactor, int64_t revision, uint64_t now_ms);

/* State thread, now and then: proposes the compaction that is due. */
void compactor_check(struct server *server);

#endif
