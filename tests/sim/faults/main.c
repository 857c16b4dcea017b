/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quorate-sim: whole members in simulated worlds. A world is decided by its seed (and the faults
 * that are left out of it), so a seed that fails is all that is needed to see it fail again.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/plant.h"
#include "tests/sim/faults/crew.h"
#include "tests/sim/faults/shrink.h"

#define EXIT_VIOLATION 1
#define EXIT_USAGE     2
#define REPEAT_FILL    37

static const char USAGE[] =
    "usage: quorate-sim --seed N [--show] [--skip LIST]   one world; its story on stderr with "
    "--show\n"
    "       quorate-sim --seeds A..B [--json FILE]        many worlds; a line of JSON each into "
    "FILE\n"
    "       quorate-sim --seed N --repeat K               K times; all traces must be equal\n"
    "       quorate-sim --seed N --shrink                 leaves out faults while it still fails\n"
    "       quorate-sim --plants                          the planted bugs and their origins\n"
    "options:\n"
    "  --faults N       faults in a world (default 50)\n"
    "  --operations N   of clients in a world (default 1000)\n"
    "  --plant N|NAME   a planted bug is switched on\n"
    "  --jobs N         worlds at a time (default: one per processor)\n"
    "  --skip LIST      faults to leave out: numbers and ranges, as 0-3,7\n"
    "  --history FILE   what clients saw, for quorate-check (with --seed)\n"
    "  --seconds N      no world begins later\n"
    "  --until-failure  stops at the first world that fails\n"
    "  --quiet          no progress\n";

enum flag {
    OPTION_SEED = 1,
    OPTION_SEEDS,
    OPTION_SHOW,
    OPTION_SKIP,
    OPTION_HISTORY,
    OPTION_JSON,
    OPTION_REPEAT,
    OPTION_SHRINK,
    OPTION_PLANTS,
    OPTION_FAULTS,
    OPTION_OPERATIONS,
    OPTION_PLANT,
    OPTION_JOBS,
    OPTION_SECONDS,
    OPTION_UNTIL,
    OPTION_QUIET,
    OPTION_HELP,
};

