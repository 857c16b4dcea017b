/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes of containers: each leads a session of its own, sees the playground's names in
 * /etc/hosts, and dies with the playground.
 *
 * Names work by a private mount namespace in which the shared hosts file of the playground is
 * bound over /etc/hosts (and "hosts: files" over /etc/nsswitch.conf, so that a name that is not
 * there is known at once to be missing, and no question leaves the machine). The file is rewritten
 * in place, so processes see members that came later. It takes root, or user namespaces.
 */
#ifndef PLAYGROUND_KUBELET_PROCESS_H
#define PLAYGROUND_KUBELET_PROCESS_H

#include <sys/types.h>

#include "base/defs.h"
#include "base/err.h"

/* Borrows all. argv and envp end with NULL. */
struct process_spec {
    const char *dir; /* of the playground: hosts and nsswitch.conf are there */
    char *const *argv;
    char *const *envp;
    const char *cwd;
    const char *log_path; /* appended to; NULL: /dev/null */
    const char *account;  /* folder shown at /var/run/secrets/kubernetes.io/serviceaccount, in
                             place of all of /run; NULL: none */
};

/* Moves the calling process, which must have one thread, into the playground's names. */
BASE_MUST_CHECK int process_enter_names(const char *dir, struct err *err);

/* Tries process_enter_names in a child: says at start what would fail later. */
BASE_MUST_CHECK int process_check_names(const char *dir, struct err *err);

/*
 * Starts. 0 once the program runs; E_NOT_FOUND, E_PERMISSION or E_IO with a text when it could not
 * be started. It dies when the calling thread does.
 */
BASE_MUST_CHECK int process_spawn(const struct process_spec *spec, pid_t *out_pid, struct err *err);

/* True when pid has ended; *out_status is waitpid's. */
bool process_reap(pid_t pid, int *out_status);

/* Sends signal_number to pid and to all that it started. */
void process_signal(pid_t pid, int signal_number);

/* Notes pid with its time of birth in the file at path, for process_end_orphan. */
void process_note(const char *path, pid_t pid);

/* Ends the process that the file at path names, if it is still the same; removes the file. */
bool process_end_orphan(const char *path);

#endif
