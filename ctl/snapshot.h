/* SPDX-License-Identifier: Apache-2.0 */
/* The commands under `quoratectl snapshot`. Each prints its answer, or what is wrong, and gives
 * the exit status. */
#ifndef CTL_SNAPSHOT_H
#define CTL_SNAPSHOT_H

#include "ctl/command.h"

int snapshot_save(const struct ctl_values *values, char *const *args);
int snapshot_status_print(const struct ctl_values *values, char *const *args);
int snapshot_verify(const struct ctl_values *values, char *const *args);
int snapshot_restore(const struct ctl_values *values, char *const *args);

#endif
