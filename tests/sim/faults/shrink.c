/* SPDX-License-Identifier: Apache-2.0 */
/* Delta debugging (Zeller, Hildebrandt 2002) over the list of faults. */
#include "tests/sim/faults/shrink.h"

#include <inttypes.h>

#include "base/alloc.h"

static bool fails(const struct world_options *options, uint64_t seed)
{
    struct world_outcome outcome;
    world_run_apart(options, seed, &outcome);
    return outcome.violations > 0;
}

static uint32_t list_left(const struct world_options *options, uint32_t *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < options->faults + NEMESIS_MORE_MAX; i++) {
        if (!options->skip[i]) {
            out[count++] = i;
        }
    }
    return count;
}

/* Tries to do without left[from..to). */
static bool leave_out(struct world_options *options, uint64_t seed, const uint32_t *left,
                      uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        options->skip[left[i]] = true;
    }
    if (fails(options, seed)) {
        return true;
    }
    for (uint32_t i = from; i < to; i++) {
        options->skip[left[i]] = false;
    }
    return false;
}

static void print_skip(const struct world_options *options)
{
    const char *comma = "";
    const uint32_t count = options->faults + NEMESIS_MORE_MAX;
    for (uint32_t i = 0; i < count; i++) {
        if (!options->skip[i]) {
            continue;
        }
        uint32_t last = i;
        while (last + 1 < count && options->skip[last + 1]) {
            last++;
        }
        printf(last > i ? "%s%u-%u" : "%s%u", comma, i, last);
        comma = ",";
        i = last;
    }
}

static void tell(const struct world_options *options, uint64_t seed, const uint32_t *left,
                 uint32_t count)
{
    struct rng rng;
    struct nemesis_options unused = {.begin_ns = 0, .end_ns = 1, .count = options->faults};
    rng_seed(&rng, seed ^ UINT64_C(0x9e3779b97f4a7c15));
    struct fault *faults = nemesis_draw(&unused, &rng);
    printf("seed %" PRIu64 " fails with %u of %u faults:", seed, count,
           options->faults + NEMESIS_MORE_MAX);
    for (uint32_t i = 0; i < count; i++) {
        /* The last one is that of nemesis_draw_more. */
        printf(" %u:%s", left[i],
               left[i] < options->faults ? fault_name(faults[left[i]].kind)
                                         : fault_name(FAULT_STORE_ROT));
    }
    printf("\nquorate-sim --seed %" PRIu64 " --show --skip ", seed);
    print_skip(options);
    printf("\n");
    mem_free(faults);
}

bool shrink_run(const struct world_options *original, uint64_t seed)
{
    struct world_options *options = mem_dup(original, sizeof(*original));
    uint32_t left[WORLD_FAULTS_MAX + NEMESIS_MORE_MAX];
    bool does_fail = fails(options, seed);
    if (!does_fail) {
        printf("seed %" PRIu64 " does not fail\n", seed);
        mem_free(options);
        return false;
    }
    uint32_t count = list_left(options, left);
    for (uint32_t part = (count + 1) / 2; part > 0; part = part > 1 ? (part + 1) / 2 : 0) {
        for (uint32_t from = 0; from < count;) {
            uint32_t to = BASE_MIN(from + part, count);
            if (leave_out(options, seed, left, from, to)) {
                count = list_left(options, left);
            } else {
                from = to;
            }
        }
    }
    tell(options, seed, left, count);
    mem_free(options);
    return true;
}
