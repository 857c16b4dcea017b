/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of quorate-playground that talk to one which runs already:
 *   node lose|back NAME --dir DIR
 *   pod kill|destroy NAME [-n NAMESPACE] --dir DIR
 *   exec-env --dir DIR -- COMMAND ...   runs COMMAND where the playground's names are known
 */
#ifndef PLAYGROUND_KUBELET_CONTROL_H
#define PLAYGROUND_KUBELET_CONTROL_H

#include "base/defs.h"

/* True when word (argv[1]) is one of the commands above. */
bool control_knows(const char *word);

/* Carries the command out; gives the exit code of the program. */
int control_run(int argc, char **argv);

/* What the commands are, for --help. */
extern const char CONTROL_USAGE[];

#endif
