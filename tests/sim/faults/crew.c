/* SPDX-License-Identifier: Apache-2.0 */
/* See crew.h. */
#include "tests/sim/faults/crew.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/plant.h"

#define SECOND         UINT64_C(1000000000)
#define FAULTS_BEGIN   (4 * SECOND)
#define FAULT_SPACE_NS (SECOND * 6 / 5) /* mean time from one fault to the next */
#define WORLD_SECONDS  40u              /* of a processor; a world needs less than one */
#define WORLD_BYTES    (1536ull << 20)  /* of memory; a world needs some ten MiB */
#define PROGRESS_S     2
#define STORY_BYTES    65536u

/* ---- one world ---- */

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void world_run(const struct world_options *options, uint64_t seed, struct world_outcome *out)
{
    struct rng rng;
    struct faults_plan plan = {
        .fault_count = options->faults,
        .options = {.begin_ns = FAULTS_BEGIN,
                    .end_ns = FAULTS_BEGIN + options->faults * FAULT_SPACE_NS + SECOND,
                    .count = options->faults},
        .operations = options->operations,
        .history = options->history,
    };
    *out = (struct world_outcome){0};
    double begin = now_s();
    sim_world_begin(seed);
    sim_show(options->show);
    rng_seed(&rng, seed ^ UINT64_C(0x9e3779b97f4a7c15));
    struct fault *faults = nemesis_draw(&plan.options, &rng);
    rng_seed(&rng, seed ^ UINT64_C(0xd1b54a32d192ed03));
    plan.fault_count += nemesis_draw_more(&plan.options, &rng, faults);
    plan.more_seed = rng_next(&rng);
    for (uint32_t i = 0; i < plan.fault_count; i++) {
        faults[i].is_skipped = options->skip[i];
    }
    plan.faults = faults;
    faults_run(&plan, &out->result);
    mem_free(faults);
    out->virtual_ns = sim_now_ns();
    out->events = sim_event_count();
    out->hash = sim_trace_hash();
    out->violations = sim_violations();
    snprintf(out->first_check, sizeof(out->first_check), "%.31s", sim_first_violation());
    sim_world_end();
    out->seconds = now_s() - begin;
}

void world_print(uint64_t seed, const struct world_outcome *outcome, FILE *out)
{
    const struct faults_result *result = &outcome->result;
    fprintf(out,
            "{\"seed\":%" PRIu64 ",\"hash\":\"%016" PRIx64 "\",\"violations\":%" PRIu64
            ",\"check\":\"%s\",\"virtual_s\":%.1f,\"seconds\":%.3f,\"events\":%" PRIu64
            ",\"operations\":%" PRIu64 ",\"unknown\":%" PRIu64 ",\"watch_events\":%" PRIu64
            ",\"hashes\":%" PRIu64 ",\"undecided\":%" PRIu64 ",\"messages\":%" PRIu64
            ",\"messages_lost\":%" PRIu64 ",\"snapshots\":%" PRIu64 ",\"elections\":%" PRIu64
            ",\"restarts\":%" PRIu64 ",\"promotions\":%" PRIu64 ",\"faults\":{",
            seed, outcome->hash, outcome->violations, outcome->first_check,
            (double)outcome->virtual_ns / 1e9, outcome->seconds, outcome->events,
            result->operations, result->unknown, result->watch_events, result->hashes,
            result->undecided, result->messages, result->messages_lost, result->snapshots,
            result->elections, result->restarts, result->promotions);
    for (int kind = 0; kind < FAULT_COUNT; kind++) {
        fprintf(out, "%s\"%s\":%" PRIu64, kind == 0 ? "" : ",", fault_name((enum fault_kind)kind),
                result->faults[kind]);
    }
    fprintf(out, "}}\n");
    fflush(out);
}

/* ---- worlds apart ---- */

/* A process and where it leaves its outcome; the story goes to a file that is shown if it fails. */
struct apart {
    pid_t pid; /* 0: free */
    uint64_t seed;
    struct world_outcome *shared;
    FILE *story;
};

