/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorder: the functions of libc that change files are defined in this program, and a
 * definition in the executable also serves the shared library of LMDB. So each byte that anybody
 * writes below the recorded folder is seen, with the flags of its descriptor. Outside of a
 * recording, and for all other files, they only pass on.
 */
#ifndef TESTS_CRASH_RECORD_H
#define TESTS_CRASH_RECORD_H

#include "tests/crash/journal.h"

/* Begins: what is in the folder now counts as durable. root is absolute, without a slash behind. */
void record_start(const char *root);

/* Puts a note into the journal; nothing while nothing is recorded. */
void record_note(unsigned note, uint64_t value);

/* Ends, and gives the journal. No file of the folder may be open for writing any more. */
struct journal *record_stop(void);

/* Called by _exit inside of this process (the engine gives up): never returns. NULL: as always. */
void record_on_exit(void (*fn)(int status));

#endif
