/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command line flags as Go's flag package reads them (-name value, --name=value, booleans without
 * value), each with an environment variable, from one table.
 */
#ifndef BASE_FLAGS_H
#define BASE_FLAGS_H

#include "base/defs.h"
#include "base/err.h"

enum flag_type { FLAG_STRING, FLAG_BOOL, FLAG_INT, FLAG_UINT, FLAG_DURATION_MS, FLAG_IGNORED };

/*
 * One row. target points to: const char * (borrows argv or environment), bool, int64_t, uint64_t,
 * int64_t milliseconds; of FLAG_IGNORED to nothing: it takes "--x" and "--x=anything". The default
 * is what target holds before flags_parse.
 */
struct flag {
    const char *name;
    enum flag_type type;
    void *target;
    const char *help;  /* one line; NULL hides the flag from --help */
    const char *group; /* heading in --help; NULL: as the row before */
    uint64_t max;      /* of a FLAG_UINT; 0: what fits */
    bool is_set;       /* out: given on the command line or by the environment */
    bool from_env;     /* out */
};

/*
 * Reads the environment (env_prefix + upper-case name with '_' for '-'; prefix NULL: none), then
 * argv (from argv[1]); a flag given in both keeps the command line's. *out_rest is the index in
 * argv of the first word that is no flag (argc when none). Returns 0 or E_INVALID with a message
 * that names the flag.
 */
BASE_MUST_CHECK int flags_parse(struct flag *flags, size_t flag_count, const char *env_prefix,
                                int argc, char **argv, int *out_rest, struct err *err);

/*
 * Reads the environment alone, for rows that are not set yet: for those who must know first what
 * the command line says. With this, flags_parse gets no prefix.
 */
BASE_MUST_CHECK int flags_read_environment(struct flag *flags, size_t flag_count,
                                           const char *env_prefix, struct err *err);

#define FLAG_ENV_NAME_MAX 128u

/* The variable of a flag ("ETCD_", "data-dir": ETCD_DATA_DIR); false when it does not fit. */
BASE_MUST_CHECK bool flags_env_name(const char *env_prefix, const char *name,
                                    char out[FLAG_ENV_NAME_MAX]);

/* Prints usage of all rows with defaults to stdout. */
void flags_print_help(const struct flag *flags, size_t flag_count);

/* Reads Go durations ("1h30m", "100ms", "5s", "0") into milliseconds. */
BASE_MUST_CHECK int flags_parse_duration_ms(const char *text, int64_t *out_ms);

#endif
