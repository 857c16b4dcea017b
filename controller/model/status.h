/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole status of an EtcdCluster, from what is wanted, seen and planned. Pure. Never stale:
 * what was not freshly probed is Unknown. Times move only when what they date moves.
 */
#ifndef CONTROLLER_MODEL_STATUS_H
#define CONTROLLER_MODEL_STATUS_H

#include "controller/model/action.h"
#include "controller/model/observed.h"
#include "controller/model/spec.h"

#define STATUS_NUMBERS_REFRESH_MS 60000 /* pure number changes are written at most this often */

/* Gives the new status object (json_free). want may be an invalid spec (problems set). */
struct json *status_build(const struct cluster_spec *want, const struct observed *seen,
                          const struct plan *plan, int64_t now_ms);

/* True when next must be written over previous (NULL: none yet): anything but plain numbers
 * (revision, dbSize, applied indexes) differs, or numbers differ and the last refresh is old. */
bool status_needs_write(const struct json *previous, const struct json *next, int64_t now_ms);

/* Gives the merge-patch/apply body {apiVersion, kind, metadata{name,namespace}, status}
 * (json_free); takes status. */
struct json *status_body(const struct cluster_spec *want, struct json *status);

#endif
