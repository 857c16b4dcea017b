/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operator's one loop: caches feed a queue of clusters; each due cluster is looked at (members
 * in parallel, in the background), planned, and acted on. Any number of looks are in flight at
 * once, so a slow member delays only its own cluster; changes are made one after the other.
 */
#ifndef CONTROLLER_OPERATOR_H
#define CONTROLLER_OPERATOR_H

#include "base/defs.h"
#include "base/err.h"
#include "controller/act/crash.h"
#include "controller/kube/config.h"

#define OPERATOR_LOOKS_MAX      64u
#define OPERATOR_NAMESPACES_MAX 64u
#define OPERATOR_LEASE_NAME     "quorate-operator"

/* How it is to run; strings are borrowed for the time of operator_run. */
struct operator_options {
    struct kube_config *config; /* taken */
    const char *namespaces[OPERATOR_NAMESPACES_MAX];
    size_t namespace_count; /* 0: all */
    bool leader_elect;
    const char *metrics_address; /* "0": serve nothing */
    int64_t resync_ms;           /* look at each cluster at least so often */
    const char *identity;        /* unique for this process */
    int stop_fd;                 /* readable: stop (a signalfd) */
    struct act_crash crash;      /* tests only */
};

/*
 * Runs until stop_fd is readable. Returns 0 then (the Lease is released), or E_CLOSED when
 * leadership was lost (the process must end at once), or why it could not start.
 */
BASE_MUST_CHECK int operator_run(const struct operator_options *options, struct err *err);

#endif
