/* SPDX-License-Identifier: Apache-2.0 */
/* quorate: an etcd-compatible server. Flags, signals and exit codes are etcd's. */
#include <signal.h>
#include <stdio.h>

#include "base/log.h"
#include "engine/harden.h"
#include "engine/server/config.h"
#include "engine/server/server.h"

/*
 * Besides etcd's 0 (asked to stop, or removed from the cluster), 1 and 2: this member cannot go on
 * with the data that it has, so restarting it is of no use (the operator replaces it).
 */
#define EXIT_DATA_CORRUPT 65

int main(int argc, char **argv)
{
    struct server_config config;
    struct err err = {{0}};
    int exit_code = 0;
    switch (config_read(argc, argv, &config, &exit_code, &err)) {
    case CONFIG_DONE:
        return 0;
    case CONFIG_WRONG:
        fprintf(stderr, "quorate: %s\n", err.text);
        return exit_code;
    case CONFIG_RUN:
        break;
    }
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);

    int signal_number = 0;
    int rc = harden(&config, &err);
    if (rc == 0) {
        rc = server_run(&config, &signal_number, &err);
    }
    if (rc != 0) {
        log_write(LOG_LEVEL_FATAL, __FILE__, __LINE__, "failed to start",
                  &(struct log_field){"error", LOG_FIELD_STR, err.text, 0}, 1);
        config_free(&config);
        return rc == E_CORRUPT ? EXIT_DATA_CORRUPT : 1;
    }
    config_free(&config);
    if (signal_number != 0) {
        /* As etcd: end by the signal itself, so that a shell sees 128 + its number. */
        signal(signal_number, SIG_DFL);
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        raise(signal_number);
    }
    return 0;
}
