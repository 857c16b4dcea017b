/* SPDX-License-Identifier: Apache-2.0 */
/* From what was said on the command line, in the environment or in a file to a configuration. */
#include "engine/server/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/flags.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/server/config_input.h"

#define ENV_PREFIX "ETCD_"

extern char **environ;

/* ---- logging ---- */

static int open_log(const char *path, int *out_fd, struct err *err)
{
    if (strcmp(path, "stdout") == 0 || strcmp(path, "default") == 0 ||
        strcmp(path, "stderr") == 0) {
        *out_fd = strcmp(path, "stdout") == 0 ? 1 : 2;
        return 0;
    }
    if (strcmp(path, "systemd/journal") == 0) {
        return err_set(err, E_UNSUPPORTED,
                       "--log-outputs \"systemd/journal\" is not supported: systemd takes what is "
                       "written to stderr");
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_set(err, err_from_errno(errno), "--log-outputs: open %s: %s", path,
                       strerrordesc_np(errno));
    }
    *out_fd = fd;
    return 0;
}

static int set_log_outputs(const char *text, struct err *err)
{
    int fds[LOG_FDS_MAX];
    size_t count = 0;
    for (const char *at = text; *at != '\0';) {
        size_t size = strcspn(at, ",");
        if (count == LOG_FDS_MAX) {
            return err_set(err, E_TOO_BIG, "--log-outputs: more than %u are given", LOG_FDS_MAX);
        }
        char *path = str_from(at, size);
        int rc = open_log(path, &fds[count], err);
        mem_free(path);
        if (rc != 0) {
            return rc;
        }
        count++;
        at += size + (at[size] == ',' ? 1 : 0);
    }
    if (count > 0) {
        log_set_fds(fds, count);
    }
    return 0;
}

static int set_logging(const struct config_input *raw, struct err *err)
{
    enum log_level level;
    if (!log_level_parse(raw->log_level, &level)) {
        return err_set(err, E_INVALID,
                       "unknown --log-level \"%s\": say debug, info, warn, error, panic or fatal",
                       raw->log_level);
    }
    log_set_level(level);
    if (strcmp(raw->log_format, "console") == 0) {
        log_set_format(LOG_FORMAT_CONSOLE);
    } else if (strcmp(raw->log_format, "json") != 0) {
        return err_set(err, E_INVALID, "unknown --log-format \"%s\": say json or console",
                       raw->log_format);
    }
    if (strcmp(raw->logger, "zap") != 0) {
        return err_set(err, E_INVALID, "unknown --logger \"%s\": only zap is known", raw->logger);
    }
    return set_log_outputs(raw->log_outputs, err);
}

/* ---- what is not there, and what was renamed ---- */

static int refuse_unsupported(const struct config_input *raw, struct err *err)
{
    if (strcmp(raw->discovery_fallback, "proxy") == 0) {
        return err_set(err, E_INVALID,
                       "v2 proxy is deprecated, and --discovery-fallback can't be configured as "
                       "\"proxy\"");
    }
    if (raw->enable_tracing) {
        return err_set(err, E_UNSUPPORTED,
                       "--enable-distributed-tracing is not supported: traces are not sent");
    }
    if (raw->enable_log_rotation) {
        return err_set(err, E_UNSUPPORTED,
                       "--enable-log-rotation is not supported: let logrotate (copytruncate) or "
                       "the container's runtime do it");
    }
    return 0;
}

/* A flag and the one that took its place: etcd refuses to guess. */
static int check_renames(struct flag *flags, size_t count, struct err *err)
{
    for (size_t i = 0; i < CONFIG_RENAME_COUNT; i++) {
        const struct config_rename *rename = &CONFIG_RENAMES[i];
        if (config_find(flags, count, rename->old_name)->is_set &&
            config_find(flags, count, rename->new_name)->is_set) {
            return err_set(err, E_INVALID,
                           "cannot set --%s and --%s at the same time, please use --%s only",
                           rename->old_name, rename->new_name, rename->new_name);
        }
    }
    return 0;
}

