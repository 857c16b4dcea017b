/* SPDX-License-Identifier: Apache-2.0 */
/* Thresholds and periods of probes. PURE. */
#include "probe.h"

#include <string.h>

static uint32_t at_least_one(const struct json *spec, const char *key, int64_t fallback)
{
    int64_t value = json_path_i64(spec, key, fallback);
    return value < 1 ? 1 : value > 1000000 ? 1000000 : (uint32_t)value;
}

void probe_init(struct probe *probe, const struct json *spec, uint64_t now_ms)
{
    memset(probe, 0, sizeof(*probe));
    probe->spec = spec;
    probe->period_ms = 1000u * (uint64_t)at_least_one(spec, "periodSeconds", 10);
    probe->timeout_ms = 1000u * (uint64_t)at_least_one(spec, "timeoutSeconds", 1);
    probe->success_threshold = at_least_one(spec, "successThreshold", 1);
    probe->failure_threshold = at_least_one(spec, "failureThreshold", 3);
    int64_t delay_s = json_path_i64(spec, "initialDelaySeconds", 0);
    probe->next_ms = now_ms + (delay_s > 0 ? 1000u * (uint64_t)delay_s : 0);
}

bool probe_is_due(const struct probe *probe, uint64_t now_ms)
{
    return probe->spec != NULL && now_ms >= probe->next_ms;
}

enum probe_result probe_note(struct probe *probe, bool ok, uint64_t now_ms)
{
    probe->successes = ok ? probe->successes + 1 : 0;
    probe->failures = ok ? 0 : probe->failures + 1;
    probe->next_ms = now_ms + probe->period_ms;
    if (probe->successes >= probe->success_threshold) {
        probe->result = PROBE_SUCCESS;
    } else if (probe->failures >= probe->failure_threshold) {
        probe->result = PROBE_FAILURE;
    }
    return probe->result;
}
