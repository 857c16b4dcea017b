/* SPDX-License-Identifier: Apache-2.0 */
/* When a probe is due and what its results add up to. PURE; carrying it out is probe_run.h. */
#ifndef PLAYGROUND_KUBELET_PROBE_H
#define PLAYGROUND_KUBELET_PROBE_H

#include "base/json.h"

enum probe_result { PROBE_UNKNOWN, PROBE_SUCCESS, PROBE_FAILURE };

/* One probe of one life of a container. Plain value; spec is borrowed. */
struct probe {
    const struct json *spec; /* NULL: the container has no such probe */
    uint64_t period_ms;
    uint64_t timeout_ms;
    uint32_t success_threshold;
    uint32_t failure_threshold;
    uint64_t next_ms;
    uint32_t successes; /* in a row */
    uint32_t failures;
    enum probe_result result;
};

/* Starts afresh for a container that was started at now_ms; spec may be NULL. */
void probe_init(struct probe *probe, const struct json *spec, uint64_t now_ms);

/* True when it is time to ask. */
bool probe_is_due(const struct probe *probe, uint64_t now_ms);

/* Takes one answer; the next question follows one period after now_ms. Gives the result so far. */
enum probe_result probe_note(struct probe *probe, bool ok, uint64_t now_ms);

#endif
