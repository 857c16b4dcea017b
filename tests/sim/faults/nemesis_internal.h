/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the nemesis. */
#ifndef TESTS_SIM_FAULTS_NEMESIS_INTERNAL_H
#define TESTS_SIM_FAULTS_NEMESIS_INTERNAL_H

#include "tests/check/history.h"
#include "tests/sim/disk.h"
#include "tests/sim/faults/members.h"
#include "tests/sim/faults/nemesis.h"
#include "tests/sim/faults/workload.h"
#include "tests/sim/net.h"

#define LASTING_MAX 256u

/* A fault that goes on until over is called, once. */
struct lasting {
    const struct fault *fault;
    int slot;
    sim_fn over; /* NULL: free */
};

struct nemesis {
    struct history *history;
    const struct workload *workload;
    struct lasting lasting[LASTING_MAX];
    uint64_t counts[FAULT_COUNT];
    struct sim_net_faults net; /* as the run has it without faults */
    struct sim_schedule schedule;
    struct sim_disk_faults disk;
    int net_windows[FAULT_COUNT]; /* how many of that kind last */
    bool is_cut, is_over;
    int64_t clock_rate[SIM_NODES_MAX], wall_offset[SIM_NODES_MAX];
    uint64_t protected_until[SIM_NODES_MAX]; /* its data is wrong and nothing says so yet */
    int hashes_asked, hashes_answered;
    struct nemesis_saved saved;
};

extern struct nemesis nemesis; /* one world at a time */

/* Notes what lasts; NULL when there is no room. */
struct lasting *nemesis_lasts(const struct fault *fault, int slot, sim_fn over);
void nemesis_ends_at(struct lasting *lasting, uint64_t length_ns);

bool nemesis_is_protected(int slot);

/* Each carries out faults of its kinds; false: it had no effect here and now. */
bool nemesis_disk(const struct fault *fault, struct rng *rng);
bool nemesis_net(const struct fault *fault, struct rng *rng);
bool nemesis_admin(const struct fault *fault, struct rng *rng);

#endif
