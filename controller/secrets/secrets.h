/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the operator knows of each cluster's Secrets: facts for the planner, and what it shows to
 * members itself. Secrets are asked for by name (there is no right to list or watch them), kept for
 * a while, and read again after each write. Private keys other than the operator's own are dropped
 * as soon as their Secret was judged.
 */
#ifndef CONTROLLER_SECRETS_SECRETS_H
#define CONTROLLER_SECRETS_SECRETS_H

#include "base/seam/clock.h"
#include "controller/http/http.h"
#include "controller/kube/client.h"
#include "controller/model/observed.h"

#define SECRETS_FRESH_MS 30000u /* read again after so long */
#define SECRETS_RETRY_MS 1000u  /* the same, while something is missing or could not be read */

struct secrets;

/* seam and clock are borrowed. Gives the store (secrets_free). */
struct secrets *secrets_new(const struct kube_seam *seam, const struct clock_seam *clock);
void secrets_free(struct secrets *secrets);

/* Reads what is old or dirty; blocks for the calls. Nothing in mode Disabled. */
void secrets_refresh(struct secrets *secrets, const struct cluster_spec *want);

/* The facts as last read; never NULL. Borrowed until the next call on the store. */
const struct certs_facts *secrets_facts(struct secrets *secrets, const char *namespace_,
                                        const char *name);

/* The objects of mode CertManager as last read; borrowed as the facts are. */
void secrets_manager(struct secrets *secrets, const char *namespace_, const char *name,
                     struct observed_manager *out);

/* What to show to and ask of members: NULL in mode Disabled (plain text); one that trusts nobody
 * while there is no Secret. Borrowed until the next refresh of that cluster. */
const struct http_tls *secrets_tls(struct secrets *secrets, const char *namespace_,
                                   const char *name);

/* A write was tried: the next refresh reads all of that cluster's again. */
void secrets_touch(struct secrets *secrets, const char *namespace_, const char *name);

/* The cluster is gone. */
void secrets_forget(struct secrets *secrets, const char *namespace_, const char *name);

#endif
