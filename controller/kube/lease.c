/* SPDX-License-Identifier: Apache-2.0 */
/* Acquire, renew, verify, release: each a compare-and-swap by resourceVersion. */
#include "controller/kube/lease.h"

#include <string.h>

#include "base/alloc.h"
#include "controller/kube/timestamp.h"

static uint64_t now_ms_of(const struct kube_lease *lease)
{
    return clock_monotonic_ms(lease->clock);
}

void kube_lease_init(struct kube_lease *lease, const struct kube_seam *seam,
                     const struct clock_seam *clock, const char *namespace_, const char *name,
                     const char *identity, uint64_t seed)
{
    *lease = (struct kube_lease){.seam = seam,
                                 .clock = clock,
                                 .namespace_ = str_dup(namespace_),
                                 .name = str_dup(name),
                                 .identity = str_dup(identity)};
    rng_seed(&lease->rng, seed);
}

void kube_lease_free(struct kube_lease *lease)
{
    mem_free(lease->namespace_);
    mem_free(lease->name);
    mem_free(lease->identity);
    mem_free(lease->seen_version);
    json_free(lease->object);
}

const char *kube_lease_holder(const struct kube_lease *lease)
{
    return json_path_str(lease->object, "spec.holderIdentity", "");
}

static void object_set(struct kube_lease *lease, struct json *object)
{
    json_free(lease->object);
    lease->object = object;
}

static void lose(struct kube_lease *lease)
{
    if (lease->is_held) {
        lease->is_held = false;
        lease->was_lost = true;
    }
}

/* The lease as we want it: held by holder from now on. Keeps what the server gave, for its version.
 */
static struct json *lease_body(const struct kube_lease *lease, const char *holder)
{
    struct json *body = lease->object != NULL ? json_copy(lease->object) : json_object();
    json_set_str(body, "apiVersion", "coordination.k8s.io/v1");
    json_set_str(body, "kind", "Lease");
    struct json *metadata = json_ensure_object(body, "metadata");
    json_set_str(metadata, "name", lease->name);
    json_set_str(metadata, "namespace", lease->namespace_);
    json_remove(metadata, "managedFields");
    struct json *spec = json_ensure_object(body, "spec");
    struct kube_timestamp now = kube_timestamp_micro(lease->clock->wall_ns(lease->clock->ctx));
    if (!str_equal(json_str(json_get(spec, "holderIdentity"), ""), holder)) {
        json_set_str(spec, "acquireTime", now.text);
        json_set_int(spec, "leaseTransitions",
                     json_i64(json_get(spec, "leaseTransitions"), 0) +
                         (holder[0] != 0 && lease->object != NULL));
    }
    json_set_str(spec, "holderIdentity", holder);
    json_set_str(spec, "renewTime", now.text);
    json_set_int(spec, "leaseDurationSeconds", holder[0] == 0 ? 1 : KUBE_LEASE_DURATION_S);
    return body;
}

/* Writes the lease for holder over the version that we know, or creates it. */
static int lease_write(struct kube_lease *lease, const char *holder, struct err *err)
{
    struct json *body = lease_body(lease, holder);
    const struct kube_call call = {.verb = lease->object == NULL ? KUBE_CREATE : KUBE_REPLACE,
                                   .kind = &KUBE_KINDS[KUBE_LEASE],
                                   .namespace_ = lease->namespace_,
                                   .name = lease->name,
                                   .body = body};
    struct json *written = NULL;
    int rc = kube_call(lease->seam, &call, &written, err);
    json_free(body);
    if (rc == 0) {
        object_set(lease, written);
    }
    return rc;
}

static int lease_read(struct kube_lease *lease, struct err *err)
{
    struct json *object = NULL;
    int rc = kube_get(lease->seam, KUBE_LEASE, lease->namespace_, lease->name, &object, err);
    if (rc == 0 || rc == E_NOT_FOUND) {
        object_set(lease, object);
    }
    return rc;
}

/* Takes or renews the lease. The time counts from before the call: the server may be slow to
 * answer. */
static int hold(struct kube_lease *lease, struct err *err)
{
    uint64_t started_ms = now_ms_of(lease);
    int rc = lease_write(lease, lease->identity, err);
    if (rc == 0) {
        lease->renewed_ms = started_ms;
        lease->is_held = true;
        lease->next_ms = started_ms + KUBE_LEASE_RENEW_MS;
    }
    return rc;
}

