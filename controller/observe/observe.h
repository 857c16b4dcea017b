/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One look at one cluster: members are probed in parallel in the background, then everything is put
 * together from the caches in one moment. Starting many looks costs one deadline, not one each.
 */
#ifndef CONTROLLER_OBSERVE_OBSERVE_H
#define CONTROLLER_OBSERVE_OBSERVE_H

#include "base/defs.h"
#include "controller/http/http.h"
#include "controller/kube/cache.h"
#include "controller/model/observed.h"
#include "controller/secrets/secrets.h"

/* Where things are read from; borrowed. */
struct observe_sources {
    struct http *http;
    struct secrets *secrets; /* NULL: no cluster speaks TLS */
    const struct kube_cache
        *caches[KUBE_KIND_COUNT]; /* by kind; those of Lease and Event are NULL */
};

/* One look in flight. Borrows the sources. */
struct observe_look;

/* Starts to probe the Pods of the cluster. Gives the look (observe_free). */
struct observe_look *observe_start(const struct observe_sources *sources, const char *namespace_,
                                   const char *name);

/* True when every member has answered or run out of time. */
bool observe_done(const struct observe_look *look);

/*
 * Fills out (observed_free) from a done look and the caches as they are now. cluster is the
 * EtcdCluster object. What out borrows lives until the look is freed or a cache changes. now_ms is
 * the time in milliseconds since 1970.
 */
void observe_finish(struct observe_look *look, const struct json *cluster, int64_t now_ms,
                    struct observed *out);

void observe_free(struct observe_look *look);

#endif
