/* SPDX-License-Identifier: Apache-2.0 */
/* Flags from one table: environment first, then the command line. */
#include "base/flags.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *unit;
    double ms;
} DURATION_UNITS[] = {
    {"ms", 1.0}, {"us", 1e-3}, {"ns", 1e-6}, {"h", 3600000.0}, {"m", 60000.0}, {"s", 1000.0},
};

/* Finds the unit at text; *out_size its length, or 0. */
static double duration_unit(const char *text, size_t *out_size)
{
    for (size_t i = 0; i < ARRAY_COUNT(DURATION_UNITS); i++) {
        size_t size = strlen(DURATION_UNITS[i].unit);
        if (strncmp(text, DURATION_UNITS[i].unit, size) == 0) {
            *out_size = size;
            return DURATION_UNITS[i].ms;
        }
    }
    *out_size = 0;
    return 0;
}

int flags_parse_duration_ms(const char *text, int64_t *out_ms)
{
    const char *at = text;
    double sign = 1;
    if (*at == '-' || *at == '+') {
        sign = *at == '-' ? -1 : 1;
        at++;
    }
    if (strcmp(at, "0") == 0) {
        *out_ms = 0;
        return 0;
    }
    double total = 0;
    if (*at == '\0') {
        return E_INVALID;
    }
    while (*at != '\0') {
        char *end;
        if (!isdigit((unsigned char)*at) && *at != '.') {
            return E_INVALID;
        }
        double number = strtod(at, &end);
        size_t unit_size;
        double unit = duration_unit(end, &unit_size);
        if (end == at || unit_size == 0) {
            return E_INVALID;
        }
        total += number * unit;
        at = end + unit_size;
    }
    if (total > 9e15) {
        return E_INVALID;
    }
    *out_ms = (int64_t)(sign * total);
    return 0;
}

static int bad_value(const struct flag *flag, const char *text, const char *wanted, struct err *err)
{
    return err_set(err, E_INVALID, "invalid value \"%s\" for flag -%s: %s", text, flag->name,
                   wanted);
}

static int set_bool(struct flag *flag, const char *text, struct err *err)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    for (size_t i = 0; i < ARRAY_COUNT(yes); i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *(bool *)flag->target = strcmp(text, yes[i]) == 0;
            return 0;
        }
    }
    return bad_value(flag, text, "say true or false", err);
}

static int set_number(struct flag *flag, const char *text, struct err *err)
{
    char *end;
    errno = 0;
    if (flag->type == FLAG_INT) {
        int64_t value = strtoll(text, &end, 0);
        if (*text == '\0' || *end != '\0' || errno != 0) {
            return bad_value(flag, text, "it must be a whole number", err);
        }
        *(int64_t *)flag->target = value;
        return 0;
    }
    uint64_t value = strtoull(text, &end, 0);
    if (*text == '\0' || *text == '-' || *end != '\0' || errno != 0) {
        return bad_value(flag, text, "it must be a whole number, not negative", err);
    }
    if (flag->max != 0 && value > flag->max) {
        return bad_value(flag, text, "value out of range", err);
    }
    *(uint64_t *)flag->target = value;
    return 0;
}

static int flag_set(struct flag *flag, const char *text, struct err *err)
{
    switch (flag->type) {
    case FLAG_STRING:
        *(const char **)flag->target = text;
        return 0;
    case FLAG_BOOL:
        return set_bool(flag, text, err);
    case FLAG_INT:
    case FLAG_UINT:
        return set_number(flag, text, err);
    case FLAG_DURATION_MS:
        if (flags_parse_duration_ms(text, flag->target) != 0) {
            return bad_value(flag, text, "it must be a duration such as 300ms, 10s or 1h", err);
        }
        return 0;
    case FLAG_IGNORED:
        return 0;
    }
    return E_INVALID;
}

bool flags_env_name(const char *env_prefix, const char *name, char out[FLAG_ENV_NAME_MAX])
{
    int size = snprintf(out, FLAG_ENV_NAME_MAX, "%s%s", env_prefix, name);
    if (size < 0 || (size_t)size >= FLAG_ENV_NAME_MAX) {
        return false;
    }
    for (char *c = out + strlen(env_prefix); *c != '\0'; c++) {
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    }
    return true;
}