static const struct option OPTIONS[] = {
    {"seed", required_argument, NULL, OPTION_SEED},
    {"seeds", required_argument, NULL, OPTION_SEEDS},
    {"show", no_argument, NULL, OPTION_SHOW},
    {"skip", required_argument, NULL, OPTION_SKIP},
    {"history", required_argument, NULL, OPTION_HISTORY},
    {"json", required_argument, NULL, OPTION_JSON},
    {"repeat", required_argument, NULL, OPTION_REPEAT},
    {"shrink", no_argument, NULL, OPTION_SHRINK},
    {"plants", no_argument, NULL, OPTION_PLANTS},
    {"faults", required_argument, NULL, OPTION_FAULTS},
    {"operations", required_argument, NULL, OPTION_OPERATIONS},
    {"plant", required_argument, NULL, OPTION_PLANT},
    {"jobs", required_argument, NULL, OPTION_JOBS},
    {"seconds", required_argument, NULL, OPTION_SECONDS},
    {"until-failure", no_argument, NULL, OPTION_UNTIL},
    {"quiet", no_argument, NULL, OPTION_QUIET},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

struct arguments {
    struct crew_options crew;
    struct world_options world;
    uint64_t repeat;
    bool is_one, shrink;
};

static int wrong(const char *what)
{
    fprintf(stderr, "quorate-sim: %s\n%s", what, USAGE);
    return EXIT_USAGE;
}

/* ---- the planted bugs ---- */

static void list_plants(void)
{
#define X(number, name, what, origin) printf("%2d  %-28s %s (%s)\n", number, #name, what, origin);
    PLANTS(X)
#undef X
}

static bool take_plant(const char *text)
{
    char *end;
    long number = strtol(text, &end, 10);
#define X(n, name, what, origin)                                                                   \
    if (strcmp(text, #name) == 0 || (*end == '\0' && number == n)) {                               \
        plant_on = n;                                                                              \
        return true;                                                                               \
    }
    PLANTS(X)
#undef X
    plant_on = 0;
    return *end == '\0' && number == 0;
}

/* ---- numbers ---- */

static bool take_number(const char *text, uint64_t *out)
{
    char *end;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0';
}

static bool take_seeds(const char *text, struct crew_options *out)
{
    char *end;
    out->first_seed = strtoull(text, &end, 10);
    if (strncmp(end, "..", 2) != 0) {
        return false;
    }
    return take_number(end + 2, &out->last_seed) && out->last_seed >= out->first_seed;
}

static bool take_skip(const char *text, struct world_options *out)
{
    while (*text != '\0') {
        char *end;
        uint64_t first = strtoull(text, &end, 10);
        uint64_t last = first;
        if (end == text || first >= WORLD_FAULTS_MAX) {
            return false;
        }
        if (*end == '-') {
            text = end + 1;
            last = strtoull(text, &end, 10);
        }
        for (uint64_t i = first; i <= last && i < WORLD_FAULTS_MAX; i++) {
            out->skip[i] = true;
        }
        text = *end == ',' ? end + 1 : end;
    }
    return true;
}

static bool take_option(int option, const char *value, struct arguments *out)
{
    uint64_t number = 0;
    bool is_number = value != NULL && take_number(value, &number);
    switch (option) {
    case OPTION_SEED:
        out->is_one = true;
        out->crew.first_seed = out->crew.last_seed = number;
        return is_number;
    case OPTION_SEEDS:
        return take_seeds(value, &out->crew);
    case OPTION_SHOW:
        out->world.show = true;
        return true;
    case OPTION_SKIP:
        return take_skip(value, &out->world);
    case OPTION_HISTORY:
        out->world.history = value;
        return true;
    case OPTION_JSON:
        out->crew.json = value;
        return true;
    case OPTION_REPEAT:
        out->repeat = number;
        return is_number && number > 0;
    case OPTION_SHRINK:
        out->shrink = true;
        return true;
    case OPTION_FAULTS:
        out->world.faults = (uint32_t)number;
        return is_number && number <= WORLD_FAULTS_MAX;
    case OPTION_OPERATIONS:
        out->world.operations = number;
        return is_number;
    case OPTION_PLANT:
        return take_plant(value);
    case OPTION_JOBS:
        out->crew.jobs = (uint32_t)number;
        return is_number && number > 0 && number <= CREW_JOBS_MAX;
    case OPTION_SECONDS:
        out->crew.seconds = number;
        return is_number;
    case OPTION_UNTIL:
        out->crew.until_failure = true;
        return true;
    case OPTION_QUIET:
        out->crew.quiet = true;
        return true;
    default:
        return false;
    }
}

/* ---- what is asked for ---- */

static int run_repeated(const struct arguments *arguments)
{
    struct world_outcome first = {0};
    for (uint64_t i = 0; i < arguments->repeat; i++) {
        struct world_outcome outcome;
        /* What is read before it was written would make a difference. */
        sim_memory_fill((int)(i * REPEAT_FILL % 251));
        world_run(&arguments->world, arguments->crew.first_seed, &outcome);
        if (i == 0) {
            first = outcome;
        } else if (outcome.hash != first.hash) {
            fprintf(stderr, "seed %" PRIu64 ": run %" PRIu64 " took another course\n",
                    arguments->crew.first_seed, i);
            return EXIT_VIOLATION;
        }
    }
    printf("seed %" PRIu64 ": %" PRIu64 " runs, one trace: %016" PRIx64 "\n",
           arguments->crew.first_seed, arguments->repeat, first.hash);
    return first.violations == 0 ? 0 : EXIT_VIOLATION;
}

static int run_one(const struct arguments *arguments)
{
    struct world_outcome outcome;
    world_run(&arguments->world, arguments->crew.first_seed, &outcome);
    world_print(arguments->crew.first_seed, &outcome, stdout);
    return outcome.violations == 0 ? 0 : EXIT_VIOLATION;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {
        .crew = {.first_seed = 1, .last_seed = 1, .jobs = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN)},
        .world = {.faults = 50, .operations = 1000},
    };
    int option;
    bool has_seeds = false;
    while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (option == OPTION_HELP) {
            fputs(USAGE, stdout);
            return 0;
        }
        if (option == OPTION_PLANTS) {
            list_plants();
            return 0;
        }
        has_seeds = has_seeds || option == OPTION_SEED || option == OPTION_SEEDS;
        if (!take_option(option, optarg, &arguments)) {
            return wrong(option == '?' ? "what is that?" : argv[optind - 1]);
        }
    }
    if (!has_seeds || optind < argc) {
        return wrong("--seed or --seeds is needed");
    }
    if (arguments.shrink) {
        return shrink_run(&arguments.world, arguments.crew.first_seed) ? EXIT_VIOLATION : 0;
    }
    if (arguments.repeat > 0) {
        return run_repeated(&arguments);
    }
    return arguments.is_one ? run_one(&arguments)
                            : (crew_run(&arguments.crew, &arguments.world) ? 0 : EXIT_VIOLATION);
}
