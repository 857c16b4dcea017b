/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out what was planned, one change at a time, in this order: the status (which journals the
 * operation), its events, then the actions, stopping at the first that fails. Before every change
 * the Lease is asked for again; "is there already" and "is gone already" are successes.
 */
#ifndef CONTROLLER_ACT_ACT_H
#define CONTROLLER_ACT_ACT_H

#include "base/defs.h"
#include "base/err.h"
#include "controller/act/crash.h"
#include "controller/http/http.h"
#include "controller/kube/cache.h"
#include "controller/kube/events.h"
#include "controller/kube/lease.h"
#include "controller/model/action.h"
#include "controller/model/spec.h"
#include "controller/secrets/secrets.h"

/* Told of every change that was tried: what ("apply", "delete", "MemberAdd", ...) and its outcome.
 */
typedef void (*act_told_fn)(void *ctx, const char *what, int rc);

/* Borrows everything. Fill before use; crash is zero outside of tests. */
struct act {
    const struct kube_seam *seam;
    struct http *http;
    struct kube_lease *lease; /* NULL: no leader election */
    struct kube_events *events;
    struct kube_cache *caches[KUBE_KIND_COUNT]; /* by kind; Lease and Event are NULL */
    struct secrets *secrets;                    /* NULL: no cluster speaks TLS */
    struct act_crash crash;
    act_told_fn told; /* may be NULL */
    void *ctx;
    uint64_t last_not_yet; /* hash of the last "not yet" line: the same one is not logged again */
};

/* What one pass does. Borrows all but status_body. */
struct act_pass {
    const struct json *cluster;      /* the EtcdCluster object as observed */
    const struct cluster_spec *want; /* for certificates; may be NULL when none is planned */
    int64_t now_ms;
    const struct plan *plan;
    const struct json *status_body; /* NULL: the status needs no write */
};

/*
 * Does it. The caches are changed only at the end, so what was borrowed from them stays valid until
 * then. Returns 0; E_CONFLICT or E_AGAIN (look again soon); E_CLOSED (the Lease is lost: stop the
 * process); or what the failing call said.
 */
BASE_MUST_CHECK int act_run(struct act *act, const struct act_pass *pass, struct err *err);

#endif
