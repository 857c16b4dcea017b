/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates: authorities, leaves, and what they say. ECDSA P-256 with SHA-256, PEM in memory; no
 * clock and no files here. Private keys are wiped when their holder is freed, and no text of an
 * error holds one.
 */
#ifndef CONTROLLER_PKI_PKI_H
#define CONTROLLER_PKI_PKI_H

#include "base/defs.h"
#include "base/err.h"
#include "controller/model/certs.h"

#define PKI_BACKDATE_MAX_MS INT64_C(3600000) /* clocks of members may be behind so far */

/* A certificate and its key as PEM texts, owned (pki_pair_free); key_pem may be NULL. */
struct pki_pair {
    char *cert_pem;
    char *key_pem;
};

/* What is to be issued. Borrows. */
struct pki_request {
    const char *common_name;
    const char *names; /* "DNS:a,IP:1.2.3.4"; "": none */
    bool is_server;    /* it may be shown by a server; every leaf may be shown by a client */
    int64_t now_ms;
    int64_t lifetime_ms;
};

/* Facts of one certificate. */
struct pki_facts {
    int64_t not_before_ms;
    int64_t not_after_ms;
    char id[CERTS_ID_MAX];
    char issuer[CERTS_ID_MAX]; /* "" when it does not say */
};

/* Makes an authority of its own. */
BASE_MUST_CHECK int pki_make_authority(const char *common_name, int64_t now_ms, int64_t lifetime_ms,
                                       struct pki_pair *out, struct err *err);

/* Issues a leaf; it ends no later than its authority. */
BASE_MUST_CHECK int pki_issue(const struct pki_pair *authority, const struct pki_request *request,
                              struct pki_pair *out, struct err *err);

/* Reads the first certificate of a PEM text; E_INVALID when there is none. */
BASE_MUST_CHECK int pki_read(const char *cert_pem, struct pki_facts *out);

/* Reads the ids of up to max certificates of a PEM text; gives how many there are (may be more). */
size_t pki_read_ids(const char *pem, char (*ids)[CERTS_ID_MAX], size_t max);

/* True when the key is that of the first certificate. */
bool pki_belongs(const char *cert_pem, const char *key_pem);

/* Wipes and frees the texts. */
void pki_pair_free(struct pki_pair *pair);

/* Wipes and frees a text; NULL is allowed. */
void pki_text_free(char *text);

#endif
