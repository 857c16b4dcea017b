/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of quoratectl as one table: what they are called, which flags they take, what runs
 * them. Parsing, --help and shell completion all come from it.
 */
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include "base/buf.h"
#include "base/err.h"
#include "base/flags.h"

/* Exit statuses, as etcdctl and etcdutl have them. */
#define EXIT_FAILED   1
#define EXIT_BAD_ARGS 128

#define COMMAND_ARGS_MAX 4u

/* Values of all flags; texts are borrowed from the command line or the environment. */
struct ctl_values {
    bool help;
    const char *write_out;
    /* whom to ask */
    const char *endpoints, *cacert, *cert, *key, *user, *password;
    bool insecure_skip_tls_verify, insecure_transport;
    int64_t dial_timeout_ms, command_timeout_ms;
    /* snapshot */
    const char *data_dir, *wal_dir;
    const char *name, *initial_cluster, *initial_cluster_token, *initial_advertise_peer_urls;
    bool skip_hash_check, mark_compacted;
    uint64_t bump_revision, initial_memory_map_size;
};

/* Which flags belong together. */
enum ctl_flag_group {
    CTL_FLAGS_ALL = 1u << 0,
    CTL_FLAGS_CONNECT = 1u << 1,
    CTL_FLAGS_SAVE = 1u << 2,
    CTL_FLAGS_RESTORE = 1u << 3,
    CTL_FLAGS_OUTPUT = 1u << 4
};

/* What is completed in a shell behind a flag or as an argument. */
enum ctl_complete { CTL_COMPLETE_NONE, CTL_COMPLETE_FILE, CTL_COMPLETE_DIR, CTL_COMPLETE_FORMAT };

struct ctl_flag {
    const char *name;
    enum flag_type type;
    size_t offset; /* in struct ctl_values */
    unsigned groups;
    enum ctl_complete complete;
    const char *help;
};

struct ctl_command {
    const char *path; /* "snapshot save" */
    const char *args; /* "<filename>" */
    size_t arg_count;
    unsigned groups;
    enum ctl_complete complete; /* of its arguments */
    const char *summary;
    const char *details; /* for --help; "" */
    /* Returns the exit status; what went wrong has been printed. */
    int (*run)(const struct ctl_values *values, char *const *args);
};

extern const struct ctl_flag CTL_FLAGS[];
extern const size_t CTL_FLAG_COUNT;

/* One invocation, read. */
struct ctl_call {
    const struct ctl_command *command; /* NULL: none was named in full */
    const char *group;                 /* "snapshot", when only that was named; else NULL */
    char *args[COMMAND_ARGS_MAX + 1];
    size_t arg_count;
    struct ctl_values values;
};

/*
 * Reads a command line: flags may stand before, between and behind the words; ETCDCTL_* variables
 * stand in for the flags of whom to ask and of the output, as for etcdctl. 0, or E_INVALID with a
 * text.
 */
BASE_MUST_CHECK int ctl_call_read(const struct ctl_command *commands, size_t command_count,
                                  int argc, char **argv, struct ctl_call *out_call,
                                  struct err *err);

/* Appends the help of one command, or, with NULL, of the commands whose path begins with group. */
void ctl_help(const struct ctl_command *commands, size_t command_count,
              const struct ctl_command *command, const char *group, const char *program,
              struct buf *out);

/* Appends a script that completes commands and flags; E_INVALID for another shell than bash and
 * zsh. */
BASE_MUST_CHECK int ctl_completion(const struct ctl_command *commands, size_t command_count,
                                   const char *shell, const char *program, struct buf *out,
                                   struct err *err);

#endif
