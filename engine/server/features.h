/* SPDX-License-Identifier: Apache-2.0 */
/* Feature gates: --feature-gates K=bool,... with etcd 3.6's names, stages and defaults. Pure. */
#ifndef ENGINE_SERVER_FEATURES_H
#define ENGINE_SERVER_FEATURES_H

#include "base/defs.h"
#include "base/err.h"

enum feature {
    FEATURE_COMPACT_HASH_CHECK,
    FEATURE_INITIAL_CORRUPT_CHECK,
    FEATURE_LEASE_CHECKPOINT,
    FEATURE_LEASE_CHECKPOINT_PERSIST,
    FEATURE_SET_MEMBER_LOCAL_ADDR,
    FEATURE_STOP_GRPC_ON_DEFRAG,
    FEATURE_TXN_SHARED_BUFFER,
    FEATURE_COUNT
};

enum feature_stage { FEATURE_ALPHA, FEATURE_BETA };

struct feature_spec {
    const char *name;
    enum feature_stage stage;
    bool is_default;
};

/* Indexed by enum feature, in the order of the names. */
extern const struct feature_spec FEATURE_SPECS[FEATURE_COUNT];

/*
 * Sets all of out: the defaults, then AllAlpha and AllBeta, then what text names. The errors are
 * etcd's: a gate that is not known, no value, no bool.
 */
BASE_MUST_CHECK int features_parse(const char *text, bool out[FEATURE_COUNT], struct err *err);

/* Whether text names the gate, so that its older flag must not be given as well. */
bool features_text_names(const char *text, enum feature feature);

/* One gate needs another: checked once all are known. */
BASE_MUST_CHECK int features_check(const bool features[FEATURE_COUNT], struct err *err);

#endif
