/* SPDX-License-Identifier: Apache-2.0 */
/* The table of all commands. */
#ifndef CTL_COMMANDS_H
#define CTL_COMMANDS_H

#include "ctl/command.h"

extern const struct ctl_command CTL_COMMANDS[];
extern const size_t CTL_COMMAND_COUNT;

/* "quoratectl", or "kubectl quorate" for one that kubectl has started as its plugin. */
const char *ctl_program_name(const char *argv0);

/* Carries out one command line and gives the exit status. */
int ctl_run(int argc, char **argv);

#endif
