/* SPDX-License-Identifier: Apache-2.0 */
/* The Secrets of one cluster in memory, on a clock of their own, and who verifies whom. */
#ifndef TESTS_UNIT_PKI_LIB_CLUSTER_H
#define TESTS_UNIT_PKI_LIB_CLUSTER_H

#include "base/json.h"
#include "controller/model/certs.h"
#include "controller/pki/secret.h"

#define HOUR_MS  INT64_C(3600000)
#define DAY_MS   (24 * HOUR_MS)
#define START_MS INT64_C(1790000000000)

struct cluster {
    struct json *object;
    struct cluster_spec want;
    struct json *secrets[CERTS_SECRET_COUNT]; /* NULL: absent */
    int64_t changed_ms[CERTS_SECRET_COUNT];
    int64_t now_ms;
    int version;
};

/* A cluster "demo" in mode Auto; extra is more of spec.tls (",\"a\":1" or ""). */
void cluster_init(struct cluster *cluster, const char *extra);
void cluster_free(struct cluster *cluster);

/* Reads the facts and decides. */
void cluster_decide(struct cluster *cluster, struct certs_due *out);

/* Carries out one task as the shell does: create or merge patch. */
void cluster_run(struct cluster *cluster, const struct certs_task *task);

/* Decides and runs until nothing is due now; gives the count of writes. */
size_t cluster_settle(struct cluster *cluster);

/* What one program has in memory of a Secret: the texts of its files. */
struct copy {
    char *cert;
    char *key;
    char *trust;
};
void copy_take(struct copy *copy, const struct json *secret);
void copy_free(struct copy *copy);

/* True when one who trusts what verifier trusts takes the certificate that shown shows, for host
 * (NULL: a client's), at that time. */
bool copy_verifies(const struct copy *verifier, const struct copy *shown, const char *host,
                   int64_t now_ms);

#endif
