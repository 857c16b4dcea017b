/* SPDX-License-Identifier: Apache-2.0 */
/* See points.h. */
#include "tests/sim/callk/points.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"

#define CHILD_SECONDS 120u /* of this machine's time; one needs a hundredth of a second */
#define STORY_BYTES   65536u
#define AFRESH_MAX    4096u
#define TOLD_MAX      20u

const char *const MODE_TEXTS[MODE_COUNT] = {"once", "for-ever"};

/* ---- one point in a fresh world ---- */

struct target {
    struct point point;
    uint64_t calls;
    bool is_armed; /* a child of the trunk: the call is the one that is being asked for */
};

/* True when this call is to fail, and then the failure has been told. */
static int target_decide(struct target *target, enum sim_call_kind kind)
{
    const struct failure_kind *failure = &FAILURE_KINDS[target->point.failure];
    if (kind != failure->kind || target->point.k == 0) {
        return 0;
    }
    target->calls++;
    bool fails = target->calls == target->point.k ||
                 (target->point.mode == MODE_FOR_EVER && target->calls > target->point.k);
    if (fails) {
        callk_hit(target->point.failure, target->point.mode == MODE_FOR_EVER);
    }
    return fails && target->point.failure != FAILURE_ROOM ? failure->code : 0;
}

static int decide_fresh(void *ctx, enum sim_call_kind kind)
{
    return target_decide(ctx, kind);
}

void points_run_one(const struct callk_scenario *scenario, uint64_t seed, const struct point *point,
                    bool show, struct callk_outcome *out)
{
    struct target target = {.point = *point};
    const struct callk_options options = {scenario, seed, show, decide_fresh, &target, NULL};
    callk_run(&options, out);
}

/* ---- the trunk and its children ---- */

struct child {
    pid_t pid; /* 0: free */
    struct point point;
    struct callk_outcome *shared;
    int story; /* what it prints */
    bool is_afresh;
    bool is_same;  /* as the one before, it is said */
    uint64_t hash; /* of the child of the trunk, for one that runs afresh */
};

struct afresh {
    struct point point;
    uint64_t hash;
};

static struct {
    const struct callk_scenario *scenario;
    const struct points_options *options;
    struct points_outcome *out;
    struct child children[POINTS_JOBS_MAX];
    uint64_t calls[SIM_CALL_COUNT];
    uint64_t last_signature, last_life;
    struct target target;        /* of a child */
    struct child *self;          /* of a child */
    uint64_t before[MODE_COUNT]; /* trace of the last allocation that was not the same */
    struct afresh afresh[AFRESH_MAX];
    uint64_t afresh_count, run_count, told;
} trunk;

static struct tally *tally_of(const struct point *point)
{
    return &trunk.out->tallies[point->failure][point->mode];
}