static void apart_open(struct apart *apart)
{
    apart->shared = mmap(NULL, sizeof(*apart->shared), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(apart->shared != MAP_FAILED);
    apart->story = tmpfile();
    ASSERT(apart->story != NULL);
}

static void apart_close(struct apart *apart)
{
    (void)munmap(apart->shared, sizeof(*apart->shared));
    fclose(apart->story);
}

static void apart_start(struct apart *apart, const struct world_options *options, uint64_t seed)
{
    *apart->shared = (struct world_outcome){.violations = UINT64_MAX};
    apart->seed = seed;
    rewind(apart->story);
    ASSERT(ftruncate(fileno(apart->story), 0) == 0);
    fflush(NULL);
    apart->pid = fork();
    ASSERT(apart->pid >= 0);
    if (apart->pid == 0) {
        const struct rlimit time = {WORLD_SECONDS, WORLD_SECONDS + 1};
        const struct rlimit memory = {WORLD_BYTES, WORLD_BYTES};
        (void)setrlimit(RLIMIT_CPU, &time);
#ifndef __SANITIZE_ADDRESS__
        (void)setrlimit(RLIMIT_AS, &memory);
#else
        (void)memory;
#endif
        (void)dup2(fileno(apart->story), STDERR_FILENO);
        (void)dup2(fileno(apart->story), STDOUT_FILENO);
        struct world_outcome outcome;
        world_run(options, seed, &outcome);
        *apart->shared = outcome; /* whole, at the end: what dies before has left none */
        _exit(0);
    }
}

/* What ended without leaving an outcome broke an assertion, or hung. */
static void apart_take(struct apart *apart, int status, struct world_outcome *out)
{
    *out = *apart->shared;
    if (out->violations == UINT64_MAX) {
        bool hung = WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU;
        *out = (struct world_outcome){.violations = 1};
        snprintf(out->first_check, sizeof(out->first_check), "%s", hung ? "hang" : "assertion");
    }
    apart->pid = 0;
}

static void apart_tell(const struct apart *apart, FILE *out)
{
    char *text = mem_zalloc(STORY_BYTES);
    rewind(apart->story);
    size_t size = fread(text, 1, STORY_BYTES - 1, apart->story);
    fwrite(text, 1, size, out);
    mem_free(text);
}

void world_run_apart(const struct world_options *options, uint64_t seed, struct world_outcome *out)
{
    struct apart apart = {0};
    int status = 0;
    apart_open(&apart);
    apart_start(&apart, options, seed);
    (void)waitpid(apart.pid, &status, 0);
    apart_take(&apart, status, out);
    apart_close(&apart);
}

/* ---- many ---- */

struct sum {
    struct faults_result result;
    uint64_t seeds, violations, failed, faults;
    double virtual_s, begin_s, told_s;
    uint64_t first_failed;
    char first_check[CHECK_NAME_BYTES];
};

static void sum_add(struct sum *sum, uint64_t seed, const struct world_outcome *outcome)
{
    const uint64_t *from = (const uint64_t *)&outcome->result;
    uint64_t *to = (uint64_t *)&sum->result;
    for (size_t i = 0; i < sizeof(sum->result) / sizeof(uint64_t); i++) {
        to[i] += from[i];
    }
    for (int kind = 0; kind < FAULT_COUNT; kind++) {
        sum->faults += outcome->result.faults[kind];
    }
    sum->seeds++;
    sum->violations += outcome->violations;
    sum->virtual_s += (double)outcome->virtual_ns / 1e9;
    if (outcome->violations > 0) {
        if (sum->failed++ == 0) {
            sum->first_failed = seed;
            snprintf(sum->first_check, sizeof(sum->first_check), "%s", outcome->first_check);
        }
    }
}

static void tell_kinds(const struct sum *sum)
{
    for (int kind = 0; kind < FAULT_COUNT; kind++) {
        printf("  %-24s %8" PRIu64 "%s", fault_name((enum fault_kind)kind),
               sum->result.faults[kind], kind % 3 == 2 ? "\n" : "");
    }
    printf("%s", FAULT_COUNT % 3 != 0 ? "\n" : "");
}

static void tell_sum(const struct sum *sum)
{
    tell_kinds(sum);
    printf("  %" PRIu64 " elections, %" PRIu64 " restarts, %" PRIu64 " promotions, %" PRIu64
           " snapshots sent, %" PRIu64 " messages (%" PRIu64 " lost), %" PRIu64
           " watch events, %" PRIu64 " hashes, %" PRIu64 " undecided, %.0f s\n",
           sum->result.elections, sum->result.restarts, sum->result.promotions,
           sum->result.snapshots, sum->result.messages, sum->result.messages_lost,
           sum->result.watch_events, sum->result.hashes, sum->result.undecided,
           now_s() - sum->begin_s);
    if (sum->failed > 0) {
        printf("  first failed seed %" PRIu64 " by %s\n", sum->first_failed, sum->first_check);
    }
    printf("%" PRIu64 " seeds, %.0f s simulated, %" PRIu64 " faults, %" PRIu64
           " operations checked, %" PRIu64 " violations\n",
           sum->seeds, sum->virtual_s, sum->faults, sum->result.operations, sum->violations);
    fflush(stdout);
}

static void tell_progress(struct sum *sum, uint64_t total)
{
    if (isatty(STDERR_FILENO) && now_s() - sum->told_s >= PROGRESS_S) {
        sum->told_s = now_s();
        fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " worlds, %" PRIu64 " failed ", sum->seeds,
                total, sum->failed);
    }
}

