/* SPDX-License-Identifier: Apache-2.0 */
/* Feature gates. */
#include "engine/server/features.h"

#include <string.h>

const struct feature_spec FEATURE_SPECS[FEATURE_COUNT] = {
    [FEATURE_COMPACT_HASH_CHECK] = {"CompactHashCheck", FEATURE_ALPHA, false},
    [FEATURE_INITIAL_CORRUPT_CHECK] = {"InitialCorruptCheck", FEATURE_ALPHA, false},
    [FEATURE_LEASE_CHECKPOINT] = {"LeaseCheckpoint", FEATURE_ALPHA, false},
    [FEATURE_LEASE_CHECKPOINT_PERSIST] = {"LeaseCheckpointPersist", FEATURE_ALPHA, false},
    [FEATURE_SET_MEMBER_LOCAL_ADDR] = {"SetMemberLocalAddr", FEATURE_ALPHA, false},
    [FEATURE_STOP_GRPC_ON_DEFRAG] = {"StopGRPCServiceOnDefrag", FEATURE_ALPHA, false},
    [FEATURE_TXN_SHARED_BUFFER] = {"TxnModeWriteWithSharedBuffer", FEATURE_BETA, true},
};

enum gate_value { GATE_UNSET, GATE_OFF, GATE_ON };

/* What the text says, gates first, then all of a stage. */
struct gates {
    enum gate_value one[FEATURE_COUNT];
    enum gate_value stage[2];
};

/* A piece of the text without the blanks around it. */
struct word {
    const char *at;
    size_t size;
};

static struct word word_trim(const char *at, size_t size)
{
    while (size > 0 && (*at == ' ' || *at == '\t')) {
        at++;
        size--;
    }
    while (size > 0 && (at[size - 1] == ' ' || at[size - 1] == '\t')) {
        size--;
    }
    return (struct word){at, size};
}

static bool word_is(struct word word, const char *text)
{
    return strlen(text) == word.size && memcmp(word.at, text, word.size) == 0;
}

static enum gate_value *gate_find(struct gates *gates, struct word name)
{
    for (size_t i = 0; i < FEATURE_COUNT; i++) {
        if (word_is(name, FEATURE_SPECS[i].name)) {
            return &gates->one[i];
        }
    }
    if (word_is(name, "AllAlpha")) {
        return &gates->stage[FEATURE_ALPHA];
    }
    return word_is(name, "AllBeta") ? &gates->stage[FEATURE_BETA] : NULL;
}

static int parse_one(struct gates *gates, const char *at, size_t size, struct err *err)
{
    const char *equals = memchr(at, '=', size);
    struct word name = word_trim(at, equals == NULL ? size : (size_t)(equals - at));
    int shown = (int)BASE_MIN(name.size, 100u);
    if (equals == NULL) {
        return err_set(err, E_INVALID, "missing bool value for %.*s", shown, name.at);
    }
    struct word value = word_trim(equals + 1, size - (size_t)(equals + 1 - at));
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    enum gate_value meant = GATE_UNSET;
    for (size_t i = 0; i < ARRAY_COUNT(yes); i++) {
        meant = word_is(value, yes[i]) ? GATE_ON : word_is(value, no[i]) ? GATE_OFF : meant;
    }
    if (meant == GATE_UNSET) {
        return err_set(err, E_INVALID, "invalid value of %.*s=%.*s, err: it must be true or false",
                       shown, name.at, (int)BASE_MIN(value.size, 100u), value.at);
    }
    enum gate_value *gate = gate_find(gates, name);
    if (gate == NULL) {
        return err_set(err, E_INVALID, "unrecognized feature gate: %.*s", shown, name.at);
    }
    *gate = meant;
    return 0;
}

int features_parse(const char *text, bool out[FEATURE_COUNT], struct err *err)
{
    struct gates gates = {0};
    for (const char *at = text; *at != '\0';) {
        size_t size = strcspn(at, ",");
        int rc = size == 0 ? 0 : parse_one(&gates, at, size, err);
        if (rc != 0) {
            return rc;
        }
        at += size + (at[size] == ',' ? 1 : 0);
    }
    for (size_t i = 0; i < FEATURE_COUNT; i++) {
        const struct feature_spec *spec = &FEATURE_SPECS[i];
        enum gate_value value =
            gates.one[i] != GATE_UNSET ? gates.one[i] : gates.stage[spec->stage];
        out[i] = value == GATE_UNSET ? spec->is_default : value == GATE_ON;
    }
    return 0;
}

bool features_text_names(const char *text, enum feature feature)
{
    for (const char *at = text; *at != '\0';) {
        size_t size = strcspn(at, ",");
        size_t name_size = strcspn(at, ",=");
        if (word_is(word_trim(at, name_size), FEATURE_SPECS[feature].name)) {
            return true;
        }
        at += size + (at[size] == ',' ? 1 : 0);
    }
    return false;
}

int features_check(const bool features[FEATURE_COUNT], struct err *err)
{
    if (features[FEATURE_LEASE_CHECKPOINT_PERSIST] && !features[FEATURE_LEASE_CHECKPOINT]) {
        return err_set(err, E_INVALID,
                       "enabling feature gate LeaseCheckpointPersist requires enabling feature "
                       "gate LeaseCheckpoint");
    }
    return 0;
}