/* True when the lease that was read may be taken now. */
static bool is_free(struct kube_lease *lease)
{
    const char *holder = kube_lease_holder(lease);
    if (holder[0] == 0) {
        return true;
    }
    const char *version = json_path_str(lease->object, "metadata.resourceVersion", "");
    if (!str_equal(lease->seen_version, version)) {
        mem_free(lease->seen_version);
        lease->seen_version = str_dup(version);
        lease->seen_ms = now_ms_of(lease);
        return false;
    }
    int64_t duration_s =
        json_path_i64(lease->object, "spec.leaseDurationSeconds", KUBE_LEASE_DURATION_S);
    uint64_t duration_ms = duration_s > 0 ? (uint64_t)duration_s * 1000 : 0;
    return now_ms_of(lease) - lease->seen_ms >= duration_ms;
}

static int acquire(struct kube_lease *lease, struct err *err)
{
    int rc = lease_read(lease, err);
    if (rc != 0 && rc != E_NOT_FOUND) {
        return rc;
    }
    if (lease->object == NULL || is_free(lease)) {
        rc = hold(lease, err);
        return rc == E_EXISTS || rc == E_CONFLICT ? 0 : rc; /* somebody was faster */
    }
    return 0;
}

static int renew(struct kube_lease *lease, struct err *err)
{
    int rc = hold(lease, err);
    if (rc != E_CONFLICT && rc != E_NOT_FOUND) {
        return rc;
    }
    /* Somebody wrote it. Ours still: write over the new version. Else it is lost, at once. */
    rc = lease_read(lease, err);
    if (rc == E_NOT_FOUND || (rc == 0 && !str_equal(kube_lease_holder(lease), lease->identity))) {
        lose(lease);
        return err_set(err, E_CLOSED, "lease %s/%s is held by \"%s\"", lease->namespace_,
                       lease->name, kube_lease_holder(lease));
    }
    return rc == 0 ? hold(lease, err) : rc;
}

static bool is_overdue(const struct kube_lease *lease)
{
    return now_ms_of(lease) - lease->renewed_ms >= KUBE_LEASE_DEADLINE_MS;
}

int kube_lease_turn(struct kube_lease *lease, struct err *err)
{
    if (lease->was_lost || now_ms_of(lease) < lease->next_ms) {
        return 0;
    }
    bool was_held = lease->is_held;
    int rc = was_held ? renew(lease, err) : acquire(lease, err);
    if (was_held && lease->is_held && is_overdue(lease)) {
        lose(lease);
        rc = err_set(err, E_CLOSED, "lease %s/%s was not renewed in time", lease->namespace_,
                     lease->name);
    }
    if (rc != 0 || !lease->is_held) {
        lease->next_ms = now_ms_of(lease) + KUBE_LEASE_RETRY_MS - rng_below(&lease->rng, 500);
    }
    return rc;
}

/* Asks the server: renews when that is due, else reads. */
static int ask(struct kube_lease *lease, struct err *err)
{
    if (now_ms_of(lease) >= lease->next_ms) {
        return renew(lease, err);
    }
    int rc = lease_read(lease, err);
    if (rc == E_NOT_FOUND || (rc == 0 && !str_equal(kube_lease_holder(lease), lease->identity))) {
        lose(lease);
        return err_set(err, E_CLOSED, "lease %s/%s is held by \"%s\"", lease->namespace_,
                       lease->name, kube_lease_holder(lease));
    }
    return rc == 0 ? 0 : err_wrap(err, rc, "verify the lease");
}

int kube_lease_verify(struct kube_lease *lease, struct err *err)
{
    int rc = lease->is_held && !is_overdue(lease) ? ask(lease, err) : 0;
    /* The answer may have been slow: what it says is as old as the question. */
    if (rc == 0 && (!lease->is_held || is_overdue(lease))) {
        lose(lease);
        return err_set(err, E_CLOSED, "lease %s/%s is not held", lease->namespace_, lease->name);
    }
    return rc;
}

int kube_lease_release(struct kube_lease *lease, struct err *err)
{
    if (!lease->is_held) {
        return 0;
    }
    lose(lease);
    return lease_write(lease, "", err);
}
