/* SPDX-License-Identifier: Apache-2.0 */
/* Making a log that a scan has judged ready to append: the bad end is cut off, with evidence kept.
 */
#ifndef ENGINE_WAL_REPAIR_H
#define ENGINE_WAL_REPAIR_H

#include "engine/wal/scan.h"

/*
 * Does what the verdict asks for; the caller flushes the last segment afterwards. A suspect verdict
 * is made durable in the side mark before a byte is dropped, so that a crash in between cannot wash
 * it off. What is dropped below the mark, or from a log of etcd's, stays beside it as *.broken.
 * What lies between the side mark and the end is written again, because a flush that failed before
 * this start may have left it in the page cache alone. Segments after the end are closed and leave
 * the list. Each step may be done again after a crash.
 */
BASE_MUST_CHECK int wal_repair_run(const struct wal_scan *scan, struct wal_segments *segments,
                                   struct wal_marker *marker, struct err *err);

#endif
