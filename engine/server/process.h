/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server asks of the process and the system that it runs in, apart from disk, clock and
 * network: its end, its signals, randomness, and what it uses. A simulator has its own.
 */
#ifndef ENGINE_SERVER_PROCESS_H
#define ENGINE_SERVER_PROCESS_H

#include "engine/server/worker.h"

/* Ends the process at once: nothing is flushed, no handler runs. */
BASE_NORETURN void process_exit(int code);

uint64_t process_random(void);

/* Sleeps until SIGTERM or SIGINT comes (its number), or until done is signalled (0). Both signals
 * must be blocked. */
int process_wait_signal(struct completion *done);

struct process_usage {
    /* -1: not known */
    int64_t open_files, open_files_max, resident_bytes, virtual_bytes, cpu_seconds, start_unix_s;
};
void process_usage(struct process_usage *out_usage);

#endif
