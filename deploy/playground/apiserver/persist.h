/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state on disk: DIR/state.json, one JSON value per line, appended with each change and written
 * afresh when it holds far more lines than objects. A torn last line is cut off. It is not synced:
 * a crash of the machine may lose the newest changes, a crash of the process does not.
 */
#ifndef PLAYGROUND_APISERVER_PERSIST_H
#define PLAYGROUND_APISERVER_PERSIST_H

#include "base/err.h"
#include "objects.h"

struct persist;

/* Reads the state into objects and goes on writing to it as their journal. Gives *out_persist. */
BASE_MUST_CHECK int persist_open(const char *dir, struct objects *objects,
                                 struct persist **out_persist, struct err *err);

/* Flushes and closes; the journal of objects is unset. */
void persist_close(struct persist *persist);

#endif