static struct apart *apart_of(struct apart *crew, uint32_t jobs, pid_t pid)
{
    for (uint32_t i = 0; i < jobs; i++) {
        if (crew[i].pid == pid) {
            return &crew[i];
        }
    }
    return NULL;
}

static void take_one(struct apart *apart, int status, struct sum *sum, FILE *json, bool quiet)
{
    struct world_outcome outcome;
    apart_take(apart, status, &outcome);
    sum_add(sum, apart->seed, &outcome);
    if (json != NULL) {
        world_print(apart->seed, &outcome, json);
    }
    if (outcome.violations > 0 && !quiet) {
        apart_tell(apart, stderr);
        fprintf(stderr,
                "seed %" PRIu64 " failed: %s; its story: quorate-sim --seed %" PRIu64
                " --show; its faults: --seed %" PRIu64 " --shrink\n",
                apart->seed, outcome.first_check, apart->seed, apart->seed);
    }
}

bool crew_run(const struct crew_options *options, const struct world_options *world)
{
    struct apart crew[CREW_JOBS_MAX] = {{0}};
    struct sum sum = {.begin_s = now_s(), .told_s = now_s()};
    FILE *json = options->json == NULL ? NULL : fopen(options->json, "w");
    uint64_t next = options->first_seed;
    uint32_t busy = 0;
    if (options->json != NULL && json == NULL) {
        fprintf(stderr, "quorate-sim: %s: %s\n", options->json, strerror(errno));
        return false;
    }
    for (uint32_t i = 0; i < options->jobs; i++) {
        apart_open(&crew[i]);
    }
    for (;;) {
        bool is_late = options->seconds > 0 && now_s() - sum.begin_s > (double)options->seconds;
        bool goes_on =
            next <= options->last_seed && !is_late && !(options->until_failure && sum.failed > 0);
        if (goes_on && busy < options->jobs) {
            apart_start(apart_of(crew, options->jobs, 0), world, next++);
            busy++;
            continue;
        }
        if (busy == 0) {
            break;
        }
        int status = 0;
        pid_t pid = waitpid(-1, &status, 0);
        struct apart *apart = pid > 0 ? apart_of(crew, options->jobs, pid) : NULL;
        if (apart != NULL) {
            busy--;
            take_one(apart, status, &sum, json, options->quiet);
            tell_progress(&sum, options->last_seed - options->first_seed + 1);
        }
    }
    for (uint32_t i = 0; i < options->jobs; i++) {
        apart_close(&crew[i]);
    }
    if (json != NULL) {
        fclose(json);
    }
    tell_sum(&sum);
    return sum.violations == 0;
}
