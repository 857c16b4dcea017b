/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leader election on a coordination.k8s.io Lease: at most one operator acts. A lease of somebody
 * else is taken only after it did not change for its whole duration on OUR clock (clocks of two
 * machines are never compared). A holder that could not renew within KUBE_LEASE_DEADLINE_MS has
 * lost it, and kube_lease_verify asks the server again before every change.
 */
#ifndef CONTROLLER_KUBE_LEASE_H
#define CONTROLLER_KUBE_LEASE_H

#include "base/defs.h"
#include "base/rng.h"
#include "base/seam/clock.h"
#include "controller/kube/client.h"

#define KUBE_LEASE_DURATION_S  15
#define KUBE_LEASE_RENEW_MS    4000u
#define KUBE_LEASE_RETRY_MS    2000u
#define KUBE_LEASE_DEADLINE_MS 10000u

/* Fill the first five by kube_lease_init; read only is_held. */
struct kube_lease {
    const struct kube_seam *seam;
    const struct clock_seam *clock;
    char *namespace_;
    char *name;
    char *identity;
    bool is_held;
    bool was_lost;       /* held once and lost: never acquired again by this process */
    uint64_t renewed_ms; /* start of the last renewal that succeeded */
    uint64_t next_ms;    /* when kube_lease_turn has work */
    char *seen_version;  /* resourceVersion of the lease of another holder */
    uint64_t seen_ms;    /* when it was first seen */
    struct json *object; /* as last read or written */
    struct rng rng;
};

/* identity must be unique for the life of the process. */
void kube_lease_init(struct kube_lease *lease, const struct kube_seam *seam,
                     const struct clock_seam *clock, const char *namespace_, const char *name,
                     const char *identity, uint64_t seed);
void kube_lease_free(struct kube_lease *lease);

/* Acquires or renews when that is due. Returns 0, or the error of the last call (it will try
 * again). */
int kube_lease_turn(struct kube_lease *lease, struct err *err);

/*
 * 0 when the server has just confirmed that we hold the lease; E_CLOSED when it is lost (is_held is
 * then false); another code when the server could not be asked: then nothing may be changed either.
 */
BASE_MUST_CHECK int kube_lease_verify(struct kube_lease *lease, struct err *err);

/* Gives the lease up, so that another need not wait for its end. */
int kube_lease_release(struct kube_lease *lease, struct err *err);

/* The identity of the holder as last seen, "" when nobody. */
const char *kube_lease_holder(const struct kube_lease *lease);

#endif
