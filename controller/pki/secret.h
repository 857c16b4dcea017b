/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets of Kubernetes that hold certificates: their facts, and the body of the write that a task
 * asks for. What is read and what is made holds private keys: it goes to the API server and nowhere
 * else.
 *
 * Keys of data: tls.crt and tls.key are the certificate (an authority's: the one that issues),
 * ca.crt is whom its holder trusts. An authority's Secret also has next.crt and next.key, or
 * old.crt, while it is replaced; that of users has endpoints and flags.
 */
#ifndef CONTROLLER_PKI_SECRET_H
#define CONTROLLER_PKI_SECRET_H

#include "base/json.h"
#include "controller/model/certs.h"
#include "controller/pki/pki.h"

/* Reads the facts of a Secret object; NULL: it is absent. */
void pki_secret_read(const struct json *secret, const struct cluster_spec *want,
                     enum certs_secret which, struct certs_fact *out);

/* The decoded text at key of a Secret's data (pki_text_free); NULL when absent or no text. */
char *pki_secret_text(const struct json *secret, const char *key);

/* What a task is carried out on. Borrows. */
struct pki_job {
    const struct cluster_spec *want;
    enum certs_secret secret;
    enum certs_what what;
    const struct json *present;   /* the Secret as it is; NULL: absent */
    const struct json *authority; /* the Secret of its authority; NULL for authorities */
    int64_t now_ms;
};

/*
 * Gives the body (json_free): the whole object when the Secret is absent, else a merge patch with
 * its resourceVersion. E_INVALID: what is there cannot be used for it.
 */
BASE_MUST_CHECK int pki_secret_make(const struct pki_job *job, struct json **out_body,
                                    struct err *err);

#endif