int flags_read_environment(struct flag *flags, size_t flag_count, const char *env_prefix,
                           struct err *err)
{
    for (size_t i = 0; i < flag_count; i++) {
        char name[FLAG_ENV_NAME_MAX];
        if (flags[i].is_set || !flags_env_name(env_prefix, flags[i].name, name)) {
            continue;
        }
        const char *text = getenv(name);
        if (text == NULL || *text == '\0') {
            continue;
        }
        int rc = flag_set(&flags[i], text, err);
        if (rc != 0) {
            return err_wrap(err, rc, "environment variable %s", name);
        }
        flags[i].is_set = true;
        flags[i].from_env = true;
    }
    return 0;
}

static struct flag *find_flag(struct flag *flags, size_t flag_count, const char *name,
                              size_t name_size)
{
    for (size_t i = 0; i < flag_count; i++) {
        if (strlen(flags[i].name) == name_size && memcmp(flags[i].name, name, name_size) == 0) {
            return &flags[i];
        }
    }
    return NULL;
}

/* Reads the flag at argv[*at]; *at moves behind what it used. */
static int parse_one(struct flag *flags, size_t flag_count, int argc, char **argv, int *at,
                     struct err *err)
{
    const char *name = argv[*at] + (argv[*at][1] == '-' ? 2 : 1);
    const char *equals = strchr(name, '=');
    size_t name_size = equals == NULL ? strlen(name) : (size_t)(equals - name);
    struct flag *flag = find_flag(flags, flag_count, name, name_size);
    if (flag == NULL) {
        return err_set(err, E_INVALID, "flag provided but not defined: -%.*s (see --help)",
                       (int)BASE_MIN(name_size, 100u), name);
    }
    (*at)++;
    const char *text;
    if (equals != NULL) {
        text = equals + 1;
    } else if (flag->type == FLAG_BOOL || flag->type == FLAG_IGNORED) {
        text = "true";
    } else if (*at < argc) {
        text = argv[(*at)++];
    } else {
        return err_set(err, E_INVALID, "flag needs an argument: -%s", flag->name);
    }
    flag->is_set = true;
    flag->from_env = false;
    return flag_set(flag, text, err);
}

int flags_parse(struct flag *flags, size_t flag_count, const char *env_prefix, int argc,
                char **argv, int *out_rest, struct err *err)
{
    if (env_prefix != NULL) {
        int rc = flags_read_environment(flags, flag_count, env_prefix, err);
        if (rc != 0) {
            return rc;
        }
    }
    int at = 1;
    while (at < argc && argv[at][0] == '-' && argv[at][1] != '\0') {
        if (strcmp(argv[at], "--") == 0) {
            at++;
            break;
        }
        int rc = parse_one(flags, flag_count, argc, argv, &at, err);
        if (rc != 0) {
            return rc;
        }
    }
    *out_rest = at;
    return 0;
}

static void print_default(const struct flag *flag)
{
    switch (flag->type) {
    case FLAG_STRING: {
        const char *text = *(const char *const *)flag->target;
        printf("'%s'", text == NULL ? "" : text);
        break;
    }
    case FLAG_BOOL:
        printf("%s", *(const bool *)flag->target ? "true" : "false");
        break;
    case FLAG_INT:
        printf("%" PRId64, *(const int64_t *)flag->target);
        break;
    case FLAG_UINT:
        printf("%" PRIu64, *(const uint64_t *)flag->target);
        break;
    case FLAG_DURATION_MS: {
        int64_t ms = *(const int64_t *)flag->target;
        if (ms != 0 && ms % 3600000 == 0) {
            printf("%" PRId64 "h", ms / 3600000);
        } else if (ms != 0 && ms % 60000 == 0) {
            printf("%" PRId64 "m", ms / 60000);
        } else if (ms % 1000 == 0) {
            printf("%" PRId64 "s", ms / 1000);
        } else {
            printf("%" PRId64 "ms", ms);
        }
        break;
    }
    case FLAG_IGNORED:
        break;
    }
}

void flags_print_help(const struct flag *flags, size_t flag_count)
{
    for (size_t i = 0; i < flag_count; i++) {
        if (flags[i].help == NULL) {
            continue;
        }
        if (flags[i].group != NULL) {
            printf("\n%s:\n", flags[i].group);
        }
        printf("  --%s ", flags[i].name);
        print_default(&flags[i]);
        printf("\n        %s\n", flags[i].help);
    }
}