static void warn_of_older(const struct config_input *raw, struct flag *flags, size_t count)
{
    for (size_t i = 0; i < CONFIG_RENAME_COUNT; i++) {
        if (config_find(flags, count, CONFIG_RENAMES[i].old_name)->is_set) {
            LOG_WARN("a flag is deprecated: it has another name",
                     LOG_STR("flag", CONFIG_RENAMES[i].old_name),
                     LOG_STR("use", CONFIG_RENAMES[i].new_name));
        }
    }
    for (size_t i = 0; i < CONFIG_GATE_FLAG_COUNT; i++) {
        if (config_find(flags, count, CONFIG_GATE_FLAGS[i].name)->is_set) {
            LOG_WARN(
                "a flag is deprecated: it is a feature gate now",
                LOG_STR("flag", CONFIG_GATE_FLAGS[i].name),
                LOG_STR("use --feature-gates", FEATURE_SPECS[CONFIG_GATE_FLAGS[i].feature].name));
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (flags[i].type == FLAG_IGNORED && flags[i].is_set) {
            LOG_WARN("flag is no longer supported - ignoring", LOG_STR("flag-name", flags[i].name));
        }
    }
    if (raw->enable_pprof) {
        LOG_WARN("--enable-pprof has no effect: there is no Go runtime to look into; use perf");
    }
    if (strcmp(raw->c.name, "default") == 0) {
        LOG_WARN("it isn't recommended to use default name, please set a value for --name",
                 LOG_STR("name", raw->c.name));
    }
}

/* --feature-gates and the older flags of gates. */
static int settle_gates(struct config_input *raw, struct flag *flags, size_t count, struct err *err)
{
    bool *features = raw->c.features;
    int rc = features_parse(raw->feature_gates, features, err);
    if (rc != 0) {
        return err_wrap(err, rc, "invalid value \"%s\" for flag -feature-gates",
                        raw->feature_gates);
    }
    for (size_t i = 0; i < CONFIG_GATE_FLAG_COUNT; i++) {
        const struct config_gate_flag *older = &CONFIG_GATE_FLAGS[i];
        const char *name = FEATURE_SPECS[older->feature].name;
        if (!config_find(flags, count, older->name)->is_set) {
            continue;
        }
        if (features_text_names(raw->feature_gates, older->feature)) {
            const char *value = features[older->feature] ? "true" : "false";
            return err_set(err, E_INVALID,
                           "cannot specify both flags: --%s=%s and --feature-gates=%s=%s at the "
                           "same time, please just use --feature-gates=%s=%s",
                           older->name, raw->gates[older->feature] ? "true" : "false", name, value,
                           name, value);
        }
        features[older->feature] = raw->gates[older->feature];
    }
    raw->c.compact_hash_check = features[FEATURE_COMPACT_HASH_CHECK];
    raw->c.initial_corrupt_check = features[FEATURE_INITIAL_CORRUPT_CHECK];
    return features_check(features, err);
}

/* ---- the environment ---- */

static void print_version(void)
{
    printf("etcd Version: %s\nQuorate Version: %s\nGit SHA: Not provided\nGo Version: none "
           "(C11)\nGo OS/Arch: linux/amd64\n",
           SERVER_VERSION, QUORATE_VERSION);
}

static bool is_variable_of(const struct flag *flags, size_t count, const char *variable)
{
    for (size_t i = 0; i < count; i++) {
        char name[FLAG_ENV_NAME_MAX];
        if (flags_env_name(ENV_PREFIX, flags[i].name, name) && strcmp(name, variable) == 0) {
            return true;
        }
    }
    return false;
}

/* ETCD_ variables that no flag reads are most often typing errors. */
static void warn_unknown_environment(const struct flag *flags, size_t count)
{
    static const char *const other_programs[] = {"ETCD_VER", "ETCDCTL_"};
    for (char **entry = environ; *entry != NULL; entry++) {
        char *name = str_from(*entry, strcspn(*entry, "="));
        bool known = !str_starts_with(name, ENV_PREFIX);
        for (size_t i = 0; i < ARRAY_COUNT(other_programs); i++) {
            known = known || str_starts_with(name, other_programs[i]);
        }
        if (!known && !is_variable_of(flags, count, name)) {
            LOG_WARN("unrecognized environment variable", LOG_STR("environment-variable", name));
        }
        mem_free(name);
    }
}

/* Set on the command line and, differently, in the environment: etcd refuses to guess. */
static int check_shadowed(const struct flag *flags, size_t flag_count, struct err *err)
{
    for (size_t i = 0; i < flag_count; i++) {
        char name[FLAG_ENV_NAME_MAX];
        if (!flags[i].is_set || flags[i].from_env ||
            !flags_env_name(ENV_PREFIX, flags[i].name, name)) {
            continue;
        }
        const char *value = getenv(name);
        if (value != NULL && *value != '\0') {
            return err_set(
                err, E_INVALID,
                "conflicting environment variable \"%s\" is shadowed by corresponding command-line "
                "flag (either unset environment variable or disable flag)",
                name);
        }
    }
    return 0;
}

/* ---- all of it ---- */

/* Values that etcd's command line takes or leaves, whatever else is said. */
static int check_words(const struct config_input *raw, struct err *err)
{
    static const char *const stages[] = {"write-only", "write-only-skip-check",
                                         "write-only-drop-data", "gone"};
    bool is_stage = false;
    bool features[FEATURE_COUNT];
    for (size_t i = 0; i < ARRAY_COUNT(stages); i++) {
        is_stage = is_stage || strcmp(raw->v2_deprecation, stages[i]) == 0;
    }
    if (!is_stage) {
        return err_set(err, E_INVALID,
                       "invalid value \"%s\" for flag -v2-deprecation: invalid value",
                       raw->v2_deprecation);
    }
    if (strcmp(raw->discovery_fallback, "exit") != 0 &&
        strcmp(raw->discovery_fallback, "proxy") != 0) {
        return err_set(err, E_INVALID,
                       "invalid value \"%s\" for flag -discovery-fallback: invalid value",
                       raw->discovery_fallback);
    }
    int rc = features_parse(raw->feature_gates, features, err);
    return rc == 0 ? 0
                   : err_wrap(err, rc, "invalid value \"%s\" for flag -feature-gates",
                              raw->feature_gates);
}

static int settle(struct config_input *raw, struct flag *flags, size_t count, struct err *err)
{
    int rc = check_renames(flags, count, err);
    if (rc == 0) {
        rc = set_logging(raw, err);
    }
    if (rc == 0) {
        rc = refuse_unsupported(raw, err);
    }
    if (rc == 0) {
        rc = settle_gates(raw, flags, count, err);
    }
    if (rc == 0) {
        rc = config_settle(raw,
                           *raw->config_file != '\0' ||
                               config_find(flags, count, "advertise-client-urls")->is_set,
                           err);
    }
    return rc;
}

/* The file stands alone: what the command line said is forgotten. */
static int read_file(struct config_input *raw, struct flag *flags, size_t count, const char *path,
                     struct err *err)
{
    config_defaults(raw);
    for (size_t i = 0; i < count; i++) {
        flags[i].is_set = false;
    }
    raw->config_file = path;
    int rc = config_file_read(raw, flags, count, path, err);
    if (rc == 0) {
        rc = check_words(raw, err);
    }
    return rc;
}

static int read_environment(struct config_input *raw, struct flag *flags, size_t count,
                            struct err *err)
{
    int rc = check_shadowed(flags, count, err);
    if (rc == 0) {
        rc = flags_read_environment(flags, count, ENV_PREFIX, err);
    }
    if (rc == 0) {
        rc = check_words(raw, err);
    }
    return rc;
}

static void print_help(struct config_input *raw, const struct flag *flags, size_t count)
{
    config_defaults(raw);
    printf("Usage:\n\n  quorate [flags]\n    Start a server that clients and members of etcd "
           "cannot tell from one.\n\n  quorate --version\n    Show the version.\n\n"
           "  quorate --config-file FILE\n    Read YAML with the names of flags as keys; all other "
           "flags and variables are ignored.\n\n"
           "Every flag --x-y can be given as ETCD_X_Y. Names that etcd 3.6 has deprecated\n"
           "(--experimental-...) are taken as well.\n");
    flags_print_help(flags, count);
}

/* The command line; CONFIG_RUN: there is more to do. */
static enum config_outcome read_arguments(int argc, char **argv, struct config_input *raw,
                                          struct flag *flags, size_t count, struct err *err)
{
    int rest;
    if (flags_parse(flags, count, NULL, argc, argv, &rest, err) != 0) {
        return CONFIG_WRONG;
    }
    if (raw->help) {
        print_help(raw, flags, count);
        return CONFIG_DONE;
    }
    if (rest < argc) {
        err_set(err, E_INVALID, "'%s' is not a valid flag (see --help)", argv[rest]);
        return CONFIG_WRONG;
    }
    if (raw->version) {
        print_version();
        return CONFIG_DONE;
    }
    return check_words(raw, err) == 0 ? CONFIG_RUN : CONFIG_WRONG;
}

enum config_outcome config_read(int argc, char **argv, struct server_config *out_config,
                                int *out_exit_code, struct err *err)
{
    struct config_input raw;
    struct flag flags[CONFIG_FLAGS_MAX];
    config_defaults(&raw);
    size_t count = config_flags(&raw, flags);
    *out_config = raw.c;
    *out_exit_code = 2;
    enum config_outcome outcome = read_arguments(argc, argv, &raw, flags, count, err);
    if (outcome != CONFIG_RUN) {
        return outcome;
    }
    *out_exit_code = 1;
    const char *variable = getenv(ENV_PREFIX "CONFIG_FILE");
    const char *path = *raw.config_file != '\0' || variable == NULL ? raw.config_file : variable;
    bool has_file = *path != '\0';
    int rc = has_file ? read_file(&raw, flags, count, path, err)
                      : read_environment(&raw, flags, count, err);
    if (rc == 0) {
        rc = settle(&raw, flags, count, err);
    }
    *out_config = raw.c;
    if (rc != 0) {
        config_free(out_config);
        return CONFIG_WRONG;
    }
    if (has_file) {
        LOG_INFO("loaded server configuration, other configuration command line flags and "
                 "environment variables will be ignored if provided",
                 LOG_STR("path", path));
    } else {
        warn_unknown_environment(flags, count);
    }
    warn_of_older(&raw, flags, count);
    return CONFIG_RUN;
}

static void config_urls_free(struct config_urls *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        mem_free(list->urls[i]);
    }
    list->count = 0;
}

void config_free(struct server_config *config)
{
    mem_free(config->data_dir);
    mem_free(config->initial_cluster);
    json_free(config->file);
    config->file = NULL;
    config->data_dir = config->initial_cluster = NULL;
    config_urls_free(&config->listen_client_urls);
    config_urls_free(&config->listen_peer_urls);
    config_urls_free(&config->listen_metrics_urls);
    config_urls_free(&config->listen_client_http_urls);
    config_urls_free(&config->advertise_client_urls);
    config_urls_free(&config->initial_advertise_peer_urls);
}
