/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates of one cluster, as facts without a secret in them, and the decision what is due.
 * Pure: facts and a time in, tasks out. Two authorities per cluster, peer and client apart; a leaf
 * is renewed at two thirds of its life, an authority in three steps: all trust the next one too;
 * all certificates are issued anew by it; the old one is trusted no more. Each step waits until
 * what it published has settled everywhere.
 */
#ifndef CONTROLLER_MODEL_CERTS_H
#define CONTROLLER_MODEL_CERTS_H

#include "base/defs.h"
#include "controller/model/names.h"
#include "controller/model/spec.h"

#define CERTS_ID_MAX      24u /* hex digits of a key's identifier */
#define CERTS_TRUSTED_MAX 4u
#define CERTS_TASKS_MAX   8u
#define CERTS_VERSION_MAX 40u
#define CERTS_USER_DIR    "/etc/quorate/client" /* where the flags for users expect their Secret */

/* The Secrets of a cluster. Authorities come first. */
enum certs_secret {
    CERTS_PEER_CA,
    CERTS_CLIENT_CA,
    CERTS_PEER,     /* every member, towards its peers */
    CERTS_SERVER,   /* every member, towards clients */
    CERTS_OPERATOR, /* what the operator shows to members */
    CERTS_USER,     /* for clients: endpoints and flags beside the certificate */
    CERTS_SECRET_COUNT
};

/* The objects of mode CertManager: three Issuers, then a Certificate per Secret. */
#define CERTS_MANAGER_SELF  0u /* the Issuer that lets authorities sign themselves */
#define CERTS_MANAGER_FIRST 3u /* the first Certificate */
#define CERTS_MANAGER_COUNT (CERTS_MANAGER_FIRST + CERTS_SECRET_COUNT)

enum certs_presence { CERTS_UNKNOWN, CERTS_ABSENT, CERTS_PRESENT };

/* What one Secret holds; nothing of it is secret. Plain value. */
struct certs_fact {
    enum certs_presence presence;
    bool is_foreign; /* it is there and was not made for this cluster */
    bool is_usable;  /* certificate and key are there, readable, and belong together */
    char version[CERTS_VERSION_MAX]; /* resourceVersion */
    int64_t not_before_ms;
    int64_t not_after_ms;
    char id[CERTS_ID_MAX];     /* of the certificate's key */
    char issuer[CERTS_ID_MAX]; /* of the key that signed it */
    char next[CERTS_ID_MAX];   /* authorities: the one that takes over; "": none */
    char old[CERTS_ID_MAX];    /* authorities: the one that is still trusted; "": none */
    char trusted[CERTS_TRUSTED_MAX][CERTS_ID_MAX]; /* in ca.crt */
    size_t trusted_count;
    uint64_t made_for;  /* certs_made_for at the time of issue */
    int64_t since_ms;   /* when its content last changed */
    int64_t generation; /* authorities: counts up with each new one */
};

/* All of one cluster. Zero: nothing is known. */
struct certs_facts {
    struct certs_fact of[CERTS_SECRET_COUNT];
};

enum certs_what {
    CERTS_MAKE_CA,    /* there is none */
    CERTS_TRUST_NEXT, /* a next authority is made and trusted */
    CERTS_USE_NEXT,   /* the next one issues from now on, the old one is still trusted */
    CERTS_DROP_OLD,   /* the old one is trusted no more */
    CERTS_ISSUE,      /* a certificate is issued, with the present trust */
    CERTS_SHARE_TRUST /* only the trust of a certificate's Secret is brought up to date */
};

/* One write of one Secret. Plain value. */
struct certs_task {
    enum certs_secret secret;
    enum certs_what what;
    const char *why; /* a static text */
};

enum certs_step { CERTS_STABLE, CERTS_TRUSTING, CERTS_REISSUING };

enum certs_problem {
    CERTS_NO_PROBLEM,
    CERTS_NOT_READ,     /* a Secret could not be read yet */
    CERTS_NOT_THERE,    /* given by a person: absent */
    CERTS_NOT_USABLE,   /* its content is no certificate with its key */
    CERTS_NOT_OURS,     /* the name is taken */
    CERTS_CA_NOT_THERE, /* certificates are in use, and the Secret of their authority is gone */
    CERTS_PENDING       /* not made yet */
};

/* What is due now. Plain value. */
struct certs_due {
    struct certs_task tasks[CERTS_TASKS_MAX];
    size_t task_count;
    enum certs_problem problem; /* the gravest */
    enum certs_secret problem_secret;
    bool is_ready;                              /* Pods can mount what they need */
    enum certs_step steps[CERTS_CLIENT_CA + 1]; /* by authority */
    int64_t next_ms; /* the next time at which something becomes due; 0: none known */
};

/* "peer-ca", "client-ca", "peer", "server", "operator", "client". */
const char *certs_secret_text(enum certs_secret secret);
const char *certs_step_text(enum certs_step step); /* Stable, TrustingNext, Reissuing */

/* The Secret's name: the operator's own, or in mode Secrets what the spec gives ("" when that mode
 * has none of the kind). */
struct name certs_secret_name(const struct cluster_spec *want, enum certs_secret secret);

/* The name and kind of an object of mode CertManager. */
struct name certs_manager_name(const struct cluster_spec *want, size_t index);
bool certs_manager_is_issuer(size_t index);

/* The authority of a leaf. */
enum certs_secret certs_authority_of(enum certs_secret leaf);

/* The subject alternative names of a leaf as "DNS:a,DNS:b,IP:1.2.3.4"; "" for clients (mem_free).
 */
char *certs_names(const struct cluster_spec *want, enum certs_secret leaf);

/* The common name of a certificate. */
struct name certs_common_name(const struct cluster_spec *want, enum certs_secret secret);

/* A hash of all that a leaf is made for: a leaf with another one is issued anew. */
uint64_t certs_made_for(const struct cluster_spec *want, enum certs_secret leaf);

/* What the Secret for users says beside the certificate (mem_free). */
char *certs_user_endpoints(const struct cluster_spec *want);
char *certs_user_flags(const struct cluster_spec *want);

/* When a certificate is renewed (two thirds of its life), and when one that was not is a worry. */
int64_t certs_renew_ms(const struct certs_fact *fact);
int64_t certs_worry_ms(const struct certs_fact *fact);

/* True when the mode is one in which members speak TLS. */
bool certs_are_wanted(const struct cluster_spec *want);

/* Decides. */
void certs_decide(const struct cluster_spec *want, const struct certs_facts *facts, int64_t now_ms,
                  struct certs_due *out);

#endif
