/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the command line, the environment or the file and the checked configuration: the table of
 * flags and what it fills. For config*.c only.
 */
#ifndef ENGINE_SERVER_CONFIG_INPUT_H
#define ENGINE_SERVER_CONFIG_INPUT_H

#include <stddef.h>

#include "base/flags.h"
#include "engine/server/config.h"

#define CONFIG_FLAGS_MAX 200u

/* What was said, before it is checked: c holds what needs no further reading. */
struct config_input {
    struct server_config c;
    const char *data_dir, *listen_client, *listen_peer, *listen_metrics, *advertise_client;
    const char *listen_client_http;
    const char *advertise_peer, *initial_cluster, *cluster_state, *compaction_mode,
        *compaction_retention;
    const char *log_level, *log_format, *log_outputs, *logger, *config_file, *metrics,
        *v2_deprecation, *hold_version, *feature_gates, *discovery_fallback, *freelist_type;
    const char *log_rotation, *tracing_address, *tracing_service, *tracing_instance;
    int64_t compaction_batch_limit, tracing_rate, downgrade_check_ms;
    bool election_tick_advance, enable_pprof, enable_log_rotation, enable_tracing;
    bool version, help;
    bool gates[FEATURE_COUNT]; /* by their older flags */
};

/* One row of a table: as struct flag, with a place in struct config_input instead of a target. */
struct config_row {
    const char *name;
    enum flag_type type;
    size_t offset;
    const char *help;
    const char *group;
    uint64_t max;
};

/* The flag of a row that fills input. */
struct flag config_row_flag(const struct config_row *row, struct config_input *input);

/* Writes all flags (at most CONFIG_FLAGS_MAX) and gives their count. */
size_t config_flags(struct config_input *input, struct flag *out);

void config_defaults(struct config_input *input);

/* An older name, and what has taken its place. */
struct config_rename {
    const char *old_name;
    const char *new_name;
};
extern const struct config_rename CONFIG_RENAMES[];
extern const size_t CONFIG_RENAME_COUNT;

/* The older flags of feature gates. */
struct config_gate_flag {
    const char *name;
    enum feature feature;
};
extern const struct config_gate_flag CONFIG_GATE_FLAGS[];
extern const size_t CONFIG_GATE_FLAG_COUNT;

struct flag *config_find(struct flag *flags, size_t count, const char *name);

/*
 * Checks what was said and fills the rest of input->c, whose texts of its own it then owns
 * (config_free, also after an error). advertise_client_set: clients' URLs were given, or need not
 * be.
 */
BASE_MUST_CHECK int config_settle(struct config_input *input, bool advertise_client_set,
                                  struct err *err);

/*
 * Reads a YAML file with etcd's keys into input; flags are marked as set. A value of another type
 * than its key's is refused, a key that is not known is left out with a warning, as etcd does.
 */
BASE_MUST_CHECK int config_file_read(struct config_input *input, struct flag *flags, size_t count,
                                     const char *path, struct err *err);

#endif
