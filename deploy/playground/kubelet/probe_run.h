/* SPDX-License-Identifier: Apache-2.0 */
/* Carries one probe out without blocking: an HTTP request, a connection, or a command. */
#ifndef PLAYGROUND_KUBELET_PROBE_RUN_H
#define PLAYGROUND_KUBELET_PROBE_RUN_H

#include "base/json.h"
#include "process.h"

#define PROBE_TEXT_MAX 256u

struct probe_run;

/* Where the Pod is and how its commands run. Borrows all, for the call. */
struct probe_target {
    const char *pod_ip;
    const struct json *container;    /* for ports given by name */
    const struct process_spec *exec; /* argv is made from the probe by the caller */
};

/* Starts; always gives a run, one that cannot start fails at the first poll. */
struct probe_run *probe_run_start(const struct json *spec, const struct probe_target *target,
                                  uint64_t deadline_ms);

/* True when it is over: *out_ok, and a text when it is not ok. */
bool probe_run_poll(struct probe_run *run, uint64_t now_ms, bool *out_ok,
                    char out_text[PROBE_TEXT_MAX]);

/* Ends what still runs and frees. NULL is allowed. */
void probe_run_free(struct probe_run *run);

#endif
