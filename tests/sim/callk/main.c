/* SPDX-License-Identifier: Apache-2.0 */
/* quorate-callk: every call of a member in short scenarios fails, one by one. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/plant.h"
#include "tests/sim/callk/floors.h"
#include "tests/sim/callk/points.h"

#define EXIT_VIOLATION 1
#define EXIT_USAGE     2
#define AFRESH_EACH    40u

static const char USAGE[] =
    "usage: quorate-callk [--scenario S] [--kind K]            all k of all, or of these\n"
    "       quorate-callk --scenario S [--show]                a world in which nothing fails\n"
    "                     --k 0\n"
    "       quorate-callk --scenario S --kind K --mode once|for-ever --k N [--show]   one point\n"
    "       quorate-callk --list                               scenarios and kinds\n"
    "options:\n"
    "  --jobs N     worlds at a time (default 2)\n"
    "  --seed N     of the worlds (default 1; floors hold for this one only)\n"
    "  --afresh N   every N-th point is run in a fresh world as well (default 40; 0: none)\n"
    "  --every      also allocations that end the member in the same world as the one before;\n"
    "               with --jobs 1 their traces are compared\n"
    "  --plant NAME a planted bug is switched on\n"
    "  --floors     prints what would be frozen\n";

enum flag {
    OPTION_SCENARIO = 1,
    OPTION_KIND,
    OPTION_MODE,
    OPTION_K,
    OPTION_SHOW,
    OPTION_LIST,
    OPTION_JOBS,
    OPTION_SEED,
    OPTION_AFRESH,
    OPTION_EVERY,
    OPTION_PLANT,
    OPTION_FLOORS,
    OPTION_HELP,
};

static const struct option OPTIONS[] = {
    {"scenario", required_argument, NULL, OPTION_SCENARIO},
    {"kind", required_argument, NULL, OPTION_KIND},
    {"mode", required_argument, NULL, OPTION_MODE},
    {"k", required_argument, NULL, OPTION_K},
    {"show", no_argument, NULL, OPTION_SHOW},
    {"list", no_argument, NULL, OPTION_LIST},
    {"jobs", required_argument, NULL, OPTION_JOBS},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"afresh", required_argument, NULL, OPTION_AFRESH},
    {"every", no_argument, NULL, OPTION_EVERY},
    {"plant", required_argument, NULL, OPTION_PLANT},
    {"floors", no_argument, NULL, OPTION_FLOORS},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

struct arguments {
    const struct callk_scenario *scenario; /* NULL: all */
    struct points_options points;
    struct point point;
    bool has_k, show, floors;
};

static int wrong(const char *what)
{
    fprintf(stderr, "quorate-callk: %s\n%s", what, USAGE);
    return EXIT_USAGE;
}

static void list(void)
{
    for (size_t i = 0; i < CALLK_SCENARIO_COUNT; i++) {
        printf("%-18s %s\n", CALLK_SCENARIOS[i].name, CALLK_SCENARIOS[i].what);
    }
    for (int i = 0; i < FAILURE_COUNT; i++) {
        printf("  %-16s %s\n", FAILURE_KINDS[i].text, FAILURE_KINDS[i].what);
    }
}

static bool take_number(const char *text, uint64_t *out)
{
    char *end;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0';
}

static bool take_scenario(const char *text, struct arguments *out)
{
    for (size_t i = 0; i < CALLK_SCENARIO_COUNT; i++) {
        if (strcmp(CALLK_SCENARIOS[i].name, text) == 0) {
            out->scenario = &CALLK_SCENARIOS[i];
            return true;
        }
    }
    return false;
}

static bool take_kind(const char *text, struct arguments *out)
{
    for (int i = 0; i < FAILURE_COUNT; i++) {
        if (strcmp(FAILURE_KINDS[i].text, text) == 0) {
            out->points.failures = 1u << i;
            out->point.failure = (enum failure)i;
            return true;
        }
    }
    return false;
}

static bool take_mode(const char *text, struct arguments *out)
{
    for (int i = 0; i < MODE_COUNT; i++) {
        if (strcmp(MODE_TEXTS[i], text) == 0) {
            out->point.mode = (enum mode)i;
            return true;
        }
    }
    return false;
}

