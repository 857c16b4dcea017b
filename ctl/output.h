/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands print and how they end. */
#ifndef CTL_OUTPUT_H
#define CTL_OUTPUT_H

#include "base/buf.h"
#include "base/defs.h"
#include "base/err.h"

/* Prints "Error: text" to stderr and gives EXIT_FAILED. */
int output_fail(const struct err *err);

/* Writes all of text to stdout; EXIT_FAILED when that fails, else 0. */
int output_print(struct buf *text);

/* Ctrl-C and SIGTERM become readable on the descriptor that this gives, instead of ending the
 * process; -1 when that cannot be had. */
int output_signals(void);

/* True when one has come. */
bool output_interrupted(int signal_fd);

#endif
