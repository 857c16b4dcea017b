/* SPDX-License-Identifier: Apache-2.0 */
/* The world's API server; used by lib_world.c only. */
#ifndef TESTS_UNIT_PLAN_LIB_WORLD_KUBE_H
#define TESTS_UNIT_PLAN_LIB_WORLD_KUBE_H

#include "lib_world.h"

/* Carries out an apply, patch or delete with its preconditions; 0 or E_*. */
int world_act_kube(struct world *world, const struct action *action);

/* Changes the facts of a Secret; 0 or E_CONFLICT. */
int world_act_certificate(struct world *world, const struct action *action);

/* Writes a fresh resource version. */
void world_touch(struct world *world, char *version, size_t size);

#endif