static bool take_plant(const char *text)
{
#define X(n, name, what, origin)                                                                   \
    if (strcmp(text, #name) == 0) {                                                                \
        plant_on = n;                                                                              \
        return true;                                                                               \
    }
    PLANTS(X)
#undef X
    return false;
}

static bool take_option(int option, const char *value, struct arguments *out)
{
    uint64_t number = 0;
    bool is_number = value != NULL && take_number(value, &number);
    switch (option) {
    case OPTION_SCENARIO:
        return take_scenario(value, out);
    case OPTION_KIND:
        return take_kind(value, out);
    case OPTION_MODE:
        return take_mode(value, out);
    case OPTION_K:
        out->has_k = true;
        out->point.k = number;
        return is_number;
    case OPTION_SHOW:
        out->show = true;
        return true;
    case OPTION_JOBS:
        out->points.jobs = (uint32_t)number;
        return is_number && number > 0 && number <= POINTS_JOBS_MAX;
    case OPTION_SEED:
        out->points.seed = number;
        return is_number;
    case OPTION_AFRESH:
        out->points.afresh_each = number;
        return is_number;
    case OPTION_EVERY:
        out->points.every = true;
        return true;
    case OPTION_PLANT:
        return take_plant(value);
    case OPTION_FLOORS:
        out->floors = true;
        return true;
    default:
        return false;
    }
}

/* ---- one point ---- */

static int run_one(const struct arguments *arguments)
{
    struct callk_outcome outcome;
    points_run_one(arguments->scenario, arguments->points.seed, &arguments->point, arguments->show,
                   &outcome);
    printf("%s: %s, %" PRIu64 " violations%s%s, %" PRIu64 " operations, %" PRIu64
           " events, trace %016" PRIx64 "\n",
           arguments->scenario->name,
           !outcome.was_hit          ? "nothing failed"
           : outcome.failed_to_start ? "the member did not start"
           : outcome.has_ended       ? "the member ended itself"
                                     : "the member went on",
           outcome.violations, outcome.violations > 0 ? ", first by " : "", outcome.first_check,
           outcome.operations, outcome.events, outcome.hash);
    return outcome.violations == 0 ? 0 : EXIT_VIOLATION;
}

/* ---- all ---- */

static void sum_add(struct tally *sum, const struct tally *tally)
{
    sum->points += tally->points;
    sum->same += tally->same;
    sum->ended += tally->ended;
    sum->unready += tally->unready;
    sum->failed += tally->failed;
}

static void print_tally(const char *name, const char *kind, const char *mode,
                        const struct tally *tally)
{
    printf("%-18s %-10s %-9s %7" PRIu64 " %7" PRIu64 " %7" PRIu64 " %7" PRIu64 " %7" PRIu64 "\n",
           name, kind, mode, tally->points, tally->points - tally->same, tally->ended,
           tally->unready, tally->failed);
}

static bool print_scenario(const struct callk_scenario *scenario,
                           const struct points_outcome *outcome, bool with_floors,
                           struct tally *sum)
{
    bool good = outcome->is_good;
    for (int i = 0; i < FAILURE_COUNT; i++) {
        for (int mode = 0; mode < MODE_COUNT; mode++) {
            const struct tally *tally = &outcome->tallies[i][mode];
            if (tally->points > 0) {
                print_tally(scenario->name, FAILURE_KINDS[i].text, MODE_TEXTS[mode], tally);
                sum_add(sum, tally);
            }
        }
        uint64_t floor = floors_of(scenario->name, (enum failure)i);
        if (with_floors && outcome->tallies[i][MODE_ONCE].points < floor) {
            printf("TOO FEW: %s %s has %" PRIu64 " points, %" PRIu64 " is the floor\n",
                   scenario->name, FAILURE_KINDS[i].text, outcome->tallies[i][MODE_ONCE].points,
                   floor);
            good = false;
        }
    }
    fflush(stdout);
    return good;
}

static void print_floors(const struct callk_scenario *scenario,
                         const struct points_outcome *outcome)
{
    printf("    {\"%s\", {", scenario->name);
    for (int i = 0; i < FAILURE_COUNT; i++) {
        printf("%s%" PRIu64, i == 0 ? "" : ", ",
               outcome->tallies[i][MODE_ONCE].points * FLOOR_PERCENT / 100);
    }
    printf("}},\n");
    fflush(stdout);
}

static int run_all(const struct arguments *arguments)
{
    struct tally sum = {0};
    struct points_outcome outcome;
    uint64_t afresh = 0;
    double seconds = 0;
    bool good = true;
    bool with_floors = arguments->points.seed == FLOOR_SEED &&
                       arguments->points.failures == UINT32_MAX && plant_on == 0;
    if (!arguments->floors) {
        printf("%-18s %-10s %-9s %7s %7s %7s %7s %7s\n", "scenario", "kind", "mode", "points",
               "run", "ended", "unready", "failed");
    }
    for (size_t i = 0; i < CALLK_SCENARIO_COUNT; i++) {
        const struct callk_scenario *scenario = &CALLK_SCENARIOS[i];
        if (arguments->scenario != NULL && arguments->scenario != scenario) {
            continue;
        }
        points_run(scenario, &arguments->points, &outcome);
        afresh += outcome.afresh;
        seconds += outcome.seconds;
        if (arguments->floors) {
            print_floors(scenario, &outcome);
        } else {
            good = print_scenario(scenario, &outcome, with_floors, &sum) && good;
        }
    }
    if (!arguments->floors) {
        print_tally("all", "", "", &sum);
        printf("%" PRIu64 " points, %" PRIu64 " ran afresh with the same trace, %.0f s, %s\n",
               sum.points, afresh, seconds, good ? "all good" : "FAILED");
    }
    return good ? 0 : EXIT_VIOLATION;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {
        .points = {.seed = FLOOR_SEED,
                   .jobs = 2,
                   .failures = UINT32_MAX,
                   .afresh_each = AFRESH_EACH},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (option == OPTION_HELP) {
            fputs(USAGE, stdout);
            return 0;
        }
        if (option == OPTION_LIST) {
            list();
            return 0;
        }
        if (!take_option(option, optarg, &arguments)) {
            return wrong(option == '?' ? "what is that?" : argv[optind - 1]);
        }
    }
    if (optind < argc) {
        return wrong(argv[optind]);
    }
    if (!arguments.has_k) {
        return run_all(&arguments);
    }
    if (arguments.scenario == NULL) {
        return wrong("--k needs a --scenario");
    }
    return run_one(&arguments);
}