static void tell_story(struct child *child)
{
    static char text[STORY_BYTES];
    ssize_t size = pread(child->story, text, sizeof(text) - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    const char *line = strstr(text, "VIOLATION");
    line = line != NULL ? line : strstr(text, "ERROR");
    if (line != NULL) {
        printf("    %.*s\n", (int)BASE_MIN(strcspn(line, "\n"), (size_t)400), line);
    }
}

static void tell_failure(struct child *child, const char *check)
{
    trunk.out->is_good = false;
    if (trunk.told++ < TOLD_MAX) {
        printf("FAILED by %s: quorate-callk --scenario %s --kind %s --mode %s --k %" PRIu64
               " --seed %" PRIu64 " --show\n",
               check, trunk.scenario->name, FAILURE_KINDS[child->point.failure].text,
               MODE_TEXTS[child->point.mode], child->point.k, trunk.options->seed);
        tell_story(child);
        fflush(stdout);
    }
}

static void keep_for_afresh(const struct child *child)
{
    uint64_t each = trunk.options->afresh_each;
    if (each > 0 && trunk.run_count++ % each == 0 && trunk.afresh_count < AFRESH_MAX) {
        trunk.afresh[trunk.afresh_count++] = (struct afresh){child->point, child->shared->hash};
    }
}

static void take(struct child *child, int status)
{
    struct tally *tally = tally_of(&child->point);
    const struct callk_outcome *outcome = child->shared;
    bool is_whole = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    child->pid = 0;
    if (!is_whole) {
        bool hung = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
        tally->failed++;
        tell_failure(child, hung ? "a hang" : "an assertion");
    } else if (child->is_afresh && outcome->hash != child->hash) {
        tally->failed++;
        tell_failure(child, "another course in a fresh world");
    } else if (child->is_afresh) {
        trunk.out->afresh++;
    } else if (child->is_same && outcome->hash != trunk.before[child->point.mode]) {
        tally->failed++;
        tell_failure(child, "another course than the allocation before");
    } else {
        if (child->point.failure == FAILURE_MALLOC) {
            trunk.before[child->point.mode] = outcome->hash;
        }
        tally->ended += outcome->has_ended ? 1 : 0;
        tally->unready += outcome->failed_to_start ? 1 : 0;
        if (outcome->violations > 0) {
            tally->failed++;
            tell_failure(child, outcome->first_check);
        }
        keep_for_afresh(child);
    }
}

static bool wait_for_one(void)
{
    int status = 0;
    pid_t pid = waitpid(-1, &status, 0);
    for (uint32_t i = 0; i < trunk.options->jobs; i++) {
        if (pid > 0 && trunk.children[i].pid == pid) {
            take(&trunk.children[i], status);
            return true;
        }
    }
    return pid > 0;
}

static struct child *free_child(void)
{
    for (;;) {
        for (uint32_t i = 0; i < trunk.options->jobs; i++) {
            if (trunk.children[i].pid == 0) {
                return &trunk.children[i];
            }
        }
        ASSERT(wait_for_one());
    }
}

static bool is_busy(void)
{
    for (uint32_t i = 0; i < trunk.options->jobs; i++) {
        if (trunk.children[i].pid != 0) {
            return true;
        }
    }
    return false;
}

/* True in the child. */
static bool spawn(const struct point *point, bool is_same)
{
    struct child *child = free_child();
    child->point = *point;
    child->is_same = is_same && trunk.options->jobs == 1; /* else they end in any order */
    child->is_afresh = false;
    *child->shared = (struct callk_outcome){.violations = 1};
    ASSERT(ftruncate(child->story, 0) == 0 && lseek(child->story, 0, SEEK_SET) == 0);
    fflush(NULL);
    child->pid = fork();
    ASSERT(child->pid >= 0);
    if (child->pid > 0) {
        return false;
    }
    trunk.self = child;
    alarm(CHILD_SECONDS);
    (void)dup2(child->story, STDERR_FILENO);
    (void)dup2(child->story, STDOUT_FILENO);
    return true;
}

/* True in the child: the call fails. */
static bool fork_point(enum failure failure, enum mode mode, uint64_t k, bool is_same)
{
    const struct point point = {failure, mode, k};
    struct tally *tally = tally_of(&point);
    tally->points++;
    if (is_same && !trunk.options->every) {
        tally->same++;
        return false;
    }
    if (!spawn(&point, is_same)) {
        return false;
    }
    trunk.target = (struct target){.point = point, .calls = k, .is_armed = true};
    return true;
}

/* An allocation after which the node would leave the same world as after the one before, in the
 * same life: what follows is the same, too. */
static bool is_same_as_before(enum sim_call_kind kind)
{
    if (kind != SIM_CALL_ALLOCATE) {
        return false;
    }
    uint64_t signature = sim_world_signature();
    uint64_t life = sim_life(sim_node());
    bool same = trunk.last_signature == signature && trunk.last_life == life;
    trunk.last_signature = signature;
    trunk.last_life = life;
    return same;
}

static int decide_trunk(void *ctx, enum sim_call_kind kind)
{
    (void)ctx;
    if (trunk.self != NULL) {
        return target_decide(&trunk.target, kind);
    }
    uint64_t k = ++trunk.calls[kind];
    bool is_same = is_same_as_before(kind);
    uint32_t wanted = trunk.scenario->failures & trunk.options->failures;
    for (int failure = 0; failure < FAILURE_COUNT; failure++) {
        const struct failure_kind *what = &FAILURE_KINDS[failure];
        if (what->kind != kind || (wanted & (1u << failure)) == 0) {
            continue;
        }
        for (int mode = 0; mode < MODE_COUNT; mode++) {
            if (fork_point((enum failure)failure, (enum mode)mode, k, is_same)) {
                callk_hit((enum failure)failure, mode == MODE_FOR_EVER);
                return failure == FAILURE_ROOM ? 0 : what->code;
            }
        }
    }
    return 0;
}

/* What a child would free goes with its process. */
static void leave_trunk(void *ctx, const struct callk_outcome *outcome)
{
    (void)ctx;
    if (trunk.self != NULL) {
        *trunk.self->shared = *outcome;
        _exit(0);
    }
}

/* ---- all of a scenario ---- */

static void children_open(void)
{
    for (uint32_t i = 0; i < trunk.options->jobs; i++) {
        struct child *child = &trunk.children[i];
        child->shared = mmap(NULL, sizeof(*child->shared), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        child->story = memfd_create("story", MFD_CLOEXEC);
        ASSERT(child->shared != MAP_FAILED && child->story >= 0);
    }
}

static void children_close(void)
{
    for (uint32_t i = 0; i < trunk.options->jobs; i++) {
        (void)munmap(trunk.children[i].shared, sizeof(*trunk.children[i].shared));
        close(trunk.children[i].story);
    }
}

static void run_afresh(void)
{
    struct callk_outcome outcome;
    for (uint64_t i = 0; i < trunk.afresh_count; i++) {
        if (spawn(&trunk.afresh[i].point, false)) {
            points_run_one(trunk.scenario, trunk.options->seed, &trunk.afresh[i].point, false,
                           &outcome);
            *trunk.self->shared = outcome;
            _exit(0);
        }
        for (uint32_t j = 0; j < trunk.options->jobs; j++) {
            struct child *child = &trunk.children[j];
            if (child->pid != 0 &&
                memcmp(&child->point, &trunk.afresh[i].point, sizeof(child->point)) == 0) {
                child->is_afresh = true;
                child->hash = trunk.afresh[i].hash;
            }
        }
    }
    while (is_busy() && wait_for_one()) {
    }
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void points_run(const struct callk_scenario *scenario, const struct points_options *options,
                struct points_outcome *out)
{
    const struct callk_options world = {scenario,     options->seed, false,
                                        decide_trunk, NULL,          leave_trunk};
    struct callk_outcome outcome;
    double begin = now_s();
    memset(out, 0, sizeof(*out));
    memset(&trunk, 0, sizeof(trunk));
    out->is_good = true;
    trunk.scenario = scenario;
    trunk.options = options;
    trunk.out = out;
    children_open();
    callk_run(&world, &outcome);
    while (is_busy() && wait_for_one()) {
    }
    if (outcome.violations > 0) {
        printf("FAILED by %s: quorate-callk --scenario %s --seed %" PRIu64
               " --show (nothing fails in it)\n",
               outcome.first_check, scenario->name, options->seed);
        out->is_good = false;
    }
    run_afresh();
    children_close();
    out->seconds = now_s() - begin;
}
