/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any JSON as an EtcdCluster: accepted with every value inside its limits, or refused with at least
 * one problem that names its field. Two readings agree.
 *
 * fuzz-link: model
 */
#include "base/assert.h"
#include "controller/model/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void is_within_limits(const struct cluster_spec *spec)
{
    size_t name_size = strlen(spec->name);
    ASSERT(name_size > 0 && name_size <= SPEC_NAME_MAX);
    ASSERT(spec->problem_count == 0);
    ASSERT(spec->replicas >= 1 && spec->replicas <= SPEC_REPLICAS_MAX);
    ASSERT(spec->storage.size_bytes > 0);
    ASSERT(spec->options.quota_backend_bytes > 0 &&
           spec->options.quota_backend_bytes <= spec->storage.size_bytes);
    ASSERT(spec->options.max_txn_ops >= 1 && spec->options.max_request_bytes >= 1024);
    ASSERT(spec->repair.not_ready_grace_ms > 0 && spec->repair.node_lost_grace_ms > 0);
    ASSERT(spec->repair.learner_promote_timeout_ms > 0 && spec->progress_deadline_ms > 0);
    ASSERT(spec->repair.max_replacements_per_hour >= 1 &&
           spec->repair.max_replacements_per_hour <= SPEC_REPLACEMENTS_PER_HOUR_MAX);
    ASSERT(spec->image.reference != NULL && spec->image.reference[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json *object = json_parse((const char *)data, size, NULL);
    struct cluster_spec spec;
    struct cluster_spec again;
    int rc = spec_parse(object, &spec);
    if (rc == 0) {
        is_within_limits(&spec);
    } else {
        ASSERT(rc == E_INVALID);
        ASSERT(spec.problem_count > 0 && spec.problem_count <= SPEC_PROBLEMS_MAX);
        for (size_t i = 0; i < spec.problem_count; i++) {
            ASSERT(spec.problems[i].field[0] != '\0' && spec.problems[i].message[0] != '\0');
        }
    }
    ASSERT(spec_parse(object, &again) == rc && again.problem_count == spec.problem_count);
    spec_free(&again);
    spec_free(&spec);
    json_free(object);
    return 0;
}
